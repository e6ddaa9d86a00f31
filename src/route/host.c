/* SPDX-License-Identifier: ISC */
/*
 * Hosts: a monitor, and the addresses behind a name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "route/directory_priv.h"

static void tcp_from(struct sock_tcp *tcp, const struct host_options *o)
{
	*tcp = (struct sock_tcp){
		.keepalive = o->tcp_keepalive,
		.keepidle_s = (uint32_t)(o->tcp_keepidle_us / USEC_PER_SEC),
		.keepintvl_s = (uint32_t)(o->tcp_keepintvl_us / USEC_PER_SEC),
		.keepcnt = o->tcp_keepcnt,
		.user_timeout_ms = (uint32_t)(o->tcp_user_timeout_us / USEC_PER_MSEC),
		.socket_buffer = (uint32_t)o->tcp_socket_buffer_bytes,
	};
}

static void limits_from(struct monitor_limits *limits, const struct host_options *o,
	uint32_t budget)
{
	*limits = (struct monitor_limits){
		.budget = budget,
		.connecting_max = o->max_connecting,
		.retry_us = o->server_login_retry_us,
		.reclaim_grace_us = o->reclaim_grace_us,
	};
}

static enum route_target target_from(enum config_target target)
{
	switch (target) {
	case CONFIG_TARGET_ANY:
		return ROUTE_TARGET_ANY;
	case CONFIG_TARGET_READ_WRITE:
		return ROUTE_TARGET_READ_WRITE;
	case CONFIG_TARGET_READ_ONLY:
		return ROUTE_TARGET_READ_ONLY;
	case CONFIG_TARGET_PRIMARY:
		return ROUTE_TARGET_PRIMARY;
	case CONFIG_TARGET_STANDBY:
		return ROUTE_TARGET_STANDBY;
	case CONFIG_TARGET_PREFER_STANDBY:
		return ROUTE_TARGET_PREFER_STANDBY;
	}
	return ROUTE_TARGET_ANY;
}

static enum route_cleartext cleartext_from(enum config_cleartext cleartext)
{
	switch (cleartext) {
	case CONFIG_CLEARTEXT_NEVER:
		return ROUTE_CLEARTEXT_NEVER;
	case CONFIG_CLEARTEXT_TLS:
		return ROUTE_CLEARTEXT_TLS;
	case CONFIG_CLEARTEXT_ALWAYS:
		return ROUTE_CLEARTEXT_ALWAYS;
	}
	return ROUTE_CLEARTEXT_NEVER;
}

const char *route_target_name(enum route_target target)
{
	static const char *const names[] = { "any", "read-write", "read-only", "primary",
		"standby", "prefer-standby" };

	return names[target];
}

/* --- addresses ------------------------------------------------------------------ */

static int find_addr(const struct host_target *target, const struct addr *addr)
{
	for (uint32_t i = 0; i < target->addr_count; i++) {
		if (addr_equal(&target->addrs[i], addr))
			return (int)i;
	}
	return -1;
}

/* In whichever order: a name service may turn it each time. */
static bool same_addrs(const struct host_target *a, const struct host_target *b)
{
	if (a->addr_count != b->addr_count)
		return false;
	for (uint32_t i = 0; i < a->addr_count; i++) {
		if (find_addr(b, &a->addrs[i]) < 0)
			return false;
	}
	return true;
}

bool host_same_places(const struct config_host *a, const struct config_host *b)
{
	if (a->options.host.count != b->options.host.count)
		return false;
	for (size_t i = 0; i < a->options.host.count; i++) {
		if (!place_same(&a->places[i], &b->places[i]))
			return false;
	}
	return true;
}

/* Two names may stand for one machine. */
static void add_addr(struct host_target *to, const struct addr *addr, size_t place)
{
	if (to->addr_count == DIRECTORY_ADDRS_MAX || find_addr(to, addr) >= 0)
		return;
	to->places[to->addr_count] = (uint8_t)place;
	to->addrs[to->addr_count++] = *addr;
}

/* The addresses that it had, if any.  False: the place is new. */
static bool keep_addrs(const struct host_past *past, const struct config_place *e,
	struct host_target *to, size_t place)
{
	size_t old = 0, count = past->conf == NULL ? 0 : past->conf->options.host.count;

	while (old < count && !place_same(&past->conf->places[old], e))
		old++;
	for (uint32_t i = 0; old < count && i < past->target->addr_count; i++) {
		if (past->target->places[i] == old)
			add_addr(to, &past->target->addrs[i], place);
	}
	return old < count;
}

int host_resolve(const struct config_host *conf, const struct host_past *past,
	struct host_target *out, struct diag *d)
{
	const struct host_options *o = &conf->options;
	int ret = 0;

