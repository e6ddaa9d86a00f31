/* SPDX-License-Identifier: ISC */
/*
 * A worker: one loop, its clients, and the servers that are attached to it.
 *
 * One turn: events; then letters from other workers, leases that ended, leases
 * that were granted, what closed is freed; then everything that was written is
 * sent.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rand.h"
#include "base/slog.h"
#include "session/cancel.h"
#include "session/client.h"
#include "session/chore.h"
#include "session/errand.h"
#include "session/gate.h"
#include "session/handshake.h"
#include "session/lookup.h"
#include "session/login.h"
#include "session/router.h"
#include "session/server.h"
#include "session/server_left.h"
#include "session/stall.h"
#include "session/watch.h"

enum {
	UPKEEP_US = 250000,
	REST_US = 1000000,              /* instead, while nobody waits for anything */
	SWEEP_US = 10000000,
	IDLE_LOOK_US = 1000000,         /* as often servers unused for that long are looked at */
	IDLE_LOOK_MAX = 256,
	IDLE_CLEAN_MAX = 16             /* others go on with the rest meanwhile */
};

/* --- carrying out ----------------------------------------------------------------------- */

static void wake(struct worker *w)
{
	if (!atomic_load(&w->has_ended))
		io_wake(w->io);
}

static void wake_for_grants(struct worker *w)
{
	atomic_store(&w->has_grants, true);
	wake(w);
}

static void wake_for(struct worker *w, uint64_t workers)
{
	struct router *r = w->router;

	for (uint32_t i = 0; i < r->worker_count; i++) {
		if ((workers >> i & 1) == 0)
			continue;
		if (i != w->index) {
			wake_for_grants(r->workers[i]);
			continue;
		}
		atomic_store(&w->has_grants, true);
		/* Who releases looks for grants before it ends. */
		if (!w->is_releasing)
			worker_defer_release(w);
	}
}

void worker_act(struct worker *w, struct monitor_actions *actions)
{
	struct monitor_action todo[MONITOR_ACTIONS_MAX];
	uint32_t count = actions->count;

	if (actions->wake != 0)
		wake_for(w, actions->wake);
	if (count > 0)
		memcpy(todo, actions->list, count * sizeof(todo[0]));
	/* What is done here may lead back here: the list is the caller's. */
	monitor_actions_init(actions);
	for (uint32_t i = 0; i < count; i++) {
		struct monitor_action *action = &todo[i];

		switch (action->verb) {
		case MONITOR_OPEN:
			server_open(w, action);
			break;
		case MONITOR_CLOSE:
			server_take_to_close(w, server_from_ps(action->server), action->end);
			break;
		}
	}
}

void worker_defer_release(struct worker *w)
{
	io_defer(w->io, &w->release_task, IO_PHASE_RUN);
}

static void take_grants_of(struct worker *w, struct route_host *host)
{
	bool refused;
	struct lease *l;

	while ((l = monitor_inbox_take(&host->monitor, w->index, &refused)) != NULL) {
		if (l->is_errand && refused)
			errand_refused(errand_from_lease(l));
		else if (l->is_errand)
			errand_granted(errand_from_lease(l));
		else if (refused)
			client_refused(client_from_lease(l));
		else
			client_granted(client_from_lease(l));
	}
}

/* While nothing is to be written they stay where they are. */
static void take_grants(struct worker *w)
{
	while (!w->suspend.is_on && atomic_exchange(&w->has_grants, false)) {
		uint32_t hosts = directory_host_count(w->router->directory);

		for (uint32_t i = 0; i < hosts; i++)
			take_grants_of(w, directory_host(w->router->directory, i));
	}
}

/* Servers go back first, so that those who waited longest get them. */
static void on_release(struct io_task *task)
{
	struct worker *w = container_of(task, struct worker, release_task);
	struct list now;
	struct list_node *node;

	list_init(&now);
	list_splice_back(&now, &w->releasing);
	w->is_releasing = !w->suspend.is_on;
	while ((node = list_pop_front(&now)) != NULL)
		server_release_now(container_of(node, struct server, in_release));
	take_grants(w);
	w->is_releasing = false;
}

static void on_reap(struct io_task *task)
{
	struct worker *w = container_of(task, struct worker, reap_task);

	client_reap(w);
	server_reap(w);
}

/* --- mail --------------------------------------------------------------------------------- */

void worker_post(struct worker *w, struct mail *mail)
{
	pthread_mutex_lock(&w->mail_lock);
	list_push_back(&w->mail, &mail->node);
	pthread_mutex_unlock(&w->mail_lock);
	wake(w);
}

