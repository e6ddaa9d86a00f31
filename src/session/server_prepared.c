/* SPDX-License-Identifier: ISC */
/*
 * Prepared statements of clients of a transaction port, on the server's side: what is
 * sent beside the client's messages, and what errors mean for what is there.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/hash.h"
#include "pg/msg_out.h"
#include "session/client_pin.h"
#include "session/client_priv.h"
#include "session/server_priv.h"
#include "session/server_reads.h"
#include "session/server_redo.h"
#include "sql/lexer.h"

/* Texts of the statements that one server keeps. */
enum { SET_BYTES_MAX = 2 * 1024 * 1024 };

void server_step(struct server *s, enum step_kind kind, struct prepared *p,
	struct prepared_name *n)
{
	/* Without it replies cannot be told apart any more. */
	if (!steps_push(&s->steps, kind, s->xq.open_asked, p, n))
		server_break(s, SERVER_END_MEMORY);
}

/* --- on the way to the server ----------------------------------------------------------- */

void server_send_parse(struct server *s, const char *name, const void *body, size_t len)
{
	struct buf out;

	buf_init(&out, 0);
	msg_out_parse_body(&out, name, body, len);
	exchange_sent(&s->xq, 'P');
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
}

void server_send_close(struct server *s, const char *name)
{
	struct buf out;

	buf_init(&out, 0);
	msg_out_close(&out, 'S', name);
	exchange_sent(&s->xq, 'C');
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
}

void server_close_unseen(struct server *s, const char *name)
{
	server_step(s, STEP_CLOSE_OURS, NULL, NULL);
	server_send_close(s, name);
}

void server_send_describe(struct server *s, const char *name)
{
	struct buf out;

	buf_init(&out, 0);
	msg_out_describe(&out, 'S', name);
	exchange_sent(&s->xq, 'D');
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
}

void server_unprepare(struct server *s, struct prepared *p)
{
	server_step(s, STEP_CLOSE_OURS, p, NULL);
	server_send_close(s, p->name);
	prepared_set_remove(&s->prepared, p);
}

void server_prepare(struct server *s, enum step_kind kind, struct prepared *p,
	struct prepared_name *n, uint32_t most)
{
	/* The ones not used for longest go when there are too many. */
	while (s->prepared.count > 0 &&
		(s->prepared.count >= most || s->prepared.bytes + p->len > SET_BYTES_MAX))
		server_unprepare(s, prepared_set_oldest(&s->prepared));
	server_step(s, kind, p, n);
	server_send_parse(s, p->name, p->body, p->len);
	if (!prepared_set_add(&s->prepared, p))
		server_break(s, SERVER_END_MEMORY);
}

static uint8_t lexer_flags_of(const struct params *reported)
{
	const char *encoding = params_get(reported, "client_encoding");
	const char *strings = params_get(reported, "standard_conforming_strings");
	const char *there = params_get(reported, "server_encoding");
	unsigned flags = encoding == NULL ? 0 : lexer_encoding_flags(encoding);

	if ((flags & LEXER_UTF8) != 0 && there != NULL && strcmp(there, "UTF8") == 0)
		flags |= LEXER_UTF8_THERE;
	if (strings == NULL || strcasecmp(strings, "on") == 0)
		flags |= LEXER_STANDARD_STRINGS;
	return (uint8_t)flags;
}

static bool is_on(const char *setting)
{
	return setting != NULL && strcmp(setting, "off") != 0;
}

/* Constants mean what they mean under these, when the statement is read: the server
 * tells of each change. */
void server_note_settings(struct server *s)
{
	const char *application = params_get(&s->reported, "application_name");
	const char *reads_only = params_get(&s->reported, "default_transaction_read_only");
	const char *standby = params_get(&s->reported, "in_hot_standby");
	const char *path = params_get(&s->reported, "search_path");

	shown_set(&s->application, application == NULL ? "" : application);
	params_seal(&s->reported);
	if (s->literal_key != s->reported.reading_key)
		server_reads_change(s);
	s->literal_key = s->reported.reading_key;
	/* PostgreSQL 18 tells of it; it looks at that itself in each use. */
	s->path_key = path == NULL ? 0 : hash_bytes(path, strlen(path));
	/* Before PostgreSQL 14 nobody is told. */
	s->may_defer = is_on(reads_only) || is_on(standby);
	/* What is in flight behind that may change it once more. */
	s->lexer_flags = lexer_flags_of(&s->reported) | (s->lexer_flags & LEXER_MAY_CHANGE);
}

/* --- errors ------------------------------------------------------------------------------ */

static bool says(const struct error_fields *e, const char *sqlstate, const char *name)
{
	return memcmp(e->sqlstate, sqlstate, 5) == 0 &&
		memmem(e->message.data, e->message.len, name, strlen(name)) != NULL;
}

/* The plan that PostgreSQL kept gives other columns than it was made for; it says so in
 * any language (plancache.c, RevalidateCachedQuery()). */
static bool is_stale_plan(const struct error_fields *e)
{
	return memcmp(e->sqlstate, "0A000", 5) == 0 &&
		wire_slice_is(e->routine, "RevalidateCachedQuery");
}

/* What it was read as cannot be planned any more; and that is no lack of rights. */
static bool is_misread(const struct error_fields *e)
{
	return error_has_class(e, "42") && memcmp(e->sqlstate, "42501", 5) != 0;
}

static void forget_if_gone(struct server *s, struct prepared *p, const struct error_fields *e)
{
	if (!says(e, "26000", p->name))
		return;
	prepared_set_remove(&s->prepared, p);
	s->has_foreign = true;
}

