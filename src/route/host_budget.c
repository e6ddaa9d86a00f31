/* SPDX-License-Identifier: ISC */
/*
 * The budget of a host and its division: from the file, or from what PostgreSQL says
 * it allows; and whether what is configured can be had at all.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/slog.h"
#include "config/share.h"
#include "route/directory_priv.h"

enum {
	SUM_TEXT_MAX = 400,
	LIMITS_TEXT_MAX = 160,
	/* PostgreSQL's largest max_connections: it is not trusted to tell the truth. */
	BUDGET_MAX = 262143
};

static const char *const source_names[] = {
	[BUDGET_FROM_FILE] = "file",
	[BUDGET_FROM_SERVER] = "auto",
	[BUDGET_NOT_READ] = "auto (not read yet)",
};

const char *budget_source_name(enum budget_source source)
{
	return source_names[source];
}

void route_host_limits(struct route_host *h, struct host_limits *out)
{
	pthread_mutex_lock(&h->lock);
	*out = h->limits;
	pthread_mutex_unlock(&h->lock);
}

/* What PostgreSQL has for those who are not superusers. */
static uint32_t available(const struct host_limits *l)
{
	return l->max_connections > l->reserved ? l->max_connections - l->reserved : 0;
}

static const char *spell(const struct host_limits *l, char to[LIMITS_TEXT_MAX])
{
	(void)snprintf(to, LIMITS_TEXT_MAX, "max_connections %u - reserved %u = %u",
		l->max_connections, l->reserved, available(l));
	return to;
}

/* auto_share percent of what auto_leave leaves, and at least 1. */
static uint32_t auto_budget(const struct host_limits *l, const struct host_options *o)
{
	uint64_t left = available(l);

	left = left > o->auto_leave ? left - o->auto_leave : 0;
	left = u64_min(left * o->auto_share / 100, BUDGET_MAX);
	return left == 0 ? 1 : (uint32_t)left;
}

uint32_t host_budget(struct route_host *h, const struct config_host *conf)
{
	struct host_limits limits;

	route_host_limits(h, &limits);
	if (!config_host_is_auto(conf) || !limits.is_known)
		return conf->budget;
	return auto_budget(&limits, &conf->options);
}

/* What this process has of it. */
static uint32_t own_part(const struct route_host *h)
{
	/* Where it only ends what was begun the newest process knows what the budget is. */
	if (h->part.most != UINT32_MAX)
		return h->part.most;
	return h->budget > h->part.elsewhere ? h->budget - h->part.elsewhere : 0;
}

void host_limits_forget(struct route_host *h)
{
	pthread_mutex_lock(&h->lock);
	h->limits = (struct host_limits){ .source = h->limits.source };
	pthread_mutex_unlock(&h->lock);
}

/* --- applying ------------------------------------------------------------------------ */

/* The file does not name it any more.  Of what is left of it others have theirs all the same. */
static void no_shares(struct directory *d, struct route_host *h)
{
	struct monitor_limits limits;

	for (uint32_t i = 0; i < d->workload_count; i++)
		monitor_share_set(&h->monitor, &h->shares[i], SHARE_TRANSIENT, 0, 0, 1);
	pthread_mutex_lock(&h->monitor.lock);
	limits = h->monitor.limits;
	pthread_mutex_unlock(&h->monitor.lock);
	limits.budget = own_part(h);
	limits.elsewhere = h->part.elsewhere;
	monitor_set_limits(&h->monitor, &limits);
}

