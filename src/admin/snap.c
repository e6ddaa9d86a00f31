/* SPDX-License-Identifier: ISC */
#include "admin/snap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "session/server.h"

enum { ROWS_MORE = 64 };

/* Rows being filled.  What does not fit is only counted. */
struct fill {
	struct route_host *host;
	char *rows;
	size_t row_size;
	size_t count;
	size_t capacity;
	const struct snap_waiter *last;
};

static void *fill_next(struct fill *f)
{
	size_t at = f->count++;

	return at < f->capacity ? f->rows + at * f->row_size : NULL;
}

static int fill_grow(struct fill *f, size_t capacity)
{
	char *rows;

	if (capacity <= f->capacity)
		return 0;
	rows = realloc(f->rows, capacity * f->row_size);
	if (rows == NULL)
		return -ENOMEM;
	/* Touched here: nobody is to wait for the lock while pages are made. */
	memset(rows + f->capacity * f->row_size, 0,
		(capacity - f->capacity) * f->row_size);
	f->rows = rows;
	f->capacity = capacity;
	return 0;
}

/* Runs each() until all that it has to say about this host has found room. */
static int fill_host(struct fill *f, void (*each)(struct fill *))
{
	size_t before = f->count;
	int ret;

	for (;;) {
		f->count = before;
		each(f);
		if (f->count <= f->capacity)
			return 0;
		ret = fill_grow(f, f->count + ROWS_MORE);
		if (ret < 0)
			return ret;
	}
}

/* expect() says how many rows a host will have, more or less; NULL: nobody knows. */
static int fill_all(struct fill *f, struct directory *d, void (*each)(struct fill *),
	size_t (*expect)(struct route_host *))
{
	uint32_t hosts = directory_host_count(d);
	int ret = 0;

	for (uint32_t i = 0; i < hosts && ret == 0; i++) {
		f->host = directory_host(d, i);
		if (expect != NULL)
			ret = fill_grow(f, f->count + expect(f->host));
		if (ret == 0)
			ret = fill_host(f, each);
	}
	if (ret == 0)
		return 0;
	free(f->rows);
	*f = (struct fill){ .row_size = f->row_size };
	return ret;
}

static void copy_name(char to[SNAP_NAME_SIZE], const char *name)
{
	size_t len = size_min(strlen(name), SNAP_NAME_SIZE - 1);

	memcpy(to, name, len);
	to[len] = '\0';
}

static void copy_names(struct snap_names *to, const struct pool *pool)
{
	const struct route_pool *p = pool->owner;

	copy_name(to->database, p->dbname);
	copy_name(to->user, p->user);
	to->options = hash_bytes(p->options, strlen(p->options));
}

/* --- pools ------------------------------------------------------------------------ */

static uint64_t oldest_of(const struct slice *slice)
{
	struct list_node *first = list_first(&slice->waiters);

	return first == NULL ? 0
			     : container_of(first, struct lease, in_slice)->asked_at_us;
}

static void add_pool(const struct pool *pool, void *arg)
{
	struct fill *f = arg;

	for (size_t i = 0; i < COUNT_OF(pool->slices); i++) {
		const struct slice *slice = pool->slices[i];
		struct snap_pool *row;

		if (slice == NULL || (row = fill_next(f)) == NULL)
			continue;
		*row = (struct snap_pool){
			.slice = slice,
			.host = f->host,
			.workload = slice->share->name,
			.workload_index = slice->share->index,
			.clients = slice->clients,
			.waiting = slice->waiting,
			.oldest_us = oldest_of(slice),
		};
		if (pool->failures != 0)
			row->error = pool->error;
		copy_names(&row->names, pool);
	}
}

static void each_pool(struct fill *f)
{
	monitor_each_pool(&f->host->monitor, add_pool, f);
}

static int compare_slices(const void *a, const void *b)
{
	const struct slice *left = ((const struct snap_pool *)a)->slice;
	const struct slice *right = ((const struct snap_pool *)b)->slice;

	return left < right ? -1 : left > right;
}

