/* SPDX-License-Identifier: ISC */
/*
 * plan_reuse: drivers that name no statements have PostgreSQL read and plan each text again
 * and again.  Here the unnamed statement stands for a shared one, by a name of ours, and the
 * client cannot tell.
 *
 * Only where that is provable: for a text whose reading depends on nothing but tables and
 * the settings of its key (statement_reuse.c), as the first message of a lease.  There
 * PostgreSQL has done nothing yet for this client, so that what fails in a way in which the
 * unnamed statement might not have failed, or not there ("cached plan must not change
 * result type", a table that has gone), is sent again as it came, unnamed, and that answer
 * is the client's.  Nothing of the client's runs behind it before that is known.
 *
 * So a Parse waits for the message behind it, within one turn: a Bind or a Describe goes on
 * with the name of ours, and ParseComplete is put in front of its answer; in front of
 * anything else the Parse is sent as it came.
 */
#include "session/client_reuse.h"

#include <string.h>

#include "pg/msg_out.h"
#include "session/client_end.h"
#include "session/client_priv.h"
#include "session/login.h"
#include "session/server_priv.h"
#include "sql/statement_reuse.h"

/* A text that came less often is not worth a place on a server.  How many Parses are not
 * looked at after one that had the client wait: it sends ahead of answers. */
enum { SEEN_ENOUGH = 3, PAUSE_PARSES = 64 };

/* A message of names alone, which may follow. */
enum { NAMES_ONLY = 256 };

enum { AGE_MAX_US = 30 * USEC_PER_SEC };

/* Found out once for each statement. */
enum reusable { REUSABLE_NOT_READ, REUSABLE_NO, REUSABLE_READS, REUSABLE_WRITES };

void reuse_init(struct reuse *r)
{
	*r = (struct reuse){ .stage = REUSE_NONE };
	buf_init(&r->owed, 0);
	buf_init(&r->again, 0);
}

void reuse_finish(struct reuse *r)
{
	buf_finish(&r->owed);
	buf_finish(&r->again);
	reuse_init(r);
}

static struct reuse *of(const struct client *c)
{
	return &c->work->reuse;
}

bool client_reuse_is_open(const struct client *c)
{
	return of(c)->stage != REUSE_NONE;
}

bool client_reuse_has_failed(const struct client *c)
{
	return of(c)->stage == REUSE_FAILED;
}

/* --- whether --------------------------------------------------------------------------- */

/* Nothing of the client's has run in this lease, and nothing is known to make its session
 * another than all others are. */
static bool begins_lease(const struct client *c, const struct server *s)
{
	const struct exchange_queue *q = &s->xq;

	return exchange_is_idle(q) && q->status == 'I' && !q->unsynced && !q->skipping &&
		c->work->pins.kinds == 0 && touched_is_empty(&c->work->touched) &&
		!s->has_foreign && !s->is_broken;
}

static bool is_current(const struct client *c, const struct server *s,
	struct prepared *p)
{
	return p->registry == login_registry(s->pool->session) &&
		p->state_key == client_reading_key(c, s, p) && prepared_is_current(p);
}

/* Are so many types given, each by its number? */
static bool has_types(const struct prepared *p, size_t text_len, uint32_t params)
{
	struct wire_in in;

	wire_init(&in, p->body + text_len + 1, p->len - text_len - 1);
	if (wire_u16(&in) < params)
		return false;
	while (params-- > 0) {
		if (wire_u32(&in) == 0)
			return false;
	}
	return wire_ok(&in);
}

/* A type that is left to PostgreSQL is the column's as it was when PostgreSQL read the text.
 * What reads may for a while go by the type that a column had; what writes may not. */
static enum reusable find_out(const struct server *s, const struct prepared *p)
{
	const char *text = (const char *)p->body;
	size_t len = strnlen(text, p->len);
	unsigned flags = client_lexer_flags(s);

	if (len == p->len || p->may_name || !statement_is_reusable(text, len, flags))
		return REUSABLE_NO;
	if (!statement_reuse_writes(text, len, flags))
		return REUSABLE_READS;
	return has_types(p, len, statement_reuse_params(text, len, flags)) ? REUSABLE_WRITES :
									     REUSABLE_NO;
}

static enum reusable reusable(const struct server *s, struct prepared *p)
{
	enum reusable known = (enum reusable)atomic_load_explicit(&p->reusable,
		memory_order_relaxed);

	if (known != REUSABLE_NOT_READ)
		return known;
	known = find_out(s, p);
	atomic_store_explicit(&p->reusable, (uint8_t)known, memory_order_relaxed);
	return known;
}

