/* SPDX-License-Identifier: ISC */
/*
 * What stream.c and stream_tls.c share.
 */
#ifndef NET_STREAM_PRIV_H
#define NET_STREAM_PRIV_H

#include "net/stream.h"
#include "net/tls.h"

enum stream_flags {
	STREAM_RESUMED = 1 << 0,        /* the owner wants to read */
	STREAM_READING = 1 << 1,        /* rx is on */
	STREAM_CONNECTING = 1 << 2,
	STREAM_CONGESTED = 1 << 3,
	STREAM_FRESH = 1 << 4,          /* held bytes that were never offered */
	STREAM_OFFER = 1 << 5,          /* offer them, paused or not */
	STREAM_ENDED = 1 << 6,          /* the peer is gone */
	STREAM_TOLD = 1 << 7,           /* ... and the owner knows */
	STREAM_FAILED = 1 << 8,         /* sending is over */
	STREAM_FINISHING = 1 << 9,
	STREAM_FIN_SENT = 1 << 10,
	STREAM_QUIESCING = 1 << 11,
	STREAM_EMPTYING = 1 << 12,      /* quiesce() waits for the backlog to go */
	STREAM_SHAKING = 1 << 13,       /* TLS has begun and is not agreed upon yet */
	STREAM_STEPPING = 1 << 14,      /* ... and a step of it is to be taken */
	STREAM_NOTIFIED = 1 << 15,      /* TLS: the peer knows that nothing follows */
	STREAM_EXEMPT = 1 << 16,        /* goes on while the pool is held */
	STREAM_DROPPED = 1 << 17,       /* a backlog that others wait for is lost */
	STREAM_SECRET = 1 << 18         /* passwords come or go */
};

/* Of a handshake, in another thread.  The connection belongs to it meanwhile. */
struct stream_step {
	struct stream_handshake *handshake;     /* to be looked at by the stream's thread */
	struct tls *tls;
	struct buf in, out;
	enum tls_result result;
	bool was_run;
};

struct stream_handshake;

struct stream_pool {
	struct chunk *free;
	uint32_t count;
	bool is_held;                   /* nobody reads */
	/* Of TLS: what goes out in this call, and what came in.  Made when the first
	 * stream needs them. */
	struct buf cipher;
	uint8_t *plain;
	struct tls_wire *wire;          /* of those that have shaken hands */
	struct list shaking;            /* handshakes that are to take a step */
	struct io_task shake;
	uint32_t shaking_count;
	const struct stream_helper *helper;     /* NULL: all is done here */
	struct list orphans;            /* handshakes of streams that were closed meanwhile */
};

/* --- stream.c -------------------------------------------------------------------- */

/* Plain bytes of the peer's, wiped where they are secret. */
void stream_deliver(struct stream *, const uint8_t *data, size_t len);

/* Bytes as the peer gets them; behind the backlog, if there is one. */
void stream_transmit(struct stream *, const uint8_t *data, size_t len);

/* Nothing more can be received or sent: the owner is told from the loop. */
void stream_break(struct stream *, int error);

/* The peer will send no more. */
void stream_ended(struct stream *, int error);

void stream_update_reading(struct stream *);

/* --- stream_tls.c ------------------------------------------------------------------ */

/* Bytes as the socket gave them. */
void stream_tls_receive(struct stream *, const uint8_t *data, size_t len);

/* Sends a, then b. */
void stream_tls_send(struct stream *, const uint8_t *a, size_t a_len, const uint8_t *b,
	size_t b_len);

/* Tells the peer that nothing follows, once. */
void stream_tls_end(struct stream *);

/* A step is taken elsewhere.  What comes meanwhile is kept, and the end is noticed: nothing
 * is to be computed for somebody who has gone. */
bool stream_tls_is_away(const struct stream *);

/* It is not to come about any more: stream_finish(). */
void stream_tls_stop(struct stream *);

/* Frees all that a stream has of TLS. */
void stream_tls_forget(struct stream *);

/* It has come to its pool, perhaps with TLS that another thread agreed upon. */
void stream_tls_attached(struct stream *);

NODISCARD bool stream_tls_pool_init(struct stream_pool *);      /* false: out of memory */
void stream_tls_pool_finish(struct stream_pool *);

#endif
