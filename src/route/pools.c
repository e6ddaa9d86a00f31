/* SPDX-License-Identifier: ISC */
/*
 * What the directory finds or makes for names: pools and their slices, quotas,
 * databases, users; and how they go again.
 *
 * Long because what is made for a name, and what makes it that of another, goes again here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/pairs.h"
#include "route/directory_priv.h"
#include "route/password_priv.h"

static void pool_free(struct directory *d, struct route_pool *p)
{
	for (size_t i = 0; i < BUDGET_SHARES_MAX; i++) {
		struct slice *slice = p->pool.slices[i];

		for (size_t k = 0; slice != NULL && k < SLICE_QUOTAS; k++) {
			if (slice->quotas[k] != NULL)
				container_of(slice->quotas[k], struct route_quota, quota)->refs--;
		}
		free(slice);
	}
	if (p->session != NULL)
		d->hooks.pool_destroy(p->session);
	if (p->source != NULL)
		password_use(p->source, -1);
	route_password_unref(p->source);
	code_unref(d, p->code);
	free(p->asked);
	free(p->dbname);
	free(p->user);
	free(p->options);
	if (p->password != NULL)
		explicit_bzero(p->password, strlen(p->password));
	free(p->password);
	free(p);
}

static void database_free(struct directory *d, struct route_database *database)
{
	list_for_each_safe(&database->counters, node)
		counters_free(d, container_of(node, struct route_counters, in_database));
	free(database->name);
	free(database);
}

static uint64_t pool_hash(const struct route_host *h, const char *dbname,
	const char *user, const char *options)
{
	uint64_t hash = hash_mix(h->index, hash_bytes(dbname, strlen(dbname)));

	hash = hash_mix(hash, hash_bytes(user, strlen(user)));
	return hash_mix(hash, hash_bytes(options, strlen(options)));
}

enum { OPTION_SEARCH_PATH_MAX = 255, OWN_OPTIONS_MAX = 2 * OPTION_SEARCH_PATH_MAX + 128 };

/* How servers for this database and user log in, as the configuration says. */
struct pool_identity {
	struct route_host *host;
	const char *dbname;
	const char *user;
	const char *options;
	const char *secret;             /* "" if nothing is known */
	struct route_password *source;  /* ... or it is asked for; NULL: it is not */
	bool is_own;
	bool is_given;
	char own_options[OWN_OPTIONS_MAX];
};

/* That of the host's own user. */
static void identify_secret(struct directory *d, const struct config_host *conf,
	struct pool_identity *id)
{
	id->secret = conf->own_password;
	if (!config_password_is_asked(&conf->source))
		return;
	id->secret = "";
	id->source = password_find(d, id->host, conf, &conf->source, conf->options.user,
		conf->options.dbname);
}

static bool opens_nothing(const struct pool_identity *id)
{
	return id->source == NULL && (id->secret == NULL || id->secret[0] == '\0' ||
		pairs_is_scram(id->secret));
}

static void identify(struct directory *d, const struct config_database *conf,
	const char *asked, const char *user, struct pool_identity *id)
{
	const struct config_host *host = &d->config->hosts[conf->host];

	*id = (struct pool_identity){ .host = directory_find_host(d, host->name),
		.dbname = config_dbname(conf, asked),
		.user = conf->options.user[0] != '\0' ? conf->options.user : user,
		.options = conf->options.options,
		.secret = conf->options.password };
	if (config_password_is_asked(&conf->source)) {
		id->source = password_find(d, id->host, host, &conf->source, id->user,
			conf->options.dbname);
		return;
	}
	if (id->secret[0] == '\0')
		id->secret = config_secret(d->config, id->user);
	if (id->secret == NULL && strcmp(id->user, host->options.user) == 0)
		identify_secret(d, host, id);
	if (id->secret == NULL)
		id->secret = "";
	id->is_given = conf->options.user[0] != '\0' && opens_nothing(id);
}

