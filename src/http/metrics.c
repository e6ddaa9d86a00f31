/* SPDX-License-Identifier: ISC */
#include "http/metrics.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/exposition.h"
#include "session/client.h"

enum { LABEL_MAX = 96 };

/* Which metric tells a counter of stats.def. */
static const struct {
	enum metric metric;
	bool is_time;
} stat_metrics[] = {
	[STAT_server_assignment_count] = { METRIC_ASSIGNMENTS, false },
	[STAT_xact_count] = { METRIC_TRANSACTIONS, false },
	[STAT_query_count] = { METRIC_QUERIES, false },
	[STAT_received] = { METRIC_RECEIVED, false },
	[STAT_sent] = { METRIC_SENT, false },
	[STAT_xact_time] = { METRIC_TRANSACTION_SPENT, true },
	[STAT_query_time] = { METRIC_QUERY_SPENT, true },
	[STAT_wait_time] = { METRIC_WAIT_SPENT, true },
	[STAT_client_parse_count] = { METRIC_CLIENT_PARSES, false },
	[STAT_server_parse_count] = { METRIC_SERVER_PARSES, false },
	[STAT_bind_count] = { METRIC_BINDS, false },
	[STAT_client_login_count] = { METRIC_LOGINS, false },
};

_Static_assert(COUNT_OF(stat_metrics) == STAT_COUNT, "a counter is not told");

/* A combination of workload, database and user; of the others names is NULL. */
struct series {
	uint32_t workload;
	char *database;
	char *user;
	uint64_t sum[STAT_COUNT];
};

struct series_list {
	struct series *rows;            /* the first ones are the others of each workload */
	size_t count;
	size_t named;
	uint32_t workers;
	uint32_t workload_count;
	bool failed;
};

/* --- workloads -------------------------------------------------------------------- */

/* One that has changed its mode has left its name to another one, and may still
 * drain: no two of them are told by one name. */
static const char *label_of(const struct look *look, uint32_t index, char to[LABEL_MAX])
{
	const struct look_workload *w = &look->workloads[index];

	for (uint32_t i = 0; !w->is_configured && i < look->workload_count; i++) {
		if (i == index || strcmp(look->workloads[i].name, w->name) != 0)
			continue;
		(void)snprintf(to, LABEL_MAX, "%s (%s)", w->name, w->mode);
		return to;
	}
	(void)snprintf(to, LABEL_MAX, "%s", w->name);
	return to;
}

static void workload_gauge(struct exposition *e, const struct look *look,
	enum metric metric, uint64_t (*value)(const struct look_workload *))
{
	char name[LABEL_MAX];

	exposition_begin(e, metric);
	for (uint32_t i = 0; i < look->workload_count; i++)
		exposition_u64(e, value(&look->workloads[i]),
			LABELS("workload", label_of(look, i, name)));
}

static uint64_t get_clients(const struct look_workload *w)
{
	return w->clients;
}

static uint64_t get_clients_max(const struct look_workload *w)
{
	return w->clients_max;
}

static uint64_t get_level(const struct look_workload *w)
{
	return (uint64_t)w->level;
}

static uint64_t get_wait_timeouts(const struct look_workload *w)
{
	return w->wait_timeouts;
}

static uint64_t get_wait_refusals(const struct look_workload *w)
{
	return w->wait_refusals;
}

static void workload_times(struct exposition *e, const struct look *look)
{
	static const struct {
		enum metric metric;
		enum workload_time time;
	} each[] = {
		{ METRIC_WAIT, WORKLOAD_TIME_WAIT },
		{ METRIC_LOGIN, WORKLOAD_TIME_LOGIN },
		{ METRIC_TRANSACTION, WORKLOAD_TIME_TRANSACTION },
		{ METRIC_QUERY, WORKLOAD_TIME_QUERY },
	};
	char name[LABEL_MAX];

	_Static_assert(COUNT_OF(each) == WORKLOAD_TIME_COUNT, "a time is not told");
	for (size_t k = 0; k < COUNT_OF(each); k++) {
		exposition_begin(e, each[k].metric);
		for (uint32_t i = 0; i < look->workload_count; i++)
			exposition_times(e, &look->workloads[i].times[each[k].time],
				LABELS("workload", label_of(look, i, name)));
	}
}

/* --- counters --------------------------------------------------------------------- */

static struct series *series_add(struct series_list *list)
{
	struct series *rows;

	if ((list->count & (list->count - 1)) == 0) {
		size_t capacity = list->count == 0 ? 1 : list->count * 2;

		rows = realloc(list->rows, capacity * sizeof(*rows));
		if (rows == NULL) {
			list->failed = true;
			return NULL;
		}
		list->rows = rows;
	}
	rows = &list->rows[list->count++];
	memset(rows, 0, sizeof(*rows));
	return rows;
}