static bool read_mail(struct worker *w)
{
	struct list now;
	struct list_node *node;

	list_init(&now);
	pthread_mutex_lock(&w->mail_lock);
	list_splice_back(&now, &w->mail);
	pthread_mutex_unlock(&w->mail_lock);
	if (list_is_empty(&now))
		return false;
	while ((node = list_pop_front(&now)) != NULL) {
		struct mail *mail = container_of(node, struct mail, node);

		mail->deliver(mail, w);
	}
	return true;
}

bool worker_read_last_mail(struct worker *w)
{
	return read_mail(w);
}

/* Worker 0.  A suspension delays all timers: who is suspended rests until it is over. */
static void end_rest(struct worker *w)
{
	uint64_t soon_us = worker_now(w) + UPKEEP_US;

	if (!w->is_resting || w->suspend.is_on)
		return;
	w->is_resting = false;
	if (!timer_is_set(&w->upkeep) || w->upkeep.deadline_us > soon_us)
		timer_set(&w->timers, &w->upkeep, soon_us);
}

void worker_rouse(struct worker *w)
{
	struct router *r = w->router;

	if (!atomic_load(&r->rests) || !atomic_exchange(&r->rests, false))
		return;
	if (w->index == 0)
		end_rest(w);
	else
		wake(r->workers[0]);
}

static void on_wake(struct io *io, void *arg)
{
	struct worker *w = arg;

	(void)io;
	(void)read_mail(w);
	if (!atomic_load(&w->router->rests))
		end_rest(w);
	if (atomic_load(&w->has_grants))
		worker_defer_release(w);
}

/* --- doors ---------------------------------------------------------------------------------- */

static void on_accept(struct io_listener *listener, int fd)
{
	struct door *door = container_of(listener, struct door, listener);

	if (gate_admit(door->worker, door->workload, fd))
		client_accept(door, fd);
}

int worker_open_door(struct worker *w, struct route_workload *workload, int fd)
{
	struct door *door;
	int ret;

	list_for_each(&w->doors, node) {
		door = container_of(node, struct door, in_worker);
		if (door->listener.fd != fd)
			continue;
		door->workload = workload;
		return 0;
	}
	door = calloc(1, sizeof(*door));
	if (door == NULL)
		return -ENOMEM;
	door->worker = w;
	door->workload = workload;
	ret = io_listener_start(w->io, &door->listener, fd, on_accept);
	if (ret < 0) {
		free(door);
		return ret;
	}
	list_push_back(&w->doors, &door->in_worker);
	atomic_fetch_add(&w->doors_left, 1);
	return 0;
}

static void on_retired(struct io_listener *listener)
{
	struct door *door = container_of(listener, struct door, listener);

	door->is_retired = true;
	atomic_fetch_sub(&door->worker->doors_left, 1);
}

void worker_retire_door(struct worker *w, int fd)
{
	list_for_each_safe(&w->doors, node) {
		struct door *door = container_of(node, struct door, in_worker);

		if (door->listener.fd == fd && !door->is_leaving) {
			door->is_leaving = true;
			io_listener_retire(&door->listener, on_retired);
		}
	}
}

void worker_leave_door_to_console(struct worker *w, int fd)
{
	list_for_each(&w->doors, node) {
		struct door *door = container_of(node, struct door, in_worker);

		if (door->listener.fd != fd || door->is_for_console)
			continue;
		door->is_for_console = true;
		atomic_fetch_sub(&w->doors_left, 1);
	}
}

static void close_door(struct door *door)
{
	if (!door->is_retired && !door->is_for_console)
		atomic_fetch_sub(&door->worker->doors_left, 1);
	io_listener_stop(&door->listener);
	list_remove(&door->in_worker);
	free(door);
}

void worker_close_door(struct worker *w, int fd)
{
	list_for_each_safe(&w->doors, node) {
		struct door *door = container_of(node, struct door, in_worker);

		if (door->listener.fd == fd)
			close_door(door);
	}
}

void worker_close_doors(struct worker *w)
{
	list_for_each_safe(&w->doors, node)
		close_door(container_of(node, struct door, in_worker));
}

void worker_recheck(struct worker *w)
{
	/* It is done when the worker goes on. */
	if (w->suspend.is_on)
		return;
	if (w->index == 0) {
		shrink_tick(w, worker_now(w));
		end_rest(w);
	}
	for (uint32_t i = 0; i < w->client_slots; i++) {
		if (w->clients[i] != NULL)
			client_recheck(w->clients[i]);
	}
}

