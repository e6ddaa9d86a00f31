/* SPDX-License-Identifier: ISC */
/*
 * Turns wishes into requests to io_uring: what is armed for whom, with which
 * buffers, and how it is called off.
 *
 * A request carries operation, generation and slot (io_priv.h), never a
 * pointer, so a late event can always be told.  Sends are in io_ring_send.c.
 *
 * Thread: the worker's.
 * Limits: a full submission queue is submitted and filled again; what finds no
 *         room even then stays a wish until the next turn.
 */
#include "net/io_ring.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SUSPECT_US = 1000 * 1000 };

/* --- requests --------------------------------------------------------------- */

static struct io_uring_sqe *get_sqe(struct io_ring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (sqe != NULL)
		return sqe;
	/* An error shows in the wait that follows. */
	(void)io_uring_submit(&u->ring);
	return io_uring_get_sqe(&u->ring);
}

/* Last, because the helpers that fill in a request clear the rest of it. */
static void mark(
	struct io_ring *u, struct io_uring_sqe *sqe, enum io_ring_op op, uint64_t tag)
{
	io_uring_sqe_set_data64(sqe, io_ring_user_data(op, tag));
	if (op != OP_CANCEL)
		u->io.stats.armed++;
}

/* The failures ("it has just finished") are no news either. */
static bool cancel(struct io_ring *u, enum io_ring_op op, uint64_t tag)
{
	struct io_uring_sqe *sqe = get_sqe(u);

	if (sqe == NULL)
		return false;
	io_uring_prep_cancel64(sqe, io_ring_user_data(op, tag), 0);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	mark(u, sqe, OP_CANCEL, 0);
	return true;
}

/* With what the receive that is armed was armed. */
static enum io_ring_op armed_op(const struct io_conn *c)
{
	if (c->flags & IO_RX_MULTI)
		return OP_RECV_MULTI;
	return c->flags & IO_RX_IS_LARGE ? OP_RECV_LARGE : OP_RECV_SMALL;
}

