/* SPDX-License-Identifier: ISC */
/*
 * Prepared statements of SQL on a transaction port: PREPARE, EXECUTE, DEALLOCATE.
 *
 * They share the client's names with those of the protocol (PostgreSQL documentation,
 * PREPARE).  What runs by SQL names statements as the client does, so a server knows
 * them by the client's own names, and only as long as nobody else has the server: they
 * are closed before the next client's first message.  A server that lacks one gets it in
 * front of the first text that names it, in that text's error domain: if it cannot be
 * prepared any more, PostgreSQL skips the text.
 *
 * Names change when a text is sent, and change back when it fails.
 */
#include <string.h>

#include "pg/msg_out.h"
#include "session/client_pin.h"
#include "session/client_priv.h"
#include "session/facts.h"
#include "session/login.h"
#include "session/named.h"
#include "session/server_priv.h"
#include "sql/statement.h"

/* Of the router's own; no statement's (prepared.c) and no client's. */
#define PORTAL "pgtandem_sql"

enum { HEAD_MIN = 64 };

/* What one text executes is read so far for what it sets.  And what a look at one name costs,
 * in bytes that are read. */
enum { EXECUTE_READ_MAX = 4 * 1024 * 1024, NAME_COST = 64 };

/* --- what a server has ------------------------------------------------------------- */

static void close_entry(struct prepared_name *there, void *arg)
{
	struct server *s = arg;

	server_step(s, STEP_SQL_CLOSE, there->statement, there);
	server_send_close(s, there->text);
	prepared_names_unlink(&s->sql, there);
}

void client_sql_close(struct server *s, const char *name)
{
	struct prepared_name *there = prepared_names_find(&s->sql, name);

	if (there != NULL)
		close_entry(there, s);
}

void client_sql_close_all(struct server *s)
{
	prepared_names_each(&s->sql, close_entry, s);
}

/* PREPARE is sent as a statement of the protocol, so that what stands behind it is
 * skipped when it fails.  A portal of the client's stays. */
static void send_portal(struct server *s, enum step_kind kind, struct prepared *p,
	struct prepared_name *there)
{
	struct buf out;

	server_step(s, STEP_BIND_OURS, NULL, NULL);
	server_step(s, kind, p, there);
	buf_init(&out, 0);
	msg_out_bind(&out, PORTAL, "", NULL, 0);
	msg_out_execute(&out, PORTAL);
	exchange_sent(&s->xq, 'B');
	exchange_sent(&s->xq, 'E');
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
}

static void send_prepare(struct server *s, struct prepared *p, struct prepared_name *there)
{
	struct buf out;

	server_step(s, STEP_UNNAMED_OURS, NULL, NULL);
	server_send_parse(s, "", p->body, p->len);
	s->unnamed_of = SERVER_UNNAMED_SOMEBODYS;
	send_portal(s, STEP_SQL_AGAIN, p, there);
	server_step(s, STEP_CLOSE_OURS, NULL, NULL);
	buf_init(&out, 0);
	msg_out_close(&out, 'P', PORTAL);
	exchange_sent(&s->xq, 'C');
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
}

/* Ends the transaction that PostgreSQL has begun for these, and not the error domain: what
 * comes next may begin one that no query may stand in front of. */
static void send_end(struct server *s)
{
	static const uint8_t body[] = "COMMIT\0\0";

	server_step(s, STEP_UNNAMED_OURS, NULL, NULL);
	server_send_parse(s, "", body, sizeof(body));
	s->unnamed_of = SERVER_UNNAMED_SOMEBODYS;
	send_portal(s, STEP_SQL_END, NULL, NULL);
}

static void send_again(struct client *c, struct server *s, struct prepared_name *n)
{
	struct prepared *p = n->statement;
	struct prepared_name *there = prepared_names_add(&s->sql, n->text, prepared_ref(p));

	if (there == NULL) {
		server_break(s, SERVER_END_MEMORY);
		return;
	}
	if (p->is_sql) {
		send_prepare(s, p, there);
	} else {
		server_step(s, STEP_SQL_PARSE, p, there);
		server_send_parse(s, n->text, p->body, p->len);
	}
	stats_add(c->stats, STAT_server_parse_count, 1);
}

/* The server has what the client has by this name, or nothing, if it is not to be sent:
 * never what somebody else's code has left there.  Close of what is not there is no error.
 * True: it was not there. */
static bool ensure(struct client *c, struct server *s, struct prepared_name *n, bool sends)
{
	struct prepared_name *there = prepared_names_find(&s->sql, n->text);

	s->sql_of = c->id;
	if (there != NULL && there->statement == n->statement)
		return false;
	if (there != NULL)
		close_entry(there, s);
	else
		server_close_unseen(s, n->text);
	if (sends)
		send_again(c, s, n);
	return true;
}

