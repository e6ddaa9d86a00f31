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

/* --- why ------------------------------------------------------------------------------ */

/* To be read, not to be computed with. */
static void add_span(struct buf *out, uint64_t us)
{
	unsigned long long tenths = us / (USEC_PER_SEC / 10), minutes = tenths / 600;

	if (tenths < 100)
		buf_addf(out, "%llu.%llu s", tenths / 10, tenths % 10);
	else if (minutes < 2)
		buf_addf(out, "%llu s", tenths / 10);
	else if (minutes < 120)
		buf_addf(out, "%llu min", minutes);
	else
		buf_addf(out, "%llu h %llu min", minutes / 60, minutes % 60);
}

/* The word of a command, in quotes where it needs them. */
static void add_argument(struct buf *out, const char *name)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";

	if (name[strspn(name, plain)] == '\0') {
		buf_add_str(out, name);
		return;
	}
	buf_add_u8(out, '"');
	for (; *name != '\0'; name++) {
		if (*name == '"')
			buf_add_u8(out, '"');
		buf_add_u8(out, (uint8_t)*name);
	}
	buf_add_u8(out, '"');
}

static void add_hold(struct buf *out, const struct look_hold *hold)
{
	bool is_pause = hold->by == LOOK_HOLDER_PAUSE;

	buf_add_str(out, is_pause ? "paused for " : "suspended for ");
	add_span(out, hold->us);
	buf_add_str(out, is_pause ? " by PAUSE or KILL" : " by SUSPEND");
	if (hold->name[0] != '\0') {
		buf_add_str(out, " of ");
		add_argument(out, hold->name);
	}
	buf_add_str(out, "; RESUME");
	if (hold->name[0] != '\0') {
		buf_add_u8(out, ' ');
		add_argument(out, hold->name);
	}
	buf_add_str(out, " ends that");
}

static void add_wait(struct buf *out, const struct look_workload *w)
{
	buf_addf(out, "%u %s, the first for ", w->waiting, w->waiting == 1 ? "waits" : "wait");
	add_span(out, w->wait_us);
	buf_addf(out, ": %s", wait_reason_text(w->reason));
}

/* Why the level is not ok. */
static void add_reason(struct buf *out, const struct look_workload *w, uint64_t now_us)
{
	bool is_held = w->hold.by != LOOK_HOLDER_NONE;

	if (is_held)
		add_hold(out, &w->hold);
	if (w->waiting > 0 && (is_held || w->level == HEALTH_EMERGENCY)) {
		buf_add_str(out, is_held ? "; " : "");
		add_wait(out, w);
	} else if (w->level == HEALTH_EMERGENCY && !is_held) {
		buf_add_str(out, "query_wait_timeout has ended a wait ");
		add_span(out, now_us - u64_min(now_us, w->wait_timeout_at_us));
		buf_add_str(out, " ago");
	} else if (!is_held) {
		buf_addf(out, "%u of %u servers are out", w->leased, w->max);
	}
}

static void write_reason(struct buf *out, const struct look_workload *w, uint64_t now_us)
{
	struct buf text;

	if (w->level == HEALTH_OK) {
		buf_add_str(out, "null");
		return;
	}
	buf_init(&text, 0);
	add_reason(&text, w, now_us);
	json_add_string(out, (const char *)buf_data(&text), buf_len(&text));
	out->failed = out->failed || !buf_ok(&text);
	buf_finish(&text);
}

/* --- all of it ------------------------------------------------------------------------ */

static void write_hold(struct buf *out, const struct look_hold *hold)
{
	static const char *const words[] = { [LOOK_HOLDER_NONE] = "null",
		[LOOK_HOLDER_PAUSE] = "\"pause\"",
		[LOOK_HOLDER_SUSPEND] = "\"suspend\"" };

	buf_addf(out, "\"hold\": %s, \"hold_database\": ", words[hold->by]);
	if (hold->name[0] == '\0')
		buf_add_str(out, "null");
	else
		json_add_string(out, hold->name, strlen(hold->name));
	buf_addf(out, ", \"hold_ms\": %" PRIu64 ", ", hold->us / USEC_PER_MSEC);
}

static void add_workload(struct buf *out, const struct look_workload *w, uint64_t now_us)
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
	buf_addf(out, "\"oldest_lease_ms\": %" PRIu64 ", ", w->lease_us / USEC_PER_MSEC);
	write_hold(out, &w->hold);
	buf_add_str(out, "\"reason\": ");
	write_reason(out, w, now_us);
	buf_add_u8(out, '}');
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
		add_workload(out, &look->workloads[i], look->now_us);
		has_any = true;
	}
	buf_add_str(out, "}\n");
}
