/* SPDX-License-Identifier: ISC */
#include "config/share.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "config/doc.h"

enum {
	SUM_MAX = 250,
	NUMBER_MAX = 16,
	BUDGET_MAX = 262143             /* PostgreSQL's largest max_connections */
};

/* Whether a client of the workload can end up on the host. */
static bool reaches_host(const struct config *config, const struct config_workload *w,
	size_t host)
{
	const struct option_list *names = &w->options.databases;
	bool has_all = config_workload_allows(w, "*");

	for (size_t i = 0; has_all && i < config->database_count; i++) {
		if (config->databases[i].host == host)
			return true;
	}
	for (size_t i = 0; !has_all && i < names->count; i++) {
		if (config_find_database(config, names->items[i])->host == host)
			return true;
	}
	return false;
}

/* Where an option of a share stands: in the override of the host, or else in the
 * workload; the workload itself when it is not written at all. */
static const struct doc_node *place(const struct doc_source *source,
	const struct config_workload *w, const struct config_host *host,
	const char *option)
{
	const struct doc_node *node = doc_reach(source->root, "workloads", w->name, NULL);
	const struct doc_node *hosts = doc_get(node, "hosts");
	const struct doc_node *there = doc_get(doc_get(hosts, host->name), option);

	if (there == NULL)
		there = doc_get(node, option);
	return there == NULL ? node : there;
}

/* --- the sum ------------------------------------------------------------------------- */

/* Where nobody knows yet what there is to divide, who does not say how much it wants
 * wants one. */
static uint32_t claim_of(const struct config_host *h, const struct config_share *s)
{
	if (!s->is_used)
		return 0;
	if (s->given.guaranteed_connections != OPTION_AUTO)
		return s->given.guaranteed_connections;
	return config_host_is_auto(h) ? 1 : 0;
}

/* The router's own connections: a unit of its own where what is configured cannot do
 * without, else what is free just then. */
static uint32_t own_claim(const struct config_host *h)
{
	return config_host_is_auto(h) || h->is_asked_for_users ? 1 : 0;
}

uint64_t share_floors(const struct config *config, size_t host)
{
	const struct config_host *h = &config->hosts[host];
	uint64_t sum = own_claim(h);

	for (size_t i = 0; i < config->workload_count; i++)
		sum += claim_of(h, &config->workloads[i].shares[host]);
	return sum;
}

const char *share_spell(const struct config *config, size_t host, char *to, size_t size)
{
	const struct config_host *h = &config->hosts[host];
	size_t used = 0;

	to[0] = '\0';
	for (size_t i = 0; i < config->workload_count && used < size; i++) {
		const struct config_workload *w = &config->workloads[i];
		uint32_t claim = claim_of(h, &w->shares[host]);

		if (claim > 0)
			used += (size_t)snprintf(to + used, size - used, "%s%s %u",
				used == 0 ? "" : " + ", w->name, claim);
	}
	if (own_claim(h) > 0 && used < size)
		(void)snprintf(to + used, size - used, "%srouter itself %u",
			used == 0 ? "" : " + ", own_claim(h));
	return to;
}

/* The sum is too large with the last one that is written down. */
static int fail_sum(const struct config *config, const struct doc_source *source,
	size_t host, uint64_t sum)
{
	const struct config_host *h = &config->hosts[host];
	const struct config_workload *last = NULL;
	char text[SUM_MAX];

	for (size_t i = 0; i < config->workload_count; i++) {
		if (claim_of(h, &config->workloads[i].shares[host]) > 0)
			last = &config->workloads[i];
	}
	return doc_fail(source,
		last == NULL ? NULL : place(source, last, h, "guaranteed_connections"),
		"guaranteed_connections add up to %" PRIu64
		" on host %s (%s), which is more than its connection_budget of %u",
		sum, h->name, share_spell(config, host, text, sizeof(text)), h->budget);
}

/* --- dividing ------------------------------------------------------------------------ */

/* Claims of more than there is.  Each gets 1 as long as there is one for each; what
 * is left, in proportion, and what that leaves by the largest remainder. */
struct scale {
	uint64_t claims[CONFIG_WORKLOADS_MAX + 1];
	uint32_t parts[CONFIG_WORKLOADS_MAX + 1];
	size_t count;
};

/* Whose part of the rest would be less than 1 gets 1, and the rest is smaller. */
static bool settle_small(struct scale *s, uint64_t *sum, uint64_t *left)
{
	bool found = false;

	for (size_t i = 0; i < s->count && *left > 0; i++) {
		if (s->claims[i] == 0 || s->parts[i] != 0 || *left * s->claims[i] >= *sum)
			continue;
		s->parts[i] = 1;
		*sum -= s->claims[i];
		--*left;
		found = true;
	}
	return found;
}