/* --- upkeep ------------------------------------------------------------------------------------ */

/* A look at servers that nobody has used for a while: has PostgreSQL gone?  True: there may
 * be more of them. */
static bool look_at_idle(struct worker *w, struct route_host *host)
{
	struct pool_server *idle[IDLE_LOOK_MAX];
	struct pollfd fds[IDLE_LOOK_MAX];
	uint64_t now = worker_now(w);
	uint32_t count = monitor_take_idle(&host->monitor, now, IDLE_LOOK_US, idle,
		IDLE_LOOK_MAX), cleaned = 0;

	for (uint32_t i = 0; i < count; i++)
		fds[i] = (struct pollfd){ .fd = server_from_ps(idle[i])->fd, .events = POLLIN };
	if (count > 0 && poll(fds, count, 0) < 0)
		fds[0].revents = 0;
	/* In this order the last one returned is the one used last. */
	for (uint32_t i = 0; i < count; i++) {
		struct monitor_actions actions;

		monitor_actions_init(&actions);
		/* What was armed for it may have taken what came. */
		if (fds[i].revents != 0 ||
			io_conn_is_spoilt(&server_from_ps(idle[i])->stream.conn)) {
			server_take_to_close(w, server_from_ps(idle[i]), SERVER_END_LOST);
			continue;
		}
		/* In this order: also of those that wait it is to be known. */
		if (server_is_left(w, server_from_ps(idle[i])) && cleaned < IDLE_CLEAN_MAX) {
			server_clean_left(w, server_from_ps(idle[i]));
			cleaned++;
			continue;
		}
		monitor_return(&host->monitor, idle[i], now, &actions);
		worker_act(w, &actions);
	}
	return count == IDLE_LOOK_MAX;
}

static void tend(struct worker *w, struct route_host *host, uint64_t now_us)
{
	struct monitor_actions actions;

	monitor_actions_init(&actions);
	while (monitor_upkeep(&host->monitor, now_us, &actions))
		worker_act(w, &actions);
	worker_act(w, &actions);
}

void worker_tend_pools(struct worker *w)
{
	struct directory *d = w->router->directory;

	for (uint32_t i = 0; i < directory_host_count(d); i++)
		tend(w, directory_host(d, i), worker_now(w));
	worker_rouse(w);
}

/* Who waits from now on sees that it rests; who waited before is seen by the monitors. */
static void plan_upkeep(struct worker *w, uint64_t now_us, bool is_busy)
{
	struct directory *d = w->router->directory;
	uint32_t hosts = directory_host_count(d);
	bool rests = !is_busy;

	atomic_store(&w->router->rests, true);
	for (uint32_t i = 0; rests && i < hosts; i++) {
		struct route_host *host = directory_host(d, i);
		uint64_t watch_us = atomic_load(&host->watch_us);

		rests = monitor_is_calm(&host->monitor) && (watch_us == 0 || watch_us >= REST_US);
	}
	if (!rests)
		atomic_store(&w->router->rests, false);
	w->is_resting = rests;
	timer_set(&w->timers, &w->upkeep, now_us + (rests ? REST_US : UPKEEP_US));
}

static void on_upkeep(struct timer *timer, uint64_t now_us)
{
	struct worker *w = container_of(timer, struct worker, upkeep);
	struct directory *d = w->router->directory;
	uint32_t hosts = directory_host_count(d);
	bool wants_back = false, looks = now_us >= w->look_at_us, is_more = false;

	for (uint32_t i = 0; i < hosts; i++) {
		struct route_host *host = directory_host(d, i);

		/* What has died is replaced at once. */
		if (looks && look_at_idle(w, host))
			is_more = true;
		tend(w, host, now_us);
		wants_back = wants_back || monitor_wants_back(&host->monitor, now_us);
	}
	if (wants_back)
		stall_ask(w->router);
	watch_tick(w, now_us);
	shrink_tick(w, now_us);
	if (now_us >= w->sweep_at_us) {
		w->sweep_at_us = now_us + SWEEP_US;
		directory_sweep(d);
	}
	if (looks && !is_more)
		w->look_at_us = now_us + IDLE_LOOK_US;
	plan_upkeep(w, now_us, is_more);
}

/* --- life ------------------------------------------------------------------------------------------ */

