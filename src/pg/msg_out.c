/* SPDX-License-Identifier: ISC */
#include "pg/msg_out.h"

#include <assert.h>
#include <string.h>

#include "pg/message.h"

enum auth_code {
	AUTH_OK = 0,
	AUTH_CLEARTEXT = 3,
	AUTH_MD5 = 5,
	AUTH_SASL = 10,
	AUTH_SASL_CONTINUE = 11,
	AUTH_SASL_FINAL = 12
};

/* --- framing -------------------------------------------------------------- */

/* Leaves room for a length; finish_length() fills it in.  Offsets count from
 * the front of the content, as growing may move it. */
static size_t begin_length(struct buf *b)
{
	size_t at = buf_len(b);

	buf_add_u32(b, 0);
	return at;
}

static size_t begin(struct buf *b, enum message_byte type)
{
	buf_add_u8(b, (uint8_t)type);
	return begin_length(b);
}

static void put_length(uint8_t *to, size_t len)
{
	to[0] = (uint8_t)(len >> 24);
	to[1] = (uint8_t)(len >> 16);
	to[2] = (uint8_t)(len >> 8);
	to[3] = (uint8_t)len;
}

static void finish(struct buf *b, size_t at)
{
	size_t len;

	if (!buf_ok(b))
		return;
	len = buf_len(b) - at;
	if (len > INT32_MAX) {
		b->failed = true;
		return;
	}
	put_length(buf_data(b) + at, len);
}

static void empty(struct buf *b, enum message_byte type)
{
	buf_add_u8(b, (uint8_t)type);
	buf_add_u32(b, 4);
}

static void one_string(struct buf *b, enum message_byte type, const char *text)
{
	size_t at = begin(b, type);

	buf_add_cstr(b, text);
	finish(b, at);
}

/* A value with its length before it; NULL is -1. */
static void add_value(struct buf *b, const char *value)
{
	size_t len;

	if (value == NULL) {
		buf_add_u32(b, UINT32_MAX);
		return;
	}
	len = strlen(value);
	if (len > INT32_MAX) {
		b->failed = true;
		return;
	}
	buf_add_u32(b, (uint32_t)len);
	buf_add(b, value, len);
}

/* A key may be what a server sent, so a wrong length is no bug of ours. */
static void add_key(struct buf *b, const uint8_t *key, size_t len)
{
	if (len < STARTUP_KEY_MIN || len > STARTUP_KEY_MAX)
		b->failed = true;
	buf_add(b, key, len);
}

/* --- to clients: login ---------------------------------------------------- */

static void auth(struct buf *b, enum auth_code code, const void *data, size_t len)
{
	size_t at = begin(b, BE_AUTHENTICATION);

	buf_add_u32(b, (uint32_t)code);
	buf_add(b, data, len);
	finish(b, at);
}

void msg_out_auth_ok(struct buf *b)
{
	auth(b, AUTH_OK, NULL, 0);
}

void msg_out_auth_cleartext(struct buf *b)
{
	auth(b, AUTH_CLEARTEXT, NULL, 0);
}

void msg_out_auth_md5(struct buf *b, const uint8_t salt[4])
{
	auth(b, AUTH_MD5, salt, 4);
}

void msg_out_auth_sasl(struct buf *b, const char *const *mechanisms, size_t count)
{
	size_t at = begin(b, BE_AUTHENTICATION);

	buf_add_u32(b, AUTH_SASL);
	for (size_t i = 0; i < count; i++)
		buf_add_cstr(b, mechanisms[i]);
	buf_add_u8(b, 0);
	finish(b, at);
}

void msg_out_auth_sasl_continue(struct buf *b, const void *data, size_t len)
{
	auth(b, AUTH_SASL_CONTINUE, data, len);
}

void msg_out_auth_sasl_final(struct buf *b, const void *data, size_t len)
{
	auth(b, AUTH_SASL_FINAL, data, len);
}

void msg_out_parameter_status(struct buf *b, const char *name, const char *value)
{
	size_t name_size = strlen(name) + 1, value_size = strlen(value) + 1;
	size_t len = sizeof(uint32_t) + name_size + value_size;
	uint8_t *to;

	if (len > INT32_MAX) {
		b->failed = true;
		return;
	}
	/* In one piece, as there are many in a welcome. */
	to = buf_reserve(b, 1 + len);
	if (to == NULL)
		return;
	to[0] = BE_PARAMETER_STATUS;
	put_length(to + 1, len);
	memcpy(to + 5, name, name_size);
	memcpy(to + 5 + name_size, value, value_size);
	buf_commit(b, 1 + len);
}

void msg_out_backend_key_data(struct buf *b, uint32_t pid, const uint8_t *key,
	size_t key_len)
{
	size_t at = begin(b, BE_BACKEND_KEY_DATA);

	buf_add_u32(b, pid);
	add_key(b, key, key_len);
	finish(b, at);
}