/* Not for unix sockets: see the suspects below, which for them would be many. */
static bool may_multishot(const struct io_ring *u, struct io_conn *c)
{
	int domain = AF_UNIX;
	socklen_t len = sizeof(domain);

	if (!(c->flags & IO_MULTISHOT) || u->io.is_single)
		return false;
	if (!(c->flags & IO_KIND_KNOWN)) {
		c->flags |= IO_KIND_KNOWN;
		if (getsockopt(c->fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
			domain != AF_UNIX)
			c->flags |= IO_KIND_TCP;
	}
	return c->flags & IO_KIND_TCP;
}

static bool arm_recv(struct io_ring *u, struct io_conn *c)
{
	struct io_uring_sqe *sqe = get_sqe(u);

	if (sqe == NULL)
		return false;
	if (c->flags & IO_RX_LARGE)
		c->flags |= IO_RX_IS_LARGE;
	else if (may_multishot(u, c))
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
	io_clear(c, IO_RX_MORE);
	c->flags |= IO_RX_ARMED;
	mark(u, sqe, armed_op(c), io_conn_tag(c));
	return true;
}

static bool arm_writable(struct io_ring *u, struct io_conn *c)
{
	struct io_uring_sqe *sqe = get_sqe(u);

	if (sqe == NULL)
		return false;
	io_uring_prep_poll_add(sqe, c->fd, POLLOUT);
	mark(u, sqe, OP_WRITABLE, io_conn_tag(c));
	c->flags |= IO_TX_ARMED;
	return true;
}

static bool arm_accept(struct io_ring *u, struct io_listener *l)
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
static void arm_wake(struct io_ring *u)
{
	struct io_uring_sqe *sqe = get_sqe(u);

	if (sqe == NULL)
		return;
	io_uring_prep_poll_multishot(sqe, u->io.wake_fd, POLLIN);
	mark(u, sqe, OP_WAKE, 0);
	u->wake_armed = true;
}

bool io_ring_cancel_all(struct io_ring *u)
{
	struct io_uring_sqe *sqe = get_sqe(u);

	if (sqe == NULL)
		return false;
	io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
	mark(u, sqe, OP_CANCEL, 0);
	return true;
}

/* A request that the kernel has not seen yet names a descriptor that is about
 * to be closed, and perhaps to be used anew.  Happens only after a submission
 * that failed. */
static void defuse(struct io_ring *u, uint64_t tag)
{
	struct io_uring_sq *sq = &u->ring.sq;

	if (io_uring_sq_ready(&u->ring) == 0)
		return;
	for (unsigned i = io_uring_smp_load_acquire(sq->khead); i != sq->sqe_tail; i++) {
		struct io_uring_sqe *sqe = &sq->sqes[i & sq->ring_mask];
		uint64_t data = sqe->user_data;

		if (sqe->opcode == IORING_OP_ASYNC_CANCEL || io_ring_tag(data) != tag)
			continue;
		io_uring_prep_nop(sqe);
		sqe->user_data = data;
	}
}

/* --- wishes ----------------------------------------------------------------- */

static bool apply_rx(struct io_ring *u, struct io_conn *c)
{
	bool unwanted;

	if (!(c->flags & IO_RX_ARMED))
		return !(c->flags & IO_RX_ON) || c->flags & IO_QUIESCING || arm_recv(u, c);
	unwanted = c->flags & (IO_QUIESCING | IO_RX_STALE) ||
		(c->flags & IO_RX_MULTI &&
			(c->flags & IO_RX_LARGE || !(c->flags & IO_RX_ON)));
	if (!unwanted || c->flags & IO_RX_CANCEL)
		return true;
	if (!cancel(u, armed_op(c), io_conn_tag(c)))
		return false;
	c->flags |= IO_RX_CANCEL;
	return true;
}

static bool apply_tx(struct io_ring *u, struct io_conn *c)
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
static void feed_starved(struct io_ring *u)
{
	uint32_t most = u->small.offered;

	while (most-- > 0) {
		struct list_node *node = list_pop_front(&u->starved);

		if (node == NULL)
			return;
		list_push_back(&u->io.wishes, node);
	}
}

/*
 * Kernels to 6.18 at least lose the end of a connection when it wakes a multishot
 * receive together with the last data: the receive says that nothing is left and
 * waits for a wake-up that was already spent.  With TCP only a reset is lost so
 * (after FIN the kernel counts one byte more), with unix sockets every end.  So
 * who has been silent for a while is looked at once.
 */
void io_ring_suspect(struct io_ring *u, struct io_conn *c)
{
	list_remove(&c->suspect);
	list_push_back(&u->suspects, &c->suspect);
	c->suspect_us = u->io.now_us + SUSPECT_US;
}

/* Reading the error takes it away, so it has to be reported from here. */
static void check_suspect(struct io_ring *u, struct io_conn *c)
{
	uint8_t byte;
	ssize_t n;

	if (!(c->flags & IO_RX_MULTI))
		return;
	n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	c->end_error = n < 0 ? -errno : 0;
	c->flags |= IO_RX_STALE;
	io_wish(&u->io, c);
	if (n > 0)
		return;
	c->flags |= IO_END_PENDING;
	if (c->flags & IO_RX_ON && !list_is_linked(&c->report))
		list_push_back(&u->io.reports, &c->report);
}

static void check_suspects(struct io_ring *u)
{
	struct list_node *node;

	u->io.due_us = UINT64_MAX;
	while ((node = list_first(&u->suspects)) != NULL) {
		struct io_conn *c = container_of(node, struct io_conn, suspect);

		if (c->suspect_us > u->io.now_us) {
			u->io.due_us = c->suspect_us;
			return;
		}
		list_remove(node);
		check_suspect(u, c);
	}
}

void io_ring_flush(struct io *io)
{
	struct io_ring *u = io_ring_of(io);
	struct list_node *node;

	check_suspects(u);
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
void io_ring_detach(struct io *io, struct io_conn *c)
{
	(void)io;
	(void)c;
}

/* A receive that takes all that comes can wait for the next lease as well. */
bool io_ring_may_stay(const struct io_conn *c)
{
	return !(c->flags & IO_RX_ARMED) ||
		(c->flags & (IO_RX_MULTI | IO_RX_CANCEL)) == IO_RX_MULTI;
}

/* close(2) alone would not end what is armed, nor send FIN while it lasts. */
void io_ring_forget(struct io *io, struct io_conn *c)
{
	if (!(c->flags & (IO_RX_ARMED | IO_TX_ARMED)))
		return;
	defuse(io_ring_of(io), io_conn_tag(c));
	(void)shutdown(c->fd, SHUT_RDWR);       /* fails if the peer was first */
}

void io_ring_close_conn(struct io *io, struct io_conn *c)
{
	io_ring_forget(io, c);
	close(c->fd);
}

/* A full queue leaves the accept as it is: it takes one connection more. */
bool io_ring_retire_listener(struct io *io, struct io_listener *l)
{
	if (!(l->flags & IO_LISTENER_ARMED))
		return true;
	(void)cancel(io_ring_of(io), OP_ACCEPT, io_listener_tag(l));
	return false;
}

void io_ring_stop_listener(struct io *io, struct io_listener *l)
{
	struct io_ring *u = io_ring_of(io);

	if (!(l->flags & IO_LISTENER_ARMED))
		return;
	/* Without room for it the accept stays, and its connection is closed. */
	defuse(u, io_listener_tag(l));
	(void)cancel(u, OP_ACCEPT, io_listener_tag(l));
}
