/* SPDX-License-Identifier: ISC */
/*
 * A directory made from the text of a configuration, clients that ask it for
 * routes, and servers in its pools.
 */
#ifndef TESTS_UNIT_ROUTE_WORLD_H
#define TESTS_UNIT_ROUTE_WORLD_H

#include <check.h>

#include "config/config.h"
#include "route/directory.h"

#define HOSTS \
	"hosts:\n" \
	"  main: { host: 127.0.0.1, connection_budget: 20 }\n" \
	"  other: { host: 127.0.0.2, connection_budget: 10 }\n"
#define WORKLOADS \
	"workloads:\n" \
	"  web: { listen: '*:6432', pool_mode: transaction }\n" \
	"  jobs: { listen: '*:6433', pool_mode: session }\n"
#define DATABASES "databases: { '*': { host: main } }\n"
#define USERS     "users: { anna: { password: a }, bert: { password: b } }\n"
#define PLAIN     HOSTS WORKLOADS DATABASES USERS

extern struct directory *directory;
extern _Atomic int world_sessions;      /* what the hooks made and did not free */

struct config *world_config(const char *text);
void world_begin(const char *text);
void world_end(void);

/* True: it was taken. */
bool world_try_reload(const char *text);
void world_reload(const char *text);

struct route_workload *world_workload(const char *name);
enum route_result world_ask(const char *workload, const char *database, const char *user,
	struct route **out);
/* One that must be there. */
struct route *world_route(const char *workload, const char *database, const char *user);
/* The same, given up at once: what it pointed to stays until the next sweep. */
struct route_pool *world_pool(const char *workload, const char *database,
	const char *user);

/* A client of the route gets a server, which is opened if need be. */
void world_hold(struct route *, struct lease *);
/* It gives it back; the server as it is now. */
struct pool_server *world_give_back(struct lease *);
/* All that is to be closed in the host's pools is closed; how many were. */
uint32_t world_close_retired(struct route_host *);
uint32_t world_pools(struct route_host *);

#endif
