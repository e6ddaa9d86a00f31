/* SPDX-License-Identifier: ISC */
/*
 * The loop on io_uring(7).
 *
 * Sockets are received into buffers of the ring, one receive armed per socket
 * at most; sends are plain sendmsg(2), which measured the same and needs no
 * memory to outlive the call.  A request carries operation, generation and slot
 * (io_priv.h), never a pointer, so a late event can always be told.
 *
 * An event without IORING_CQE_F_MORE is the last of its request whatever its
 * result: with a full completion queue a multishot receive ends with good data.
 *
 * Owns:   the ring and two sizes of receive buffers.
 * Thread: the one that created the ring; the kernel refuses others.
 * Limits: a full submission queue is submitted and filled again; an overflowing
 *         completion queue is kept by the kernel, counted and logged.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <liburing.h>

#include "base/clock.h"
#include "base/slog.h"
#include "net/io_bufs.h"
#include "net/io_priv.h"

enum {
	SQ_ENTRIES = 1024,
	CQ_ENTRIES = 8192,
	SMALL_COUNT = 2048,
	SMALL_SIZE = 4096,
	SMALL_WINDOW = 64,
	LARGE_COUNT = 64,
	LARGE_SIZE = 64 * 1024,
	LARGE_WINDOW = 4,
	FULL_READS = 2,                 /* then large buffers */
	SHORT_READS = 4,                /* then small ones again */
	REAP_BATCH = 64,
	CLOSE_PATIENCE_US = 1000000
};

/* Of kernel 6.10: it came with what makes multishot receives fair, and liburing
 * 2.3 does not know it. */
enum { FEAT_RECVSEND_BUNDLE = 1 << 14 };

enum op { OP_WAKE, OP_RECV_SMALL, OP_RECV_LARGE, OP_RECV_MULTI, OP_WRITABLE, OP_ACCEPT,
	OP_CANCEL };

enum { OP_SHIFT = 56 };

struct uring {
	struct io io;
	struct io_uring ring;
	struct io_bufs small;
	struct io_bufs large;
	struct list starved;            /* conns whose receive found no buffer */
	bool has_multishot;
	bool wake_armed;
};

struct event {
	uint64_t tag;
	int32_t res;
	uint32_t flags;
};

static struct uring *uring_of(struct io *io)
{
	return container_of(io, struct uring, io);
}

/* --- requests --------------------------------------------------------------- */

static struct io_uring_sqe *get_sqe(struct uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (sqe != NULL)
		return sqe;
	/* An error shows in the wait that follows. */
	(void)io_uring_submit(&u->ring);
	return io_uring_get_sqe(&u->ring);
}

/* Last, because the helpers that fill in a request clear the rest of it. */
static void mark(struct uring *u, struct io_uring_sqe *sqe, enum op op, uint64_t tag)
{
	io_uring_sqe_set_data64(sqe, ((uint64_t)op << OP_SHIFT) | tag);
	if (op != OP_CANCEL)
		u->io.stats.armed++;
}

/* The failures ("it has just finished") are no news either. */
static bool cancel(struct uring *u, enum op op, uint64_t tag)
{
	struct io_uring_sqe *sqe = get_sqe(u);

	if (sqe == NULL)
		return false;
	io_uring_prep_cancel64(sqe, ((uint64_t)op << OP_SHIFT) | tag, 0);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	mark(u, sqe, OP_CANCEL, 0);
	return true;
}

/* With what the receive that is armed was armed. */
static enum op armed_op(const struct io_conn *c)
{
	if (c->flags & IO_RX_MULTI)
		return OP_RECV_MULTI;
	return c->flags & IO_RX_IS_LARGE ? OP_RECV_LARGE : OP_RECV_SMALL;
}