void msg_out_negotiate_protocol(struct buf *b, const struct startup *startup)
{
	size_t at = begin(b, BE_NEGOTIATE_PROTOCOL);
	const char *name;
	size_t pos = 0;

	buf_add_u32(b, startup->protocol);
	buf_add_u32(b, startup->pq_count);
	while (startup_pq_next(startup, &pos, &name))
		buf_add_cstr(b, name);
	finish(b, at);
}

void msg_out_ready_for_query(struct buf *b, char status)
{
	buf_add_u8(b, BE_READY_FOR_QUERY);
	buf_add_u32(b, 5);
	buf_add_u8(b, (uint8_t)status);
}

/* --- to clients: errors --------------------------------------------------- */

static void add_field(struct buf *b, char code, const char *text)
{
	if (text == NULL)
		return;
	buf_add_u8(b, (uint8_t)code);
	buf_add_cstr(b, text);
}

static void error_or_notice(struct buf *b, enum message_byte type,
	const struct msg_out_error *e)
{
	size_t at = begin(b, type);

	add_field(b, 'S', e->severity);
	add_field(b, 'V', e->severity);
	add_field(b, 'C', e->sqlstate);
	add_field(b, 'M', e->message);
	add_field(b, 'D', e->detail);
	add_field(b, 'H', e->hint);
	buf_add_u8(b, 0);
	finish(b, at);
}

void msg_out_error(struct buf *b, const struct msg_out_error *e)
{
	error_or_notice(b, BE_ERROR_RESPONSE, e);
}

void msg_out_notice(struct buf *b, const struct msg_out_error *e)
{
	error_or_notice(b, BE_NOTICE_RESPONSE, e);
}

/* --- to clients: results -------------------------------------------------- */

/* pg_type.typlen: bytes of the binary form, -1 when it varies. */
static uint16_t type_len(enum msg_out_type type)
{
	switch (type) {
	case MSG_OUT_BOOL:
		return 1;
	case MSG_OUT_INT4:
		return 4;
	case MSG_OUT_INT8:
	case MSG_OUT_FLOAT8:
	case MSG_OUT_TIMESTAMPTZ:
		return 8;
	case MSG_OUT_TEXT:
	case MSG_OUT_NUMERIC:
		break;
	}
	return UINT16_MAX;
}

void msg_out_row_description(struct buf *b, const struct msg_out_column *columns,
	size_t count)
{
	size_t at = begin(b, BE_ROW_DESCRIPTION);

	assert(count <= INT16_MAX);
	buf_add_u16(b, (uint16_t)count);
	for (size_t i = 0; i < count; i++) {
		buf_add_cstr(b, columns[i].name);
		buf_add_u32(b, 0);              /* no table */
		buf_add_u16(b, 0);              /* no column of one */
		buf_add_u32(b, (uint32_t)columns[i].type);
		buf_add_u16(b, type_len(columns[i].type));
		buf_add_u32(b, UINT32_MAX);     /* no type modifier */
		buf_add_u16(b, 0);              /* text */
	}
	finish(b, at);
}

void msg_out_data_row(struct buf *b, const char *const *values, size_t count)
{
	size_t at = begin(b, BE_DATA_ROW);

	assert(count <= INT16_MAX);
	buf_add_u16(b, (uint16_t)count);
	for (size_t i = 0; i < count; i++)
		add_value(b, values[i]);
	finish(b, at);
}

void msg_out_command_complete(struct buf *b, const char *tag)
{
	one_string(b, BE_COMMAND_COMPLETE, tag);
}

void msg_out_empty_query(struct buf *b)
{
	empty(b, BE_EMPTY_QUERY_RESPONSE);
}

void msg_out_parse_complete(struct buf *b)
{
	empty(b, BE_PARSE_COMPLETE);
}

void msg_out_bind_complete(struct buf *b)
{
	empty(b, BE_BIND_COMPLETE);
}

void msg_out_close_complete(struct buf *b)
{
	empty(b, BE_CLOSE_COMPLETE);
}

void msg_out_no_data(struct buf *b)
{
	empty(b, BE_NO_DATA);
}

void msg_out_portal_suspended(struct buf *b)
{
	empty(b, BE_PORTAL_SUSPENDED);
}

void msg_out_parameter_description(struct buf *b, const uint32_t *types, size_t count)
{
	size_t at = begin(b, BE_PARAMETER_DESCRIPTION);

	assert(count <= UINT16_MAX);
	buf_add_u16(b, (uint16_t)count);
	for (size_t i = 0; i < count; i++)
		buf_add_u32(b, types[i]);
	finish(b, at);
}

void msg_out_notification(struct buf *b, uint32_t pid, const char *channel,
	const char *payload)
{
	size_t at = begin(b, BE_NOTIFICATION);

	buf_add_u32(b, pid);
	buf_add_cstr(b, channel);
	buf_add_cstr(b, payload);
	finish(b, at);
}

