/* SPDX-License-Identifier: ISC */
/*
 * Visitors: who may stay, for how long, and who makes room for others.
 *
 * Everybody who reaches the port can fill it, token or not; probes must get through all
 * the same.  So a place belongs to a request, not to a connection: when all are taken,
 * somebody who asks nothing leaves.  And one address never has all of them, however much
 * it asks.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "http/http_priv.h"

/* The first line of a request takes no longer than that to come. */
enum { FIRST_LINE_US = 2000000 };

/* How many may be on their way out at once, beyond max_connections. */
enum { LEAVING_MAX = 64 };

/* Who leaves first when there is no room.  A lower one goes before a higher one. */
enum rank {
	RANK_SILENT,                    /* has never made a request */
	RANK_BETWEEN,                   /* has an answer, and asks nothing now */
	RANK_DEAF,                      /* does not read the answer that is there */
	RANK_BUSY                       /* is served: stays */
};

static enum rank rank_of(const struct http_visitor *v, uint64_t now_us)
{
	if (!v->has_asked)
		return RANK_SILENT;
	if (!v->is_asking)
		return RANK_BETWEEN;
	if (!v->is_waiting && now_us >= v->since_us + HTTP_PATIENCE_US)
		return RANK_DEAF;
	return RANK_BUSY;
}

/* The library, whose the socket is, sees the end of it and closes. */
static void visitor_shut(struct http_visitor *v)
{
	v->until_us = UINT64_MAX;
	if (!v->is_leaving) {
		v->is_leaving = true;
		v->door->http->leaving_count++;
	}
	(void)shutdown(v->fd, SHUT_RDWR);
}

/* Of those of the lowest rank the one that has been in it for longest; or NULL.  Of this
 * host only, unless that is NULL. */
static struct http_visitor *who_leaves(struct http *h, const char *host, uint64_t now_us)
{
	struct http_visitor *found = NULL;
	enum rank lowest = RANK_BUSY;

	list_for_each(&h->visitors, node) {
		struct http_visitor *v = container_of(node, struct http_visitor, node);
		enum rank rank = rank_of(v, now_us);

		if (v->is_leaving || rank == RANK_BUSY || rank > lowest ||
			(host != NULL && strcmp(v->host, host) != 0) ||
			(rank == lowest && v->since_us >= found->since_us))
			continue;
		found = v;
		lowest = rank;
	}
	return found;
}

/* An address has no more than that, so that others find a place: an eighth is theirs. */
static uint32_t most_of_one_host(const struct http *h)
{
	return h->values.max_connections - h->values.max_connections / 8;
}

static uint32_t visitors_of(struct http *h, const char *host)
{
	uint32_t count = 0;

	list_for_each(&h->visitors, node) {
		const struct http_visitor *v = container_of(node, struct http_visitor, node);

		count += !v->is_leaving && strcmp(v->host, host) == 0;
	}
	return count;
}

static void host_of(const struct sockaddr *from, socklen_t len, char to[ADDR_TEXT_MAX])
{
	struct addr addr = { .len = 0 };

	if (from != NULL && len <= sizeof(addr.un)) {
		memcpy(&addr.sa, from, len);
		addr.len = len;
		addr_unmap(&addr);
	}
	(void)addr_host_text(&addr, to, ADDR_TEXT_MAX);
}

enum MHD_Result http_visitor_on_accept(void *arg, const struct sockaddr *addr, socklen_t len)
{
	const struct http_door *door = arg;
	struct http *h = door->http;
	char host[ADDR_TEXT_MAX];
	bool is_too_many;
	struct http_visitor *v;

	host_of(addr, len, host);
	is_too_many = visitors_of(h, host) >= most_of_one_host(h);
	if (!is_too_many && h->visitor_count - h->leaving_count < h->values.max_connections)
		return MHD_YES;
	if (h->leaving_count >= LEAVING_MAX)
		return MHD_NO;
	v = who_leaves(h, is_too_many ? host : NULL, clock_now_us());
	if (v == NULL)
		return MHD_NO;
	visitor_shut(v);
	return MHD_YES;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void visitor_comes(struct http_door *door, struct MHD_Connection *connection,
	void **slot)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct http_visitor *v = calloc(1, sizeof(*v));
	struct http *h = door->http;
	struct addr peer;

