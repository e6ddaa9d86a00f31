/* SPDX-License-Identifier: ISC */
/*
 * The options of include/options.def as C structs, one for each place of the file.
 *
 * Owns:   text and lists belong to the struct that holds them (in what
 *         config_resolve() fills they belong to the config).
 * Thread: any; plain data.
 */
#ifndef CONFIG_FIELDS_H
#define CONFIG_FIELDS_H

#include "base/base.h"
#include "base/slog.h"

/* Words that an option may take. */
enum config_io_backend { CONFIG_IO_AUTO, CONFIG_IO_URING, CONFIG_IO_EPOLL };
enum config_pool_mode {
	CONFIG_POOL_TRANSACTION,
	CONFIG_POOL_SESSION,
	CONFIG_POOL_STATEMENT
};
enum config_wait_error { CONFIG_WAIT_ERROR, CONFIG_WAIT_FATAL };
enum config_session_state { CONFIG_STATE_STRICT, CONFIG_STATE_TRACKED, CONFIG_STATE_OFF };
enum config_state_policy { CONFIG_POLICY_PIN, CONFIG_POLICY_REFUSE };
enum config_kept_policy { CONFIG_KEPT_KEEP, CONFIG_KEPT_REFUSE };
enum config_session_unseen { CONFIG_UNSEEN_CLOSE, CONFIG_UNSEEN_KEEP };
enum config_session_advice { CONFIG_ADVICE_OFF, CONFIG_ADVICE_LOG, CONFIG_ADVICE_NOTICE };
enum config_session_audit { CONFIG_AUDIT_OFF, CONFIG_AUDIT_SAMPLED, CONFIG_AUDIT_ALWAYS };
enum config_auth_type {
	CONFIG_AUTH_TRUST,
	CONFIG_AUTH_PASSWORD,
	CONFIG_AUTH_MD5,
	CONFIG_AUTH_SCRAM,
	CONFIG_AUTH_HBA,
	CONFIG_AUTH_CERT,
	CONFIG_AUTH_PEER,
	CONFIG_AUTH_PAM,
	CONFIG_AUTH_LDAP
};

enum config_target {
	CONFIG_TARGET_ANY,
	CONFIG_TARGET_READ_WRITE,
	CONFIG_TARGET_READ_ONLY,
	CONFIG_TARGET_PRIMARY,
	CONFIG_TARGET_STANDBY,
	CONFIG_TARGET_PREFER_STANDBY
};

enum config_log_destination {
	CONFIG_LOG_STDERR,
	CONFIG_LOG_FILE,
	CONFIG_LOG_SYSLOG,
	CONFIG_LOG_JOURNALD
};
enum config_log_format { CONFIG_LOG_TEXT, CONFIG_LOG_JSON };
/* In the order of the words in option.c. */
enum config_log_facility {
	CONFIG_FACILITY_DAEMON,
	CONFIG_FACILITY_USER,
	CONFIG_FACILITY_AUTHPRIV,
	CONFIG_FACILITY_LOCAL0,
	CONFIG_FACILITY_LOCAL1,
	CONFIG_FACILITY_LOCAL2,
	CONFIG_FACILITY_LOCAL3,
	CONFIG_FACILITY_LOCAL4,
	CONFIG_FACILITY_LOCAL5,
	CONFIG_FACILITY_LOCAL6,
	CONFIG_FACILITY_LOCAL7
};
/* In the order of libpq: each is more than the one before. */
enum config_sslmode {
	CONFIG_SSL_DISABLE,
	CONFIG_SSL_ALLOW,
	CONFIG_SSL_PREFER,
	CONFIG_SSL_REQUIRE,
	CONFIG_SSL_VERIFY_CA,
	CONFIG_SSL_VERIFY_FULL
};
enum config_sslnegotiation { CONFIG_SSL_POSTGRES, CONFIG_SSL_DIRECT };
/* Is a password sent to PostgreSQL in clear? */
enum config_cleartext { CONFIG_CLEARTEXT_NEVER, CONFIG_CLEARTEXT_TLS, CONFIG_CLEARTEXT_ALWAYS };
enum config_tls_protocols { CONFIG_TLS_SECURE, CONFIG_TLS_1_2, CONFIG_TLS_1_3 };

struct option_list {
	char **items;
	size_t count;
};

