/* SPDX-License-Identifier: ISC */
/*
 * SHOW CLIENTS, SHOW SERVERS: one table, as in PgBouncer; SHOW SOCKETS and
 * ACTIVE_SOCKETS have both, and what is in their buffers.
 *
 * Clients are shown by the worker that they belong to.  ptr and link tell which
 * client has which server; they are made of the numbers of both, and are no
 * addresses.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/alias.h"
#include "admin/show.h"
#include "base/clock.h"
#include "config/config.h"
#include "session/server.h"

enum { PTR_SIZE = 24 };

/* Clients and servers count on their own, servers for each host. */
#define PTR_OF_CLIENTS    (UINT64_C(0xc) << 44)
#define PTR_OF_SERVERS(h) (UINT64_C(0x5) << 44 | (uint64_t)(h)->index << 36)

struct endpoint {
	char addr[ADDR_TEXT_MAX];
	uint32_t port;
};

struct socket_row {
	const char *type;
	const char *user;
	const char *database;
	const char *replication;
	const char *state;
	const char *addr;
	uint32_t port;
	const char *local_addr;
	uint32_t local_port;
	uint64_t connect_time;
	uint64_t request_time;
	uint32_t wait;
	uint32_t wait_us;
	uint32_t close_needed;
	const char *ptr;
	const char *link;
	uint32_t remote_pid;
	const char *tls;
	const char *application_name;
	uint32_t prepared_statements;
	uint32_t id;
	uint32_t nothing;               /* PgBouncer's places in a buffer that we do not have */
	uint32_t pkt_avail;
	uint32_t send_avail;
	const char *workload;
	const char *host;
	const char *stalled;
	uint32_t stalled_ms;
	/* What the texts above point to. */
	struct endpoint far;
	struct endpoint near;
	char tls_text[64];
	char ptr_text[PTR_SIZE];
	char link_text[PTR_SIZE];
};

/* PgBouncer's columns of a connection, and our own. */
#define SOCKET_COLUMNS \
	TABLE_COLUMN(TEXT, socket_row, type, "", "C for a client, S for a server."), \
	TABLE_COLUMN(TEXT, socket_row, user, "", "Who it is, or logs in as."), \
	TABLE_COLUMN(TEXT, socket_row, database, "", "The database."), \
	TABLE_COLUMN(TEXT, socket_row, replication, "", \
		"Whether it is a replication connection: none, physical or logical."), \
	TABLE_COLUMN(TEXT, socket_row, state, "", "What it does."), \
	TABLE_COLUMN(TEXT, socket_row, addr, "", "Address of the other side."), \
	TABLE_COLUMN(U32, socket_row, port, "", "Port of the other side."), \
	TABLE_COLUMN(TEXT, socket_row, local_addr, "", "Address of this side."), \
	TABLE_COLUMN(U32, socket_row, local_port, "", "Port of this side."), \
	TABLE_COLUMN(TIME, socket_row, connect_time, "", "When it was connected."), \
	TABLE_COLUMN(TIME, socket_row, request_time, "", \
		"When the query that runs, or the last one, began or ended."), \
	TABLE_COLUMN(U32, socket_row, wait, "seconds", "How long it waits."), \
	TABLE_COLUMN(U32, socket_row, wait_us, "microseconds", "The rest of that time."), \
	TABLE_COLUMN(U32, socket_row, close_needed, "", \
		"1 if it is to be closed when it comes back."), \
	TABLE_COLUMN(TEXT, socket_row, ptr, "", "A word for it; no address."), \
	TABLE_COLUMN(TEXT, socket_row, link, "", \
		"The ptr of the server that a client has, and the other way round."), \
	TABLE_COLUMN(U32, socket_row, remote_pid, "", \
		"Process of the other side, if it is known."), \
	TABLE_COLUMN(TEXT, socket_row, tls, "", \
		"Version and cipher of TLS, if it has it."), \
	TABLE_COLUMN(TEXT, socket_row, application_name, "", \
		"What the client calls itself; of a server, what PostgreSQL has for it."), \
	TABLE_COLUMN(U32, socket_row, prepared_statements, "", \
		"Statements that it has prepared."), \
	TABLE_COLUMN(U32, socket_row, id, "", "Its number, which the log has, too.")

#define OWN_COLUMNS \
	TABLE_COLUMN(TEXT, socket_row, workload, "", "Name of the workload."), \
	TABLE_COLUMN(TEXT, socket_row, host, "", "Name of the host."), \
	TABLE_COLUMN(TEXT, socket_row, stalled, "", \
		"What the router waits for from a client that has a server."), \
	TABLE_COLUMN(U32, socket_row, stalled_ms, "milliseconds", "For how long.")

