/* SPDX-License-Identifier: ISC */
/*
 * From the tree of a file to the structs of a configuration: each option is read
 * and checked by itself; what must fit together is for verify and share.
 *
 * Thread: one.
 */
#ifndef CONFIG_BUILD_H
#define CONFIG_BUILD_H

#include "base/base.h"

struct config;
struct doc_source;

/* The config is zeroed before.  Returns 0 or a negative error with the source's
 * diag filled; what has been built then belongs to the config all the same. */
NODISCARD int build_config(struct config *, const struct doc_source *);

#endif
