/* SPDX-License-Identifier: ISC */
/*
 * A PostgreSQL session reduced to what decides when it says ReadyForQuery: the
 * message loop of PostgresMain(), SocketBackend() and CopyGetData() of
 * PostgreSQL 15.  Messages go in, replies come out; what a statement does is in
 * its message, and whether it fails is chosen as it runs.
 *
 * Everything random comes from one function, so that a generator of random
 * numbers and a fuzzer can both drive it.
 */
#ifndef TESTS_UNIT_SESSION_BACKEND_H
#define TESTS_UNIT_SESSION_BACKEND_H

#include "base/base.h"

enum {
	BACKEND_IN_MAX = 256,
	BACKEND_OUT_MAX = 256,
	BACKEND_STATEMENTS_MAX = 3
};

enum backend_plan {
	PLAN_ROWS,
	PLAN_COMMAND,
	PLAN_COPY_OUT,
	PLAN_COPY_IN
};

/* One message to the server. */
struct backend_message {
	uint8_t type;
	bool is_ours;                   /* the router's own */
	uint8_t statements;             /* of a Query */
	uint8_t plans[BACKEND_STATEMENTS_MAX];
	uint64_t serial;                /* 1, 2, 3 ... in the order of sending */
};

struct backend_reply {
	uint8_t type;
	char status;                    /* of ReadyForQuery */
	bool is_ours;                   /* answers the router's own message */
	bool ended_copy_in;             /* ErrorResponse that ended a COPY IN */
	uint64_t copy_from;             /* its data comes behind this message */
};

struct backend {
	uint32_t (*choose)(void *arg, uint32_t below);
	void *arg;
	struct backend_message in[BACKEND_IN_MAX];
	uint32_t in_first, in_count;
	struct backend_reply out[BACKEND_OUT_MAX];
	uint32_t out_first, out_count;
	struct backend_message now;     /* that is being carried out */
	uint64_t read_serial;           /* of the last message read */
	uint64_t copy_from;
	uint32_t statement;             /* the next of the Query */
	bool is_in_query;               /* a Query has statements left */
	bool is_copying;                /* reads COPY data */
	bool ignore_till_sync;
	bool has_begun;                 /* extended messages read, and no Sync since */
	bool is_lost;                   /* said FATAL */
	uint32_t error_one_in;          /* how rare errors are */
};

void backend_init(struct backend *, uint32_t (*choose)(void *, uint32_t), void *arg);

bool backend_has_room(const struct backend *);
void backend_send(struct backend *, const struct backend_message *);

/* Does one thing.  False when it waits for a message. */
bool backend_step(struct backend *);

/* The next reply, as it leaves the server. */
bool backend_take(struct backend *, struct backend_reply *);

/* Waits for a command, has skipped nothing and owes nothing; messages that it
 * will ignore may be unread. */
bool backend_is_idle(const struct backend *);

#endif
