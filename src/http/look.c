/* SPDX-License-Identifier: ISC */
#include "http/look.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "route/tls.h"
#include "session/suspend.h"
#include "session/tally.h"

enum {
	WARNING_PERCENT = 75,
	CRITICAL_PERCENT = 90,
	WAIT_EMERGENCY_US = 5000000,
	TIMEOUT_RECENT_US = 30000000
};

const char *health_level_word(enum health_level level)
{
	static const char *const words[] = {
		[HEALTH_OK] = "ok",
		[HEALTH_WARNING] = "warning",
		[HEALTH_CRITICAL] = "critical",
		[HEALTH_EMERGENCY] = "emergency",
	};

	return words[level];
}

/* --- what it means ---------------------------------------------------------------- */

/* Whom SUSPEND does not read waits unseen: for as long as that, for all we know. */
static uint64_t longest_wait(const struct look_workload *w)
{
	uint64_t wait_us = w->waiting > 0 ? w->wait_us : 0;

	if (w->hold.by == LOOK_HOLDER_SUSPEND && w->clients > 0 && w->hold.us > wait_us)
		return w->hold.us;
	return wait_us;
}

/* Who is held back can have nothing, either. */
static bool is_emergency(const struct look_workload *w, uint64_t now_us)
{
	uint64_t patience = WAIT_EMERGENCY_US;

	if (w->leased < w->max && !w->is_blocked && w->hold.by == LOOK_HOLDER_NONE)
		return false;
	if (w->query_wait_timeout_us != 0)
		patience = u64_min(patience, w->query_wait_timeout_us / 2);
	if (longest_wait(w) > patience)
		return true;
	return w->wait_timeout_at_us != 0 &&
		now_us < w->wait_timeout_at_us + TIMEOUT_RECENT_US;
}

enum health_level look_level(const struct look_workload *w, uint64_t now_us)
{
	uint64_t percent = (uint64_t)w->leased * 100;

	if (is_emergency(w, now_us))
		return HEALTH_EMERGENCY;
	if (percent > (uint64_t)w->max * CRITICAL_PERCENT)
		return HEALTH_CRITICAL;
	/* Somebody has said so, and may have forgotten. */
	if (percent > (uint64_t)w->max * WARNING_PERCENT || w->hold.by != LOOK_HOLDER_NONE)
		return HEALTH_WARNING;
	return HEALTH_OK;
}

const char *look_not_ready(const struct look *look, int drain, bool has_started)
{
	uint32_t hosts = 0, up = 0;

	if (!has_started)
		return "starting";
	/* Who has handed over answers on connections that are still open: the addresses are
	 * served. */
	if (drain != ROUTER_SERVES && drain != ROUTER_HANDED_OVER)
		return "draining";
	for (uint32_t i = 0; i < look->host_count; i++) {
		hosts += look->hosts[i].is_configured;
		up += look->hosts[i].is_configured && look->hosts[i].is_up;
	}
	return up == 0 && hosts > 0 ? "no host is reached" : NULL;
}

/* --- taking it -------------------------------------------------------------------- */

/* The ceiling is also what others leave, and what a pool, a database or a user may have; and
 * where PostgreSQL is not reached there is nothing. */
static bool is_blocked(const struct look_host *h, const struct snap_share *s)
{
	if (!h->is_up)
		return true;
	return s->waiting > 0 && (s->used >= s->max || h->budget.used >= h->budget.limit ||
		s->reason == WAIT_HOST || wait_reason_is_limit(s->reason));
}

static void add_share(struct look_workload *w, const struct look_host *h,
	const struct snap_share *s)
{
	if (!snap_share_is_alive(s))
		return;
	w->is_alive = true;
	w->name = s->workload;
	w->guaranteed += s->guaranteed;
	w->max += s->max;
	w->used += s->used;
	w->leased += s->leased;
	w->idle += s->idle;
	w->borrowed += s->borrowed;
	w->waiting += s->waiting;
	if (s->oldest_us != 0 && (w->oldest_us == 0 || s->oldest_us < w->oldest_us)) {
		w->oldest_us = s->oldest_us;
		w->reason = s->reason;
	}
	if (s->lease_us != 0 && (w->lease_since_us == 0 || s->lease_us < w->lease_since_us))
		w->lease_since_us = s->lease_us;
	w->is_blocked = w->is_blocked || is_blocked(h, s);
}

static uint64_t certificate_of(struct route_tls *tls)
{
	uint64_t end_s = tls == NULL || tls->context == NULL ? 0
							      : tls_context_expires(tls->context);

	route_tls_unref(tls);
	return end_s;
}