/* Its items, too; it is empty then. */
void option_list_free(struct option_list *);

/* A COUNT of "auto". */
#define OPTION_AUTO UINT32_MAX

/* The field that an option becomes.  Text is never NULL; what is unset is "". */
#define OPTION_FIELD_U32(name)        uint32_t name;
#define OPTION_FIELD_COUNT(name)      uint32_t name;       /* or OPTION_AUTO */
#define OPTION_FIELD_MODE(name)       uint32_t name;
#define OPTION_FIELD_BOOL(name)       bool name;
#define OPTION_FIELD_DURATION(name)   uint64_t name##_us;
#define OPTION_FIELD_SIZE(name)       uint64_t name##_bytes;
#define OPTION_FIELD_TEXT(name)       char *name;
#define OPTION_FIELD_PATH(name)       char *name;
#define OPTION_FIELD_SECRET(name)     char *name;          /* wiped when freed */
#define OPTION_FIELD_LIST(name)       struct option_list name;
#define OPTION_FIELD_PATHS(name)      struct option_list name;
#define OPTION_FIELD_COMMAND(name)    struct option_list name;
#define OPTION_FIELD_IO_BACKEND(name) enum config_io_backend name;
#define OPTION_FIELD_POOL_MODE(name)  enum config_pool_mode name;
#define OPTION_FIELD_WAIT_ERROR(name) enum config_wait_error name;
#define OPTION_FIELD_SESSION_STATE(name) enum config_session_state name;
#define OPTION_FIELD_STATE_POLICY(name) enum config_state_policy name;
#define OPTION_FIELD_KEPT_POLICY(name) enum config_kept_policy name;
#define OPTION_FIELD_SESSION_AUDIT(name) enum config_session_audit name;
#define OPTION_FIELD_SESSION_UNSEEN(name) enum config_session_unseen name;
#define OPTION_FIELD_SESSION_ADVICE(name) enum config_session_advice name;
#define OPTION_FIELD_AUTH_TYPE(name)  enum config_auth_type name;
#define OPTION_FIELD_LOG_LEVEL(name)  enum slog_level name;
#define OPTION_FIELD_LOG_DESTINATION(name) enum config_log_destination name;
#define OPTION_FIELD_LOG_FORMAT(name) enum config_log_format name;
#define OPTION_FIELD_LOG_FACILITY(name) enum config_log_facility name;
#define OPTION_FIELD_TARGET(name)     enum config_target name;
#define OPTION_FIELD_SSLMODE(name)    enum config_sslmode name;
#define OPTION_FIELD_SSLNEGOTIATION(name) enum config_sslnegotiation name;
#define OPTION_FIELD_CLEARTEXT(name) enum config_cleartext name;
#define OPTION_FIELD_TLS_PROTOCOLS(name) enum config_tls_protocols name;

#define OPTION_FIELD(name, type, ...) OPTION_FIELD_##type(name)

/* One struct for each place of the file. */
struct process_options {
#define OPTION_PROCESS OPTION_FIELD
#include "options.def"
};

struct host_options {
#define OPTION_HOST OPTION_FIELD
#include "options.def"
};

struct workload_options {
#define OPTION_WORKLOAD OPTION_FIELD
#include "options.def"
};

struct share_options {
#define OPTION_SHARE OPTION_FIELD
#include "options.def"
};

struct database_options {
#define OPTION_DATABASE OPTION_FIELD
#include "options.def"
};

struct user_options {
#define OPTION_USER OPTION_FIELD
#include "options.def"
};

struct auth_options {
#define OPTION_AUTH OPTION_FIELD
#include "options.def"
};

struct admin_options {
#define OPTION_ADMIN OPTION_FIELD
#include "options.def"
};

struct http_options {
#define OPTION_HTTP OPTION_FIELD
#include "options.def"
};

struct log_options {
#define OPTION_LOG OPTION_FIELD
#include "options.def"
};

/* What may be said at several levels, resolved: see config_resolve(). */
struct settings {
#define OPTION_POOL OPTION_FIELD
#include "options.def"
};

/* A bit for each of struct settings. */
enum option_setting {
#define OPTION_POOL(name, ...) OPTION_SETTING_##name,
#include "options.def"
	OPTION_SETTING_COUNT
};

#endif
