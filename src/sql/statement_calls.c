/* SPDX-License-Identifier: ISC */
/*
 * What calls of functions do, and calls of set_config() with their arguments.
 *
 * Where the text calls it in another way than by its name and a parenthesis
 * there is nothing to see (sql/statement.h).
 */
#include "sql/statement_priv.h"

/* Tokens of an argument that is no constant. */
enum { EXPRESSION_MAX = 64 };

uint32_t statement_call_flags(enum word_function function)
{
	switch (function) {
	case FUNCTION_UNKNOWN:
		return SQL_CALLS_UNKNOWN;
	case FUNCTION_HARMLESS:
		return 0;
	case FUNCTION_SET_CONFIG:
		return SQL_CALLS_SET_CONFIG;
	case FUNCTION_SETSEED:
		return SQL_CALLS_SETSEED;
	case FUNCTION_LOCK:
		return SQL_CALLS_LOCK;
	case FUNCTION_UNLOCK:
		return SQL_CALLS_UNLOCK;
	case FUNCTION_NEXTVAL:
		return SQL_CALLS_NEXTVAL;
	case FUNCTION_CURRVAL:
		return SQL_CALLS_CURRVAL;
	case FUNCTION_NOTIFY:
		return SQL_CALLS_NOTIFY;
	case FUNCTION_LARGE_OBJECT:
		return SQL_CALLS_LARGE_OBJECT;
	case FUNCTION_DBLINK:
		return SQL_CALLS_DBLINK;
	case FUNCTION_CONNECT:
		return SQL_CALLS_DBLINK | SQL_CALLS_CONNECT;
	case FUNCTION_SLOT:
		return SQL_CALLS_SESSION | SQL_CALLS_SLOT;
	case FUNCTION_ORIGIN:
		return SQL_CALLS_SESSION | SQL_CALLS_ORIGIN;
	case FUNCTION_BACKUP:
		return SQL_CALLS_SESSION | SQL_CALLS_BACKUP;
	case FUNCTION_SESSION:
		return SQL_CALLS_SESSION;
	}
	return SQL_CALLS_UNKNOWN;
}

static bool names_set_config(const struct head *head)
{
	return lexer_is_name(&head->token) &&
		lexer_value_is(&head->token, head->statement->lexer_flags, "set_config");
}

static bool names_pg_catalog(const struct head *head)
{
	return lexer_is_name(&head->token) &&
		lexer_value_is(&head->token, head->statement->lexer_flags, "pg_catalog");
}

/* --- arguments ------------------------------------------------------------ */

static bool is_bool_text(const struct head *head, bool *is_true)
{
	static const struct {
		const char *text;
		bool is_true;
	} texts[] = { { "true", true }, { "t", true }, { "on", true }, { "1", true },
		{ "yes", true }, { "false", false }, { "f", false }, { "off", false },
		{ "0", false }, { "no", false } };

	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		if (lexer_value_is(
			    &head->token, head->statement->lexer_flags, texts[i].text)) {
			*is_true = texts[i].is_true;
			return true;
		}
	}
	return false;
}

static uint32_t param_number(const struct lexer_token *token)
{
	uint32_t number = 0;

	for (size_t i = 1; i < token->len && number <= UINT16_MAX; i++)
		number = number * 10 + (uint32_t)(token->text[i] - '0');
	return number;
}

/* ::text or ::bool, with pg_catalog or without: changes neither a text nor a
 * boolean.  Other casts (varchar(3), name) may. */
static bool take_cast(struct head *head, bool is_last)
{
	if (head->token.kind != LEXER_CAST)
		return true;
	head_next(head);
	if (names_pg_catalog(head)) {
		head_next(head);
		if (!head_accept_punct(head, '.'))
			return false;
	}
	if (is_last ? !lexer_is_word(&head->token, "bool") &&
				!lexer_is_word(&head->token, "boolean")
		    : !lexer_is_word(&head->token, "text"))
		return false;
	head_next(head);
	return true;
}

