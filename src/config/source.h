/* SPDX-License-Identifier: ISC */
/*
 * Where the password of a user of servers comes from, if not from the file itself.
 *
 * Thread: any; plain data.
 */
#ifndef CONFIG_SOURCE_H
#define CONFIG_SOURCE_H

#include "config/fields.h"

struct config_password {
	char *path;                     /* of password_file, whole; NULL: none */
	const struct option_list *command;      /* NULL: none */
	uint64_t lifetime_us;           /* 0: good until PostgreSQL refuses it */
};

/* It is not known yet, and may become another one. */
static inline bool config_password_is_asked(const struct config_password *p)
{
	return p->path != NULL || p->command != NULL;
}

#endif
