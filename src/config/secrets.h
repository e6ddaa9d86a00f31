/* SPDX-License-Identifier: ISC */
/*
 * Of which kind the secrets of the files are: whom nobody knows is asked for what
 * others are asked for.
 *
 * Thread: one, while the config is made.
 */
#ifndef CONFIG_SECRETS_H
#define CONFIG_SECRETS_H

#include "base/base.h"

struct config;

/* Counts those of users and of auth_file, each user's once, into config->secrets. */
void secrets_count(struct config *);

/* Does the YAML file itself hold any? */
bool secrets_are_said(const struct config *);

/* Hosts whose user has no password of its own get the one of users or auth_file.
 * Returns 0 or -ENOMEM. */
NODISCARD int secrets_find_own(struct config *);

#endif
