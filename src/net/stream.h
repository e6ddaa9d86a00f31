/* SPDX-License-Identifier: ISC */
/*
 * A byte stream over a socket: what the two session machines read and write.
 *
 * Receiving: on_data() gets bytes where they arrived and says how many it has
 * consumed; the rest is kept ("held") and offered again in front of what comes
 * next.  A stream that holds nothing and sends nothing owns no buffer.
 *
 * Sending: stream_send() collects what is sent within one turn of the loop and
 * hands it to the kernel once, at the end of the turn; what fills more than a
 * chunk goes at once.  What the kernel does not take is the backlog: the
 * sender's source should be paused while stream_is_congested().
 *
 * TLS sits between this interface and io_conn, from stream_start_tls() on; what
 * an owner reads and sends is the same with it and without.
 *
 * Owns:   its io_conn and so the descriptor, the held bytes, the backlog.
 * Thread: the worker whose loop it is attached to.
 * Limits: a worker takes one step of a handshake in each turn of its loop; what costs
 *         a lot of it goes to the pool's helper, if there is one.
 *         held bytes stop the socket from being read beyond held_max; the
 *         backlog is bounded by the owner's pausing of its source.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "base/buf.h"
#include "net/io.h"

enum {
	STREAM_CHUNK = 4096,                    /* coalesced within a turn */
	STREAM_HELD_MAX = 64 * 1024,            /* default of held_max */
	STREAM_BACKLOG_HIGH = 16 * 1024,        /* little, as it is copied: congested above ... */
	STREAM_BACKLOG_LOW = 8 * 1024           /* ... until below */
};

struct stream;
struct stream_handshake;
struct stream_pool;
struct stream_step;
struct tls;
struct tls_context;

struct stream_ops {
	/* Returns how many of the bytes it has taken.  May pause, send on or close
	 * this and any other stream. */
	size_t (*on_data)(struct stream *, const uint8_t *data, size_t len);
	/* The peer is gone: 0 for an orderly end, else -errno.  Once; held bytes
	 * have been offered before. */
	void (*on_end)(struct stream *, int error);
	/* The backlog fell below STREAM_BACKLOG_LOW after being congested; or all of it is
	 * lost, where the end was told before. */
	void (*on_drained)(struct stream *);
	/* Answers a tx wait for connecting sockets: see stream_connect_wait(). */
	void (*on_connected)(struct stream *, int error);
	/* Answers stream_quiesce() when that returned false: ask again. */
	void (*on_quiet)(struct stream *);
	/* Answers stream_start_tls(): it is agreed upon.  Where it fails on_end() comes
	 * with -EPROTO, and stream_tls_error() says why.  May be NULL where none is
	 * started. */
	void (*on_secure)(struct stream *);
};

struct stream {
	struct io_conn conn;
	const struct stream_ops *ops;
	struct stream_pool *pool;       /* chunks; the worker's */
	struct io_task flush;
	struct io_task again;           /* offers held bytes anew */
	struct buf held;
	struct buf backlog;
	struct tls *tls;                /* NULL: plain text */
	struct stream_handshake *handshake;     /* while there is one */
	uint8_t *chunk;                 /* collected in this turn, or NULL */
	uint32_t chunk_len;
	uint32_t held_max;
	uint32_t flags;
	uint32_t epoch;                 /* counts attachments */
	int end_error;
	uint64_t rx_bytes;              /* since stream_attach() of a new descriptor */
	uint64_t tx_bytes;
};

/* Chunks for coalescing, kept by the worker and used by all its streams. */
struct stream_pool *stream_pool_create(void);
void stream_pool_destroy(struct stream_pool **);

/* Holds all streams of the pool: what they have sent goes out, nothing more is read or
 * offered to an owner, until the pool goes on and stream_hold_changed() has been called
 * for each of them.  Those that are exempt go on as ever. */
void stream_pool_hold(struct stream_pool *, bool);
void stream_hold_changed(struct stream *);
void stream_exempt(struct stream *, bool);      /* since stream_attach() */
bool stream_is_held(const struct stream *);

/* What of a handshake takes long is done by somebody else, in another thread: see
 * tls_park().  Meanwhile the stream may end or be closed. */
