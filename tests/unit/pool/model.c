/* SPDX-License-Identifier: ISC */
#include "model.h"

#include <string.h>

void model_fail(struct model *w, const char *why)
{
	if (w->error == NULL)
		w->error = why;
}

struct monitor_actions *model_actions(struct model *w)
{
	w->has_acted = true;
	w->todo = (struct monitor_actions){ 0 };
	return &w->todo;
}

void model_settle(struct model *w, bool has_chosen)
{
	if (has_chosen) {
		w->chosen_at = w->now;
		w->has_chosen = true;
		w->must_choose = false;
	}
	for (uint32_t i = 0; i < w->todo.count; i++) {
		const struct monitor_action *a = &w->todo.list[i];
		struct model_server *server;

		if (a->verb == MONITOR_OPEN) {
			if (w->open_count == MODEL_SERVERS) {
				model_fail(w, "more to open than the budget has");
				return;
			}
			w->opens[w->open_count++] = *a;
			continue;
		}
		server = container_of(a->server, struct model_server, s);
		if (server->place != PLACE_POOL)
			model_fail(w, "told to close a server that is not the pool's");
		if (server->s.state != SERVER_CLOSING)
			model_fail(w, "told to close a server that is not CLOSING");
		server->place = PLACE_CLOSING;
	}
}

void model_upkeep(struct model *w)
{
	bool more;
	int calls = 0;

	do {
		more = monitor_upkeep(&w->m, w->now, model_actions(w));
		model_settle(w, true);
		if (++calls > MODEL_SERVERS)
			model_fail(w, "upkeep does not come to an end");
	} while (more && w->error == NULL);
	w->was_upkept = true;
}

static struct slice_limits random_slice(struct rand_small *r)
{
	struct slice_limits limits = { 0 };

	if (rand_small_below(r, 2) == 0)
		limits.servers_max = 1 + (uint32_t)rand_small_below(r, 3);
	if (rand_small_below(r, 3) == 0)
		limits.reserve = 1 + (uint32_t)rand_small_below(r, 2);
	limits.reserve_after_us = rand_small_below(r, 2 * USEC_PER_SEC);
	if (rand_small_below(r, 8) == 0)
		limits.servers_min = 1 + (uint32_t)rand_small_below(r, 2);
	if (rand_small_below(r, 3) == 0)
		limits.waiting_max = 1 + (uint32_t)rand_small_below(r, 4);
	if (rand_small_below(r, 2) == 0)
		limits.idle_timeout_us = USEC_PER_SEC;
	if (rand_small_below(r, 2) == 0)
		limits.lifetime_us = 5 * USEC_PER_SEC;
	return limits;
}

void model_configure(struct model *w, uint64_t seed)
{
	struct monitor_limits limits = { .retry_us = 100 * USEC_PER_MSEC };
	struct rand_small r;
	uint32_t left;

	rand_small_init(&r, seed * UINT64_C(0x9e3779b97f4a7c15) + 1);
	w->limits_changed = true;
	limits.budget = 1 + (uint32_t)rand_small_below(&r, MODEL_BUDGET_MAX);
	limits.connecting_max = 1 + (uint32_t)rand_small_below(&r, 4);
	if (rand_small_below(&r, 3) != 0)
		limits.reclaim_grace_us = 1 + rand_small_below(&r, 2 * USEC_PER_SEC);
	monitor_set_limits(&w->m, &limits);
	left = limits.budget;
	for (int i = 0; i < MODEL_SHARES; i++) {
		uint32_t floor = (uint32_t)rand_small_below(&r, left + 1);
		uint32_t max = 1 + (uint32_t)rand_small_below(&r, limits.budget);

		floor = rand_small_below(&r, 3) == 0 ? 0 : floor;
		left -= floor;
		monitor_share_set(&w->m, &w->shares[i], w->shares[i].kind, floor,
			max < floor ? floor : max, 1 + (uint32_t)rand_small_below(&r, 4));
	}
	for (int i = 0; i < MODEL_SHARES; i++)
		monitor_share_pins(&w->m, &w->shares[i],
			rand_small_below(&r, 2) == 0 ? SHARE_PINNED_AUTO :
			(uint32_t)rand_small_below(&r, 4));
	for (int i = 0; i < MODEL_QUOTAS; i++) {
		uint32_t max = (uint32_t)rand_small_below(&r, 5);

		monitor_quota_set(
			&w->m, &w->quotas[i], rand_small_below(&r, 3) == 0 ? max : 0);
	}
	for (int p = 0; p < MODEL_POOLS; p++) {
		for (int i = 0; i < MODEL_SHARES; i++) {
			struct slice_limits one = random_slice(&r);

			monitor_slice_set_limits(&w->m, &w->slices[p][i], &one);
		}
	}
	model_upkeep(w);
}

void model_begin(struct model *w, uint64_t seed)
{
	const struct monitor_limits limits = { .budget = 1, .connecting_max = 1 };

	memset(w, 0, sizeof(*w));
	w->now = 1000 * USEC_PER_SEC;
	if (monitor_init(&w->m, &limits) < 0)
		model_fail(w, "monitor_init");
	rand_small_init(&w->m.rand, seed);
	for (int i = 0; i < MODEL_SHARES; i++) {
		share_init(&w->shares[i], "share");
		w->shares[i].kind = i % 2 == 0 ? SHARE_TRANSIENT : SHARE_LASTING;
		monitor_share_add(&w->m, &w->shares[i]);
	}
	for (int p = 0; p < MODEL_POOLS; p++) {
		pool_init(&w->pools[p], &w->m, NULL);
		monitor_pool_add(&w->m, &w->pools[p]);
		for (int i = 0; i < MODEL_SHARES; i++) {
			slice_init(&w->slices[p][i], &w->pools[p], &w->shares[i]);
			w->slices[p][i].quotas[SLICE_QUOTA_DATABASE] = &w->quotas[p / 2];
			w->slices[p][i].quotas[SLICE_QUOTA_USER] = &w->quotas[2 + p % 2];
			monitor_slice_add(&w->m, &w->slices[p][i]);
		}
	}
	for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
		lease_init(&w->clients[i].lease, i % MODEL_WORKERS, i + 1);
	model_configure(w, seed);
}

void model_end(struct model *w)
{
	monitor_finish(&w->m);
}

struct model_server *model_server_in(
	struct model *w, enum server_place place, uint32_t from)
{
	for (uint32_t i = 0; i < MODEL_SERVERS; i++) {
		struct model_server *server = &w->servers[(from + i) % MODEL_SERVERS];

		if (server->place == place)
			return server;
	}
	return NULL;
}

struct model_client *model_client_in(
	struct model *w, enum client_place place, uint32_t from)
{
	for (uint32_t i = 0; i < MODEL_CLIENTS; i++) {
		struct model_client *client = &w->clients[(from + i) % MODEL_CLIENTS];

		if (client->place == place)
			return client;
	}
	return NULL;
}

void model_client_holds(struct model *w, struct model_client *client)
{
	if (client->lease.server == NULL) {
		model_fail(w, "a lease without a server");
		return;
	}
	client->server = container_of(client->lease.server, struct model_server, s);
	if (client->server->place != PLACE_POOL)
		model_fail(w, "granted a server that is not the pool's");
	client->place = CLIENT_HOLDS;
	client->server->place = PLACE_CLIENT;
	client->server->client = client;
}
