/* SPDX-License-Identifier: ISC */
/*
 * What was imported, as YAML.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "config/import_priv.h"

static void write_name(struct import *x, const char *name, struct buf *out)
{
	char *quoted = import_quote(name);

	if (quoted == NULL)
		x->no_memory = true;
	else
		buf_add_str(out, quoted);
	free(quoted);
}

static void write_settings(const struct import_entity *e, const char *indent, struct buf *out)
{
	for (size_t i = 0; i < e->count; i++)
		buf_addf(out, "%s%s: %s\n", indent, e->settings[i].option->name,
			e->settings[i].text);
}

static void write_section(const char *name, const struct import_entity *e, struct buf *out)
{
	if (e->count == 0)
		return;
	buf_addf(out, "%s:\n", name);
	write_settings(e, "  ", out);
}

static void write_list(struct import *x, const char *key, const struct import_names *names,
	struct buf *out)
{
	buf_addf(out, "    %s: [", key);
	for (size_t i = 0; i < names->count; i++) {
		if (i > 0)
			buf_add_str(out, ", ");
		write_name(x, names->list[i], out);
	}
	buf_add_str(out, "]\n");
}

/* What all files allow together, and the connection for auth_query. */
static uint64_t budget_of(const struct import *x, size_t host)
{
	uint64_t sum = x->hosts[host].is_asked;

	for (size_t i = 0; i < x->workload_count; i++)
		sum += x->workloads[i].parts[host];
	return sum;
}

/* Several places have commas between them, as in PgBouncer. */
static void write_places(struct import *x, const char *places, struct buf *out)
{
	struct import_names names = { NULL, 0 };

	for (const char *at = places; *at != '\0';) {
		const char *end = at;
		char place[INI_VALUE_MAX + 1];
		size_t len = 0;

		while (*end != '\0' && *end != ',')
			place[len++] = *end++;
		place[len] = '\0';
		if (len > 0)
			import_names_add(x, &names, place);
		at = *end == ',' ? end + 1 : end;
	}
	write_list(x, "host", &names, out);
	import_names_free(&names);
}

static void write_hosts(struct import *x, struct buf *out)
{
	buf_add_str(out, "hosts:\n");
	for (size_t i = 0; i < x->host_count; i++) {
		const struct import_host *h = &x->hosts[i];

		if (!h->has_database)
			continue;
		buf_addf(out, "  %s:\n", h->e.name);
		write_places(x, h->places, out);
		buf_addf(out, "    port: %u\n", h->port);
		buf_addf(out, "    connection_budget: %" PRIu64 "\n", budget_of(x, i));
		write_settings(&h->e, "    ", out);
	}
}

/* On hosts without a database there are none. */
static uint64_t sum_of(const struct import_workload *w)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < COUNT_OF(w->parts); i++)
		sum += w->parts[i];
	return sum;
}

static void write_parts(const struct import *x, const struct import_workload *w,
	struct buf *out)
{
	size_t hosts = 0;

	for (size_t i = 0; i < x->host_count; i++)
		hosts += x->hosts[i].has_database;
	if (hosts == 1) {
		buf_addf(out, "    guaranteed_connections: %" PRIu64 "\n", sum_of(w));
		return;
	}
	buf_add_str(out, "    hosts:\n");
	for (size_t i = 0; i < x->host_count; i++) {
		if (!x->hosts[i].has_database || (w->parts[i] == 0 && !w->has_wildcard))
			continue;
		buf_addf(out, "      %s: { guaranteed_connections: %" PRIu64, x->hosts[i].e.name,
			w->parts[i]);
		/* Its clients may ask for what other files have there. */
		if (w->parts[i] == 0)
			buf_addf(out, ", max_connections: %" PRIu64,
				u64_min(budget_of(x, i), IMPORT_POOL_SIZE));
		buf_add_str(out, " }\n");
	}
}

static void write_workloads(struct import *x, struct buf *out)
{
	buf_add_str(out, "workloads:\n");
	for (size_t i = 0; i < x->workload_count; i++) {
		const struct import_workload *w = &x->workloads[i];

		buf_addf(out, "  %s:\n", w->e.name);
		write_list(x, "listen", &w->listen, out);
		/* What one file has is not for those of another one. */
		if (x->workload_count > 1 && !w->has_wildcard)
			write_list(x, "databases", &w->databases, out);
		write_parts(x, w, out);
		write_settings(&w->e, "    ", out);
	}
}

static void write_databases(struct import *x, struct buf *out)
{
	buf_add_str(out, "databases:\n");
	for (size_t i = 0; i < x->databases.count; i++) {
		const struct import_line *d = &x->databases.list[i];

		buf_add_str(out, "  ");
		write_name(x, d->e.name, out);
		buf_addf(out, ":\n    host: %s\n", x->hosts[d->host].e.name);
		write_settings(&d->e, "    ", out);
	}
}

static void write_users(struct import *x, struct buf *out)
{
	bool is_first = true;

	for (size_t i = 0; i < x->users.count; i++) {
		const struct import_entity *e = &x->users.list[i].e;

		if (e->count == 0)
			continue;
		buf_add_str(out, is_first ? "users:\n  " : "  ");
		is_first = false;
		write_name(x, e->name, out);
		buf_add_str(out, ":\n");
		write_settings(e, "    ", out);
	}
}

void import_write(struct import *x, struct buf *out)
{
	write_section("process", &x->process, out);
	write_hosts(x, out);
	write_workloads(x, out);
	write_databases(x, out);
	write_users(x, out);
	write_section("defaults", &x->defaults, out);
	write_section("auth", &x->auth, out);
	write_section("admin", &x->admin, out);
	write_section("log", &x->log, out);
}