/* The shared statement with this body, with a reference; or NULL. */
static struct prepared *shared(const struct client *c, const struct server *s,
	const uint8_t *body, size_t len)
{
	struct prepared *p = c->unnamed_shared ? c->unnamed_large : NULL;
	uint64_t hash;

	/* The same once more. */
	if (p != NULL && p->len == len && memcmp(p->body, body, len) == 0 &&
		is_current(c, s, p))
		return prepared_ref(p);
	hash = hash_bytes(body, len);
	if (seen_again(&c->worker->seen, hash) < SEEN_ENOUGH)
		return NULL;
	if (client_reads_alone(c, s, body, strnlen((const char *)body, len)))
		return NULL;
	p = prepared_get(login_registry(s->pool->session), body, len, client_state_key(c, s), c->id);
	if (p == NULL)
		return NULL;
	if (reusable(s, p) == REUSABLE_NO)
		seen_bar(&c->worker->seen, hash);
	else if (!prepared_is_mine_only(p) || client_has_memory(c, 1))
		return p;
	prepared_unref(p);
	return NULL;
}

/* --- what the client sends -------------------------------------------------------------- */

/* Takes over the reference. */
static void keep(struct client *c, struct prepared *p)
{
	client_unnamed_forget(c);
	c->unnamed_large = p;
	c->unnamed_shared = true;
	c->has_unnamed = true;
	c->unnamed_version++;
}

bool client_reuse_parse(struct client *c, struct server *s, const uint8_t *body, size_t len)
{
	struct reuse *r = of(c);
	struct prepared *p;

	if (LIKELY(!c->route->limits.reuses_plans) || r->is_off || len > REUSE_TEXT_MAX ||
		!begins_lease(c, s))
		return false;
	if (c->reuse_pause > 0) {
		c->reuse_pause--;
		return false;
	}
	p = shared(c, s, body, len);
	if (p == NULL)
		return false;
	keep(c, p);
	r->stage = REUSE_PARSED;
	r->is_proven = false;
	r->owes_parse = true;
	return true;
}

/* It goes as it came, and is nobody else's from here on. */
static void send_parse(struct client *c, struct server *s)
{
	const struct prepared *p = c->unnamed_large;

	c->unnamed_shared = false;
	of(c)->owes_parse = false;
	client_unnamed_sent(c, s);
	server_send_parse(s, "", p->body, p->len);
	stats_add(c->stats, STAT_server_parse_count, 1);
}

void client_reuse_settle(struct client *c, struct server *s)
{
	if (LIKELY(of(c)->stage != REUSE_PARSED))
		return;
	of(c)->stage = REUSE_NONE;
	send_parse(c, s);
}

/* A Bind of the unnamed statement, or its Describe, if PostgreSQL looks at the tables again
 * for that: where there are columns to describe. */
static bool is_first_use(const struct client *c, const struct server *s, const struct frame *f)
{
	struct wire_in in;

	wire_init(&in, f->body, f->available);
	if (f->type == 'B')
		(void)wire_cstr(&in);
	else if (f->type != 'D' || wire_u8(&in) != 'S' ||
		reusable(s, c->unnamed_large) != REUSABLE_READS)
		return false;
	return wire_cstr(&in)[0] == '\0' && wire_ok(&in);
}

/* One that can follow, and does the same when it comes for the second time. */
static bool may_follow(const struct frame *f)
{
	switch (f->type) {
	case 'E':
	case 'S':
	case 'H':
		return true;
	case 'D':
	case 'C':
		return f->available > 0 && f->body[0] == 'P';
	default:
		return false;
	}
}

static bool has_room(const struct reuse *r, const struct frame *f)
{
	return frame_is_whole(f) && buf_len(&r->again) + frame_size(f) <= REUSE_AGAIN_MAX;
}

static void copy(struct reuse *r, const struct frame *f)
{
	buf_add(&r->again, f->body - FRAME_HEADER, frame_size(f));
}

void client_reuse_next(struct client *c, struct server *s, const struct frame *f)
{
	struct reuse *r = of(c);

	if (r->stage == REUSE_SENT)
		copy(r, f);
	else if (r->stage == REUSE_PARSED && (!is_first_use(c, s, f) || !has_room(r, f)))
		client_reuse_settle(c, s);
}

/* Its Parse came in an earlier lease. */
static bool may_try(const struct client *c, const struct server *s, const struct frame *f)
{
	return c->route->limits.reuses_plans && !of(c)->is_off && of(c)->stage == REUSE_NONE &&
		has_room(of(c), f) && begins_lease(c, s) &&
		is_current(c, s, c->unnamed_large) && is_first_use(c, s, f);
}

struct prepared *client_reuse_use(struct client *c, struct server *s, const struct frame *f)
{
	struct prepared *p = c->unnamed_large;
	struct reuse *r = of(c);
	bool is_there;

