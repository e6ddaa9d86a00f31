/* SPDX-License-Identifier: ISC */
/*
 * What the files of the directory share.  Fields are under directory->lock but
 * where their comment says otherwise.
 */
#ifndef ROUTE_DIRECTORY_PRIV_H
#define ROUTE_DIRECTORY_PRIV_H

#include "config/config.h"
#include "route/directory.h"

/* Servers of one database entry or one user at one host. */
struct route_quota {
	struct hash_node node;
	struct route_host *host;
	char kind;                      /* 'd' or 'u' */
	char *name;
	uint32_t refs;                  /* slices */
	struct quota quota;             /* under the host's monitor */
};

struct directory {
	pthread_mutex_t lock;
	struct config *config;
	_Atomic uint64_t generation;
	uint32_t workers;
	struct directory_hooks hooks;
	struct route_host *hosts[DIRECTORY_HOSTS_MAX];
	_Atomic uint32_t host_count;    /* hosts below it stay: read without the lock */
	struct route_workload *workloads[BUDGET_SHARES_MAX];
	uint32_t workload_count;
	struct route_workload *own;     /* the router's; NULL: no host has needed it */
	struct route_workload *console; /* of admin.listen; NULL: that was never given */
	struct hash_table pools;
	struct list retired;            /* struct route_pool.in_retired */
	uint64_t gone[STAT_COUNT];      /* counted by databases that are forgotten */
	uint64_t paused_us;             /* all of it, since when; 0: it is not */
	uint32_t paused_count;          /* databases that are, by their own name */
	uint64_t holds_version;         /* grows when something is paused, resumed, disabled, enabled */
	struct hash_table databases;
	struct hash_table counters;
	uint64_t counters_known;
	struct hash_table users;
	struct hash_table quotas;
	struct hash_table codes;        /* struct route_code.node */
	struct list passwords;          /* struct route_password.in_directory */
};

/* host.c */
struct route_host *host_create(const struct config_host *, uint32_t index,
	uint32_t workers, struct diag *);
void host_destroy(struct route_host *);
/* What is known of it from before; conf NULL: nothing. */
struct host_past {
	const struct config_host *conf;
	const struct host_target *target;
};

/* Looks its places up: may block.  A place that does not resolve now keeps the
 * addresses that it had; diag then tells of it.  Returns 0, or -errno when a new
 * place does not resolve (the addresses of the others are in *out). */
NODISCARD int host_resolve(const struct config_host *, const struct host_past *,
	struct host_target *out, struct diag *);
void host_set_limits(struct route_host *, const struct config_host *, uint32_t budget);
/* Whether both name the same places. */
bool host_same_places(const struct config_host *, const struct config_host *);
/* True when servers of before are to go: they close when they are returned.
 * past_conf: what held until now, or NULL.  tls: taken over; NULL leaves it. */
bool host_apply(struct route_host *, const struct config_host *past_conf,
	const struct config_host *, const struct host_target *, struct route_tls *tls);

/* host_budget.c: what it may have now; its limits and shares are set to that. */
uint32_t host_budget(struct route_host *, const struct config_host *);
void host_budget_apply(struct directory *, struct route_host *);
/* It is another PostgreSQL from now on. */
void host_limits_forget(struct route_host *);
/* A budget that PostgreSQL is known not to have: -EINVAL. */
NODISCARD int host_budget_check(struct route_host *, const struct config_host *past_conf,
	const struct config_host *, struct diag *);

/* reload.c */
struct route_workload *reload_workload(struct directory *, const struct config_workload *);
/* What the file says of this workload now, or NULL. */
const struct config_workload *reload_conf(const struct directory *,
	const struct route_workload *);

/* pools.c: what there is for a name, made when there is nothing yet; NULL without
 * memory or room. */
struct route_pool *pools_find(struct directory *, const struct config_database *,
	const char *database, const char *user);
struct slice *pools_slice(struct directory *, const struct route_workload *,
	const struct config_workload *, const struct config_database *,
	struct route_pool *);
struct route_database *pools_database(struct directory *, const char *name);
struct route_user *pools_user(struct directory *, const char *name);

/* After a reload: pools take their new limits or are retired; those that are to be
 * kept open though nobody has asked are made. */
void pools_apply(struct directory *);
void pools_warm(struct directory *);
void pools_free_all(struct directory *);

/* code.c: with a reference; NULL without memory. */
struct route_code *code_find(struct directory *, const char *dbname);
void code_unref(struct directory *, struct route_code *);

/* counters.c: NULL without memory. */
struct route_counters *counters_find(struct directory *, struct route_workload *,
	struct route_database *, const char *user);
/* Those of a client that asked for the database by this name, if there are any. */
struct route_counters *counters_known(struct directory *, const struct route_workload *,
	const char *database, const char *user);
void counters_free(struct directory *, struct route_counters *);
/* Forgets those that nobody uses or has logged in with. */
void counters_sweep(struct directory *, struct route_database *);

/* hold.c: paused, or not any more, as the console and the file say now. */
void pools_hold(struct directory *, struct route_pool *);
void pools_hold_all(struct directory *);

/* route.c */
NODISCARD int route_limits_make(struct directory *, const struct config_workload *,
	const struct config_database *, const char *user, struct route_limits *);
void route_limits_free(struct route_limits *);
void pool_settings_apply(struct directory *, const struct config_workload *,
	const struct config_database *, struct route_pool *, struct slice *);

/* The log: a host is elsewhere now than it "had" been. */
void host_tell_moved(struct route_host *, const struct host_target *had);

#endif