/* The one with the largest remainder that has not had one more yet, and no more of
 * those when there is none. */
static size_t largest_remainder(const struct scale *s, const bool *has_part,
	uint64_t sum, uint64_t left)
{
	size_t best = SIZE_MAX;

	for (size_t i = 0; i < s->count; i++) {
		if (!has_part[i] || s->parts[i] != left * s->claims[i] / sum)
			continue;
		if (best == SIZE_MAX ||
			left * s->claims[i] % sum > left * s->claims[best] % sum)
			best = i;
	}
	return best;
}

static void scale_claims(struct scale *s, uint64_t budget)
{
	bool has_part[CONFIG_WORKLOADS_MAX + 1] = { false };
	uint64_t sum = 0, left = budget, given = 0;
	size_t next, claimants = 0;

	for (size_t i = 0; i < s->count; i++) {
		sum += s->claims[i];
		claimants += s->claims[i] > 0;
	}
	for (size_t i = 0; claimants >= budget && i < s->count && left > 0; i++) {
		s->parts[i] = s->claims[i] > 0 ? 1 : 0;
		left -= s->parts[i];
	}
	while (settle_small(s, &sum, &left))
		continue;
	for (size_t i = 0; i < s->count; i++) {
		has_part[i] = s->claims[i] > 0 && s->parts[i] == 0 && left > 0;
		if (has_part[i])
			s->parts[i] = (uint32_t)(left * s->claims[i] / sum);
		given += has_part[i] ? s->parts[i] : 0;
	}
	for (; given < left; given++) {
		next = largest_remainder(s, has_part, sum, left);
		if (next == SIZE_MAX)
			return;
		s->parts[next]++;
	}
}

/* The router is first: without a connection it would not learn of a larger budget. */
static void divide_scaled(const struct config *config, size_t host, uint32_t budget,
	struct share_part *parts, struct share_part *own)
{
	const struct config_host *h = &config->hosts[host];
	struct scale scale = { .count = config->workload_count + 1 };

	scale.claims[0] = own_claim(h);
	for (size_t i = 0; i < config->workload_count; i++)
		scale.claims[i + 1] = claim_of(h, &config->workloads[i].shares[host]);
	scale_claims(&scale, budget);
	own->guaranteed = scale.parts[0];
	for (size_t i = 0; i < config->workload_count; i++)
		parts[i].guaranteed = scale.parts[i + 1];
}

/* Unclaimed connections go one by one, in the order of the file, to those that do
 * not say how many they want, up to what each may have. */
static void divide_rest(const struct config *config, size_t host, uint32_t left,
	struct share_part *parts)
{
	bool gave = true;

	while (gave && left > 0) {
		gave = false;
		for (size_t i = 0; i < config->workload_count && left > 0; i++) {
			const struct config_share *s =
				&config->workloads[i].shares[host];

			if (!s->is_used ||
				s->given.guaranteed_connections != OPTION_AUTO ||
				parts[i].guaranteed == parts[i].max)
				continue;
			parts[i].guaranteed++;
			left--;
			gave = true;
		}
	}
}

/* A session port lends nothing to itself: what is not given back soon is not
 * borrowed unless the file says so. */
static void settle_max(const struct config *config, size_t host, bool fits,
	struct share_part *parts)
{
	for (size_t i = 0; i < config->workload_count; i++) {
		const struct config_workload *w = &config->workloads[i];
		const struct config_share *s = &w->shares[host];

		if (s->is_used && s->given.max_connections == OPTION_AUTO &&
			w->options.pool_mode == CONFIG_POOL_SESSION)
			parts[i].max = parts[i].guaranteed;
		/* There is not one for each: it may have one that nobody uses. */
		if (s->is_used && parts[i].max == 0 && !fits)
			parts[i].max = 1;
	}
}

static uint64_t sum_given(const struct config *config, size_t host)
{
	uint64_t sum = own_claim(&config->hosts[host]);

	for (size_t i = 0; i < config->workload_count; i++) {
		const struct config_share *s = &config->workloads[i].shares[host];

		if (s->is_used && s->given.guaranteed_connections != OPTION_AUTO)
			sum += s->given.guaranteed_connections;
	}
	return sum;
}

bool share_divide(const struct config *config, size_t host, uint32_t budget,
	struct share_part *parts, struct share_part *own)
{
	const struct config_host *h = &config->hosts[host];
	bool fits = share_floors(config, host) <= budget;

