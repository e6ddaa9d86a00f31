/* SPDX-License-Identifier: ISC */
/*
 * Size: what hosts, workloads, pools and routes are stands in one place.
 *
 * Where names become pools: which host, pool and limits belong to a client of
 * this workload who asks for that database as that user.
 *
 * Owns:   hosts with their monitors, workloads, pools, counters, and a reference
 *         to the current configuration.  Hosts, workloads and counters live as
 *         long as the directory; pools until nobody uses them; routes as long as
 *         somebody holds a reference.
 * Thread: any; one mutex, taken at logins, reloads and views, never per query.
 *         What a route points to is constant or has its own lock.
 * Limits: DIRECTORY_POOLS_MAX pools, BUDGET_SHARES_MAX workloads since start.
 */
#ifndef ROUTE_DIRECTORY_H
#define ROUTE_DIRECTORY_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/diag.h"
#include "base/hash.h"
#include "net/addr.h"
#include "net/ldap.h"
#include "pool/monitor.h"
#include "route/stats.h"
#include "route/tls.h"
#include "route/tally.h"
#include "route/times.h"

enum { DIRECTORY_POOLS_MAX = 10000, DIRECTORY_ADDRS_MAX = 32, DIRECTORY_HOSTS_MAX = 256 };

struct config;
struct directory;
struct route_password;

enum route_mode { ROUTE_TRANSACTION, ROUTE_SESSION, ROUTE_STATEMENT };

const char *route_mode_name(enum route_mode);

/* What a server must be to be used: target_session_attrs. */
enum route_target {
	ROUTE_TARGET_ANY,
	ROUTE_TARGET_READ_WRITE,
	ROUTE_TARGET_READ_ONLY,
	ROUTE_TARGET_PRIMARY,
	ROUTE_TARGET_STANDBY,
	ROUTE_TARGET_PREFER_STANDBY
};

const char *route_target_name(enum route_target);

/* Is a password sent to PostgreSQL in clear, where it asks for that? */
enum route_cleartext { ROUTE_CLEARTEXT_NEVER, ROUTE_CLEARTEXT_TLS, ROUTE_CLEARTEXT_ALWAYS };

/* How to reach a host; replaced as a whole when it changes. */
struct host_target {
	struct addr addrs[DIRECTORY_ADDRS_MAX];
	uint8_t places[DIRECTORY_ADDRS_MAX];            /* of hosts.H.host, for each */
	uint32_t addr_count;
	uint32_t first;                 /* try this one first */
	uint32_t generation;            /* changes when older servers are to go */
	uint32_t number;                /* changes when it is replaced, be it by the same */
	enum route_target wants;
	enum route_cleartext cleartext;
	struct sock_tcp tcp;
	uint64_t connect_timeout_us;
	uint64_t close_timeout_us;
};

/* Where a budget comes from. */
enum budget_source { BUDGET_FROM_FILE, BUDGET_FROM_SERVER, BUDGET_NOT_READ };

const char *budget_source_name(enum budget_source);

/* What PostgreSQL has said of itself, where the router has a login of its own. */
struct host_limits {
	enum budget_source source;
	bool is_known;                  /* what follows has been read */
	bool is_above;                  /* the budget is more than there is */
	bool is_crowded;                /* others leave less than the budget */
	uint32_t max_connections;
	uint32_t reserved;              /* of them, for superusers and the like */
	uint32_t others;                /* connections that are not this router's */
	char error[POOL_ERROR_TEXT_MAX];        /* of the last look; "" when it went well */
};

/* While several processes share what is configured: what this one may have of a budget. */
struct host_part {
	uint32_t elsewhere;     /* others have so much; of the rest ... */
	uint32_t most;          /* ... so much at most is for this one, UINT32_MAX: all */
	/* Where it only ends what was begun: of that, ... */
	uint32_t lasting;       /* ... for sessions, and */
	uint32_t pins;          /* ... more that may be pinned */
};