/* One argument and its cast; what it is not goes on to be OTHER. */
static void take_argument(
	struct head *head, struct sql_call_argument *argument, bool is_last)
{
	argument->kind = SQL_ARGUMENT_OTHER;
	argument->token = head->token;
	if (head->token.kind == LEXER_PARAM) {
		argument->kind = SQL_ARGUMENT_PARAM;
		argument->param = param_number(&head->token);
	} else if (head->word == WORD_NULL) {
		argument->kind = SQL_ARGUMENT_NULL;
	} else if (is_last && (head->word == WORD_TRUE || head->word == WORD_FALSE)) {
		argument->kind = SQL_ARGUMENT_BOOL;
		argument->is_true = head->word == WORD_TRUE;
	} else if (is_last && lexer_is_string(&head->token)) {
		if (is_bool_text(head, &argument->is_true))
			argument->kind = SQL_ARGUMENT_BOOL;
	} else if (lexer_is_string(&head->token) &&
		head->token.kind != LEXER_STRING_NATIONAL) {
		argument->kind = SQL_ARGUMENT_STRING;
	}
	if (argument->kind == SQL_ARGUMENT_OTHER)
		return;
	head_next(head);
	if (!take_cast(head, is_last))
		argument->kind = SQL_ARGUMENT_OTHER;
}

/* Behind an expression, and the comma or parenthesis that ends it.  Long ones are not
 * looked through: each may be full of calls, whose own arguments are looked through, too. */
static bool skip_expression(struct head *head, char end)
{
	int depth = 0;

	for (int tokens = 0; tokens < EXPRESSION_MAX && !head_at_end(head); tokens++) {
		const struct lexer_token *token = &head->token;

		if (depth == 0 && lexer_is_punct(token, end)) {
			head_next(head);
			return true;
		}
		if (lexer_is_punct(token, '(') || lexer_is_punct(token, '['))
			depth++;
		if (lexer_is_punct(token, ')') || lexer_is_punct(token, ']'))
			depth--;
		if (depth < 0 || (depth == 0 && lexer_is_punct(token, ',')))
			return false;
		head_next(head);
	}
	return false;
}

/* Behind the opening parenthesis.  False: some are OTHER; then it stays where it stops
 * understanding, so that calls within the arguments are found too. */
static bool take_arguments(struct head *head, struct sql_call *call)
{
	struct head at = *head;
	bool all = true;

	for (size_t i = 0; i < COUNT_OF(call->arguments); i++)
		call->arguments[i].kind = SQL_ARGUMENT_OTHER;
	for (size_t i = 0; i < COUNT_OF(call->arguments); i++) {
		char end = i + 1 == COUNT_OF(call->arguments) ? ')' : ',';
		struct sql_call_argument *argument = &call->arguments[i];

		take_argument(&at, argument, end == ')');
		if (argument->kind != SQL_ARGUMENT_OTHER && head_accept_punct(&at, end)) {
			*head = all ? at : *head;
			continue;
		}
		argument->kind = SQL_ARGUMENT_OTHER;
		*head = all ? at : *head;
		all = false;
		if (!skip_expression(&at, end))
			return false;
	}
	return all;
}

/* --- interface ------------------------------------------------------------ */

void statement_calls_begin(struct statement_calls *calls, const struct statement *s)
{
	lexer_init(&calls->lexer, s->text.data, s->text.len,
		s->lexer_flags & ~(unsigned)LEXER_UNSAFE_ENCODING);
}

bool statement_calls_next(struct statement_calls *calls, struct sql_call *call)
{
	struct statement s = { .lexer_flags = calls->lexer.flags };
	struct head head = { .statement = &s, .lexer = calls->lexer };
	bool is_found = false, is_foreign = false;

	head_next(&head);
	while (!is_found && !head_at_end(&head)) {
		bool is_name = names_set_config(&head) && !is_foreign;
		bool is_schema = lexer_is_name(&head.token) && !names_pg_catalog(&head);

		head_next(&head);
		is_found = is_name && lexer_is_punct(&head.token, '(');
		/* A function of another schema only shares the name. */
		is_foreign = lexer_is_punct(&head.token, '.') && is_schema;
		if (lexer_is_punct(&head.token, '.'))
			head_next(&head);
	}
	if (is_found) {
		head_next(&head);
		(void)take_arguments(&head, call);
	}
	/* The token that was looked at last is looked at again. */
	calls->lexer.pos = head.token.text;
	return is_found;
}

bool statement_is_only_set_config(const struct statement *statement)
{
	struct statement s = *statement;
	struct sql_call call;
	struct head head;

	if (s.kind != SQL_SELECT || (s.flags & SQL_UNSURE) != 0)
		return false;
	head_init(&head, &s);
	if (!head_accept(&head, WORD_SELECT))
		return false;
	do {
		if (names_pg_catalog(&head)) {
			head_next(&head);
			if (!head_accept_punct(&head, '.'))
				return false;
		}
		if (!names_set_config(&head))
			return false;
		head_next(&head);
		if (!head_accept_punct(&head, '(') || !take_arguments(&head, &call) ||
			!head_skip_label(&head))
			return false;
	} while (head_accept_punct(&head, ','));
	return head_at_end(&head);
}
