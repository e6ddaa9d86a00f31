/* SPDX-License-Identifier: ISC */
#include "sql/head.h"

#include <string.h>

/* --- tokens --------------------------------------------------------------- */

void head_next(struct head *head)
{
	(void)lexer_next(&head->lexer, &head->token);
	head->word = words_find(&head->token);
}

void head_init(struct head *head, struct statement *statement)
{
	head->statement = statement;
	lexer_init(&head->lexer, statement->text.data, statement->text.len,
		statement->lexer_flags & ~(unsigned)LEXER_UNSAFE_ENCODING);
	head_next(head);
}

bool head_at_end(const struct head *head)
{
	return head->token.kind == LEXER_END;
}

bool head_accept(struct head *head, enum word word)
{
	if (head->word != word)
		return false;
	head_next(head);
	return true;
}

bool head_accept_punct(struct head *head, char c)
{
	if (!lexer_is_punct(&head->token, c))
		return false;
	head_next(head);
	return true;
}

bool head_skip_label(struct head *head)
{
	if (head_accept(head, WORD_AS)) {
		if (!lexer_is_name(&head->token))
			return false;
		head_next(head);
	} else if (lexer_is_name(&head->token) && head->word == WORD_PLAIN) {
		head_next(head);
	}
	return true;
}

bool head_is_name(const struct head *head)
{
	enum word_category category = words_category(head->word);

	return lexer_is_name(&head->token) &&
		(category == WORD_UNRESERVED || category == WORD_COL_NAME);
}

bool head_take_name(struct head *head)
{
	struct statement *s = head->statement;
	size_t len;

	if (!head_is_name(head) ||
		lexer_value(&head->token, s->lexer_flags, s->name, sizeof(s->name),
			&len) != LEXER_VALUE_OK)
		return false;
	head_next(head);
	return true;
}

void head_set_name(struct head *head, const char *name)
{
	size_t len = strlen(name);

	memcpy(head->statement->name, name, len + 1);
}

struct sql_range head_rest(const struct head *head)
{
	const struct sql_range *text = &head->statement->text;
	struct sql_range rest = { head->token.text,
		(size_t)(text->data + text->len - head->token.text) };

	return rest;
}

/* From the current parenthesis to the one that closes it. */
bool head_take_parentheses(struct head *head, struct sql_range *range)
{
	size_t depth = 0;
	const char *start = head->token.text, *end;

	do {
		if (head_at_end(head))
			return false;
		if (lexer_is_punct(&head->token, '('))
			depth++;
		else if (lexer_is_punct(&head->token, ')'))
			depth--;
		end = head->token.text + head->token.len;
		head_next(head);
	} while (depth > 0);
	range->data = start;
	range->len = (size_t)(end - start);
	return true;
}

/* --- what a statement within a statement is ------------------------------- */

/* Over the queries of WITH; false where the grammar has more than is known here
 * (SEARCH and CYCLE). */
static bool skip_with(struct head *head)
{
	struct sql_range range;

	(void)head_accept(head, WORD_RECURSIVE);
	do {
		if (!head_is_name(head))
			return false;
		head_next(head);
		if (lexer_is_punct(&head->token, '(') &&
			!head_take_parentheses(head, &range))
			return false;
		if (!head_accept(head, WORD_AS))
			return false;
		if (head_accept(head, WORD_NOT) && head->word != WORD_MATERIALIZED)
			return false;
		(void)head_accept(head, WORD_MATERIALIZED);
		if (!lexer_is_punct(&head->token, '(') ||
			!head_take_parentheses(head, &range))
			return false;
	} while (head_accept_punct(head, ','));
	return true;
}

enum sql_kind head_query_kind(const struct head *at)
{
	struct head head = *at;

	while (head_accept_punct(&head, '('))
		continue;
	if (head_accept(&head, WORD_WITH) && !skip_with(&head))
		return SQL_UNKNOWN;
	while (head_accept_punct(&head, '('))
		continue;
	switch ((int)head.word) {
	case WORD_SELECT:
	case WORD_VALUES:
	case WORD_TABLE:
	case WORD_WITH: /* behind a parenthesis: a query */
		return SQL_SELECT;
	case WORD_INSERT:
		return SQL_INSERT;
	case WORD_UPDATE:
		return SQL_UPDATE;
	case WORD_DELETE:
		return SQL_DELETE;
	case WORD_MERGE:
		return SQL_MERGE;
	default:
		return SQL_UNKNOWN;
	}
}

/* --- modes of a transaction ----------------------------------------------- */

static bool take_mode(struct head *head)
{
	if (head_accept(head, WORD_ISOLATION)) {
		if (!head_accept(head, WORD_LEVEL))
			return false;
		if (head_accept(head, WORD_READ))
			return head_accept(head, WORD_COMMITTED) ||
				head_accept(head, WORD_UNCOMMITTED);
		if (head_accept(head, WORD_REPEATABLE))
			return head_accept(head, WORD_READ);
		return head_accept(head, WORD_SERIALIZABLE);
	}
	if (head_accept(head, WORD_READ))
		return head_accept(head, WORD_ONLY) || head_accept(head, WORD_WRITE);
	(void)head_accept(head, WORD_NOT);
	return head_accept(head, WORD_DEFERRABLE);
}

bool head_take_modes(struct head *head)
{
	head->statement->body = head_rest(head);
	do {
		if (!take_mode(head))
			return false;
	} while (head_accept_punct(head, ',') || !head_at_end(head));
	return true;
}
