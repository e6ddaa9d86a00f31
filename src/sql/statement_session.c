/* SPDX-License-Identifier: ISC */
/*
 * Statements that change the session or the transaction, and no more.  They are
 * read to their last token: what is not as the grammar has it is not understood.
 */
#include "sql/statement_priv.h"

/* --- transactions --------------------------------------------------------- */

static void skip_work(struct head *head)
{
	if (!head_accept(head, WORD_WORK))
		(void)head_accept(head, WORD_TRANSACTION);
}

static bool take_begin(struct head *head)
{
	if (head->statement->kind == SQL_BEGIN)
		skip_work(head);
	else if (!head_accept(head, WORD_TRANSACTION))
		return false;
	return head_at_end(head) || head_take_modes(head);
}

/* [AND [NO] CHAIN] */
static bool take_chain(struct head *head)
{
	bool is_no;

	if (!head_accept(head, WORD_AND))
		return head_at_end(head);
	is_no = head_accept(head, WORD_NO);
	if (!is_no)
		head->statement->flags |= SQL_CHAIN;
	return head_accept(head, WORD_CHAIN) && head_at_end(head);
}

/* The name of a prepared transaction. */
static bool take_gid(struct head *head)
{
	if (!lexer_is_string(&head->token))
		return false;
	head->statement->body = head_rest(head);
	head_next(head);
	return head_at_end(head);
}

static bool take_commit(struct head *head)
{
	if (head_accept(head, WORD_PREPARED)) {
		head->statement->kind = SQL_COMMIT_PREPARED;
		head->statement->flags |= SQL_NO_BLOCK;
		return take_gid(head);
	}
	skip_work(head);
	return take_chain(head);
}

static bool take_rollback(struct head *head)
{
	struct statement *s = head->statement;

	if (head_accept(head, WORD_PREPARED)) {
		s->kind = SQL_ROLLBACK_PREPARED;
		s->flags |= SQL_NO_BLOCK;
		return take_gid(head);
	}
	skip_work(head);
	if (!head_accept(head, WORD_TO))
		return take_chain(head);
	s->kind = SQL_ROLLBACK_TO;
	if (head->word == WORD_SAVEPOINT) {
		/* The word may be the name. */
		head_next(head);
		if (head_at_end(head)) {
			head_set_name(head, "savepoint");
			return true;
		}
	}
	return head_take_name(head) && head_at_end(head);
}

/* END and ABORT know no PREPARED and no TO. */
static bool take_old_end(struct head *head)
{
	skip_work(head);
	if (head->statement->kind == SQL_ROLLBACK && head->word == WORD_TO)
		return false;
	return take_chain(head);
}

static bool take_release(struct head *head)
{
	if (head->word == WORD_SAVEPOINT) {
		head_next(head);
		if (head_at_end(head)) {
			head_set_name(head, "savepoint");
			return true;
		}
	}
	return head_take_name(head) && head_at_end(head);
}

static bool take_savepoint(struct head *head)
{
	return head_take_name(head) && head_at_end(head);
}

/* --- prepared statements -------------------------------------------------- */

static bool take_prepare(struct head *head)
{
	struct statement *s = head->statement;
	struct head ahead = *head;

	/* A prepared statement may be named "transaction". */
	if (head_accept(&ahead, WORD_TRANSACTION) && lexer_is_string(&ahead.token)) {
		s->kind = SQL_PREPARE_TRANSACTION;
		return take_gid(&ahead);
	}
	if (!head_take_name(head))
		return false;
	if (lexer_is_punct(&head->token, '(') && !head_take_parentheses(head, &s->types))
		return false;
	if (!head_accept(head, WORD_AS))
		return false;
	s->body = head_rest(head);
	s->inner = head_query_kind(head);
	return s->inner != SQL_UNKNOWN;
}

static bool take_execute(struct head *head)
{
	if (!head_take_name(head))
		return false;
	if (lexer_is_punct(&head->token, '(') &&
		!head_take_parentheses(head, &head->statement->body))
		return false;
	return head_at_end(head);
}

static bool take_deallocate(struct head *head)
{
	if (head->word == WORD_PREPARE) {
		head_next(head);
		if (head_at_end(head)) {
			head_set_name(head, "prepare");
			return true;
		}
	}
	if (head_accept(head, WORD_ALL)) {
		head->statement->kind = SQL_DEALLOCATE_ALL;
		return head_at_end(head);
	}
	return head_take_name(head) && head_at_end(head);
}

/* --- cursors -------------------------------------------------------------------------
 */

