/* SPDX-License-Identifier: ISC */
/*
 * One route: settings as values, and the pool they belong to.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "route/directory_priv.h"

static const char *const mode_names[] = {
	[ROUTE_TRANSACTION] = "transaction",
	[ROUTE_SESSION] = "session",
	[ROUTE_STATEMENT] = "statement",
};

const char *route_mode_name(enum route_mode mode)
{
	return mode_names[mode];
}

static void list_free(char **list)
{
	for (char **name = list; name != NULL && *name != NULL; name++)
		free(*name);
	free(list);
}

void route_limits_free(struct route_limits *l)
{
	free(l->session_port);
	free(l->reset_query);
	free(l->check_query);
	list_free(l->ignored);
}

static char **list_copy(const struct option_list *list)
{
	char **copy = calloc(list->count + 1, sizeof(char *));

	for (size_t i = 0; copy != NULL && i < list->count; i++) {
		copy[i] = strdup(list->items[i]);
		if (copy[i] == NULL) {
			list_free(copy);
			return NULL;
		}
	}
	return copy;
}

static enum route_state state_from(enum config_session_state state)
{
	switch (state) {
	case CONFIG_STATE_STRICT:
		return ROUTE_STATE_STRICT;
	case CONFIG_STATE_TRACKED:
		return ROUTE_STATE_TRACKED;
	case CONFIG_STATE_OFF:
		return ROUTE_STATE_OFF;
	}
	return ROUTE_STATE_STRICT;
}

static uint32_t refused_from(const struct settings *s)
{
	uint32_t refused = 0;

#define PIN(name, word, ends, text)                                                      \
	if (s->session_state_##word == CONFIG_POLICY_REFUSE)                             \
		refused |= 1u << ROUTE_PIN_##name;
#include "pins.def"
#undef PIN
#define KEPT(name, word, text)                                                           \
	if (s->session_state_##word == CONFIG_KEPT_REFUSE)                               \
		refused |= 1u << ROUTE_KEPT_##name;
#include "kept.def"
#undef KEPT
	return refused;
}

static enum route_advice advice_from(enum config_session_advice advice)
{
	switch (advice) {
	case CONFIG_ADVICE_OFF:
		return ROUTE_ADVICE_OFF;
	case CONFIG_ADVICE_LOG:
		return ROUTE_ADVICE_LOG;
	case CONFIG_ADVICE_NOTICE:
		return ROUTE_ADVICE_NOTICE;
	}
	return ROUTE_ADVICE_LOG;
}

static uint32_t audit_from(enum config_session_audit audit)
{
	switch (audit) {
	case CONFIG_AUDIT_OFF:
		return 0;
	case CONFIG_AUDIT_SAMPLED:
		return ROUTE_AUDIT_SAMPLE;
	case CONFIG_AUDIT_ALWAYS:
		return 1;
	}
	return 0;
}

/* The first session port that serves this database: "127.0.0.1:6433 (workload jobs)". */
static char *session_port(const struct config *config, const char *database)
{
	char *text = NULL;

	for (size_t i = 0; i < config->workload_count; i++) {
		const struct config_workload *w = &config->workloads[i];

		if (w->options.pool_mode != CONFIG_POOL_SESSION ||
			!config_workload_allows(w, database))
			continue;
		if (asprintf(&text, "%s (workload %s)", w->options.listen.items[0],
			    w->name) < 0)
			return NULL;
		return text;
	}
	return strdup("");
}

