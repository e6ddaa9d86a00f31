/* SPDX-License-Identifier: ISC */
/*
 * What /metrics tells of hosts and of their budgets.
 */
#include "http/metrics_priv.h"

/* --- hosts ----------------------------------------------------------------------- */

static bool is_told(const struct look_host *h)
{
	return h->is_configured || h->budget.used > 0;
}

#define HOST_GAUGE(metric, value)                                                        \
	do {                                                                             \
		exposition_begin(e, (metric));                                           \
		for (uint32_t i = 0; i < look->host_count; i++) {                        \
			const struct look_host *h = &look->hosts[i];                     \
			if (is_told(h))                                                  \
				exposition_u64(e, (value), LABELS("host", h->name));     \
		}                                                                        \
	} while (0)

static void servers_by_state(struct exposition *e, const char *const *labels, size_t at,
	const uint32_t counts[4])
{
	static const char *const states[] = { "idle", "leased", "connecting", "closing" };
	const char *with[8] = { NULL };

	for (size_t i = 0; i < at; i++)
		with[i] = labels[i];
	with[at] = "state";
	for (size_t i = 0; i < COUNT_OF(states); i++) {
		with[at + 1] = states[i];
		exposition_u64(e, counts[i], with);
	}
}

static void ends(struct exposition *e, const struct look *look)
{
	exposition_begin(e, METRIC_SERVER_CLOSES);
	for (uint32_t i = 0; i < look->host_count; i++) {
		const struct look_host *h = &look->hosts[i];

		for (uint32_t k = 0; is_told(h) && k < SERVER_END_COUNT; k++)
			exposition_u64(e, h->ends[k], LABELS("host", h->name, "reason",
				server_end_word((enum server_end)k)));
	}
}

static void hosts(struct exposition *e, const struct look *look)
{
	static const char *const failures[CONNECT_FAILURES] = { [CONNECT_FAILED_HOST] = "host",
		[CONNECT_FAILED_DENIED] = "no-slot",
		[CONNECT_FAILED_LOGIN] = "login" };

	HOST_GAUGE(METRIC_HOST_UP, h->is_up);
	HOST_GAUGE(METRIC_HOST_BUDGET, h->budget.limit);
	HOST_GAUGE(METRIC_HOST_ELSEWHERE, h->budget.elsewhere);
	exposition_begin(e, METRIC_HOST_SERVERS);
	for (uint32_t i = 0; i < look->host_count; i++) {
		const struct look_host *h = &look->hosts[i];
		const uint32_t counts[] = { h->budget.idle, h->budget.leased,
			h->budget.connecting, h->budget.closing };

		if (is_told(h))
			servers_by_state(e, LABELS("host", h->name), 2, counts);
	}
	HOST_GAUGE(METRIC_HOST_QUARANTINED, h->budget.quarantined);
	HOST_GAUGE(METRIC_HOST_WAITING, h->budget.waiting);
	HOST_GAUGE(METRIC_HOST_DENIED, h->budget.denied);
	exposition_begin(e, METRIC_CONNECT_FAILURES);
	for (uint32_t i = 0; i < look->host_count; i++) {
		const struct look_host *h = &look->hosts[i];

		for (size_t k = 0; is_told(h) && k < CONNECT_FAILURES; k++)
			exposition_u64(e, h->budget.failed[k],
				LABELS("host", h->name, "reason", failures[k]));
	}
	ends(e, look);
	HOST_GAUGE(METRIC_CLEARTEXT_REFUSALS, h->cleartext_refusals);
	HOST_GAUGE(METRIC_PASSWORD_FETCHES, h->password_fetches);
	HOST_GAUGE(METRIC_PASSWORD_FAILURES, h->password_failures);
	HOST_GAUGE(METRIC_HOST_CANCELS, h->cancels);
	HOST_GAUGE(METRIC_HOST_REPLICATIONS, h->replications);
	HOST_GAUGE(METRIC_HOST_MAX, h->limits.max_connections);
	HOST_GAUGE(METRIC_HOST_RESERVED, h->limits.reserved);
	HOST_GAUGE(METRIC_HOST_OTHERS, h->limits.others);
	HOST_GAUGE(METRIC_HOST_ABOVE, h->limits.is_above);
	HOST_GAUGE(METRIC_HOST_CROWDED, h->limits.is_crowded);
	exposition_begin(e, METRIC_HOST_EXPIRY);
	for (uint32_t i = 0; i < look->host_count; i++) {
		if (look->hosts[i].certificate_s != 0)
			exposition_u64(e, look->hosts[i].certificate_s,
				LABELS("host", look->hosts[i].name));
	}
	exposition_begin(e, METRIC_CONNECT);
	for (uint32_t i = 0; i < look->host_count; i++) {
		if (is_told(&look->hosts[i]))
			exposition_times(e, &look->hosts[i].connects,
				LABELS("host", look->hosts[i].name));
	}
}