/* A server of a pool that was not there yet is left out. */
static void count_servers(struct snap_pools *pools, const struct snap_servers *servers)
{
	if (pools->count == 0)
		return;
	qsort(pools->rows, pools->count, sizeof(pools->rows[0]), compare_slices);
	for (size_t i = 0; i < servers->count; i++) {
		const struct snap_pool key = { .slice = servers->rows[i].slice };
		struct snap_pool *row = bsearch(&key, pools->rows, pools->count,
			sizeof(pools->rows[0]), compare_slices);

		if (row != NULL)
			row->servers[servers->rows[i].state]++;
	}
}

int snap_pools(struct directory *d, struct snap_pools *out)
{
	struct fill f = { .row_size = sizeof(struct snap_pool) };
	struct snap_servers servers;
	int ret;

	*out = (struct snap_pools){ .count = 0 };
	ret = fill_all(&f, d, each_pool, NULL);
	if (ret < 0)
		return ret;
	*out = (struct snap_pools){ .rows = (struct snap_pool *)(void *)f.rows,
		.count = f.count };
	ret = snap_servers(d, &servers);
	if (ret < 0) {
		snap_pools_finish(out);
		return ret;
	}
	count_servers(out, &servers);
	snap_servers_finish(&servers);
	return 0;
}

void snap_pools_finish(struct snap_pools *pools)
{
	free(pools->rows);
	*pools = (struct snap_pools){ .count = 0 };
}

/* --- servers ------------------------------------------------------------------------ */

static void copy_quotas(const struct quota *to[SLICE_QUOTAS], const struct slice *slice)
{
	for (size_t i = 0; i < SLICE_QUOTAS; i++)
		to[i] = slice->quotas[i];
}

static void add_server(const struct pool_server *s, void *arg)
{
	struct fill *f = arg;
	struct snap_server *row = fill_next(f);

	if (row == NULL)
		return;
	*row = (struct snap_server){
		.slice = s->slice,
		.pool = s->slice->pool,
		.host = f->host,
		.workload = s->slice->share->name,
		.workload_index = s->slice->share->index,
		.state = s->state,
		.id = s->id,
		.client_id = s->state == SERVER_LEASED ? s->client_id : 0,
		.connected_us = s->connected_at_us,
		.used_us = s->used_at_us,
		.close_needed = s->epoch != s->slice->pool->epoch,
		/* It is not freed as long as the monitor has it. */
		.prepared_statements = atomic_load_explicit(
			&container_of(s, struct server, ps)->prepared.count,
			memory_order_relaxed),
	};
	/* Its worker sets these before the lock is first taken with it logged in. */
	if (s->connected_at_us != 0) {
		row->backend_pid = s->backend_pid;
		row->local_port = s->local_port;
		row->addr = container_of(s, struct server, ps)->addr;
		memcpy(row->tls, s->tls, sizeof(row->tls));
	}
	shown_get(&container_of(s, struct server, ps)->application, row->application);
	copy_quotas(row->quotas, s->slice);
	copy_names(&row->names, s->slice->pool);
}

static void each_server(struct fill *f)
{
	monitor_each_server(&f->host->monitor, add_server, f);
}

int snap_servers(struct directory *d, struct snap_servers *out)
{
	struct fill f = { .row_size = sizeof(struct snap_server) };
	int ret = fill_all(&f, d, each_server, NULL);

	*out = (struct snap_servers){ .rows = (struct snap_server *)(void *)f.rows,
		.count = f.count };
	return ret;
}

void snap_servers_finish(struct snap_servers *servers)
{
	free(servers->rows);
	*servers = (struct snap_servers){ .count = 0 };
}

/* --- who waits -------------------------------------------------------------------- */