/* Whatever the role or the database has: nobody's schema comes before PostgreSQL's, and
 * times are written in one form. */
static void write_own_options(const char *search_path, char to[OWN_OPTIONS_MAX])
{
	char schemas[2 * OPTION_SEARCH_PATH_MAX + 2] = "";
	size_t len = 0;

	if (search_path[0] != '\0')
		schemas[len++] = ',';
	for (; *search_path != '\0' && len + 3 < sizeof(schemas); search_path++) {
		if (*search_path == ' ' || *search_path == '\\')
			schemas[len++] = '\\';
		schemas[len++] = *search_path;
	}
	schemas[len] = '\0';
	(void)snprintf(to, OWN_OPTIONS_MAX,
		"-c search_path=pg_catalog%s,pg_temp -c DateStyle=ISO -c TimeZone=UTC", schemas);
}

/* The router's own login, in a database of that host. */
static void identify_own(struct directory *d, struct route_host *h, const struct config_host *conf,
	const char *dbname, struct pool_identity *id)
{
	*id = (struct pool_identity){ .host = h,
		.dbname = dbname,
		.user = conf->options.user,
		.is_own = true };
	write_own_options(conf->options.search_path, id->own_options);
	id->options = id->own_options;
	identify_secret(d, conf, id);
}

/* Two entries may give one user different passwords: whoever has the wrong one gets
 * no server of the others, and spoils nobody's pool.  One that is asked for is known by
 * where it comes from: it changes, and the pool stays. */
static bool is_pool_of(const struct route_pool *p, const struct pool_identity *id)
{
	return p->host == id->host && p->is_own == id->is_own &&
		p->is_given == id->is_given &&
		strcmp(p->dbname, id->dbname) == 0 &&
		strcmp(p->user, id->user) == 0 &&
		strcmp(p->options, id->options) == 0 &&
		p->source == id->source &&
		strcmp(p->password, id->secret) == 0;
}

static struct route_pool *pool_create(struct directory *d, const struct pool_identity *id,
	const char *asked)
{
	struct route_pool *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	pool_init(&p->pool, &id->host->monitor, p);
	list_node_init(&p->in_retired);
	p->host = id->host;
	p->is_own = id->is_own;
	p->is_given = id->is_given;
	p->asked = strdup(asked);
	p->dbname = strdup(id->dbname);
	p->user = strdup(id->user);
	p->options = strdup(id->options);
	p->password = strdup(id->secret);
	p->code = code_find(d, id->dbname);
	if (id->source != NULL) {
		p->source = route_password_ref(id->source);
		password_use(p->source, 1);
	}
	if (p->asked != NULL && p->dbname != NULL && p->user != NULL &&
		p->options != NULL && p->password != NULL && p->code != NULL)
		p->session = d->hooks.pool_create(p);
	if (p->session == NULL) {
		pool_free(d, p);
		return NULL;
	}
	return p;
}

static struct route_pool *find_pool(struct directory *d, const struct pool_identity *id,
	const char *asked)
{
	uint64_t hash = pool_hash(id->host, id->dbname, id->user, id->options);
	struct route_pool *p;

	for (struct hash_node *node = hash_table_find(&d->pools, hash); node != NULL;
		node = hash_next(node)) {
		p = container_of(node, struct route_pool, node);
		if (is_pool_of(p, id))
			return p;
	}
	if (d->pools.count >= DIRECTORY_POOLS_MAX)
		return NULL;
	p = pool_create(d, id, asked);
	if (p == NULL)
		return NULL;
	monitor_pool_add(&id->host->monitor, &p->pool);
	pools_hold(d, p);
	hash_table_add(&d->pools, &p->node, hash);
	return p;
}

