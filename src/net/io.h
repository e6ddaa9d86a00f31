/* SPDX-License-Identifier: ISC */
/*
 * The event loop: one per worker, on io_uring or on epoll.
 *
 * Nothing above this header knows which engine runs.  The interface is shaped
 * like completions ("these bytes have arrived"), which io_uring gives and epoll
 * emulates.  Size: tasks, sockets and listeners are one loop's.
 *
 * Owns:    the ring or the epoll set, receive buffers, the wake-up descriptor,
 *          and the descriptors that were attached to it.
 * Thread:  the worker that created it; io_wake() alone may be called by any.
 * Life:    an io_conn is embedded in its owner.  The kernel never holds memory
 *          of an owner: it receives into buffers of the loop, and requests
 *          carry slot and generation, never a pointer.  So io_conn_close() is
 *          final at once: no callback comes after it, and the owner may free
 *          the memory when no callback of its own is on the stack.
 */
#ifndef NET_IO_H
#define NET_IO_H

#include <sys/types.h>
#include <sys/uio.h>

#include "base/base.h"
#include "base/list.h"

struct io;
struct io_conn;
struct io_listener;
struct io_task;

enum io_backend { IO_BACKEND_AUTO, IO_BACKEND_URING, IO_BACKEND_EPOLL };

struct io_options {
	enum io_backend backend;        /* AUTO was resolved by io_probe() */
	uint32_t sq_entries;            /* 0: default; tests use tiny rings */
	uint32_t cq_entries;
	uint32_t small_buffers;         /* 0: default; count, a power of two */
	uint32_t large_buffers;
	bool legacy;                    /* behave as on kernels before 6.10 */
	bool alone;                     /* what is detached comes back to this loop only */
	void (*on_wake)(struct io *, void *arg); /* runs in the loop after io_wake() */
	void *arg;
};

/* Finds out, once and before any worker starts, whether io_uring works here:
 * set-up, needed operations, and a self-test on a socket pair.  Returns the
 * engine to use for "wanted", or a negative errno when io_uring was demanded
 * and cannot be had.  why receives a sentence with cause and cure (sysctl,
 * seccomp, memlock, old kernel), or the empty string when there is nothing to
 * say. */
NODISCARD int io_probe(enum io_backend wanted, char *why, size_t why_size);

/* Returns 0 or -errno; to be called by the thread that will run the loop. */
NODISCARD int io_create(struct io **, const struct io_options *);
void io_destroy(struct io **);          /* closes what is still attached */

const char *io_backend_name(const struct io *);   /* "io_uring" or "epoll" */

/* Whether each receive of all connections is a request of its own (io_uring before Linux
 * 6.10): an end that came right behind the last data is not known when a connection is
 * detached.  Otherwise that is so for unix sockets, and for servers with several workers. */
bool io_is_single(const struct io *);

/* One turn: waits until something happened or until_us (monotonic; 0: do not
 * wait, UINT64_MAX: no limit), dispatches events, runs the wake-up callback,
 * then deferred tasks, then flushes.  Returns 0, or -errno when the loop cannot
 * go on. */
NODISCARD int io_turn(struct io *, uint64_t until_us);

/* The clock as read once in this turn, after the wait. */
uint64_t io_now_us(const struct io *);

/* Makes the loop run on_wake() soon.  Any thread, but not while the loop is being
 * destroyed.  Cheap when the loop is awake: no system call then. */
void io_wake(struct io *);

/*
 * Deferred work.  RUN tasks run after the events of the turn; what they defer
 * in turn runs in the next one, which then does not wait.  FLUSH tasks run last.
 * Deferring a task that is already on a list does nothing.
 */
enum io_phase { IO_PHASE_RUN, IO_PHASE_FLUSH };

typedef void io_task_f(struct io_task *);

struct io_task {
	struct list_node node;
	io_task_f *run;
};

void io_task_init(struct io_task *, io_task_f *run);
void io_defer(struct io *, struct io_task *, enum io_phase);
void io_task_cancel(struct io_task *);

/* --- connected sockets ------------------------------------------------------ */

struct io_conn_ops {
	/* Bytes arrived; valid until the function returns, which may wipe them: they are the
	 * loop's, and nobody else looks at them after that.  May come once or a few
	 * times more after io_conn_rx_stop(): what the kernel already had. */
	void (*on_data)(struct io_conn *, const uint8_t *data, size_t len);
	/* The peer is gone: 0 for an orderly end, else -errno.  Comes once, and
	 * on_data() never after it.  The descriptor stays until io_conn_close(). */
	void (*on_end)(struct io_conn *, int error);
	/* Answers io_conn_tx_wait(): the socket takes bytes, or has an error. */
	void (*on_writable)(struct io_conn *);
	/* Answers io_conn_quiesce() when that returned false. */
	void (*on_quiet)(struct io_conn *);
	/* Answers io_conn_send_later(): as io_conn_send() would have done.  May not
	 * close or detach any conn, nor send. */
	void (*on_sent)(struct io_conn *, ssize_t n);
};

