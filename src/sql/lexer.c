/* SPDX-License-Identifier: ISC */
#include "sql/lexer.h"

#include <string.h>

#include "sql/lexer_chars.h"

#define SP  CHAR_SPACE
#define NL  (CHAR_SPACE | CHAR_NEWLINE)
#define LE  CHAR_LETTER
#define HX  (CHAR_LETTER | CHAR_HEX)
#define DI  (CHAR_DIGIT | CHAR_HEX)
#define OP  CHAR_OPERATOR
#define PU  CHAR_PUNCT
#define LE8 LE, LE, LE, LE, LE, LE, LE, LE

/* \v is white space since PostgreSQL 17, and an error before. */
const uint8_t char_classes[256] = {
	/* clang-format off */
	0,  0,  0,  0,  0,  0,  0,  0,  0,  SP, NL, SP, SP, NL, 0,  0,
	0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
	SP, OP, 0,  OP, 0,  OP, OP, 0,  PU, PU, OP, OP, PU, OP, PU, OP,
	DI, DI, DI, DI, DI, DI, DI, DI, DI, DI, PU, PU, OP, OP, OP, OP,
	OP, HX, HX, HX, HX, HX, HX, LE, LE, LE, LE, LE, LE, LE, LE, LE,
	LE, LE, LE, LE, LE, LE, LE, LE, LE, LE, LE, PU, 0,  PU, OP, LE,
	OP, HX, HX, HX, HX, HX, HX, LE, LE, LE, LE, LE, LE, LE, LE, LE,
	LE, LE, LE, LE, LE, LE, LE, LE, LE, LE, LE, 0,  OP, 0,  OP, 0,
	LE8, LE8, LE8, LE8, LE8, LE8, LE8, LE8,
	LE8, LE8, LE8, LE8, LE8, LE8, LE8, LE8,
	/* clang-format on */
};

/* --- bytes ---------------------------------------------------------------- */

static const char *skip_class(const char *pos, const char *end, unsigned classes)
{
	while (pos < end && char_is(*pos, classes))
		pos++;
	return pos;
}

static bool is_pair(const char *pos, const char *end, const char *pair)
{
	return end - pos >= 2 && pos[0] == pair[0] && pos[1] == pair[1];
}

static const char *skip_line(const char *pos, const char *end)
{
	while (pos < end && !char_is(*pos, CHAR_NEWLINE))
		pos++;
	return pos;
}

/* pos at slash and star; NULL when the comment has no end.  Comments nest. */
static const char *skip_comment(const char *pos, const char *end)
{
	size_t depth = 0;

	while (pos < end) {
		if (is_pair(pos, end, "/*")) {
			depth++;
			pos += 2;
		} else if (is_pair(pos, end, "*/")) {
			pos += 2;
			if (--depth == 0)
				return pos;
		} else {
			pos++;
		}
	}
	return NULL;
}

/* Over white space and comments; stops at a comment without end. */
static const char *skip_space(const char *pos, const char *end, bool *is_open)
{
	const char *next;

	*is_open = false;
	while (pos < end) {
		if (char_is(*pos, CHAR_SPACE)) {
			pos++;
		} else if (is_pair(pos, end, "--")) {
			pos = skip_line(pos, end);
		} else if (is_pair(pos, end, "/*")) {
			next = skip_comment(pos, end);
			*is_open = next == NULL;
			if (next == NULL)
				break;
			pos = next;
		} else {
			break;
		}
	}
	return pos;
}

/* Of comments only those from -- to the end of a line may stand between two
 * parts of a string. */
const char *char_string_goes_on(const char *pos, const char *end)
{
	bool has_newline = false;

	while (pos < end) {
		if (char_is(*pos, CHAR_SPACE)) {
			has_newline |= char_is(*pos, CHAR_NEWLINE);
			pos++;
		} else if (is_pair(pos, end, "--")) {
			pos = skip_line(pos, end);
		} else {
			return has_newline && *pos == '\'' ? pos + 1 : NULL;
		}
	}
	return NULL;
}

/* --- what is between quotes ----------------------------------------------- */

struct quoting {
	char quote;
	bool doubles; /* a doubled quote is a quote */
	bool escapes; /* a backslash takes the next byte with it */
	bool goes_on; /* after white space with a newline */
};

/* pos behind the opening quote; gives the closing one, or NULL. */
static const char *find_close(const char *pos, const char *end, struct quoting q)
{
	const char *next;

	for (; pos < end; pos++) {
		/* Long constants are common, quotes and backslashes in them are not. */
		if (!q.escapes) {
			pos = memchr(pos, q.quote, (size_t)(end - pos));
			if (pos == NULL)
				return NULL;
		}
		if (q.escapes && *pos == '\\') {
			if (++pos == end)
				return NULL;
			continue;
		}
		if (*pos != q.quote)
			continue;
		if (q.doubles && pos + 1 < end && pos[1] == q.quote) {
			pos++;
			continue;
		}
		next = q.goes_on ? char_string_goes_on(pos + 1, end) : NULL;
		if (next == NULL)
			return pos;
		pos = next - 1;
	}
	return NULL;
}