struct route_pool *pools_find(struct directory *d, const struct config_database *conf,
	const char *database, const char *user)
{
	struct pool_identity id;

	identify(d, conf, database, user, &id);
	return find_pool(d, &id, database);
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
		if (q->host == h && q->kind == kind && strcmp(q->name, name) == 0) {
			q->refs++;
			return &q->quota;
		}
	}
	q = calloc(1, sizeof(*q));
	if (q == NULL || (q->name = strdup(name)) == NULL) {
		free(q);
		return NULL;
	}
	q->refs = 1;
	q->host = h;
	q->kind = kind;
	hash_table_add(&d->quotas, &q->node, hash);
	return &q->quota;
}

struct slice *pools_slice(struct directory *d, const struct route_workload *w,
	const struct config_workload *workload, const struct config_database *conf,
	struct route_pool *p)
{
	struct slice *slice = p->pool.slices[w->index];

	if (slice == NULL) {
		slice = malloc(sizeof(*slice));
		if (slice == NULL)
			return NULL;
		slice_init(slice, &p->pool, &p->host->shares[w->index]);
		slice->quotas[SLICE_QUOTA_DATABASE] = find_quota(d, p->host, 'd', p->dbname);
		slice->quotas[SLICE_QUOTA_USER] = find_quota(d, p->host, 'u', p->user);
		pool_settings_apply(d, workload, conf, p, slice);
		monitor_slice_add(&p->host->monitor, slice);
	}
	return slice;
}

/* Limits of workloads, databases and users are not for the router. */
static void own_slice_apply(struct directory *d, struct route_pool *p, struct slice *slice)
{
	struct slice_limits limits = { 0 };
	struct settings s;

	config_resolve(d->config, NULL, NULL, NULL, &s);
	limits.idle_timeout_us = s.server_idle_timeout_us;
	limits.lifetime_us = s.server_lifetime_us == 0 ? 1 : s.server_lifetime_us;
	monitor_slice_set_limits(&p->host->monitor, slice, &limits);
}

static struct slice *own_slice(struct directory *d, struct route_pool *p)
{
	struct slice *slice = p->pool.slices[d->own->index];

	if (slice == NULL) {
		slice = malloc(sizeof(*slice));
		if (slice == NULL)
			return NULL;
		slice_init(slice, &p->pool, &p->host->shares[d->own->index]);
		own_slice_apply(d, p, slice);
		monitor_slice_add(&p->host->monitor, slice);
	}
	return slice;
}

bool directory_own(struct directory *d, struct route_host *h, const char *dbname,
	struct slice **out)
{
	const struct config_host *conf;
	struct route_pool *p = NULL;
	struct slice *slice = NULL;
	struct pool_identity id;

	pthread_mutex_lock(&d->lock);
	conf = config_find_host(d->config, h->name);
	if (conf != NULL && conf->options.user[0] != '\0') {
		if (dbname == NULL)
			dbname = conf->options.dbname;
		identify_own(d, h, conf, dbname, &id);
		p = find_pool(d, &id, dbname);
	}
	if (p != NULL)
		slice = own_slice(d, p);
	if (slice != NULL) {
		*out = slice;
		monitor_client_count(&h->monitor, slice, 1);
	}
	pthread_mutex_unlock(&d->lock);
	return slice != NULL;
}

void directory_own_done(struct slice *slice)
{
	monitor_client_count(slice->pool->monitor, slice, -1);
}

struct route_database *pools_database(struct directory *d, const char *name)
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
	list_init(&found->counters);
	found->name = strdup(name);
	if (found->name == NULL) {
		database_free(d, found);
		return NULL;
	}
	hash_table_add(&d->databases, &found->node, hash);
	return found;
}

struct route_user *pools_user(struct directory *d, const char *name)
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

void directory_each_database(struct directory *d,
	void (*f)(const struct route_database *, void *), void *arg, uint64_t gone[STAT_COUNT])
{
	struct hash_node *node = NULL;

	pthread_mutex_lock(&d->lock);
	if (gone != NULL)
		memcpy(gone, d->gone, sizeof(d->gone));
	while ((node = hash_table_walk(&d->databases, node)) != NULL)
		f(container_of(node, struct route_database, node), arg);
	pthread_mutex_unlock(&d->lock);
}