static const struct table_column socket_columns[] = { SOCKET_COLUMNS, OWN_COLUMNS };
const struct table show_socket_table = TABLE_OF(socket_columns);

static const struct table_column buffer_columns[] = {
	SOCKET_COLUMNS,
	TABLE_COLUMN_AS("recv_pos", U32, socket_row, nothing, "",
		"0: a buffer that the router has not."),
	TABLE_COLUMN_AS("pkt_pos", U32, socket_row, nothing, "",
		"0: a buffer that the router has not."),
	TABLE_COLUMN_AS("pkt_remain", U32, socket_row, nothing, "",
		"0: a buffer that the router has not."),
	TABLE_COLUMN_AS("send_pos", U32, socket_row, nothing, "",
		"0: a buffer that the router has not."),
	TABLE_COLUMN_AS("send_remain", U32, socket_row, nothing, "",
		"0: a buffer that the router has not."),
	TABLE_COLUMN(U32, socket_row, pkt_avail, "bytes", "Received and not yet used."),
	TABLE_COLUMN(U32, socket_row, send_avail, "bytes",
		"Not yet taken by the other side."),
	OWN_COLUMNS,
};
const struct table show_buffer_table = TABLE_OF(buffer_columns);

/* What is shown, and how. */
struct socket_view {
	const struct table *table;
	bool has_logins;
	bool only_active;
};

static const struct socket_view view_plain = { &show_socket_table, false, false };
static const struct socket_view view_sockets = { &show_buffer_table, true, false };
static const struct socket_view view_active = { &show_buffer_table, true, true };

/* --- what both have -------------------------------------------------------------- */

static const char *ptr_text(char to[PTR_SIZE], uint64_t kind, uint64_t id)
{
	(void)snprintf(to, PTR_SIZE, "0x%" PRIx64, kind | id);
	return to;
}

bool show_is_client(const struct client *c, uint64_t number)
{
	return number == (c->id & INT32_MAX) || number == (PTR_OF_CLIENTS | c->id);
}

/* A moment of the loop's clock by the calendar. */
static uint64_t wall_of(uint64_t at_us)
{
	uint64_t now_us = clock_now_us();

	return clock_wall_us() - (now_us > at_us ? now_us - at_us : 0);
}

/* A unix socket's port is the number in its name, /dir/.s.PGSQL.port. */
static uint32_t port_of(const struct addr *addr)
{
	const char *dot;

	if (!addr_is_unix(addr))
		return addr_port(addr);
	dot = addr->len <= offsetof(struct sockaddr_un, sun_path) ?
		NULL :
		strrchr(addr->un.sun_path, '.');
	return dot == NULL ? 0 : (uint32_t)strtoul(dot + 1, NULL, 10);
}

static void endpoint_from(struct endpoint *e, const struct addr *addr)
{
	addr_host_text(addr, e->addr, sizeof(e->addr));
	e->port = port_of(addr);
}

static void row_finish(struct socket_row *row)
{
	if (row->replication == NULL)
		row->replication = "none";
	if (row->tls == NULL)
		row->tls = "";
	if (row->stalled == NULL)
		row->stalled = "";
	row->addr = row->far.addr;
	row->port = row->far.port;
	row->local_addr = row->near.addr;
	row->local_port = row->near.port;
}

/* --- clients --------------------------------------------------------------------- */

static bool is_shown(const struct client *c, const struct socket_view *view)
{
	switch (c->state) {
	case CLIENT_LOGIN:
	case CLIENT_WAITING:
	case CLIENT_ACTIVE:
		return true;
	case CLIENT_IDLE:
	case CLIENT_ADMIN:
	case CLIENT_CANCEL:
		return !view->only_active;
	case CLIENT_STARTUP:
	case CLIENT_AUTH:
		return view->has_logins;
	case CLIENT_ENDING:
	case CLIENT_CLOSED:
	case CLIENT_STATE_COUNT:
		return false;
	}
	return false;
}

/* As SHOW SOCKETS of PgBouncer has it. */
static const char *client_word(const struct client *c)
{
	switch (c->state) {
	case CLIENT_LOGIN:
	case CLIENT_WAITING:
		return "cl_waiting";
	case CLIENT_STARTUP:
	case CLIENT_AUTH:
		return "cl_login";
	case CLIENT_CANCEL:
		return "cl_active_cancel_req";
	case CLIENT_ACTIVE:
	case CLIENT_IDLE:
	case CLIENT_ADMIN:
	case CLIENT_ENDING:
	case CLIENT_CLOSED:
	case CLIENT_STATE_COUNT:
		return "cl_active";
	}
	return "cl_active";
}

