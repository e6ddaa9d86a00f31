/* SPDX-License-Identifier: ISC */
/*
 * Statements with others in them, and those that make, change and drop what is in
 * the catalog.  Of these only the first words are read, and what stands behind AS.
 */
#include "sql/statement_priv.h"

/* EXECUTE within another statement: whose name is the prepared statement's. */
static bool take_inner_execute(struct head *head)
{
	head->statement->inner = SQL_EXECUTE;
	head->statement->flags |= SQL_EXECUTES;
	return head_accept(head, WORD_EXECUTE) && head_take_name(head);
}

/* --- CREATE, DROP, ALTER -------------------------------------------------- */

/* CREATE TABLE t ... AS: an AS outside of parentheses; columns and options have
 * none there.  False: there is none. */
static bool find_as(struct head *head)
{
	size_t depth = 0;

	while (!head_at_end(head)) {
		if (lexer_is_punct(&head->token, '('))
			depth++;
		else if (lexer_is_punct(&head->token, ')'))
			depth--;
		else if (depth == 0 && head->word == WORD_AS)
			break;
		head_next(head);
	}
	return head_accept(head, WORD_AS);
}

/* What a table is made of, behind AS. */
static bool take_source(struct head *head)
{
	if (head->word == WORD_EXECUTE)
		return take_inner_execute(head);
	head->statement->inner = head_query_kind(head);
	return head->statement->inner != SQL_UNKNOWN;
}

static void skip_create_options(struct head *head)
{
	if (head_accept(head, WORD_OR))
		(void)head_accept(head, WORD_REPLACE);
	while (head_accept(head, WORD_GLOBAL) || head_accept(head, WORD_LOCAL) ||
		head_accept(head, WORD_TEMP) || head_accept(head, WORD_TEMPORARY) ||
		head_accept(head, WORD_UNLOGGED) || head_accept(head, WORD_RECURSIVE) ||
		head_accept(head, WORD_UNIQUE) || head_accept(head, WORD_FOREIGN))
		continue;
}

static enum sql_kind create_kind(enum word word)
{
	switch ((int)word) {
	case WORD_TABLE:
		return SQL_CREATE_TABLE;
	case WORD_VIEW:
		return SQL_CREATE_VIEW;
	case WORD_SEQUENCE:
		return SQL_CREATE_SEQUENCE;
	case WORD_FUNCTION:
	case WORD_PROCEDURE:
		return SQL_CREATE_FUNCTION;
	case WORD_INDEX:
		return SQL_CREATE_INDEX;
	case WORD_SCHEMA:
		return SQL_CREATE_SCHEMA;
	case WORD_DATABASE:
		return SQL_CREATE_DATABASE;
	case WORD_TABLESPACE:
		return SQL_CREATE_TABLESPACE;
	case WORD_SUBSCRIPTION:
		return SQL_CREATE_SUBSCRIPTION;
	default:
		return SQL_CREATE;
	}
}

/* What keeps or runs nothing but what its text shows.  Defaults and the like may call
 * functions, but the flags have those: whoever reads them looks at them, too. */
static bool is_without_code(enum word word)
{
	return word == WORD_TABLE || word == WORD_INDEX || word == WORD_SEQUENCE;
}

bool statement_create(struct head *head, const struct scan_result *scan)
{
	struct statement *s = head->statement;

	skip_create_options(head);
	if (!lexer_is_name(&head->token) || head->word == WORD_PLAIN)
		return false;
	s->kind = create_kind(head->word);
	if (!is_without_code(head->word))
		s->flags |= SQL_CHANGES_CODE;
	if (s->kind == SQL_CREATE_DATABASE || s->kind == SQL_CREATE_TABLESPACE ||
		s->kind == SQL_CREATE_SUBSCRIPTION ||
		(s->kind == SQL_CREATE_INDEX && scan->has_concurrently))
		s->flags |= SQL_NO_BLOCK;
	if (s->kind != SQL_CREATE_TABLE || !find_as(head))
		return true;
	s->kind = SQL_CREATE_TABLE_AS;
	return take_source(head);
}

bool statement_drop(struct head *head, const struct scan_result *scan)
{
	struct statement *s = head->statement;

	if (!is_without_code(head->word))
		s->flags |= SQL_CHANGES_CODE;
	if (head->word == WORD_DATABASE)
		s->kind = SQL_DROP_DATABASE;
	else if (head->word == WORD_TABLESPACE)
		s->kind = SQL_DROP_TABLESPACE;
	else if (head->word == WORD_SUBSCRIPTION)
		s->kind = SQL_DROP_SUBSCRIPTION;
	if (s->kind != SQL_DROP || scan->has_concurrently)
		s->flags |= SQL_NO_BLOCK;
	return head->word != WORD_PLAIN;
}

bool statement_alter(struct head *head, const struct scan_result *scan)
{
	struct statement *s = head->statement;

	s->flags |= SQL_CHANGES_CODE;
	if (head->word == WORD_SYSTEM)
		s->kind = SQL_ALTER_SYSTEM;
	if (s->kind == SQL_ALTER_SYSTEM || head->word == WORD_DATABASE ||
		head->word == WORD_SUBSCRIPTION || head->word == WORD_TYPE ||
		scan->has_concurrently)
		s->flags |= SQL_NO_BLOCK;
	return head->word != WORD_PLAIN;
}

/* --- EXPLAIN and COPY ----------------------------------------------------- */

/* Behind EXPLAIN: options in either form. */
static bool skip_explain_options(struct head *head)
{
	if (!lexer_is_punct(&head->token, '(')) {
		while (head->word == WORD_ANALYZE || head->word == WORD_ANALYSE ||
			head->word == WORD_VERBOSE) {
			if (head->word != WORD_VERBOSE)
				head->statement->flags |= SQL_EXPLAIN_ANALYZE;
			head_next(head);
		}
		return true;
	}
	/* EXPLAIN (SELECT 1) has a query in parentheses. */
	if (head_query_kind(head) != SQL_UNKNOWN)
		return true;
	while (!head_at_end(head) && !lexer_is_punct(&head->token, ')')) {
		if (head->word == WORD_ANALYZE || head->word == WORD_ANALYSE ||
			lexer_value_is(
				&head->token, head->statement->lexer_flags, "analyze"))
			head->statement->flags |= SQL_EXPLAIN_ANALYZE;
		head_next(head);
	}
	return head_accept_punct(head, ')');
}

bool statement_explain(struct head *head, const struct scan_result *scan)
{
	struct statement *s = head->statement;

	if (!skip_explain_options(head))
		return false;
	s->body = head_rest(head);
	if (head->word == WORD_EXECUTE)
		return take_inner_execute(head);
	if (head->word == WORD_DECLARE) {
		s->inner = SQL_DECLARE;
		return true;
	}
	if (head->word == WORD_REFRESH) {
		s->inner = SQL_REFRESH;
		return true;
	}
	if (head->word == WORD_CREATE) {
		bool is_known = find_as(head) && take_source(head);

		s->inner = SQL_CREATE_TABLE_AS;
		return is_known;
	}
	s->inner = head_query_kind(head);
	if (s->inner == SQL_SELECT && scan->has_into)
		s->inner = SQL_SELECT_INTO;
	return s->inner != SQL_UNKNOWN;
}

/* COPY (query) TO; a table needs no more than the word. */
bool statement_copy(struct head *head)
{
	if (!lexer_is_punct(&head->token, '('))
		return true;
	head_next(head);
	head->statement->inner = head_query_kind(head);
	return head->statement->inner != SQL_UNKNOWN;
}