	/* Without one it gets no answer: http_on_request(). */
	*slot = v;
	if (v == NULL || info == NULL) {
		free(v);
		*slot = NULL;
		return;
	}
	v->door = door;
	v->connection = connection;
	v->fd = info->connect_fd;
	if (sock_peer(v->fd, &peer))
		host_of(&peer.sa, peer.len, v->host);
	v->since_us = clock_now_us();
	v->until_us = v->since_us + min_u64(FIRST_LINE_US, h->values.timeout_us);
	list_push_back(&h->visitors, &v->node);
	h->visitor_count++;
}

void http_visitor_on_connection(void *arg, struct MHD_Connection *connection, void **slot,
	enum MHD_ConnectionNotificationCode what)
{
	struct http_door *door = arg;
	struct http_visitor *v = *slot;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		visitor_comes(door, connection, slot);
		return;
	}
	if (v == NULL)
		return;
	http_forget_request(v);
	list_remove(&v->node);
	door->http->visitor_count--;
	if (v->is_leaving)
		door->http->leaving_count--;
	free(v);
	*slot = NULL;
}

struct http_visitor *http_visitor_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info == NULL ? NULL : info->socket_context;
}

/* Arguments mean nothing here, and each takes of the connection's memory: where that does not
 * last the library, of 0.9.75, closes without an answer.  The text is in its buffer, of which
 * it goes on to read what is left. */
static void drop_arguments(char *uri)
{
	char *query = uri == NULL ? NULL : strchr(uri, '?');

	if (query != NULL && query[1] != '\0')
		query[1] = '\0';
}

/* The first line of a request is there: the rest has the usual time, from the arrival. */
void *http_visitor_on_line(void *arg, const char *uri, struct MHD_Connection *connection)
{
	struct http_visitor *v = http_visitor_of(connection);

	(void)arg;
	drop_arguments((char *)(uintptr_t)uri);
	if (v != NULL && !v->has_asked && !v->is_leaving)
		v->until_us = v->since_us + v->door->http->values.timeout_us;
	/* The request's own slot, which http_on_request() fills. */
	return NULL;
}

void http_visitor_asks(struct http_visitor *v)
{
	v->has_asked = true;
	v->is_asking = true;
	v->since_us = clock_now_us();
	v->until_us = v->since_us + v->door->http->values.timeout_us;
}

void http_visitor_on_completed(void *arg, struct MHD_Connection *connection, void **slot,
	enum MHD_RequestTerminationCode how)
{
	struct http_door *door = arg;
	struct http_visitor *v = *slot;

	(void)connection;
	(void)how;
	if (v == NULL)
		return;
	http_forget_request(v);
	v->is_asking = false;
	v->since_us = clock_now_us();
	v->until_us = v->since_us + door->http->values.timeout_us;
}

static void visitor_resume(struct http_visitor *v)
{
	v->is_waiting = false;
	v->since_us = clock_now_us();
	v->door->waiting--;
	MHD_resume_connection(v->connection);
}

/* Who is slow is cut off; whose view does not come is told so. */
void http_visitors_look(struct http *h, uint64_t now_us)
{
	list_for_each(&h->visitors, node) {
		struct http_visitor *v = container_of(node, struct http_visitor, node);

		if (v->is_waiting && now_us >= v->asked_at_us + HTTP_PATIENCE_US) {
			/* The letter is freed when it comes: http_visitors_take_arrived(). */
			v->ask = NULL;
			v->is_late = true;
			visitor_resume(v);
		} else if (!v->is_waiting && now_us >= v->until_us) {
			visitor_shut(v);
		}
	}
}

static void on_ask(struct http *h, struct ask *ask)
{
	list_for_each(&h->visitors, node) {
		struct http_visitor *v = container_of(node, struct http_visitor, node);

		if (v->ask != ask)
			continue;
		visitor_resume(v);
		return;
	}
	ask_destroy(ask);
}

void http_visitors_take_arrived(struct http *h)
{
	struct list_node *node;
	struct list now;

	list_init(&now);
	pthread_mutex_lock(&h->lock);
	list_splice_back(&now, &h->arrived);
	pthread_mutex_unlock(&h->lock);
	while ((node = list_pop_front(&now)) != NULL)
		on_ask(h, container_of(node, struct ask, mail.node));
}
