/* SPDX-License-Identifier: ISC */
#include "route/directory.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/slog.h"
#include "route/directory_priv.h"

/* --- building up, reload ------------------------------------------------------- */

static enum route_mode mode_from(enum config_pool_mode mode)
{
	switch (mode) {
	case CONFIG_POOL_TRANSACTION:
		return ROUTE_TRANSACTION;
	case CONFIG_POOL_SESSION:
		return ROUTE_SESSION;
	case CONFIG_POOL_STATEMENT:
		return ROUTE_STATEMENT;
	}
	return ROUTE_SESSION;
}

static struct route_host *find_host(struct directory *d, const char *name)
{
	for (uint32_t i = 0; i < d->host_count; i++) {
		if (strcmp(d->hosts[i]->name, name) == 0)
			return d->hosts[i];
	}
	return NULL;
}

/* A workload that changes its mode becomes another one: who came to the old one
 * stays as promised. */
static struct route_workload *find_workload(struct directory *d,
	const struct config_workload *conf)
{
	for (uint32_t i = 0; i < d->workload_count; i++) {
		if (strcmp(d->workloads[i]->name, conf->name) == 0 &&
			d->workloads[i]->mode == mode_from(conf->options.pool_mode))
			return d->workloads[i];
	}
	return NULL;
}

/* What the file says of this workload now, or NULL. */
static const struct config_workload *workload_conf(const struct directory *d,
	const struct route_workload *w)
{
	const struct config_workload *conf = config_find_workload(d->config, w->name);

	return conf != NULL && mode_from(conf->options.pool_mode) == w->mode ? conf : NULL;
}

static void host_add_shares(struct directory *d, struct route_host *h, uint32_t from)
{
	for (uint32_t i = from; i < d->workload_count; i++) {
		share_init(&h->shares[i], d->workloads[i]->name);
		monitor_share_add(&h->monitor, &h->shares[i]);
	}
}

static int ensure_host(struct directory *d, const struct config_host *conf, struct diag *diag)
{
	struct route_host *h = find_host(d, conf->name);

	if (h != NULL)
		return 0;
	if (d->host_count == DIRECTORY_HOSTS_MAX) {
		diag_set(diag, NULL, 0, 0, "more than %d hosts since the start: restart",
			DIRECTORY_HOSTS_MAX);
		return -ENOSPC;
	}
	h = host_create(conf, d->host_count, diag);
	if (h == NULL)
		return -ENOMEM;
	host_add_shares(d, h, 0);
	d->hosts[d->host_count++] = h;
	return 0;
}

static int ensure_workload(struct directory *d, const struct config_workload *conf,
	struct diag *diag)
{
	struct route_workload *w = find_workload(d, conf);

	if (w != NULL)
		return 0;
	if (d->workload_count == BUDGET_SHARES_MAX) {
		diag_set(diag, NULL, 0, 0, "more than %d workloads since the start: restart",
			BUDGET_SHARES_MAX);
		return -ENOSPC;
	}
	w = calloc(1, sizeof(*w));
	if (w == NULL || (w->name = strdup(conf->name)) == NULL) {
		free(w);
		diag_set(diag, NULL, 0, 0, "out of memory");
		return -ENOMEM;
	}
	pthread_mutex_init(&w->lock, NULL);
	w->index = d->workload_count;
	w->mode = mode_from(conf->options.pool_mode);
	d->workloads[d->workload_count++] = w;
	for (uint32_t i = 0; i < d->host_count; i++)
		host_add_shares(d, d->hosts[i], w->index);
	return 0;
}

void route_workload_tcp(struct route_workload *w, struct sock_tcp *out)
{
	pthread_mutex_lock(&w->lock);
	*out = w->tcp;
	pthread_mutex_unlock(&w->lock);
}

static void workload_apply(struct directory *d, struct route_workload *w,
	const struct config_workload *conf)
{
	const struct workload_options *o = &conf->options;
	struct settings s;

	config_resolve(d->config, conf, NULL, NULL, &s);
	w->is_gone = false;
	atomic_store(&w->max_client_conn, conf->max_client_conn);
	atomic_store(&w->login_timeout_us, s.client_login_timeout_us);
	pthread_mutex_lock(&w->lock);
	w->tcp = (struct sock_tcp){
		.keepalive = o->tcp_keepalive,
		.keepidle_s = (uint32_t)(o->tcp_keepidle_us / USEC_PER_SEC),
		.keepintvl_s = (uint32_t)(o->tcp_keepintvl_us / USEC_PER_SEC),
		.keepcnt = o->tcp_keepcnt,
		.user_timeout_ms = (uint32_t)(o->tcp_user_timeout_us / USEC_PER_MSEC),
		.socket_buffer = (uint32_t)o->tcp_socket_buffer_bytes,
	};
	pthread_mutex_unlock(&w->lock);
}