static void add_waiter(const struct lease *l, const struct monitor_wait *wait, void *arg)
{
	struct fill *f = arg;
	struct snap_waiter *row = fill_next(f);

	if (row == NULL)
		return;
	/* Those of a queue come one after the other: its names are looked at once. */
	if (f->last != NULL && f->last->slice == l->slice)
		row->names = f->last->names;
	else
		copy_names(&row->names, l->slice->pool);
	row->host = f->host;
	row->workload = l->slice->share->name;
	row->workload_index = l->slice->share->index;
	row->slice = l->slice;
	row->pool = l->slice->pool;
	copy_quotas(row->quotas, l->slice);
	row->wait = *wait;
	row->client_id = l->client_id;
	row->is_errand = l->is_errand;
	f->last = row;
}

static void each_waiter(struct fill *f)
{
	f->last = NULL;
	monitor_each_waiter(&f->host->monitor, clock_now_us(), add_waiter, f);
}

/* Thousands are not to be looked at twice: with some room for who comes meanwhile. */
static size_t expect_waiters(struct route_host *h)
{
	size_t waiting;

	pthread_mutex_lock(&h->monitor.lock);
	waiting = h->monitor.waiting;
	pthread_mutex_unlock(&h->monitor.lock);
	return waiting + waiting / 8 + ROWS_MORE;
}

/* The queues differ in age; where two asked at once, the order is still the same
 * each time. */
static int compare_waiters(const void *a, const void *b)
{
	const struct snap_waiter *left = a, *right = b;

	if (left->wait.since_us != right->wait.since_us)
		return left->wait.since_us < right->wait.since_us ? -1 : 1;
	if (left->host != right->host)
		return left->host->index < right->host->index ? -1 : 1;
	if (left->workload_index != right->workload_index)
		return left->workload_index < right->workload_index ? -1 : 1;
	if (left->slice != right->slice)
		return left->slice < right->slice ? -1 : 1;
	return (left->wait.position > right->wait.position) -
		(left->wait.position < right->wait.position);
}

int snap_waiters(struct directory *d, struct snap_waiters *out)
{
	struct fill f = { .row_size = sizeof(struct snap_waiter) };
	int ret = fill_all(&f, d, each_waiter, expect_waiters);

	*out = (struct snap_waiters){ .rows = (struct snap_waiter *)(void *)f.rows,
		.count = f.count };
	if (out->count > 0)
		qsort(out->rows, out->count, sizeof(out->rows[0]), compare_waiters);
	return ret;
}

/* Does this one's server count for the limit that holds the waiter? */
static bool is_in_the_way(const struct snap_server *s, const struct snap_waiter *w)
{
	if (s->host != w->host || s->state != SERVER_LEASED || s->used_us == 0)
		return false;
	switch (w->wait.reason) {
	case WAIT_POOL:
	case WAIT_TURN:
		return s->pool == w->pool;
	case WAIT_DATABASE:
		return s->quotas[SLICE_QUOTA_DATABASE] == w->quotas[SLICE_QUOTA_DATABASE];
	case WAIT_USER:
		return s->quotas[SLICE_QUOTA_USER] == w->quotas[SLICE_QUOTA_USER];
	case WAIT_WORKLOAD:
		return s->workload_index == w->workload_index;
	case WAIT_ELSEWHERE:
	case WAIT_BUDGET:
	case WAIT_FLOORS:
		return true;
	case WAIT_PAUSED:
	case WAIT_CONNECTING:
	case WAIT_CLOSING:
	case WAIT_PASSWORD:
	case WAIT_HOST:
	case WAIT_LOGIN:
	case WAIT_PACING:
	case WAIT_REASON_COUNT:
		return false;
	}
	return false;
}

const struct snap_server *snap_holder(
	const struct snap_servers *servers, const struct snap_waiter *w)
{
	const struct snap_server *oldest = NULL;

	for (size_t i = 0; i < servers->count; i++) {
		const struct snap_server *s = &servers->rows[i];

		if (is_in_the_way(s, w) && (oldest == NULL || s->used_us < oldest->used_us))
			oldest = s;
	}
	return oldest;
}

void snap_waiters_finish(struct snap_waiters *waiters)
{
	free(waiters->rows);
	*waiters = (struct snap_waiters){ .count = 0 };
}