/* --- shares ---------------------------------------------------------------------- */

/* A workload's part of one host. */
struct part {
	struct exposition *e;
	const struct look *look;
	const struct snap_share *share;
	const struct histogram *reclaims;
	const char *const *labels;      /* host, workload */
};

static void each_part(struct exposition *e, const struct look *look, enum metric metric,
	void (*tell)(const struct part *))
{
	exposition_begin(e, metric);
	for (uint32_t i = 0; i < look->host_count; i++) {
		const struct look_host *h = &look->hosts[i];

		for (uint32_t k = 0; k < h->budget.share_count; k++) {
			char name[LABEL_MAX];
			const struct part part = { .e = e,
				.look = look,
				.share = &h->budget.shares[k],
				.reclaims = &h->reclaims[k],
				.labels = LABELS("host", h->name, "workload",
					metrics_workload(look, k, name)) };

			if (k < look->workload_count && snap_share_is_alive(part.share))
				tell(&part);
		}
	}
}

#define PART(name, value)                                                                \
	static void tell_##name(const struct part *p)                                    \
	{                                                                                \
		exposition_u64(p->e, p->share->value, p->labels);                        \
	}
PART(guaranteed, guaranteed)
PART(max, max)
PART(borrowed, borrowed)
PART(lent, lent)
PART(waiting, waiting)
PART(stalled, stalled_ended)
PART(pinned, pinned)
PART(pinned_max, max_pinned)
PART(pins_refused, pins_refused)
PART(pins_over, pins_over)

static void tell_servers(const struct part *p)
{
	const uint32_t counts[] = { p->share->idle, p->share->leased,
		p->share->connecting, p->share->closing };

	servers_by_state(p->e, p->labels, 4, counts);
}

static void tell_since(const struct part *p, uint64_t since_us)
{
	exposition_us(p->e, look_age(p->look, since_us), p->labels);
}

static void tell_oldest(const struct part *p)
{
	tell_since(p, p->share->oldest_us);
}

static void tell_lease(const struct part *p)
{
	tell_since(p, p->share->lease_us);
}

static void tell_reclaims(const struct part *p)
{
	struct times_sum times = { .sum_us = p->reclaims->sum };

	for (size_t i = 0; i < TIMES_BOUNDS; i++)
		times.up_to[i] = histogram_up_to(p->reclaims, times_bounds_us[i]);
	times.up_to[TIMES_BOUNDS] = p->reclaims->count;
	exposition_times(p->e, &times, p->labels);
}

static void shares(struct exposition *e, const struct look *look)
{
	each_part(e, look, METRIC_SHARE_GUARANTEED, tell_guaranteed);
	each_part(e, look, METRIC_SHARE_MAX, tell_max);
	each_part(e, look, METRIC_SHARE_SERVERS, tell_servers);
	each_part(e, look, METRIC_SHARE_BORROWED, tell_borrowed);
	each_part(e, look, METRIC_SHARE_LENT, tell_lent);
	each_part(e, look, METRIC_SHARE_WAITING, tell_waiting);
	each_part(e, look, METRIC_SHARE_OLDEST, tell_oldest);
	each_part(e, look, METRIC_SHARE_LEASE, tell_lease);
	each_part(e, look, METRIC_SHARE_STALLED, tell_stalled);
	each_part(e, look, METRIC_SHARE_PINNED, tell_pinned);
	each_part(e, look, METRIC_SHARE_PINNED_MAX, tell_pinned_max);
	each_part(e, look, METRIC_PINS_REFUSED, tell_pins_refused);
	each_part(e, look, METRIC_PINS_OVER, tell_pins_over);
	each_part(e, look, METRIC_RECLAIM, tell_reclaims);
}

void metrics_hosts(struct exposition *e, const struct look *look)
{
	hosts(e, look);
	shares(e, look);
}
