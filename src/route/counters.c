/* SPDX-License-Identifier: ISC */
/*
 * What is counted of each workload, database and user that came together.
 */
#include <stdlib.h>
#include <string.h>

#include "route/directory_priv.h"

static uint64_t hash_of(const struct route_workload *w, const char *database,
	const char *user)
{
	return hash_bytes(user, strlen(user)) ^
		(hash_bytes(database, strlen(database)) * 31 + w->index);
}

struct route_counters *counters_known(struct directory *d, const struct route_workload *w,
	const char *database, const char *user)
{
	uint64_t hash = hash_of(w, database, user);

	for (struct hash_node *node = hash_table_find(&d->counters, hash); node != NULL;
		node = hash_next(node)) {
		struct route_counters *c = container_of(node, struct route_counters, node);

		if (c->workload == w && strcmp(c->database->name, database) == 0 &&
			strcmp(c->user, user) == 0)
			return c;
	}
	return NULL;
}

struct route_counters *counters_find(struct directory *d, struct route_workload *w,
	struct route_database *database, const char *user)
{
	struct route_counters *c = counters_known(d, w, database->name, user);

	if (c != NULL)
		return c;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->workload = w;
	c->database = database;
	c->user = strdup(user);
	c->stats = aligned_alloc(128, d->workers * sizeof(struct stats_block));
	if (c->user == NULL || c->stats == NULL) {
		free(c->user);
		free(c->stats);
		free(c);
		return NULL;
	}
	c->number = COUNTERS_UNKNOWN;
	memset(c->stats, 0, d->workers * sizeof(struct stats_block));
	list_push_back(&database->counters, &c->in_database);
	hash_table_add(&d->counters, &c->node, hash_of(w, database->name, user));
	return c;
}

void counters_free(struct directory *d, struct route_counters *c)
{
	hash_table_remove(&d->counters, &c->node);
	list_remove(&c->in_database);
	free(c->stats);
	free(c->user);
	free(c);
}

static bool has_logins(const struct directory *d, const struct route_counters *c)
{
	uint64_t sum[STAT_COUNT];

	stats_sum(c->stats, d->workers, sum);
	return sum[STAT_client_login_count] > 0;
}

/* What was counted without a login stays counted, though nobody is named. */
void counters_sweep(struct directory *d, struct route_database *database)
{
	list_for_each_safe(&database->counters, node) {
		struct route_counters *c =
			container_of(node, struct route_counters, in_database);
		uint64_t sum[STAT_COUNT];

		if (atomic_load(&c->refs) > 0 || has_logins(d, c))
			continue;
		stats_sum(c->stats, d->workers, sum);
		for (size_t i = 0; i < STAT_COUNT; i++) {
			database->swept[i] += sum[i];
			c->workload->swept[i] += sum[i];
		}
		counters_free(d, c);
	}
}

void route_database_sum(const struct route_database *database, uint32_t workers,
	uint64_t out[STAT_COUNT])
{
	memcpy(out, database->swept, STAT_COUNT * sizeof(out[0]));
	list_for_each(&database->counters, node) {
		uint64_t sum[STAT_COUNT];

		stats_sum(container_of(node, struct route_counters, in_database)->stats,
			workers, sum);
		for (size_t i = 0; i < STAT_COUNT; i++)
			out[i] += sum[i];
	}
}

void directory_each_counters(struct directory *d,
	void (*f)(const struct route_counters *, void *), void *arg)
{
	struct hash_node *node = NULL;

	pthread_mutex_lock(&d->lock);
	while ((node = hash_table_walk(&d->counters, node)) != NULL) {
		struct route_counters *c = container_of(node, struct route_counters, node);

		if (c->number == COUNTERS_UNKNOWN && has_logins(d, c))
			c->number = d->counters_known++;
		f(c, arg);
	}
	pthread_mutex_unlock(&d->lock);
}

void directory_swept(struct directory *d, uint32_t workload, uint64_t out[STAT_COUNT])
{
	pthread_mutex_lock(&d->lock);
	if (workload < d->workload_count)
		memcpy(out, d->workloads[workload]->swept, STAT_COUNT * sizeof(out[0]));
	else
		memset(out, 0, STAT_COUNT * sizeof(out[0]));
	pthread_mutex_unlock(&d->lock);
}
