/* SPDX-License-Identifier: ISC */
/*
 * The loop on io_uring(7).
 *
 * Sockets are received into buffers of the ring, one receive armed per socket
 * at most.  Requests are made in io_ring.c.
 *
 * An event without IORING_CQE_F_MORE is the last of its request whatever its
 * result: with a full completion queue a multishot receive ends with good data.
 *
 * Owns:   the ring and two sizes of receive buffers.
 * Thread: the one that created the ring; the kernel refuses others.
 * Limits: an overflowing completion queue is kept by the kernel, counted and
 *         logged.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/slog.h"
#include "net/io_ring.h"

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

/* liburing 2.3 does not know them.  The first is of kernel 6.10, which also made
 * multishot receives fair; the others are of 6.15: a loop that waits is then not
 * counted as waiting for a disk. */
enum {
	FEAT_RECVSEND_BUNDLE = 1 << 14,
	FEAT_NO_IOWAIT = 1 << 17,
	ENTER_NO_IOWAIT = 1 << 7
};

struct event {
	uint64_t tag;
	int32_t res;
	uint32_t flags;
};

/* --- events ----------------------------------------------------------------- */

/* One that fills small buffers again and again gets large ones, and small ones
 * again after a few reads that did not need them. */
static void choose_size(struct io_conn *c, bool large, size_t len)
{
	if (!large) {
		c->full_reads = len == SMALL_SIZE ? c->full_reads + 1 : 0;
		if (c->full_reads < FULL_READS)
			return;
		c->flags |= IO_RX_LARGE;
		c->full_reads = SHORT_READS;
	} else if (len > SMALL_SIZE) {
		c->full_reads = SHORT_READS;
	} else if (c->full_reads > 1) {
		c->full_reads--;
	} else {
		io_clear(c, IO_RX_LARGE);
		c->full_reads = 0;
	}
}

static void no_buffer(struct io_ring *u, struct io_conn *c, enum io_ring_op op)
{
	u->io.stats.rx_starved++;
	if (op == OP_RECV_LARGE) {
		/* There may be small ones; and it will show again if it fills them. */
		io_bufs_starved(&u->large);
		io_clear(c, IO_RX_LARGE);
		c->full_reads = 0;
		return;
	}
	io_bufs_starved(&u->small);
	if (c->flags & IO_RX_ON) {
		list_remove(&c->wish);
		list_push_back(&u->starved, &c->wish);
	}
}

static void recv_without_data(
	struct io_ring *u, struct io_conn *c, enum io_ring_op op, int res)
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
		u->io.is_single = true;
		break;
	default:
		io_ended(&u->io, c, res);
	}
}

/* What the end of a request, or what came with it, asks for next. */
static void after_recv(struct io_ring *u, struct io_conn *c)
{
	bool armed = c->flags & IO_RX_ARMED;
	bool on = c->flags & IO_RX_ON;

	if (!armed && on)
		io_wish(&u->io, c);
	else if (c->flags & IO_RX_MULTI && (!on || c->flags & IO_RX_LARGE))
		io_wish(&u->io, c);
	io_quiet_check(&u->io, c);
}

static void on_recv(struct io_ring *u, struct io_conn *c, const struct event *e,
	enum io_ring_op op, const uint8_t *data)
{
	uint64_t tag = io_conn_tag(c);

	if (!(e->flags & IORING_CQE_F_MORE))
		io_clear(c, IO_RX_ARMED | IO_RX_MULTI | IO_RX_CANCEL | IO_RX_IS_LARGE |
				    IO_RX_STALE);
	if (e->res > 0 && data != NULL) {
		if (e->flags & IORING_CQE_F_SOCK_NONEMPTY)
			c->flags |= IO_RX_MORE;
		else if (c->flags & IO_RX_MULTI)
			io_ring_suspect(u, c);
		choose_size(c, op == OP_RECV_LARGE, (size_t)e->res);
		c->ops->on_data(c, data, (size_t)e->res);
	} else {
		recv_without_data(u, c, op, e->res);
	}
	if (io_find(&u->io, tag, IO_SLOT_CONN) == c)
		after_recv(u, c);
}

static void on_recv_event(struct io_ring *u, const struct event *e, enum io_ring_op op)
{
	struct io_bufs *bufs = op == OP_RECV_LARGE ? &u->large : &u->small;
	struct io_conn *c = io_find(&u->io, e->tag, IO_SLOT_CONN);
	uint16_t id = (uint16_t)(e->flags >> IORING_CQE_BUFFER_SHIFT);
	bool has_buffer = e->flags & IORING_CQE_F_BUFFER;
	const uint8_t *data = has_buffer ? io_bufs_take(bufs, id) : NULL;

	if (c != NULL) {
		on_recv(u, c, e, op, data);
	} else {
		u->io.stats.stale_events++;
		(void)io_spoil(&u->io, e->tag);
	}
	if (has_buffer)
		io_bufs_put(bufs, id);
}

