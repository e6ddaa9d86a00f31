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
#include "base/slog_queue.h"
#include "http/metrics_priv.h"
#include "session/client.h"
#include "session/suspend.h"
#include "session/tally.h"

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

/* The labels of those who are not told one by one. */
#define OTHERS "(other)"

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
const char *metrics_workload(const struct look *look, uint32_t index, char to[LABEL_MAX])
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
			LABELS("workload", metrics_workload(look, i, name)));
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

static uint64_t get_lends(const struct look_workload *w)
{
	return w->lends;
}

static uint64_t get_unseen(const struct look_workload *w)
{
	return w->unseen;
}

static uint64_t get_cleanings(const struct look_workload *w)
{
	return w->cleanings;
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
				LABELS("workload", metrics_workload(look, i, name)));
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

	/* One that has come since we counted them is told next time; what nobody has logged
	 * in with when somebody has, or, with the others, when it is forgotten. */
	if (list->failed || c->workload->index >= list->workload_count ||
		c->number == COUNTERS_UNKNOWN)
		return;
	stats_sum(c->stats, list->workers, sum);
	/* Whoever is called as they are is one of them. */
	if (c->number >= METRICS_SERIES_MAX ||
		(strcmp(c->database->name, OTHERS) == 0 && strcmp(c->user, OTHERS) == 0)) {
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
				metrics_workload(look, row->workload, name), "database",
				row->database == NULL ? OTHERS : row->database, "user",
				row->user == NULL ? OTHERS : row->user);

			if (row->database == NULL && is_nothing(row))
				continue;
			if (stat_metrics[k].is_time)
				exposition_us(e, row->sum[k], labels);
			else
				exposition_u64(e, row->sum[k], labels);
		}
	}
}

/* --- workers ------------------------------------------------------------------------ */

static uint64_t in_state(const struct router *r, enum client_state state)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < r->worker_count; i++)
		sum += atomic_load_explicit(&r->workers[i]->clients_in_state[state],
			memory_order_relaxed);
	return sum;
}

static void clients_in_state(struct exposition *e, const struct router *r)
{
	static const char *const names[] = {
#define CLIENT_STATE(name, show, next) #name,
#include "client_states.def"
#undef CLIENT_STATE
	};

	exposition_begin(e, METRIC_CLIENTS_IN_STATE);
	for (size_t i = 0; i < CLIENT_STATE_COUNT; i++) {
		char word[LABEL_MAX];
		uint64_t sum;

		/* Who is in it is gone; or waits, as the views have it. */
		if (i == CLIENT_CLOSED || i == CLIENT_LOGIN)
			continue;
		for (size_t k = 0; k <= strlen(names[i]); k++)
			word[k] = (char)tolower((unsigned char)names[i][k]);
		sum = in_state(r, (enum client_state)i);
		if (i == CLIENT_WAITING)
			sum += in_state(r, CLIENT_LOGIN);
		exposition_u64(e, sum, LABELS("state", word));
	}
}

/* One that is gone counts no more, but has counted. */
static bool has_tallies(const struct look *look, uint32_t index, const struct tally_block *blocks,
	uint32_t workers)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < TALLY_COUNT; i++)
		sum += tally_sum(blocks, workers, i);
	return look->workloads[index].is_configured || sum > 0;
}

/* Of each workload what "first" and those behind it count, by a word for each. */
static void tallies(struct exposition *e, const struct look *look, struct directory *d,
	enum metric metric, const char *label, const char *(*word)(unsigned), uint32_t first,
	uint32_t count)
{
	uint32_t workers = directory_workers(d);
	char name[LABEL_MAX];

	exposition_begin(e, metric);
	for (uint32_t i = 0; i < look->workload_count; i++) {
		const struct tally_block *blocks = directory_workload(d, i)->tallies;

		if (!has_tallies(look, i, blocks, workers))
			continue;
		for (uint32_t k = 0; k < count; k++) {
			if (word(k) != NULL)
				exposition_u64(e, tally_sum(blocks, workers, first + k),
					LABELS("workload", metrics_workload(look, i, name), label,
						word(k)));
		}
	}
}