/* --- reload ------------------------------------------------------------------------- */

/* The file says something else than what this pool's servers logged in with: it
 * serves those who have it, and nobody new; none of its servers is kept in stock. */
static void pool_retire(struct directory *d, struct route_pool *p)
{
	for (uint32_t i = 0; i < d->workload_count; i++) {
		struct slice *slice = p->pool.slices[i];
		struct slice_limits limits;

		if (slice == NULL)
			continue;
		limits = slice->limits;
		limits.servers_min = 0;
		monitor_slice_set_limits(&p->host->monitor, slice, &limits);
	}
	monitor_retire(&p->host->monitor, &p->pool);
	hash_table_remove(&d->pools, &p->node);
	list_push_back(&d->retired, &p->in_retired);
}

static void own_pool_apply(struct directory *d, struct route_pool *p)
{
	const struct config_host *conf = config_find_host(d->config, p->host->name);
	struct slice *slice = p->pool.slices[d->own->index];
	struct pool_identity id;

	if (conf != NULL)
		identify_own(d, p->host, conf, p->dbname, &id);
	if (conf == NULL || !is_pool_of(p, &id))
		pool_retire(d, p);
	else if (slice != NULL)
		own_slice_apply(d, p, slice);
}

static void pool_apply(struct directory *d, struct route_pool *p)
{
	const struct config_database *conf = config_find_database(d->config, p->asked);
	struct pool_identity id;

	if (conf != NULL)
		identify(d, conf, p->asked, p->user, &id);
	if (conf == NULL || !is_pool_of(p, &id)) {
		pool_retire(d, p);
		return;
	}
	for (uint32_t i = 0; i < d->workload_count; i++) {
		const struct config_workload *workload = reload_conf(d, d->workloads[i]);

		if (p->pool.slices[i] != NULL && workload != NULL)
			pool_settings_apply(d, workload, conf, p, p->pool.slices[i]);
	}
}

void pools_apply(struct directory *d)
{
	struct hash_node *node, *next;

	for (node = hash_table_walk(&d->pools, NULL); node != NULL; node = next) {
		struct route_pool *p = container_of(node, struct route_pool, node);

		next = hash_table_walk(&d->pools, node);
		if (p->is_own)
			own_pool_apply(d, p);
		else
			pool_apply(d, p);
	}
}

static void warm(struct directory *d, struct route_workload *w,
	const struct config_workload *workload, const struct config_database *conf)
{
	const struct config_host *host = &d->config->hosts[conf->host];
	const char *user = conf->options.user[0] != '\0' ? conf->options.user :
							    host->options.user;
	struct route_pool *p;
	struct settings s;

	if (user[0] == '\0' || strcmp(conf->name, "*") == 0 ||
		!config_workload_allows(workload, conf->name))
		return;
	config_resolve(d->config, workload, conf, user, &s);
	if (s.min_pool_size == 0)
		return;
	p = pools_find(d, conf, conf->name, user);
	if (p == NULL)
		return;
	p->is_warm = true;
	(void)pools_slice(d, w, workload, conf, p);
}

void pools_warm(struct directory *d)
{
	struct hash_node *node = NULL;

	while ((node = hash_table_walk(&d->pools, node)) != NULL)
		container_of(node, struct route_pool, node)->is_warm = false;
	for (uint32_t i = 0; i < d->workload_count; i++) {
		const struct config_workload *workload = reload_conf(d, d->workloads[i]);

		for (size_t k = 0; workload != NULL && k < d->config->database_count; k++)
			warm(d, d->workloads[i], workload, &d->config->databases[k]);
	}
}

/* --- going ---------------------------------------------------------------------------- */

static void quota_free(struct route_quota *q)
{
	free(q->name);
	free(q);
}

static void user_free(struct route_user *user)
{
	free(user->name);
	free(user);
}

