/* SPDX-License-Identifier: ISC */
/*
 * Writes every message that a router sends, whole, at the end of a buffer.
 *
 * Owns:   nothing; strings are copied into the buffer.
 * Thread: any.
 * Errors: sticky in the buffer: write all, then ask buf_ok() once.  A buffer
 *         that failed may end in part of a message: send nothing of it.
 * Source: PostgreSQL documentation, 55.7 Message Formats.
 */
#ifndef PG_MSG_OUT_H
#define PG_MSG_OUT_H

#include "base/buf.h"
#include "pg/startup.h"

/* Types of result columns (pg_type.oid). */
enum msg_out_type {
	MSG_OUT_BOOL = 16,
	MSG_OUT_INT8 = 20,
	MSG_OUT_INT4 = 23,
	MSG_OUT_TEXT = 25,
	MSG_OUT_FLOAT8 = 701,
	MSG_OUT_TIMESTAMPTZ = 1184,
	MSG_OUT_NUMERIC = 1700
};

/* --- to clients: login --------------------------------------------------- */

void msg_out_auth_ok(struct buf *);
void msg_out_auth_cleartext(struct buf *);
void msg_out_auth_md5(struct buf *, const uint8_t salt[4]);
/* Mechanisms in order of preference. */
void msg_out_auth_sasl(struct buf *, const char *const *mechanisms, size_t count);
void msg_out_auth_sasl_continue(struct buf *, const void *data, size_t len);
void msg_out_auth_sasl_final(struct buf *, const void *data, size_t len);
void msg_out_parameter_status(struct buf *, const char *name, const char *value);
/* key_len: 4 for protocol 3.0, 4 to 256 for 3.2; others fail the buffer. */
void msg_out_backend_key_data(struct buf *, uint32_t pid, const uint8_t *key,
	size_t key_len);
/* Names startup->protocol and the client's _pq_. parameters, all unknown.
 * Written before anything else. */
void msg_out_negotiate_protocol(struct buf *, const struct startup *);
/* status: 'I' idle, 'T' in a transaction, 'E' in a failed one. */
void msg_out_ready_for_query(struct buf *, char status);

/* --- to clients: errors -------------------------------------------------- */

struct msg_out_error {
	const char *severity;   /* "ERROR", "FATAL", "NOTICE", "WARNING", ... */
	const char *sqlstate;   /* five bytes */
	const char *message;
	const char *detail;     /* NULL: none */
	const char *hint;       /* NULL: none */
};

/* The severity is written as S and as V, untranslated. */
void msg_out_error(struct buf *, const struct msg_out_error *);
void msg_out_notice(struct buf *, const struct msg_out_error *);

/* --- to clients: results ------------------------------------------------- */

struct msg_out_column {
	const char *name;
	enum msg_out_type type;
};

/* At most INT16_MAX columns; results are in text format. */
void msg_out_row_description(struct buf *, const struct msg_out_column *, size_t count);
/* A NULL value is SQL's NULL. */
void msg_out_data_row(struct buf *, const char *const *values, size_t count);
/* tag: "SELECT 3", "SET". */
void msg_out_command_complete(struct buf *, const char *tag);
void msg_out_empty_query(struct buf *);
void msg_out_parse_complete(struct buf *);
void msg_out_bind_complete(struct buf *);
void msg_out_close_complete(struct buf *);
void msg_out_no_data(struct buf *);
void msg_out_portal_suspended(struct buf *);
void msg_out_parameter_description(struct buf *, const uint32_t *types, size_t count);
void msg_out_notification(struct buf *, uint32_t pid, const char *channel,
	const char *payload);

/* --- to servers: login --------------------------------------------------- */

/* pairs: name, value, name, value, ... user and database among them; count
 * counts strings.  protocol: STARTUP_PROTOCOL_3_0 or _3_2. */
void msg_out_startup(struct buf *, uint32_t protocol, const char *const *pairs,
	size_t count);
void msg_out_tls_request(struct buf *);
/* The same for key_len. */
void msg_out_cancel_request(struct buf *, uint32_t pid, const uint8_t *key,
	size_t key_len);
void msg_out_password(struct buf *, const char *password);
void msg_out_sasl_initial(struct buf *, const char *mechanism, const void *data,
	size_t len);
void msg_out_sasl_response(struct buf *, const void *data, size_t len);

/* --- to servers: statements ---------------------------------------------- */

void msg_out_query(struct buf *, const char *sql);
/* Two texts as one. */
void msg_out_query_behind(struct buf *, const char *first, const char *sql);
/* name "" is the unnamed statement; parameter types are left to the server. */
void msg_out_parse(struct buf *, const char *name, const char *sql);
/* body: what follows the name, from the query to the types. */
void msg_out_parse_body(struct buf *, const char *name, const void *body, size_t len);
/* A message whose body of body_len bytes the caller appends or sends behind it. */
void msg_out_header(struct buf *, uint8_t type, uint32_t body_len);
/* Parameters and results in text format; a NULL parameter is SQL's NULL. */
void msg_out_bind(struct buf *, const char *portal, const char *name,
	const char *const *params, size_t count);
/* kind: 'S' a statement, 'P' a portal. */
void msg_out_describe(struct buf *, char kind, const char *name);
void msg_out_close(struct buf *, char kind, const char *name);
/* All rows. */
void msg_out_execute(struct buf *, const char *portal);
/* Parse, Bind and Execute of a statement without parameters, unnamed. */
void msg_out_statement(struct buf *, const char *sql);
void msg_out_flush(struct buf *);
void msg_out_sync(struct buf *);
void msg_out_terminate(struct buf *);
void msg_out_copy_fail(struct buf *, const char *reason);

#endif