/* --- tokens --------------------------------------------------------------- */

static void set_token(struct lexer *lexer, struct lexer_token *token,
	enum lexer_kind kind, const char *pos)
{
	token->kind = kind;
	token->len = (size_t)(pos - token->text);
	lexer->pos = pos;
}

static void set_unterminated(struct lexer *lexer, struct lexer_token *token)
{
	lexer->unsure = true;
	set_token(lexer, token, LEXER_UNTERMINATED, lexer->end);
}

/* prefix_len: what stands before the quote. */
static void take_quoted(struct lexer *lexer, struct lexer_token *token,
	enum lexer_kind kind, size_t prefix_len)
{
	const char *open = token->text + prefix_len, *close;
	bool is_bits = kind == LEXER_BITS || kind == LEXER_HEX;
	bool is_plain = kind == LEXER_STRING || kind == LEXER_STRING_NATIONAL;
	struct quoting q = { .quote = *open,
		.doubles = !is_bits,
		.escapes = kind == LEXER_STRING_ESCAPE ||
			(is_plain && (lexer->flags & LEXER_STANDARD_STRINGS) == 0),
		.goes_on = *open == '\'' };

	close = find_close(open + 1, lexer->end, q);
	if (close == NULL) {
		set_unterminated(lexer, token);
		return;
	}
	token->body = open + 1;
	token->body_len = (size_t)(close - token->body);
	set_token(lexer, token, kind, close + 1);
	/* PostgreSQL has no empty names, and no U&'' while '' has escapes. */
	if (q.quote == '"' && token->body_len == 0)
		lexer->unsure = true;
	if (kind == LEXER_STRING_UNICODE && (lexer->flags & LEXER_STANDARD_STRINGS) == 0)
		lexer->unsure = true;
}

/* A name or keyword, or a string that begins with a letter. */
static void take_word(struct lexer *lexer, struct lexer_token *token)
{
	const char *pos =
		skip_class(token->text + 1, lexer->end, CHAR_LETTER | CHAR_DIGIT);
	char first = char_fold(token->text[0]);

	/* A dollar may be within a name, not begin it. */
	while (pos < lexer->end && *pos == '$')
		pos = skip_class(pos + 1, lexer->end, CHAR_LETTER | CHAR_DIGIT);
	if (pos == token->text + 1 && pos < lexer->end && *pos == '\'') {
		if (first == 'e')
			take_quoted(lexer, token, LEXER_STRING_ESCAPE, 1);
		else if (first == 'b')
			take_quoted(lexer, token, LEXER_BITS, 1);
		else if (first == 'x')
			take_quoted(lexer, token, LEXER_HEX, 1);
		else if (first == 'n')
			take_quoted(lexer, token, LEXER_STRING_NATIONAL, 1);
		else
			set_token(lexer, token, LEXER_WORD, pos);
	} else if (first == 'u' && is_pair(pos, lexer->end, "&'") &&
		pos == token->text + 1) {
		take_quoted(lexer, token, LEXER_STRING_UNICODE, 2);
	} else if (first == 'u' && is_pair(pos, lexer->end, "&\"") &&
		pos == token->text + 1) {
		take_quoted(lexer, token, LEXER_QUOTED_UNICODE, 2);
	} else {
		set_token(lexer, token, LEXER_WORD, pos);
	}
}

/* 0x1F, 0o17, 0b11: numbers since PostgreSQL 16.  Before, 0 and the name of a
 * column (14) or an error (15): without effect, so they may be read as numbers.
 * NULL: none of these. */
static const char *skip_radix(const char *pos, const char *end)
{
	char radix = end - pos > 2 && pos[0] == '0' ? char_fold(pos[1]) : '\0';
	const char *digits = pos + 2;

	if (radix != 'x' && radix != 'o' && radix != 'b')
		return NULL;
	for (pos = digits; pos < end; pos++) {
		if (*pos == '_' && pos + 1 < end && char_is(pos[1], CHAR_HEX))
			continue;
		if (!char_is(*pos, CHAR_HEX) || (radix == 'o' && *pos > '7') ||
			(radix == 'b' && *pos > '1'))
			break;
	}
	return pos > digits ? pos : NULL;
}