int worker_create(struct worker **out, struct router *r, uint32_t index,
	const struct io_options *options)
{
	struct io_options mine = *options;
	struct worker *w = calloc(1, sizeof(*w));
	int ret = -ENOMEM;
	uint64_t seed;

	if (w == NULL)
		return ret;
	w->router = r;
	w->index = index;
	rand_bytes(&seed, sizeof(seed));
	rand_small_init(&w->seeds, seed);
	list_init(&w->doors);
	list_init(&w->unproven);
	list_init(&w->free_clients);
	list_init(&w->free_works);
	list_init(&w->releasing);
	list_init(&w->free_servers);
	list_init(&w->servers);
	list_init(&w->cancels);
	list_init(&w->errands);
	list_init(&w->mail);
	pthread_mutex_init(&w->mail_lock, NULL);
	io_task_init(&w->release_task, on_release);
	io_task_init(&w->reap_task, on_reap);
	timer_init(&w->upkeep, on_upkeep);
	stall_init(w);
	mine.on_wake = on_wake;
	mine.arg = w;
	mine.alone = r->worker_count == 1;
	w->chunks = stream_pool_create();
	if (index == 0)
		w->lookups = lookups_create();
	if (w->chunks != NULL)
		handshake_init(w);
	if (w->chunks != NULL && (index != 0 || w->lookups != NULL))
		ret = io_create(&w->io, &mine);
	if (ret < 0) {
		worker_destroy(&w);
		return ret;
	}
	timers_init(&w->timers, worker_now(w));
	timers_init(&w->always, worker_now(w));
	suspend_init(w);
	*out = w;
	return 0;
}

int worker_run(struct worker *w)
{
	int ret = 0;

	if (w->index == 0)
		timer_set(&w->timers, &w->upkeep, worker_now(w) + UPKEEP_US);
	while (ret == 0 && !atomic_load_explicit(&w->is_over, memory_order_acquire)) {
		uint64_t until_us = timers_next_us(&w->always);

		if (!w->suspend.is_on)
			until_us = u64_min(until_us, timers_next_us(&w->timers));
		ret = io_turn(w->io, until_us);
		if (!w->suspend.is_on)
			timers_run(&w->timers, worker_now(w));
		timers_run(&w->always, worker_now(w));
	}
	return ret;
}

void worker_stop(struct worker *w)
{
	atomic_store_explicit(&w->is_over, true, memory_order_release);
	wake(w);
}

/* Everything ends at once: nobody is told. */
void worker_end(struct worker *w)
{
	chores_close(w->router->chores);
	(void)read_mail(w);
	worker_close_doors(w);
	for (uint32_t i = 0; i < w->client_slots; i++) {
		if (w->clients[i] != NULL)
			client_abort(w->clients[i]);
	}
	errand_abort_all(w);
	server_abort_all(w);
	cancel_abort_all(w);
	client_reap(w);
	server_reap(w);
	atomic_store(&w->has_ended, true);
}

void worker_close_loop(struct worker *w)
{
	io_destroy(&w->io);
}

void worker_destroy(struct worker **slot)
{
	struct worker *w = *slot;

	*slot = NULL;
	if (w == NULL)
		return;
	watch_destroy(w);
	lookups_destroy(w->lookups);
	stream_pool_destroy(&w->chunks);
	pthread_mutex_destroy(&w->mail_lock);
	hash_table_finish(&w->told);
	client_works_free(w);
	texts_finish(&w->texts);
	free(w->clients);
	free(w);
}

/* --- the router ---------------------------------------------------------------------------------------- */

static void *pool_create(struct route_pool *pool)
{
	return login_create(pool);
}

const struct directory_hooks router_directory_hooks = {
	.pool_create = pool_create,
	.pool_destroy = login_destroy,
};

int router_init(struct router *r, struct directory *directory,
	const struct console_ops *console, const char *version)
{
	*r = (struct router){ .directory = directory, .version = version,
		.reloaded_at_us = clock_wall_us() };
	r->console = *console;
	rand_bytes(r->mock_key, sizeof(r->mock_key));
	pthread_mutex_init(&r->derived_lock, NULL);
	r->chores = chores_create();
	r->gate = gate_create();
	if (advice_init(&r->advice) < 0 || r->chores == NULL || r->gate == NULL)
		return -ENOMEM;
	return hash_table_init(&r->derived, 64);
}

void router_finish(struct router *r)
{
	chores_destroy(r->chores);
	gate_destroy(r->gate);
	login_wipe_derived(r);
	hash_table_finish(&r->derived);
	advice_finish(&r->advice);
	pthread_mutex_destroy(&r->derived_lock);
	explicit_bzero(r->mock_key, sizeof(r->mock_key));
}
