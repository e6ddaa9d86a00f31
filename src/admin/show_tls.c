/* SPDX-License-Identifier: ISC */
/*
 * SHOW TLS: a row for each workload, towards its clients, and for each host.
 */
#include "admin/show.h"
#include "admin/snap.h"
#include "base/clock.h"
#include "config/config.h"
#include "net/tls.h"
#include "route/tls.h"
#include "session/tally.h"

enum { DAY_S = 86400 };

struct tls_row {
	const char *side;
	const char *name;
	const char *sslmode;
	uint32_t connections;
	uint64_t handshakes_full;
	uint64_t handshakes_resumed;
	uint64_t handshakes_failed;
	const char *certificate;
	uint64_t expires;
	const char *state;
	uint32_t days_left;
	char subject[TLS_DN_MAX];
};

static const struct table_column tls_columns[] = {
	TABLE_COLUMN(TEXT, tls_row, side, "", "client for a workload, server for a host."),
	TABLE_COLUMN(TEXT, tls_row, name, "", "Its name; that of admin.listen is (console)."),
	TABLE_COLUMN(TEXT, tls_row, sslmode, "", "Its setting."),
	TABLE_COLUMN(U32, tls_row, connections, "", "Connections that have TLS now."),
	TABLE_COLUMN(NUMERIC, tls_row, handshakes_full, "",
		"Handshakes with clients, since the start."),
	TABLE_COLUMN(NUMERIC, tls_row, handshakes_resumed, "",
		"Those of them that a ticket made short."),
	TABLE_COLUMN(NUMERIC, tls_row, handshakes_failed, "",
		"Those that came to nothing."),
	TABLE_COLUMN(TEXT, tls_row, certificate, "",
		"Subject of the router's own certificate; of several the one that ends first."),
	TABLE_COLUMN(TIME, tls_row, expires, "", "When that ends."),
	TABLE_COLUMN(TEXT, tls_row, state, "", "valid or expired."),
	TABLE_COLUMN(U32, tls_row, days_left, "days", "How long it lasts."),
};
const struct table show_tls_table = TABLE_OF(tls_columns);

static const char *mode_word(enum route_tls_mode mode)
{
	switch (mode) {
	case ROUTE_TLS_DISABLE:
		return "disable";
	case ROUTE_TLS_PREFER:
		return "prefer";
	case ROUTE_TLS_REQUIRE:
		return "require";
	case ROUTE_TLS_VERIFY_CA:
		return "verify-ca";
	case ROUTE_TLS_VERIFY_FULL:
		return "verify-full";
	}
	return "disable";
}

static void row_certificate(struct tls_row *row, const struct route_tls *tls)
{
	uint64_t now_s = clock_wall_us() / USEC_PER_SEC, end_s;

	row->sslmode = mode_word(tls->mode);
	end_s = tls->context == NULL ? 0 : tls_context_expires(tls->context);
	if (end_s == 0)
		return;
	row->certificate = tls_context_subject(tls->context, row->subject);
	row->expires = end_s * USEC_PER_SEC;
	row->state = end_s <= now_s ? "expired" : "valid";
	row->days_left = end_s <= now_s ? 0 : (uint32_t)((end_s - now_s) / DAY_S);
}

/* w NULL: there is none. */
static void add_workload(struct ask *ask, const char *name, struct route_workload *w)
{
	uint32_t workers = directory_workers(ask_directory(ask));
	struct tls_row row = { .side = "client", .name = name };
	struct route_tls *tls;

	if (w == NULL || (tls = route_workload_tls(w)) == NULL)
		return;
	row.connections = tally_tls_clients(w, workers);
	row.handshakes_full = tally_sum(w->tallies, workers, TALLY_TLS_FULL);
	row.handshakes_resumed = tally_sum(w->tallies, workers, TALLY_TLS_RESUMED);
	row.handshakes_failed = tally_sum(w->tallies, workers, TALLY_TLS_FAILED);
	row_certificate(&row, tls);
	route_tls_unref(tls);
	table_row(&show_tls_table, &row, &ask->out);
}

/* How often servers shook hands is not counted: each does once. */
static void add_host(struct ask *ask, struct route_host *h, const struct snap_servers *servers)
{
	struct tls_row row = { .side = "server", .name = h->name };
	struct host_target target;
	struct route_tls *tls = route_host_connect(h, &target);

	for (size_t i = 0; i < servers->count; i++)
		row.connections += servers->rows[i].host == h && servers->rows[i].tls[0] != '\0';
	row_certificate(&row, tls);
	route_tls_unref(tls);
	table_row(&show_tls_table, &row, &ask->out);
}

enum ask_result show_tls(struct ask *ask)
{
	struct directory *d = ask_directory(ask);
	struct config *config = directory_config(d);
	struct snap_servers servers;

	if (snap_servers(d, &servers) < 0)
		ask->out.failed = true;
	table_head(&show_tls_table, &ask->out);
	for (size_t i = 0; i < config->workload_count; i++) {
		const char *name = config->workloads[i].name;

		add_workload(ask, name, directory_current_workload(d, name));
	}
	add_workload(ask, DIRECTORY_CONSOLE_WORKLOAD, directory_console(d));
	for (uint32_t i = 0; i < directory_host_count(d); i++) {
		struct route_host *h = directory_host(d, i);

		if (config_find_host(config, h->name) != NULL)
			add_host(ask, h, &servers);
	}
	snap_servers_finish(&servers);
	config_unref(config);
	show_end(ask);
	return ASK_DONE;
}
