/* SPDX-License-Identifier: ISC */
/*
 * What kind of statement it is, by its first words.  Kinds that change the session
 * are read further by statement_session.c, statement_set.c and statement_catalog.c.
 */
#include "sql/statement_priv.h"

/* SELECT, WITH, INSERT...; SELECT ... INTO makes a table. */
static bool take_query(struct head *head, const struct scan_result *scan)
{
	struct statement *s = head->statement;

	s->kind = head_query_kind(head);
	if (s->kind == SQL_SELECT && scan->has_into)
		s->kind = SQL_SELECT_INTO;
	return s->kind != SQL_UNKNOWN;
}

/* --- by the first word ---------------------------------------------------- */

/* Those of which the first word says enough. */
static enum sql_kind plain_kind(enum word word)
{
	switch ((int)word) {
	case WORD_TRUNCATE:
		return SQL_TRUNCATE;
	case WORD_LOCK:
		return SQL_LOCK;
	case WORD_COMMENT:
		return SQL_COMMENT;
	case WORD_GRANT:
		return SQL_GRANT;
	case WORD_REVOKE:
		return SQL_REVOKE;
	case WORD_SECURITY:
		return SQL_SECURITY_LABEL;
	case WORD_REASSIGN:
		return SQL_REASSIGN;
	case WORD_REFRESH:
		return SQL_REFRESH;
	case WORD_IMPORT:
		return SQL_IMPORT;
	case WORD_ANALYZE:
	case WORD_ANALYSE:
		return SQL_ANALYZE;
	case WORD_CHECKPOINT:
		return SQL_CHECKPOINT;
	case WORD_VACUUM:
		return SQL_VACUUM;
	case WORD_CLUSTER:
		return SQL_CLUSTER;
	case WORD_REINDEX:
		return SQL_REINDEX;
	case WORD_DO:
		return SQL_DO;
	case WORD_CALL:
		return SQL_CALL;
	default:
		return SQL_UNKNOWN;
	}
}

static bool take_plain(struct head *head, enum word word)
{
	struct statement *s = head->statement;

	s->kind = plain_kind(word);
	switch ((int)s->kind) {
	case SQL_VACUUM:
	case SQL_CLUSTER:
	case SQL_REINDEX:
	case SQL_DO:
	case SQL_CALL:
		s->flags |= SQL_NO_BLOCK;
		break;
	default:
		break;
	}
	return s->kind != SQL_UNKNOWN;
}

static bool take(struct head *head, const struct scan_result *scan)
{
	enum word word = head->word;

	switch ((int)word) {
	case WORD_PLAIN:
		return lexer_is_punct(&head->token, '(') && take_query(head, scan);
	case WORD_SELECT:
	case WORD_VALUES:
	case WORD_TABLE:
	case WORD_WITH:
	case WORD_INSERT:
	case WORD_UPDATE:
	case WORD_DELETE:
	case WORD_MERGE:
		return take_query(head, scan);
	default:
		break;
	}
	head_next(head);
	switch ((int)word) {
	case WORD_EXPLAIN:
		head->statement->kind = SQL_EXPLAIN;
		return statement_explain(head, scan);
	case WORD_COPY:
		head->statement->kind = SQL_COPY;
		return statement_copy(head);
	case WORD_CREATE:
		return statement_create(head, scan);
	case WORD_DROP:
		head->statement->kind = SQL_DROP;
		return statement_drop(head, scan);
	case WORD_ALTER:
		head->statement->kind = SQL_ALTER;
		return statement_alter(head, scan);
	default:
		return take_plain(head, word) || statement_session(head, word);
	}
}

void statement_kind(struct statement *statement, const struct scan_result *scan)
{
	struct head head;

	head_init(&head, statement);
	if (take(&head, scan) && !head.lexer.unsure)
		return;
	*statement = (struct statement){ .kind = SQL_UNKNOWN,
		.flags = statement->flags | SQL_UNSURE,
		.lexer_flags = statement->lexer_flags,
		.value = statement->value == SQL_VALUE_UNREAD ? SQL_VALUE_UNREAD : SQL_VALUE_NONE,
		.text = statement->text };
}