struct route_host {
	char *name;
	uint32_t index;
	struct monitor monitor;
	struct share shares[BUDGET_SHARES_MAX];         /* by workload->index */
	pthread_mutex_t lock;           /* of these; the monitor's is taken within it */
	struct host_target target;
	struct route_tls *tls;
	struct addr at;                 /* where the last login succeeded */
	bool is_somewhere;              /* at is known */
	_Atomic uint32_t cancels;                       /* connections that cancel */
	_Atomic uint32_t cancels_max;
	_Atomic uint32_t replications;
	_Atomic uint32_t replications_max;
	_Atomic uint64_t watch_us;                      /* between looks; 0: none */
	uint32_t budget;                                /* under the directory's lock */
	struct host_part part;          /* likewise */
	struct host_limits limits;                      /* under lock */
	uint64_t denied_told;                           /* route_host_tell_denied()'s */
	struct times_block *connects;                   /* logins to it; one a worker */
	struct tally_block *ends;                       /* enum server_end, likewise */
	_Atomic uint64_t password_fetches;              /* of files and commands, and ... */
	_Atomic uint64_t password_failures;             /* ... those that went wrong */
	_Atomic uint64_t cleartext_refusals;            /* it asked for one in clear */
	bool is_gone;                                   /* not configured any more */
};

/* A copy of how to reach it now. */
void route_host_target(struct route_host *, struct host_target *);
/* The same, and the TLS that goes with it, with a reference. */
struct route_tls *route_host_connect(struct route_host *, struct host_target *);
enum route_target route_host_wants(struct route_host *);
uint32_t route_host_generation(struct route_host *);
/* Whether this still is what holds. */
bool route_host_is_same(struct route_host *, const struct host_target *);

/* For views: which item of hosts.H.host it uses now. */
uint32_t route_host_place(struct route_host *);

/* This address did not answer, or what answered is not what is wanted: begin with
 * the next one. */
void route_host_failed(struct route_host *, const struct addr *);

/* A login that began with a target of this generation has come to its end at this
 * address; server is NULL for one outside the pools.  The generation that holds for
 * the server from now on, 0: none, it is not to be kept.  *moved: it was not the
 * address of those before, who all close when they are returned. */
uint32_t route_host_reached(struct route_host *, uint32_t generation,
	const struct addr *, struct pool_server *, bool *moved);

/* A server of this generation is not what is wanted any more: it and all others
 * close when they are returned.  False: that had been said before. */
bool route_host_unfit(struct route_host *, uint32_t generation);

/* A copy of what is known of its PostgreSQL. */
void route_host_limits(struct route_host *, struct host_limits *);

/* What is timed of the clients of a workload. */
enum workload_time {
	WORKLOAD_TIME_WAIT,             /* for a server */
	WORKLOAD_TIME_LOGIN,            /* from connecting to the welcome */
	WORKLOAD_TIME_TRANSACTION,
	WORKLOAD_TIME_QUERY,
	WORKLOAD_TIME_COUNT
};

/* What was found in a session when it was cleaned. */
enum route_cleaned {
	ROUTE_CLEANED_TEMP,
	ROUTE_CLEANED_CURSOR,
	ROUTE_CLEANED_LOCK,
	ROUTE_CLEANED_LISTEN,
	ROUTE_CLEANED_STATEMENTS,
	ROUTE_CLEANED_SETTINGS,
	ROUTE_CLEANED_UNKNOWN,          /* the server did not say */
	ROUTE_CLEANED_COUNT
};

struct route_workload {
	char *name;
	uint32_t index;
	enum route_mode mode;
	bool is_console;                /* of admin.listen: no database is served */
	_Atomic uint32_t clients;
	_Atomic uint32_t max_client_conn;
	_Atomic uint64_t login_timeout_us;
	_Atomic bool adds_host;         /* application_name_add_host */
	_Atomic bool has_proxies;                       /* see directory_is_proxy() */
	pthread_mutex_t lock;                           /* of tcp and tls */
	struct sock_tcp tcp;
	struct route_tls *tls;
	struct times_block *times;      /* WORKLOAD_TIME_COUNT for each worker */
	struct tally_block *tallies;    /* one for each worker */
	_Atomic uint64_t wait_timeouts;
	_Atomic uint64_t wait_refusals;
	_Atomic uint64_t cleanings;     /* sessions that were looked at and cleaned, and of */
	_Atomic uint64_t cleaned[ROUTE_CLEANED_COUNT];  /* these, in how many there was what */
	_Atomic uint64_t lends;         /* idle sessions that gave their server back */
	_Atomic uint64_t unseen;        /* servers closed as code may have left something */
	_Atomic uint64_t wait_timeout_at_us;            /* the last one; 0: none */
	uint64_t swept[STAT_COUNT];     /* of counters that are gone; the directory's lock */
	bool is_gone;
};