struct io_conn {
	struct io *io;                  /* NULL while detached */
	struct io *place;               /* detached: the loop that it comes back to, or NULL */
	const struct io_conn_ops *ops;
	int fd;                         /* of no meaning while detached */
	uint32_t slot;                  /* the rest belongs to the engine */
	uint32_t gen;
	uint32_t flags;
	uint32_t full_reads;
	int end_error;
	struct list_node wish;          /* wants something else from the kernel */
	struct list_node report;        /* an on_end() or on_quiet() is due */
	struct list_node suspect;       /* its end may have been lost */
	uint64_t suspect_us;
};

void io_conn_init(struct io_conn *, const struct io_conn_ops *);

/* Takes over a connected or connecting, non-blocking descriptor.  Nothing is
 * armed.  Returns 0, or -errno (the descriptor is then still the caller's). */
NODISCARD int io_conn_attach(struct io *, struct io_conn *, int fd);

void io_conn_rx_start(struct io_conn *);
void io_conn_rx_stop(struct io_conn *);
void io_conn_tx_wait(struct io_conn *); /* one on_writable() */

/* A hint: the socket will stay with its loop and be read often and little at a
 * time, so the engine may keep one receive armed for many arrivals (TCP only).
 * More may then come after io_conn_rx_stop(), io_conn_quiesce() costs more, and
 * a reset right behind data may be reported a second late.  Kept until
 * io_conn_init(). */
void io_conn_rx_multishot(struct io_conn *, bool);

/* Stops everything the kernel still does for this socket.  True: it is quiet
 * now.  False: on_quiet() will come; on_data() or on_end() may come before. */
NODISCARD bool io_conn_quiesce(struct io_conn *);

/* Gives the descriptor back to the caller; the conn must be quiet.  It may then
 * be attached to another loop.
 *
 * A loop that is alone keeps a place for it, and what is armed there: to come back costs
 * nothing.  It does not come back (-ECONNRESET) if anything has arrived meanwhile, which is
 * lost.  Who does not come back is forgotten before the descriptor is closed. */
int io_conn_detach(struct io_conn *);
void io_conn_forget(struct io_conn *);
bool io_conn_is_spoilt(const struct io_conn *);         /* it will not come back */

/* send(2) or sendmsg(2), never blocking, never raising SIGPIPE.  Returns bytes taken by the
 * kernel (0 when it takes none now) or -errno. */
NODISCARD ssize_t io_conn_send(struct io_conn *, const struct iovec *, int count);

/* The same from within a FLUSH task, together with what others send so where the engine
 * can: on_sent() comes at once or when all tasks of the phase have run.  Until then the
 * bytes stay where they are, and nothing else is sent on this conn. */
void io_conn_send_later(struct io_conn *, const void *data, size_t len);

/* Ends it: the peer sees FIN (or RST if it sent more than was read), the
 * descriptor is closed, no callback follows.  Does nothing when detached. */
void io_conn_close(struct io_conn *);

/* --- listening sockets ------------------------------------------------------ */

/* fd is non-blocking, close-on-exec, and the callee's from here on. */
typedef void io_accept_f(struct io_listener *, int fd);

struct io_listener {
	struct io *io;
	io_accept_f *on_accept;
	void (*on_retired)(struct io_listener *);
	int fd;                         /* shared by all workers; not owned */
	uint32_t slot;
	uint32_t gen;
	uint32_t flags;
	uint64_t retry_us;              /* after EMFILE and the like */
	struct list_node node;
};

/* Several loops may listen on one descriptor: connections are spread evenly
 * because each asks for one at a time. */
NODISCARD int io_listener_start(struct io *, struct io_listener *, int fd,
	io_accept_f *);
void io_listener_stop(struct io_listener *);
/* Accepts no more, and loses nobody: on_accept() may come a few times more, for connections
 * of which nobody else may have heard, and then on_retired(), once; perhaps before this
 * returns.  Then follows io_listener_stop(). */
void io_listener_retire(struct io_listener *, void (*on_retired)(struct io_listener *));

/* Counters for SHOW and metrics, since io_create(). */
struct io_stats {
	uint64_t turns;
	uint64_t events;
	uint64_t rx_starved;            /* receive found no buffer */
	uint64_t cq_overflows;
	uint64_t stale_events;
	uint64_t accept_errors;
	uint32_t armed;                 /* requests that the kernel holds now */
};

void io_stats_read(const struct io *, struct io_stats *);

#endif
