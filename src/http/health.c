/* SPDX-License-Identifier: ISC */
#include "http/health.h"

#include <inttypes.h>
#include <string.h>

#include "base/json.h"

/* What it may count on; where that is nothing, what it may have. */
static uint32_t size_of(const struct look_workload *w)
{
	return w->guaranteed > 0 ? w->guaranteed : w->max;
}

static void add_workload(struct buf *out, const struct look_workload *w)
{
	uint32_t size = size_of(w);
	/* To the nearest tenth. */
	uint64_t tenths = size == 0 ? 0 : ((uint64_t)w->leased * 2000 + size) / (2 * size);

	json_add_string(out, w->name, strlen(w->name));
	buf_addf(out,
		": {\"size\": %u, \"checked_out\": %u, \"utilization\": %" PRIu64 ".%u, ",
		size, w->leased, tenths / 10, (unsigned)(tenths % 10));
	buf_addf(out,
		"\"limit\": %u, \"borrowed\": %u, \"waiting\": %u, \"maxwait_ms\": %" PRIu64
		", ",
		w->max, w->borrowed, w->waiting, w->wait_us / USEC_PER_MSEC);
	buf_addf(out,
		"\"level\": \"%s\", \"idle\": %u, \"used\": %u, \"clients\": %u, "
		"\"wait_timeouts\": %" PRIu64 ", \"pool_mode\": \"%s\", ",
		health_level_word(w->level), w->idle, w->used, w->clients,
		w->wait_timeouts, w->mode);
	if (w->oldest_us == 0)
		buf_add_str(out, "\"waiting_for\": null, ");
	else
		buf_addf(out, "\"waiting_for\": \"%s\", ", wait_reason_word(w->reason));
	buf_addf(out, "\"oldest_lease_ms\": %" PRIu64 "}", w->lease_us / USEC_PER_MSEC);
}

void health_write(struct buf *out, const struct look *look)
{
	bool has_any = false;

	buf_add_u8(out, '{');
	for (uint32_t i = 0; i < look->workload_count; i++) {
		if (!look->workloads[i].is_configured)
			continue;
		if (has_any)
			buf_add_str(out, ", ");
		add_workload(out, &look->workloads[i]);
		has_any = true;
	}
	buf_add_str(out, "}\n");
}
