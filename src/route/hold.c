/* SPDX-License-Identifier: ISC */
/*
 * What the console holds back: pools that are paused, databases that let nobody in.
 *
 * A pause belongs to a name that clients ask for; it holds all pools of the database
 * in PostgreSQL that the name leads to, those that are made later included.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "route/directory_priv.h"

/* Is this the database that clients get who ask for the name now? */
static bool leads_to(struct directory *d, const char *name, const struct route_host *host,
	const char *dbname)
{
	const struct config_database *conf = config_find_database(d->config, name);

	return conf != NULL && directory_find_host(d, d->config->hosts[conf->host].name) == host &&
		strcmp(config_dbname(conf, name), dbname) == 0;
}

/* Of two times, 0 being none. */
static uint64_t first_of(uint64_t a_us, uint64_t b_us)
{
	return a_us == 0 || (b_us != 0 && b_us < a_us) ? b_us : a_us;
}

/* Since when; 0: it is not. */
static uint64_t held_since(
	struct directory *d, const struct route_host *host, const char *dbname)
{
	uint64_t since_us = d->paused_us;
	struct hash_node *node = NULL;

	while (d->paused_count > 0 && (node = hash_table_walk(&d->databases, node)) != NULL) {
		const struct route_database *database =
			container_of(node, struct route_database, node);

		if (database->paused_us != 0 && leads_to(d, database->name, host, dbname))
			since_us = first_of(since_us, database->paused_us);
	}
	return since_us;
}

