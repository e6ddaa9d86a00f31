/* SPDX-License-Identifier: ISC */
/*
 * The sends of one turn, handed to the kernel in one system call with what is to be
 * armed.
 *
 * None of them waits (MSG_DONTWAIT), so that each has its result when the call returns:
 * no memory has to outlive it, and of one socket there is one at a time.  A few are sent
 * one by one, which costs less.
 *
 * Thread: the worker's.
 * Limits: IO_RING_SENDS at a time, who comes then sends for himself; as many as there is
 *         room for in both queues.
 */
#include <errno.h>
#include <sys/socket.h>

#include "net/io_ring.h"

/* Below that a call for each is cheaper; how often it is asked for results that are not
 * there, which no kernel has been seen to do. */
enum { SENDS_MIN = 4, TRIES_MAX = 100 };

bool io_ring_send_later(struct io *io, struct io_conn *c, const void *data, size_t len)
{
	struct io_ring *u = io_ring_of(io);

	if (u->send_count == IO_RING_SENDS)
		return false;
	u->sends[u->send_count++] = (struct io_ring_send){ .conn = c, .data = data,
		.len = (uint32_t)len };
	return true;
}

static bool has_room(const struct io_ring *u)
{
	return io_uring_sq_space_left(&u->ring) >= u->send_count &&
		io_uring_cq_ready(&u->ring) < u->ring.cq.ring_entries / 2 &&
		!io_uring_cq_has_overflow(&u->ring);
}

static void queue(struct io_ring *u)
{
	for (uint32_t i = 0; i < u->send_count; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
		const struct io_ring_send *s = &u->sends[i];

		io_uring_prep_send(sqe, s->conn->fd, s->data, s->len,
			MSG_DONTWAIT | MSG_NOSIGNAL);
		io_uring_sqe_set_data64(sqe, io_ring_user_data(OP_SEND, i));
	}
}

/* Takes results out of the queue; where others stand before them these stay, and nobody
 * will look at what was taken from behind them.  Returns how many there were. */
static uint32_t reap(struct io_ring *u)
{
	struct io_uring_cqe *cqe;
	uint32_t found = 0, first = 0;
	bool is_first = true;
	unsigned head;

	io_uring_for_each_cqe(&u->ring, head, cqe) {
		struct io_ring_send *s;

		if (io_ring_op(cqe->user_data) != OP_SEND) {
			is_first = false;
			continue;
		}
		s = &u->sends[io_ring_tag(cqe->user_data)];
		s->res = cqe->res;
		s->is_done = true;
		first += is_first ? 1 : 0;
		found++;
		cqe->user_data = io_ring_user_data(OP_CANCEL, 0);
	}
	io_uring_cq_advance(&u->ring, first);
	return found;
}

/* What the kernel has not seen is not to be sent twice. */
static void take_back(struct io_ring *u)
{
	struct io_uring_sq *sq = &u->ring.sq;

	for (unsigned i = io_uring_smp_load_acquire(sq->khead); i != sq->sqe_tail; i++) {
		struct io_uring_sqe *sqe = &sq->sqes[i & sq->ring_mask];
		uint64_t data = sqe->user_data;

		if (io_ring_op(data) != OP_SEND)
			continue;
		io_uring_prep_nop(sqe);
		io_uring_sqe_set_data64(sqe, io_ring_user_data(OP_CANCEL, 0));
		u->sends[io_ring_tag(data)].is_left = true;
	}
}

static void submit(struct io_ring *u)
{
	uint32_t found = 0;

	/* What is to be armed goes with them, and what has come is brought back. */
	io_ring_flush(&u->io);
	if (!has_room(u)) {
		for (uint32_t i = 0; i < u->send_count; i++)
			u->sends[i].is_left = true;
		return;
	}
	queue(u);
	for (int i = 0; i < TRIES_MAX && found < u->send_count; i++) {
		int ret = io_uring_submit_and_get_events(&u->ring);

		found += reap(u);
		if (ret < 0 && ret != -EINTR)
			break;
	}
	if (found < u->send_count)
		take_back(u);
}

static ssize_t send_one(const struct io_ring_send *s)
{
	const struct iovec iov = { (void *)(uintptr_t)s->data, s->len };

	return io_conn_send(s->conn, &iov, 1);
}

static ssize_t result(const struct io_ring_send *s)
{
	/* Nobody knows what has become of it. */
	if (!s->is_done && !s->is_left)
		return -EIO;
	if (s->is_left || s->res == -EINTR)
		return send_one(s);
	return s->res == -EAGAIN ? 0 : s->res;
}

void io_ring_send_now(struct io *io)
{
	struct io_ring *u = io_ring_of(io);
	uint32_t count = u->send_count;
	bool is_together = count >= SENDS_MIN;

	if (is_together)
		submit(u);
	for (uint32_t i = 0; i < count; i++) {
		struct io_ring_send *s = &u->sends[i];

		s->conn->ops->on_sent(s->conn, is_together ? result(s) : send_one(s));
	}
	u->send_count = 0;
}