static const char *server_word(enum server_state state)
{
	switch (state) {
	case SERVER_IDLE:
		return "sv_idle";
	case SERVER_CLEANING:
		return "sv_used";
	case SERVER_CHECKING:
		return "sv_tested";
	case SERVER_CONNECTING:
		return "sv_login";
	case SERVER_LEASED:
	case SERVER_CLOSING:
	case SERVER_GONE:
	case SERVER_STATE_COUNT:
		return "sv_active";
	}
	return "sv_active";
}

static void client_names(struct socket_row *row, const struct client *c)
{
	/* A session's is PostgreSQL's: what it sets is not read. */
	const char *application = params_get(
		c->server != NULL && c->server->is_session ? &c->server->reported : &c->params,
		"application_name");

	row->application_name = application == NULL ? "" : application;
	row->workload = c->workload->name;
	row->user = c->console_user == NULL ? "(nouser)" : c->console_user;
	row->database = c->state == CLIENT_ADMIN ? "pgbouncer" : "(nodb)";
	if (c->route == NULL)
		return;
	row->user = c->route->user;
	row->database = c->route->database->name;
	row->host = c->route->host->name;
}

static void client_times(struct socket_row *row, const struct client *c, uint64_t now_us)
{
	uint64_t asked_us = c->query_us != 0 ? c->query_us : c->state_us;

	row->connect_time = c->wall_us;
	row->request_time = wall_of(asked_us);
	if ((c->state != CLIENT_WAITING && c->state != CLIENT_LOGIN) || now_us < c->state_us)
		return;
	row->wait = (uint32_t)((now_us - c->state_us) / USEC_PER_SEC);
	row->wait_us = (uint32_t)((now_us - c->state_us) % USEC_PER_SEC);
}

/* What the router waits for from this client; a view is a look, too. */
static void client_stall(struct socket_row *row, struct client *c, uint64_t now_us)
{
	uint64_t since_us;
	enum stall stall = stall_look(c, now_us, &since_us);

	row->stalled = stall_word(stall);
	if (stall != STALL_NONE && now_us > since_us)
		row->stalled_ms = (uint32_t)u64_min((now_us - since_us) / USEC_PER_MSEC,
			INT32_MAX);
}

static void client_addrs(struct socket_row *row, const struct client *c)
{
	struct addr addr;

	if (!sock_local(c->stream.conn.fd, &addr))
		return;
	endpoint_from(&row->near, &addr);
	/* The far side of a unix socket has no name. */
	if (addr_is_unix(&addr))
		row->far = row->near;
	else if (client_peer(c, &addr))
		endpoint_from(&row->far, &addr);
}

static void add_client(struct ask *ask, const struct socket_view *view, struct client *c,
	uint64_t now_us)
{
	struct socket_row row = { .type = "C",
		.state = view->table == &show_buffer_table ? client_word(c)
						      : client_state_show(c->state),
		.pkt_avail = (uint32_t)u64_min(stream_held(&c->stream), INT32_MAX),
		.send_avail = (uint32_t)u64_min(stream_unsent(&c->stream), INT32_MAX),
		.prepared_statements = (uint32_t)c->names.table.count,
		.id = (uint32_t)(c->id & INT32_MAX),
		.link = "" };

	client_names(&row, c);
	client_times(&row, c, now_us);
	client_stall(&row, c, now_us);
	client_addrs(&row, c);
	row.tls = stream_tls_text(&c->stream, row.tls_text, sizeof(row.tls_text));
	row.ptr = ptr_text(row.ptr_text, PTR_OF_CLIENTS, c->id);
	if (c->server != NULL && c->server->replication != NULL)
		row.replication = strcmp(c->server->replication, "true") == 0 ? "physical"
									      : "logical";
	else if (c->server != NULL)
		row.link = ptr_text(row.link_text, PTR_OF_SERVERS(c->server->host),
			c->server->ps.id);
	row_finish(&row);
	table_row(view->table, &row, &ask->out);
}

static void each_client(struct ask *ask, const struct worker *w, const struct socket_view *view)
{
	uint64_t now_us = worker_now(w);

	for (uint32_t i = 0; i < w->client_slots; i++) {
		if (w->clients[i] != NULL && is_shown(w->clients[i], view))
			add_client(ask, view, w->clients[i], now_us);
	}
}

static void visit_clients(struct ask *ask, struct worker *w)
{
	each_client(ask, w, &view_plain);
}

enum ask_result show_clients(struct ask *ask)
{
	table_head(&show_socket_table, &ask->out);
	return ask_tour(ask, visit_clients, show_end);
}

/* --- servers --------------------------------------------------------------------- */

/* Our address towards a host: what the system would choose.  Asks the routing
 * table and sends nothing; a server's own socket belongs to another thread. */