/* Digits, with single underscores between them (PostgreSQL 16). */
static const char *skip_digits(const char *pos, const char *end)
{
	while (pos < end) {
		if (char_is(*pos, CHAR_DIGIT))
			pos++;
		else if (*pos == '_' && char_is(pos[-1], CHAR_DIGIT) && pos + 1 < end &&
			char_is(pos[1], CHAR_DIGIT))
			pos++;
		else
			break;
	}
	return pos;
}

static void take_number(struct lexer *lexer, struct lexer_token *token)
{
	const char *end = lexer->end, *pos = skip_radix(token->text, end), *exponent;

	if (pos == NULL) {
		pos = token->text;
		if (*pos != '.')
			pos = skip_digits(pos, end);
		/* 1..10 is 1, two dots and 10. */
		if (pos < end && *pos == '.' && !is_pair(pos, end, "..")) {
			pos++;
			if (pos < end && char_is(*pos, CHAR_DIGIT))
				pos = skip_digits(pos, end);
		}
		if (pos < end && char_fold(*pos) == 'e') {
			exponent = pos + 1;
			if (exponent < end && (*exponent == '+' || *exponent == '-'))
				exponent++;
			if (exponent < end && char_is(*exponent, CHAR_DIGIT))
				pos = skip_digits(exponent, end);
		}
	}
	/* "1x" is an error since PostgreSQL 15, and was 1 and x. */
	if (pos < end && char_is(*pos, CHAR_LETTER))
		lexer->unsure = true;
	set_token(lexer, token, LEXER_NUMBER, pos);
}

/* $1, $tag$...$tag$, or a dollar alone. */
static void take_dollar(struct lexer *lexer, struct lexer_token *token)
{
	const char *end = lexer->end, *pos = token->text + 1, *close;
	size_t tag_len;

	if (pos < end && char_is(*pos, CHAR_DIGIT)) {
		pos = skip_class(pos, end, CHAR_DIGIT);
		if (pos < end && char_is(*pos, CHAR_LETTER))
			lexer->unsure = true;
		set_token(lexer, token, LEXER_PARAM, pos);
		return;
	}
	if (pos < end && char_is(*pos, CHAR_LETTER))
		pos = skip_class(pos, end, CHAR_LETTER | CHAR_DIGIT);
	if (pos == end || *pos != '$') {
		lexer->unsure = true;
		set_token(lexer, token, LEXER_OTHER, token->text + 1);
		return;
	}
	pos++;
	tag_len = (size_t)(pos - token->text);
	close = memmem(pos, (size_t)(end - pos), token->text, tag_len);
	if (close == NULL) {
		set_unterminated(lexer, token);
		return;
	}
	token->body = pos;
	token->body_len = (size_t)(close - pos);
	set_token(lexer, token, LEXER_STRING_DOLLAR, close + tag_len);
}

/* A + or - ends an operator of several characters only if one of these is in it. */
static bool may_end_with_sign(const char *pos, const char *end)
{
	for (; pos < end; pos++) {
		if (strchr("~!@#^&|`?%", *pos) != NULL)
			return true;
	}
	return false;
}

static void take_operator(struct lexer *lexer, struct lexer_token *token)
{
	const char *pos = token->text + 1, *end = lexer->end, *run_end;
	bool has_sign;

	/* Else a long row of signs would be looked through for each of them. */
	if (token->text >= lexer->signs && token->text < lexer->signs_end) {
		set_token(lexer, token, LEXER_OPERATOR, pos);
		return;
	}
	while (pos < end && char_is(*pos, CHAR_OPERATOR) && !is_pair(pos, end, "--") &&
		!is_pair(pos, end, "/*"))
		pos++;
	run_end = pos;
	has_sign = pos - token->text > 1 && (pos[-1] == '+' || pos[-1] == '-');
	if (has_sign && !may_end_with_sign(token->text, pos)) {
		while (pos - token->text > 1 && (pos[-1] == '+' || pos[-1] == '-'))
			pos--;
		lexer->signs = pos;
		lexer->signs_end = run_end;
	}
	if (pos - token->text > LEXER_NAME_MAX)
		lexer->unsure = true;
	set_token(lexer, token, LEXER_OPERATOR, pos);
}

static void take_punct(struct lexer *lexer, struct lexer_token *token)
{
	const char *pos = token->text, *end = lexer->end;

	if (*pos == '.' && end - pos > 1 && char_is(pos[1], CHAR_DIGIT))
		take_number(lexer, token);
	else if (is_pair(pos, end, "::"))
		set_token(lexer, token, LEXER_CAST, pos + 2);
	else if (is_pair(pos, end, ".."))
		set_token(lexer, token, LEXER_DOTS, pos + 2);
	else if (is_pair(pos, end, ":="))
		set_token(lexer, token, LEXER_ASSIGN, pos + 2);
	else
		set_token(lexer, token, LEXER_PUNCT, pos + 1);
}