static inline struct times_block *route_workload_times(struct route_workload *w,
	uint32_t worker, enum workload_time what)
{
	return &w->times[worker * WORKLOAD_TIME_COUNT + (uint32_t)what];
}

/* A copy of the TCP settings for its clients. */
void route_workload_tcp(struct route_workload *, struct sock_tcp *);

/* Its TLS in force, with a reference; NULL before any was. */
struct route_tls *route_workload_tls(struct route_workload *);

/* Clients of a name at all workloads together. */
struct route_limit {
	_Atomic uint32_t clients;
	_Atomic uint32_t clients_max;                   /* 0: no limit */
};

/* A database by the name that clients use, or a user. */
struct route_database {
	struct hash_node node;
	_Atomic uint32_t refs;                          /* routes */
	char *name;
	struct list counters;                           /* struct route_counters */
	uint64_t swept[STAT_COUNT];                     /* of those that are gone */
	struct route_limit limit;
	uint64_t paused_us;                             /* since when; 0: it is not; under
							   the directory's lock */
	_Atomic bool is_disabled;                       /* lets nobody in */
};

struct route_user {
	struct hash_node node;
	_Atomic uint32_t refs;                          /* routes */
	_Atomic uint64_t removed_in;    /* generation in which it left the files; 0: never */
	char *name;
	struct route_limit limit;
};

/* What the clients of one workload count that asked for one database as one user. */
#define COUNTERS_UNKNOWN UINT64_MAX

struct route_counters {
	struct hash_node node;
	struct list_node in_database;
	_Atomic uint32_t refs;                          /* routes */
	uint64_t number;                                /* from 0, when somebody reads it
							   after the first login; or
							   COUNTERS_UNKNOWN */
	struct route_workload *workload;
	struct route_database *database;
	char *user;
	struct route *route;                            /* the last that was made, while
							   it lives; the directory's lock */
	struct stats_block *stats;                      /* one for each worker */
};

/* What pools of one database have in common, whatever their user. */
struct route_code {
	struct hash_node node;          /* with refs, under the directory's lock */
	uint32_t refs;
	_Atomic uint64_t runs;          /* of code that may have made more of it unseen */
	char dbname[];
};

struct route_pool {
	struct pool pool;               /* its slices are made when a workload needs them */
	struct hash_node node;
	struct list_node in_retired;    /* when a reload has made it obsolete */
	struct route_host *host;
	char *asked;                    /* the name that it was first asked for by */
	char *dbname;
	char *user;
	bool is_warm;                   /* kept for min_pool_size, clients or not */
	bool is_own;                    /* of the router's own login; no client's */
	bool is_given;                  /* clients are given this user by databases.D.user, and
					   nothing that opens PostgreSQL: what its namesake
					   proves is not for them */
	char *options;                  /* for the server's startup packet; or "" */
	char *password;                 /* secret text for the login, or "" */
	struct route_password *source;  /* where it comes from instead; NULL: nowhere */
	struct route_code *code;
	void *session;                  /* what session/ keeps with a pool */
};

/* What becomes of session state on a transaction port: see session_state in
 * include/options.def. */
enum route_state { ROUTE_STATE_STRICT, ROUTE_STATE_TRACKED, ROUTE_STATE_OFF };
/* Who hears of what belongs on a session port: see session_state_advice. */
enum route_advice { ROUTE_ADVICE_OFF, ROUTE_ADVICE_LOG, ROUTE_ADVICE_NOTICE };

/* What of a session only its server has. */
enum route_pin {
#define PIN(name, word, ends, text) ROUTE_PIN_##name,
#include "pins.def"
#undef PIN
	ROUTE_PIN_COUNT
};

/* What is kept without it; numbered behind what pins. */
enum route_kept {
	ROUTE_KEPT_BEGIN = ROUTE_PIN_COUNT - 1,
#define KEPT(name, word, text) ROUTE_KEPT_##name,
#include "kept.def"
#undef KEPT
	ROUTE_KIND_COUNT
};

/* Of how many leases that state may have been set in out of sight one is looked at. */
enum { ROUTE_AUDIT_SAMPLE = 16 };

