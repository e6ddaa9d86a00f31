/* SPDX-License-Identifier: ISC */
/*
 * The reader of pgtandem.yaml: any bytes give a configuration or an error with a
 * text; a configuration keeps its promises, and shows and compares without harm.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/diag.h"
#include "config/config.h"
#include "config/dump.h"
#include "config/reload.h"
#include "config/share.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_row(void *arg, const struct dump_row *row)
{
	(void)arg;
	assert(row->name != NULL && row->value != NULL && row->def != NULL);
}

static void check_shares(const struct config *config, size_t host)
{
	uint32_t budget = config->hosts[host].budget;
	uint64_t sum = 0;

	for (size_t i = 0; i < config->workload_count; i++) {
		const struct config_share *s = &config->workloads[i].shares[host];

		assert(s->guaranteed <= s->max && s->max <= budget);
		assert(s->is_used ? s->max >= 1 : s->max == 0);
		sum += s->guaranteed;
	}
	assert(sum <= budget);
}

/* What a budget of auto may become. */
static void check_division(const struct config *config, size_t host, uint32_t budget)
{
	struct share_part parts[CONFIG_WORKLOADS_MAX], own;
	uint64_t sum;
	bool fits = share_divide(config, host, budget, parts, &own);

	sum = own.guaranteed;
	for (size_t i = 0; i < config->workload_count; i++) {
		assert(parts[i].guaranteed <= parts[i].max && parts[i].max <= budget);
		sum += parts[i].guaranteed;
	}
	assert(sum <= budget);
	assert(fits == (share_floors(config, host) <= budget));
}

static void check_same(const struct config *config)
{
	struct reload_diff diff;

	if (reload_compare(config, config, &diff) < 0)
		abort();
	assert(diff.count == 0);
	reload_finish(&diff);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct diag diag = { 0 };
	struct config *config = config_load_memory((const char *)data, size, "fuzz.yaml",
		&diag);
	struct settings settings;

	assert((config == NULL) == diag_is_set(&diag));
	if (config == NULL)
		return 0;
	for (size_t i = 0; i < config->host_count; i++) {
		check_shares(config, i);
		check_division(config, i, 1);
		check_division(config, i, config->hosts[i].budget / 2 + 1);
		check_division(config, i, 262143);
	}
	config_resolve(config, &config->workloads[0], &config->databases[0], "app",
		&settings);
	assert(settings.server_reset_query != NULL);
	check_same(config);
	if (dump_show(config, on_row, NULL) < 0)
		abort();
	config_unref(config);
	return 0;
}