	if (!c->unnamed_shared)
		return NULL;
	is_there = prepared_set_use(&s->prepared, p);
	if (r->is_proven ? !is_there : r->stage != REUSE_PARSED && !may_try(c, s, f))
		return NULL;
	client_note_use(c, s, p);
	/* It is read anew from time to time: what has changed elsewhere, and is not told by any
	 * error, holds from then on. */
	if (!r->is_proven && is_there &&
		prepared_set_age(&s->prepared, p, worker_now(c->worker)) > AGE_MAX_US) {
		server_unprepare(s, p);
		is_there = false;
	}
	if (!is_there) {
		server_prepare(s, STEP_PARSE_OURS, p, NULL, client_most_prepared(c));
		prepared_set_stamp(&s->prepared, p, worker_now(c->worker));
		stats_add(c->stats, STAT_server_parse_count, 1);
	}
	if (!r->is_proven) {
		r->stage = REUSE_SENT;
		copy(r, f);
	}
	server_step(s, f->type == 'B' ? STEP_BIND_SHARED : STEP_DESCRIBE_SHARED, p, NULL);
	return p;
}

bool client_reuse_waits(struct client *c, struct server *s, const struct frame *f)
{
	struct reuse *r = of(c);
	struct buf out;

	if (r->stage == REUSE_FAILED)
		return true;
	if (r->stage != REUSE_SENT || (s->xq.open && may_follow(f) && has_room(r, f)))
		return false;
	/* The rest of it is on its way. */
	if (s->xq.open && !frame_is_whole(f) && f->body_len <= NAMES_ONLY)
		return true;
	if (r->holds)
		return true;
	r->holds = true;
	c->reuse_pause = PAUSE_PARSES;
	/* Else PostgreSQL would keep the answer to itself until there is a Sync. */
	if (s->xq.open) {
		buf_init(&out, 0);
		msg_out_flush(&out);
		stream_send_buf(&s->stream, &out);
		buf_finish(&out);
	}
	return true;
}

/* --- what the server answers ------------------------------------------------------------ */

static void go_on(struct client *c)
{
	struct reuse *r = of(c);

	if (r->holds)
		stream_retry(&c->stream);
	r->holds = false;
}

static void pay(struct reuse *r, struct buf *out)
{
	if (r->owes_parse)
		msg_out_parse_complete(out);
	buf_add(out, buf_data(&r->owed), buf_len(&r->owed));
	buf_clear(&r->owed);
	r->owes_parse = false;
}

bool client_reuse_hold(struct client *c, const struct frame *f)
{
	struct reuse *r = of(c);

	if (r->stage != REUSE_SENT)
		return false;
	buf_add(&r->owed, f->body - FRAME_HEADER, frame_size(f));
	return true;
}

void client_reuse_proven(struct client *c, struct buf *out)
{
	struct reuse *r = of(c);

	if (r->stage != REUSE_SENT)
		return;
	pay(r, out);
	buf_clear(&r->again);
	r->stage = REUSE_NONE;
	r->is_proven = true;
	go_on(c);
}

/* What PostgreSQL may say of a text when it reads it, of values that are of another type
 * now, or with its name in the message; other errors are those of that moment, and would be
 * the same. */
static bool is_of_reading(const struct error_fields *e)
{
	static const char *const classes[] = { "42", "0A", "08", "22", "26", "3F", "54" };

	for (size_t i = 0; i < COUNT_OF(classes); i++) {
		if (error_has_class(e, classes[i]))
			return true;
	}
	return false;
}

enum reuse_error client_reuse_failed(struct client *c, struct server *s,
	const struct error_fields *e, struct buf *out)
{
	/* Of its Parse: then the client's has failed. */
	bool is_parse = steps_head(&s->steps).kind == STEP_PARSE_OURS;
	struct reuse *r = of(c);

	if (r->stage != REUSE_SENT)
		return REUSE_ERROR_GOES_ON;
	if ((is_parse ? error_has_class(e, "42P05") : is_of_reading(e)) && buf_ok(&r->again)) {
		r->stage = REUSE_FAILED;
		buf_clear(&r->owed);
		return REUSE_ERROR_AGAIN;
	}
	if (is_parse && r->owes_parse)
		client_unnamed_forget(c);
	r->owes_parse = r->owes_parse && !is_parse;
	pay(r, out);
	buf_clear(&r->again);
	r->stage = REUSE_NONE;
	go_on(c);
	return REUSE_ERROR_BEHIND;
}

void client_reuse_again(struct client *c, struct server *s)
{
	struct reuse *r = of(c);
	const uint8_t *data = buf_data(&r->again);
	size_t len = buf_len(&r->again), pos = 0;
	enum client_sent sent;
	struct frame f;

	r->stage = REUSE_NONE;
	r->is_off = true;
	c->end = CLIENT_END_UNKNOWN;
	if (r->owes_parse)
		send_parse(c, s);
	c->unnamed_shared = false;
	while (frame_next(data + pos, len - pos, FRAME_BODY_MAX, &f) == FRAME_OK) {
		(void)client_prepared_message(c, s, &f, &sent);
		if (sent == CLIENT_AS_IT_IS)
			stream_send(&s->stream, data + pos, frame_size(&f));
		pos += frame_size(&f);
	}
	buf_clear(&r->again);
	r->is_off = false;
	go_on(c);
}