	memset(out, 0, sizeof(*out));
	tcp_from(&out->tcp, o);
	out->wants = target_from(o->target_session_attrs);
	out->cleartext = cleartext_from(o->server_cleartext_password);
	out->connect_timeout_us = o->server_connect_timeout_us;
	out->close_timeout_us = o->server_close_timeout_us;
	for (size_t i = 0; i < o->host.count; i++) {
		const struct config_place *e = &conf->places[i];
		struct addr found[DIRECTORY_ADDRS_MAX];
		/* Each of the others has room for one at least. */
		size_t room = DIRECTORY_ADDRS_MAX - out->addr_count - (o->host.count - i - 1);
		char why[256];
		int count = addr_resolve(e->host, e->port, found, room, why, sizeof(why));

		for (int k = 0; k < count; k++)
			add_addr(out, &found[k], i);
		if (count > 0)
			continue;
		diag_clear(d);
		diag_set(d, NULL, 0, 0, "host \"%s\" (%s): %s", conf->name,
			o->host.items[i], why);
		if (!keep_addrs(past, e, out, i) && ret == 0)
			ret = count < 0 ? count : -ENOENT;
	}
	return ret;
}

struct route_host *host_create(const struct config_host *conf, uint32_t index,
	uint32_t workers, struct diag *d)
{
	struct route_host *h = calloc(1, sizeof(*h));
	struct monitor_limits limits;

	if (h == NULL)
		goto fail;
	limits_from(&limits, &conf->options, conf->budget);
	if (monitor_init(&h->monitor, &limits) < 0)
		goto fail_host;
	pthread_mutex_init(&h->lock, NULL);
	h->index = index;
	h->part.most = UINT32_MAX;
	h->name = strdup(conf->name);
	h->connects = times_create(workers);
	h->ends = tally_create(workers);
	h->target.generation = 1;
	if (h->name != NULL && h->connects != NULL && h->ends != NULL)
		return h;
	host_destroy(h);
	h = NULL;
fail_host:
	free(h);
fail:
	diag_set(d, NULL, 0, 0, "out of memory");
	return NULL;
}

void host_destroy(struct route_host *h)
{
	if (h == NULL)
		return;
	monitor_finish(&h->monitor);
	pthread_mutex_destroy(&h->lock);
	route_tls_unref(h->tls);
	free(h->connects);
	free(h->ends);
	free(h->name);
	free(h);
}

/* --- in force ------------------------------------------------------------------- */

static bool must_move(const struct route_host *h, const struct host_target *target,
	bool is_same_text)
{
	if (h->target.addr_count == 0)
		return false;
	if (h->target.wants != target->wants)
		return true;
	if (!h->is_somewhere)
		return !same_addrs(&h->target, target);
	/* Who writes another list wants its first item. */
	if (!is_same_text)
		return target->addr_count == 0 || !addr_equal(&h->at, &target->addrs[0]);
	return find_addr(target, &h->at) < 0;
}

void host_set_limits(struct route_host *h, const struct config_host *conf, uint32_t budget)
{
	struct monitor_limits limits;

	limits_from(&limits, &conf->options, budget);
	limits.elsewhere = h->part.elsewhere;
	monitor_set_limits(&h->monitor, &limits);
}

/* Where to begin with other addresses: where it is, or would have begun. */
static uint32_t first_of(const struct route_host *h, const struct host_target *target)
{
	const struct addr *begin =
		h->is_somewhere ? &h->at : &h->target.addrs[h->target.first];
	int position = h->target.addr_count == 0 ? -1 : find_addr(target, begin);

	return position < 0 ? 0 : (uint32_t)position;
}

/* Servers that were reached in another way are to go; those whose certificates were
 * merely renewed are not. */
static bool same_tls(const struct config_host *a, const struct config_host *b)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option *o = &option_table[i];

		if ((o->levels & OPTION_AT_HOST) != 0 &&
			strncmp(o->name, "server_tls", 10) == 0 &&
			!option_same(o, &a->options, &b->options))
			return false;
	}
	return true;
}

bool host_apply(struct route_host *h, const struct config_host *past_conf,
	const struct config_host *conf, const struct host_target *target,
	struct route_tls *tls)
{
	struct route_tls *old_tls = NULL;
	bool is_same_text, moves;
	uint32_t first, generation, number;

