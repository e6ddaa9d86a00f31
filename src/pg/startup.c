/* SPDX-License-Identifier: ISC */
#include "pg/startup.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
	STARTUP_HEADER = 8,             /* length, and version or code */
	STARTUP_QUOTE_MAX = 64          /* of a client's value in an error text */
};

static const char pq_prefix[] = "_pq_.";

static const struct {
	const char *sqlstate;
	const char *text;
	bool is_silent;
} errors[STARTUP_ERROR_COUNT] = {
	[STARTUP_ERROR_NONE] = { "00000", "no error", false },
	[STARTUP_ERROR_LENGTH] = { "08P01", "invalid length of startup packet", true },
	[STARTUP_ERROR_CANCEL_LENGTH] = { "08P01",
		"invalid length of cancel request packet", true },
	[STARTUP_ERROR_PROTOCOL] = { "0A000", "unsupported frontend protocol", false },
	[STARTUP_ERROR_LAYOUT] = { "08P01",
		"invalid startup packet layout: expected terminator as last byte", false },
	[STARTUP_ERROR_REPLICATION] = { "22023", "invalid value for parameter", false },
	[STARTUP_ERROR_NO_USER] = { "28000",
		"no PostgreSQL user name specified in startup packet", false },
};

static enum startup_result bad(struct startup *out, enum startup_error error)
{
	out->error = error;
	return STARTUP_BAD;
}

static bool is_pq(const char *name)
{
	return strncmp(name, pq_prefix, sizeof(pq_prefix) - 1) == 0;
}

static bool is_own(const char *name)
{
	return strcmp(name, "user") == 0 || strcmp(name, "database") == 0 ||
		strcmp(name, "options") == 0 || strcmp(name, "replication") == 0;
}

/* As parse_bool() in PostgreSQL: any beginning of true, false, yes or no that
 * is not empty, on, off and its beginning "of", 1 and 0, in any case. */
static bool parse_bool(const char *text, bool *out)
{
	static const struct {
		const char *word;
		size_t least;
		bool value;
	} words[] = {
		{ "true", 1, true }, { "false", 1, false }, { "yes", 1, true },
		{ "no", 1, false }, { "on", 2, true }, { "off", 2, false },
		{ "1", 1, true }, { "0", 1, false },
	};
	size_t len = strlen(text);

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (len < words[i].least || len > strlen(words[i].word))
			continue;
		if (strncasecmp(text, words[i].word, len) != 0)
			continue;
		*out = words[i].value;
		return true;
	}
	return false;
}

static bool set_replication(struct startup *out, const char *value)
{
	bool is_on;

	if (strcmp(value, "database") == 0) {
		out->replication = STARTUP_REPLICATION_LOGICAL;
		return true;
	}
	if (!parse_bool(value, &is_on)) {
		out->bad_value = value;
		return false;
	}
	out->replication = is_on ? STARTUP_REPLICATION_PHYSICAL :
		STARTUP_REPLICATION_NONE;
	return true;
}

/* Cut at the byte, as PostgreSQL 15 does: names there were cut the same way
 * when they were created, but for a character that the limit divides. */
static void set_name(char to[STARTUP_NAME_SIZE], const char *name)
{
	size_t len = size_min(strlen(name), STARTUP_NAME_SIZE - 1);

	memcpy(to, name, len);
	memset(to + len, 0, STARTUP_NAME_SIZE - len);
}

static enum startup_error set_param(struct startup *out, const char *name,
	const char *value)
{
	if (strcmp(name, "user") == 0)
		set_name(out->user, value);
	else if (strcmp(name, "database") == 0)
		set_name(out->database, value);
	else if (strcmp(name, "options") == 0)
		out->options = value;
	else if (strcmp(name, "replication") == 0)
		return set_replication(out, value) ? STARTUP_ERROR_NONE :
			STARTUP_ERROR_REPLICATION;
	else if (is_pq(name))
		out->pq_count++;
	else if (strcasecmp(name, "application_name") == 0)
		out->application_name = value;
	return STARTUP_ERROR_NONE;
}

static enum startup_result parse_session(struct wire_in *in, struct startup *out)
{
	const char *name, *value;

	out->kind = STARTUP_SESSION;
	if (out->protocol_asked >> 16 != 3)
		return bad(out, STARTUP_ERROR_PROTOCOL);
	out->protocol = out->protocol_asked;
	if (out->protocol > STARTUP_PROTOCOL_LATEST)
		out->protocol = STARTUP_PROTOCOL_LATEST;

	out->pairs.data = (const char *)in->pos;
	for (name = wire_cstr(in); name[0] != '\0'; name = wire_cstr(in)) {
		enum startup_error error;

		value = wire_cstr(in);
		if (!wire_ok(in))
			break;
		out->pairs.len = (size_t)((const char *)in->pos - out->pairs.data);
		error = set_param(out, name, value);
		if (error != STARTUP_ERROR_NONE)
			return bad(out, error);
	}
	if (!wire_done(in))
		return bad(out, STARTUP_ERROR_LAYOUT);
	if (out->user[0] == '\0')
		return bad(out, STARTUP_ERROR_NO_USER);

