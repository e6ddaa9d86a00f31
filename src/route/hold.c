/* SPDX-License-Identifier: ISC */
/*
 * What the console holds back: pools that are paused, databases that let nobody in.
 *
 * A pause belongs to a name that clients ask for; it holds all pools of the database
 * in PostgreSQL that the name leads to, those that are made later included.
 */
#include <string.h>

#include "route/directory_priv.h"

/* Is this the database that clients get who ask for the name now? */
static bool leads_to(struct directory *d, const char *name, const struct route_host *host,
	const char *dbname)
{
	const struct config_database *conf = config_find_database(d->config, name);

	return conf != NULL && reload_host(d, d->config->hosts[conf->host].name) == host &&
		strcmp(config_dbname(conf, name), dbname) == 0;
}

static bool is_held(struct directory *d, const struct route_host *host, const char *dbname)
{
	struct hash_node *node = NULL;

	if (d->is_paused || d->paused_count == 0)
		return d->is_paused;
	while ((node = hash_table_walk(&d->databases, node)) != NULL) {
		const struct route_database *database =
			container_of(node, struct route_database, node);

		if (database->is_paused && leads_to(d, database->name, host, dbname))
			return true;
	}
	return false;
}

void pools_hold(struct directory *d, struct route_pool *p)
{
	/* The router's own questions go on: they are few, and the answers matter. */
	if (!p->is_own)
		monitor_pool_pause(&p->host->monitor, &p->pool, is_held(d, p->host, p->dbname));
}

static void each_pool(struct directory *d, void (*f)(struct directory *, struct route_pool *))
{
	struct hash_node *node = NULL;

	while ((node = hash_table_walk(&d->pools, node)) != NULL)
		f(d, container_of(node, struct route_pool, node));
	list_for_each(&d->retired, each)
		f(d, container_of(each, struct route_pool, in_retired));
}

void pools_hold_all(struct directory *d)
{
	each_pool(d, pools_hold);
}

/* Made if there is nothing yet for the name: it may be asked for later. */
static enum route_hold find_database(
	struct directory *d, const char *name, struct route_database **out)
{
	if (config_find_database(d->config, name) == NULL)
		return ROUTE_HOLD_NO_DATABASE;
	*out = pools_database(d, name);
	return *out == NULL ? ROUTE_HOLD_NO_MEMORY : ROUTE_HOLD_DONE;
}

static enum route_hold set_paused(struct directory *d, const char *name, bool is_paused)
{
	struct route_database *database = NULL;
	enum route_hold result = ROUTE_HOLD_DONE;

	if (name != NULL)
		result = find_database(d, name, &database);
	if (result != ROUTE_HOLD_DONE)
		return result;
	if ((name == NULL ? d->is_paused : database->is_paused) == is_paused)
		return ROUTE_HOLD_ALREADY;
	if (name == NULL) {
		d->is_paused = is_paused;
	} else {
		database->is_paused = is_paused;
		d->paused_count += is_paused ? 1 : UINT32_MAX;
	}
	pools_hold_all(d);
	return ROUTE_HOLD_DONE;
}

enum route_hold directory_pause(struct directory *d, const char *name, bool is_paused)
{
	enum route_hold result;

	pthread_mutex_lock(&d->lock);
	result = set_paused(d, name, is_paused);
	pthread_mutex_unlock(&d->lock);
	return result;
}

enum route_hold directory_disable(struct directory *d, const char *name, bool is_disabled)
{
	struct route_database *database;
	enum route_hold result;

	pthread_mutex_lock(&d->lock);
	result = find_database(d, name, &database);
	if (result == ROUTE_HOLD_DONE &&
		atomic_exchange(&database->is_disabled, is_disabled) == is_disabled)
		result = ROUTE_HOLD_ALREADY;
	pthread_mutex_unlock(&d->lock);
	return result;
}

void directory_held(struct directory *d, const char *name, struct route_held *out)
{
	const struct config_database *conf = NULL;
	struct hash_node *node = NULL;

	pthread_mutex_lock(&d->lock);
	*out = (struct route_held){ .is_paused = d->is_paused };
	if (name != NULL)
		conf = config_find_database(d->config, name);
	if (conf != NULL)
		out->is_paused = is_held(d, reload_host(d, d->config->hosts[conf->host].name),
			config_dbname(conf, name));
	while (name != NULL && (node = hash_table_walk(&d->databases, node)) != NULL) {
		struct route_database *database =
			container_of(node, struct route_database, node);

		if (strcmp(database->name, name) == 0)
			out->is_disabled = atomic_load(&database->is_disabled);
	}
	pthread_mutex_unlock(&d->lock);
}

bool directory_holds_any(struct directory *d)
{
	struct hash_node *node = NULL;
	bool holds;

	pthread_mutex_lock(&d->lock);
	holds = d->is_paused || d->paused_count > 0;
	while (!holds && (node = hash_table_walk(&d->databases, node)) != NULL)
		holds = atomic_load(
			&container_of(node, struct route_database, node)->is_disabled);
	pthread_mutex_unlock(&d->lock);
	return holds;
}

bool directory_resume_all(struct directory *d)
{
	struct hash_node *node = NULL;
	bool was_paused;

	pthread_mutex_lock(&d->lock);
	was_paused = d->is_paused || d->paused_count > 0;
	while (was_paused && (node = hash_table_walk(&d->databases, node)) != NULL)
		container_of(node, struct route_database, node)->is_paused = false;
	d->is_paused = false;
	d->paused_count = 0;
	if (was_paused)
		pools_hold_all(d);
	pthread_mutex_unlock(&d->lock);
	return was_paused;
}

bool directory_leads_to(struct directory *d, const char *name, const struct route_pool *p)
{
	bool leads;

	pthread_mutex_lock(&d->lock);
	leads = leads_to(d, name, p->host, p->dbname);
	pthread_mutex_unlock(&d->lock);
	return leads;
}

void directory_each_pool(struct directory *d, const char *name,
	void (*f)(struct route_pool *, void *), void *arg)
{
	struct hash_node *node = NULL;

	pthread_mutex_lock(&d->lock);
	while ((node = hash_table_walk(&d->pools, node)) != NULL) {
		struct route_pool *p = container_of(node, struct route_pool, node);

		if (!p->is_own && (name == NULL || leads_to(d, name, p->host, p->dbname)))
			f(p, arg);
	}
	list_for_each(&d->retired, each) {
		struct route_pool *p = container_of(each, struct route_pool, in_retired);

		if (!p->is_own && (name == NULL || leads_to(d, name, p->host, p->dbname)))
			f(p, arg);
	}
	pthread_mutex_unlock(&d->lock);
}
