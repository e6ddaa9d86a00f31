/* SPDX-License-Identifier: ISC */
#include "session/server_own.h"

#include "pg/msg_out.h"
#include "session/server_priv.h"

static void send_behind(struct server *s, const char *first, const char *sql)
{
	struct buf out;

	s->own_failed = false;
	buf_init(&out, 0);
	msg_out_query_behind(&out, first, sql);
	server_sent_own(s);
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
}

/* In a transaction of the client's what stands in front would hold to its end. */
void server_send_own(struct server *s, const char *sql)
{
	send_behind(s, UNLIKELY(s->may_defer) && s->xq.status == 'I' ? SERVER_AT_ONCE : "", sql);
}

void server_send_untimed(struct server *s, const char *sql)
{
	if (s->xq.status != 'I')
		send_behind(s, "", sql);
	else
		send_behind(s, s->may_defer ? SERVER_AT_ONCE SERVER_UNTIMED : SERVER_UNTIMED, sql);
}

void server_send_alone(struct server *s, const char *sql)
{
	send_behind(s, "", sql);
}
