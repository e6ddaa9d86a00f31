/* SPDX-License-Identifier: ISC */
/*
 * DEALLOCATE of SQL on a transaction port: it concerns the client's names, not what
 * servers have.  A statement that does nothing runs in its place, so that it fails where
 * PostgreSQL lets it fail, and its tag is replaced.
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
static bool read_drop(const void *data, size_t len, struct prepared_drop *drop)
{
	const char *text = data;
	struct statement first;

	/* Before all others are scanned. */
	if (len == 0 || ((text[0] | 0x20) != 'd' && (uint8_t)text[0] > ' ' && text[0] != '/' &&
				text[0] != '-'))
		return false;
	if (statement_count(text, len, LEXER_STANDARD_STRINGS, 2, &first) != 1 ||
		(first.flags & SQL_UNSURE) != 0)
		return false;
	drop->is_all = first.kind == SQL_DEALLOCATE_ALL;
	(void)snprintf(drop->name, sizeof(drop->name), "%.*s", PREPARED_NAME_MAX, first.name);
	return drop->is_all || first.kind == SQL_DEALLOCATE;
}

/* What SQL has prepared is the server's own, and may be in flight. */
static bool may_concern_server(const struct server *s)
{
	return s->has_foreign || s->xq.pending > 0;
}

struct prepared_drop *client_parse_drop(const struct server *s, const void *text, size_t len,
	const uint8_t **body, size_t *body_len)
{
	struct prepared_drop drop, *copy;

	if (!read_drop(text, len, &drop) || may_concern_server(s) ||
		(copy = malloc(sizeof(*copy))) == NULL)
		return NULL;
	*copy = drop;
	*body = nothing_body;
	*body_len = sizeof(nothing_body);
	return copy;
}

static void drop_name(struct client *c, struct server *s, struct prepared_name *n)
{
	server_step(s, STEP_DEALLOCATE, NULL, n);
	prepared_names_unlink(&c->names, n);
}

void client_run_drop(struct client *c, struct server *s, const struct prepared_drop *drop)
{
	struct prepared_name *n;

	if (drop->is_all) {
		server_step(s, STEP_DEALLOCATE_ALL, NULL, NULL);
		return;
	}
	n = prepared_names_find(&c->names, drop->name);
	if (n != NULL) {
		drop_name(c, s, n);
		return;
	}
	/* As PostgreSQL says it. */
	server_step(s, STEP_DESCRIBE, NULL, NULL);
	server_send_describe(s,
		prepared_is_our_name(drop->name) ? prepared_no_name() : drop->name);
}

bool client_deallocate(struct client *c, struct server *s, const struct frame *f)
{
	char sql[64] = NOTHING;
	struct prepared_drop drop;
	struct prepared_name *n;
	struct buf out;

	if (!frame_is_whole(f) || f->body_len > CLIENT_INSPECT_MAX || f->body_len == 0 ||
		f->body[f->body_len - 1] != '\0' ||
		!read_drop(f->body, f->body_len - 1, &drop))
		return false;
	n = drop.is_all ? NULL : prepared_names_find(&c->names, drop.name);
	if (drop.is_all && !may_concern_server(s))
		server_step(s, STEP_DEALLOCATE_ALL, NULL, NULL);
	else if (n != NULL)
		drop_name(c, s, n);
	else if (!drop.is_all && prepared_is_our_name(drop.name))
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
