/* SPDX-License-Identifier: ISC */
#include "sql/statement.h"

#include "sql/statement_priv.h"

static const struct {
	const char *name, *tag;
	enum sql_group group;
} kinds[] = {
#define KIND(name, group, tag) { #name, tag, SQL_GROUP_##group },
#include "sql_kinds.def"
#undef KIND
};

const char *statement_kind_name(enum sql_kind kind)
{
	return kinds[kind].name;
}

const char *statement_tag(enum sql_kind kind)
{
	return kinds[kind].tag;
}

enum sql_group statement_group(enum sql_kind kind)
{
	return kinds[kind].group;
}

void statement_begin(
	struct statement_reader *reader, const char *text, size_t len, unsigned flags)
{
	lexer_init(&reader->lexer, text, len, flags);
}

bool statement_next(struct statement_reader *reader, struct statement *statement)
{
	struct scan_result scan;

	do {
		if (reader->lexer.pos == reader->lexer.end)
			return false;
		*statement = (struct statement){ .lexer_flags = reader->lexer.flags };
		scan = (struct scan_result){ 0 };
		statement_scan(&reader->lexer, statement, &scan);
	} while (statement->text.len == 0);
	statement_kind(statement, &scan);
	return true;
}

unsigned statement_count(const char *text, size_t len, unsigned flags, unsigned most,
	struct statement *first)
{
	struct statement_reader reader;
	struct statement next;
	unsigned count = 0;

	*first = (struct statement){ .kind = SQL_EMPTY, .lexer_flags = flags };
	statement_begin(&reader, text, len, flags);
	while (count < most && statement_next(&reader, count == 0 ? first : &next))
		count++;
	return count;
}