	atomic_store(&h->watch_us, conf->options.user[0] == '\0' ?
			0 : conf->options.budget_check_interval_us);
	atomic_store(&h->cancels_max, conf->options.max_cancel_connections);
	atomic_store(&h->replications_max, conf->options.max_replication_connections);
	is_same_text = past_conf != NULL && host_same_places(past_conf, conf);
	pthread_mutex_lock(&h->lock);
	moves = must_move(h, target, is_same_text) ||
		(past_conf != NULL && h->target.addr_count > 0 && !same_tls(past_conf, conf));
	first = moves || !is_same_text ? 0 : first_of(h, target);
	generation = h->target.generation + moves;
	number = h->target.number + 1;
	h->target = *target;
	h->target.first = first;
	h->target.generation = generation;
	h->target.number = number;
	if (moves) {
		h->is_somewhere = false;
		monitor_retire(&h->monitor, NULL);
	}
	if (tls != NULL) {
		old_tls = h->tls;
		h->tls = tls;
	}
	pthread_mutex_unlock(&h->lock);
	route_tls_unref(old_tls);
	h->is_gone = false;
	return moves;
}

void route_host_target(struct route_host *h, struct host_target *out)
{
	pthread_mutex_lock(&h->lock);
	*out = h->target;
	pthread_mutex_unlock(&h->lock);
}

struct route_tls *route_host_connect(struct route_host *h, struct host_target *out)
{
	struct route_tls *tls;

	pthread_mutex_lock(&h->lock);
	*out = h->target;
	tls = route_tls_ref(h->tls);
	pthread_mutex_unlock(&h->lock);
	return tls;
}

enum route_target route_host_wants(struct route_host *h)
{
	enum route_target wants;

	pthread_mutex_lock(&h->lock);
	wants = h->target.wants;
	pthread_mutex_unlock(&h->lock);
	return wants;
}

uint32_t route_host_generation(struct route_host *h)
{
	uint32_t generation;

	pthread_mutex_lock(&h->lock);
	generation = h->target.generation;
	pthread_mutex_unlock(&h->lock);
	return generation;
}

bool route_host_is_same(struct route_host *h, const struct host_target *target)
{
	bool is_same;

	pthread_mutex_lock(&h->lock);
	is_same = h->target.number == target->number;
	pthread_mutex_unlock(&h->lock);
	return is_same;
}

uint32_t route_host_place(struct route_host *h)
{
	uint32_t place = 0;

	pthread_mutex_lock(&h->lock);
	if (h->target.addr_count > 0)
		place = h->target.places[h->target.first];
	pthread_mutex_unlock(&h->lock);
	return place;
}

void route_host_failed(struct route_host *h, const struct addr *addr)
{
	pthread_mutex_lock(&h->lock);
	if (h->target.addr_count > 0 &&
		addr_equal(&h->target.addrs[h->target.first], addr))
		h->target.first = (h->target.first + 1) % h->target.addr_count;
	pthread_mutex_unlock(&h->lock);
}

/* Under the lock, within which the monitor's is taken: so no server of another
 * address is renewed behind a move.  Each generation has retired all servers once. */
uint32_t route_host_reached(struct route_host *h, uint32_t generation,
	const struct addr *addr, struct pool_server *server, bool *moved)
{
	bool is_here = false, is_new = false;
	int position;

	pthread_mutex_lock(&h->lock);
	position = find_addr(&h->target, addr);
	if (position >= 0 && h->is_somewhere && addr_equal(&h->at, addr)) {
		is_here = true;
	} else if (position >= 0 && generation == h->target.generation) {
		/* One that began before the last move does not move the host back. */
		is_here = true;
		is_new = h->is_somewhere;
	}
	if (is_new) {
		h->target.generation++;
		monitor_retire(&h->monitor, NULL);
	}
	if (is_here) {
		h->at = *addr;
		h->is_somewhere = true;
		h->target.first = (uint32_t)position;
		if (server != NULL)
			monitor_renew(&h->monitor, server, h->target.generation - generation);
	}
	generation = is_here ? h->target.generation : 0;
	pthread_mutex_unlock(&h->lock);
	*moved = is_new;
	return generation;
}

bool route_host_unfit(struct route_host *h, uint32_t generation)
{
	bool is_news;

	pthread_mutex_lock(&h->lock);
	is_news = generation == h->target.generation;
	if (is_news) {
		h->target.generation++;
		h->is_somewhere = false;
		monitor_retire(&h->monitor, NULL);
	}
	pthread_mutex_unlock(&h->lock);
	return is_news;
}

static const char *address_text(const struct host_target *target, char *to, size_t size)
{
	if (target->addr_count == 0) {
		(void)snprintf(to, size, "none");
		return to;
	}
	return addr_text(&target->addrs[target->first % target->addr_count], to, size);
}

void host_tell_moved(struct route_host *h, const struct host_target *had)
{
	char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];
	struct host_target has;

	route_host_target(h, &has);
	SLOG(INFO, "host-moved", "host=%s from=%s to=%s", h->name,
		address_text(had, from, sizeof(from)), address_text(&has, to, sizeof(to)));
}