static const char *handshake_word(unsigned which)
{
	static const char *const words[] = { "full", "resumed", "failed" };

	_Static_assert(TALLY_TLS_RESUMED == TALLY_TLS_FULL + 1 &&
			TALLY_TLS_FAILED == TALLY_TLS_FULL + 2, "another order");
	return words[which];
}

static const char *failure_word(unsigned which)
{
	return which == CLIENT_AUTH_NO_FAILURE ? NULL
					       : client_auth_failure_word((enum client_auth_failure)which);
}

static const char *close_word(unsigned which)
{
	return close_reason_word((enum close_reason)which);
}

static void tls_clients(struct exposition *e, const struct look *look, struct directory *d)
{
	char name[LABEL_MAX];

	exposition_begin(e, METRIC_TLS_CLIENTS);
	for (uint32_t i = 0; i < look->workload_count; i++)
		exposition_u64(e, look->workloads[i].tls_clients,
			LABELS("workload", metrics_workload(look, i, name)));
	exposition_begin(e, METRIC_TLS_EXPIRY);
	for (uint32_t i = 0; i < look->workload_count; i++) {
		if (look->workloads[i].certificate_s != 0)
			exposition_u64(e, look->workloads[i].certificate_s,
				LABELS("workload", metrics_workload(look, i, name)));
	}
	tallies(e, look, d, METRIC_TLS_HANDSHAKES, "result", handshake_word, TALLY_TLS_FULL, 3);
}

static void reasons(struct exposition *e, const struct look *look, struct directory *d,
	const struct router *r)
{
	tallies(e, look, d, METRIC_AUTH_FAILURES, "reason", failure_word, TALLY_AUTH,
		CLIENT_AUTH_FAILURE_COUNT);
	tallies(e, look, d, METRIC_CLOSES, "reason", close_word, TALLY_CLOSE, CLOSE_REASON_COUNT);
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
	exposition_begin(e, METRIC_LOG_LOST);
	exposition_u64(e, slog_queue_lost(), NO_LABELS);
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

/* What somebody has said, and may have forgotten. */
static void said(struct exposition *e, const struct router *r, const struct look *look)
{
	uint64_t suspended_us = suspend_is_on(r) ? atomic_load(&r->suspended_us) : 0;
	struct route_holds holds;

	directory_holds_count(r->directory, &holds);
	exposition_begin(e, METRIC_HELD);
	exposition_u64(e, holds.paused, LABELS("by", "pause"));
	exposition_u64(e, holds.disabled, LABELS("by", "disable"));
	exposition_u64(e, suspended_us != 0, LABELS("by", "suspend"));
	exposition_begin(e, METRIC_HELD_FOR);
	exposition_us(e, look_age(look, holds.paused_us), LABELS("by", "pause"));
	exposition_us(e, look_age(look, suspended_us), LABELS("by", "suspend"));
	exposition_begin(e, METRIC_RELOAD_OK);
	exposition_u64(e, !atomic_load(&r->is_reload_refused), NO_LABELS);
	exposition_begin(e, METRIC_RELOADED);
	exposition_us(e, atomic_load(&r->reloaded_at_us), NO_LABELS);
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
	said(e, p->router, look);
	workload_gauge(e, look, METRIC_CLIENTS, get_clients);
	workload_gauge(e, look, METRIC_CLIENTS_MAX, get_clients_max);
	exposition_begin(e, METRIC_CLIENTS_ALL_MAX);
	exposition_u64(e, atomic_load(&p->router->max_client_conn), NO_LABELS);
	clients_in_state(e, p->router);
	workload_gauge(e, look, METRIC_LEVEL, get_level);
	counters(e, look, &list);
	workload_times(e, look);
	workload_gauge(e, look, METRIC_WAIT_TIMEOUTS, get_wait_timeouts);
	workload_gauge(e, look, METRIC_WAIT_REFUSALS, get_wait_refusals);
	workload_gauge(e, look, METRIC_SESSIONS_LENT, get_lends);
	workload_gauge(e, look, METRIC_UNSEEN_CLOSES, get_unseen);
	workload_gauge(e, look, METRIC_SESSIONS_CLEANED, get_cleanings);
	tls_clients(e, look, d);
	reasons(e, look, d, p->router);
	metrics_hosts(e, look);
	process(e, p);
	exposition_end(e);
	series_finish(&list);
	return buf_ok(out);
}