struct stream_helper {
	/* stream_step_run() is to be called by some thread, then stream_step_done() by
	 * the stream's own; or stream_step_drop(), by any, where that is not to be any
	 * more.  Returns what withdraw() is to know it by; NULL: there is no room. */
	void *(*start)(void *arg, struct stream *, struct stream_step *);
	/* It is not wanted any more.  True: stream_step_drop() was called.  False: one of
	 * the two comes, or came. */
	bool (*withdraw)(void *arg, void *started);
	void *arg;
};

/* Before the first handshake.  The helper outlives all streams of the pool. */
void stream_pool_set_helper(struct stream_pool *, const struct stream_helper *);
void stream_step_run(struct stream_step *);
/* Not having been run: there was no room for it, and its handshake fails. */
void stream_step_done(struct stream_step *);
void stream_step_drop(struct stream_step *);

void stream_init(struct stream *, const struct stream_ops *);

/* From here on (or not any more): what comes in is wiped where it was as soon as the owner
 * has taken it, and what goes out as soon as it has gone.  Since stream_attach(). */
void stream_set_secret(struct stream *, bool);

/* Takes over fd, reading not started.  Returns 0 or -errno (fd then stays the
 * caller's). */
NODISCARD int stream_attach(struct stream *, struct io *, struct stream_pool *, int fd);

/* For a descriptor on which connect(2) answered EINPROGRESS: on_connected()
 * comes with 0 or -errno. */
void stream_connect_wait(struct stream *);

/* Reading.  resume() offers held bytes again (from the loop, not from within
 * this call) and reads on; pause() stops.  Both may be called at any time, more
 * than once. */
void stream_resume(struct stream *);
void stream_pause(struct stream *);

/* Offers held bytes again, from the loop, also while paused for reading. */
void stream_retry(struct stream *);

/* The same at once.  Not from within on_data() of the same stream. */
void stream_offer(struct stream *);

/* Queues bytes; data need not outlive the call.  After an error of the socket
 * bytes are dropped: on_end() tells. */
void stream_send(struct stream *, const void *data, size_t len);
/* And empties it, leaving nothing of what is secret. */
void stream_send_buf(struct stream *, struct buf *);

bool stream_is_congested(const struct stream *);
bool stream_has_failed(const struct stream *);          /* what is sent is dropped */
size_t stream_unsent(const struct stream *);           /* bytes not with the kernel */
size_t stream_held(const struct stream *);

/* Hands over to the kernel now what is collected. */
void stream_flush(struct stream *);

/* The graceful end: sends what is queued, then FIN, discards what still arrives
 * (so that the peer is not reset before it has read our last words) and calls
 * on_end() when the peer has closed too.  on_data() does not come any more.
 * on_end() comes exactly once after this call, even if it came before; the time
 * that the peer may take is the owner's to limit. */
void stream_finish(struct stream *);

/* The immediate end: what was collected in this turn is offered to the kernel,
 * the backlog is dropped.  No callback follows.  Safe to call twice. */
void stream_close(struct stream *);

/* TLS begins: all that comes and goes from here on is part of it, as the context says
 * in the server's role or the client's (name: see tls_create()).  data: what has come
 * of it already.  From on_connected(), or from on_data() by an owner that then says
 * that it has taken all bytes; if it has not the stream breaks, as they came in front
 * of TLS.  What was sent before goes out plain; what is sent before on_secure() is
 * dropped.  Returns 0 or -errno: nothing has changed. */
NODISCARD int stream_start_tls(struct stream *, struct tls_context *, const char *name,
	const void *data, size_t len);

/* NULL: plain text, or not agreed upon yet.  See tls.h for what can be asked of it;
 * valid until the stream is closed. */
const struct tls *stream_tls(const struct stream *);

/* A step of its handshake is due, and waits for its turn or is taken elsewhere. */
bool stream_tls_is_due(const struct stream *);

/* "TLSv1.3/TLS_AES_256_GCM_SHA384", "" without TLS.  Returns to. */
const char *stream_tls_text(const struct stream *, char *to, size_t size);

/* Why TLS ended this stream, or "".  Valid until it is closed. */
const char *stream_tls_error(const struct stream *);

/* Moving to another worker: quiesce, then detach, then attach there.  A stream
 * with held or collected bytes is not to be moved; its backlog goes first. */
NODISCARD bool stream_quiesce(struct stream *);
int stream_detach(struct stream *);         /* TLS stays with the stream */
void stream_drop(struct stream *);          /* a detached one ends, its descriptor next */

static inline bool stream_is_open(const struct stream *s)
{
	return s->conn.io != NULL;
}

#endif
