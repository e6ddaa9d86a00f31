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

static bool names(const struct head *head, const char *what)
{
	return lexer_is_name(&head->token) &&
		lexer_value_is(&head->token, head->statement->lexer_flags, what);
}

static bool names_set_config(const struct head *head)
{
	return names(head, "set_config");
}

static bool names_pg_catalog(const struct head *head)
{
	return names(head, "pg_catalog");
}

static bool skip_schema(struct head *head)
{
	if (!names_pg_catalog(head))
		return true;
	head_next(head);
	return head_accept_punct(head, '.');
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

/* Between such types nobody else has a say in what a cast gives: NULL gives NULL, and nothing
 * else does. */
static bool skip_casts(struct head *head)
{
	static const char *const types[] = { "bigint", "bool", "boolean", "int", "int4", "int8",
		"integer", "json", "jsonb", "numeric", "text", "uuid", "varchar" };
	bool is_known = true;

	while (is_known && head->token.kind == LEXER_CAST) {
		head_next(head);
		is_known = false;
		for (size_t i = 0; i < COUNT_OF(types); i++)
			is_known = is_known || lexer_is_word(&head->token, types[i]);
		head_next(head);
	}
	return is_known;
}

/* COALESCE(..., 'x') */
static bool skip_coalesce(struct head *head)
{
	bool was_comma = false, was_constant = false;
	int depth = 0;

	head_next(head);
	for (int tokens = 0; tokens < EXPRESSION_MAX && !head_at_end(head); tokens++) {
		const struct lexer_token *token = &head->token;
		bool is_constant = lexer_is_string(token) || token->kind == LEXER_NUMBER;

		depth += lexer_is_punct(token, '(') - lexer_is_punct(token, ')');
		if (depth == 0)
			break;
		was_constant = is_constant && was_comma;
		was_comma = depth == 1 && lexer_is_punct(token, ',');
		head_next(head);
	}
	return head_accept_punct(head, ')') && was_constant;
}

/* A value that is no constant, as far as can be said when it is NULL. */
static void look_at_value(struct head head, struct sql_call_argument *argument)
{
	uint32_t param = head.token.kind == LEXER_PARAM ? param_number(&head.token) : 0;
	bool is_filled = false, is_known = true;

	if (lexer_is_word(&head.token, "coalesce")) {
		is_known = is_filled = skip_coalesce(&head);
	} else {
		is_filled = head.token.kind == LEXER_NUMBER || lexer_is_string(&head.token);
		is_known = is_filled || param != 0;
		head_next(&head);
	}
	if (!is_known || !skip_casts(&head) || !lexer_is_punct(&head.token, ','))
		return;
	argument->is_filled = is_filled;
	argument->param = param;
}

/* One argument and its cast; what it is not goes on to be OTHER. */
static void take_argument(
	struct head *head, struct sql_call_argument *argument, bool is_last)
{
	*argument = (struct sql_call_argument){ .kind = SQL_ARGUMENT_OTHER, .token = head->token };
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

	*call = (struct sql_call){ .arguments[0].kind = SQL_ARGUMENT_OTHER };
	for (size_t i = 0; i < COUNT_OF(call->arguments); i++) {
		char end = i + 1 == COUNT_OF(call->arguments) ? ')' : ',';
		struct sql_call_argument *argument = &call->arguments[i];
		struct head before = at;

		take_argument(&at, argument, end == ')');
		if (argument->kind != SQL_ARGUMENT_OTHER && head_accept_punct(&at, end)) {
			*head = all ? at : *head;
			continue;
		}
		argument->kind = SQL_ARGUMENT_OTHER;
		if (i == 1)
			look_at_value(before, argument);
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

/* At what a SELECT tells.  False: it is none, or may be another statement. */
static bool begin_select(struct head *head, struct statement *s)
{
	if (s->kind != SQL_SELECT || (s->flags & SQL_UNSURE) != 0)
		return false;
	head_init(head, s);
	return head_accept(head, WORD_SELECT);
}

bool statement_is_only_set_config(const struct statement *statement)
{
	struct statement s = *statement;
	struct sql_call call;
	struct head head;

	if (!begin_select(&head, &s))
		return false;
	do {
		if (!skip_schema(&head) || !names_set_config(&head))
			return false;
		head_next(&head);
		if (!head_accept_punct(&head, '(') || !take_arguments(&head, &call) ||
			!head_skip_label(&head))
			return false;
	} while (head_accept_punct(&head, ','));
	return head_at_end(&head);
}

/* --- whether it runs ------------------------------------------------------ */

/* Behind the parentheses of a call.  False: another call is in them, which may be one that is
 * left out (CASE, AND). */
static bool skip_call(struct head *head)
{
	int depth = 0;

	do {
		if (head_at_end(head) || names_set_config(head))
			return false;
		depth += lexer_is_punct(&head->token, '(') - lexer_is_punct(&head->token, ')');
		head_next(head);
	} while (depth > 0);
	return true;
}

/* A constant, or what is set now, stands beside. */
static bool skip_other(struct head *head)
{
	struct sql_call_argument constant;

	if (names(head, "current_setting")) {
		head_next(head);
		return lexer_is_punct(&head->token, '(') && skip_call(head);
	}
	if (head->token.kind == LEXER_NUMBER) {
		head_next(head);
		return true;
	}
	take_argument(head, &constant, false);
	return constant.kind != SQL_ARGUMENT_OTHER;
}

bool statement_runs_set_config(const struct statement *statement)
{
	struct statement s = *statement;
	struct head head;

	if (!begin_select(&head, &s))
		return false;
	do {
		if (!skip_schema(&head))
			return false;
		if (names_set_config(&head)) {
			head_next(&head);
			if (!lexer_is_punct(&head.token, '(') || !skip_call(&head))
				return false;
		} else if (!skip_other(&head)) {
			return false;
		}
		if (!skip_casts(&head) || !head_skip_label(&head))
			return false;
	} while (head_accept_punct(&head, ','));
	return head_at_end(&head);
}

/* --- types ---------------------------------------------------------------- */

/* They are read for each of the calls, of which there may be thousands: those of the first
 * parameters, and the others may be any. */
enum { TYPES_KNOWN = 128, TYPES_LEN = 4096 };

bool statement_types_leave_text(const struct statement *statement, uint32_t number)
{
	size_t len = size_min(statement->types.len, TYPES_LEN);
	struct lexer_token token, last = { .kind = LEXER_END };
	uint32_t at = 1, words = 0;
	struct lexer lexer;
	int depth = 0;

	if (statement->kind != SQL_PREPARE || statement->types.data == NULL)
		return true;
	if (number > TYPES_KNOWN)
		return false;
	lexer_init(&lexer, statement->types.data, len, statement->lexer_flags);
	while (lexer_next(&lexer, &token) != LEXER_END) {
		bool ends = depth == 1 && (lexer_is_punct(&token, ',') || lexer_is_punct(&token, ')'));

		if (ends && at == number)
			return words == 1 && (lexer_is_word(&last, "text") ||
						     lexer_is_word(&last, "varchar"));
		depth += lexer_is_punct(&token, '(') - lexer_is_punct(&token, ')');
		words = ends ? 0 : words + (depth > 0 && !lexer_is_punct(&token, '('));
		at += ends;
		last = token;
	}
	return len == statement->types.len;
}
