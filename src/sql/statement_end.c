/* SPDX-License-Identifier: ISC */
/*
 * What a text does to the transaction that it runs in, and whether anything can be left
 * behind it, as far as that can be proven.
 */
#include "sql/statement_end.h"

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
		SQL_CALLS_LARGE_OBJECT | SQL_CALLS_UNKNOWN;

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

bool statement_leaves_nothing(const char *text, size_t len, unsigned flags)
{
	struct statement_reader reader;
	struct statement s;

	statement_begin(&reader, text, len, flags);
	while (statement_next(&reader, &s)) {
		if (!leaves_nothing(&s))
			return false;
	}
	return !reader.lexer.unsure;
}

/* --- what runs code ------------------------------------------------------------------- */

static bool runs_code(const struct statement *s)
{
	if ((s->flags & (SQL_UNSURE | SQL_EXECUTES | SQL_CALLS_UNKNOWN | SQL_CALLS_DBLINK |
				SQL_CALLS_SESSION)) != 0)
		return true;
	switch (statement_group(s->kind)) {
	case SQL_GROUP_NOTHING:
	case SQL_GROUP_READ:
	case SQL_GROUP_WRITE:
	case SQL_GROUP_TRANSACTION:
	case SQL_GROUP_SETTING:
	case SQL_GROUP_CURSOR:
	case SQL_GROUP_CHANNEL:
		return false;
	case SQL_GROUP_UNKNOWN:
	case SQL_GROUP_PREPARED:
	case SQL_GROUP_DISCARD:
	case SQL_GROUP_SCHEMA:
	case SQL_GROUP_SERVER:
	case SQL_GROUP_CODE:
		break;
	}
	return true;
}

bool statement_runs_code(const char *text, size_t len, unsigned flags)
{
	struct statement_reader reader;
	struct statement s;

	statement_begin(&reader, text, len, flags);
	while (statement_next(&reader, &s)) {
		if (runs_code(&s))
			return true;
	}
	return reader.lexer.unsure;
}
