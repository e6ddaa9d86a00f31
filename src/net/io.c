/* SPDX-License-Identifier: ISC */
/*
 * The part of the loop that does not depend on the engine: the turn itself,
 * tasks, the wake-up, the table of slots, and what io.h promises about ends.
 *
 * Size: all of it shares the table of slots.
 *
 * Thread: the worker's; io_wake() any.
 */
#include "net/io.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/slog.h"
#include "net/io_priv.h"

enum { SLOTS_FIRST = 64, LAST_ACCEPTS_MAX = 64, ACCEPT_BACK_OFF_US = 100 * 1000 };

/* --- slots ------------------------------------------------------------------ */

static int slots_grow(struct io *io)
{
	uint32_t count = io->slot_count == 0 ? SLOTS_FIRST : io->slot_count * 2;
	struct io_slot *slots;

	if (count <= io->slot_count)
		return -ENFILE;
	slots = realloc(io->slots, count * sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	for (uint32_t i = io->slot_count; i < count; i++)
		slots[i] = (struct io_slot){ .gen = 1, .next_free = i + 1 };
	slots[count - 1].next_free = UINT32_MAX;
	io->slot_free = io->slot_count;
	io->slots = slots;
	io->slot_count = count;
	return 0;
}

static int slot_take(struct io *io, void *owner, enum io_slot_kind kind, uint32_t *slot,
	uint32_t *gen)
{
	struct io_slot *s;
	int ret;

	if (io->slot_free == UINT32_MAX) {
		ret = slots_grow(io);
		if (ret < 0)
			return ret;
	}
	*slot = io->slot_free;
	s = &io->slots[*slot];
	io->slot_free = s->next_free;
	s->owner = owner;
	s->kind = (uint8_t)kind;
	*gen = s->gen;
	return 0;
}

/* From here on whatever still arrives for the old owner is stale. */
static void slot_put(struct io *io, uint32_t slot)
{
	struct io_slot *s = &io->slots[slot];

	assert(s->kind != IO_SLOT_FREE);
	s->owner = NULL;
	s->kind = IO_SLOT_FREE;
	s->gen = (s->gen + 1) & IO_GEN_MASK;
	s->next_free = io->slot_free;
	io->slot_free = slot;
}

/* --- life ------------------------------------------------------------------- */

int io_setup(struct io *io, const struct io_engine *engine, const struct io_options *o)
{
	*io = (struct io){ .engine = engine, .on_wake = o->on_wake, .arg = o->arg,
		.is_alone = o->alone };
	io->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (io->wake_fd < 0)
		return -errno;
	io->now_us = clock_now_us();
	io->due_us = UINT64_MAX;
	io->slot_free = UINT32_MAX;
	list_init(&io->run);
	list_init(&io->flush);
	list_init(&io->wishes);
	list_init(&io->reports);
	list_init(&io->listener_wishes);
	list_init(&io->listener_waits);
	return 0;
}

void io_teardown(struct io *io)
{
	close(io->wake_fd);
	free(io->slots);
}

int io_create(struct io **io, const struct io_options *options)
{
	if (options->backend == IO_BACKEND_EPOLL)
		return io_epoll_engine.open(io, options);
	return io_uring_engine.open(io, options);
}

/* Its descriptor is somebody's. */
static void unpark(struct io *io, struct io_conn *c)
{
	c->place = NULL;
	slot_put(io, c->slot);
}

static void drop_tasks(struct list *tasks)
{
	while (list_pop_front(tasks) != NULL)
		;
}

void io_destroy(struct io **iop)
{
	struct io *io = *iop;

	*iop = NULL;
	if (io == NULL)
		return;
	for (uint32_t i = 0; i < io->slot_count; i++) {
		if (io->slots[i].kind == IO_SLOT_CONN)
			io_conn_close(io->slots[i].owner);
		else if (io->slots[i].kind == IO_SLOT_LISTENER)
			io_listener_stop(io->slots[i].owner);
		else if (io->slots[i].kind == IO_SLOT_PARKED)
			unpark(io, io->slots[i].owner);
	}
	drop_tasks(&io->run);
	drop_tasks(&io->flush);
	io->engine->close(io);
}

const char *io_backend_name(const struct io *io)
{
	return io->engine->name;
}

bool io_is_single(const struct io *io)
{
	return io->is_single;
}

uint64_t io_now_us(const struct io *io)
{
	return io->now_us;
}

void io_stats_read(const struct io *io, struct io_stats *stats)
{
	*stats = io->stats;
}

/* --- waking ----------------------------------------------------------------- */

/* One word holds the whole protocol.  A waker that finds ASLEEP rings the bell;
 * one that finds AWAKE leaves NOTIFIED, with which the loop cannot fall asleep;
 * one that finds NOTIFIED has nothing to add. */
void io_wake(struct io *io)
{
	static const uint64_t one = 1;
	ssize_t n;

	if (atomic_exchange(&io->wake_state, IO_NOTIFIED) != IO_ASLEEP)
		return;
	do
		n = write(io->wake_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	/* Nobody reads the counter, the edge is what counts; it would take
	 * centuries to fill up. */
}

static bool fall_asleep(struct io *io)
{
	int awake = IO_AWAKE;

	return atomic_compare_exchange_strong(&io->wake_state, &awake, IO_ASLEEP);
}

static void run_wake(struct io *io, bool notified)
{
	if (atomic_load_explicit(&io->wake_state, memory_order_relaxed) == IO_NOTIFIED)
		notified |= atomic_exchange(&io->wake_state, IO_AWAKE) == IO_NOTIFIED;
	if (notified && io->on_wake != NULL)
		io->on_wake(io, io->arg);
}

/* --- tasks ------------------------------------------------------------------ */

void io_task_init(struct io_task *task, io_task_f *run)
{
	list_node_init(&task->node);
	task->run = run;
}

void io_defer(struct io *io, struct io_task *task, enum io_phase phase)
{
	if (list_is_linked(&task->node))
		return;
	list_push_back(phase == IO_PHASE_RUN ? &io->run : &io->flush, &task->node);
}

void io_task_cancel(struct io_task *task)
{
	list_remove(&task->node);
}

static void run_tasks(struct list *tasks)
{
	struct list now;
	struct list_node *node;

	list_init(&now);
	list_splice_back(&now, tasks);
	while ((node = list_pop_front(&now)) != NULL) {
		struct io_task *task = container_of(node, struct io_task, node);

		task->run(task);
	}
}

/* --- the turn --------------------------------------------------------------- */

static void run_reports(struct io *io)
{
	struct list now;
	struct list_node *node;

	list_init(&now);
	list_splice_back(&now, &io->reports);
	while ((node = list_pop_front(&now)) != NULL) {
		struct io_conn *c = container_of(node, struct io_conn, report);
		uint64_t tag = io_conn_tag(c);

		if (c->flags & IO_END_PENDING)
			io_ended(io, c, c->end_error);
		if (io_find(io, tag, IO_SLOT_CONN) == c)
			io_quiet_check(io, c);
	}
}

static void retry_listeners(struct io *io)
{
	struct list_node *node;

	while ((node = list_first(&io->listener_waits)) != NULL) {
		struct io_listener *l = container_of(node, struct io_listener, node);

		if (l->retry_us > io->now_us)
			return;
		list_remove(node);
		list_push_back(&io->listener_wishes, node);
	}
}

/* How long the turn may wait: not at all when there is work already. */
static uint64_t wait_us(struct io *io, uint64_t until_us)
{
	struct list_node *node = list_first(&io->listener_waits);
	uint64_t now_us;

	if (until_us == 0 || !list_is_empty(&io->run) || !list_is_empty(&io->flush) ||
		!list_is_empty(&io->wishes) || !list_is_empty(&io->reports) ||
		!list_is_empty(&io->listener_wishes) ||
		(io->engine->has_ready != NULL && io->engine->has_ready(io)))
		return 0;
	until_us = u64_min(until_us, io->due_us);
	if (node != NULL)
		until_us = u64_min(until_us,
			container_of(node, struct io_listener, node)->retry_us);
	if (until_us == UINT64_MAX)
		return UINT64_MAX;
	now_us = clock_now_us();
	return until_us > now_us ? until_us - now_us : 0;
}

static void run_flush(struct io *io)
{
	run_tasks(&io->flush);
	if (io->engine->send_now != NULL)
		io->engine->send_now(io);
}

int io_turn(struct io *io, uint64_t until_us)
{
	uint64_t may_wait_us;
	bool notified;
	int ret;

	/* What was queued between two turns, by timers mostly, goes out before
	 * the wait and not after it. */
	if (list_is_empty(&io->run))
		run_flush(io);
	io->engine->flush(io);
	may_wait_us = wait_us(io, until_us);
	if (may_wait_us > 0 && !fall_asleep(io))
		may_wait_us = 0;
	ret = io->engine->wait(io, may_wait_us);
	notified = atomic_exchange(&io->wake_state, IO_AWAKE) == IO_NOTIFIED;
	io->now_us = clock_now_us();
	io->stats.turns++;
	if (ret < 0)
		return ret;
	io->engine->dispatch(io);
	run_reports(io);
	retry_listeners(io);
	run_wake(io, notified);
	run_tasks(&io->run);
	run_flush(io);
	return 0;
}

/* --- connected sockets ------------------------------------------------------ */

void io_conn_init(struct io_conn *c, const struct io_conn_ops *ops)
{
	*c = (struct io_conn){ .ops = ops, .fd = -1 };
	list_node_init(&c->wish);
	list_node_init(&c->report);
	list_node_init(&c->suspect);
}

static int come_back(struct io *io, struct io_conn *c, int fd)
{
	assert(c->place == io && c->fd == fd);
	if (c->flags & IO_SPOILT)
		return -ECONNRESET;
	c->place = NULL;
	c->io = io;
	io->slots[c->slot].kind = IO_SLOT_CONN;
	return 0;
}

int io_conn_attach(struct io *io, struct io_conn *c, int fd)
{
	int ret;

	assert(c->io == NULL);
	if (c->place != NULL)
		return come_back(io, c, fd);
	ret = slot_take(io, c, IO_SLOT_CONN, &c->slot, &c->gen);
	if (ret < 0)
		return ret;
	c->io = io;
	c->fd = fd;
	c->flags &= IO_MULTISHOT;
	c->full_reads = 0;
	c->end_error = 0;
	return 0;
}

void io_conn_rx_multishot(struct io_conn *c, bool wanted)
{
	if (wanted)
		c->flags |= IO_MULTISHOT;
	else
		io_clear(c, IO_MULTISHOT);
}

void io_conn_rx_start(struct io_conn *c)
{
	if (c->io == NULL || c->flags & (IO_RX_ON | IO_ENDED))
		return;
	c->flags |= IO_RX_ON;
	if (!(c->flags & IO_END_PENDING))
		io_wish(c->io, c);
	else if (!list_is_linked(&c->report))
		list_push_back(&c->io->reports, &c->report);
}

/* The kernel is told only when something arrives in spite of it: mostly nothing
 * does before reading starts again. */
void io_conn_rx_stop(struct io_conn *c)
{
	io_clear(c, IO_RX_ON);
}

void io_conn_tx_wait(struct io_conn *c)
{
	if (c->io == NULL)
		return;
	c->flags |= IO_TX_WANT;
	io_wish(c->io, c);
}

static bool may_stay(const struct io_conn *c)
{
	const uint32_t mask = IO_RX_ON | IO_TX_WANT | IO_TX_ARMED | IO_END_PENDING |
		IO_ENDED | IO_QUIESCING;

	return c->io->is_alone && !(c->flags & mask) && c->io->engine->may_stay(c);
}

bool io_conn_quiesce(struct io_conn *c)
{
	assert(c->io != NULL);
	io_clear(c, IO_RX_ON | IO_TX_WANT);
	if (!(c->flags & (IO_RX_ARMED | IO_TX_ARMED | IO_END_PENDING)) || may_stay(c))
		return true;
	c->flags |= IO_QUIESCING;
	/* It may be on the engine's list of those who wait for a buffer. */
	list_remove(&c->wish);
	io_wish(c->io, c);
	if (c->flags & IO_END_PENDING && !list_is_linked(&c->report))
		list_push_back(&c->io->reports, &c->report);
	return false;
}

static void unlink_all(struct io_conn *c)
{
	list_remove(&c->wish);
	list_remove(&c->report);
	list_remove(&c->suspect);
}

static void leave(struct io *io, struct io_conn *c)
{
	unlink_all(c);
	slot_put(io, c->slot);
	c->io = NULL;
	c->fd = -1;
}

int io_conn_detach(struct io_conn *c)
{
	struct io *io = c->io;
	int fd = c->fd;

	assert(io != NULL);
	if (may_stay(c)) {
		unlink_all(c);
		io->slots[c->slot].kind = IO_SLOT_PARKED;
		c->place = io;
		c->io = NULL;
		return fd;
	}
	assert(!(c->flags & (IO_RX_ARMED | IO_TX_ARMED)));
	io->engine->detach(io, c);
	leave(io, c);
	return fd;
}

bool io_conn_is_spoilt(const struct io_conn *c)
{
	return c->place != NULL && c->flags & IO_SPOILT;
}

void io_conn_forget(struct io_conn *c)
{
	struct io *io = c->place;

	if (io == NULL)
		return;
	io->engine->forget(io, c);
	unpark(io, c);
}

void io_conn_close(struct io_conn *c)
{
	struct io *io = c->io;

	if (io == NULL)
		return;
	io->engine->close_conn(io, c);
	leave(io, c);
}

/* One piece, which is the usual case, is less work with send(2). */
static ssize_t send_some(int fd, const struct iovec *iov, int count)
{
	struct msghdr msg = { .msg_iovlen = (size_t)count };

	if (count == 1)
		return send(fd, iov->iov_base, iov->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
	msg.msg_iov = (struct iovec *)(uintptr_t)iov;
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

ssize_t io_conn_send(struct io_conn *c, const struct iovec *iov, int count)
{
	ssize_t n;

	assert(c->io != NULL);
	do
		n = send_some(c->fd, iov, count);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
}

void io_conn_send_later(struct io_conn *c, const void *data, size_t len)
{
	const struct iovec iov = { (void *)(uintptr_t)data, len };
	struct io *io = c->io;

	assert(io != NULL);
	if (io->engine->send_later == NULL || !io->engine->send_later(io, c, data, len))
		c->ops->on_sent(c, io_conn_send(c, &iov, 1));
}

/* Who stopped reading does not want to hear of an end: it is kept for them,
 * unless the conn is about to leave and would take the news with it. */
void io_ended(struct io *io, struct io_conn *c, int error)
{
	if (c->flags & IO_ENDED)
		return;
	if (!(c->flags & (IO_RX_ON | IO_QUIESCING))) {
		c->flags |= IO_END_PENDING;
		c->end_error = error;
		return;
	}
	io_clear(c, IO_RX_ON | IO_END_PENDING);
	c->flags |= IO_ENDED;
	io_wish(io, c);
	c->ops->on_end(c, error);
}

void io_quiet_check(struct io *io, struct io_conn *c)
{
	if (!(c->flags & IO_QUIESCING) ||
		c->flags & (IO_RX_ARMED | IO_TX_ARMED | IO_END_PENDING))
		return;
	io_clear(c, IO_QUIESCING);
	/* Whoever asked for more in the meantime gets it if they stay. */
	if (c->flags & (IO_RX_ON | IO_TX_WANT))
		io_wish(io, c);
	c->ops->on_quiet(c);
}

/* --- listening sockets ------------------------------------------------------ */

int io_listener_start(struct io *io, struct io_listener *l, int fd,
	io_accept_f *on_accept)
{
	int ret;

	*l = (struct io_listener){ .on_accept = on_accept, .fd = fd };
	list_node_init(&l->node);
	ret = slot_take(io, l, IO_SLOT_LISTENER, &l->slot, &l->gen);
	if (ret < 0)
		return ret;
	l->io = io;
	list_push_back(&io->listener_wishes, &l->node);
	return 0;
}

void io_listener_stop(struct io_listener *l)
{
	struct io *io = l->io;

	if (io == NULL)
		return;
	io->engine->stop_listener(io, l);
	list_remove(&l->node);
	slot_put(io, l->slot);
	l->io = NULL;
}

/* A connection wakes one of those who wait for it.  If that was this one, nobody else has
 * heard of it. */
static void retired(struct io_listener *l)
{
	for (int i = 0; i < LAST_ACCEPTS_MAX; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			break;
		l->on_accept(l, fd);
	}
	l->on_retired(l);
}

void io_listener_retire(struct io_listener *l, void (*on_retired)(struct io_listener *))
{
	list_remove(&l->node);
	l->flags |= IO_LISTENER_RETIRED;
	l->on_retired = on_retired;
	if (l->io->engine->retire_listener(l->io, l))
		retired(l);
}

/* The last accept of a listener: fd, or -errno. */
static void accepted_last(struct io_listener *l, int fd)
{
	if (fd >= 0)
		l->on_accept(l, fd);
	retired(l);
}

/* Errors that the peer or the network made; accept(2) lists them. */
static bool is_passing(int error)
{
	switch (error) {
	case EAGAIN:
	case EINTR:
	case ECANCELED:
	case ENETDOWN:
	case EPROTO:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return true;
	default:
		return false;
	}
}

static void accept_failed(struct io *io, struct io_listener *l, int error)
{
	list_remove(&l->node);
	if (is_passing(error)) {
		list_push_back(&io->listener_wishes, &l->node);
		return;
	}
	io->stats.accept_errors++;
	if (!(l->flags & IO_LISTENER_FAILING))
		SLOG_LIMITED(WARN, "accept-failed", "error=\"%s\" retry_ms=%u",
			strerror(error), (unsigned)(ACCEPT_BACK_OFF_US / USEC_PER_MSEC));
	l->flags |= IO_LISTENER_FAILING;
	l->retry_us = io->now_us + ACCEPT_BACK_OFF_US;
	list_push_back(&io->listener_waits, &l->node);
}

void io_accepted(struct io *io, struct io_listener *l, int fd)
{
	if (l->flags & IO_LISTENER_RETIRED) {
		accepted_last(l, fd);
		return;
	}
	if (fd < 0) {
		accept_failed(io, l, -fd);
		return;
	}
	l->flags &= ~(uint32_t)IO_LISTENER_FAILING;
	if (!list_is_linked(&l->node))
		list_push_back(&io->listener_wishes, &l->node);
	l->on_accept(l, fd);
}
