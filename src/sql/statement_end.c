/* SPDX-License-Identifier: ISC */
/*
 * What a text does to the transaction that it runs in, and whether anything can be left
 * behind it, as far as that can be proven.
 */
#include "sql/statement_end.h"

#include <string.h>
#include <strings.h>

#include "sql/head.h"

static bool is_end(const struct statement *s)
{
	return (s->kind == SQL_COMMIT || s->kind == SQL_ROLLBACK) &&
		(s->flags & (SQL_CHAIN | SQL_UNSURE)) == 0;
}

/* Functions of a user's own may do much, but within the transaction that called them. */
static bool is_plain(const struct statement *s)
{
	const uint32_t harmless = SQL_MAY_WRITE | SQL_HAS_STRING | SQL_HAS_CAST_STRING |
		SQL_HAS_PARAM | SQL_CALLS_NEXTVAL | SQL_CALLS_CURRVAL | SQL_CALLS_NOTIFY |
		SQL_CALLS_LARGE_OBJECT | SQL_CALLS_UNKNOWN | SQL_MAY_CALL;

	switch ((int)s->kind) {
	case SQL_SELECT:
	case SQL_INSERT:
	case SQL_UPDATE:
	case SQL_DELETE:
	case SQL_MERGE:
	case SQL_SHOW:
		return (s->flags & ~harmless) == 0;
	default:
		return false;
	}
}

enum text_end statement_text_end(const char *text, size_t len, unsigned flags)
{
	struct statement_reader reader;
	struct statement s;
	bool ends = false;
	uint32_t count = 0;

	statement_begin(&reader, text, len, flags);
	while (statement_next(&reader, &s)) {
		count++;
		ends = ends || is_end(&s);
		if ((!ends && !is_plain(&s)) || (ends && count > 1))
			return TEXT_OTHER;
	}
	if (reader.lexer.unsure)
		return TEXT_OTHER;
	return ends ? TEXT_ENDS : TEXT_PLAIN;
}

/* --- what leaves nothing -------------------------------------------------------------- */

/* Constants of types that are not written in the text. */
static bool take_constant(struct head *head)
{
	bool is_value = head->token.kind == LEXER_NUMBER || head->token.kind == LEXER_STRING;

	if (!is_value && head->word != WORD_TRUE && head->word != WORD_FALSE &&
		head->word != WORD_NULL)
		return false;
	head_next(head);
	return true;
}

/* No FROM, no operator, no cast, no function: what is called for these may be anybody's. */
static bool selects_constants(struct statement *s)
{
	struct head head;

	head_init(&head, s);
	if (!head_accept(&head, WORD_SELECT))
		return false;
	do {
		if (!take_constant(&head) || !head_skip_label(&head))
			return false;
	} while (head_accept_punct(&head, ','));
	return head_at_end(&head) && !head.lexer.unsure;
}

static bool leaves_nothing(struct statement *s)
{
	if ((s->flags & SQL_UNSURE) != 0)
		return false;
	switch ((int)s->kind) {
	case SQL_BEGIN:
	case SQL_START_TRANSACTION:
	case SQL_COMMIT:
	case SQL_ROLLBACK:
	case SQL_SAVEPOINT:
	case SQL_RELEASE:
	case SQL_ROLLBACK_TO:
	case SQL_SHOW:
		return true;
	case SQL_SELECT:
		return selects_constants(s);
	default:
		return false;
	}
}

/* Space as all of PostgreSQL's encodings have it. */
static size_t skip_space(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && (text[n] == ' ' || (text[n] >= '\t' && text[n] <= '\r')))
		n++;
	return n;
}

static size_t word_len(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && ((text[n] | 0x20) >= 'a' && (text[n] | 0x20) <= 'z'))
		n++;
	return n;
}

static bool is_word(const char *text, size_t len, const char *word)
{
	return len == strlen(word) && strncasecmp(text, word, len) == 0;
}

/* Most texts are told by how they begin: INSERT, WITH; SELECT of what is no constant. */
static bool begins_so(const char *text, size_t len)
{
	size_t n = skip_space(text, len), word;

	text += n;
	len -= n;
	if (len > 0 && memchr("iudwvtIUDWVT", text[0], 12) != NULL)
		return false;
	word = word_len(text, len);
	if (!is_word(text, word, "select"))
		return true;
	n = word + skip_space(text + word, len - word);
	text += n;
	len -= n;
	word = word_len(text, len);
	if (word == 0)
		return len == 0 || memchr("*\"$", text[0], 3) == NULL;
	return is_word(text, word, "true") || is_word(text, word, "false") ||
		is_word(text, word, "null");
}

