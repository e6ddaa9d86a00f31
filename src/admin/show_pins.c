/* SPDX-License-Identifier: ISC */
/*
 * SHOW PINS: clients of transaction ports that keep their server, and for what.
 * SHOW ADVICE: who does so at all, or tries to, and so belongs on a session port.
 */
#include <stdlib.h>

#include "admin/show.h"
#include "base/clock.h"
#include "session/server.h"

/* --- PINS ------------------------------------------------------------------------ */

struct pin_row {
	uint32_t id;
	uint32_t server;
	uint32_t pid;
	const char *host;
	const char *workload;
	const char *database;
	const char *user;
	const char *reasons;
	uint64_t since;
	uint64_t seconds;
	const char *application_name;
};

static const struct table_column pin_columns[] = {
	TABLE_COLUMN(U32, pin_row, id, "", "The client's, in SHOW CLIENTS."),
	TABLE_COLUMN(U32, pin_row, server, "", "The server's, in SHOW SERVERS."),
	TABLE_COLUMN(U32, pin_row, pid, "", "Its process in PostgreSQL."),
	TABLE_COLUMN(TEXT, pin_row, host, "", "Name of the host."),
	TABLE_COLUMN(TEXT, pin_row, workload, "", "Name of the workload."),
	TABLE_COLUMN(TEXT, pin_row, database, "", "The name that the client asked for."),
	TABLE_COLUMN(TEXT, pin_row, user, "", "Who the client is."),
	TABLE_COLUMN(TEXT, pin_row, reasons, "", "What keeps the server, as a list."),
	TABLE_COLUMN(TIME, pin_row, since, "", "Since when."),
	TABLE_COLUMN(NUMERIC, pin_row, seconds, "seconds", "For how long."),
	TABLE_COLUMN(TEXT, pin_row, application_name, "", "What the client calls itself."),
};
const struct table show_pin_table = TABLE_OF(pin_columns);

static void add_pin(struct ask *ask, const struct client *c, uint64_t now_us)
{
	const char *application = params_get(&c->params, "application_name");
	uint64_t held_us = show_elapsed_us(c->work->pins.since_us, now_us);
	char words[PIN_WORDS_MAX];
	const struct pin_row row = {
		.id = (uint32_t)(c->id & INT32_MAX),
		.server = (uint32_t)(c->server->ps.id & INT32_MAX),
		.pid = c->server->backend_pid,
		.host = c->route->host->name,
		.workload = c->workload->name,
		.database = c->route->database->name,
		.user = c->route->user,
		.reasons = pin_words(c->work->pins.kinds, words),
		.since = clock_wall_us() - held_us,
		.seconds = held_us / USEC_PER_SEC,
		.application_name = application == NULL ? "" : application,
	};

	table_row(&show_pin_table, &row, &ask->out);
}

static void visit_pins(struct ask *ask, struct worker *w)
{
	for (uint32_t i = 0; i < w->client_slots; i++) {
		const struct client *c = w->clients[i];

		if (c != NULL && c->server != NULL && c->work->pins.kinds != 0)
			add_pin(ask, c, worker_now(w));
	}
}

enum ask_result show_pins(struct ask *ask)
{
	table_head(&show_pin_table, &ask->out);
	return ask_tour(ask, visit_pins, show_end);
}

/* --- CLEANED ----------------------------------------------------------------------- */

struct cleaned_row {
	const char *workload;
	uint64_t cleaned;
	uint64_t lent;
	uint64_t temp_tables;
	uint64_t cursors;
	uint64_t advisory_locks;
	uint64_t listen;
	uint64_t statements;
	uint64_t settings;
	uint64_t unknown;
};

static const struct table_column cleaned_columns[] = {
	TABLE_COLUMN(TEXT, cleaned_row, workload, "", "Name of the workload."),
	TABLE_COLUMN(NUMERIC, cleaned_row, cleaned, "",
		"Servers looked at and cleaned as their clients had left."),
	TABLE_COLUMN(NUMERIC, cleaned_row, lent, "",
		"How often an idle session gave its server back."),
	TABLE_COLUMN(NUMERIC, cleaned_row, temp_tables, "",
		"Sessions that had left temporary tables."),
	TABLE_COLUMN(NUMERIC, cleaned_row, cursors, "", "Sessions that had left cursors."),
	TABLE_COLUMN(NUMERIC, cleaned_row, advisory_locks, "",
		"Sessions that had left advisory locks."),
	TABLE_COLUMN(NUMERIC, cleaned_row, listen, "", "Sessions that still listened."),
	TABLE_COLUMN(NUMERIC, cleaned_row, statements, "",
		"Sessions that had left prepared statements."),
	TABLE_COLUMN(NUMERIC, cleaned_row, settings, "",
		"Sessions that had left settings, where they are looked for."),
	TABLE_COLUMN(NUMERIC, cleaned_row, unknown, "",
		"Sessions of which PostgreSQL did not tell."),
};
const struct table show_cleaned_table = TABLE_OF(cleaned_columns);