/* One token, without a look at what follows. */
static void take_token(struct lexer *lexer, struct lexer_token *token)
{
	bool is_open;
	const char *pos = skip_space(lexer->pos, lexer->end, &is_open);

	token->escape = '\\';
	token->body = NULL;
	token->body_len = 0;
	token->text = pos;
	if (is_open)
		set_unterminated(lexer, token);
	else if (pos == lexer->end)
		set_token(lexer, token, LEXER_END, pos);
	else if (char_is(*pos, CHAR_LETTER))
		take_word(lexer, token);
	else if (char_is(*pos, CHAR_PUNCT))
		take_punct(lexer, token);
	else if (*pos == '\'')
		take_quoted(lexer, token, LEXER_STRING, 0);
	else if (*pos == '"')
		take_quoted(lexer, token, LEXER_QUOTED, 0);
	else if (char_is(*pos, CHAR_DIGIT))
		take_number(lexer, token);
	else if (char_is(*pos, CHAR_OPERATOR))
		take_operator(lexer, token);
	else if (*pos == '$')
		take_dollar(lexer, token);
	else {
		lexer->unsure = true;
		set_token(lexer, token, LEXER_OTHER, pos + 1);
	}
}

/* UESCAPE and its character belong to the name or string before them (base_yylex()
 * in parser.c).  The character's own string may have any form but U&. */
static void take_uescape(struct lexer *lexer, struct lexer_token *token)
{
	struct lexer ahead = *lexer;
	struct lexer_token next;
	size_t len;
	char value[2];

	take_token(&ahead, &next);
	if (next.kind != LEXER_WORD || !lexer_is_word(&next, "uescape"))
		return;
	take_token(&ahead, &next);
	token->escape = '\0';
	if (lexer_is_string(&next) && next.kind != LEXER_STRING_UNICODE &&
		next.kind != LEXER_STRING_NATIONAL &&
		lexer_value(&next, lexer->flags, value, sizeof(value), &len) ==
			LEXER_VALUE_OK &&
		len == 1 && !char_is(value[0], CHAR_HEX | CHAR_SPACE) &&
		strchr("+'\"", value[0]) == NULL)
		token->escape = value[0];
	else
		ahead.unsure = true;
	token->len = (size_t)(ahead.pos - token->text);
	*lexer = ahead;
}

enum lexer_kind lexer_next(struct lexer *lexer, struct lexer_token *token)
{
	take_token(lexer, token);
	if (token->kind == LEXER_QUOTED_UNICODE || token->kind == LEXER_STRING_UNICODE)
		take_uescape(lexer, token);
	return token->kind;
}

/* --- questions ------------------------------------------------------------ */

bool lexer_is_string(const struct lexer_token *token)
{
	return token->kind >= LEXER_STRING && token->kind <= LEXER_STRING_DOLLAR;
}

bool lexer_is_name(const struct lexer_token *token)
{
	return token->kind >= LEXER_WORD && token->kind <= LEXER_QUOTED_UNICODE;
}

bool lexer_is_word(const struct lexer_token *token, const char *word)
{
	if (token->kind != LEXER_WORD)
		return false;
	for (size_t i = 0; i < token->len; i++) {
		if (char_fold(token->text[i]) != word[i])
			return false;
	}
	return word[token->len] == '\0';
}

bool lexer_is_operator(const struct lexer_token *token, const char *op)
{
	return token->kind == LEXER_OPERATOR && strlen(op) == token->len &&
		memcmp(token->text, op, token->len) == 0;
}

/* --- life ----------------------------------------------------------------- */

static bool has_high_byte(const char *text, size_t len)
{
	uint8_t all = 0;

	for (size_t i = 0; i < len; i++)
		all |= (uint8_t)text[i];
	return (all & 0x80u) != 0;
}

bool lexer_hangs_on_flags(const char *text, size_t len)
{
	return len > 0 && (memchr(text, '\\', len) != NULL || has_high_byte(text, len));
}

void lexer_init(struct lexer *lexer, const char *text, size_t len, unsigned flags)
{
	static const char nothing[1];

	lexer->pos = text == NULL ? nothing : text;
	lexer->end = lexer->pos + len;
	lexer->flags = flags;
	lexer->signs = lexer->signs_end = NULL;
	/* Texts of the protocol end at their first NUL. */
	lexer->unsure = memchr(lexer->pos, '\0', len) != NULL;
	if ((flags & LEXER_UNSAFE_ENCODING) != 0)
		lexer->unsure |= has_high_byte(lexer->pos, len);
	if ((flags & LEXER_MAY_CHANGE) != 0)
		lexer->unsure |= lexer_hangs_on_flags(lexer->pos, len);
}
