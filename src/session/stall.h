/* SPDX-License-Identifier: ISC */
/*
 * Stalled leases: those in which the router waits for the client.
 *
 * While a workload below what it is guaranteed waits in vain, worker 0 asks every
 * worker to look through its leases; a borrowed one that has stalled for
 * reclaim_grace is ended (pool/monitor.h, monitor_end_stalled()).  Nothing is done
 * for this while bytes move: since when a lease stalls is told by the counters of
 * the client's stream, which one look remembers and a later one compares.
 *
 * PostgreSQL works on Execute before a Sync has come, and says so only when it is
 * asked to flush its answers.  So a lease that lacks its Sync is sent a Flush, which
 * has no answer of its own, and stalls once everything is answered.
 *
 * A client in the middle of a message stalls unless an exchange before that message
 * is under way; Execute without Sync does not count there, as no Flush can be sent.
 *
 * Owns:   nothing; the mark is embedded in the client.
 * Thread: the client's worker.
 * Limits: the longest first holds for the leases of one worker.
 */
#ifndef SESSION_STALL_H
#define SESSION_STALL_H

#include "session/exchange.h"

struct client;
struct router;
struct worker;

enum stall {
#define STALL(name, word, text) STALL_##name,
#include "stalls.def"
#undef STALL
	STALL_COUNT
};

/* What a look has left behind. */
struct stall_mark {
	enum stall stall;
	uint64_t bytes; /* moved until then, in the direction that counts */
	uint64_t since_us;
	uint64_t flushed_at; /* bytes received when a Flush was sent */
};

/* What decides. */
struct stall_facts {
	const struct exchange_queue *xq;
	bool is_unread;	 /* the server is stopped, as the client does not read */
	bool is_unsent;	 /* PostgreSQL has not taken all that the client sent */
	uint8_t message; /* type of the client's message that has begun, or 0 */
};

/* Pure. */
enum stall stall_judge(const struct stall_facts *);

/* SYNC: has PostgreSQL answered everything, as far as replies tell?  Pure. */
bool stall_is_answered(const struct exchange_queue *);

const char *stall_word(enum stall);

/* What the router waits for from this client and since when, as far as it was looked
 * at: the first look at what does not move begins the time.  NONE: for nothing. */
enum stall stall_look(struct client *, uint64_t now_us, uint64_t *since_us);

/* Makes every worker look at its leases soon. */
void stall_ask(struct router *);
void stall_init(struct worker *);

#endif
