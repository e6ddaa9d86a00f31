/* SPDX-License-Identifier: ISC */
/*
 * PgBouncer's configuration file as a list of its lines.
 *
 * Owns:   the text of keys and values, wiped when freed: passwords are among them.
 * Thread: any; one at a time.
 * Limits: INI_DEPTH_MAX files within files, INI_ENTRIES_MAX lines.
 * Source: PgBouncer 1.25, doc/config.md, and lib/usual/cfparser.c as it behaves:
 *         a comment is a whole line; a value ends with its line.
 */
#ifndef CONFIG_INI_H
#define CONFIG_INI_H

#include "base/base.h"

enum { INI_DEPTH_MAX = 10, INI_ENTRIES_MAX = 200000, INI_KEY_MAX = 127, INI_VALUE_MAX = 4096 };

struct diag;

enum ini_section { INI_PGBOUNCER, INI_DATABASES, INI_USERS, INI_PEERS };

struct ini_entry {
	struct ini_entry *next;
	enum ini_section section;
	const char *file;               /* the ini's */
	uint32_t line;
	char *key;
	char *value;
};

struct ini_file;

struct ini {
	struct ini_entry *first;
	struct ini_entry **last;
	size_t count;
	struct ini_file *files;         /* their names */
};

void ini_init(struct ini *);
void ini_finish(struct ini *);

/* Reads a file and those that it includes.  Returns 0 or -errno with diag filled. */
NODISCARD int ini_load(struct ini *, const char *path, struct diag *);

/* The same for a text; what it includes is left out if includes is false. */
NODISCARD int ini_parse(struct ini *, const char *text, size_t len, const char *file,
	bool includes, struct diag *);

/* The next "key=value" of a connection string at *at: 1; none: 0; that is none: -1. */
int ini_next_pair(const char **at, char key[INI_KEY_MAX + 1], char value[INI_VALUE_MAX + 1]);

#endif