/* The router's own: quickly given back, so that it may borrow where it has no floor. */
static void set_share(struct directory *d, struct route_host *h, uint32_t index,
	size_t host, const struct share_part *parts, const struct share_part *own)
{
	const struct route_workload *w = d->workloads[index];
	const struct config_workload *conf = reload_conf(d, w);
	struct share_part part = { 0 };
	uint32_t weight = 1, pinned = 0;

	if (w == d->own) {
		part = *own;
	} else if (conf != NULL) {
		part = parts[conf - d->config->workloads];
		weight = conf->shares[host].given.weight;
		pinned = conf->shares[host].given.max_pinned;
	}
	monitor_share_set(&h->monitor, &h->shares[index],
		w->mode == ROUTE_SESSION ? SHARE_LASTING : SHARE_TRANSIENT,
		part.guaranteed, part.max, weight);
	if (h->part.most != UINT32_MAX)
		monitor_share_ends(&h->monitor, &h->shares[index], h->part.pins);
	else
		monitor_share_pins(&h->monitor, &h->shares[index],
			pinned == OPTION_AUTO ? SHARE_PINNED_AUTO : pinned);
}

/* Where a process only ends what was begun nobody is promised anything: who has come first is
 * served first, but sessions leave something for those who take turns. */
static void end_share(const struct directory *d, const struct route_host *h, size_t index,
	size_t host, uint32_t mine, struct share_part *part)
{
	const struct config_workload *w = &d->config->workloads[index];
	bool lasts = w->options.pool_mode == CONFIG_POOL_SESSION;

	*part = (struct share_part){ .max = lasts && h->part.lasting < mine ? h->part.lasting : mine };
	if (!w->shares[host].is_used)
		part->max = 0;
}

static void log_change(struct route_host *h, const struct config_host *conf, uint32_t before)
{
	struct host_limits limits;

	route_host_limits(h, &limits);
	if (limits.source == BUDGET_FROM_SERVER)
		SLOG(INFO, "budget",
			"host=%s before=%u after=%u max_connections=%u reserved=%u auto_leave=%u auto_share=%u",
			h->name, before, h->budget, limits.max_connections,
			limits.reserved, conf->options.auto_leave, conf->options.auto_share);
	else
		SLOG(INFO, "budget", "host=%s before=%u after=%u source=\"%s\"", h->name,
			before, h->budget, budget_source_name(limits.source));
}

void host_budget_apply(struct directory *d, struct route_host *h)
{
	const struct config_host *conf = config_find_host(d->config, h->name);
	struct share_part parts[CONFIG_WORKLOADS_MAX], own;
	uint32_t before = h->budget, mine;
	char floors[SUM_TEXT_MAX];
	size_t host;
	bool fits;

	if (conf == NULL) {
		no_shares(d, h);
		return;
	}
	if (conf->options.user[0] == '\0')
		host_limits_forget(h);
	host = (size_t)(conf - d->config->hosts);
	h->budget = host_budget(h, conf);
	mine = own_part(h);
	host_set_limits(h, conf, mine);
	/* With nothing left nobody gets anything, whatever is promised. */
	fits = share_divide(d->config, host, mine == 0 ? 1 : mine, parts, &own);
	/* What the router itself is not using may be all that there is. */
	if (h->part.most != UINT32_MAX)
		own.guaranteed = 0;
	for (size_t i = 0; h->part.most != UINT32_MAX && i < d->config->workload_count; i++)
		end_share(d, h, i, host, mine, &parts[i]);
	for (uint32_t i = 0; i < d->workload_count; i++)
		set_share(d, h, i, host, parts, &own);
	pthread_mutex_lock(&h->lock);
	h->limits.source = !config_host_is_auto(conf) ? BUDGET_FROM_FILE :
		h->limits.is_known ? BUDGET_FROM_SERVER : BUDGET_NOT_READ;
	pthread_mutex_unlock(&h->lock);
	if (before != 0 && before != h->budget)
		log_change(h, conf, before);
	if (fits || mine < h->budget)
		return;
	SLOG(WARN, "budget-floors",
		"host=%s budget=%u floors=%lu text=\"guaranteed_connections (%s) are more than the budget, and smaller in proportion\"",
		h->name, h->budget, (unsigned long)share_floors(d->config, host),
		share_spell(d->config, host, floors, sizeof(floors)));
}

