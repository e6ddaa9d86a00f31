/* SPDX-License-Identifier: ISC */
/*
 * One look at what metrics and health tell: copied first, so that both are made of
 * the same numbers, and those of SHOW.
 *
 * Nobody is asked for it: what workers count is atomic, what monitors know is copied
 * under their locks as SHOW BUDGET does.
 *
 * Owns:   its rows, and a reference to the configuration.
 * Thread: any.
 */
#ifndef HTTP_LOOK_H
#define HTTP_LOOK_H

#include "admin/snap.h"
#include "config/config.h"
#include "session/router.h"

enum health_level { HEALTH_OK, HEALTH_WARNING, HEALTH_CRITICAL, HEALTH_EMERGENCY };

const char *health_level_word(enum health_level);

/* What the console holds clients back by, and for how long. */
enum look_holder { LOOK_HOLDER_NONE, LOOK_HOLDER_PAUSE, LOOK_HOLDER_SUSPEND };

struct look_hold {
	enum look_holder by;
	uint64_t us;
	char name[ROUTE_PAUSE_NAME_MAX];        /* that RESUME is to be given; "": none */
};

/* A workload over all hosts. */
struct look_workload {
	const char *name;
	const char *mode;
	bool is_configured;
	bool is_alive;                  /* may have something, or has */
	uint32_t clients;
	uint32_t clients_max;
	uint32_t guaranteed;
	uint32_t max;
	uint32_t used;
	uint32_t leased;
	uint32_t idle;
	uint32_t borrowed;
	uint32_t waiting;
	uint64_t oldest_us;             /* since when the first one waits; 0: nobody */
	uint64_t wait_us;               /* ... and how long that is */
	enum wait_reason reason;        /* ... and what for */
	uint64_t lease_since_us;        /* the oldest lease; 0: there is none */
	uint64_t lease_us;              /* ... and how long that is */
	uint64_t query_wait_timeout_us;
	uint64_t wait_timeouts;
	uint64_t wait_refusals;
	uint64_t lends;
	uint64_t cleanings;
	uint64_t unseen;
	uint64_t wait_timeout_at_us;    /* the last one; 0: none */
	uint32_t tls_clients;
	uint64_t certificate_s;         /* when it ends, since 1970; 0: there is none */
	bool is_blocked;                /* on some host who waits can have nothing */
	struct look_hold hold;
	enum health_level level;
	struct times_sum times[WORKLOAD_TIME_COUNT];
};

struct look_host {
	const char *name;
	bool is_configured;
	bool is_up;
	struct snap_budget budget;
	struct host_limits limits;
	uint32_t cancels;
	uint32_t replications;
	uint64_t cleartext_refusals;
	uint64_t password_fetches;
	uint64_t password_failures;
	uint64_t certificate_s;
	struct times_sum connects;
	uint64_t ends[SERVER_END_COUNT];
	struct histogram *reclaims;     /* of budget.share_count workloads */
};

struct look {
	uint64_t now_us;
	struct config *config;
	struct look_workload workloads[BUDGET_SHARES_MAX];
	uint32_t workload_count;
	struct look_host *hosts;
	uint32_t host_count;
};

/* How long that is ago; 0: it is no time. */
static inline uint64_t look_age(const struct look *look, uint64_t since_us)
{
	return since_us != 0 && look->now_us > since_us ? look->now_us - since_us : 0;
}

/* Returns 0 or -ENOMEM, and nothing to finish then. */
NODISCARD int look_take(struct look *, const struct router *, uint64_t now_us);
void look_finish(struct look *);

/* Why clients should not be sent here; NULL: they should. */
const char *look_not_ready(const struct look *, int drain, bool has_started);

/* Pure: what the numbers of a workload mean. */
enum health_level look_level(const struct look_workload *, uint64_t now_us);

#endif