/* --- to servers: login ---------------------------------------------------- */

void msg_out_startup(struct buf *b, uint32_t protocol, const char *const *pairs,
	size_t count)
{
	size_t at = begin_length(b);

	assert(count % 2 == 0);
	buf_add_u32(b, protocol);
	for (size_t i = 0; i < count; i++)
		buf_add_cstr(b, pairs[i]);
	buf_add_u8(b, 0);
	finish(b, at);
}

void msg_out_tls_request(struct buf *b)
{
	buf_add_u32(b, 8);
	buf_add_u32(b, STARTUP_CODE_TLS);
}

void msg_out_cancel_request(struct buf *b, uint32_t pid, const uint8_t *key,
	size_t key_len)
{
	size_t at = begin_length(b);

	buf_add_u32(b, STARTUP_CODE_CANCEL);
	buf_add_u32(b, pid);
	add_key(b, key, key_len);
	finish(b, at);
}

void msg_out_password(struct buf *b, const char *password)
{
	one_string(b, FE_PASSWORD, password);
}

void msg_out_sasl_initial(struct buf *b, const char *mechanism, const void *data,
	size_t len)
{
	size_t at = begin(b, FE_PASSWORD);

	assert(len <= INT32_MAX);
	buf_add_cstr(b, mechanism);
	buf_add_u32(b, (uint32_t)len);
	buf_add(b, data, len);
	finish(b, at);
}

void msg_out_sasl_response(struct buf *b, const void *data, size_t len)
{
	size_t at = begin(b, FE_PASSWORD);

	buf_add(b, data, len);
	finish(b, at);
}

/* --- to servers: statements ----------------------------------------------- */

void msg_out_query(struct buf *b, const char *sql)
{
	one_string(b, FE_QUERY, sql);
}

void msg_out_query_behind(struct buf *b, const char *first, const char *sql)
{
	size_t at = begin(b, FE_QUERY);

	buf_add_str(b, first);
	buf_add_cstr(b, sql);
	finish(b, at);
}

void msg_out_parse(struct buf *b, const char *name, const char *sql)
{
	size_t at = begin(b, FE_PARSE);

	buf_add_cstr(b, name);
	buf_add_cstr(b, sql);
	buf_add_u16(b, 0);
	finish(b, at);
}

void msg_out_parse_body(struct buf *b, const char *name, const void *body, size_t len)
{
	size_t at = begin(b, FE_PARSE);

	buf_add_cstr(b, name);
	buf_add(b, body, len);
	finish(b, at);
}

void msg_out_header(struct buf *b, uint8_t type, uint32_t body_len)
{
	buf_add_u8(b, type);
	buf_add_u32(b, body_len + 4);
}

void msg_out_bind(struct buf *b, const char *portal, const char *name,
	const char *const *params, size_t count)
{
	size_t at = begin(b, FE_BIND);

	assert(count <= UINT16_MAX);
	buf_add_cstr(b, portal);
	buf_add_cstr(b, name);
	buf_add_u16(b, 0);                      /* all parameters are text */
	buf_add_u16(b, (uint16_t)count);
	for (size_t i = 0; i < count; i++)
		add_value(b, params[i]);
	buf_add_u16(b, 0);                      /* all results are text */
	finish(b, at);
}

static void kind_and_name(struct buf *b, enum message_byte type, char kind,
	const char *name)
{
	size_t at = begin(b, type);

	assert(kind == 'S' || kind == 'P');
	buf_add_u8(b, (uint8_t)kind);
	buf_add_cstr(b, name);
	finish(b, at);
}

void msg_out_describe(struct buf *b, char kind, const char *name)
{
	kind_and_name(b, FE_DESCRIBE, kind, name);
}

void msg_out_close(struct buf *b, char kind, const char *name)
{
	kind_and_name(b, FE_CLOSE, kind, name);
}

void msg_out_execute(struct buf *b, const char *portal)
{
	size_t at = begin(b, FE_EXECUTE);

	buf_add_cstr(b, portal);
	buf_add_u32(b, 0);                      /* no limit of rows */
	finish(b, at);
}

void msg_out_statement(struct buf *b, const char *sql)
{
	msg_out_parse(b, "", sql);
	msg_out_bind(b, "", "", NULL, 0);
	msg_out_execute(b, "");
}

void msg_out_flush(struct buf *b)
{
	empty(b, FE_FLUSH);
}

void msg_out_sync(struct buf *b)
{
	empty(b, FE_SYNC);
}

void msg_out_terminate(struct buf *b)
{
	empty(b, FE_TERMINATE);
}

void msg_out_copy_fail(struct buf *b, const char *reason)
{
	one_string(b, FE_COPY_FAIL, reason);
}