/* Limits as values, for one client. */
struct route_limits {
	uint64_t query_wait_timeout_us;
	uint64_t query_wait_notify_us;
	uint64_t log_slow_wait_us;
	uint64_t log_slow_query_us;
	uint64_t log_slow_text;         /* most bytes of a text; 0: none */
	uint64_t query_timeout_us;
	uint64_t transaction_timeout_us;
	uint64_t idle_transaction_timeout_us;
	uint64_t client_idle_timeout_us;
	uint64_t idle_session_timeout_us;
	uint64_t idle_reclaim_us;       /* 0: idle sessions keep their servers */
	uint64_t cancel_wait_timeout_us;
	uint64_t server_check_delay_us;
	uint64_t statement_memory;      /* a client's; 0: no limit */
	uint32_t max_waiting;
	uint32_t max_prepared;          /* statements of a server */
	bool reuses_plans;              /* unnamed statements stand for shared ones */
	enum route_state state;         /* of sessions, on a transaction port */
	uint32_t pins_refused;          /* bit of enum route_pin, route_kept: not allowed */
	uint32_t audit_each;            /* one of so many leases; 0: none */
	bool keeps_unseen;              /* code is trusted to leave nothing */
	enum route_advice advice;
	bool wait_is_fatal;
	char *session_port;             /* where such things belong, for hints; "" */
	char *reset_query;
	char *check_query;
	char **ignored;                 /* startup parameters, NULL at the end */
};

/* All clients that asked for the same name as the same user share one. */
struct route {
	_Atomic uint32_t refs;
	_Atomic uint32_t clients;       /* among them: who got it from directory_find() */
	uint64_t generation;
	struct directory *directory;
	struct route_workload *workload;
	struct route_host *host;
	struct route_pool *pool;
	struct slice *slice;
	struct route_database *database;
	struct route_user *account;     /* of the client's user */
	struct route_counters *counters;
	char *user;                     /* the client's */
	struct route_limits limits;
};

enum route_result {
	ROUTE_OK,
	ROUTE_NO_DATABASE,              /* 3D000 */
	ROUTE_NOT_HERE,                 /* the workload does not serve it */
	ROUTE_FULL,                     /* too many pools */
	ROUTE_DATABASE_FULL,            /* max_db_client_connections */
	ROUTE_USER_FULL,                /* max_user_client_connections */
	ROUTE_NO_MEMORY
};

/* What session/ keeps with each pool. */
struct directory_hooks {
	void *(*pool_create)(struct route_pool *);      /* NULL: out of memory */
	void (*pool_destroy)(void *);
};

/* Returns 0, or -errno with diag filled.  Resolves the names of hosts: may
 * block. */
NODISCARD int directory_create(struct directory **, struct config *, uint32_t workers,
	const struct directory_hooks *, struct diag *);
void directory_destroy(struct directory **);

/* At the start, while the workers run: is some connection_budget more than PostgreSQL
 * has?  -EINVAL with diag filled: yes; -EAGAIN: some host has not answered yet. */
NODISCARD int directory_check_budgets(struct directory *, struct diag *);

/* Goes over to another configuration, all of it or (on error) nothing.  prepare finds out
 * what can be wrong with it, changes nothing, and may block; then follows one of the others,
 * which set *next to NULL.  commit fails where there is no memory, and nothing else. */
struct directory_next;
NODISCARD int directory_prepare(struct directory *, struct config *, struct directory_next **next,
	struct diag *);
NODISCARD int directory_commit(struct directory *, struct directory_next **next, struct diag *);
void directory_abandon(struct directory_next **next);   /* accepts NULL */

/* Changes with every reload: a route of another generation is to be asked for
 * again at the next idle point. */
uint64_t directory_generation(const struct directory *);

/* Before a login: may this database be asked for here? */
enum route_result directory_check(struct directory *, const struct route_workload *,
	const char *database);

/* After a login: for one client more, until route_leave(). */
NODISCARD enum route_result directory_find(struct directory *,
	struct route_workload *, const char *database, const char *user,
	struct route **out);
void route_leave(struct route *);               /* accepts NULL */

/* How long the client of a route may take by the configuration in force: the times of
 * the limits, and nothing else of them.  False: its database is gone, or no memory. */
NODISCARD bool route_times(const struct route *, struct route_limits *);
/* Does the configuration in force still have its database here, and its user? */
bool route_is_known(const struct route *);
/* The user has left the files since the route was found, if only for a while. */
bool route_user_is_removed(const struct route *);

/* Counts one more client in the limits of its database and user, until it is taken out
 * again; another route of the same names does for that, too.  ROUTE_DATABASE_FULL or
 * ROUTE_USER_FULL: there are enough. */
NODISCARD enum route_result route_count_client(struct route *);
void route_uncount_client(struct route *);

