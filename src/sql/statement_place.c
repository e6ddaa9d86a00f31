/* SPDX-License-Identifier: ISC */
/*
 * Where a name before a parenthesis is no call.
 *
 * Lists of columns, aliases, types and clauses have one there, too.  Such a place is taken
 * for no call only where the grammar rules a call out; what is left over counts as a
 * function that nobody knows.
 */
#include "sql/statement_place.h"

/* A name that is not a keyword. */
static bool is_plain_name(const struct item *item)
{
	return scan_is_name(item->kind) && item->word == WORD_PLAIN;
}

bool statement_place_names(enum word word)
{
	switch ((int)word) {
	case WORD_AS:
	case WORD_INTO:
	case WORD_TABLE:
	case WORD_REFERENCES:
	case WORD_WITH:
	case WORD_EXISTS:
	case WORD_FUNCTION:
	case WORD_PROCEDURE:
	case WORD_ROUTINE:
	case WORD_AGGREGATE:
	case WORD_EXECUTE:
	case WORD_PREPARE:
		return true;
	default:
		return false;
	}
}

/* ON t (...) and USING btree (...) of CREATE INDEX. */
static bool is_index_part(const struct scan *scan, const struct chain *chain)
{
	enum word before = chain->before.word;
	/* CREATE TABLE index AS ... makes none. */
	bool is_index = scan->first[0] == WORD_CREATE &&
		(scan->first[1] == WORD_INDEX ||
			(scan->first[1] == WORD_UNIQUE && scan->first[2] == WORD_INDEX));

	return is_index && chain->depth == 0 &&
		(before == WORD_ON || before == WORD_USING);
}

/* Words that begin a clause, behind what only clauses have before them. */
static bool is_clause(const struct chain *chain)
{
	enum word before = chain->before.word;

	switch ((int)chain->word) {
	case WORD_OVER:
	case WORD_FILTER:
		return chain->before.closes_call;
	case WORD_BY:
		return before == WORD_ORDER || before == WORD_GROUP ||
			before == WORD_PARTITION;
	case WORD_KEY:
		return before == WORD_PRIMARY || before == WORD_FOREIGN;
	case WORD_SET:
		return before == WORD_UPDATE;
	case WORD_SETS:
		return before == WORD_GROUPING;
	/* Not in ORDER BY and PARTITION BY. */
	case WORD_CUBE:
	case WORD_ROLLUP:
		return before == WORD_BY && chain->before2.word == WORD_GROUP;
	/* NOT is an operator elsewhere. */
	case WORD_MATERIALIZED:
		return before == WORD_NOT && chain->before2.word == WORD_AS;
	case WORD_JOIN:
		return before == WORD_LEFT || before == WORD_RIGHT ||
			before == WORD_FULL || before == WORD_INNER ||
			before == WORD_CROSS || before == WORD_NATURAL ||
			before == WORD_OUTER;
	default:
		return false;
	}
}

bool statement_place_has_no_call(const struct scan *scan, const struct chain *chain)
{
	const struct item *before = &chain->before;
	bool is_word = chain->parts == 1 && chain->name.kind == LEXER_WORD;
	enum word_category category = words_category(chain->word);

	if (before->kind == LEXER_END || before->kind == LEXER_CAST)
		return true;
	if (statement_place_names(before->word))
		return true;
	/* COLUMNS a int "path" f(1): up to release 16 PATH is no keyword. */
	if (is_plain_name(before) && !scan->has_xmltable)
		return true;
	if (before->word == WORD_RECURSIVE && chain->before2.word == WORD_WITH)
		return true;
	if (chain->is_second &&
		(before->word == WORD_COPY || before->word == WORD_ANALYZE))
		return true;
	if (is_index_part(scan, chain))
		return true;
	if (!is_word)
		return false;
	if (category == WORD_RESERVED || category == WORD_COL_NAME)
		return true;
	return is_clause(chain);
}