static void on_writable_event(struct io_ring *u, const struct event *e)
{
	struct io_conn *c = io_find(&u->io, e->tag, IO_SLOT_CONN);

	if (c == NULL) {
		u->io.stats.stale_events++;
		return;
	}
	io_clear(c, IO_TX_ARMED | IO_TX_CANCEL);
	if (c->flags & IO_TX_WANT && e->res == -ECANCELED) {
		io_wish(&u->io, c);
	} else if (c->flags & IO_TX_WANT) {
		io_clear(c, IO_TX_WANT);
		c->ops->on_writable(c);
		if (io_find(&u->io, e->tag, IO_SLOT_CONN) != c)
			return;
	}
	io_quiet_check(&u->io, c);
}

static void on_accept_event(struct io_ring *u, const struct event *e)
{
	struct io_listener *l = io_find(&u->io, e->tag, IO_SLOT_LISTENER);

	if (l != NULL) {
		l->flags &= ~(uint32_t)IO_LISTENER_ARMED;
		io_accepted(&u->io, l, e->res);
		return;
	}
	u->io.stats.stale_events++;
	if (e->res >= 0)
		close(e->res);
}

static void on_event(struct io_ring *u, const struct io_uring_cqe *cqe)
{
	enum io_ring_op op = io_ring_op(cqe->user_data);
	struct event e = { .tag = io_ring_tag(cqe->user_data),
		.res = cqe->res, .flags = cqe->flags };

	if (op != OP_CANCEL && op != OP_SEND && !(e.flags & IORING_CQE_F_MORE)) {
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
	case OP_SEND:
		break;
	}
}

/* Events are copied and their places given back before any handler runs: the
 * queue has room again, and handlers may submit. */
static void dispatch(struct io *io)
{
	struct io_ring *u = io_ring_of(io);
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

/* liburing 2.3 cannot pass the flag, nor submit in the same call without it;
 * a loop that idles for long has nothing to submit. */
static int wait_without_iowait(struct io_ring *u, struct __kernel_timespec *ts)
{
	struct io_uring_getevents_arg arg = { .ts = (uint64_t)(uintptr_t)ts };

	return io_uring_enter2((unsigned)u->ring.ring_fd, 0, 1,
		IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | ENTER_NO_IOWAIT,
		(sigset_t *)(void *)&arg, sizeof(arg));
}

static int enter(struct io_ring *u, uint64_t wait_us)
{
	struct __kernel_timespec limit = {
		.tv_sec = (int64_t)(wait_us / USEC_PER_SEC),
		.tv_nsec = (long long)(wait_us % USEC_PER_SEC * 1000),
	};
	struct __kernel_timespec *ts = wait_us == UINT64_MAX ? NULL : &limit;
	struct io_uring_cqe *cqe;

	/* They came with what was sent last. */
	if (io_uring_cq_ready(&u->ring) > 0 && io_uring_sq_ready(&u->ring) == 0)
		return 0;
	if (wait_us == 0)
		return io_uring_submit_and_get_events(&u->ring);
	if (u->has_no_iowait && io_uring_sq_ready(&u->ring) == 0)
		return wait_without_iowait(u, ts);
	return io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, ts, NULL);
}

static bool has_ready(const struct io *io)
{
	return io_uring_cq_ready(&container_of(io, const struct io_ring, io)->ring) > 0;
}

static int wait_events(struct io *io, uint64_t wait_us)
{
	struct io_ring *u = io_ring_of(io);
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
static int open_ring(
	struct io_uring *ring, const struct io_options *o, uint32_t *features)
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
		*features = p.features;
	}
	return ret;
}

static int open_buffers(struct io_ring *u, const struct io_options *o)
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
	struct io_ring *u = calloc(1, sizeof(*u));
	uint32_t features;
	int ret;

	if (u == NULL)
		return -ENOMEM;
	ret = io_setup(&u->io, &io_uring_engine, options);
	if (ret < 0)
		goto fail_setup;
	ret = open_ring(&u->ring, options, &features);
	if (ret < 0)
		goto fail_ring;
	list_init(&u->starved);
	list_init(&u->suspects);
	u->io.is_single = !(features & FEAT_RECVSEND_BUNDLE) || options->legacy;
	u->has_no_iowait = features & FEAT_NO_IOWAIT && !options->legacy;
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
static bool drain(struct io_ring *u)
{
	uint64_t until_us = clock_now_us() + CLOSE_PATIENCE_US;
	bool asked = false;

	while (u->io.stats.armed > 0 && clock_now_us() < until_us) {
		if (!asked)
			asked = io_ring_cancel_all(u);
		if (wait_events(&u->io, USEC_PER_MSEC * 10) < 0)
			break;
		dispatch(&u->io);
	}
	return u->io.stats.armed == 0;
}

static void close_loop(struct io *io)
{
	struct io_ring *u = io_ring_of(io);
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
	.flush = io_ring_flush,
	.wait = wait_events,
	.dispatch = dispatch,
	.has_ready = has_ready,
	.send_later = io_ring_send_later,
	.send_now = io_ring_send_now,
	.detach = io_ring_detach,
	.may_stay = io_ring_may_stay,
	.forget = io_ring_forget,
	.close_conn = io_ring_close_conn,
	.stop_listener = io_ring_stop_listener,
	.retire_listener = io_ring_retire_listener,
};
