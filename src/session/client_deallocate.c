/* SPDX-License-Identifier: ISC */
/*
 * DEALLOCATE by itself on a transaction port: it concerns the client's names, not what
 * servers have.  A statement that does nothing runs in its place, so that it fails where
 * PostgreSQL lets it fail, and its tag is replaced.  Where more stands in the text
 * client_sql.c has it run.
 *
 * By the extended protocol the name means what it means when the portal runs, whatever
 * it meant when the statement was prepared.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pg/msg_out.h"
#include "session/client_priv.h"
#include "session/server.h"
#include "session/server_priv.h"
#include "sql/statement.h"

#define NOTHING "UNLISTEN pgtandem_nothing"

/* From the query on, without types. */
static const uint8_t nothing_body[] = NOTHING "\0\0";

/* One whole text that does nothing but DEALLOCATE?  Then what it drops. */
static bool read_drop(const void *data, size_t len, struct statement *first)
{
	const char *text = data;

	/* Before all others are scanned. */
	if (len == 0 || ((text[0] | 0x20) != 'd' && (uint8_t)text[0] > ' ' &&
				strchr("/-;", text[0]) == NULL))
		return false;
	if (statement_count(text, len, LEXER_STANDARD_STRINGS, 2, first) != 1 ||
		(first->flags & SQL_UNSURE) != 0)
		return false;
	return first->kind == SQL_DEALLOCATE_ALL || first->kind == SQL_DEALLOCATE;
}

/* What SQL has prepared is the server's own, and may be in flight. */
static bool may_concern_server(const struct server *s)
{
	return s->has_foreign || s->xq.pending > 0;
}

/* The one of this name may be the server's: nobody looks after what SQL prepares there. */
static bool is_not_ours(const struct client *c, const char *name)
{
	return !client_is_kept(c) && prepared_names_find(&c->names, name) == NULL;
}

struct prepared_act *client_parse_drop(const struct client *c, const struct server *s,
	const void *text, size_t len, const uint8_t **body, size_t *body_len)
{
	struct prepared_act *act;
	struct statement drop;

	if (!read_drop(text, len, &drop) ||
		(drop.kind == SQL_DEALLOCATE_ALL ? may_concern_server(s) :
						   is_not_ours(c, drop.name)))
		return NULL;
	act = prepared_act_create(drop.kind == SQL_DEALLOCATE ? PREPARED_DROPS
							      : PREPARED_DROPS_ALL,
		drop.name, NULL);
	if (act != NULL) {
		*body = nothing_body;
		*body_len = sizeof(nothing_body);
	}
	return act;
}

static void drop_name(struct client *c, struct server *s, struct prepared_name *n)
{
	client_sql_close(s, n->text);
	server_step(s, STEP_DEALLOCATE, NULL, n);
	prepared_names_unlink(&c->names, n);
}

static void drop_all(struct server *s)
{
	client_sql_close_all(s);
	server_step(s, STEP_DEALLOCATE_ALL, NULL, NULL);
}

void client_run_drop(struct client *c, struct server *s, const struct prepared_act *drop)
{
	struct prepared_name *n;
	const char *name;

	if (drop->does == PREPARED_DROPS_ALL) {
		drop_all(s);
		return;
	}
	n = prepared_names_find(&c->names, drop->name);
	if (n != NULL) {
		drop_name(c, s, n);
		return;
	}
	/* As PostgreSQL says it: also where code out of sight has left one by this name. */
	name = prepared_is_our_name(drop->name) ? prepared_no_name() : drop->name;
	server_close_unseen(s, name);
	server_step(s, STEP_DESCRIBE, NULL, NULL);
	server_send_describe(s, name);
}

bool client_deallocate(struct client *c, struct server *s, const struct frame *f)
{
	char sql[64] = NOTHING;
	struct prepared_name *n;
	struct statement drop;
	struct buf out;
	bool is_all;

	if (!frame_is_whole(f) || f->body_len > CLIENT_INSPECT_MAX || f->body_len == 0 ||
		f->body[f->body_len - 1] != '\0' ||
		!read_drop(f->body, f->body_len - 1, &drop))
		return false;
	is_all = drop.kind == SQL_DEALLOCATE_ALL;
	n = is_all ? NULL : prepared_names_find(&c->names, drop.name);
	if (is_all && !may_concern_server(s))
		drop_all(s);
	else if (n != NULL)
		drop_name(c, s, n);
	else if (!is_all && prepared_is_our_name(drop.name))
		(void)snprintf(sql, sizeof(sql), "DEALLOCATE %s", prepared_no_name());
	else
		return false;
	exchange_sent(&s->xq, 'Q');
	buf_init(&out, 0);
	msg_out_query(&out, sql);
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
	return true;
}
