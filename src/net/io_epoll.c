/* SPDX-License-Identifier: ISC */
/*
 * The loop on epoll(7), level-triggered, for kernels and sandboxes that have no
 * io_uring.
 *
 * A registration changes only when it must: who stops reading stays registered
 * until something arrives that nobody wants.
 *
 * Owns:   the epoll descriptor and one receive buffer, into which every socket
 *         is read in turn.
 * Thread: the worker's.
 * Limits: BATCH events a turn, SCRATCH bytes per socket and turn.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/io_priv.h"

enum { BATCH = 256, SCRATCH = 64 * 1024 };

static const uint64_t wake_tag = UINT64_MAX;

struct epoll {
	struct io io;
	int fd;
	int ready;
	uint8_t *scratch;
	struct epoll_event events[BATCH];
};

static struct epoll *epoll_of(struct io *io)
{
	return container_of(io, struct epoll, io);
}

static int control(struct io *io, int op, int fd, uint32_t events, uint64_t tag)
{
	struct epoll_event event = { .events = events, .data.u64 = tag };

	return epoll_ctl(epoll_of(io)->fd, op, fd, &event) < 0 ? -errno : 0;
}

static void close_loop(struct io *io)
{
	struct epoll *ep = epoll_of(io);

	if (ep->fd >= 0)
		close(ep->fd);
	if (ep->scratch != NULL)
		munmap(ep->scratch, SCRATCH);
	io_teardown(io);
	free(ep);
}

/* Pages of the buffer that no read reaches are never touched. */
static uint8_t *map_scratch(void)
{
	void *memory = mmap(NULL, SCRATCH, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int open_loop(struct io **io, const struct io_options *options)
{
	struct epoll *ep = calloc(1, sizeof(*ep));
	int ret;

	if (ep == NULL)
		return -ENOMEM;
	ret = io_setup(&ep->io, &io_epoll_engine, options);
	if (ret < 0) {
		free(ep);
		return ret;
	}
	ep->scratch = map_scratch();
	ep->fd = epoll_create1(EPOLL_CLOEXEC);
	if (ep->fd < 0 || ep->scratch == NULL)
		ret = ep->fd < 0 ? -errno : -ENOMEM;
	else
		ret = control(&ep->io, EPOLL_CTL_ADD, ep->io.wake_fd, EPOLLIN | EPOLLET,
			wake_tag);
	if (ret < 0) {
		close_loop(&ep->io);
		return ret;
	}
	*io = &ep->io;
	return 0;
}

/* --- wishes ----------------------------------------------------------------- */

static void set_registered(struct io_conn *c, uint32_t events)
{
	io_clear(c, IO_EPOLL_IN | IO_EPOLL_OUT);
	if (events & EPOLLIN)
		c->flags |= IO_EPOLL_IN;
	if (events & EPOLLOUT)
		c->flags |= IO_EPOLL_OUT;
}

static uint32_t registered(const struct io_conn *c)
{
	return (c->flags & IO_EPOLL_IN ? EPOLLIN : 0u) |
		(c->flags & IO_EPOLL_OUT ? EPOLLOUT : 0u);
}

static uint32_t wanted(const struct io_conn *c)
{
	return (c->flags & IO_RX_ON ? EPOLLIN : 0u) |
		(c->flags & IO_TX_WANT ? EPOLLOUT : 0u);
}

/* With nothing wanted the descriptor leaves the set: an error or a hang-up
 * would be reported again and again. */
static void apply(struct io *io, struct io_conn *c)
{
	uint32_t have = registered(c), want = wanted(c);
	int op, ret;

	if (have == want)
		return;
	op = have == 0 ? EPOLL_CTL_ADD : want == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
	ret = control(io, op, c->fd, want, io_conn_tag(c));
	if (ret == 0) {
		set_registered(c, want);
		return;
	}
	/* No memory, or fs.epoll.max_user_watches: this socket cannot go on. */
	assert(ret == -ENOMEM || ret == -ENOSPC);
	io_clear(c, IO_TX_WANT);
	c->flags |= IO_RX_ON | IO_END_PENDING;
	c->end_error = ret;
	if (!list_is_linked(&c->report))
		list_push_back(&io->reports, &c->report);
}

static void listen_again(struct io *io, struct io_listener *l)
{
	int ret;

	if (l->flags & IO_LISTENER_ARMED)
		return;
	ret = control(io, EPOLL_CTL_ADD, l->fd, EPOLLIN | EPOLLEXCLUSIVE,
		io_listener_tag(l));
	if (ret == 0)
		l->flags |= IO_LISTENER_ARMED;
	else
		io_accepted(io, l, ret);
}

static void flush(struct io *io)
{
	struct list_node *node;

	while ((node = list_pop_front(&io->wishes)) != NULL)
		apply(io, container_of(node, struct io_conn, wish));
	while ((node = list_pop_front(&io->listener_wishes)) != NULL)
		listen_again(io, container_of(node, struct io_listener, node));
}

static void detach(struct io *io, struct io_conn *c)
{
	if (registered(c) != 0)
		(void)control(io, EPOLL_CTL_DEL, c->fd, 0, 0);
	set_registered(c, 0);
}

/* Who is registered for what arrives stays so until something does. */
static bool may_stay(const struct io_conn *c)
{
	return !(c->flags & IO_EPOLL_OUT);
}

/* close(2) takes the descriptor out of the set. */
static void close_conn(struct io *io, struct io_conn *c)
{
	(void)io;
	close(c->fd);
}

static void unlisten(struct io *io, struct io_listener *l)
{
	if (l->flags & IO_LISTENER_ARMED)
		(void)control(io, EPOLL_CTL_DEL, l->fd, 0, 0);
	l->flags &= ~(uint32_t)IO_LISTENER_ARMED;
}

static bool retire(struct io *io, struct io_listener *l)
{
	unlisten(io, l);
	return true;
}

/* --- events ----------------------------------------------------------------- */

static int wait_ready(struct io *io, uint64_t wait_us)
{
	struct epoll *ep = epoll_of(io);
	uint64_t ms = wait_us / USEC_PER_MSEC + (wait_us % USEC_PER_MSEC != 0);
	int timeout = wait_us == UINT64_MAX ? -1 : (int)u64_min(ms, INT_MAX);

	ep->ready = epoll_wait(ep->fd, ep->events, BATCH, timeout);
	if (ep->ready >= 0)
		return 0;
	ep->ready = 0;
	return errno == EINTR ? 0 : -errno;
}

/* One read: what is left makes the socket ready again in the next turn, after
 * the others. */
static void receive(struct io *io, struct io_conn *c)
{
	uint8_t *scratch = epoll_of(io)->scratch;
	ssize_t n = recv(c->fd, scratch, SCRATCH, MSG_DONTWAIT);

	if (n > 0)
		c->ops->on_data(c, scratch, (size_t)n);
	else if (n == 0)
		io_ended(io, c, 0);
	else if (errno != EAGAIN && errno != EINTR)
		io_ended(io, c, -errno);
}

static void on_conn(struct io *io, struct io_conn *c, uint32_t events)
{
	uint64_t tag = io_conn_tag(c);
	bool failed = events & (EPOLLERR | EPOLLHUP);
	bool readable = failed || events & EPOLLIN;
	bool writable = failed || events & EPOLLOUT;

	if ((readable && !(c->flags & IO_RX_ON)) || (events & EPOLLOUT))
		io_wish(io, c);
	if (writable && c->flags & IO_TX_WANT) {
		io_clear(c, IO_TX_WANT);
		c->ops->on_writable(c);
		if (io_find(io, tag, IO_SLOT_CONN) != c)
			return;
	}
	if (readable && c->flags & IO_RX_ON)
		receive(io, c);
}

/* Registering anew puts this loop behind the others that listen on the same
 * socket, so that connections go round.  Where there are no others it stays, unless it
 * has to rest. */
static void on_listener(struct io *io, struct io_listener *l)
{
	int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (fd < 0)
		fd = -errno;
	if (fd < 0 || !io->is_alone)
		unlisten(io, l);
	io_accepted(io, l, fd);
}

static void on_nobody(struct io *io, uint64_t tag)
{
	struct io_conn *c = io_spoil(io, tag);

	io->stats.stale_events++;
	if (c != NULL)
		detach(io, c);
}

static void on_event(struct io *io, const struct epoll_event *event)
{
	struct io_listener *l;
	struct io_conn *c;

	if (event->data.u64 == wake_tag)
		return;
	c = io_find(io, event->data.u64, IO_SLOT_CONN);
	if (c != NULL) {
		on_conn(io, c, event->events);
		return;
	}
	l = io_find(io, event->data.u64, IO_SLOT_LISTENER);
	if (l != NULL)
		on_listener(io, l);
	else
		on_nobody(io, event->data.u64);
}

static void dispatch(struct io *io)
{
	struct epoll *ep = epoll_of(io);

	io->stats.events += (uint64_t)ep->ready;
	for (int i = 0; i < ep->ready; i++)
		on_event(io, &ep->events[i]);
	ep->ready = 0;
}

const struct io_engine io_epoll_engine = {
	.name = "epoll",
	.open = open_loop,
	.close = close_loop,
	.flush = flush,
	.wait = wait_ready,
	.dispatch = dispatch,
	.detach = detach,
	.may_stay = may_stay,
	.forget = detach,
	.close_conn = close_conn,
	.stop_listener = unlisten,
	.retire_listener = retire,
};
