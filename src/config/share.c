/* SPDX-License-Identifier: ISC */
#include "config/share.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "config/doc.h"

enum { SUM_MAX = 250 };

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

static int fail_sum(const struct config *config, const struct doc_source *source,
	size_t host, uint64_t sum)
{
	const struct config_host *h = &config->hosts[host];
	const struct config_workload *last = NULL;
	char text[SUM_MAX] = "";
	size_t used = 0;

	for (size_t i = 0; i < config->workload_count; i++) {
		const struct config_workload *w = &config->workloads[i];
		const struct config_share *s = &w->shares[host];

		if (!s->is_used || s->given.guaranteed_connections == OPTION_AUTO ||
			s->given.guaranteed_connections == 0)
			continue;
		if (used < sizeof(text))
			used += (size_t)snprintf(text + used, sizeof(text) - used,
				"%s%s %u", last == NULL ? "" : " + ", w->name,
				s->given.guaranteed_connections);
		last = w;
	}
	return doc_fail(source,
		last == NULL ? NULL : place(source, last, h, "guaranteed_connections"),
		"guaranteed_connections add up to %" PRIu64
		" on host %s (%s), which is more than its connection_budget of %u",
		sum, h->name, text, h->options.connection_budget);
}

/* What is written down: guaranteed where given, max as far as it is known. */
static int take_given(struct config *config, const struct doc_source *source, size_t host,
	uint32_t *left)
{
	uint32_t budget = config->hosts[host].options.connection_budget;
	uint64_t sum = 0;

	for (size_t i = 0; i < config->workload_count; i++) {
		struct config_workload *w = &config->workloads[i];
		struct config_share *s = &w->shares[host];
		uint32_t guaranteed = s->given.guaranteed_connections;
		uint32_t max = s->given.max_connections;

		s->is_used = reaches_host(config, w, host);
		s->guaranteed = 0;
		s->max = 0;
		if (!s->is_used)
			continue;
		if (guaranteed != OPTION_AUTO && max != OPTION_AUTO && max < guaranteed)
			return doc_fail(source,
				place(source, w, &config->hosts[host], "max_connections"),
				"max_connections: %u is less than the "
				"guaranteed_connections of workload %s, which are %u",
				max, w->name, guaranteed);
		if (guaranteed != OPTION_AUTO)
			s->guaranteed = guaranteed;
		s->max = max < budget ? max : budget;
		sum += s->guaranteed;
	}
	if (sum > budget)
		return fail_sum(config, source, host, sum);
	*left = budget - (uint32_t)sum;
	return 0;
}

/* Unclaimed connections go one by one, in the order of the file, to those that do
 * not say how many they want, up to what each may have. */
static void divide_rest(struct config *config, size_t host, uint32_t left)
{
	bool gave = true;

	while (gave && left > 0) {
		gave = false;
		for (size_t i = 0; i < config->workload_count && left > 0; i++) {
			struct config_share *s = &config->workloads[i].shares[host];

			if (!s->is_used ||
				s->given.guaranteed_connections != OPTION_AUTO ||
				s->guaranteed == s->max)
				continue;
			s->guaranteed++;
			left--;
			gave = true;
		}
	}
}

/* A session port lends nothing to itself: what is not given back soon is not
 * borrowed unless the file says so. */
static int settle_max(struct config *config, const struct doc_source *source, size_t host)
{
	const struct config_host *h = &config->hosts[host];

	for (size_t i = 0; i < config->workload_count; i++) {
		struct config_workload *w = &config->workloads[i];
		struct config_share *s = &w->shares[host];

		if (s->is_used && s->given.max_connections == OPTION_AUTO &&
			w->options.pool_mode == CONFIG_POOL_SESSION)
			s->max = s->guaranteed;
		if (s->is_used && s->max == 0)
			return doc_fail(source,
				place(source, w, h, "guaranteed_connections"),
				"workload %s could have no connection on host %s: it is "
				"guaranteed none of the connection_budget of %u, and in "
				"session mode max_connections is as many unless set",
				w->name, h->name, h->options.connection_budget);
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

int share_compute(struct config *config, const struct doc_source *source)
{
	for (size_t host = 0; host < config->host_count; host++) {
		uint32_t left = 0;
		int ret;

		ret = take_given(config, source, host, &left);
		if (ret < 0)
			return ret;
		divide_rest(config, host, left);
		ret = settle_max(config, source, host);
		if (ret == 0)
			ret = check_overrides(config, source, host);
		if (ret < 0)
			return ret;
	}
	return 0;
}
