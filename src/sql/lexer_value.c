/* SPDX-License-Identifier: ISC */
/*
 * What names and strings stand for: the second half of lexer.h.
 *
 * Bytes given by number (\x, octal) are in the server's encoding, and \u escapes
 * are characters: both are known for ASCII, the latter for a client in UTF8 too.
 */
#include "sql/lexer.h"

#include <string.h>

#include "sql/lexer_chars.h"

/* Where a value goes.  len counts what would be there, also beyond size. */
struct value_out {
	char *to;
	size_t size;
	size_t len;
	bool is_utf8, is_utf8_there;
	enum lexer_value problem; /* the first; OK: none so far */
};

static void set_problem(struct value_out *out, enum lexer_value problem)
{
	if (out->problem == LEXER_VALUE_OK)
		out->problem = problem;
}

static void put(struct value_out *out, char c)
{
	if (c == '\0')
		set_problem(out, LEXER_VALUE_INVALID);
	else if (out->len + 1 < out->size)
		out->to[out->len] = c;
	else
		set_problem(out, LEXER_VALUE_TOO_LONG);
	out->len++;
}

/* A byte given by number. */
static void put_byte(struct value_out *out, unsigned byte)
{
	if (byte == 0)
		set_problem(out, LEXER_VALUE_INVALID);
	else if (byte >= 0x80)
		set_problem(out, LEXER_VALUE_UNKNOWN);
	else
		put(out, (char)byte);
}

/* A character given by number. */
static void put_char(struct value_out *out, uint32_t c)
{
	if (c == 0 || c > 0x10ffff) {
		set_problem(out, LEXER_VALUE_INVALID);
	} else if (c < 0x80) {
		put(out, (char)c);
	} else if (!out->is_utf8) {
		set_problem(out, LEXER_VALUE_UNKNOWN);
	} else if (c < 0x800) {
		put(out, (char)(0xc0 | c >> 6));
		put(out, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		put(out, (char)(0xe0 | c >> 12));
		put(out, (char)(0x80 | (c >> 6 & 0x3f)));
		put(out, (char)(0x80 | (c & 0x3f)));
	} else {
		put(out, (char)(0xf0 | c >> 18));
		put(out, (char)(0x80 | (c >> 12 & 0x3f)));
		put(out, (char)(0x80 | (c >> 6 & 0x3f)));
		put(out, (char)(0x80 | (c & 0x3f)));
	}
}

/* --- characters given by number ------------------------------------------- */

/* Two escapes may make one character (UTF-16). */
struct pair {
	uint32_t first; /* 0: none is waited for */
};

static void put_unicode(struct value_out *out, struct pair *pair, uint32_t c)
{
	bool is_second = c >= 0xdc00 && c <= 0xdfff;

	if (pair->first != 0 && is_second) {
		put_char(out, 0x10000 + ((pair->first & 0x3ff) << 10) + (c & 0x3ff));
		pair->first = 0;
	} else if (pair->first != 0 || is_second) {
		set_problem(out, LEXER_VALUE_INVALID);
	} else if (c >= 0xd800 && c <= 0xdbff) {
		pair->first = c;
	} else {
		put_char(out, c);
	}
}

static void expect_no_pair(struct value_out *out, const struct pair *pair)
{
	if (pair->first != 0)
		set_problem(out, LEXER_VALUE_INVALID);
}

/* Exactly count hexadecimal digits; false when they are not there. */
static bool read_hex(const char *pos, const char *end, size_t count, uint32_t *c)
{
	*c = 0;
	if ((size_t)(end - pos) < count)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!char_is(pos[i], CHAR_HEX))
			return false;
		*c = *c << 4 | (uint32_t)char_hex(pos[i]);
	}
	return true;
}

/* --- strings -------------------------------------------------------------- */

/* Two, three or four bytes from \x or an octal escape; pos behind the backslash. */
static const char *put_number(struct value_out *out, const char *pos, const char *end)
{
	unsigned byte = 0;
	const char *start;

	if (*pos == 'x') {
		start = ++pos;
		for (; pos < end && pos < start + 2 && char_is(*pos, CHAR_HEX); pos++)
			byte = byte << 4 | (unsigned)char_hex(*pos);
	} else {
		start = pos;
		for (; pos < end && pos < start + 3 && *pos >= '0' && *pos <= '7'; pos++)
			byte = byte << 3 | (unsigned)(*pos - '0');
	}
	put_byte(out, byte & 0xff);
	return pos;
}

static char plain_escape(char c)
{
	switch (c) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return c;
	}
}

/* pos behind the backslash of E'...'. */
static const char *put_escape(
	struct value_out *out, struct pair *pair, const char *pos, const char *end)
{
	bool is_unicode = *pos == 'u' || *pos == 'U';
	size_t count = *pos == 'u' ? 4 : 8;
	uint32_t c;

