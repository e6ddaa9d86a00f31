/* SPDX-License-Identifier: ISC */
/*
 * TLS to PostgreSQL: how it begins, for servers and for connections that cancel.
 *
 * Owns:   nothing.
 * Thread: the worker's.
 */
#ifndef SESSION_SERVER_TLS_H
#define SESSION_SERVER_TLS_H

#include "session/server_connect.h"

/* What a server says to SSLRequest: one byte, and nothing behind it. */
enum tls_answer {
	TLS_ANSWER_MORE,
	TLS_ANSWER_YES,
	TLS_ANSWER_NO,
	TLS_ANSWER_TOO_MUCH,            /* somebody's, not the server's */
	TLS_ANSWER_BAD
};

enum tls_answer tls_answer_read(const uint8_t *data, size_t len);
const char *tls_answer_text(enum tls_answer);

/* Sends SSLRequest and reads on, or begins at once: 0 or -errno. */
NODISCARD int tls_ask(struct stream *, const struct route_tls *, const char *name);

bool server_tls_wanted(const struct server *);
void server_tls_begin(struct server *);
size_t server_tls_data(struct server *, const uint8_t *data, size_t len);
void server_tls_secure(struct server *);

/* The channel binding of its connection; NULL where there is none.  Valid as long as
 * its login. */
const struct scram_binding *server_tls_binding(struct server *);

#endif