static void take_counters(const struct route_counters *c, void *arg)
{
	struct series_list *list = arg;
	uint64_t sum[STAT_COUNT];
	struct series *row;

	/* One that has come since we counted them is told next time. */
	if (list->failed || c->workload->index >= list->workload_count)
		return;
	stats_sum(c->stats, list->workers, sum);
	if (c->number >= METRICS_SERIES_MAX) {
		row = &list->rows[c->workload->index];
		for (size_t i = 0; i < STAT_COUNT; i++)
			row->sum[i] += sum[i];
		return;
	}
	row = series_add(list);
	if (row == NULL)
		return;
	row->workload = c->workload->index;
	row->database = strdup(c->database->name);
	row->user = strdup(c->user);
	memcpy(row->sum, sum, sizeof(sum));
	list->failed = row->database == NULL || row->user == NULL;
}

static void series_take(struct series_list *list, const struct look *look,
	struct directory *d)
{
	*list = (struct series_list){ .workers = directory_workers(d),
		.workload_count = look->workload_count };
	for (uint32_t i = 0; i < look->workload_count && !list->failed; i++) {
		struct series *row = series_add(list);

		if (row == NULL)
			return;
		row->workload = i;
		directory_swept(d, i, row->sum);
	}
	directory_each_counters(d, take_counters, list);
}

static void series_finish(struct series_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->rows[i].database);
		free(list->rows[i].user);
	}
	free(list->rows);
}

static bool is_nothing(const struct series *row)
{
	for (size_t i = 0; i < STAT_COUNT; i++) {
		if (row->sum[i] != 0)
			return false;
	}
	return true;
}

static void counters(struct exposition *e, const struct look *look,
	const struct series_list *list)
{
	char name[LABEL_MAX];

	for (size_t k = 0; k < STAT_COUNT; k++) {
		exposition_begin(e, stat_metrics[k].metric);
		for (size_t i = 0; i < list->count; i++) {
			const struct series *row = &list->rows[i];
			const char *const *labels = LABELS("workload",
				label_of(look, row->workload, name), "database",
				row->database == NULL ? "(other)" : row->database, "user",
				row->user == NULL ? "(other)" : row->user);

			if (row->database == NULL && is_nothing(row))
				continue;
			if (stat_metrics[k].is_time)
				exposition_us(e, row->sum[k], labels);
			else
				exposition_u64(e, row->sum[k], labels);
		}
	}
}

/* --- hosts and shares --------------------------------------------------------------- */

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

static void hosts(struct exposition *e, const struct look *look)
{
	HOST_GAUGE(METRIC_HOST_UP, h->is_up);
	HOST_GAUGE(METRIC_HOST_BUDGET, h->budget.limit);
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
	HOST_GAUGE(METRIC_HOST_CANCELS, h->cancels);
	HOST_GAUGE(METRIC_HOST_REPLICATIONS, h->replications);
	HOST_GAUGE(METRIC_HOST_MAX, h->limits.max_connections);
	HOST_GAUGE(METRIC_HOST_RESERVED, h->limits.reserved);
	HOST_GAUGE(METRIC_HOST_OTHERS, h->limits.others);
	HOST_GAUGE(METRIC_HOST_ABOVE, h->limits.is_above);
	HOST_GAUGE(METRIC_HOST_CROWDED, h->limits.is_crowded);
	exposition_begin(e, METRIC_CONNECT);
	for (uint32_t i = 0; i < look->host_count; i++) {
		if (is_told(&look->hosts[i]))
			exposition_times(e, &look->hosts[i].connects,
				LABELS("host", look->hosts[i].name));
	}
}

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
					label_of(look, k, name)) };

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

static void tell_oldest(const struct part *p)
{
	uint64_t since = p->share->oldest_us;

	exposition_us(p->e,
		since != 0 && p->look->now_us > since ? p->look->now_us - since : 0,
		p->labels);
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
	each_part(e, look, METRIC_SHARE_STALLED, tell_stalled);
	each_part(e, look, METRIC_SHARE_PINNED, tell_pinned);
	each_part(e, look, METRIC_SHARE_PINNED_MAX, tell_pinned_max);
	each_part(e, look, METRIC_PINS_REFUSED, tell_pins_refused);
	each_part(e, look, METRIC_PINS_OVER, tell_pins_over);
	each_part(e, look, METRIC_RECLAIM, tell_reclaims);
}

/* --- workers ------------------------------------------------------------------------ */

static void clients_in_state(struct exposition *e, const struct router *r)
{
	static const char *const names[] = {
#define CLIENT_STATE(name, show, next) #name,
#include "client_states.def"
#undef CLIENT_STATE
	};

	exposition_begin(e, METRIC_CLIENTS_IN_STATE);
	for (size_t i = 0; i < CLIENT_STATE_COUNT; i++) {
		uint64_t sum = 0;
		char word[LABEL_MAX];

		/* Who is in it is gone. */
		if (i == CLIENT_CLOSED)
			continue;
		for (size_t k = 0; k <= strlen(names[i]); k++)
			word[k] = (char)tolower((unsigned char)names[i][k]);
		for (uint32_t k = 0; k < r->worker_count; k++)
			sum += atomic_load_explicit(&r->workers[k]->clients_in_state[i],
				memory_order_relaxed);
		exposition_u64(e, sum, LABELS("state", word));
	}
}