static void shares_apply(struct directory *d)
{
	for (uint32_t i = 0; i < d->host_count; i++) {
		struct route_host *h = d->hosts[i];
		const struct config_host *host = config_find_host(d->config, h->name);

		for (uint32_t k = 0; k < d->workload_count; k++) {
			struct route_workload *w = d->workloads[k];
			const struct config_workload *conf = workload_conf(d, w);
			const struct config_share *share = NULL;

			if (host != NULL && conf != NULL)
				share = &conf->shares[host - d->config->hosts];
			monitor_share_set(&h->monitor, &h->shares[k],
				w->mode == ROUTE_SESSION ? SHARE_LASTING : SHARE_TRANSIENT,
				share == NULL ? 0 : share->guaranteed,
				share == NULL ? 0 : share->max);
		}
	}
}

/* Pools that exist take their limits and passwords from the new file; one whose
 * login changed opens new servers. */
static void pools_apply(struct directory *d)
{
	struct hash_node *node = NULL;

	while ((node = hash_table_walk(&d->pools, node)) != NULL) {
		struct route_pool *p = container_of(node, struct route_pool, node);

		for (uint32_t i = 0; i < d->workload_count; i++) {
			const struct config_workload *conf =
				workload_conf(d, d->workloads[i]);

			if (p->slices[i].pool != NULL && conf != NULL)
				pool_settings_apply(d, conf,
					config_find_database(d->config, p->dbname), p,
					&p->slices[i]);
		}
	}
}

static void apply(struct directory *d, const struct host_target *targets)
{
	for (uint32_t i = 0; i < d->host_count; i++)
		d->hosts[i]->is_gone = config_find_host(d->config, d->hosts[i]->name) == NULL;
	for (uint32_t i = 0; i < d->workload_count; i++)
		d->workloads[i]->is_gone = true;
	for (size_t i = 0; i < d->config->host_count; i++) {
		const struct config_host *conf = &d->config->hosts[i];
		struct route_host *h = find_host(d, conf->name);

		if (host_apply(h, conf, &targets[i]))
			monitor_retire(&h->monitor, NULL);
	}
	for (size_t i = 0; i < d->config->workload_count; i++) {
		const struct config_workload *conf = &d->config->workloads[i];

		workload_apply(d, find_workload(d, conf), conf);
	}
	shares_apply(d);
	pools_apply(d);
	atomic_fetch_add(&d->generation, 1);
}

int directory_reload(struct directory *d, struct config *config, struct diag *diag)
{
	struct host_target *targets = calloc(config->host_count, sizeof(*targets));
	struct config *old;
	int ret = 0;

	if (targets == NULL) {
		diag_set(diag, NULL, 0, 0, "out of memory");
		return -ENOMEM;
	}
	/* All that can fail or block comes before the first change. */
	for (size_t i = 0; ret == 0 && i < config->host_count; i++)
		ret = host_resolve(&config->hosts[i], &targets[i], diag);
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; ret == 0 && i < config->host_count; i++)
		ret = ensure_host(d, &config->hosts[i], diag);
	for (size_t i = 0; ret == 0 && i < config->workload_count; i++)
		ret = ensure_workload(d, &config->workloads[i], diag);
	if (ret == 0) {
		old = d->config;
		d->config = config_ref(config);
		apply(d, targets);
		config_unref(old);
	}
	pthread_mutex_unlock(&d->lock);
	free(targets);
	return ret;
}

int directory_create(struct directory **out, struct config *config, uint32_t workers,
	const struct directory_hooks *hooks, struct diag *diag)
{
	struct directory *d = calloc(1, sizeof(*d));
	int ret = -ENOMEM;

	if (d == NULL || hash_table_init(&d->pools, 64) < 0 ||
		hash_table_init(&d->databases, 64) < 0 ||
		hash_table_init(&d->users, 64) < 0 ||
		hash_table_init(&d->quotas, 64) < 0) {
		diag_set(diag, NULL, 0, 0, "out of memory");
		if (d != NULL) {
			hash_table_finish(&d->pools);
			hash_table_finish(&d->databases);
			hash_table_finish(&d->users);
		}
		free(d);
		return ret;
	}
	pthread_mutex_init(&d->lock, NULL);
	d->workers = workers;
	d->hooks = *hooks;
	ret = directory_reload(d, config, diag);
	if (ret < 0) {
		directory_destroy(&d);
		return ret;
	}
	*out = d;
	return 0;
}