	assert(budget > 0);
	own->guaranteed = own_claim(h);
	own->max = h->options.user[0] != '\0' ? 1 : 0;
	for (size_t i = 0; i < config->workload_count; i++) {
		const struct config_share *s = &config->workloads[i].shares[host];
		uint32_t guaranteed = s->given.guaranteed_connections;
		uint32_t max = s->given.max_connections;

		parts[i] = (struct share_part){ 0 };
		if (!s->is_used)
			continue;
		parts[i].guaranteed = guaranteed == OPTION_AUTO ? 0 : guaranteed;
		parts[i].max = max < budget ? max : budget;
	}
	if (fits)
		divide_rest(config, host, (uint32_t)(budget - sum_given(config, host)),
			parts);
	else
		divide_scaled(config, host, budget, parts, own);
	settle_max(config, host, fits, parts);
	return fits;
}

/* --- what the file says -------------------------------------------------------------- */

/* What is written down contradicts itself whatever the budget is. */
static int check_given(const struct config *config, const struct doc_source *source,
	size_t host)
{
	const struct config_host *h = &config->hosts[host];

	for (size_t i = 0; i < config->workload_count; i++) {
		const struct config_workload *w = &config->workloads[i];
		const struct config_share *s = &w->shares[host];
		uint32_t guaranteed = s->given.guaranteed_connections;
		uint32_t max = s->given.max_connections;
		uint32_t pinned = s->given.max_pinned;

		if (s->is_used && guaranteed != OPTION_AUTO && max != OPTION_AUTO &&
			max < guaranteed)
			return doc_fail(source, place(source, w, h, "max_connections"),
				"max_connections: %u is less than the "
				"guaranteed_connections of workload %s, which are %u",
				max, w->name, guaranteed);
		if (s->is_used && guaranteed != OPTION_AUTO && pinned != OPTION_AUTO &&
			pinned > guaranteed)
			return doc_fail(source, place(source, w, h, "max_pinned"),
				"max_pinned: %u is more than the "
				"guaranteed_connections of workload %s, which are %u",
				pinned, w->name, guaranteed);
	}
	return 0;
}

static int take_parts(struct config *config, const struct doc_source *source, size_t host,
	const struct share_part *parts)
{
	const struct config_host *h = &config->hosts[host];
	char budget[NUMBER_MAX] = "auto";

	if (!config_host_is_auto(h))
		(void)snprintf(budget, sizeof(budget), "%u", h->budget);
	for (size_t i = 0; i < config->workload_count; i++) {
		struct config_workload *w = &config->workloads[i];
		struct config_share *s = &w->shares[host];

		s->guaranteed = parts[i].guaranteed;
		s->max = parts[i].max;
		if (s->is_used && s->max == 0)
			return doc_fail(source,
				place(source, w, h, "guaranteed_connections"),
				"workload %s could have no connection on host %s: it is "
				"guaranteed none of the connection_budget of %s, and in "
				"session mode max_connections is as many unless set",
				w->name, h->name, budget);
	}
	return 0;
}

/* An override for a host that the workload never uses is a mistake. */
static int check_overrides(const struct config *config, const struct doc_source *source,
	size_t host)
{
	const struct config_host *h = &config->hosts[host];

	for (size_t i = 0; i < config->workload_count; i++) {
		const struct config_workload *w = &config->workloads[i];
		const struct doc_node *hosts = doc_get(
			doc_reach(source->root, "workloads", w->name, NULL), "hosts");
		const struct doc_node *node = doc_get(hosts, h->name);

		if (node != NULL && !w->shares[host].is_used)
			return doc_fail_key(source, node,
				"workloads.%s.hosts.%s: no database of this workload is "
				"on that host",
				w->name, h->name);
	}
	return 0;
}

static int compute_host(struct config *config, const struct doc_source *source, size_t host)
{
	struct config_host *h = &config->hosts[host];
	struct share_part parts[CONFIG_WORKLOADS_MAX], own;
	uint64_t floors;
	int ret;

	for (size_t i = 0; i < config->workload_count; i++)
		config->workloads[i].shares[host].is_used =
			reaches_host(config, &config->workloads[i], host);
	ret = check_given(config, source, host);
	if (ret < 0)
		return ret;
	floors = share_floors(config, host);
	h->budget = h->options.connection_budget;
	if (config_host_is_auto(h))
		h->budget = (uint32_t)u64_min(floors, BUDGET_MAX);
	else if (floors > h->budget)
		return fail_sum(config, source, host, floors);
	(void)share_divide(config, host, h->budget, parts, &own);
	ret = take_parts(config, source, host, parts);
	return ret == 0 ? check_overrides(config, source, host) : ret;
}

int share_compute(struct config *config, const struct doc_source *source)
{
	int ret = 0;

	for (size_t host = 0; host < config->host_count && ret == 0; host++)
		ret = compute_host(config, source, host);
	return ret;
}
