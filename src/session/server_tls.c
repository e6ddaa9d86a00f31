/* SPDX-License-Identifier: ISC */
/*
 * TLS to PostgreSQL, between connecting and the startup packet: asked for, or begun
 * at once; and the same for the connections that carry cancel requests.
 *
 * Source: PostgreSQL documentation, 55.2.12; CVE-2021-23222 for what may follow the
 * answer (nothing).
 */
#include "session/server_tls.h"

#include <errno.h>
#include <string.h>

#include "net/tls.h"
#include "pg/msg_out.h"

enum tls_answer tls_answer_read(const uint8_t *data, size_t len)
{
	if (len == 0)
		return TLS_ANSWER_MORE;
	if (len > 1 || (data[0] != 'S' && data[0] != 'N'))
		return data[0] == 'S' || data[0] == 'N' ? TLS_ANSWER_TOO_MUCH : TLS_ANSWER_BAD;
	return data[0] == 'S' ? TLS_ANSWER_YES : TLS_ANSWER_NO;
}

const char *tls_answer_text(enum tls_answer answer)
{
	switch (answer) {
	case TLS_ANSWER_NO:
		return "it has no TLS, which server_tls_sslmode asks for";
	case TLS_ANSWER_TOO_MUCH:
		return "it sent unencrypted data behind its answer to the request for TLS";
	case TLS_ANSWER_BAD:
		return "it did not understand the request for TLS";
	case TLS_ANSWER_MORE:
	case TLS_ANSWER_YES:
		break;
	}
	return "";
}

int tls_ask(struct stream *stream, const struct route_tls *tls, const char *name)
{
	struct buf out;

	if (tls->is_direct)
		return stream_start_tls(stream, tls->context, name, NULL, 0);
	buf_init(&out, 0);
	msg_out_tls_request(&out);
	stream_send_buf(stream, &out);
	buf_finish(&out);
	stream_resume(stream);
	return 0;
}

/* --- servers ------------------------------------------------------------------------ */

static const char *server_name(const struct server *s)
{
	return route_tls_name(s->tls, s->place);
}

bool server_tls_wanted(const struct server *s)
{
	return s->tls->mode != ROUTE_TLS_DISABLE && !addr_is_unix(&s->addr);
}

void server_tls_begin(struct server *s)
{
	int ret;

	s->login->step = LOGIN_ASKS_TLS;
	ret = tls_ask(&s->stream, s->tls, server_name(s));
	if (ret < 0)
		server_address_failed(s, "TLS cannot begin", ret);
}

size_t server_tls_data(struct server *s, const uint8_t *data, size_t len)
{
	enum tls_answer answer = tls_answer_read(data, len);
	int ret;

	if (s->login->step != LOGIN_ASKS_TLS || answer == TLS_ANSWER_MORE)
		return 0;
	if (answer == TLS_ANSWER_YES) {
		ret = stream_start_tls(&s->stream, s->tls->context, server_name(s), NULL, 0);
		if (ret < 0)
			server_address_failed(s, "TLS cannot begin", ret);
	} else if (answer == TLS_ANSWER_NO && s->tls->mode == ROUTE_TLS_PREFER) {
		server_login_talk(s);
	} else {
		server_address_insecure(s, tls_answer_text(answer));
	}
	return len;
}

void server_tls_secure(struct server *s)
{
	if (s->phase != SERVER_PHASE_CONNECT || s->login->step != LOGIN_ASKS_TLS)
		return;
	/* Somebody else's server may answer TLS on that port. */
	if (s->tls->is_direct && !tls_has_alpn(stream_tls(&s->stream)))
		server_address_insecure(s, "it does not know direct TLS (ALPN)");
	else
		server_login_talk(s);
}

const struct scram_binding *server_tls_binding(struct server *s)
{
	const struct tls *tls = stream_tls(&s->stream);
	struct server_login *l = s->login;
	size_t len = tls == NULL ? 0 : tls_binding(tls, l->binding_data);

	if (len == 0)
		return NULL;
	l->binding = (struct scram_binding){
		.type = "tls-server-end-point", .data = l->binding_data, .len = len
	};
	return &l->binding;
}
