/* SPDX-License-Identifier: ISC */
#include "session/stall.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/slog.h"
#include "pg/msg_out.h"
#include "session/client.h"
#include "session/server.h"

static const struct {
	const char *word;
	const char *text;
} stalls[STALL_COUNT] = {
#define STALL(name, word, text) [STALL_##name] = { (word), (text) },
#include "stalls.def"
#undef STALL
};

const char *stall_word(enum stall stall)
{
	return stalls[stall].word;
}

/* --- deciding ---------------------------------------------------------------------- */

/* Exchanges that are complete and not answered.  One that has only begun to be sent
 * is in the queue already. */
static uint32_t under_way(const struct stall_facts *f)
{
	bool is_end = f->message == 'Q' || f->message == 'F';

	return f->xq->pending - (is_end && f->xq->pending > 0 ? 1 : 0);
}

enum stall stall_judge(const struct stall_facts *f)
{
	const struct exchange_queue *q = f->xq;

	if (f->is_unread)
		return STALL_READER;
	if (f->is_unsent)
		return STALL_NONE;
	if (q->copy == EXCHANGE_COPY_IN && !q->copy_end_sent)
		return STALL_COPY;
	if (q->copy != EXCHANGE_NO_COPY || under_way(f) > 0)
		return STALL_NONE;
	if (f->message != 0)
		return STALL_MESSAGE;
	if (q->open)
		return STALL_SYNC;
	return q->status == 'I' ? STALL_NONE : STALL_TRANSACTION;
}

bool stall_is_answered(const struct exchange_queue *q)
{
	return q->skipping || q->head_replied >= q->open_asked;
}

/* --- looking ----------------------------------------------------------------------- */

static enum stall stall_of(const struct client *c)
{
	const struct server *s = c->server;
	struct stall_facts facts;

	if (c->state != CLIENT_ACTIVE || s == NULL || s->phase != SERVER_PHASE_READY ||
		s->replication != NULL)
		return STALL_NONE;
	facts = (struct stall_facts){ .xq = &s->xq,
		.is_unread = stream_is_congested(&c->stream),
		.is_unsent = stream_unsent(&s->stream) > 0,
		.message = c->body_left > 0 ? c->body_type :
			/* Waits for the rest, as it is looked at whole. */
			stream_held(&c->stream) > 0 ? 'd' : 0 };
	return stall_judge(&facts);
}

/* What a client must move within the grace to count as alive: less is a trickle that
 * would keep a lease for ever. */
enum { STALL_LEAST_BYTES = 4096 };

/* Bytes in the direction in which they should move. */
static uint64_t moved(const struct client *c, enum stall stall)
{
	bool reads = stall == STALL_READER || stall == STALL_TRANSACTION;

	return reads ? c->stream.tx_bytes : c->stream.rx_bytes;
}

enum stall stall_look(struct client *c, uint64_t now_us, uint64_t *since_us)
{
	enum stall stall = stall_of(c);
	uint64_t bytes = moved(c, stall);

	/* It has asked for nothing. */
	if (c->work == NULL) {
		*since_us = now_us;
		return STALL_NONE;
	}
	if (c->work->stall.stall != stall || bytes - c->work->stall.bytes >= STALL_LEAST_BYTES) {
		c->work->stall.stall = stall;
		c->work->stall.bytes = bytes;
		c->work->stall.since_us = now_us;
	}
	*since_us = c->work->stall.since_us;
	if (stall == STALL_SYNC && !stall_is_answered(&c->server->xq))
		return STALL_NONE;
	/* What the last query had to say may still be on its way to a slow reader. */
	if (stall == STALL_TRANSACTION && stream_unsent(&c->stream) == 0)
		*since_us = c->state_us;
	return stall;
}

/* After a look.  No Sync has come since the look before: PostgreSQL shall say how far
 * it is, once for each time that the client falls silent. */
static void ask_how_far(struct client *c, uint64_t now_us)
{
	struct buf out;

	if (c->work == NULL || c->work->stall.stall != STALL_SYNC || c->work->stall.since_us == now_us ||
		stall_is_answered(&c->server->xq) ||
		c->work->stall.flushed_at == c->stream.rx_bytes)
		return;
	c->work->stall.flushed_at = c->stream.rx_bytes;
	buf_init(&out, 0);
	msg_out_flush(&out);
	stream_send_buf(&c->server->stream, &out);
	buf_finish(&out);
}

/* --- ending ------------------------------------------------------------------------ */

struct stalled {
	struct client *client;
	enum stall stall;
	uint64_t since_us;
};