static void pool_free(struct directory *d, struct route_pool *p)
{
	if (p->session != NULL)
		d->hooks.pool_destroy(p->session);
	free(p->dbname);
	free(p->user);
	free(p->options);
	if (p->password != NULL)
		explicit_bzero(p->password, strlen(p->password));
	free(p->password);
	free(p);
}

static void database_free(struct route_database *database)
{
	free(database->stats);
	free(database->name);
	free(database);
}

void directory_destroy(struct directory **slot)
{
	struct directory *d = *slot;
	struct hash_node *node;

	*slot = NULL;
	if (d == NULL)
		return;
	while ((node = hash_table_walk(&d->pools, NULL)) != NULL) {
		hash_table_remove(&d->pools, node);
		pool_free(d, container_of(node, struct route_pool, node));
	}
	while ((node = hash_table_walk(&d->databases, NULL)) != NULL) {
		hash_table_remove(&d->databases, node);
		database_free(container_of(node, struct route_database, node));
	}
	while ((node = hash_table_walk(&d->users, NULL)) != NULL) {
		struct route_user *user = container_of(node, struct route_user, node);

		hash_table_remove(&d->users, node);
		free(user->name);
		free(user);
	}
	while ((node = hash_table_walk(&d->quotas, NULL)) != NULL) {
		struct route_quota *quota = container_of(node, struct route_quota, node);

		hash_table_remove(&d->quotas, node);
		free(quota->name);
		free(quota);
	}
	for (uint32_t i = 0; i < d->host_count; i++)
		host_destroy(d->hosts[i]);
	for (uint32_t i = 0; i < d->workload_count; i++) {
		pthread_mutex_destroy(&d->workloads[i]->lock);
		free(d->workloads[i]->name);
		free(d->workloads[i]);
	}
	hash_table_finish(&d->pools);
	hash_table_finish(&d->databases);
	hash_table_finish(&d->users);
	hash_table_finish(&d->quotas);
	config_unref(d->config);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

void directory_resolve(struct directory *d)
{
	struct config *config = directory_config(d);

	for (size_t i = 0; i < config->host_count; i++) {
		const struct config_host *conf = &config->hosts[i];
		struct diag diag = { .text = "" };
		struct host_target target;
		struct route_host *h;
		char text[DIAG_TEXT_MAX];

		if (host_resolve(conf, &target, &diag) < 0) {
			SLOG_LIMITED(WARN, "host-resolve", "%s",
				diag_format(&diag, text, sizeof(text)));
			continue;
		}
		pthread_mutex_lock(&d->lock);
		h = find_host(d, conf->name);
		if (h != NULL && d->config == config && host_apply(h, conf, &target)) {
			SLOG(INFO, "host-moved", "host=%s", h->name);
			monitor_retire(&h->monitor, NULL);
		}
		pthread_mutex_unlock(&d->lock);
	}
	config_unref(config);
}

/* --- looking up ----------------------------------------------------------------- */

static enum route_result check(struct directory *d, const struct route_workload *w,
	const char *database, const struct config_workload **workload,
	const struct config_database **found)
{
	*workload = workload_conf(d, w);
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

static uint64_t pool_hash(const struct route_host *h, const char *dbname,
	const char *user, const char *options)
{
	uint64_t hash = hash_mix(h->index, hash_bytes(dbname, strlen(dbname)));

	hash = hash_mix(hash, hash_bytes(user, strlen(user)));
	return hash_mix(hash, hash_bytes(options, strlen(options)));
}

static struct route_pool *pool_create(struct directory *d, struct route_host *h,
	const char *dbname, const char *user, const char *options, const char *password)
{
	struct route_pool *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	pool_init(&p->pool, &h->monitor, p);
	p->host = h;
	p->dbname = strdup(dbname);
	p->user = strdup(user);
	p->options = strdup(options);
	p->password = strdup(password);
	if (p->dbname != NULL && p->user != NULL && p->options != NULL &&
		p->password != NULL)
		p->session = d->hooks.pool_create(p);
	if (p->session == NULL) {
		pool_free(d, p);
		return NULL;
	}
	return p;
}

static struct route_pool *find_pool(struct directory *d, const struct config_database *conf,
	const char *database, const char *user)
{
	struct route_host *h = find_host(d, d->config->hosts[conf->host].name);
	const char *dbname = config_dbname(conf, database);
	const char *login = conf->options.user[0] != '\0' ? conf->options.user : user;
	const char *secret = conf->options.password;
	uint64_t hash = pool_hash(h, dbname, login, conf->options.options);
	struct route_pool *p;

	for (struct hash_node *node = hash_table_find(&d->pools, hash); node != NULL;
		node = hash_next(node)) {
		p = container_of(node, struct route_pool, node);
		if (p->host == h && strcmp(p->dbname, dbname) == 0 &&
			strcmp(p->user, login) == 0 &&
			strcmp(p->options, conf->options.options) == 0)
			return p;
	}
	if (d->pools.count >= DIRECTORY_POOLS_MAX)
		return NULL;
	if (secret[0] == '\0') {
		secret = config_secret(d->config, login);
		secret = secret == NULL ? "" : secret;
	}
	p = pool_create(d, h, dbname, login, conf->options.options, secret);
	if (p == NULL)
		return NULL;
	monitor_pool_add(&h->monitor, &p->pool);
	hash_table_add(&d->pools, &p->node, hash);
	return p;
}

static struct quota *find_quota(struct directory *d, struct route_host *h, char kind,
	const char *name)
{
	uint64_t hash = hash_mix(hash_bytes(name, strlen(name)),
		h->index * 256u + (unsigned char)kind);
	struct route_quota *q;

	for (struct hash_node *node = hash_table_find(&d->quotas, hash); node != NULL;
		node = hash_next(node)) {
		q = container_of(node, struct route_quota, node);
		if (q->host == h && q->kind == kind && strcmp(q->name, name) == 0)
			return &q->quota;
	}
	q = calloc(1, sizeof(*q));
	if (q == NULL || (q->name = strdup(name)) == NULL) {
		free(q);
		return NULL;
	}
	q->host = h;
	q->kind = kind;
	hash_table_add(&d->quotas, &q->node, hash);
	return &q->quota;
}

static struct slice *find_slice(struct directory *d, const struct route_workload *w,
	const struct config_workload *workload, const struct config_database *conf,
	struct route_pool *p)
{
	struct slice *slice = &p->slices[w->index];

	if (slice->pool == NULL) {
		slice_init(slice, &p->pool, &p->host->shares[w->index]);
		slice->quotas[SLICE_QUOTA_DATABASE] = find_quota(d, p->host, 'd', p->dbname);
		slice->quotas[SLICE_QUOTA_USER] = find_quota(d, p->host, 'u', p->user);
		pool_settings_apply(d, workload, conf, p, slice);
		monitor_slice_add(&p->host->monitor, slice);
	}
	return slice;
}

static struct route_database *find_database(struct directory *d, const char *name)
{
	uint64_t hash = hash_bytes(name, strlen(name));
	struct route_database *found;

	for (struct hash_node *node = hash_table_find(&d->databases, hash); node != NULL;
		node = hash_next(node)) {
		found = container_of(node, struct route_database, node);
		if (strcmp(found->name, name) == 0)
			return found;
	}
	found = calloc(1, sizeof(*found));
	if (found == NULL)
		return NULL;
	found->name = strdup(name);
	found->stats = aligned_alloc(128, d->workers * sizeof(struct stats_block));
	if (found->name == NULL || found->stats == NULL) {
		database_free(found);
		return NULL;
	}
	memset(found->stats, 0, d->workers * sizeof(struct stats_block));
	hash_table_add(&d->databases, &found->node, hash);
	return found;
}

static struct route_user *find_user(struct directory *d, const char *name)
{
	uint64_t hash = hash_bytes(name, strlen(name));
	struct route_user *found;

	for (struct hash_node *node = hash_table_find(&d->users, hash); node != NULL;
		node = hash_next(node)) {
		found = container_of(node, struct route_user, node);
		if (strcmp(found->name, name) == 0)
			return found;
	}
	found = calloc(1, sizeof(*found));
	if (found == NULL || (found->name = strdup(name)) == NULL) {
		free(found);
		return NULL;
	}
	hash_table_add(&d->users, &found->node, hash);
	return found;
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
	r->is_counted = true;
	return ROUTE_OK;
}

void route_move_count(struct route *from, struct route *to)
{
	to->is_counted = from->is_counted;
	from->is_counted = false;
}

static enum route_result find(struct directory *d, struct route_workload *w,
	const char *database, const char *user, struct route *r)
{
	const struct config_workload *workload;
	const struct config_database *conf;
	enum route_result result = check(d, w, database, &workload, &conf);

	if (result != ROUTE_OK)
		return result;
	r->pool = find_pool(d, conf, database, user);
	if (r->pool == NULL)
		return ROUTE_FULL;
	r->host = r->pool->host;
	r->slice = find_slice(d, w, workload, conf, r->pool);
	r->database = find_database(d, database);
	r->account = find_user(d, user);
	r->user = strdup(user);
	if (r->database == NULL || r->account == NULL || r->user == NULL ||
		route_limits_make(d, workload, conf, user, &r->limits) < 0)
		return ROUTE_NO_MEMORY;
	client_limits_apply(d, workload, conf, r);
	r->generation = atomic_load(&d->generation);
	r->directory = d;
	r->workload = w;
	return ROUTE_OK;
}

enum route_result directory_find(struct directory *d, struct route_workload *w,
	const char *database, const char *user, struct route **out)
{
	struct route *r = calloc(1, sizeof(*r));
	enum route_result result;

	if (r == NULL)
		return ROUTE_NO_MEMORY;
	pthread_mutex_lock(&d->lock);
	result = find(d, w, database, user, r);
	if (result == ROUTE_OK)
		monitor_client_count(&r->host->monitor, r->slice, 1);
	pthread_mutex_unlock(&d->lock);
	if (result != ROUTE_OK) {
		free(r->user);
		free(r);
		return result;
	}
	atomic_store(&r->refs, 1);
	*out = r;
	return ROUTE_OK;
}

enum route_auth directory_auth(struct directory *d, const char *user, char **secret,
	unsigned *console)
{
	static const enum route_auth methods[] = {
		[CONFIG_AUTH_TRUST] = ROUTE_AUTH_TRUST,
		[CONFIG_AUTH_PASSWORD] = ROUTE_AUTH_PASSWORD,
		[CONFIG_AUTH_MD5] = ROUTE_AUTH_MD5,
		[CONFIG_AUTH_SCRAM] = ROUTE_AUTH_SCRAM,
	};
	enum route_auth method;
	const char *stored;

	pthread_mutex_lock(&d->lock);
	method = methods[d->config->auth.auth_type];
	stored = config_secret(d->config, user);
	*secret = stored == NULL ? NULL : strdup(stored);
	*console = (config_is_admin(d->config, user) ? ROUTE_ADMIN | ROUTE_STATS : 0) |
		(config_is_stats(d->config, user) ? ROUTE_STATS : 0);
	pthread_mutex_unlock(&d->lock);
	return method;
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
		w = find_workload(d, conf);
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

struct route_host *directory_host(struct directory *d, uint32_t index)
{
	struct route_host *h;

	pthread_mutex_lock(&d->lock);
	h = index < d->host_count ? d->hosts[index] : NULL;
	pthread_mutex_unlock(&d->lock);
	return h;
}

uint32_t directory_host_count(struct directory *d)
{
	uint32_t count;

	pthread_mutex_lock(&d->lock);
	count = d->host_count;
	pthread_mutex_unlock(&d->lock);
	return count;
}

uint32_t directory_workers(const struct directory *d)
{
	return d->workers;
}

uint32_t directory_max_client_conn(struct directory *d)
{
	uint32_t max;

	pthread_mutex_lock(&d->lock);
	max = d->config->process.max_client_conn;
	pthread_mutex_unlock(&d->lock);
	return max;
}

void directory_each_database(struct directory *d,
	void (*f)(const struct route_database *, void *), void *arg)
{
	struct hash_node *node = NULL;

	pthread_mutex_lock(&d->lock);
	while ((node = hash_table_walk(&d->databases, node)) != NULL)
		f(container_of(node, struct route_database, node), arg);
	pthread_mutex_unlock(&d->lock);
}

void directory_sweep(struct directory *d)
{
	struct hash_node *node, *next;

	pthread_mutex_lock(&d->lock);
	for (node = hash_table_walk(&d->pools, NULL); node != NULL; node = next) {
		struct route_pool *p = container_of(node, struct route_pool, node);

		next = hash_table_walk(&d->pools, node);
		if (!monitor_pool_remove(&p->host->monitor, &p->pool))
			continue;
		hash_table_remove(&d->pools, node);
		pool_free(d, p);
	}
	pthread_mutex_unlock(&d->lock);
}