/* --- what a text names --------------------------------------------------------------- */

struct need {
	struct client *client;
	struct server *server;
	size_t read;                    /* of what it executes, to see what that sets */
	uint32_t number;                /* of the text */
	bool sends;                     /* what the server lacks */
	bool has_sent;
};

static void need(struct prepared_name *n, void *arg)
{
	struct need *in = arg;

	in->has_sent = ensure(in->client, in->server, n, in->sends) || in->has_sent;
}

static void need_sql(struct prepared_name *n, void *arg)
{
	if (n->statement->is_sql)
		need(n, arg);
}

/* The arguments behind the name in EXECUTE, as far as they are constants, in the form of a
 * Bind: without formats, and cut where nothing is known. */
static void read_arguments(struct lexer lexer, unsigned flags, struct buf *out)
{
	char value[STATEMENT_NAME_SIZE];
	struct lexer_token token;
	uint16_t count = 0;
	struct buf values;
	size_t len;

	buf_init(&values, 0);
	if (lexer_next(&lexer, &token) != LEXER_PUNCT || token.text[0] != '(')
		lexer.pos = lexer.end;
	while (lexer_next(&lexer, &token) != LEXER_END && lexer_is_string(&token) &&
		lexer_value(&token, flags, value, sizeof(value), &len) == LEXER_VALUE_OK &&
		lexer_next(&lexer, &token) == LEXER_PUNCT && strchr(",)", token.text[0]) != NULL) {
		buf_add_u32(&values, (uint32_t)len);
		buf_add(&values, value, len);
		count++;
		if (token.text[0] == ')')
			break;
	}
	buf_add_u16(out, 0);
	buf_add_u16(out, count);
	buf_add(out, buf_data(&values), buf_len(&values));
	buf_finish(&values);
}

static void note_executed(struct need *in, struct prepared *p, const struct lexer *behind,
	unsigned flags)
{
	struct touched *touched = &in->client->work->touched;
	const uint8_t *bind = touched->bind;
	size_t bind_len = touched->bind_len;
	struct buf arguments;

	buf_init(&arguments, 0);
	read_arguments(*behind, flags, &arguments);
	touched->bind = buf_data(&arguments);
	touched->bind_len = buf_ok(&arguments) ? buf_len(&arguments) : 0;
	client_note_statement(in->client, in->server, p);
	touched->bind = bind;
	touched->bind_len = bind_len;
	buf_finish(&arguments);
}

/* What it runs may set something: the same each time, if no value decides that.  A text of
 * some bytes may have a long one run hundreds of times: what is too much is not read. */
static void note_execute(struct need *in, struct prepared_name *n, const struct lexer *behind,
	unsigned flags)
{
	unsigned touches = facts_touches(n->statement, client_lexer_flags(in->server));

	if (!n->statement->may_touch ||
		(n->noted == in->number && (touches & FACT_TAKES_VALUES) == 0))
		return;
	n->noted = in->number;
	if ((touches & FACT_TOUCHES_ANY) != 0)
		in->read += n->statement->text_len;
	if (in->read <= EXECUTE_READ_MAX)
		note_executed(in, n->statement, behind, flags);
	else
		client_note_unread(in->client, in->server);
}

/* One that the client has not: neither is it to meet somebody else's. */
static void not_of_others(struct need *in, const char *name)
{
	if (prepared_names_find(&in->server->sql, name) != NULL)
		return;
	server_close_unseen(in->server, name);
	in->has_sent = true;
}

static void need_name(struct need *in, const char *name, const struct lexer *behind,
	unsigned flags)
{
	struct prepared_name *n = prepared_names_find(&in->client->names, name);

	/* No text gets at those (refusal()). */
	if (prepared_is_our_name(name))
		return;
	if (n == NULL) {
		not_of_others(in, name);
		return;
	}
	note_execute(in, n, behind, flags);
	need(n, in);
}

/* Each name behind one of the verbs; it does no harm when it is another's name.
 * False: that may not be all. */
static bool need_named(struct need *in, const char *text, size_t len, unsigned flags)
{
	struct named named;

	named_begin(&named, text, len, flags);
	while (named_next(&named))
		need_name(in, named.name, &named.lexer, flags);
	return named_is_sure(&named);
}

/* Behind a DEALLOCATE ALL that is not answered yet there is nothing to prepare. */
static bool can_prepare(const struct server *s)
{
	return s->steps.deallocates_all == 0;
}

/* All that the client has prepared by SQL, of which it may have thousands: unless they are
 * there since this was done last. */
