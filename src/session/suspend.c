/* SPDX-License-Identifier: ISC */
#include "session/suspend.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/slog.h"
#include "session/cancel.h"
#include "session/client.h"
#include "session/router.h"
#include "session/server.h"

enum { LOOK_US = 5000 };

static void tell_streams(struct worker *w)
{
	for (uint32_t i = 0; i < w->client_slots; i++) {
		if (w->clients[i] != NULL)
			stream_hold_changed(&w->clients[i]->stream);
	}
	list_for_each(&w->servers, node)
		stream_hold_changed(&container_of(node, struct server, in_worker)->stream);
	cancel_hold_changed(w);
}

static bool is_unsent(const struct stream *s)
{
	return stream_is_held(s) && !stream_has_failed(s) && stream_unsent(s) > 0;
}

/* How many have not taken what was sent to them; from a time on they are ended. */
static uint32_t count_unsent(struct worker *w, bool ends)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < w->client_slots; i++) {
		struct client *c = w->clients[i];

		if (c == NULL || !is_unsent(&c->stream))
			continue;
		count++;
		if (ends)
			client_close(c, CLOSE_SUSPEND);
	}
	list_for_each_safe(&w->servers, node) {
		struct server *s = container_of(node, struct server, in_worker);

		if (!is_unsent(&s->stream))
			continue;
		count++;
		if (ends)
			server_cut_off(s);
	}
	return count;
}

static void on_look(struct timer *timer, uint64_t now_us)
{
	struct worker *w = container_of(timer, struct worker, suspend.look);
	bool ends = now_us >= w->suspend.until_us;
	uint32_t count = count_unsent(w, ends);

	if (count > 0 && ends)
		SLOG(WARN, "suspend-timeout", "worker=%u connections=%u", w->index, count);
	if (count == 0 || ends)
		atomic_store(&w->suspend.flushed, atomic_load(&w->router->suspends));
	else
		timer_set(&w->always, timer, now_us + LOOK_US);
}

static void begin(struct worker *w)
{
	uint64_t limit = atomic_load(&w->router->suspend_timeout_us);

	w->suspend.is_on = true;
	w->suspend.since_us = worker_now(w);
	w->suspend.until_us = limit == 0 ? UINT64_MAX : worker_now(w) + limit;
	stream_pool_hold(w->chunks, true);
	tell_streams(w);
	/* What this turn has collected goes out first. */
	timer_set(&w->always, &w->suspend.look, worker_now(w) + LOOK_US);
}

/* The time does not count against anybody. */
static void make_up(struct worker *w, uint64_t by_us)
{
	timers_delay(&w->timers, by_us);
	for (uint32_t i = 0; i < w->client_slots; i++) {
		struct client *c = w->clients[i];

		if (c == NULL)
			continue;
		c->state_us += by_us;
		c->query_us += c->query_us == 0 ? 0 : by_us;
		c->xact_us += c->xact_us == 0 ? 0 : by_us;
	}
}

static void end(struct worker *w)
{
	make_up(w, worker_now(w) - w->suspend.since_us);
	w->suspend.is_on = false;
	timer_stop(&w->suspend.look);
	stream_pool_hold(w->chunks, false);
	tell_streams(w);
	worker_defer_release(w);
	worker_recheck(w);
}

static void deliver(struct mail *mail, struct worker *w)
{
	uint32_t now = atomic_load(&w->router->suspends);

	free(mail);
	if (now == w->suspend.seen)
		return;
	w->suspend.seen = now;
	/* Where it was resumed and suspended again in between somebody waits for the second
	 * one, too. */
	if (w->suspend.is_on)
		end(w);
	if (now % 2 == 1)
		begin(w);
}

void suspend_init(struct worker *w)
{
	timer_init(&w->suspend.look, on_look);
}

bool suspend_is_on(const struct router *r)
{
	return atomic_load(&r->suspends) % 2 == 1;
}

bool suspend_is_done(const struct router *r)
{
	for (uint32_t i = 0; i < r->worker_count; i++) {
		if (atomic_load(&r->workers[i]->suspend.flushed) != atomic_load(&r->suspends))
			return false;
	}
	return true;
}

static bool post_letters(struct router *r)
{
	struct mail *mails[ROUTER_WORKERS_MAX] = { NULL };
	bool ok = true;

	for (uint32_t i = 0; ok && i < r->worker_count; i++) {
		mails[i] = calloc(1, sizeof(*mails[i]));
		ok = mails[i] != NULL;
	}
	for (uint32_t i = 0; i < r->worker_count; i++) {
		if (!ok) {
			free(mails[i]);
			continue;
		}
		mails[i]->deliver = deliver;
		worker_post(r->workers[i], mails[i]);
	}
	return ok;
}

bool suspend_set(struct router *r, bool is_on)
{
	uint32_t now = atomic_load(&r->suspends);

	if ((now % 2 == 1) == is_on)
		return false;
	if (is_on)
		atomic_store(&r->suspended_us, clock_now_us());
	if (!atomic_compare_exchange_strong(&r->suspends, &now, now + 1))
		return false;
	if (post_letters(r))
		return true;
	atomic_fetch_add(&r->suspends, 1);
	return false;
}
