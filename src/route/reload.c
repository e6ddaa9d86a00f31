/* SPDX-License-Identifier: ISC */
/*
 * Going over to another configuration: hosts, workloads, shares, pools.  What can
 * fail or block comes before the first change.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/slog.h"
#include "route/directory_priv.h"
#include "route/password_priv.h"

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

/* A workload that changes its mode becomes another one: who came to the old one
 * stays as promised. */
struct route_workload *reload_workload(struct directory *d,
	const struct config_workload *conf)
{
	for (uint32_t i = 0; i < d->workload_count; i++) {
		if (strcmp(d->workloads[i]->name, conf->name) == 0 &&
			d->workloads[i]->mode == mode_from(conf->options.pool_mode))
			return d->workloads[i];
	}
	return NULL;
}

const struct config_workload *reload_conf(const struct directory *d,
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

static bool has_own_login(const struct config *config)
{
	for (size_t i = 0; i < config->host_count; i++) {
		if (config->hosts[i].options.user[0] != '\0')
			return true;
	}
	return false;
}

/* Hosts and workloads stay as long as the directory. */
static int check_room(struct directory *d, const struct config *config, struct diag *diag)
{
	size_t hosts = d->host_count, workloads = d->workload_count;

	for (size_t i = 0; i < config->host_count; i++)
		hosts += directory_find_host(d, config->hosts[i].name) == NULL;
	for (size_t i = 0; i < config->workload_count; i++)
		workloads += reload_workload(d, &config->workloads[i]) == NULL;
	workloads += d->own == NULL && has_own_login(config);
	workloads += d->console == NULL && config->admin.listen.count > 0;
	if (hosts <= DIRECTORY_HOSTS_MAX && workloads <= BUDGET_SHARES_MAX)
		return 0;
	if (hosts > DIRECTORY_HOSTS_MAX)
		diag_set(diag, NULL, 0, 0, "more than %d hosts since the start: restart",
			DIRECTORY_HOSTS_MAX);
	else
		diag_set(diag, NULL, 0, 0, "more than %d workloads since the start: restart",
			BUDGET_SHARES_MAX);
	return -ENOSPC;
}

static int check_budget(struct directory *d, const struct config_host *conf,
	struct diag *diag)
{
	struct route_host *h = directory_find_host(d, conf->name);

	if (h == NULL || d->config == NULL)
		return 0;
	return host_budget_check(h, config_find_host(d->config, conf->name), conf, diag);
}

static int ensure_host(struct directory *d, const struct config_host *conf, struct diag *diag)
{
	struct route_host *h = directory_find_host(d, conf->name);

	if (h != NULL)
		return 0;
	h = host_create(conf, d->host_count, d->workers, diag);
	if (h == NULL)
		return -ENOMEM;
	host_add_shares(d, h, 0);
	/* Until the configuration that names it is in force. */
	h->is_gone = true;
	d->hosts[h->index] = h;
	/* From here on it is seen by those who take no lock. */
	atomic_store_explicit(&d->host_count, h->index + 1, memory_order_release);
	return 0;
}

static struct route_workload *add_workload(struct directory *d, const char *name,
	enum route_mode mode, struct diag *diag)
{
	struct route_workload *w = calloc(1, sizeof(*w));

	if (w == NULL || (w->name = strdup(name)) == NULL ||
		(w->times = times_create(d->workers * WORKLOAD_TIME_COUNT)) == NULL ||
		(w->tallies = tally_create(d->workers)) == NULL) {
		if (w != NULL) {
			free(w->times);
			free(w->name);
		}
		free(w);
		diag_set(diag, NULL, 0, 0, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&w->lock, NULL);
	w->index = d->workload_count;
	w->mode = mode;
	w->is_gone = true;
	d->workloads[d->workload_count++] = w;
	for (uint32_t i = 0; i < d->host_count; i++)
		host_add_shares(d, d->hosts[i], w->index);
	return w;
}

static int ensure_workload(struct directory *d, const struct config_workload *conf,
	struct diag *diag)
{
	if (reload_workload(d, conf) != NULL ||
		add_workload(d, conf->name, mode_from(conf->options.pool_mode), diag) != NULL)
		return 0;
	return -ENOMEM;
}

/* For the router's own connections.  The name is none that the file could give. */
static int ensure_own(struct directory *d, const struct config *config, struct diag *diag)
{
	if (d->own == NULL && has_own_login(config))
		d->own = add_workload(d, DIRECTORY_OWN_WORKLOAD, ROUTE_TRANSACTION, diag);
	return d->own == NULL && has_own_login(config) ? -ENOMEM : 0;
}

/* So that the console has a port of its own.  It has no servers, and is in no view of
 * workloads: it counts as gone. */
static int ensure_console(struct directory *d, const struct config *config, struct diag *diag)
{
	if (d->console != NULL || config->admin.listen.count == 0)
		return 0;
	d->console = add_workload(d, DIRECTORY_CONSOLE_WORKLOAD, ROUTE_SESSION, diag);
	if (d->console == NULL)
		return -ENOMEM;
	d->console->is_console = true;
	return 0;
}

void route_workload_tcp(struct route_workload *w, struct sock_tcp *out)
{
	pthread_mutex_lock(&w->lock);
	*out = w->tcp;
	pthread_mutex_unlock(&w->lock);
}

struct route_tls *route_workload_tls(struct route_workload *w)
{
	struct route_tls *tls;

	pthread_mutex_lock(&w->lock);
	tls = w->tls == NULL ? NULL : route_tls_ref(w->tls);
	pthread_mutex_unlock(&w->lock);
	return tls;
}

static void workload_apply(struct directory *d, struct route_workload *w,
	const struct config_workload *conf, struct route_tls *tls)
{
	struct route_tls *old_tls;
	const struct workload_options *o = &conf->options;
	struct settings s;

	config_resolve(d->config, conf, NULL, NULL, &s);
	w->is_gone = false;
	atomic_store(&w->max_client_conn, conf->max_client_conn);
	atomic_store(&w->login_timeout_us, s.client_login_timeout_us);
	atomic_store(&w->adds_host, o->application_name_add_host);
	atomic_store(&w->has_proxies, o->proxy_protocol_from.count > 0);
	pthread_mutex_lock(&w->lock);
	w->tcp = (struct sock_tcp){
		.keepalive = o->tcp_keepalive,
		.keepidle_s = (uint32_t)(o->tcp_keepidle_us / USEC_PER_SEC),
		.keepintvl_s = (uint32_t)(o->tcp_keepintvl_us / USEC_PER_SEC),
		.keepcnt = o->tcp_keepcnt,
		.user_timeout_ms = (uint32_t)(o->tcp_user_timeout_us / USEC_PER_MSEC),
		.socket_buffer = (uint32_t)o->tcp_socket_buffer_bytes,
	};
	old_tls = w->tls;
	w->tls = tls;
	pthread_mutex_unlock(&w->lock);
	route_tls_unref(old_tls);
}

static void console_apply(struct directory *d, struct route_tls *tls)
{
	struct route_tls *old_tls;
	struct settings s;

	if (d->console == NULL) {
		route_tls_unref(tls);
		return;
	}
	config_resolve_console(d->config, &s);
	atomic_store(&d->console->login_timeout_us, s.client_login_timeout_us);
	pthread_mutex_lock(&d->console->lock);
	d->console->tcp = (struct sock_tcp){ .keepalive = true };
	old_tls = d->console->tls;
	d->console->tls = tls;
	pthread_mutex_unlock(&d->console->lock);
	route_tls_unref(old_tls);
}

/* Its sessions end with the next transaction: an operator has taken it out. */
static void users_apply(struct directory *d, const struct config *old)
{
	struct hash_node *node = NULL;

	while (old != NULL && (node = hash_table_walk(&d->users, node)) != NULL) {
		struct route_user *user = container_of(node, struct route_user, node);

		if (config_knows_user(old, user->name) && !config_knows_user(d->config, user->name))
			atomic_store(&user->removed_in, atomic_load(&d->generation) + 1);
	}
}

static void apply(struct directory *d, const struct config *old,
	const struct host_target *targets, struct route_tls_all *tls)
{
	passwords_doubt(d, false);
	for (uint32_t i = 0; i < d->host_count; i++)
		d->hosts[i]->is_gone = config_find_host(d->config, d->hosts[i]->name) == NULL;
	for (uint32_t i = 0; i < d->workload_count; i++)
		d->workloads[i]->is_gone = d->workloads[i] != d->own;
	for (size_t i = 0; i < d->config->host_count; i++) {
		const struct config_host *conf = &d->config->hosts[i];
		const struct config_host *past =
			old == NULL ? NULL : config_find_host(old, conf->name);
		struct route_host *h = directory_find_host(d, conf->name);
		struct host_target had;

		route_host_target(h, &had);
		if (host_apply(h, past, conf, &targets[i], route_tls_ref(tls->hosts[i]))) {
			host_tell_moved(h, &had);
			host_limits_forget(h);
		}
	}
	for (size_t i = 0; i < d->config->workload_count; i++) {
		const struct config_workload *conf = &d->config->workloads[i];

		workload_apply(d, reload_workload(d, conf), conf,
			route_tls_ref(tls->workloads[i]));
	}
	console_apply(d, route_tls_ref(tls->console));
	users_apply(d, old);
	for (uint32_t i = 0; i < d->host_count; i++)
		host_budget_apply(d, d->hosts[i]);
	pools_apply(d);
	passwords_doubt(d, true);
	pools_warm(d);
	pools_hold_all(d);
	atomic_fetch_add(&d->generation, 1);
}

/* A name service that is down must not keep the router from starting, nor from
 * taking over a change that has nothing to do with it. */
static int resolve(struct directory *d, const struct config_host *conf,
	struct host_target *target, struct diag *diag)
{
	struct route_host *h = directory_find_host(d, conf->name);
	struct host_past past = { NULL, NULL };
	struct host_target had;
	char text[DIAG_TEXT_MAX];
	int ret;

	if (h != NULL && d->config != NULL) {
		route_host_target(h, &had);
		past = (struct host_past){ config_find_host(d->config, conf->name), &had };
	}
	ret = host_resolve(conf, &past, target, diag);
	if (ret < 0 && d->config != NULL)
		return ret;
	if (diag_is_set(diag))
		SLOG(WARN, "host-resolve", "error=\"%s\"",
			diag_format(diag, text, sizeof(text)));
	diag_clear(diag);
	return 0;
}

/* What a reload has found out and made before the first change. */
struct directory_next {
	struct config *config;
	struct host_target *targets;
	struct route_tls_all tls;
};

static int check(struct directory *d, const struct config *config, struct diag *diag)
{
	int ret;

	pthread_mutex_lock(&d->lock);
	ret = check_room(d, config, diag);
	for (size_t i = 0; ret == 0 && i < config->host_count; i++)
		ret = check_budget(d, &config->hosts[i], diag);
	pthread_mutex_unlock(&d->lock);
	return ret;
}

int directory_prepare(struct directory *d, struct config *config, struct directory_next **out,
	struct diag *diag)
{
	struct directory_next *next = calloc(1, sizeof(*next));
	int ret;

	*out = NULL;
	if (next == NULL ||
		(next->targets = calloc(config->host_count, sizeof(*next->targets))) == NULL) {
		free(next);
		diag_set(diag, NULL, 0, 0, "out of memory");
		return -ENOMEM;
	}
	next->config = config_ref(config);
	ret = route_tls_make_all(config, &next->tls, diag);
	for (size_t i = 0; ret == 0 && i < config->host_count; i++)
		ret = resolve(d, &config->hosts[i], &next->targets[i], diag);
	if (ret == 0)
		ret = check(d, config, diag);
	if (ret < 0)
		directory_abandon(&next);
	*out = next;
	return ret;
}

/* What is there stays: it counts for nothing until a configuration names it. */
static int ensure_all(struct directory *d, const struct config *config, struct diag *diag)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < config->host_count; i++)
		ret = ensure_host(d, &config->hosts[i], diag);
	for (size_t i = 0; ret == 0 && i < config->workload_count; i++)
		ret = ensure_workload(d, &config->workloads[i], diag);
	if (ret == 0)
		ret = ensure_own(d, config, diag);
	return ret == 0 ? ensure_console(d, config, diag) : ret;
}

int directory_commit(struct directory *d, struct directory_next **slot, struct diag *diag)
{
	struct directory_next *next = *slot;
	struct config *old;
	int ret;

	pthread_mutex_lock(&d->lock);
	ret = ensure_all(d, next->config, diag);
	if (ret == 0) {
		old = d->config;
		d->config = config_ref(next->config);
		apply(d, old, next->targets, &next->tls);
		config_unref(old);
	}
	pthread_mutex_unlock(&d->lock);
	if (ret == 0)
		route_tls_tell_expiry(next->config, &next->tls);
	directory_abandon(slot);
	return ret;
}

void directory_abandon(struct directory_next **slot)
{
	struct directory_next *next = *slot;

	*slot = NULL;
	if (next == NULL)
		return;
	route_tls_drop_all(&next->tls);
	free(next->targets);
	config_unref(next->config);
	free(next);
}