	if (is_unicode) {
		if (!read_hex(pos + 1, end, count, &c)) {
			set_problem(out, LEXER_VALUE_INVALID);
			return end;
		}
		put_unicode(out, pair, c);
		return pos + 1 + count;
	}
	expect_no_pair(out, pair);
	if (*pos >= '0' && *pos <= '7')
		return put_number(out, pos, end);
	if (*pos == 'x' && pos + 1 < end && char_is(pos[1], CHAR_HEX))
		return put_number(out, pos, end);
	put(out, plain_escape(*pos));
	/* What follows may be the second byte of that character: any byte from 0x80
	 * on stands for itself anyhow. */
	return pos + 1;
}

/* At a quote within the body: a doubled one, or the gap between two parts. */
static const char *put_quote(struct value_out *out, const char *pos, const char *end)
{
	const char *next;

	if (pos + 1 < end && pos[1] == *pos) {
		put(out, *pos);
		return pos + 2;
	}
	/* The body ends before the closing quote, so that the last gap has one. */
	next = char_string_goes_on(pos + 1, end);
	return next == NULL ? end : next;
}

static void put_quoted(struct value_out *out, const struct lexer_token *token, char quote,
	bool escapes, bool folds)
{
	const char *pos = token->body, *end = pos + token->body_len;
	struct pair pair = { 0 };

	while (pos < end && out->problem == LEXER_VALUE_OK) {
		if (escapes && *pos == '\\' && pos + 1 < end) {
			pos = put_escape(out, &pair, pos + 1, end);
			continue;
		}
		expect_no_pair(out, &pair);
		if (quote != '\0' && *pos == quote)
			pos = put_quote(out, pos, end);
		else
			put(out, folds ? char_fold(*pos++) : *pos++);
	}
	expect_no_pair(out, &pair);
}

/* pos behind the escape character of U&; its doubling was seen before. */
static const char *put_unicode_escape(
	struct value_out *out, struct pair *pair, const char *pos, const char *end)
{
	bool is_long = pos < end && *pos == '+';
	size_t count = is_long ? 6 : 4;
	uint32_t c;

	pos += is_long;
	if (!read_hex(pos, end, count, &c)) {
		set_problem(out, LEXER_VALUE_INVALID);
		return end;
	}
	put_unicode(out, pair, c);
	return pos + count;
}

/* A string in several parts, or one that looks so. */
static bool has_gap(const char *pos, const char *end, char quote)
{
	for (; quote == '\'' && pos < end; pos++) {
		if (char_is(*pos, CHAR_NEWLINE))
			return true;
	}
	return false;
}

/* PostgreSQL undoes the quotes first and the escapes then; a quote is never an
 * escape character, nor a digit of one, so both can be done at once, but for an
 * escape that goes on behind a gap: that is unknown. */
static void put_unicode_quoted(
	struct value_out *out, const struct lexer_token *token, char quote)
{
	const char *pos = token->body, *end = pos + token->body_len;
	struct pair pair = { 0 };

	if (token->escape == '\0')
		set_problem(out, LEXER_VALUE_INVALID);
	if (has_gap(pos, end, quote) &&
		memchr(pos, token->escape, token->body_len) != NULL)
		set_problem(out, LEXER_VALUE_UNKNOWN);
	while (pos < end && out->problem == LEXER_VALUE_OK) {
		if (*pos == token->escape && pos + 1 < end && pos[1] != token->escape) {
			pos = put_unicode_escape(out, &pair, pos + 1, end);
			continue;
		}
		expect_no_pair(out, &pair);
		if (*pos == token->escape) {
			if (pos + 1 == end)
				set_problem(out, LEXER_VALUE_INVALID);
			put(out, *pos);
			pos += 2;
		} else if (*pos == quote) {
			pos = put_quote(out, pos, end);
		} else {
			put(out, *pos++);
		}
	}
	expect_no_pair(out, &pair);
}

/* --- names ---------------------------------------------------------------- */

static bool has_high(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (((uint8_t)text[i] & 0x80u) != 0)
			return true;
	}
	return false;
}

/*
 * PostgreSQL cuts a name to 63 bytes of its own encoding.  A server in a
 * single-byte encoding folds letters beyond ASCII too, by its locale; one in UTF8 does not.
 */
static enum lexer_value finish_name(
	struct value_out *out, const struct lexer_token *token, bool folds)
{
	size_t high_max = out->is_utf8 ? LEXER_NAME_MAX : LEXER_NAME_MAX / 4;

	if (out->problem != LEXER_VALUE_OK)
		return out->problem;
	if (!out->is_utf8_there && has_high(out->to, out->len) &&
		(folds || out->len > high_max))
		return LEXER_VALUE_UNKNOWN;
	if (token->kind == LEXER_QUOTED_UNICODE && out->len == 0)
		return LEXER_VALUE_INVALID;
	if (out->len <= LEXER_NAME_MAX)
		return LEXER_VALUE_OK;
	/* Between two characters (pg_mbcliplen()). */
	out->len = LEXER_NAME_MAX;
	while (out->len > 0 && ((uint8_t)out->to[out->len] & 0xc0u) == 0x80)
		out->len--;
	return LEXER_VALUE_OK;
}