static bool is_held(struct directory *d, const struct route_host *host, const char *dbname)
{
	return held_since(d, host, dbname) != 0;
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

/* since_us 0: not any more.  pools_hold_all() has to follow. */
static enum route_hold set_paused(struct directory *d, const char *name, uint64_t since_us)
{
	struct route_database *database = NULL;
	enum route_hold result = ROUTE_HOLD_DONE;
	uint64_t *paused_us;

	if (name != NULL)
		result = find_database(d, name, &database);
	if (result != ROUTE_HOLD_DONE)
		return result;
	paused_us = name == NULL ? &d->paused_us : &database->paused_us;
	if ((*paused_us != 0) == (since_us != 0))
		return ROUTE_HOLD_ALREADY;
	*paused_us = since_us;
	if (name != NULL)
		d->paused_count += since_us != 0 ? 1 : UINT32_MAX;
	d->holds_version++;
	return ROUTE_HOLD_DONE;
}

static enum route_hold set_disabled(struct directory *d, const char *name, bool is_disabled)
{
	struct route_database *database;
	enum route_hold result = find_database(d, name, &database);

	if (result != ROUTE_HOLD_DONE)
		return result;
	if (atomic_exchange(&database->is_disabled, is_disabled) == is_disabled)
		return ROUTE_HOLD_ALREADY;
	d->holds_version++;
	return ROUTE_HOLD_DONE;
}

enum route_hold directory_pause(struct directory *d, const char *name, bool is_paused)
{
	enum route_hold result;

	pthread_mutex_lock(&d->lock);
	result = set_paused(d, name, is_paused ? clock_now_us() : 0);
	if (result == ROUTE_HOLD_DONE)
		pools_hold_all(d);
	pthread_mutex_unlock(&d->lock);
	return result;
}

enum route_hold directory_disable(struct directory *d, const char *name, bool is_disabled)
{
	enum route_hold result;

	pthread_mutex_lock(&d->lock);
	result = set_disabled(d, name, is_disabled);
	pthread_mutex_unlock(&d->lock);
	return result;
}

void directory_held(struct directory *d, const char *name, struct route_held *out)
{
	const struct config_database *conf = NULL;
	struct hash_node *node = NULL;

	pthread_mutex_lock(&d->lock);
	*out = (struct route_held){ .paused_us = d->paused_us };
	if (name != NULL)
		conf = config_find_database(d->config, name);
	if (conf != NULL)
		out->paused_us = held_since(d,
			directory_find_host(d, d->config->hosts[conf->host].name),
			config_dbname(conf, name));
	while (name != NULL && (node = hash_table_walk(&d->databases, node)) != NULL) {
		struct route_database *database =
			container_of(node, struct route_database, node);

		if (strcmp(database->name, name) == 0)
			out->is_disabled = atomic_load(&database->is_disabled);
	}
	pthread_mutex_unlock(&d->lock);
}

void directory_holds_count(struct directory *d, struct route_holds *out)
{
	struct hash_node *node = NULL;

	pthread_mutex_lock(&d->lock);
	*out = (struct route_holds){ .paused = d->paused_count + (d->paused_us != 0 ? 1 : 0),
		.paused_us = d->paused_us };
	while ((node = hash_table_walk(&d->databases, node)) != NULL) {
		const struct route_database *database =
			container_of(node, struct route_database, node);

		out->disabled += atomic_load(&database->is_disabled) ? 1 : 0;
		out->paused_us = first_of(out->paused_us, database->paused_us);
	}
	pthread_mutex_unlock(&d->lock);
}

/* Does a pause of this name hold clients of the workload, by whatever name they ask? */
static bool holds_clients_of(
	struct directory *d, const struct config_workload *workload, const char *name)
{
	const struct option_list *served = &workload->options.databases;
	const struct config_database *conf = config_find_database(d->config, name);
	const struct route_host *host;

	if (conf == NULL)
		return false;
	if (config_workload_allows(workload, name))
		return true;
	host = directory_find_host(d, d->config->hosts[conf->host].name);
	for (size_t i = 0; i < served->count; i++) {
		if (leads_to(d, served->items[i], host, config_dbname(conf, name)))
			return true;
	}
	return false;
}

void directory_pause_of(struct directory *d, const struct route_workload *w,
	struct route_pause *out)
{
	const struct config_workload *conf;
	struct hash_node *node = NULL;

	*out = (struct route_pause){ .since_us = 0 };
	pthread_mutex_lock(&d->lock);
	conf = reload_conf(d, w);
	if (conf != NULL)
		out->since_us = d->paused_us;
	while (conf != NULL && d->paused_count > 0 &&
		(node = hash_table_walk(&d->databases, node)) != NULL) {
		const struct route_database *database =
			container_of(node, struct route_database, node);

		if (first_of(out->since_us, database->paused_us) == out->since_us ||
			!holds_clients_of(d, conf, database->name))
			continue;
		out->since_us = database->paused_us;
		(void)snprintf(out->name, sizeof(out->name), "%s", database->name);
	}
	pthread_mutex_unlock(&d->lock);
}

/* Nothing is held any more. */
static void release_all(struct directory *d)
{
	struct hash_node *node = NULL;

	while ((node = hash_table_walk(&d->databases, node)) != NULL)
		container_of(node, struct route_database, node)->paused_us = 0;
	d->paused_us = 0;
	d->paused_count = 0;
}

bool directory_resume_all(struct directory *d)
{
	bool was_paused;

	pthread_mutex_lock(&d->lock);
	was_paused = d->paused_us != 0 || d->paused_count > 0;
	if (was_paused) {
		release_all(d);
		d->holds_version++;
		pools_hold_all(d);
	}
	pthread_mutex_unlock(&d->lock);
	return was_paused;
}

/* It need not come to rest, or has. */
static bool is_at_rest(struct directory *d, struct route_pool *p)
{
	struct monitor_left left;

	if (p->is_own || !is_held(d, p->host, p->dbname))
		return true;
	monitor_pool_left(&p->host->monitor, &p->pool, clock_now_us(), &left);
	return left.servers == 0;
}

/* --- other processes --------------------------------------------------------------- */

uint64_t directory_holds_version(struct directory *d)
{
	uint64_t version;

	pthread_mutex_lock(&d->lock);
	version = d->holds_version;
	pthread_mutex_unlock(&d->lock);
	return version;
}

/* Records that end with a zero byte: a letter, and the name that it is about. */
static void write_record(struct buf *out, char what, const char *name)
{
	buf_add_u8(out, (uint8_t)what);
	buf_add(out, name, strlen(name) + 1);
}

/* ... behind since when it is so: the clock is the same for all processes. */
static void write_pause(struct buf *out, char what, const char *name, uint64_t since_us)
{
	buf_addf(out, "t%llu", (unsigned long long)since_us);
	buf_add_u8(out, 0);
	write_record(out, what, name);
}

uint64_t directory_holds_write(struct directory *d, struct buf *out)
{
	struct hash_node *node = NULL;
	uint64_t version;

	pthread_mutex_lock(&d->lock);
	version = d->holds_version;
	if (d->paused_us != 0)
		write_pause(out, 'a', "", d->paused_us);
	while ((node = hash_table_walk(&d->databases, node)) != NULL) {
		const struct route_database *database =
			container_of(node, struct route_database, node);

		if (database->paused_us != 0)
			write_pause(out, 'p', database->name, database->paused_us);
		if (atomic_load(&database->is_disabled))
			write_record(out, 'd', database->name);
	}
	pthread_mutex_unlock(&d->lock);
	return version;
}

/* The next one, behind *at; NULL: that was all. */
static const char *next_record(const char **at, const char *end)
{
	const char *record = *at, *zero;

	if (end - record < 2 || record[0] == '\0')
		return NULL;
	zero = memchr(record, '\0', (size_t)(end - record));
	if (zero == NULL)
		return NULL;
	*at = zero + 1;
	return record;
}

/* *since_us: of the record before, and left for the next. */
static void read_record(struct directory *d, const char *record, uint64_t *since_us)
{
	uint64_t now_us = clock_now_us(), was_us = *since_us;

	*since_us = now_us;
	/* What this process does not have in its configuration need not be held. */
	switch (record[0]) {
	case 't':
		*since_us = strtoull(record + 1, NULL, 10);
		if (*since_us == 0 || *since_us > now_us)
			*since_us = now_us;
		break;
	case 'a':
		(void)set_paused(d, NULL, was_us);
		break;
	case 'p':
		(void)set_paused(d, record + 1, was_us);
		break;
	case 'd':
		(void)set_disabled(d, record + 1, true);
		break;
	default:
		break;
	}
}

static bool disables(const char *text, size_t len, const char *name)
{
	const char *at = text, *record;

	while ((record = next_record(&at, text + len)) != NULL) {
		if (record[0] == 'd' && strcmp(record + 1, name) == 0)
			return true;
	}
	return false;
}

void directory_hold_as(struct directory *d, const char *text, size_t len)
{
	struct hash_node *node = NULL;
	const char *at = text, *record;
	uint64_t since_us = clock_now_us();

	pthread_mutex_lock(&d->lock);
	/* Logins look at it without the lock. */
	while ((node = hash_table_walk(&d->databases, node)) != NULL) {
		struct route_database *database =
			container_of(node, struct route_database, node);

		atomic_store(&database->is_disabled, disables(text, len, database->name));
	}
	release_all(d);
	while ((record = next_record(&at, text + len)) != NULL)
		read_record(d, record, &since_us);
	d->holds_version++;
	pools_hold_all(d);
	pthread_mutex_unlock(&d->lock);
}

bool directory_held_are_quiet(struct directory *d)
{
	struct hash_node *node = NULL;
	bool is_quiet = true;

	pthread_mutex_lock(&d->lock);
	while (is_quiet && (node = hash_table_walk(&d->pools, node)) != NULL)
		is_quiet = is_at_rest(d, container_of(node, struct route_pool, node));
	list_for_each(&d->retired, each) {
		is_quiet = is_quiet &&
			is_at_rest(d, container_of(each, struct route_pool, in_retired));
	}
	pthread_mutex_unlock(&d->lock);
	return is_quiet;
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