static void end_stalled(const struct stalled *one, uint64_t grace_us, uint64_t now_us)
{
	unsigned long waited_ms =
		(unsigned long)((now_us - one->since_us) / USEC_PER_MSEC);
	struct client *c = one->client;
	const struct server *s = c->server;
	char hint[400];

	SLOG_LIMITED(WARN, "client-stalled",
		"id=%lu workload=%s host=%s stalled=%s waited_ms=%lu server=%lu",
		(unsigned long)c->id, c->workload->name, s->host->name,
		stall_word(one->stall), waited_ms, (unsigned long)s->ps.id);
	/* Within a message of the server's nothing of ours would be understood. */
	if (s->body_left > 0 && !s->body_drops) {
		client_close(c, CLOSE_STALLED);
		return;
	}
	(void)snprintf(hint, sizeof(hint),
		"The server connection waited for its client for %lu ms: %s. It was borrowed: another workload has fewer than its guaranteed_connections, and reclaim_grace is %lu ms.",
		waited_ms, stalls[one->stall].text,
		(unsigned long)(grace_us / USEC_PER_MSEC));
	client_close_with(c, CLOSE_STALLED, "25P03",
		"terminating connection because its server connection is needed by another workload",
		hint);
}

static int longest_first(const void *a, const void *b)
{
	const struct stalled *x = a, *y = b;

	return x->since_us < y->since_us ? -1 : x->since_us > y->since_us;
}

/* A session between two transactions, or a lease that is pinned.  What it has borrowed was lent so that no floor
 * lacks it; if one does all the same, the configuration has changed. */
static bool rests(const struct client *c)
{
	const struct server *s = c->server;

	return c->state == CLIENT_ACTIVE && s != NULL &&
		(s->is_session || c->work->pins.kinds != 0) &&
		s->phase == SERVER_PHASE_READY && s->replication == NULL &&
		exchange_is_idle(&s->xq) && s->xq.status == 'I' && c->body_left == 0;
}

/* Those that have stalled for the grace.  Looks at all of them, so that the next look
 * has something to compare with. */
static size_t find_stalled(struct worker *w, const struct route_host *host,
	uint64_t grace_us, uint64_t now_us, struct stalled *out)
{
	size_t count = 0;

	list_for_each(&w->servers, node) {
		struct server *s = container_of(node, struct server, in_worker);
		struct stalled one = { .client = s->client };

		if (s->host != host || s->client == NULL)
			continue;
		one.stall = stall_look(one.client, now_us, &one.since_us);
		ask_how_far(one.client, now_us);
		if (one.stall == STALL_NONE && rests(one.client)) {
			one.stall = STALL_SESSION;
			one.since_us = one.client->state_us;
		}
		if (one.stall != STALL_NONE && now_us >= one.since_us + grace_us)
			out[count++] = one;
	}
	return count;
}

static uint64_t grace_of(struct monitor *m)
{
	uint64_t grace_us;

	pthread_mutex_lock(&m->lock);
	grace_us = m->limits.reclaim_grace_us;
	pthread_mutex_unlock(&m->lock);
	return grace_us;
}

static size_t server_count(const struct worker *w)
{
	size_t count = 0;

	list_for_each(&w->servers, node)
		count++;
	return count;
}

static void scan_host(struct worker *w, struct route_host *host)
{
	uint64_t now_us = worker_now(w), grace_us = grace_of(&host->monitor);
	size_t count = server_count(w);
	struct stalled *list;

	if (count == 0)
		return;
	list = calloc(count, sizeof(*list));
	/* Without memory now: the next look is soon. */
	if (list == NULL)
		return;
	count = find_stalled(w, host, grace_us, now_us, list);
	qsort(list, count, sizeof(*list), longest_first);
	for (size_t i = 0; i < count; i++) {
		struct client *c = list[i].client;

		/* What ended one may have ended others. */
		if (c->state != CLIENT_ACTIVE || c->server == NULL ||
			!monitor_end_stalled(&host->monitor, &c->work->lease, now_us))
			continue;
		end_stalled(&list[i], grace_us, now_us);
		if (!monitor_wants_back(&host->monitor, now_us))
			break;
	}
	free(list);
}

/* --- the letter -------------------------------------------------------------------- */

static void deliver(struct mail *mail, struct worker *w)
{
	struct directory *d = w->router->directory;

	(void)mail;
	atomic_store(&w->stall_is_asked, false);
	if (atomic_load(&w->has_ended))
		return;
	for (uint32_t i = 0; i < directory_host_count(d); i++) {
		struct route_host *host = directory_host(d, i);

		if (monitor_wants_back(&host->monitor, worker_now(w)))
			scan_host(w, host);
	}
}

void stall_init(struct worker *w)
{
	w->stall_mail.deliver = deliver;
	list_node_init(&w->stall_mail.node);
}

void stall_ask(struct router *r)
{
	for (uint32_t i = 0; i < r->worker_count; i++) {
		struct worker *w = r->workers[i];

		/* The letter is one, and may not have been read. */
		if (!atomic_exchange(&w->stall_is_asked, true))
			worker_post(w, &w->stall_mail);
	}
}
