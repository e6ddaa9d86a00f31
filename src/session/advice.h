/* SPDX-License-Identifier: ISC */
/*
 * Who does on a transaction port what belongs on a session port: counted by workload,
 * database, user and application_name, for SHOW ADVICE.
 *
 * Owns:   the counts.
 * Thread: any; a mutex, taken when a lease is pinned, refused or audited, never per
 *         query.
 * Limits: ADVICE_ENTRIES_MAX of them, and those who keep a server now; who was seen
 *         longest ago makes room.
 */
#ifndef SESSION_ADVICE_H
#define SESSION_ADVICE_H

#include <pthread.h>

#include "base/hash.h"
#include "base/list.h"
#include "route/directory.h"

enum { ADVICE_ENTRIES_MAX = 1000, ADVICE_NAME_SIZE = 64 };

enum advice_what { ADVICE_PINNED, ADVICE_REFUSED, ADVICE_FOUND, ADVICE_WHATS };

/* Names are cut to fit. */
struct advice_key {
	char workload[ADVICE_NAME_SIZE];
	char database[ADVICE_NAME_SIZE];
	char user[ADVICE_NAME_SIZE];
	char application[ADVICE_NAME_SIZE];
};

struct advice_use {
	uint64_t times[ADVICE_WHATS];
	uint64_t last_wall_us;
	uint32_t held;                  /* servers that are kept for it */
	uint64_t held_us;               /* ... and were, all together, until as_of_us */
	uint64_t as_of_us;
};

struct advice {
	pthread_mutex_t lock;
	struct hash_table table;
	struct list recent;             /* seen last first */
};

NODISCARD int advice_init(struct advice *);
void advice_finish(struct advice *);

void advice_key_make(struct advice_key *, const char *workload, const char *database,
	const char *user, const char *application);

/* kinds: bits of enum route_pin and enum route_kept; of the latter those that were refused,
 * and settings that were made out of sight. */
void advice_note(struct advice *, const struct advice_key *, uint32_t kinds,
	enum advice_what, uint64_t wall_us);

/* The line of who keeps a server, which stays until it is released.  NULL without memory. */
struct advice_hold *advice_hold(struct advice *, const struct advice_key *);
/* A server is kept for each of these kinds, or (change -1) is not any more.  now_us: of
 * clock_now_us(), or of a worker.  Accepts NULL. */
void advice_held(struct advice *, struct advice_hold *, uint32_t kinds, int change,
	uint64_t now_us);
void advice_release(struct advice *, struct advice_hold *);     /* accepts NULL */

/* Time that servers were kept for it, each by itself. */
uint64_t advice_held_us(const struct advice_use *, uint64_t now_us);

struct advice_entry {
	struct advice_key key;
	struct advice_use uses[ROUTE_KIND_COUNT];
};

/* Copies up to "most" of them, who was seen last first; returns how many. */
size_t advice_copy(struct advice *, struct advice_entry *out, size_t most);

#endif