/* For those who are no clients: it stays, its pool need not. */
struct route *route_ref(struct route *);
void route_unref(struct route *);               /* accepts NULL */

/* --- the router's own connections ---------------------------------------------- */

/* A workload without a port, which no client can ask for. */
#define DIRECTORY_OWN_WORKLOAD "(router)"
/* That of admin.listen. */
#define DIRECTORY_CONSOLE_WORKLOAD "(console)"

/* The pool of the router's own login in a database of that host (NULL: the one that
 * the host names).  It stays until directory_own_done().  False: the host has no such
 * login, or there are too many pools. */
NODISCARD bool directory_own(struct directory *, struct route_host *, const char *dbname,
	struct slice **);
void directory_own_done(struct slice *);

void directory_share_budget(struct directory *, struct route_host *, const struct host_part *);
/* Whether what others have is not more than there is now. */
bool directory_budget_covers(struct directory *, struct route_host *);
/* Of all of them together; 0: PostgreSQL has not told yet. */
uint32_t directory_budget(struct directory *, struct route_host *);

/* PostgreSQL has told its limits, and how many connections are not ours: a budget of
 * auto follows, and what cannot be had is told in the log. */
void directory_set_budget(struct directory *, struct route_host *,
	uint32_t max_connections, uint32_t reserved, uint32_t others);
/* At the start: another process has been told these limits, by which a budget of auto goes until
 * this one is told. */
void directory_set_limits(struct directory *, struct route_host *, uint32_t max_connections,
	uint32_t reserved);
/* Says in the log how many connects it had no slot for since it was asked last.  One
 * thread. */
void route_host_tell_denied(struct route_host *);
/* It has not: what was known stays. */
void directory_budget_unread(struct directory *, struct route_host *,
	const struct pool_error *);

/* Do connections from there begin with a PROXY header? */
bool directory_is_proxy(struct directory *, struct route_workload *, const struct addr *);

/* How clients prove who they are. */
enum route_auth {
	ROUTE_AUTH_TRUST,
	ROUTE_AUTH_PASSWORD,
	ROUTE_AUTH_MD5,
	ROUTE_AUTH_SCRAM,
	ROUTE_AUTH_CERT,
	ROUTE_AUTH_PEER,
	ROUTE_AUTH_PAM,
	ROUTE_AUTH_LDAP,
	ROUTE_AUTH_REJECT,              /* a rule says so */
	ROUTE_AUTH_NO_RULE              /* none says anything */
};

/* What a client's certificate has to be, beside the method. */
enum route_cert { ROUTE_CERT_ANY, ROUTE_CERT_VALID, ROUTE_CERT_USER };

enum { ROUTE_ADMIN = 1, ROUTE_STATS = 2 };

/* Who wants to log in, and how they have come. */
struct route_login {
	const char *database;
	const char *user;
	bool is_physical;               /* replication that names no database */
	bool is_tls;
	bool is_console;                /* ... by whichever of its names */
	const struct addr *peer;
};

/* Where the secret of a user may be asked for; texts are those of the proof's config. */
struct route_lookup {
	struct route_host *host;        /* NULL: nowhere */
	const char *dbname;             /* NULL: the host's */
	const char *sql;
	uint64_t ttl_us;
	uint64_t negative_ttl_us;
};

/* What that takes. */
struct route_proof {
	enum route_auth method;
	enum route_cert cert;
	bool cert_dn;                   /* the whole name of the certificate counts */
	uint32_t line;                  /* of the rule; 0: there is none */
	char *secret;                   /* stored; NULL: the user is unknown */
	struct route_lookup lookup;     /* ... and may be asked for */
	size_t secrets, scram_secrets;  /* of the files; the latter among the former */
	uint32_t iterations;            /* of most of those, or as set; 0: not known */
	bool iterations_are_set;
	unsigned console;               /* rights, bits */
	const char *map;                /* for route_proof_allows() */
	const char *pam_service;        /* PAM */
	struct ldap_target ldap;        /* LDAP; texts are config's */
	struct config *config;
};

/* *out is to be given to route_proof_finish(). */
void directory_auth(struct directory *, const struct route_login *, struct route_proof *out);

/* May who is called so by the system or by a certificate log in as that user? */
bool route_proof_allows(const struct route_proof *, const char *system_user,
	const char *user);
void route_proof_finish(struct route_proof *);  /* wipes the secret */
/* What of it does not end with the client: all but the secret.  For _finish, too. */
void route_proof_share(const struct route_proof *, struct route_proof *out);

