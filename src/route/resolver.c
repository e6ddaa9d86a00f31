/* SPDX-License-Identifier: ISC */
#include "route/resolver.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/slog.h"
#include "route/directory_priv.h"

/* Between two rounds at least, and while a host has no address. */
enum { PAUSE_US = 1000000 };

struct look {
	struct host_target had;
	struct host_target found;
	char problem[DIAG_TEXT_MAX];    /* "": none */
};

enum round_state { ROUND_RUNS, ROUND_IS_DONE, ROUND_IS_ABANDONED };

/* What both threads see: who leaves it last frees it. */
struct round {
	_Atomic int state;              /* enum round_state */
	struct config *config;
	size_t count;                   /* of config->hosts */
	struct look looks[];
};

struct resolver {
	struct round *round;            /* NULL: none is under way */
	uint64_t next_us;
};

static void round_free(struct round *r)
{
	config_unref(r->config);
	free(r);
}

static void look_up(const struct config_host *conf, struct look *look)
{
	const struct host_past past = { conf, &look->had };
	struct diag diag = { .text = "" };

	/* A place that has no address now keeps what it had: nothing fails. */
	if (host_resolve(conf, &past, &look->found, &diag) < 0 || diag_is_set(&diag))
		diag_format(&diag, look->problem, sizeof(look->problem));
}

static void *round_run(void *arg)
{
	struct round *r = arg;

	for (size_t i = 0; i < r->count; i++)
		look_up(&r->config->hosts[i], &r->looks[i]);
	if (atomic_exchange(&r->state, ROUND_IS_DONE) == ROUND_IS_ABANDONED)
		round_free(r);
	return NULL;
}

static bool has_names(const struct config *config)
{
	for (size_t i = 0; i < config->host_count; i++) {
		const struct config_host *host = &config->hosts[i];

		for (size_t k = 0; k < host->options.host.count; k++) {
			if (place_is_name(&host->places[k]))
				return true;
		}
	}
	return false;
}

/* Signals are the main thread's. */
static bool round_start(struct round *r)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	int ret;

	if (pthread_attr_init(&attr) != 0)
		return false;
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&thread, &attr, round_run, r);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
	return ret == 0;
}

/* NULL: there are no names, or it could not be begun. */
static struct round *round_begin(struct directory *d, struct config *config)
{
	struct round *r;

	if (!has_names(config))
		return NULL;
	r = calloc(1, sizeof(*r) + config->host_count * sizeof(r->looks[0]));
	if (r == NULL)
		return NULL;
	r->config = config_ref(config);
	r->count = config->host_count;
	for (size_t i = 0; i < r->count; i++) {
		struct route_host *h = directory_find_host(d, config->hosts[i].name);

		if (h != NULL)
			route_host_target(h, &r->looks[i].had);
	}
	if (round_start(r))
		return r;
	SLOG_LIMITED(ERROR, "host-resolve", "error=\"%s\"", "cannot start a thread");
	round_free(r);
	return NULL;
}

/* False: a host still has no address at all. */
static bool round_apply(const struct round *r, struct directory *d)
{
	bool all = true;

	pthread_mutex_lock(&d->lock);
	/* After a reload it is of no use: that has looked up by itself. */
	for (size_t i = 0; d->config == r->config && i < r->count; i++) {
		const struct config_host *conf = &r->config->hosts[i];
		const struct look *look = &r->looks[i];
		struct route_host *h = directory_find_host(d, conf->name);

		if (look->problem[0] != '\0')
			SLOG_LIMITED(WARN, "host-resolve", "error=\"%s\"", look->problem);
		all &= look->found.addr_count > 0;
		if (h != NULL && host_apply(h, conf, conf, &look->found, NULL))
			host_tell_moved(h, &look->had);
	}
	pthread_mutex_unlock(&d->lock);
	return all;
}

struct resolver *resolver_create(uint64_t first_us)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	if (resolver != NULL)
		resolver->next_us = first_us;
	return resolver;
}

bool resolver_is_busy(const struct resolver *resolver)
{
	return resolver->round != NULL;
}

void resolver_tick(struct resolver *resolver, struct directory *d, uint64_t now_us)
{
	struct round *r = resolver->round;
	struct config *config;
	bool all;

	if (r == NULL && now_us < resolver->next_us)
		return;
	config = directory_config(d);
	if (r == NULL) {
		resolver->round = round_begin(d, config);
		resolver->next_us = now_us + PAUSE_US;
		config_unref(config);
		return;
	}
	if (atomic_load(&r->state) == ROUND_IS_DONE) {
		all = round_apply(r, d);
		resolver->next_us = now_us +
			(all ? size_max(config->process.dns_max_ttl_us, PAUSE_US) : PAUSE_US);
		resolver->round = NULL;
		round_free(r);
	}
	config_unref(config);
}

void resolver_destroy(struct resolver **slot)
{
	struct resolver *resolver = *slot;
	struct round *r;

	*slot = NULL;
	if (resolver == NULL)
		return;
	r = resolver->round;
	free(resolver);
	if (r != NULL && atomic_exchange(&r->state, ROUND_IS_ABANDONED) == ROUND_IS_DONE)
		round_free(r);
}