/* A name longer than the caller's buffer may fit once it was cut. */
static void put_name(struct value_out *out, const struct lexer_token *token)
{
	char name[4 * LEXER_NAME_MAX];
	struct value_out whole = {
		.to = name, .size = sizeof(name), .is_utf8 = out->is_utf8,
		.is_utf8_there = out->is_utf8_there
	};
	struct lexer_token word = *token;
	enum lexer_value result;

	if (token->kind == LEXER_WORD) {
		word.body = token->text;
		word.body_len = token->len;
		put_quoted(&whole, &word, '\0', false, true);
	} else if (token->kind == LEXER_QUOTED) {
		put_quoted(&whole, token, '"', false, false);
	} else {
		put_unicode_quoted(&whole, token, '"');
	}
	/* Names this long are nobody's: the end is not looked at. */
	if (whole.problem == LEXER_VALUE_TOO_LONG)
		whole.problem = LEXER_VALUE_UNKNOWN;
	result = finish_name(&whole, token, token->kind == LEXER_WORD);
	set_problem(out, result);
	for (size_t i = 0; i < whole.len && result == LEXER_VALUE_OK; i++)
		put(out, name[i]);
}

/* --- interface ------------------------------------------------------------ */

enum lexer_value lexer_value(const struct lexer_token *token, unsigned flags, char *to,
	size_t size, size_t *len)
{
	struct value_out out = {
		.to = to, .size = size, .is_utf8 = (flags & LEXER_UTF8) != 0,
		.is_utf8_there = (flags & LEXER_UTF8_THERE) != 0
	};
	bool is_standard = (flags & LEXER_STANDARD_STRINGS) != 0;

	*len = 0;
	if (lexer_is_name(token))
		put_name(&out, token);
	else if (token->kind == LEXER_STRING_DOLLAR)
		put_quoted(&out, token, '\0', false, false);
	else if (token->kind == LEXER_STRING_UNICODE && is_standard)
		put_unicode_quoted(&out, token, '\'');
	else if (token->kind == LEXER_STRING_ESCAPE)
		put_quoted(&out, token, '\'', true, false);
	else if (token->kind == LEXER_STRING || token->kind == LEXER_STRING_NATIONAL)
		put_quoted(&out, token, '\'', !is_standard, false);
	else
		set_problem(&out, LEXER_VALUE_INVALID);
	if (size == 0)
		return out.problem == LEXER_VALUE_OK ? LEXER_VALUE_TOO_LONG : out.problem;
	to[size_min(out.len, size - 1)] = '\0';
	*len = out.problem == LEXER_VALUE_OK ? out.len : 0;
	return out.problem;
}

bool lexer_value_is(const struct lexer_token *token, unsigned flags, const char *value)
{
	char text[LEXER_NAME_MAX + 1];
	size_t len;

	if (lexer_value(token, flags, text, sizeof(text), &len) != LEXER_VALUE_OK)
		return false;
	return len == strlen(value) && memcmp(text, value, len) == 0;
}

/* --- encodings ------------------------------------------------------------ */

/* PostgreSQL compares names of encodings by their letters and digits. */
static bool encoding_is(const char *name, const char *wanted)
{
	for (; *name != '\0'; name++) {
		if (!char_is(*name, CHAR_LETTER | CHAR_DIGIT) || *name == '_')
			continue;
		if (char_fold(*name) != *wanted)
			return false;
		wanted++;
	}
	return *wanted == '\0';
}

unsigned lexer_encoding_flags(const char *client_encoding)
{
	/* Those a server may have too: bytes of a character are never ASCII. */
	static const char *const safe[] = { "sqlascii", "latin1", "latin2", "latin3",
		"latin4", "latin5", "latin6", "latin7", "latin8", "latin9", "latin10",
		"win1252", "win1250", "win1251", "win1253", "win1254", "win1255",
		"win1256", "win1257", "win1258", "win866", "win874", "koi8r", "koi8u",
		"koi8", "iso88591", "iso88592", "iso88595", "iso88596", "iso88597",
		"iso88598", "iso88599", "iso885915", "eucjp", "euckr", "euccn", "euctw",
		"eucjis2004" };

	if (encoding_is(client_encoding, "utf8") ||
		encoding_is(client_encoding, "unicode"))
		return LEXER_UTF8;
	for (size_t i = 0; i < COUNT_OF(safe); i++) {
		if (encoding_is(client_encoding, safe[i]))
			return 0;
	}
	return LEXER_UNSAFE_ENCODING;
}