static bool arm_recv(struct uring *u, struct io_conn *c)
{
	struct io_uring_sqe *sqe = get_sqe(u);

	if (sqe == NULL)
		return false;
	if (c->flags & IO_RX_LARGE)
		c->flags |= IO_RX_IS_LARGE;
	else if (c->flags & IO_MULTISHOT && u->has_multishot)
		c->flags |= IO_RX_MULTI;
	if (c->flags & IO_RX_MULTI)
		io_uring_prep_recv_multishot(sqe, c->fd, NULL, 0, 0);
	else
		io_uring_prep_recv(sqe, c->fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = c->flags & IO_RX_IS_LARGE ? u->large.group : u->small.group;
	/* Trying before waiting is a wasted try, and it wants a buffer. */
	if (!(c->flags & IO_RX_MORE))
		sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
	c->flags &= (uint16_t)~IO_RX_MORE;
	c->flags |= IO_RX_ARMED;
	mark(u, sqe, armed_op(c), io_conn_tag(c));
	return true;
}

static bool arm_writable(struct uring *u, struct io_conn *c)
{
	struct io_uring_sqe *sqe = get_sqe(u);

	if (sqe == NULL)
		return false;
	io_uring_prep_poll_add(sqe, c->fd, POLLOUT);
	mark(u, sqe, OP_WRITABLE, io_conn_tag(c));
	c->flags |= IO_TX_ARMED;
	return true;
}

static bool arm_accept(struct uring *u, struct io_listener *l)
{
	struct io_uring_sqe *sqe = get_sqe(u);

	if (sqe == NULL)
		return false;
	io_uring_prep_accept(sqe, l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	mark(u, sqe, OP_ACCEPT, io_listener_tag(l));
	l->flags |= IO_LISTENER_ARMED;
	return true;
}

/* Each write to the eventfd is an event; nobody has to read it. */
static void arm_wake(struct uring *u)
{
	struct io_uring_sqe *sqe = get_sqe(u);

	if (sqe == NULL)
		return;
	io_uring_prep_poll_multishot(sqe, u->io.wake_fd, POLLIN);
	mark(u, sqe, OP_WAKE, 0);
	u->wake_armed = true;
}

/* A request that the kernel has not seen yet names a descriptor that is about
 * to be closed, and perhaps to be used anew.  Happens only after a submission
 * that failed. */
static void defuse(struct uring *u, uint64_t tag)
{
	struct io_uring_sq *sq = &u->ring.sq;
	const uint64_t mask = (UINT64_C(1) << OP_SHIFT) - 1;

	if (io_uring_sq_ready(&u->ring) == 0)
		return;
	for (unsigned i = io_uring_smp_load_acquire(sq->khead); i != sq->sqe_tail; i++) {
		struct io_uring_sqe *sqe = &sq->sqes[i & sq->ring_mask];

		if (sqe->opcode == IORING_OP_ASYNC_CANCEL || (sqe->user_data & mask) != tag)
			continue;
		tag = sqe->user_data;
		io_uring_prep_nop(sqe);
		sqe->user_data = tag;
		tag &= mask;
	}
}

/* --- wishes ----------------------------------------------------------------- */

static bool apply_rx(struct uring *u, struct io_conn *c)
{
	bool unwanted;

	if (!(c->flags & IO_RX_ARMED))
		return !(c->flags & IO_RX_ON) || c->flags & IO_QUIESCING || arm_recv(u, c);
	unwanted = c->flags & IO_QUIESCING ||
		(c->flags & IO_RX_MULTI &&
			(c->flags & IO_RX_LARGE || !(c->flags & IO_RX_ON)));
	if (!unwanted || c->flags & IO_RX_CANCEL)
		return true;
	if (!cancel(u, armed_op(c), io_conn_tag(c)))
		return false;
	c->flags |= IO_RX_CANCEL;
	return true;
}

static bool apply_tx(struct uring *u, struct io_conn *c)
{
	if (!(c->flags & IO_TX_ARMED))
		return !(c->flags & IO_TX_WANT) || c->flags & IO_QUIESCING ||
			arm_writable(u, c);
	if (!(c->flags & IO_QUIESCING) || c->flags & IO_TX_CANCEL)
		return true;
	if (!cancel(u, OP_WRITABLE, io_conn_tag(c)))
		return false;
	c->flags |= IO_TX_CANCEL;
	return true;
}

/* At most one for each buffer on offer; who finds none comes back, behind the
 * others. */
static void feed_starved(struct uring *u)
{
	uint32_t most = u->small.offered;

	while (most-- > 0) {
		struct list_node *node = list_pop_front(&u->starved);

		if (node == NULL)
			return;
		list_push_back(&u->io.wishes, node);
	}
}

static void flush(struct io *io)
{
	struct uring *u = uring_of(io);
	struct list_node *node;

	io_bufs_offer(&u->small);
	io_bufs_offer(&u->large);
	feed_starved(u);
	if (!u->wake_armed)
		arm_wake(u);
	while ((node = list_first(&io->wishes)) != NULL) {
		struct io_conn *c = container_of(node, struct io_conn, wish);

		if (!apply_rx(u, c) || !apply_tx(u, c))
			return;
		list_remove(node);
	}
	while ((node = list_first(&io->listener_wishes)) != NULL) {
		if (!arm_accept(u, container_of(node, struct io_listener, node)))
			return;
		list_remove(node);
	}
}

/* Nothing to do: the conn is quiet. */
static void detach(struct io *io, struct io_conn *c)
{
	(void)io;
	(void)c;
}

/* close(2) alone would not end what is armed, nor send FIN while it lasts. */
static void close_conn(struct io *io, struct io_conn *c)
{
	if (c->flags & (IO_RX_ARMED | IO_TX_ARMED)) {
		defuse(uring_of(io), io_conn_tag(c));
		(void)shutdown(c->fd, SHUT_RDWR);       /* fails if the peer was first */
	}
	close(c->fd);
}

static void stop_listener(struct io *io, struct io_listener *l)
{
	struct uring *u = uring_of(io);

	if (!(l->flags & IO_LISTENER_ARMED))
		return;
	/* Without room for it the accept stays, and its connection is closed. */
	defuse(u, io_listener_tag(l));
	(void)cancel(u, OP_ACCEPT, io_listener_tag(l));
}

/* --- events ----------------------------------------------------------------- */

/* One that fills small buffers again and again gets large ones, and small ones
 * again after a few reads that did not need them. */
static void choose_size(struct io_conn *c, bool large, size_t len)
{
	if (!large) {
		c->full_reads = len == SMALL_SIZE ? (uint16_t)(c->full_reads + 1) : 0;
		if (c->full_reads < FULL_READS)
			return;
		c->flags |= IO_RX_LARGE;
		c->full_reads = SHORT_READS;
	} else if (len > SMALL_SIZE) {
		c->full_reads = SHORT_READS;
	} else if (c->full_reads > 1) {
		c->full_reads--;
	} else {
		c->flags &= (uint16_t)~IO_RX_LARGE;
		c->full_reads = 0;
	}
}

static void no_buffer(struct uring *u, struct io_conn *c, enum op op)
{
	u->io.stats.rx_starved++;
	if (op == OP_RECV_LARGE) {
		/* There may be small ones; and it will show again if it fills them. */
		io_bufs_starved(&u->large);
		c->flags &= (uint16_t)~IO_RX_LARGE;
		c->full_reads = 0;
		return;
	}
	io_bufs_starved(&u->small);
	if (c->flags & IO_RX_ON) {
		list_remove(&c->wish);
		list_push_back(&u->starved, &c->wish);
	}
}

static void recv_without_data(struct uring *u, struct io_conn *c, enum op op, int res)
{
	switch (-res) {
	case ENOBUFS:
	case ENOMEM:
		no_buffer(u, c, op);
		break;
	case ECANCELED:
	case EAGAIN:
	case EINTR:
		break;
	case EINVAL:
		if (op != OP_RECV_MULTI) {
			io_ended(&u->io, c, res);
			break;
		}
		u->has_multishot = false;
		break;
	default:
		io_ended(&u->io, c, res);
	}
}

/* What the end of a request, or what came with it, asks for next. */
static void after_recv(struct uring *u, struct io_conn *c)
{
	bool armed = c->flags & IO_RX_ARMED;
	bool on = c->flags & IO_RX_ON;

	if (!armed && on)
		io_wish(&u->io, c);
	else if (c->flags & IO_RX_MULTI && (!on || c->flags & IO_RX_LARGE))
		io_wish(&u->io, c);
	io_quiet_check(&u->io, c);
}

static void on_recv(struct uring *u, struct io_conn *c, const struct event *e, enum op op,
	const uint8_t *data)
{
	uint64_t tag = io_conn_tag(c);

	if (!(e->flags & IORING_CQE_F_MORE))
		c->flags &= (uint16_t)~(
			IO_RX_ARMED | IO_RX_MULTI | IO_RX_CANCEL | IO_RX_IS_LARGE);
	if (e->res > 0 && data != NULL) {
		if (e->flags & IORING_CQE_F_SOCK_NONEMPTY)
			c->flags |= IO_RX_MORE;
		choose_size(c, op == OP_RECV_LARGE, (size_t)e->res);
		c->ops->on_data(c, data, (size_t)e->res);
	} else {
		recv_without_data(u, c, op, e->res);
	}
	if (io_find(&u->io, tag, IO_SLOT_CONN) == c)
		after_recv(u, c);
}

static void on_recv_event(struct uring *u, const struct event *e, enum op op)
{
	struct io_bufs *bufs = op == OP_RECV_LARGE ? &u->large : &u->small;
	struct io_conn *c = io_find(&u->io, e->tag, IO_SLOT_CONN);
	uint16_t id = (uint16_t)(e->flags >> IORING_CQE_BUFFER_SHIFT);
	bool has_buffer = e->flags & IORING_CQE_F_BUFFER;
	const uint8_t *data = has_buffer ? io_bufs_take(bufs, id) : NULL;

	if (c != NULL)
		on_recv(u, c, e, op, data);
	else
		u->io.stats.stale_events++;
	if (has_buffer)
		io_bufs_put(bufs, id);
}

static void on_writable_event(struct uring *u, const struct event *e)
{
	struct io_conn *c = io_find(&u->io, e->tag, IO_SLOT_CONN);

	if (c == NULL) {
		u->io.stats.stale_events++;
		return;
	}
	c->flags &= (uint16_t)~(IO_TX_ARMED | IO_TX_CANCEL);
	if (c->flags & IO_TX_WANT && e->res == -ECANCELED) {
		io_wish(&u->io, c);
	} else if (c->flags & IO_TX_WANT) {
		c->flags &= (uint16_t)~IO_TX_WANT;
		c->ops->on_writable(c);
		if (io_find(&u->io, e->tag, IO_SLOT_CONN) != c)
			return;
	}
	io_quiet_check(&u->io, c);
}

static void on_accept_event(struct uring *u, const struct event *e)
{
	struct io_listener *l = io_find(&u->io, e->tag, IO_SLOT_LISTENER);

	if (l != NULL) {
		l->flags &= (uint16_t)~IO_LISTENER_ARMED;
		io_accepted(&u->io, l, e->res);
		return;
	}
	u->io.stats.stale_events++;
	if (e->res >= 0)
		close(e->res);
}

static void on_event(struct uring *u, const struct io_uring_cqe *cqe)
{
	enum op op = (enum op)(cqe->user_data >> OP_SHIFT);
	struct event e = { .tag = cqe->user_data & ((UINT64_C(1) << OP_SHIFT) - 1),
		.res = cqe->res, .flags = cqe->flags };

	if (op != OP_CANCEL && !(e.flags & IORING_CQE_F_MORE)) {
		assert(u->io.stats.armed > 0);
		u->io.stats.armed--;
	}
	switch (op) {
	case OP_WAKE:
		u->wake_armed = e.flags & IORING_CQE_F_MORE;
		break;
	case OP_RECV_SMALL:
	case OP_RECV_LARGE:
	case OP_RECV_MULTI:
		on_recv_event(u, &e, op);
		break;
	case OP_WRITABLE:
		on_writable_event(u, &e);
		break;
	case OP_ACCEPT:
		on_accept_event(u, &e);
		break;
	case OP_CANCEL:
		break;
	}
}

/* Events are copied and their places given back before any handler runs: the
 * queue has room again, and handlers may submit. */
static void dispatch(struct io *io)
{
	struct uring *u = uring_of(io);
	struct io_uring_cqe *ready[REAP_BATCH];
	struct io_uring_cqe batch[REAP_BATCH];
	unsigned left = io_uring_cq_ready(&u->ring);

	while (left > 0) {
		unsigned n = left < REAP_BATCH ? left : REAP_BATCH;

		n = io_uring_peek_batch_cqe(&u->ring, ready, n);
		if (n == 0)
			return;
		for (unsigned i = 0; i < n; i++)
			memcpy(&batch[i], ready[i], sizeof(batch[i]));
		io_uring_cq_advance(&u->ring, n);
		for (unsigned i = 0; i < n; i++)
			on_event(u, &batch[i]);
		io->stats.events += n;
		left -= n;
	}
}

/* --- waiting ---------------------------------------------------------------- */

static int enter(struct uring *u, uint64_t wait_us)
{
	struct __kernel_timespec ts = {
		.tv_sec = (int64_t)(wait_us / USEC_PER_SEC),
		.tv_nsec = (long long)(wait_us % USEC_PER_SEC * 1000),
	};
	struct io_uring_cqe *cqe;

	if (wait_us == 0 || io_uring_cq_ready(&u->ring) > 0)
		return io_uring_submit_and_get_events(&u->ring);
	return io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1,
		wait_us == UINT64_MAX ? NULL : &ts, NULL);
}

static int wait_events(struct io *io, uint64_t wait_us)
{
	struct uring *u = uring_of(io);
	int ret;

	if (io_uring_cq_has_overflow(&u->ring)) {
		io->stats.cq_overflows++;
		SLOG_LIMITED(WARN, "io-overflow", "entries=%u", u->ring.cq.ring_entries);
	}
	ret = enter(u, wait_us);
	switch (ret < 0 ? -ret : 0) {
	case 0:
	case ETIME:
	case EINTR:
		return 0;
	case EBUSY:     /* The completion queue is full: reap first. */
	case EAGAIN:    /* No memory for a request: it stays in the queue. */
		return 0;
	default:
		return ret;
	}
}

/* --- life ------------------------------------------------------------------- */

/* The flags of kernel 6.1 on, or what 5.19 has of them. */
static int open_ring(struct io_uring *ring, const struct io_options *o, bool *has_bundle)
{
	static const unsigned ladder[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN,
		IORING_SETUP_COOP_TASKRUN,
	};
	int ret = -EINVAL;

	for (size_t i = 0; i < COUNT_OF(ladder) && ret == -EINVAL; i++) {
		struct io_uring_params p = {
			.flags = ladder[i] | IORING_SETUP_SUBMIT_ALL |
				IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
			.cq_entries = o->cq_entries == 0 ? CQ_ENTRIES : o->cq_entries,
		};

		ret = io_uring_queue_init_params(
			o->sq_entries == 0 ? SQ_ENTRIES : o->sq_entries, ring, &p);
		*has_bundle = p.features & FEAT_RECVSEND_BUNDLE;
	}
	return ret;
}

static int open_buffers(struct uring *u, const struct io_options *o)
{
	int ret = io_bufs_open(&u->small, &u->ring, 1,
		o->small_buffers == 0 ? SMALL_COUNT : o->small_buffers, SMALL_SIZE,
		SMALL_WINDOW);

	if (ret < 0)
		return ret;
	return io_bufs_open(&u->large, &u->ring, 2,
		o->large_buffers == 0 ? LARGE_COUNT : o->large_buffers, LARGE_SIZE,
		LARGE_WINDOW);
}

static int open_loop(struct io **io, const struct io_options *options)
{
	struct uring *u = calloc(1, sizeof(*u));
	bool has_bundle;
	int ret;

	if (u == NULL)
		return -ENOMEM;
	ret = io_setup(&u->io, &io_uring_engine, options);
	if (ret < 0)
		goto fail_setup;
	ret = open_ring(&u->ring, options, &has_bundle);
	if (ret < 0)
		goto fail_ring;
	list_init(&u->starved);
	u->has_multishot = has_bundle && !options->legacy;
	ret = open_buffers(u, options);
	if (ret < 0)
		goto fail_buffers;
	/* Last, and not needed: some versions cannot register buffers after it. */
	(void)io_uring_register_ring_fd(&u->ring);
	*io = &u->io;
	return 0;

fail_buffers:
	io_uring_queue_exit(&u->ring);
	io_bufs_close(&u->large);
	io_bufs_close(&u->small);
fail_ring:
	io_teardown(&u->io);
fail_setup:
	free(u);
	return ret;
}

/* Everybody is detached; waits for the kernel to let go of the buffers.  False
 * if it did not. */
static bool drain(struct uring *u)
{
	uint64_t until_us = clock_now_us() + CLOSE_PATIENCE_US;
	bool asked = false;

	while (u->io.stats.armed > 0 && clock_now_us() < until_us) {
		struct io_uring_sqe *sqe = asked ? NULL : get_sqe(u);

		if (sqe != NULL) {
			io_uring_prep_cancel64(sqe, 0,
				IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
			mark(u, sqe, OP_CANCEL, 0);
			asked = true;
		}
		if (wait_events(&u->io, USEC_PER_MSEC * 10) < 0)
			break;
		dispatch(&u->io);
	}
	return u->io.stats.armed == 0;
}

static void close_loop(struct io *io)
{
	struct uring *u = uring_of(io);
	bool drained = drain(u);

	io_uring_queue_exit(&u->ring);
	/* What the kernel may still write to must not be used for anything else. */
	if (drained) {
		io_bufs_close(&u->large);
		io_bufs_close(&u->small);
	}
	io_teardown(io);
	free(u);
}

const struct io_engine io_uring_engine = {
	.name = "io_uring",
	.open = open_loop,
	.close = close_loop,
	.flush = flush,
	.wait = wait_events,
	.dispatch = dispatch,
	.detach = detach,
	.close_conn = close_conn,
	.stop_listener = stop_listener,
};