static void reasons(struct exposition *e, const struct router *r)
{
	exposition_begin(e, METRIC_AUTH_FAILURES);
	for (size_t i = CLIENT_AUTH_NO_FAILURE + 1; i < CLIENT_AUTH_FAILURE_COUNT; i++) {
		uint64_t sum = 0;

		for (uint32_t k = 0; k < r->worker_count; k++)
			sum += atomic_load_explicit(&r->workers[k]->auth_failures[i],
				memory_order_relaxed);
		exposition_u64(e, sum, LABELS("reason", client_auth_failure_word((enum client_auth_failure)i)));
	}
	exposition_begin(e, METRIC_CLOSES);
	for (size_t i = 0; i < CLOSE_REASON_COUNT; i++) {
		uint64_t sum = 0;

		for (uint32_t k = 0; k < r->worker_count; k++)
			sum += atomic_load_explicit(
				&r->workers[k]->closed[i], memory_order_relaxed);
		exposition_u64(e, sum, LABELS("reason", close_reason_word((enum close_reason)i)));
	}
	exposition_begin(e, METRIC_PINS);
	for (size_t i = 0; i < ROUTE_PIN_COUNT; i++) {
		uint64_t sum = 0;

		for (uint32_t k = 0; k < r->worker_count; k++)
			sum += atomic_load_explicit(
				&r->workers[k]->pins[i], memory_order_relaxed);
		exposition_u64(e, sum, LABELS("reason", pin_word((enum route_pin)i)));
	}
}

/* --- the process ---------------------------------------------------------------------- */

static uint64_t open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t count = 0;

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		count++;
	(void)closedir(dir);
	/* ".", "..", and the one that looks. */
	return count > 3 ? count - 3 : 0;
}

static uint64_t us_of(const struct timeval *time)
{
	return (uint64_t)time->tv_sec * USEC_PER_SEC + (uint64_t)time->tv_usec;
}

/* Pages in all, and in memory: proc(5), statm. */
static void read_memory(uint64_t *virtual_bytes, uint64_t *resident_bytes)
{
	unsigned long pages = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (file != NULL) {
		if (fscanf(file, "%lu %lu", &pages, &resident) != 2)
			pages = resident = 0;
		(void)fclose(file);
	}
	*virtual_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	*resident_bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void process(struct exposition *e, const struct metrics_process *p)
{
	static const char *const codes[METRICS_CODES] = { NULL, "1xx", "2xx", "3xx", "4xx",
		"5xx" };
	uint64_t virtual_bytes, resident_bytes;
	struct rusage usage;
	struct rlimit files;

	exposition_begin(e, METRIC_HTTP_REQUESTS);
	for (size_t i = 2; i < COUNT_OF(codes); i++)
		exposition_u64(e, p->requests[i], LABELS("code", codes[i]));
	if (getrusage(RUSAGE_SELF, &usage) == 0) {
		exposition_begin(e, METRIC_PROCESS_CPU);
		exposition_us(e, us_of(&usage.ru_utime) + us_of(&usage.ru_stime), NO_LABELS);
	}
	read_memory(&virtual_bytes, &resident_bytes);
	exposition_begin(e, METRIC_PROCESS_RESIDENT);
	exposition_u64(e, resident_bytes, NO_LABELS);
	exposition_begin(e, METRIC_PROCESS_VIRTUAL);
	exposition_u64(e, virtual_bytes, NO_LABELS);
	exposition_begin(e, METRIC_PROCESS_FDS);
	exposition_u64(e, open_files(), NO_LABELS);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		exposition_begin(e, METRIC_PROCESS_FDS_MAX);
		exposition_u64(e, files.rlim_cur, NO_LABELS);
	}
	exposition_begin(e, METRIC_PROCESS_START);
	exposition_us(e, p->start_wall_us, NO_LABELS);
}

/* --- all of it -------------------------------------------------------------------------- */

bool metrics_write(struct buf *out, bool is_openmetrics, const struct look *look,
	struct directory *d, const struct metrics_process *p)
{
	struct exposition exposition = { .out = out, .is_openmetrics = is_openmetrics };
	struct exposition *e = &exposition;
	struct series_list list;

	series_take(&list, look, d);
	if (list.failed) {
		series_finish(&list);
		return false;
	}
	exposition_begin(e, METRIC_BUILD);
	exposition_u64(e, 1,
		LABELS("version", PGTANDEM_VERSION, "io_backend", p->io_backend));
	exposition_begin(e, METRIC_STATE);
	exposition_u64(e, p->is_ready, NO_LABELS);
	workload_gauge(e, look, METRIC_CLIENTS, get_clients);
	workload_gauge(e, look, METRIC_CLIENTS_MAX, get_clients_max);
	clients_in_state(e, p->router);
	workload_gauge(e, look, METRIC_LEVEL, get_level);
	counters(e, look, &list);
	workload_times(e, look);
	workload_gauge(e, look, METRIC_WAIT_TIMEOUTS, get_wait_timeouts);
	workload_gauge(e, look, METRIC_WAIT_REFUSALS, get_wait_refusals);
	reasons(e, p->router);
	hosts(e, look);
	shares(e, look);
	process(e, p);
	exposition_end(e);
	series_finish(&list);
	return buf_ok(out);
}
