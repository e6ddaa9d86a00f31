/* SPDX-License-Identifier: ISC */
/*
 * A client, the router's queue of exchanges, and a PostgreSQL (backend.h) that is
 * the oracle: after every event the queue is compared with what is so.
 *
 * The client sends what clients send, in any order and as far ahead as it likes,
 * with a few messages out of place; only while it knows that a COPY of its own is
 * to be fed does it mostly send data.
 */
#ifndef TESTS_UNIT_SESSION_WORLD_H
#define TESTS_UNIT_SESSION_WORLD_H

#include "backend.h"
#include "session/exchange.h"

enum { WORLD_SENT_MAX = 1024, WORLD_STORY_MAX = 4096 };

struct world {
	struct backend backend;
	struct exchange_queue q;
	uint32_t (*choose)(void *arg, uint32_t below);
	void *arg;
	uint64_t serial;
	uint8_t sent[WORLD_SENT_MAX];   /* types, by serial */
	uint32_t copies_owed;           /* data of COPYs that were sent ahead */
	bool has_barrier;
	bool client_is_gone;
	uint32_t doubts;
	const char *error;              /* what the queue got wrong */
	char story[WORLD_STORY_MAX];    /* what was sent and received */
	size_t story_len;
};

void world_begin(struct world *, uint32_t (*choose)(void *, uint32_t), void *arg);

/* One thing happens.  False when the story is over: the server said FATAL, or
 * the queue is wrong. */
bool world_step(struct world *);

/* The client leaves; the router ends what it began, and the server is heard to
 * the end. */
void world_end(struct world *);

#endif