/* --- what PostgreSQL says ------------------------------------------------------------ */

/* Says what cannot be had when that has changed, and when it can be had again. */
static void tell(struct route_host *h, const struct host_limits *before)
{
	struct host_limits now;
	char sum[LIMITS_TEXT_MAX];
	uint32_t budget = h->budget;

	pthread_mutex_lock(&h->lock);
	h->limits.is_above = budget > available(&h->limits);
	h->limits.is_crowded = !h->limits.is_above &&
		(uint64_t)h->limits.others + budget > available(&h->limits);
	now = h->limits;
	pthread_mutex_unlock(&h->lock);
	(void)spell(&now, sum);
	if (now.is_above && (!before->is_above || available(&now) != available(before)))
		SLOG(WARN, "budget-above",
			"host=%s text=\"PostgreSQL has fewer connections than the budget: %s < connection_budget %u\"",
			h->name, sum, budget);
	if (now.is_crowded && !before->is_crowded)
		SLOG(WARN, "budget-crowded",
			"host=%s text=\"others leave too few connections for the budget: %s < connection_budget %u + others %u\"",
			h->name, sum, budget, now.others);
	if ((before->is_above || before->is_crowded) && !now.is_above && !now.is_crowded)
		SLOG(INFO, "budget-can-be-had", "host=%s text=\"%s >= connection_budget %u + others %u\"",
			h->name, sum, budget, now.others);
}

void directory_set_budget(struct directory *d, struct route_host *h,
	uint32_t max_connections, uint32_t reserved, uint32_t others)
{
	const struct config_host *conf;
	struct host_limits before;

	pthread_mutex_lock(&d->lock);
	conf = config_find_host(d->config, h->name);
	if (conf == NULL || conf->options.user[0] == '\0') {
		pthread_mutex_unlock(&d->lock);
		return;
	}
	pthread_mutex_lock(&h->lock);
	before = h->limits;
	h->limits.is_known = true;
	h->limits.max_connections = max_connections;
	h->limits.reserved = reserved;
	/* What another process of this router holds is none of theirs. */
	h->limits.others = others - (others < h->part.elsewhere ? others : h->part.elsewhere);
	h->limits.error[0] = '\0';
	pthread_mutex_unlock(&h->lock);
	if (host_budget(h, conf) != h->budget || !before.is_known)
		host_budget_apply(d, h);
	tell(h, &before);
	if (before.error[0] != '\0')
		SLOG(INFO, "budget-check", "host=%s result=\"PostgreSQL answers again\"", h->name);
	pthread_mutex_unlock(&d->lock);
}

void directory_set_limits(struct directory *d, struct route_host *h, uint32_t max_connections,
	uint32_t reserved)
{
	const struct config_host *conf;

	pthread_mutex_lock(&d->lock);
	conf = config_find_host(d->config, h->name);
	if (conf != NULL && config_host_is_auto(conf)) {
		pthread_mutex_lock(&h->lock);
		h->limits.is_known = true;
		h->limits.max_connections = max_connections;
		h->limits.reserved = reserved;
		pthread_mutex_unlock(&h->lock);
		host_budget_apply(d, h);
	}
	pthread_mutex_unlock(&d->lock);
}

void directory_share_budget(struct directory *d, struct route_host *h, const struct host_part *part)
{
	pthread_mutex_lock(&d->lock);
	if (memcmp(&h->part, part, sizeof(*part)) != 0) {
		h->part = *part;
		host_budget_apply(d, h);
	}
	pthread_mutex_unlock(&d->lock);
}

bool directory_budget_covers(struct directory *d, struct route_host *h)
{
	bool covers;

	pthread_mutex_lock(&d->lock);
	covers = h->part.elsewhere <= h->budget;
	pthread_mutex_unlock(&d->lock);
	return covers;
}