static int take_host(struct look *look, struct directory *d, uint32_t index)
{
	struct look_host *to = &look->hosts[index];
	struct route_host *h = directory_host(d, index);
	struct host_target target;

	to->name = h->name;
	to->is_configured = config_find_host(look->config, h->name) != NULL;
	snap_budget(h, &to->budget);
	route_host_limits(h, &to->limits);
	/* Who is connected may go on, whatever became of the last connect. */
	to->is_up = to->budget.error.sqlstate[0] == '\0' ||
		to->budget.leased + to->budget.idle > 0;
	to->certificate_s = certificate_of(route_host_connect(h, &target));
	to->cancels = atomic_load(&h->cancels);
	to->replications = atomic_load(&h->replications);
	to->cleartext_refusals = atomic_load(&h->cleartext_refusals);
	to->password_fetches = atomic_load(&h->password_fetches);
	to->password_failures = atomic_load(&h->password_failures);
	times_read(h->connects, directory_workers(d), 1, &to->connects);
	for (uint32_t i = 0; i < SERVER_END_COUNT; i++)
		to->ends[i] = tally_sum(h->ends, directory_workers(d), i);
	to->reclaims = calloc(to->budget.share_count + 1, sizeof(*to->reclaims));
	if (to->reclaims == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < to->budget.share_count; i++) {
		snap_reclaims(h, i, &to->reclaims[i]);
		add_share(&look->workloads[i], to, &to->budget.shares[i]);
	}
	return 0;
}

/* SUSPEND holds whoever a pause holds, too. */
static void take_hold(const struct look *look, const struct router *r,
	const struct route_workload *w, struct look_hold *to)
{
	struct route_pause pause;

	/* That is its end, and RESUME does not take it back. */
	if (atomic_load(&r->drain) == ROUTER_DRAINS_SERVERS)
		return;
	directory_pause_of(r->directory, w, &pause);
	if (suspend_is_on(r)) {
		to->by = LOOK_HOLDER_SUSPEND;
		to->us = look_age(look, atomic_load(&r->suspended_us));
	} else if (pause.since_us != 0) {
		to->by = LOOK_HOLDER_PAUSE;
		to->us = look_age(look, pause.since_us);
		memcpy(to->name, pause.name, sizeof(to->name));
	}
}

static void take_workload(struct look *look, const struct router *r, uint32_t index)
{
	struct look_workload *to = &look->workloads[index];
	struct directory *d = r->directory;
	struct route_workload *w = directory_workload(d, index);
	const struct config_workload *conf = NULL;
	struct settings settings;

	to->name = w->name;
	to->mode = route_mode_name(w->mode);
	to->clients = atomic_load(&w->clients);
	to->clients_max = atomic_load(&w->max_client_conn);
	to->tls_clients = tally_tls_clients(w, directory_workers(d));
	to->certificate_s = certificate_of(route_workload_tls(w));
	to->wait_timeouts = atomic_load(&w->wait_timeouts);
	to->wait_refusals = atomic_load(&w->wait_refusals);
	to->lends = atomic_load(&w->lends);
	to->cleanings = atomic_load(&w->cleanings);
	to->unseen = atomic_load(&w->unseen);
	to->wait_timeout_at_us = atomic_load(&w->wait_timeout_at_us);
	for (uint32_t i = 0; i < WORKLOAD_TIME_COUNT; i++)
		times_read(w->times + i, directory_workers(d), WORKLOAD_TIME_COUNT,
			&to->times[i]);
	/* One that has changed its mode has left its name to another one. */
	if (directory_current_workload(d, w->name) == w)
		conf = config_find_workload(look->config, w->name);
	to->is_configured = conf != NULL;
	config_resolve(look->config, conf, NULL, NULL, &settings);
	to->query_wait_timeout_us = settings.query_wait_timeout_us;
	to->wait_us = look_age(look, to->oldest_us);
	to->lease_us = look_age(look, to->lease_since_us);
	take_hold(look, r, w, &to->hold);
	to->level = look_level(to, look->now_us);
}

int look_take(struct look *look, const struct router *r, uint64_t now_us)
{
	struct directory *d = r->directory;

	memset(look, 0, sizeof(*look));
	look->now_us = now_us;
	look->config = directory_config(d);
	look->host_count = directory_host_count(d);
	look->workload_count = directory_workload_count(d);
	look->hosts = calloc(look->host_count + 1, sizeof(*look->hosts));
	if (look->hosts == NULL) {
		look_finish(look);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < look->host_count; i++) {
		if (take_host(look, d, i) < 0) {
			look_finish(look);
			return -ENOMEM;
		}
	}
	for (uint32_t i = 0; i < look->workload_count; i++)
		take_workload(look, r, i);
	return 0;
}

void look_finish(struct look *look)
{
	for (uint32_t i = 0; look->hosts != NULL && i < look->host_count; i++)
		free(look->hosts[i].reclaims);
	free(look->hosts);
	config_unref(look->config);
	memset(look, 0, sizeof(*look));
}
