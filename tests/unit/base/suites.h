/* SPDX-License-Identifier: ISC */
/* The suites of this program, for main.c. */
#ifndef BASE_SUITES_H
#define BASE_SUITES_H

#include <check.h>

Suite *buf_suite(void);
Suite *diag_suite(void);
Suite *hash_suite(void);
Suite *list_suite(void);
Suite *rand_suite(void);
Suite *slog_suite(void);

#endif
