/* SPDX-License-Identifier: ISC */
/*
 * Settings that were changed on the console (SET), laid over the tree of the file: so
 * they are read and checked as if they stood there.
 *
 * Owns:   copies of names and values, wiped when freed.
 * Thread: one at a time.
 * Limits: OVERLAY_MAX settings.
 */
#ifndef CONFIG_OVERLAY_H
#define CONFIG_OVERLAY_H

#include "base/base.h"

enum { OVERLAY_MAX = 1000 };

struct diag;
struct doc_node;

struct overlay_setting {
	char *path;                     /* "defaults.query_timeout", as SHOW SETTINGS says */
	char *value;
};

struct overlay {
	struct overlay_setting *list;
	size_t count;
};

/* Sets one; name may be without its section where SHOW CONFIG leaves that out.  Returns
 * 0, -ENOMEM, or -EINVAL with diag filled. */
NODISCARD int overlay_set(
	struct overlay *, const char *name, const char *value, struct diag *);
NODISCARD int overlay_copy(struct overlay *to, const struct overlay *from);
void overlay_finish(struct overlay *);

/* Puts all of them into the tree.  Returns 0, -ENOMEM or -EINVAL with diag filled. */
NODISCARD int overlay_apply(const struct overlay *, struct doc_node *root, struct diag *);

#endif
