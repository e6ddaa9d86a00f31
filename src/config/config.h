/* SPDX-License-Identifier: ISC */
/*
 * The configuration: what pgtandem.yaml says, checked as a whole, as plain data.
 *
 * Nothing is applied here.  A config never changes after config_load(): a reload
 * makes a new one and swaps the pointer, and whoever still reads the old one
 * holds a reference.
 *
 * Owns:   everything that it points to, its files' secrets included.
 * Thread: any; the reference count is atomic, all else is constant.
 * Limits: of one file, see doc.h; hosts and workloads CONFIG_HOSTS_MAX and
 *         CONFIG_WORKLOADS_MAX.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/base.h"
#include "base/hash.h"
#include "config/place.h"
#include "config/option.h"
#include "config/source.h"

enum { CONFIG_HOSTS_MAX = 256, CONFIG_WORKLOADS_MAX = 63, CONFIG_NAME_MAX = 63 };

#define CONFIG_DEFAULT_PATH "/etc/pgtandem/pgtandem.yaml"

struct diag;
struct contents;
struct overlay;
struct hba;
struct ident;
struct userlist;

/* Settings as one level of the file gives them. */
struct config_level {
	struct settings values;
	uint64_t given;                 /* bit of enum option_setting: it is said here */
};

struct config_host {
	char *name;
	struct host_options options;
	struct config_place *places;        /* options.host, read: as many */
	char *own_password;             /* of options, else of users or auth_file; "" if none */
	struct config_password source;  /* ... and where from, to be read again */
	bool is_asked_for_users;        /* by auth_query, of some database */
	uint32_t budget;                /* connection_budget; the sum of the floors where
					   it is auto: until PostgreSQL has told */
};

/* A workload's part of one host's budget, computed. */
struct config_share {
	struct share_options given;     /* of workloads.W.hosts.H, else of the workload */
	bool is_used;                   /* the workload has a database on that host */
	uint32_t guaranteed;            /* 0 unless is_used */
	uint32_t max;                   /* guaranteed <= max <= budget */
};

struct config_workload {
	char *name;
	struct workload_options options;
	struct share_options share;     /* as written, OPTION_AUTO where unset */
	struct config_level level;
	uint32_t max_client_conn;       /* that of process where the file says 0 */
	struct config_share *shares;    /* one for each of config->hosts */
};

struct config_database {
	struct hash_node node;
	char *name;                     /* "*": all names without an entry */
	struct database_options options;
	struct config_level level;
	struct config_password source;
	size_t host;                    /* index in config->hosts */
};

struct config_user {
	struct hash_node node;
	char *name;
	struct user_options options;
	struct config_level level;
};

/* Secrets of users, and those of them that are SCRAM's, with the number of iterations
 * that most of these have; 0: there are none. */
struct config_secrets {
	size_t all;
	size_t scram;
	uint32_t iterations;
};

/* Where an option is given: "hosts.main.port" in line 3; line 0: on the console. */
struct config_place_of {
	char *path;
	uint32_t line;
};

struct config {
	_Atomic uint32_t refs;
	char *path;
	struct process_options process;
	struct auth_options auth;
	struct admin_options admin;
	struct config_level admin_level;        /* TLS of admin.listen */
	struct http_options http;
	char *http_token;               /* of token_file; NULL: none */
	char *http_password;            /* of password_file; NULL: none */
	struct log_options log;
	struct config_level defaults;           /* values has every setting */
	struct config_host *hosts;
	size_t host_count;
	struct config_workload *workloads;
	size_t workload_count;
	struct config_database *databases;
	size_t database_count;
	struct config_user *users;
	size_t user_count;
	struct config_database *wildcard;       /* the one named "*", or NULL */
	struct hash_table database_names;
	struct hash_table user_names;
	struct userlist *userlist;              /* of auth_file, or NULL */
	struct config_secrets secrets;          /* of users and auth_file */
	struct hba *hba;                        /* of auth_hba_file, or NULL */
	struct ident *ident;                    /* of auth_ident_file, or NULL */
	struct option_list warnings;            /* for the caller to log */
	struct config_place_of *places;         /* of what is given, by path */
	size_t place_count;
	struct contents *contents;              /* of files that options name */
};

/* Reads and checks the file and those that it names, relative ones from its directory.
 * Returns it with one reference, or NULL with diag filled. */
struct config *config_load(const char *path, struct diag *);

/* The same, with settings of the console laid over what the file says. */
struct config *config_load_with(const char *path, const struct overlay *, struct diag *);

/* The same from memory; path is for messages, no other file is opened. */
struct config *config_load_memory(const char *text, size_t len, const char *path, struct diag *);

struct config *config_ref(struct config *);
void config_unref(struct config *);             /* accepts NULL */

/* Where that option is given; NULL: nowhere, it has its default. */
const struct config_place_of *config_find_place(const struct config *, const char *path);

/* A file that the configuration names; a relative name is relative to its own.  What
 * malloc gave, or NULL. */
char *config_file_path(const struct config *, const char *name);

/* -errno with diag filled when it cannot be read, or is no file, with the option's name. */
NODISCARD int config_check_readable(const struct config *, const char *option,
	const char *path, struct diag *);

/* The file that is read when none is named. */
const char *config_default_path(void);

/* Its budget is what PostgreSQL allows. */
static inline bool config_host_is_auto(const struct config_host *host)
{
	return host->options.connection_budget == OPTION_AUTO;
}

/* The query for users of that database (NULL: one that is not known) and the database
 * that it runs in, "" for the host's; NULL: there is none. */
const char *config_auth_query(const struct config *, const struct config_database *,
	const char **dbname);

/* The entry for a database that a client asks for: its own, else "*", else NULL. */
const struct config_database *config_find_database(const struct config *, const char *name);

/* The name of the database in PostgreSQL: dbname, or what was asked for. */
const char *config_dbname(const struct config_database *, const char *asked);

/* Whether clients of a workload may ask for that name. */
bool config_workload_allows(const struct config_workload *, const char *database);

const struct config_user *config_find_user(const struct config *, const char *name);
/* Is it in users, or in auth_file? */
bool config_knows_user(const struct config *, const char *name);
const struct config_host *config_find_host(const struct config *, const char *name);
const struct config_workload *config_find_workload(const struct config *, const char *name);

/* What a user's login is checked against: of users, else of auth_file, else NULL.
 * A password, "md5..." or "SCRAM-SHA-256$...".  Valid while the config is held. */
const char *config_secret(const struct config *, const char *user);

/* All settings for a client: user before database before workload before defaults.
 * Any of the three may be NULL.  Text and lists in *out belong to the config. */
void config_resolve(const struct config *, const struct config_workload *,
	const struct config_database *, const char *user, struct settings *out);

/* Those for the ports of admin.listen: its own before defaults. */
void config_resolve_console(const struct config *, struct settings *out);

/* Whether the console knows the user, and may change things. */
bool config_is_admin(const struct config *, const char *user);
bool config_is_stats(const struct config *, const char *user);

#endif