int route_limits_make(struct directory *d, const struct config_workload *workload,
	const struct config_database *database, const char *user, struct route_limits *out)
{
	struct settings s;

	config_resolve(d->config, workload, database, user, &s);
	*out = (struct route_limits){
		.query_wait_timeout_us = s.query_wait_timeout_us,
		.query_wait_notify_us = s.query_wait_notify_us,
		.log_slow_wait_us = s.log_slow_wait_us,
		.log_slow_query_us = s.log_slow_query_us,
		.log_slow_text = s.log_slow_text_bytes,
		.query_timeout_us = s.query_timeout_us,
		.transaction_timeout_us = s.transaction_timeout_us,
		.idle_transaction_timeout_us = s.idle_transaction_timeout_us,
		.client_idle_timeout_us = s.client_idle_timeout_us,
		.idle_session_timeout_us = s.idle_session_timeout_us,
		.idle_reclaim_us = s.idle_session_reclaim_us,
		.cancel_wait_timeout_us = s.cancel_wait_timeout_us,
		.server_check_delay_us = s.server_check_delay_us,
		.max_waiting = s.max_waiting,
		.max_prepared = s.max_prepared_statements,
		.reuses_plans = s.plan_reuse,
		.state = state_from(s.session_state),
		.pins_refused = refused_from(&s),
		.audit_each = audit_from(s.session_state_audit),
		.keeps_unseen = s.session_state_unseen == CONFIG_UNSEEN_KEEP,
		.advice = advice_from(s.session_state_advice),
		.session_port = session_port(d->config, database->name),
		.statement_memory = s.max_client_statement_memory_bytes,
		.wait_is_fatal = s.wait_error == CONFIG_WAIT_FATAL,
		.reset_query = strdup(s.server_reset_query),
		.check_query = strdup(s.server_check_query),
		.ignored = list_copy(&s.ignore_startup_parameters),
	};
	if (out->session_port != NULL && out->reset_query != NULL && out->check_query != NULL && out->ignored != NULL)
		return 0;
	route_limits_free(out);
	return -ENOMEM;
}

/* The pool's limits are those of the user that it logs in as. */
void pool_settings_apply(struct directory *d, const struct config_workload *workload,
	const struct config_database *database, struct route_pool *pool,
	struct slice *slice)
{
	struct slice_limits limits;
	struct settings s;

	config_resolve(d->config, workload, database, pool->user, &s);
	limits = (struct slice_limits){
		.servers_max = s.default_pool_size,
		.servers_min = s.min_pool_size,
		.reserve = s.reserve_pool_timeout_us == 0 ? 0 : s.reserve_pool_size,
		.reserve_after_us = s.reserve_pool_timeout_us,
		.waiting_max = s.max_waiting,
		.idle_timeout_us = s.server_idle_timeout_us,
		.lifetime_us = s.server_lifetime_us,
	};
	/* After one use: whatever lifetime has passed by then. */
	if (limits.lifetime_us == 0)
		limits.lifetime_us = 1;
	monitor_slice_set_limits(pool->pool.monitor, slice, &limits);
	for (size_t i = 0; i < SLICE_QUOTAS; i++) {
		if (slice->quotas[i] != NULL)
			monitor_quota_set(pool->pool.monitor, slice->quotas[i],
				i == SLICE_QUOTA_USER ? s.max_user_connections :
							s.max_db_connections);
	}
}

struct route *route_ref(struct route *r)
{
	atomic_fetch_add(&r->refs, 1);
	return r;
}

/* Who asks for the same meanwhile finds it without clients, and makes a new one. */
static void forget(struct route *r)
{
	pthread_mutex_lock(&r->directory->lock);
	if (r->counters->route == r)
		r->counters->route = NULL;
	pthread_mutex_unlock(&r->directory->lock);
}

void route_unref(struct route *r)
{
	if (r == NULL || atomic_fetch_sub(&r->refs, 1) != 1)
		return;
	forget(r);
	/* The database last: it owns its counters. */
	atomic_fetch_sub(&r->counters->refs, 1);
	atomic_fetch_sub(&r->account->refs, 1);
	atomic_fetch_sub(&r->database->refs, 1);
	route_limits_free(&r->limits);
	free(r->user);
	free(r);
}

void route_leave(struct route *r)
{
	if (r == NULL)
		return;
	/* In this order: as long as it counts as a client's its pool stays. */
	atomic_fetch_sub(&r->clients, 1);
	monitor_client_count(&r->host->monitor, r->slice, -1);
	route_unref(r);
}
