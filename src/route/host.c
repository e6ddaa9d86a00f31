/* SPDX-License-Identifier: ISC */
/*
 * Hosts: a monitor, and the addresses behind a name.
 */
#include <errno.h>
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

int host_resolve(const struct config_host *conf, struct host_target *out, struct diag *d)
{
	const struct host_options *o = &conf->options;
	char why[256];
	int count;

	memset(out, 0, sizeof(*out));
	tcp_from(&out->tcp, o);
	out->connect_timeout_us = o->server_connect_timeout_us;
	out->close_timeout_us = o->server_close_timeout_us;
	count = addr_resolve(o->host, (uint16_t)o->port, out->addrs, DIRECTORY_ADDRS_MAX,
		why, sizeof(why));
	if (count <= 0) {
		diag_set(d, NULL, 0, 0, "host \"%s\" (%s): %s", conf->name, o->host, why);
		return count < 0 ? count : -ENOENT;
	}
	out->addr_count = (uint32_t)count;
	return 0;
}

bool host_keep_addrs(struct route_host *h, const struct config_host *conf,
	struct host_target *target)
{
	bool is_same;

	pthread_mutex_lock(&h->lock);
	is_same = strcmp(h->address, conf->options.host) == 0 &&
		h->port == conf->options.port;
	if (is_same) {
		memcpy(target->addrs, h->target.addrs, sizeof(target->addrs));
		target->addr_count = h->target.addr_count;
		target->first = h->target.first;
	}
	pthread_mutex_unlock(&h->lock);
	return is_same;
}

struct route_host *host_create(const struct config_host *conf, uint32_t index,
	struct diag *d)
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
	h->name = strdup(conf->name);
	h->address = strdup(conf->options.host);
	if (h->name != NULL && h->address != NULL)
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
	free(h->name);
	free(h->address);
	free(h);
}

static bool same_addrs(const struct host_target *a, const struct host_target *b)
{
	if (a->addr_count != b->addr_count)
		return false;
	for (uint32_t i = 0; i < a->addr_count; i++) {
		if (!addr_equal(&a->addrs[i], &b->addrs[i]))
			return false;
	}
	return true;
}

void host_set_limits(struct route_host *h, const struct config_host *conf, uint32_t budget)
{
	struct monitor_limits limits;

	limits_from(&limits, &conf->options, budget);
	monitor_set_limits(&h->monitor, &limits);
}

bool host_apply(struct route_host *h, const struct config_host *conf,
	const struct host_target *target)
{
	char *address = strdup(conf->options.host);
	bool is_same, changed;
	uint32_t first;

	atomic_store(&h->watch_us, conf->options.user[0] == '\0' ?
			0 : conf->options.budget_check_interval_us);
	atomic_store(&h->cancels_max, conf->options.max_cancel_connections);
	atomic_store(&h->replications_max, conf->options.max_replication_connections);
	pthread_mutex_lock(&h->lock);
	is_same = same_addrs(&h->target, target);
	changed = h->target.addr_count > 0 && !is_same;
	first = is_same ? h->target.first : target->first;
	h->target = *target;
	h->target.first = first;
	h->port = (uint16_t)conf->options.port;
	if (address != NULL) {
		free(h->address);
		h->address = address;
	}
	pthread_mutex_unlock(&h->lock);
	h->is_gone = false;
	return changed;
}

void route_host_target(struct route_host *h, struct host_target *out)
{
	pthread_mutex_lock(&h->lock);
	*out = h->target;
	pthread_mutex_unlock(&h->lock);
}

void route_host_failed(struct route_host *h, uint32_t position)
{
	pthread_mutex_lock(&h->lock);
	if (h->target.addr_count > 0 && h->target.first == position)
		h->target.first = (position + 1) % h->target.addr_count;
	pthread_mutex_unlock(&h->lock);
}