	if (out->replication == STARTUP_REPLICATION_PHYSICAL)
		set_name(out->database, "");
	else if (out->database[0] == '\0')
		set_name(out->database, out->user);
	out->needs_negotiation =
		out->protocol_asked > STARTUP_PROTOCOL_LATEST || out->pq_count > 0;
	return STARTUP_OK;
}

static enum startup_result parse_cancel(struct wire_in *in, struct startup *out)
{
	out->kind = STARTUP_CANCEL;
	out->cancel_pid = wire_u32(in);
	out->cancel_key_len = wire_left(in);
	out->cancel_key = wire_bytes(in, out->cancel_key_len);
	if (!wire_done(in) || out->cancel_key_len < STARTUP_KEY_MIN ||
		out->cancel_key_len > STARTUP_KEY_MAX)
		return bad(out, STARTUP_ERROR_CANCEL_LENGTH);
	return STARTUP_OK;
}

static enum startup_result parse_request(struct wire_in *in, struct startup *out,
	enum startup_kind kind)
{
	out->kind = kind;
	return wire_done(in) ? STARTUP_OK : bad(out, STARTUP_ERROR_LENGTH);
}

enum startup_result startup_parse(const uint8_t *data, size_t len, unsigned flags,
	struct startup *out)
{
	struct wire_in in;
	uint32_t packet_len;

	*out = (struct startup){ .kind = STARTUP_SESSION, .options = "",
		.application_name = "", .bad_value = "", .pairs = { "", 0 } };
	if (len > 0 && data[0] == STARTUP_TLS_BYTE && flags == 0) {
		out->kind = STARTUP_DIRECT_TLS;
		return STARTUP_OK;
	}
	if (len < 4)
		return STARTUP_NEED_MORE;

	wire_init(&in, data, len);
	packet_len = wire_u32(&in);
	if (packet_len < STARTUP_HEADER || packet_len > STARTUP_PACKET_MAX)
		return bad(out, STARTUP_ERROR_LENGTH);
	if (len < packet_len)
		return STARTUP_NEED_MORE;

	out->packet_len = packet_len;
	wire_init(&in, data + 4, packet_len - 4);
	out->protocol_asked = wire_u32(&in);
	if (out->protocol_asked == STARTUP_CODE_CANCEL)
		return parse_cancel(&in, out);
	if (out->protocol_asked == STARTUP_CODE_TLS && (flags & STARTUP_TLS_ANSWERED) == 0)
		return parse_request(&in, out, STARTUP_TLS_REQUEST);
	if (out->protocol_asked == STARTUP_CODE_GSS && (flags & STARTUP_GSS_ANSWERED) == 0)
		return parse_request(&in, out, STARTUP_GSS_REQUEST);
	return parse_session(&in, out);
}

/* pairs holds whole pairs only: startup_parse() has seen their ends. */
static bool pair_next(const struct startup *s, size_t *pos, const char **name,
	const char **value)
{
	struct wire_in in;

	if (*pos >= s->pairs.len)
		return false;
	wire_init(&in, s->pairs.data + *pos, s->pairs.len - *pos);
	*name = wire_cstr(&in);
	*value = wire_cstr(&in);
	*pos = s->pairs.len - wire_left(&in);
	return wire_ok(&in);
}

bool startup_param_next(const struct startup *s, size_t *pos, const char **name,
	const char **value)
{
	while (pair_next(s, pos, name, value)) {
		if (!is_own(*name) && !is_pq(*name))
			return true;
	}
	return false;
}

bool startup_pq_next(const struct startup *s, size_t *pos, const char **name)
{
	const char *value;

	while (pair_next(s, pos, name, &value)) {
		if (is_pq(*name))
			return true;
	}
	return false;
}

const char *startup_error_sqlstate(enum startup_error error)
{
	return errors[error].sqlstate;
}

const char *startup_error_text(const struct startup *s, char *to, size_t size)
{
	if (s->error == STARTUP_ERROR_PROTOCOL)
		(void)snprintf(to, size, "%s %u.%u: server supports 3.0 to %u.%u",
			errors[s->error].text, s->protocol_asked >> 16,
			s->protocol_asked & 0xffff, STARTUP_PROTOCOL_LATEST >> 16,
			STARTUP_PROTOCOL_LATEST & 0xffff);
	else if (s->error == STARTUP_ERROR_REPLICATION)
		(void)snprintf(to, size, "%s \"replication\": \"%.*s\"",
			errors[s->error].text, STARTUP_QUOTE_MAX, s->bad_value);
	else
		(void)snprintf(to, size, "%s", errors[s->error].text);
	return to;
}

const char *startup_error_hint(enum startup_error error)
{
	if (error == STARTUP_ERROR_REPLICATION)
		return "Valid values are: \"false\", 0, \"true\", 1, \"database\".";
	return NULL;
}

bool startup_error_is_silent(enum startup_error error)
{
	return errors[error].is_silent;
}
