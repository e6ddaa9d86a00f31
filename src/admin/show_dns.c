/* SPDX-License-Identifier: ISC */
/*
 * SHOW DNS_HOSTS, and the views of what PgBouncer has and this router has not: zones
 * of its resolver, peers, and descriptors to hand over.
 */
#include "admin/show.h"
#include "admin/table.h"
#include "config/config.h"

enum { LIST_SIZE = 512 };

struct dns_row {
	const char *hostname;
	uint64_t ttl;
	const char *addrs;
	char text[LIST_SIZE];
};

static const struct table_column dns_columns[] = {
	TABLE_COLUMN(TEXT, dns_row, hostname, "", "A name among the addresses of hosts."),
	TABLE_COLUMN(BIGINT, dns_row, ttl, "seconds", "How long an answer is kept."),
	TABLE_COLUMN(TEXT, dns_row, addrs, "", "What it stands for, as a list."),
};
const struct table show_dns_table = TABLE_OF(dns_columns);

static void add_name(struct ask *ask, const struct host_target *target, uint32_t place,
	const char *name, uint64_t ttl_s)
{
	struct dns_row row = { .hostname = name, .ttl = ttl_s };

	for (uint32_t i = 0; i < target->addr_count; i++) {
		char text[ADDR_TEXT_MAX];

		if (target->places[i] != place)
			continue;
		addr_host_text(&target->addrs[i], text, sizeof(text));
		show_list_add(row.text, sizeof(row.text), text);
	}
	row.addrs = row.text;
	table_row(&show_dns_table, &row, &ask->out);
}

/* How long until they are looked up again is not known here: the time that they keep. */
enum ask_result show_dns_hosts(struct ask *ask)
{
	struct directory *d = ask_directory(ask);
	struct config *config = directory_config(d);

	table_head(&show_dns_table, &ask->out);
	for (uint32_t i = 0; i < directory_host_count(d); i++) {
		struct route_host *h = directory_host(d, i);
		const struct config_host *conf = config_find_host(config, h->name);
		struct host_target target;

		route_host_target(h, &target);
		for (uint32_t k = 0; conf != NULL && k < conf->options.host.count; k++) {
			if (place_is_name(&conf->places[k]))
				add_name(ask, &target, k, conf->places[k].host,
					config->process.dns_max_ttl_us / USEC_PER_SEC);
		}
	}
	config_unref(config);
	show_end(ask);
	return ASK_DONE;
}

/* --- what there is not --------------------------------------------------------------- */

struct empty_row {
	const char *text;
	uint32_t number;
	uint64_t count;
};

static enum ask_result show_nothing(struct ask *ask, const struct table *table)
{
	table_head(table, &ask->out);
	show_end(ask);
	return ASK_DONE;
}

static const struct table_column zone_columns[] = {
	TABLE_COLUMN_AS("zonename", TEXT, empty_row, text, "",
		"Always without rows: a zone."),
	TABLE_COLUMN_AS("serial", BIGINT, empty_row, count, "",
		"Its serial number."),
	TABLE_COLUMN_AS("count", U32, empty_row, number, "", "Its names."),
};
const struct table show_zone_table = TABLE_OF(zone_columns);

enum ask_result show_dns_zones(struct ask *ask)
{

	return show_nothing(ask, &show_zone_table);
}

static const struct table_column peer_columns[] = {
	TABLE_COLUMN_AS("peer_id", U32, empty_row, number, "",
		"Always without rows: a peer."),
	TABLE_COLUMN_AS("host", TEXT, empty_row, text, "", "Its address."),
	TABLE_COLUMN_AS("port", U32, empty_row, number, "", "Its port."),
	TABLE_COLUMN_AS("pool_size", U32, empty_row, number, "", "Its pool."),
};
const struct table show_peer_table = TABLE_OF(peer_columns);

enum ask_result show_peers(struct ask *ask)
{

	return show_nothing(ask, &show_peer_table);
}

static const struct table_column peer_pool_columns[] = {
	TABLE_COLUMN_AS("peer_id", U32, empty_row, number, "",
		"Always without rows: a peer."),
	TABLE_COLUMN_AS("cl_active_cancel_req", U32, empty_row, number, "",
		"Cancel requests for it."),
	TABLE_COLUMN_AS("cl_waiting_cancel_req", U32, empty_row, number, "",
		"Those that wait."),
	TABLE_COLUMN_AS("sv_active_cancel", U32, empty_row, number, "",
		"Connections to it."),
	TABLE_COLUMN_AS("sv_login", U32, empty_row, number, "",
		"Those that log in."),
};
const struct table show_peer_pool_table = TABLE_OF(peer_pool_columns);

enum ask_result show_peer_pools(struct ask *ask)
{

	return show_nothing(ask, &show_peer_pool_table);
}

enum ask_result show_fds(struct ask *ask)
{
	ask_error_hint(ask, "0A000",
		"PgBouncer's way of restarting hands sockets and secrets over by it; SHOW SOCKETS tells of connections.",
		"SHOW FDS is not supported");
	return ASK_DONE;
}
