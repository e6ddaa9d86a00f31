/* SPDX-License-Identifier: ISC */
#include "route/directory.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "route/directory_priv.h"

int directory_create(struct directory **out, struct config *config, uint32_t workers,
	const struct directory_hooks *hooks, struct diag *diag)
{
	struct directory *d = calloc(1, sizeof(*d));
	struct directory_next *next;
	int ret = -ENOMEM;

	if (d == NULL || hash_table_init(&d->pools, 64) < 0 ||
		hash_table_init(&d->databases, 64) < 0 ||
		hash_table_init(&d->users, 64) < 0 ||
		hash_table_init(&d->counters, 64) < 0 ||
		hash_table_init(&d->quotas, 64) < 0 ||
		hash_table_init(&d->codes, 64) < 0) {
		diag_set(diag, NULL, 0, 0, "out of memory");
		if (d != NULL) {
			hash_table_finish(&d->pools);
			hash_table_finish(&d->databases);
			hash_table_finish(&d->users);
			hash_table_finish(&d->counters);
			hash_table_finish(&d->quotas);
		}
		free(d);
		return ret;
	}
	pthread_mutex_init(&d->lock, NULL);
	list_init(&d->retired);
	list_init(&d->passwords);
	d->workers = workers;
	d->hooks = *hooks;
	ret = directory_prepare(d, config, &next, diag);
	if (ret == 0)
		ret = directory_commit(d, &next, diag);
	if (ret < 0) {
		directory_destroy(&d);
		return ret;
	}
	*out = d;
	return 0;
}

