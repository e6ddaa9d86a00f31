/* SPDX-License-Identifier: ISC */
/*
 * What the files of the import share.
 */
#ifndef CONFIG_IMPORT_PRIV_H
#define CONFIG_IMPORT_PRIV_H

#include "config/config.h"
#include "config/import.h"
#include "config/ini.h"
#include "config/option.h"

/* PgBouncer's default_pool_size. */
enum { IMPORT_POOL_SIZE = 20 };

/* The most servers of a part. */
enum { IMPORT_PARTS_MAX = 262143 };

/* How a value is written there. */
enum import_form {
	IMPORT_PLAIN,           /* as the option's type says */
	IMPORT_SECONDS,
	IMPORT_MSECS,
	IMPORT_PATH,            /* relative to where PgBouncer is started */
	IMPORT_NEW_PATH,        /* the same, of a file that need not be there yet */
	IMPORT_GROUPS,          /* a curve, or auto or none */
	IMPORT_CIPHERS          /* a list, or a word of PgBouncer's own */
};

/* An option and its value, as YAML. */
struct import_setting {
	const struct option *option;
	char *text;
	const char *file;
	uint32_t line;
	size_t of;              /* the number of the file */
	uint32_t said;          /* bit of a file: it says something of it, too */
};

/* A section, or an entry of one. */
struct import_entity {
	enum option_level level;
	char *name;
	struct import_setting *settings;
	size_t count;
};

struct import_names {
	char **list;
	size_t count;
};

struct import_host {
	struct import_entity e;
	char *places;           /* as PgBouncer has them */
	uint32_t port;
	bool is_asked;          /* by auth_query: the router's own connection is one more */
	bool has_database;      /* one that was carried over */
	uint32_t used;          /* bit of a file: it has a database there */
};

struct import_workload {
	struct import_entity e;
	struct import_names listen;
	struct import_names databases;
	bool has_wildcard;
	uint64_t parts[CONFIG_HOSTS_MAX];       /* servers that the file allows, by host */
};

/* A line of [databases] or [users], with its file's defaults only where it says so. */
struct import_line {
	struct import_entity e;
	const char *file;
	uint32_t line;
	size_t of;              /* the number of the file */
	size_t host;            /* of a database */
	uint64_t part;          /* ... and the servers that it allows there */
	bool is_dropped;        /* another file's of that name holds */
};

struct import_lines {
	struct import_line *list;
	size_t count;
};

struct import {
	import_say_f *say;
	void *arg;
	size_t lost;
	bool no_memory;
	struct import_entity process, defaults, auth, admin, log;
	struct import_host hosts[CONFIG_HOSTS_MAX];
	size_t host_count;
	struct import_workload workloads[IMPORT_FILES_MAX];
	size_t workload_count;
	size_t file_count;
	struct import_lines databases;
	struct import_lines users;
};

/* One of the files, while it is read. */
struct import_file {
	struct import *x;
	const struct ini *ini;
	size_t number;
	struct import_workload *workload;
	struct import_entity host;      /* what it says of all hosts */
	const char *pool_mode;
	uint64_t pool_size;
	uint64_t reserve_size;
	uint64_t db_max;
};

/* A setting of a database's line. */
struct import_pair {
	bool is_given;
	char value[INI_VALUE_MAX + 1];
};

struct import_auth_pairs {
	struct import_pair user, query, dbname;
};

enum import_section { SECTION_GLOBAL, SECTION_DATABASE, SECTION_USER };

/* import.c: a setting goes where pgbouncer.def says; entity: that of the section. */
void import_apply(struct import_file *, enum import_section, struct import_entity *,
	const struct ini_entry *, const char *value);
void import_set_one(struct import_file *, struct import_entity *, const char *option,
	enum import_form, const struct ini_entry *, const char *value);
/* What [pgbouncer] says of a key, or that. */
const char *import_value_of(const struct ini *, const char *key, const char *otherwise);

/* The last line of [pgbouncer] for a key, or NULL. */
const struct ini_entry *import_find_key(const struct ini *, const char *key);

/* import_auth.c */
void import_auth(struct import_file *);
/* Whom to ask for users of that database; the hosts are known. */
void import_auth_query(struct import_file *, struct import_line *,
	const struct ini_entry *, const struct import_auth_pairs *own);
void import_tell_auth(struct import_file *);
void import_share_auth(struct import *);

/* import_limits.c: those that count over all ports, in all files together. */
void import_limits(struct import *, const struct ini *, size_t count);

/* import_entry.c */
void import_database(struct import_file *, const struct ini_entry *);
void import_user(struct import_file *, const struct ini_entry *);

/* import_merge.c: of what files say of one name the first holds.  What that is not for
 * the others is told as lost; -EINVAL with diag: it would make clients another user. */
NODISCARD int import_merge(struct import *, struct diag *);
/* What all databases of a file have alike is its workload's. */
void import_share_sizes(struct import_file *);

/* import_value.c */
void import_tell(struct import *, bool lost, const struct ini_entry *, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/* The value as YAML for that option, to be freed; NULL: it is none, and that is said. */
char *import_convert(struct import *, const struct option *, enum import_form,
	const struct ini_entry *, const char *value);
/* A number of servers, or that where it is none. */
uint64_t import_size(const char *value, uint64_t otherwise);
/* A text in quotes, to be freed; NULL without memory. */
char *import_quote(const char *text);
/* Sets it; takes text over.  What another file says otherwise is said to be lost. */
void import_set(struct import *, struct import_entity *, const struct option *, char *text,
	const struct ini_entry *, size_t of);
struct import_setting *import_find(struct import_entity *, const struct option *);
void import_remove(struct import_entity *, const struct option *);
void import_entity_free(struct import_entity *);
void import_names_add(struct import *, struct import_names *, const char *name);
bool import_names_have(const struct import_names *, const char *name);
void import_names_free(struct import_names *);

/* import_write.c */
void import_write(struct import *, struct buf *out);

#endif
