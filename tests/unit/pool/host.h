/* SPDX-License-Identifier: ISC */
/*
 * A host with two workloads and three pools for the tests of the monitor, and
 * the few lines of session/ that carry its decisions out.
 *
 * "todo" holds what the last operation wants done.  monitor_check() runs after
 * each of them.
 */
#ifndef TESTS_UNIT_POOL_HOST_H
#define TESTS_UNIT_POOL_HOST_H

#include <check.h>

#include "pool/monitor.h"

enum { WEB, JOBS, SHARE_COUNT }; /* transient; lasting */
enum { POOL_A, POOL_B, POOL_C, POOL_COUNT };
enum { HOST_SERVERS = 64, MSEC = 1000, SEC = 1000000 };

struct host {
	struct monitor m;
	struct share shares[SHARE_COUNT];
	struct pool pools[POOL_COUNT];
	struct slice slices[POOL_COUNT][SHARE_COUNT];
	struct pool_server servers[HOST_SERVERS];
	uint32_t server_count;
	uint64_t now;
	struct monitor_actions todo;
};

extern struct host host;

/* Budget 4, 16 connects at once, first backoff 100 ms, no floors, no timeouts. */
void host_begin(void);
void host_end(void);
void host_limits(uint32_t budget, uint32_t connecting_max);
void host_share(int share, uint32_t guaranteed, uint32_t max);
struct slice *host_slice(int pool, int share);
void host_wait(uint64_t us);

enum lease_verdict ask(struct lease *, struct slice *);
void withdraw(struct lease *);
struct lease *inbox(uint32_t worker);

/* The first MONITOR_OPEN of todo, begun; NULL when there is none. */
struct pool_server *begin_open(void);
/* The server of the only MONITOR_CLOSE of todo, or NULL. */
struct pool_server *to_close(void);
uint32_t todo_count(enum monitor_verb);
void ready(struct pool_server *);
void refuse(struct pool_server *, enum connect_failure, const char *sqlstate);
void postpone(struct pool_server *);
void fetched(int pool, const char *sqlstate); /* NULL: it is there */
void give_back(struct pool_server *);
void gone(struct pool_server *);
bool upkeep(void);

/* The lease is HELD by a new connection; or the pool has one more idle one. */
struct pool_server *hold(struct lease *, struct slice *);
struct pool_server *idle_server(struct slice *);
/* The lease waits; nothing was opened or closed for it unless todo says so. */
void wait_in(struct lease *, struct slice *);

#endif