/* The current configuration, with a reference. */
struct config *directory_config(struct directory *);

/* The workload of that name in the current configuration, or NULL. */
struct route_workload *directory_current_workload(struct directory *, const char *name);
/* The one of admin.listen, or NULL. */
struct route_workload *directory_console(struct directory *);
struct route_workload *directory_workload(struct directory *, uint32_t index);
uint32_t directory_workload_count(struct directory *);
/* Without the lock: hosts stay as long as the directory. */
struct route_host *directory_host(struct directory *, uint32_t index);
struct route_host *directory_find_host(struct directory *, const char *name);
uint32_t directory_host_count(struct directory *);
uint32_t directory_workers(const struct directory *);

/* Calls f for each database that has been used, under the directory's lock.  gone, where
 * it is not NULL, gets what those have counted that are forgotten: at the same moment, so
 * that nothing is in both, or in neither. */
void directory_each_database(struct directory *,
	void (*f)(const struct route_database *, void *), void *arg,
	uint64_t gone[STAT_COUNT]);

/* The same for what is counted of each workload, database and user.  Names that nobody
 * has logged in with have no number: made-up ones use none up. */
void directory_each_counters(struct directory *,
	void (*f)(const struct route_counters *, void *), void *arg);
/* ... and what was counted by those who never logged in and are forgotten. */
void directory_swept(struct directory *, uint32_t workload, uint64_t out[STAT_COUNT]);

/* Everything that a database has counted.  Under the directory's lock. */
void route_database_sum(const struct route_database *, uint32_t workers,
	uint64_t out[STAT_COUNT]);

/* --- what the console holds back ------------------------------------------------ */

enum route_hold {
	ROUTE_HOLD_DONE,
	ROUTE_HOLD_ALREADY,             /* it was so before */
	ROUTE_HOLD_NO_DATABASE,
	ROUTE_HOLD_NO_MEMORY
};

/* Pauses the database that this name leads to, for all who ask for it by whatever
 * name, or (NULL) all; or ends that.  Each ends only what it has begun.  Stays over
 * reloads.  monitor_upkeep() of the hosts has to follow. */
enum route_hold directory_pause(struct directory *, const char *name, bool is_paused);
/* Nobody new gets in by this name. */
enum route_hold directory_disable(struct directory *, const char *name, bool is_disabled);

struct route_held {
	uint64_t paused_us;             /* since when; 0: it is not paused */
	bool is_disabled;
};

/* What holds for those who ask for this name; NULL: is all of it paused? */
void directory_held(struct directory *, const char *name, struct route_held *);

enum { ROUTE_PAUSE_NAME_MAX = 128 };

/* The pause that holds clients of a workload for longest. */
struct route_pause {
	uint64_t since_us;              /* 0: there is none */
	char name[ROUTE_PAUSE_NAME_MAX]; /* that RESUME is to be given; "": none */
};

void directory_pause_of(struct directory *, const struct route_workload *,
	struct route_pause *);

/* Of how many names something is held back; a pause of all of it is one more. */
struct route_holds {
	uint32_t paused;
	uint32_t disabled;
	uint64_t paused_us;             /* since when the first of them is; 0: none is */
};

void directory_holds_count(struct directory *, struct route_holds *);

/* For other processes: all that is paused and disabled, as text with zero bytes in it, and
 * which version that is; it grows with each change. */
uint64_t directory_holds_version(struct directory *);
uint64_t directory_holds_write(struct directory *, struct buf *);
/* Holds that, and nothing else; of what is not configured here, nothing.  monitor_upkeep()
 * has to follow. */
void directory_hold_as(struct directory *, const char *text, size_t len);
/* Has each pool that is paused no server left? */
bool directory_held_are_quiet(struct directory *);
/* Ends every pause.  False: there was none.  monitor_upkeep() has to follow. */
bool directory_resume_all(struct directory *);

/* Do those who ask for this name now get servers of the same database? */
bool directory_leads_to(struct directory *, const char *name, const struct route_pool *);
/* Calls f for each pool of that database (NULL: of all), the router's own excepted,
 * under the directory's lock. */
void directory_each_pool(struct directory *, const char *name,
	void (*f)(struct route_pool *, void *), void *arg);

/* Gives up pools that nobody has used for a while.  Once a minute or so. */
void directory_sweep(struct directory *);

#endif
