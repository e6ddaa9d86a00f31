/* SPDX-License-Identifier: ISC */
/*
 * The live page: static, nothing from elsewhere; it asks /health/db and /api.
 *
 * Thread: any; constant.
 */
#ifndef HTTP_PAGE_H
#define HTTP_PAGE_H

extern const char page_html[];
extern const char page_script[];
extern const char page_style[];

#endif