uint32_t directory_budget(struct directory *d, struct route_host *h)
{
	uint32_t budget;

	pthread_mutex_lock(&d->lock);
	pthread_mutex_lock(&h->lock);
	budget = h->limits.source == BUDGET_NOT_READ ? 0 : h->budget;
	pthread_mutex_unlock(&h->lock);
	pthread_mutex_unlock(&d->lock);
	return budget;
}

void directory_budget_unread(struct directory *d, struct route_host *h,
	const struct pool_error *error)
{
	char quoted[POOL_ERROR_TEXT_MAX * 2];
	bool is_new;

	pthread_mutex_lock(&d->lock);
	pthread_mutex_lock(&h->lock);
	is_new = strcmp(h->limits.error, error->message) != 0;
	(void)snprintf(h->limits.error, sizeof(h->limits.error), "%s", error->message);
	pthread_mutex_unlock(&h->lock);
	if (is_new)
		SLOG(WARN, "budget-check-failed", "host=%s budget=%u sqlstate=%s message=%s",
			h->name, h->budget, error->sqlstate,
			slog_quote(quoted, sizeof(quoted), error->message,
				strlen(error->message)));
	pthread_mutex_unlock(&d->lock);
}

void route_host_tell_denied(struct route_host *h)
{
	uint64_t denied;
	uint32_t used, limit;

	pthread_mutex_lock(&h->monitor.lock);
	denied = h->monitor.denied;
	used = h->monitor.budget.used;
	limit = h->monitor.budget.limit;
	pthread_mutex_unlock(&h->monitor.lock);
	if (denied == h->denied_told)
		return;
	SLOG(WARN, "budget-denied",
		"host=%s times=%lu text=\"PostgreSQL had no connection left, with %u of connection_budget %u in use; lower connection_budget, or raise max_connections there\"",
		h->name, (unsigned long)(denied - h->denied_told), used, limit);
	h->denied_told = denied;
}

/* --- reload -------------------------------------------------------------------------- */

int host_budget_check(struct route_host *h, const struct config_host *past_conf,
	const struct config_host *conf, struct diag *diag)
{
	char sum[LIMITS_TEXT_MAX];
	struct host_limits limits;
	bool is_same = past_conf != NULL && host_same_places(past_conf, conf);

	pthread_mutex_lock(&h->lock);
	limits = h->limits;
	pthread_mutex_unlock(&h->lock);
	if (!is_same || !limits.is_known || conf->options.user[0] == '\0' ||
		config_host_is_auto(conf) || conf->budget <= available(&limits))
		return 0;
	diag_set(diag, NULL, 0, 0,
		"hosts.%s.connection_budget: %u is more than PostgreSQL has for this router: %s",
		conf->name, conf->budget, spell(&limits, sum));
	return -EINVAL;
}

/* --- start ----------------------------------------------------------------------------- */

/* What another process still has all of cannot be asked. */
static bool may_ask(struct directory *d, struct route_host *h)
{
	bool may;

	pthread_mutex_lock(&d->lock);
	may = own_part(h) > 0;
	pthread_mutex_unlock(&d->lock);
	return may;
}

int directory_check_budgets(struct directory *d, struct diag *diag)
{
	struct config *config = directory_config(d);
	int ret = 0;

	for (size_t i = 0; ret != -EINVAL && i < config->host_count; i++) {
		const struct config_host *conf = &config->hosts[i];
		struct route_host *h = directory_find_host(d, conf->name);
		struct host_limits limits;
		int one;

		if (h == NULL || conf->options.user[0] == '\0' || config_host_is_auto(conf))
			continue;
		one = host_budget_check(h, conf, conf, diag);
		route_host_limits(h, &limits);
		/* What cannot be read now is told when it can. */
		if (one == 0 && !limits.is_known && limits.error[0] == '\0' && may_ask(d, h))
			one = -EAGAIN;
		ret = one != 0 ? one : ret;
	}
	config_unref(config);
	return ret;
}