static void need_all_sql(struct need *in)
{
	struct sql_there *there = &in->client->work->sql_there;
	struct prepared_names *names = &in->client->names;
	const struct server *s = in->server;

	if (there->server == s->ps.id && there->names == names->changes &&
		there->there == s->sql.changes)
		return;
	client_has_read(in->client, names->table.count * NAME_COST);
	prepared_names_each(names, need_sql, in);
	*there = (struct sql_there){ .server = in->sends ? s->ps.id : 0,
		.names = names->changes,
		.there = s->sql.changes };
}

/* In a transaction that has failed nothing can be prepared, and the text may end that: what
 * the server lacks is then not there. */
static bool may_send(const struct server *s)
{
	return s->xq.status != 'E' || s->xq.pending > 0 || s->xq.open;
}

bool client_sql_need(struct client *c, struct server *s, const char *text, size_t len)
{
	struct need in = { .client = c, .server = s, .sends = may_send(s) };

	if (!client_is_kept(c) || !can_prepare(s))
		return false;
	in.number = ++c->names.texts;
	if (!need_named(&in, text, len, client_lexer_flags(s)))
		need_all_sql(&in);
	return in.has_sent;
}

void client_sql_use(struct client *c, struct server *s, struct prepared_name *n)
{
	/* Described, it does not run. */
	if (c->work->touched.bind != NULL)
		client_note_statement(c, s, n->statement);
	if (can_prepare(s))
		(void)ensure(c, s, n, true);
}

/* --- what a text does to the names -------------------------------------------------------- */

static void makes(struct client *c, struct server *s, const char *name, struct prepared *p)
{
	struct prepared_name *n = prepared_name_create(name, prepared_ref(p));
	bool has_other;

	if (n == NULL) {
		server_break(s, SERVER_END_MEMORY);
		return;
	}
	/* Where there is one of this name it fails, or something in front takes that away. */
	prepared_names_relink(&c->names, n);
	has_other = prepared_names_find(&s->sql, name) != NULL;
	if (!has_other && prepared_names_add(&s->sql, name, prepared_ref(p)) == NULL)
		server_break(s, SERVER_END_MEMORY);
	s->sql_of = c->id;
	server_step(s, STEP_SQL_PREPARE, has_other ? NULL : p, n);
	prepared_name_unref(n);
}

static void drops(struct client *c, struct server *s, const char *name)
{
	struct prepared_name *n = prepared_names_find(&c->names, name);
	struct prepared_name *there = prepared_names_find(&s->sql, name);

	server_step(s, STEP_SQL_DROP, there == NULL ? NULL : there->statement, n);
	if (n != NULL)
		prepared_names_unlink(&c->names, n);
	if (there != NULL)
		prepared_names_unlink(&s->sql, there);
}

/* With its semicolon, as pg_prepared_statements shows what was sent.  end: of the text. */
static struct prepared *made_by(struct server *s, const struct statement *prepare,
	const char *end)
{
	const char *text = prepare->text.data;
	size_t len = prepare->text.len;

	if (text + len < end && text[len] == ';')
		len++;
	return prepared_get_sql(login_registry(s->pool->session), text, len);
}

/* DEALLOCATE ALL and DISCARD ALL are told by their tags. */
static void acts(struct client *c, struct server *s, const char *text, size_t len)
{
	struct statement_reader reader;
	struct statement statement;
	struct prepared *p;

	statement_begin(&reader, text, len, client_lexer_flags(s));
	while (statement_next(&reader, &statement)) {
		if (statement.kind == SQL_DEALLOCATE)
			drops(c, s, statement.name);
		if (statement.kind != SQL_PREPARE)
			continue;
		p = made_by(s, &statement, text + len);
		if (p == NULL)
			continue;
		makes(c, s, statement.name, p);
		prepared_unref(p);
	}
}

static bool uses_prepared(const struct statement *s)
{
	return s->kind == SQL_PREPARE || s->kind == SQL_EXECUTE || s->kind == SQL_DEALLOCATE ||
		(s->flags & SQL_EXECUTES) != 0;
}

/* What the server has of it may be something that does nothing (client_deallocate.c), and
 * what it does to names is done where its portal runs. */
static bool executes_act(const struct client *c, const struct statement *s)
{
	const struct prepared_name *n;

	if (s->kind != SQL_EXECUTE && (s->flags & SQL_EXECUTES) == 0)
		return false;
	n = prepared_names_find(&c->names, s->name);
	return n != NULL && n->act != NULL;
}

/* May this be prepared, and that be used?  Else what it fails with.  Servers know what
 * clients share by names of ours: no text gets at those. */