/* What is in flight, or has run since it was parsed, may have PostgreSQL read escapes in
 * another way than is known here. */
static bool has_escape(const char *text, size_t len)
{
	return len > 0 && memchr(text, '\\', len) != NULL;
}

bool statement_leaves_nothing(const char *text, size_t len, unsigned flags)
{
	struct statement_reader reader;
	struct statement s;

	if (!begins_so(text, len) || has_escape(text, len))
		return false;
	statement_begin(&reader, text, len, flags);
	while (statement_next(&reader, &s)) {
		if (!leaves_nothing(&s))
			return false;
	}
	return !reader.lexer.unsure;
}

/* --- what runs code ------------------------------------------------------------------- */

static bool has_word(const char *text, size_t len, const char *word)
{
	size_t word_len = strlen(word);

	for (size_t i = 0; i + word_len <= len; i++) {
		if ((text[i] | 0x20) == (word[0] | 0x20) &&
			strncasecmp(text + i, word, word_len) == 0)
			return true;
	}
	return false;
}

bool statement_may_load(const char *text, size_t len)
{
	return has_word(text, len, "load");
}

/* Functions of PostgreSQL's own that run a text that they are given; or a name that is
 * written so that it is not to be read (U&"..."). */
static bool names_runner(const struct statement *s)
{
	static const char *const runners[] = { "_to_xml", "ts_stat", "ts_rewrite", "u&" };

	for (size_t i = 0; i < COUNT_OF(runners); i++) {
		if (has_word(s->text.data, s->text.len, runners[i]))
			return true;
	}
	return false;
}

static enum text_code code_of_calls(const struct statement *s)
{
	const uint32_t calls =
		SQL_CALLS_UNKNOWN | SQL_CALLS_DBLINK | SQL_CALLS_SESSION | SQL_MAY_CALL;

	if ((s->flags & calls) == 0)
		return TEXT_CODE_NONE;
	return names_runner(s) ? TEXT_CODE_ANY : TEXT_CODE_CALLS;
}

static enum text_code code_of(const struct statement *s)
{
	bool is_any = (s->flags & (SQL_UNSURE | SQL_EXECUTES)) != 0 ||
		s->kind == SQL_UNKNOWN || s->kind == SQL_DO;

	/* What EXECUTE runs was a text before. */
	if (is_any && s->kind != SQL_EXECUTE)
		return statement_may_load(s->text.data, s->text.len) ? TEXT_CODE_LOADS
								     : TEXT_CODE_ANY;
	if (s->kind == SQL_EXECUTE)
		return TEXT_CODE_ANY;
	switch (statement_group(s->kind)) {
	case SQL_GROUP_NOTHING:
	case SQL_GROUP_READ:
	case SQL_GROUP_WRITE:
	case SQL_GROUP_TRANSACTION:
	case SQL_GROUP_SETTING:
	case SQL_GROUP_CURSOR:
	case SQL_GROUP_CHANNEL:
		return code_of_calls(s);
	case SQL_GROUP_UNKNOWN:
	case SQL_GROUP_PREPARED:
	case SQL_GROUP_DISCARD:
	case SQL_GROUP_SCHEMA:
	case SQL_GROUP_SERVER:
	case SQL_GROUP_CODE:
		break;
	}
	return names_runner(s) ? TEXT_CODE_ANY : TEXT_CODE_CALLS;
}

/* As it is read under these flags. */
static enum text_code code_if(const char *text, size_t len, unsigned flags)
{
	enum text_code most = TEXT_CODE_NONE;
	struct statement_reader reader;
	struct statement s;

	statement_begin(&reader, text, len, flags);
	while (statement_next(&reader, &s)) {
		enum text_code code = code_of(&s);

		most = code > most ? code : most;
	}
	if (!reader.lexer.unsure)
		return most;
	return statement_may_load(text, len) ? TEXT_CODE_LOADS : TEXT_CODE_ANY;
}

/* A backslash behind such a byte may be half of a character. */
static bool has_odd_escape(const char *text, size_t len)
{
	for (size_t i = 1; i < len; i++) {
		if (text[i] == '\\' && ((uint8_t)text[i - 1] & 0x80u) != 0)
			return true;
	}
	return false;
}

enum text_code statement_text_code(const char *text, size_t len, unsigned flags)
{
	enum text_code code = code_if(text, len, flags), other;

	if (LIKELY(!has_escape(text, len)))
		return code;
	other = has_odd_escape(text, len) ?
		code_if(text, len, flags | LEXER_UNSAFE_ENCODING) :
		code_if(text, len, flags ^ LEXER_STANDARD_STRINGS);
	return other > code ? other : code;
}