static void local_towards(struct endpoint *e, const struct addr *to)
{
	struct addr local;
	int fd;

	if (addr_is_unix(to)) {
		endpoint_from(e, to);
		return;
	}
	fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, &to->sa, to->len) == 0 && sock_local(fd, &local))
		addr_host_text(&local, e->addr, sizeof(e->addr));
	close(fd);
}

/* Both ends of the connections to one address. */
struct ends {
	struct addr addr;               /* len 0: none yet */
	struct endpoint far;
	struct endpoint near;
};

/* Where it is connected to; where the host is now, if it is not connected yet. */
static bool server_addr(const struct snap_server *s, struct addr *addr)
{
	struct host_target target;

	if (s->connected_us != 0) {
		*addr = s->addr;
		return true;
	}
	route_host_target(s->host, &target);
	if (target.addr_count > 0)
		*addr = target.addrs[target.first];
	return target.addr_count > 0;
}

static void ends_find(struct ends *ends, const struct snap_server *s)
{
	struct addr addr;
	bool is_known = server_addr(s, &addr);

	if (is_known && ends->addr.len != 0 && addr_equal(&ends->addr, &addr))
		return;
	memset(ends, 0, sizeof(*ends));
	if (!is_known)
		return;
	ends->addr = addr;
	endpoint_from(&ends->far, &addr);
	local_towards(&ends->near, &addr);
}

static void add_server(struct ask *ask, const struct socket_view *view,
	const struct snap_server *s, const struct alias_map *aliases,
	const struct ends *ends)
{
	struct socket_row row = { .type = "S",
		.user = s->names.user,
		.database = alias_find(aliases, s->host->name, &s->names),
		.state = view->table == &show_buffer_table ? server_word(s->state)
						      : server_state_show(s->state),
		.connect_time = s->connected_us == 0 ? 0 : wall_of(s->connected_us),
		.request_time = s->used_us == 0 ? 0 : wall_of(s->used_us),
		.close_needed = s->close_needed,
		.link = "",
		.remote_pid = s->backend_pid,
		.tls = s->tls,
		.prepared_statements = s->prepared_statements,
		.application_name = s->application,
		.id = (uint32_t)(s->id & INT32_MAX),
		.workload = s->workload,
		.host = s->host->name,
		.far = ends->far,
		.near = ends->near };

	if (s->local_port != 0)
		row.near.port = s->local_port;
	row.ptr = ptr_text(row.ptr_text, PTR_OF_SERVERS(s->host), s->id);
	if (s->client_id != 0)
		row.link = ptr_text(row.link_text, PTR_OF_CLIENTS, s->client_id);
	row_finish(&row);
	table_row(view->table, &row, &ask->out);
}

static void add_servers(struct ask *ask, const struct socket_view *view,
	const struct snap_servers *servers, const struct alias_map *aliases)
{
	struct ends ends = { .addr.len = 0 };

	for (size_t i = 0; i < servers->count; i++) {
		if (view->only_active && servers->rows[i].state != SERVER_LEASED)
			continue;
		ends_find(&ends, &servers->rows[i]);
		add_server(ask, view, &servers->rows[i], aliases, &ends);
	}
	show_end(ask);
}

static void all_servers(struct ask *ask, const struct socket_view *view)
{
	struct config *config = directory_config(ask_directory(ask));
	struct alias_map aliases;
	struct snap_servers servers;

	if (snap_servers(ask_directory(ask), &servers) < 0 ||
		alias_map_init(&aliases, config) < 0) {
		ask->out.failed = true;
	} else {
		add_servers(ask, view, &servers, &aliases);
		alias_map_finish(&aliases);
	}
	snap_servers_finish(&servers);
	config_unref(config);
}

enum ask_result show_servers(struct ask *ask)
{
	table_head(&show_socket_table, &ask->out);
	all_servers(ask, &view_plain);
	return ASK_DONE;
}

/* --- both ------------------------------------------------------------------------ */

static void visit_sockets(struct ask *ask, struct worker *w)
{
	each_client(ask, w, &view_sockets);
}

static void finish_sockets(struct ask *ask)
{
	all_servers(ask, &view_sockets);
}

static void visit_active(struct ask *ask, struct worker *w)
{
	each_client(ask, w, &view_active);
}

static void finish_active(struct ask *ask)
{
	all_servers(ask, &view_active);
}

enum ask_result show_sockets(struct ask *ask)
{
	table_head(&show_buffer_table, &ask->out);
	return ask_tour(ask, visit_sockets, finish_sockets);
}

enum ask_result show_active_sockets(struct ask *ask)
{
	table_head(&show_buffer_table, &ask->out);
	return ask_tour(ask, visit_active, finish_active);
}