void directory_destroy(struct directory **slot)
{
	struct directory *d = *slot;

	*slot = NULL;
	if (d == NULL)
		return;
	pools_free_all(d);
	for (uint32_t i = 0; i < d->host_count; i++)
		host_destroy(d->hosts[i]);
	for (uint32_t i = 0; i < d->workload_count; i++) {
		pthread_mutex_destroy(&d->workloads[i]->lock);
		route_tls_unref(d->workloads[i]->tls);
		free(d->workloads[i]->tallies);
		free(d->workloads[i]->times);
		free(d->workloads[i]->name);
		free(d->workloads[i]);
	}
	config_unref(d->config);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

/* --- looking up ----------------------------------------------------------------- */

static enum route_result check(struct directory *d, const struct route_workload *w,
	const char *database, const struct config_workload **workload,
	const struct config_database **found)
{
	*workload = reload_conf(d, w);
	*found = config_find_database(d->config, database);
	if (*found == NULL)
		return ROUTE_NO_DATABASE;
	if (*workload == NULL || !config_workload_allows(*workload, database))
		return ROUTE_NOT_HERE;
	return ROUTE_OK;
}

enum route_result directory_check(struct directory *d, const struct route_workload *w,
	const char *database)
{
	const struct config_workload *workload;
	const struct config_database *found;
	enum route_result result;

	pthread_mutex_lock(&d->lock);
	result = check(d, w, database, &workload, &found);
	pthread_mutex_unlock(&d->lock);
	return result;
}

static void client_limits_apply(struct directory *d, const struct config_workload *workload,
	const struct config_database *conf, struct route *r)
{
	struct settings s;

	config_resolve(d->config, workload, conf, r->user, &s);
	atomic_store(&r->database->limit.clients_max, s.max_db_client_connections);
	atomic_store(&r->account->limit.clients_max, s.max_user_client_connections);
}

static bool limit_take(struct route_limit *limit)
{
	uint32_t max = atomic_load(&limit->clients_max);

	if (atomic_fetch_add(&limit->clients, 1) < max || max == 0)
		return true;
	atomic_fetch_sub(&limit->clients, 1);
	return false;
}

enum route_result route_count_client(struct route *r)
{
	if (!limit_take(&r->database->limit))
		return ROUTE_DATABASE_FULL;
	if (!limit_take(&r->account->limit)) {
		atomic_fetch_sub(&r->database->limit.clients, 1);
		return ROUTE_USER_FULL;
	}
	return ROUTE_OK;
}

void route_uncount_client(struct route *r)
{
	atomic_fetch_sub(&r->database->limit.clients, 1);
	atomic_fetch_sub(&r->account->limit.clients, 1);
}

/* Its pool stays only while it has clients: with none left it is not to be had. */
static bool route_join(struct route *r)
{
	uint32_t clients = atomic_load(&r->clients);

	while (clients > 0) {
		if (!atomic_compare_exchange_weak(&r->clients, &clients, clients + 1))
			continue;
		atomic_fetch_add(&r->refs, 1);
		return true;
	}
	return false;
}

static struct route *route_known(struct directory *d, const struct route_workload *w,
	const char *database, const char *user)
{
	const struct route_counters *counters = counters_known(d, w, database, user);
	struct route *r = counters == NULL ? NULL : counters->route;

	if (r == NULL || r->generation != atomic_load(&d->generation) || !route_join(r))
		return NULL;
	return r;
}

static enum route_result fill(struct directory *d, struct route_workload *w,
	const char *database, const char *user, struct route *r)
{
	const struct config_workload *workload;
	const struct config_database *conf;
	enum route_result result = check(d, w, database, &workload, &conf);

	if (result != ROUTE_OK)
		return result;
	r->pool = pools_find(d, conf, database, user);
	if (r->pool == NULL)
		return ROUTE_FULL;
	r->host = r->pool->host;
	r->slice = pools_slice(d, w, workload, conf, r->pool);
	r->database = pools_database(d, database);
	r->account = pools_user(d, user);
	if (r->database != NULL)
		r->counters = counters_find(d, w, r->database, user);
	r->user = strdup(user);
	if (r->slice == NULL || r->counters == NULL || r->account == NULL ||
		r->user == NULL || route_limits_make(d, workload, conf, user, &r->limits) < 0)
		return ROUTE_NO_MEMORY;
	client_limits_apply(d, workload, conf, r);
	r->generation = atomic_load(&d->generation);
	r->directory = d;
	r->workload = w;
	return ROUTE_OK;
}

static enum route_result route_make(struct directory *d, struct route_workload *w,
	const char *database, const char *user, struct route **out)
{
	struct route *r = calloc(1, sizeof(*r));
	enum route_result result;

	if (r == NULL)
		return ROUTE_NO_MEMORY;
	result = fill(d, w, database, user, r);
	if (result != ROUTE_OK) {
		free(r->user);
		free(r);
		return result;
	}
	atomic_fetch_add(&r->database->refs, 1);
	atomic_fetch_add(&r->account->refs, 1);
	atomic_fetch_add(&r->counters->refs, 1);
	atomic_store(&r->refs, 1);
	atomic_store(&r->clients, 1);
	r->counters->route = r;
	*out = r;
	return ROUTE_OK;
}

enum route_result directory_find(struct directory *d, struct route_workload *w,
	const char *database, const char *user, struct route **out)
{
	enum route_result result = ROUTE_OK;
	struct route *r;

	pthread_mutex_lock(&d->lock);
	r = route_known(d, w, database, user);
	if (r == NULL)
		result = route_make(d, w, database, user, &r);
	if (result == ROUTE_OK)
		monitor_client_count(&r->host->monitor, r->slice, 1);
	pthread_mutex_unlock(&d->lock);
	*out = r;
	return result;
}

bool route_times(const struct route *r, struct route_limits *out)
{
	struct directory *d = r->directory;
	const struct config_workload *workload;
	const struct config_database *conf;
	bool ok;

	pthread_mutex_lock(&d->lock);
	ok = check(d, r->workload, r->database->name, &workload, &conf) == ROUTE_OK &&
		route_limits_make(d, workload, conf, r->user, out) == 0;
	pthread_mutex_unlock(&d->lock);
	if (ok)
		route_limits_free(out);
	return ok;
}

bool route_user_is_removed(const struct route *r)
{
	return atomic_load(&r->account->removed_in) > r->generation;
}

bool route_is_known(const struct route *r)
{
	struct directory *d = r->directory;
	const struct config_workload *workload;
	const struct config_database *conf;
	bool is_known;

	pthread_mutex_lock(&d->lock);
	is_known = check(d, r->workload, r->database->name, &workload, &conf) == ROUTE_OK;
	pthread_mutex_unlock(&d->lock);
	return is_known && !route_user_is_removed(r);
}

struct config *directory_config(struct directory *d)
{
	struct config *config;

	pthread_mutex_lock(&d->lock);
	config = config_ref(d->config);
	pthread_mutex_unlock(&d->lock);
	return config;
}

/* --- the rest --------------------------------------------------------------------- */

uint64_t directory_generation(const struct directory *d)
{
	return atomic_load_explicit(&d->generation, memory_order_relaxed);
}

struct route_workload *directory_current_workload(struct directory *d, const char *name)
{
	const struct config_workload *conf;
	struct route_workload *w = NULL;

	pthread_mutex_lock(&d->lock);
	conf = config_find_workload(d->config, name);
	if (conf != NULL)
		w = reload_workload(d, conf);
	pthread_mutex_unlock(&d->lock);
	return w;
}

struct route_workload *directory_console(struct directory *d)
{
	struct route_workload *w;

	pthread_mutex_lock(&d->lock);
	w = d->config->admin.listen.count > 0 ? d->console : NULL;
	pthread_mutex_unlock(&d->lock);
	return w;
}

struct route_workload *directory_workload(struct directory *d, uint32_t index)
{
	struct route_workload *w;

	pthread_mutex_lock(&d->lock);
	w = index < d->workload_count ? d->workloads[index] : NULL;
	pthread_mutex_unlock(&d->lock);
	return w;
}

uint32_t directory_workload_count(struct directory *d)
{
	uint32_t count;

	pthread_mutex_lock(&d->lock);
	count = d->workload_count;
	pthread_mutex_unlock(&d->lock);
	return count;
}

/* Asked for with every grant: hosts are only ever added. */
struct route_host *directory_host(struct directory *d, uint32_t index)
{
	return index < directory_host_count(d) ? d->hosts[index] : NULL;
}

struct route_host *directory_find_host(struct directory *d, const char *name)
{
	for (uint32_t i = 0; i < directory_host_count(d); i++) {
		if (strcmp(d->hosts[i]->name, name) == 0)
			return d->hosts[i];
	}
	return NULL;
}

uint32_t directory_host_count(struct directory *d)
{
	return atomic_load_explicit(&d->host_count, memory_order_acquire);
}

uint32_t directory_workers(const struct directory *d)
{
	return d->workers;
}