static enum step_kind refusal(const struct client *c, const struct statement *s, size_t *bytes)
{
	if (uses_prepared(s) && prepared_is_our_name(s->name))
		return STEP_RESERVED;
	if (s->kind != SQL_PREPARE)
		return executes_act(c, s) ? STEP_NOT_BY_SQL : STEP_END_SYNC;
	*bytes += sizeof(struct prepared) + s->text.len;
	return client_has_room(c, *bytes) ? STEP_END_SYNC : STEP_REFUSED;
}

static enum step_kind refusal_of(const struct client *c, const struct server *s,
	const char *text, size_t len, bool *begins)
{
	enum step_kind kind = STEP_END_SYNC;
	struct statement_reader reader;
	struct statement statement;
	size_t bytes = 0;

	*begins = false;
	statement_begin(&reader, text, len, client_lexer_flags(s));
	while (kind == STEP_END_SYNC && statement_next(&reader, &statement)) {
		kind = refusal(c, &statement, &bytes);
		*begins = *begins || statement.kind == SQL_BEGIN ||
			statement.kind == SQL_START_TRANSACTION ||
			statement.kind == SQL_SET_TRANSACTION;
	}
	return kind;
}

/* --- Query ---------------------------------------------------------------------------------- */

/* In place of the Query, which is not to run: one that fails.  No Sync: that would end
 * what an error in front of it makes PostgreSQL skip. */
static void send_instead(struct server *s, enum step_kind kind)
{
	client_pin_refuse_query(s, kind);
	server_step(s, STEP_END_QUERY, NULL, NULL);
}

/* Too long to be kept. */
static bool begins_with_prepare(const struct frame *f)
{
	struct lexer_token token;
	struct lexer lexer;

	lexer_init(&lexer, (const char *)f->body, size_min(f->available, HEAD_MIN),
		LEXER_STANDARD_STRINGS);
	while (lexer_next(&lexer, &token) == LEXER_PUNCT && token.text[0] == ';')
		;
	return lexer_is_word(&token, "prepare");
}

static void count_close(const struct step *step, void *count)
{
	*(uint32_t *)count += step->kind == STEP_SQL_CLOSE ? 1 : 0;
}

/* Nothing of the client's is in front of it: only what closes others' statements. */
static bool is_first(const struct server *s)
{
	const struct exchange_queue *q = &s->xq;
	uint32_t closes = 0;

	if (q->status != 'I' || q->pending > 0 || q->in_doubt || q->copy != EXCHANGE_NO_COPY)
		return false;
	if (!q->open)
		return true;
	steps_each(&s->steps, count_close, &closes);
	return closes == s->steps.count && closes == q->open_asked && q->head_replied == 0;
}

bool client_sql_query(struct client *c, struct server *s, const struct frame *f)
{
	const char *text = (const char *)f->body;
	bool begins, is_alone;
	enum step_kind kind;
	size_t len;

	if (!client_is_kept(c) || f->body_len == 0)
		return true;
	if (!frame_is_whole(f)) {
		if (begins_with_prepare(f))
			send_instead(s, STEP_REFUSED);
		return !begins_with_prepare(f);
	}
	len = strnlen(text, f->body_len);
	if (len == f->body_len || !prepared_may_name(text, len))
		return true;
	kind = refusal_of(c, s, text, len, &begins);
	if (kind != STEP_END_SYNC) {
		send_instead(s, kind);
		return false;
	}
	/* If that fails the Query is skipped, and so would be all that is behind it. */
	is_alone = is_first(s);
	s->holds_client = client_sql_need(c, s, text, len);
	if (s->holds_client && begins && is_alone)
		send_end(s);
	acts(c, s, text, len);
	return true;
}

/* --- the extended protocol -------------------------------------------------------------------- */

struct prepared_act *client_sql_parse(struct client *c, struct server *s, const char *text,
	size_t len, enum step_kind *fails)
{
	struct prepared_act *act = NULL;
	struct statement statement;
	struct prepared *p;
	bool begins;

	if (!client_is_kept(c) ||
		statement_count(text, len, client_lexer_flags(s), 2, &statement) != 1)
		return NULL;
	*fails = refusal_of(c, s, text, len, &begins);
	if (*fails != STEP_END_SYNC || statement.kind != SQL_PREPARE)
		return NULL;
	p = made_by(s, &statement, text + len);
	if (p != NULL)
		act = prepared_act_create(PREPARED_MAKES, statement.name, p);
	if (act == NULL)
		*fails = STEP_REFUSED;
	return act;
}

void client_sql_run(struct client *c, struct server *s, const struct prepared_act *act)
{
	struct prepared_name *n;

	if (act->does != PREPARED_MAKES) {
		client_run_drop(c, s, act);
		return;
	}
	n = prepared_names_find(&c->names, act->name);
	/* PostgreSQL is to find that there is one. */
	if (n != NULL)
		client_sql_use(c, s, n);
	makes(c, s, act->name, act->statement);
}
