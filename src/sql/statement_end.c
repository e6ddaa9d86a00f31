/* SPDX-License-Identifier: ISC */
/*
 * What a text does to the transaction that it runs in, as far as that can be proven.
 */
#include "sql/statement_end.h"

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