/* A name that led to no login: with "*" clients may make up any number of them. */
static bool is_unused(const struct directory *d, const struct route_database *database,
	uint64_t sum[STAT_COUNT])
{
	if (atomic_load(&database->refs) > 0 || database->paused_us != 0 ||
		atomic_load(&database->is_disabled))
		return false;
	route_database_sum(database, d->workers, sum);
	return sum[STAT_client_login_count] == 0;
}

/* What is there for a name only, and by nobody used. */
static void sweep_names(struct directory *d)
{
	struct hash_node *node, *next;

	for (node = hash_table_walk(&d->databases, NULL); node != NULL; node = next) {
		struct route_database *database =
			container_of(node, struct route_database, node);

		uint64_t sum[STAT_COUNT];

		next = hash_table_walk(&d->databases, node);
		counters_sweep(d, database);
		if (!is_unused(d, database, sum))
			continue;
		for (size_t i = 0; i < STAT_COUNT; i++)
			d->gone[i] += sum[i];
		hash_table_remove(&d->databases, node);
		database_free(d, database);
	}
	for (node = hash_table_walk(&d->users, NULL); node != NULL; node = next) {
		struct route_user *user = container_of(node, struct route_user, node);

		next = hash_table_walk(&d->users, node);
		if (atomic_load(&user->refs) > 0)
			continue;
		hash_table_remove(&d->users, node);
		user_free(user);
	}
	for (node = hash_table_walk(&d->quotas, NULL); node != NULL; node = next) {
		struct route_quota *quota = container_of(node, struct route_quota, node);

		next = hash_table_walk(&d->quotas, node);
		if (quota->refs > 0)
			continue;
		hash_table_remove(&d->quotas, node);
		quota_free(quota);
	}
}

void directory_sweep(struct directory *d)
{
	struct hash_node *node, *next;

	pthread_mutex_lock(&d->lock);
	for (node = hash_table_walk(&d->pools, NULL); node != NULL; node = next) {
		struct route_pool *p = container_of(node, struct route_pool, node);

		next = hash_table_walk(&d->pools, node);
		if (p->is_warm || monitor_pool_is_held(&p->host->monitor, &p->pool) ||
			!monitor_pool_remove(&p->host->monitor, &p->pool))
			continue;
		hash_table_remove(&d->pools, node);
		pool_free(d, p);
	}
	list_for_each_safe(&d->retired, each) {
		struct route_pool *p = container_of(each, struct route_pool, in_retired);

		if (!monitor_pool_remove(&p->host->monitor, &p->pool))
			continue;
		list_remove(&p->in_retired);
		pool_free(d, p);
	}
	sweep_names(d);
	passwords_sweep(d);
	pthread_mutex_unlock(&d->lock);
}

void pools_free_all(struct directory *d)
{
	struct hash_node *node;
	struct list_node *each;

	while ((node = hash_table_walk(&d->pools, NULL)) != NULL) {
		hash_table_remove(&d->pools, node);
		pool_free(d, container_of(node, struct route_pool, node));
	}
	while ((each = list_pop_front(&d->retired)) != NULL)
		pool_free(d, container_of(each, struct route_pool, in_retired));
	passwords_sweep(d);
	while ((node = hash_table_walk(&d->databases, NULL)) != NULL) {
		hash_table_remove(&d->databases, node);
		database_free(d, container_of(node, struct route_database, node));
	}
	while ((node = hash_table_walk(&d->users, NULL)) != NULL) {
		hash_table_remove(&d->users, node);
		user_free(container_of(node, struct route_user, node));
	}
	while ((node = hash_table_walk(&d->quotas, NULL)) != NULL) {
		hash_table_remove(&d->quotas, node);
		quota_free(container_of(node, struct route_quota, node));
	}
	hash_table_finish(&d->pools);
	hash_table_finish(&d->databases);
	hash_table_finish(&d->users);
	hash_table_finish(&d->counters);
	hash_table_finish(&d->quotas);
	hash_table_finish(&d->codes);
}