static void add_cleaned(struct ask *ask, struct route_workload *w)
{
	const struct cleaned_row row = {
		.workload = w->name,
		.cleaned = atomic_load(&w->cleanings),
		.lent = atomic_load(&w->lends),
		.temp_tables = atomic_load(&w->cleaned[ROUTE_CLEANED_TEMP]),
		.cursors = atomic_load(&w->cleaned[ROUTE_CLEANED_CURSOR]),
		.advisory_locks = atomic_load(&w->cleaned[ROUTE_CLEANED_LOCK]),
		.listen = atomic_load(&w->cleaned[ROUTE_CLEANED_LISTEN]),
		.statements = atomic_load(&w->cleaned[ROUTE_CLEANED_STATEMENTS]),
		.settings = atomic_load(&w->cleaned[ROUTE_CLEANED_SETTINGS]),
		.unknown = atomic_load(&w->cleaned[ROUTE_CLEANED_UNKNOWN]),
	};

	table_row(&show_cleaned_table, &row, &ask->out);
}

enum ask_result show_cleaned(struct ask *ask)
{
	struct directory *d = ask_directory(ask);
	struct route_workload *w;

	table_head(&show_cleaned_table, &ask->out);
	for (uint32_t i = 0; i < directory_workload_count(d); i++) {
		w = directory_workload(d, i);
		if (w != NULL && w->mode == ROUTE_SESSION && !w->is_console)
			add_cleaned(ask, w);
	}
	show_end(ask);
	return ASK_DONE;
}

/* --- ADVICE ------------------------------------------------------------------------ */

struct advice_row {
	const char *workload;
	const char *database;
	const char *user;
	const char *application_name;
	const char *state;
	uint64_t pinned;
	uint64_t refused;
	uint64_t found;
	uint64_t last_seen;
	uint64_t servers;
	uint64_t seconds;
	const char *advice;
};

static const struct table_column advice_columns[] = {
	TABLE_COLUMN(TEXT, advice_row, workload, "", "Name of the workload."),
	TABLE_COLUMN(TEXT, advice_row, database, "", "The name that clients ask for."),
	TABLE_COLUMN(TEXT, advice_row, user, "", "Who they are."),
	TABLE_COLUMN(TEXT, advice_row, application_name, "", "What they call themselves."),
	TABLE_COLUMN(TEXT, advice_row, state, "",
		"What they do: a reason of SHOW PINS, or settings."),
	TABLE_COLUMN(NUMERIC, advice_row, pinned, "",
		"How often a server was kept for it."),
	TABLE_COLUMN(NUMERIC, advice_row, refused, "", "How often it was refused."),
	TABLE_COLUMN(NUMERIC, advice_row, found, "",
		"How often it was found though no text had told."),
	TABLE_COLUMN(TIME, advice_row, last_seen, "", "The last time."),
	TABLE_COLUMN(NUMERIC, advice_row, servers, "",
		"Servers that they keep for it now."),
	TABLE_COLUMN(NUMERIC, advice_row, seconds, "seconds",
		"For how long servers were kept for it, since the start."),
	TABLE_COLUMN(TEXT, advice_row, advice, "", "What to do."),
};
const struct table show_advice_table = TABLE_OF(advice_columns);

static void add_advice(struct ask *ask, const struct advice_entry *e, unsigned kind,
	uint64_t now_us)
{
	const struct advice_use *use = &e->uses[kind];
	const struct advice_key *key = &e->key;
	const struct advice_row row = {
		.workload = key->workload,
		.database = key->database,
		.user = key->user,
		.application_name = key->application,
		.state = pin_word(kind),
		.pinned = use->times[ADVICE_PINNED],
		.refused = use->times[ADVICE_REFUSED],
		.found = use->times[ADVICE_FOUND],
		.last_seen = use->last_wall_us,
		.servers = use->held,
		.seconds = advice_held_us(use, now_us) / USEC_PER_SEC,
		.advice = use->times[ADVICE_FOUND] == 0 && kind >= ROUTE_PIN_COUNT ?
			"is refused on this port: use a session port" : kind >= ROUTE_PIN_COUNT ?
			"set where no text shows it, and lost with the transaction: set it in a statement of its own, or use a session port" :
			"keeps a server for one client: use a session port",
	};

	table_row(&show_advice_table, &row, &ask->out);
}

enum ask_result show_advice(struct ask *ask)
{
	struct advice_entry *list = calloc(ADVICE_ENTRIES_MAX, sizeof(*list));
	size_t count = 0;

	if (list != NULL)
		count = advice_copy(&ask->console->router->advice, list, ADVICE_ENTRIES_MAX);
	else
		ask->out.failed = true;
	table_head(&show_advice_table, &ask->out);
	for (size_t i = 0; i < count; i++) {
		for (unsigned kind = 0; kind < ROUTE_KIND_COUNT; kind++) {
			if (list[i].uses[kind].last_wall_us != 0)
				add_advice(ask, &list[i], kind, clock_now_us());
		}
	}
	free(list);
	show_end(ask);
	return ASK_DONE;
}