static bool take_declare(struct head *head)
{
	struct statement *s = head->statement;
	bool is_without;

	if (!head_take_name(head))
		return false;
	while (head_accept(head, WORD_BINARY) || head_accept(head, WORD_INSENSITIVE) ||
		head_accept(head, WORD_ASENSITIVE) || head_accept(head, WORD_SCROLL) ||
		head_accept(head, WORD_NO))
		continue;
	if (!head_accept(head, WORD_CURSOR))
		return false;
	is_without = head_accept(head, WORD_WITHOUT);
	if (is_without || head_accept(head, WORD_WITH)) {
		if (!head_accept(head, WORD_HOLD))
			return false;
		s->flags |= is_without ? 0u : (uint32_t)SQL_HOLD;
	}
	if (!head_accept(head, WORD_FOR))
		return false;
	s->body = head_rest(head);
	s->inner = head_query_kind(head);
	return s->inner != SQL_UNKNOWN;
}

static bool take_close(struct head *head)
{
	if (head_accept(head, WORD_ALL)) {
		head->statement->kind = SQL_CLOSE_ALL;
		return head_at_end(head);
	}
	return head_take_name(head) && head_at_end(head);
}

/* The cursor is the last word; before it stand a direction, FROM or IN. */
static bool take_fetch(struct head *head)
{
	while (!head_at_end(head)) {
		struct head ahead = *head;

		head_next(&ahead);
		if (head_at_end(&ahead))
			return head_take_name(head);
		if (!lexer_is_name(&head->token) && head->token.kind != LEXER_NUMBER &&
			!lexer_is_operator(&head->token, "-") &&
			!lexer_is_operator(&head->token, "+"))
			return false;
		head_next(head);
	}
	return false;
}

/* --- channels, libraries, DISCARD ------------------------------------------------------
 */

static bool take_unlisten(struct head *head)
{
	if (lexer_is_operator(&head->token, "*")) {
		head->statement->kind = SQL_UNLISTEN_ALL;
		head_next(head);
		return head_at_end(head);
	}
	return head_take_name(head) && head_at_end(head);
}

static bool take_notify(struct head *head)
{
	if (!head_take_name(head))
		return false;
	if (head_accept_punct(head, ',')) {
		if (!lexer_is_string(&head->token))
			return false;
		head->statement->body = head_rest(head);
		head_next(head);
	}
	return head_at_end(head);
}

static bool take_discard(struct head *head)
{
	struct statement *s = head->statement;

	if (head->word == WORD_ALL) {
		s->kind = SQL_DISCARD_ALL;
		s->flags |= SQL_NO_BLOCK;
	} else if (head->word == WORD_PLANS) {
		s->kind = SQL_DISCARD_PLANS;
	} else if (head->word == WORD_SEQUENCES) {
		s->kind = SQL_DISCARD_SEQUENCES;
	} else if (head->word == WORD_TEMP || head->word == WORD_TEMPORARY) {
		s->kind = SQL_DISCARD_TEMP;
	} else {
		return false;
	}
	head_next(head);
	return head_at_end(head);
}

/* --- by the first word ---------------------------------------------------- */

static bool take_load(struct head *head)
{
	bool is_string = lexer_is_string(&head->token);

	head->statement->body = head_rest(head);
	head_next(head);
	return is_string && head_at_end(head);
}

typedef bool take_f(struct head *);

static const struct {
	enum word word;
	enum sql_kind kind;
	take_f *take;
} readers[] = {
	{ WORD_BEGIN, SQL_BEGIN, take_begin },
	{ WORD_START, SQL_START_TRANSACTION, take_begin },
	{ WORD_COMMIT, SQL_COMMIT, take_commit },
	{ WORD_END, SQL_COMMIT, take_old_end },
	{ WORD_ROLLBACK, SQL_ROLLBACK, take_rollback },
	{ WORD_ABORT, SQL_ROLLBACK, take_old_end },
	{ WORD_SAVEPOINT, SQL_SAVEPOINT, take_savepoint },
	{ WORD_RELEASE, SQL_RELEASE, take_release },
	{ WORD_SET, SQL_SET, statement_set },
	{ WORD_RESET, SQL_RESET, statement_reset },
	{ WORD_SHOW, SQL_SHOW, statement_show },
	{ WORD_DISCARD, SQL_DISCARD_ALL, take_discard },
	{ WORD_PREPARE, SQL_PREPARE, take_prepare },
	{ WORD_EXECUTE, SQL_EXECUTE, take_execute },
	{ WORD_DEALLOCATE, SQL_DEALLOCATE, take_deallocate },
	{ WORD_DECLARE, SQL_DECLARE, take_declare },
	{ WORD_CLOSE, SQL_CLOSE, take_close },
	{ WORD_FETCH, SQL_FETCH, take_fetch },
	{ WORD_MOVE, SQL_MOVE, take_fetch },
	{ WORD_LISTEN, SQL_LISTEN, take_savepoint },
	{ WORD_UNLISTEN, SQL_UNLISTEN, take_unlisten },
	{ WORD_NOTIFY, SQL_NOTIFY, take_notify },
	{ WORD_LOAD, SQL_LOAD, take_load },
};

bool statement_session(struct head *head, enum word word)
{
	for (size_t i = 0; i < COUNT_OF(readers); i++) {
		if (readers[i].word == word) {
			head->statement->kind = readers[i].kind;
			return readers[i].take(head);
		}
	}
	return false;
}