/* Nobody was told of its columns but by answers to what came right before. */
static void learn_of_shared(struct server *s, struct prepared *p, const struct error_fields *e)
{
	if (is_stale_plan(e))
		prepared_retire(p, true);
	forget_if_gone(s, p, e);
}

/* One that stood for the client's own for once (client_prepared.c, fitting()). */
static void learn_of_other(struct server *s, const struct prepared *p,
	const struct error_fields *e)
{
	struct prepared *used = prepared_set_holding(&s->prepared, p);

	if (used == NULL)
		return;
	if (is_stale_plan(e) || is_misread(e))
		prepared_retire(used, false);
	if (is_stale_plan(e))
		s->has_foreign = true;
	forget_if_gone(s, used, e);
}

/* Behind somebody's SET LOCAL search_path, or beside a temporary table, it was read with
 * parameters of other types: from here on it is the client's own, and a new one for all
 * who prepare it next. */
static void have_alone(struct client *c, struct prepared_name *n)
{
	struct prepared *p = n->statement, *own;

	if (p->is_alone || !client_has_memory(c, p->len))
		return;
	own = prepared_get_alone(p->registry, p->body, p->len, p->state_key);
	if (own == NULL)
		return;
	prepared_retire(p, false);
	prepared_names_set(&c->names, n, own);
}

/* What a server has is not what we thought: somebody's function has dropped statements,
 * or made one of such a name.  All go at the end of the lease. */
static void learn_from(
	struct server *s, const struct step *head, const struct error_fields *e)
{
	bool is_parse = head->kind == STEP_PARSE || head->kind == STEP_PARSE_OURS;
	bool is_use = head->kind == STEP_BIND || head->kind == STEP_DESCRIBE;
	struct prepared *p;

	/* An Execute in front of it has failed. */
	if (head->place != s->xq.head_replied && !s->xq.in_doubt)
		return;
	if (is_parse && says(e, "42P05", head->statement->name)) {
		prepared_retire(head->statement, false);
		s->has_foreign = true;
	}
	if (head->kind == STEP_BIND_SHARED || head->kind == STEP_DESCRIBE_SHARED)
		learn_of_shared(s, head->statement, e);
	if (!is_use || head->name == NULL)
		return;
	p = head->name->statement;
	if (p != head->statement) {
		learn_of_other(s, head->statement, e);
	} else if (is_stale_plan(e)) {
		head->name->is_told = true;
		prepared_retire(p, true);
	} else if (is_misread(e) && s->client != NULL) {
		have_alone(s->client, head->name);
	} else {
		forget_if_gone(s, p, e);
	}
}

static void error_of(struct buf *out, const struct step *head)
{
	char message[PREPARED_NAME_MAX + 64];
	struct msg_out_error error = { .severity = "ERROR",
		.sqlstate = "54000",
		.message = "too much memory for prepared statements",
		.hint = "Close statements that are not used any more, or raise "
			"max_client_statement_memory or max_statement_memory." };

	if (head->kind == STEP_DUPLICATE) {
		/* In PostgreSQL's words (prepare.c). */
		(void)snprintf(message, sizeof(message),
			"prepared statement \"%s\" already exists", head->name->text);
		error = (struct msg_out_error){
			.severity = "ERROR", .sqlstate = "42P05", .message = message
		};
	}
	if (head->kind == STEP_STALE) {
		/* The same (plancache.c).  From now on it is another one. */
		error = (struct msg_out_error){ .severity = "ERROR",
			.sqlstate = "0A000",
			.message = "cached plan must not change result type" };
		head->name->is_told = true;
	}
	if (head->kind == STEP_RESERVED)
		error = (struct msg_out_error){ .severity = "ERROR",
			.sqlstate = "42939",
			.message = "names of prepared statements that begin with "
				   "\"pgtandem_s\" are reserved" };
	if (head->kind == STEP_NOT_BY_SQL)
		error = (struct msg_out_error){ .severity = "ERROR",
			.sqlstate = "0A000",
			.message = "EXECUTE of a DEALLOCATE or PREPARE that was prepared by the "
				   "protocol is not supported",
			.hint = "Send its text by itself, or have Bind and Execute run it." };
	buf_clear(out);
	msg_out_error(out, &error);
}

static void end_skipping(struct server *s)
{
	struct buf out;

	server_step(s, STEP_END_SYNC, NULL, NULL);
	buf_init(&out, 0);
	msg_out_sync(&out);
	exchange_sent(&s->xq, 'S');
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
}

bool server_prepared_error(struct server *s, const struct error_fields *e, bool skips)
{
	struct step head = steps_head(&s->steps);
	bool is_pin = head.kind == STEP_NOT_ALLOWED || head.kind == STEP_NOT_PINNED;
	bool is_ours = (head.kind == STEP_REFUSED || head.kind == STEP_DUPLICATE ||
			       head.kind == STEP_STALE || head.kind == STEP_RESERVED ||
			       head.kind == STEP_NOT_BY_SQL || is_pin) &&
		says(e, "26000", prepared_no_name());

	server_steps_fail_begin(s);
	if (is_ours && is_pin && s->client != NULL)
		client_pin_error(s->client, head.kind == STEP_NOT_ALLOWED, &s->instead);
	else if (is_ours)
		error_of(&s->instead, &head);
	else
		learn_from(s, &head, e);
	server_steps_fail(s, skips);
	/* The Query that it stood in front of was skipped. */
	if (skips && s->xq.skipping &&
		(s->holds_client || (s->client != NULL && client_reuse_has_failed(s->client))))
		end_skipping(s);
	return is_ours;
}
