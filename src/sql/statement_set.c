/* SPDX-License-Identifier: ISC */
/*
 * SET, RESET and SHOW: VariableSetStmt and its kin in gram.y.
 *
 * Most words that begin a form of their own (ROLE, TIME ZONE, NAMES, LOCAL...) may
 * also be the name of a parameter, or begin one: SET local.x = 1 is for the whole
 * session, SET LOCAL x = 1 is not.
 */
#include "sql/statement_priv.h"

#include <string.h>

#include "sql/lexer_chars.h"

/* --- names ---------------------------------------------------------------- */

static bool name_is_unread(struct statement *s)
{
	if (s->kind == SQL_SET)
		s->value = SQL_VALUE_UNREAD;
	return false;
}

/* A parameter's name: case never matters in it, with quotes or without. */
static bool take_parameter(struct head *head)
{
	struct statement *s = head->statement;
	size_t used = 0, len;

	for (;;) {
		if (!head_is_name(head))
			return false;
		if (lexer_value(&head->token, s->lexer_flags, s->name + used,
			    sizeof(s->name) - used, &len) != LEXER_VALUE_OK)
			return name_is_unread(s);
		used += len;
		head_next(head);
		if (!lexer_is_punct(&head->token, '.'))
			break;
		if (used + 2 > sizeof(s->name))
			return name_is_unread(s);
		s->name[used++] = '.';
		head_next(head);
	}
	for (size_t i = 0; i < used; i++)
		s->name[i] = char_fold(s->name[i]);
	return true;
}

/* What stands behind the current word makes it the name of a parameter. */
static bool is_parameter(const struct head *head)
{
	struct head ahead = *head;

	head_next(&ahead);
	return ahead.word == WORD_TO || ahead.word == WORD_FROM ||
		lexer_is_operator(&ahead.token, "=") || lexer_is_punct(&ahead.token, '.');
}

static bool is_followed_by(const struct head *head, enum word word)
{
	struct head ahead = *head;

	head_next(&ahead);
	return ahead.word == word;
}

/* --- values --------------------------------------------------------------- */

static bool take_value(struct head *head)
{
	enum word word = head->word;
	bool has_sign = lexer_is_operator(&head->token, "-") ||
		lexer_is_operator(&head->token, "+");
	bool is_word = lexer_is_name(&head->token) &&
		(words_category(word) != WORD_RESERVED || word == WORD_TRUE ||
			word == WORD_FALSE || word == WORD_ON);

	if (has_sign)
		head_next(head);
	if (head->token.kind != LEXER_NUMBER &&
		(has_sign || (!is_word && !lexer_is_string(&head->token))))
		return false;
	/* N'...' is a word and a string for the grammar. */
	if (head->token.kind == LEXER_STRING_NATIONAL)
		return false;
	head_next(head);
	return true;
}

static bool take_default(struct head *head)
{
	head->statement->value = SQL_VALUE_DEFAULT;
	head_next(head);
	return head_at_end(head);
}

static bool take_list(struct head *head)
{
	head->statement->value = SQL_VALUE_LIST;
	head->statement->body = head_rest(head);
	do {
		if (!take_value(head))
			return false;
	} while (head_accept_punct(head, ','));
	return head_at_end(head);
}

/* A string, or a word that is not reserved. */
static bool take_word_or_string(struct head *head)
{
	bool is_word = lexer_is_name(&head->token) &&
		words_category(head->word) != WORD_RESERVED;

	if (!is_word && !lexer_is_string(&head->token))
		return false;
	return take_list(head);
}

/* --- the forms of SET ----------------------------------------------------- */

static bool take_assignment(struct head *head)
{
	if (!take_parameter(head))
		return false;
	if (strcmp(head->statement->name, "seed") == 0)
		head->statement->flags |= SQL_CALLS_SETSEED;
	if (head_accept(head, WORD_FROM)) {
		head->statement->value = SQL_VALUE_CURRENT;
		return head_accept(head, WORD_CURRENT) && head_at_end(head);
	}
	if (lexer_is_operator(&head->token, "="))
		head_next(head);
	else if (!head_accept(head, WORD_TO))
		return false;
	return head->word == WORD_DEFAULT ? take_default(head) : take_list(head);
}

/* INTERVAL '...', INTERVAL(n) '...', with or without HOUR TO MINUTE. */
static bool take_interval(struct head *head)
{
	head->statement->value = SQL_VALUE_INTERVAL;
	head->statement->body = head_rest(head);
	head_next(head);
	if (head_accept_punct(head, '(')) {
		head_next(head);
		if (!head_accept_punct(head, ')'))
			return false;
	}
	if (!lexer_is_string(&head->token))
		return false;
	while (!head_at_end(head))
		head_next(head);
	return true;
}

/* Behind TIME ZONE. */
static bool take_zone(struct head *head)
{
	bool is_name = lexer_is_name(&head->token) && head->word == WORD_PLAIN;

	head_set_name(head, "timezone");
	if (head->word == WORD_DEFAULT || head->word == WORD_LOCAL)
		return take_default(head);
	if (head->word == WORD_INTERVAL)
		return take_interval(head);
	if (!is_name && head->word != WORD_PLAIN)
		return false;
	return take_list(head);
}

/* Behind TRANSACTION. */
static bool take_transaction(struct head *head)
{
	head->statement->kind = SQL_SET_TRANSACTION;
	if (head->word != WORD_SNAPSHOT)
		return head_take_modes(head);
	head->statement->body = head_rest(head);
	head_next(head);
	if (!lexer_is_string(&head->token))
		return false;
	head_next(head);
	return head_at_end(head);
}

/* Behind SESSION that is no scope. */
static bool take_session(struct head *head)
{
	if (head_accept(head, WORD_AUTHORIZATION)) {
		head_set_name(head, "session_authorization");
		return head->word == WORD_DEFAULT ? take_default(head)
						  : take_word_or_string(head);
	}
	head->statement->kind = SQL_SET_CHARACTERISTICS;
	return head_accept(head, WORD_CHARACTERISTICS) && head_accept(head, WORD_AS) &&
		head_accept(head, WORD_TRANSACTION) && head_take_modes(head);
}

static bool take_names(struct head *head)
{
	head_set_name(head, "client_encoding");
	head->statement->value = SQL_VALUE_DEFAULT;
	if (head_at_end(head))
		return true;
	if (head->word == WORD_DEFAULT)
		return take_default(head);
	return lexer_is_string(&head->token) && take_list(head);
}

static bool take_xml_option(struct head *head)
{
	head_set_name(head, "xmloption");
	if (!head_accept(head, WORD_OPTION))
		return false;
	if (head->word != WORD_DOCUMENT && head->word != WORD_CONTENT)
		return false;
	return take_list(head);
}

/* What is set, behind the scope. */
static bool take_set_rest(struct head *head)
{
	if (is_parameter(head))
		return take_assignment(head);
	if (head_accept(head, WORD_TRANSACTION))
		return take_transaction(head);
	if (head_accept(head, WORD_SESSION))
		return take_session(head);
	if (head_accept(head, WORD_TIME))
		return head_accept(head, WORD_ZONE) && take_zone(head);
	if (head_accept(head, WORD_NAMES))
		return take_names(head);
	if (head_accept(head, WORD_XML))
		return take_xml_option(head);
	if (head_accept(head, WORD_ROLE)) {
		head_set_name(head, "role");
		return take_word_or_string(head);
	}
	if (head_accept(head, WORD_SCHEMA)) {
		head_set_name(head, "search_path");
		return lexer_is_string(&head->token) && take_list(head);
	}
	return false;
}

bool statement_set(struct head *head)
{
	bool is_scope = head->word == WORD_LOCAL ||
		(head->word == WORD_SESSION &&
			!is_followed_by(head, WORD_AUTHORIZATION) &&
			!is_followed_by(head, WORD_CHARACTERISTICS));

	/* SET SESSION characteristics = 1 is a scope and a parameter. */
	if (head->word == WORD_SESSION && is_followed_by(head, WORD_CHARACTERISTICS)) {
		struct head ahead = *head;

		head_next(&ahead);
		is_scope = is_parameter(&ahead);
	}
	if (head->word == WORD_CONSTRAINTS && !is_parameter(head)) {
		head->statement->kind = SQL_SET_CONSTRAINTS;
		return true;
	}
	if (is_scope && !is_parameter(head)) {
		if (head->word == WORD_LOCAL)
			head->statement->flags |= SQL_LOCAL;
		head_next(head);
	}
	return take_set_rest(head);
}

/* --- RESET and SHOW ------------------------------------------------------------------
 */

/* Names that RESET and SHOW spell as several words. */
static bool take_shown(struct head *head)
{
	if (head->word == WORD_TIME && is_followed_by(head, WORD_ZONE)) {
		head_next(head);
		head_next(head);
		head_set_name(head, "timezone");
	} else if (head->word == WORD_SESSION &&
		is_followed_by(head, WORD_AUTHORIZATION)) {
		head_next(head);
		head_next(head);
		head_set_name(head, "session_authorization");
	} else if (head->word == WORD_TRANSACTION &&
		is_followed_by(head, WORD_ISOLATION)) {
		head_next(head);
		head_next(head);
		if (!head_accept(head, WORD_LEVEL))
			return false;
		head_set_name(head, "transaction_isolation");
	} else if (!take_parameter(head)) {
		return false;
	}
	return head_at_end(head);
}

bool statement_reset(struct head *head)
{
	if (head_accept(head, WORD_ALL)) {
		head->statement->kind = SQL_RESET_ALL;
		return head_at_end(head);
	}
	return take_shown(head);
}

bool statement_show(struct head *head)
{
	if (head_accept(head, WORD_ALL)) {
		head_set_name(head, "all");
		return head_at_end(head);
	}
	return take_shown(head);
}

/* --- the value as PostgreSQL stores it -------------------------------------------------
 */

struct value_out {
	char *to;
	size_t size;
	size_t len;
	enum lexer_value problem;
};

static void put(struct value_out *out, const char *text, size_t len)
{
	if (out->len + len >= out->size) {
		if (out->problem == LEXER_VALUE_OK)
			out->problem = LEXER_VALUE_TOO_LONG;
		return;
	}
	memcpy(out->to + out->len, text, len);
	out->len += len;
}

/* GUC_LIST_QUOTE in guc.c.  Extensions cannot have such. */
static bool is_list_of_names(const char *parameter)
{
	static const char *const lists[] = { "search_path", "temp_tablespaces",
		"local_preload_libraries", "session_preload_libraries",
		"shared_preload_libraries", "unix_socket_directories" };

	for (size_t i = 0; i < COUNT_OF(lists); i++) {
		if (strcmp(parameter, lists[i]) == 0)
			return true;
	}
	return false;
}

/* quote_identifier() in ruleutils.c. */
static bool is_safe_name(const char *text, size_t len)
{
	if (len == 0 || !((text[0] >= 'a' && text[0] <= 'z') || text[0] == '_'))
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
			return false;
	}
	return words_category(words_find_text(text, len)) == WORD_UNRESERVED;
}

/* Puts quotes around what was written from start on. */
static void quote_from(struct value_out *out, size_t start)
{
	size_t extra = 2;

	if (out->problem != LEXER_VALUE_OK ||
		is_safe_name(out->to + start, out->len - start))
		return;
	for (size_t i = start; i < out->len; i++)
		extra += out->to[i] == '"';
	if (out->len + extra >= out->size) {
		out->problem = LEXER_VALUE_TOO_LONG;
		return;
	}
	/* From the end, so that it can be done in place. */
	size_t from = out->len, to = out->len + extra;

	out->len = to;
	out->to[--to] = '"';
	while (from > start) {
		out->to[--to] = out->to[--from];
		if (out->to[to] == '"')
			out->to[--to] = '"';
	}
	out->to[--to] = '"';
}

static void put_decoded(
	struct value_out *out, const struct lexer_token *token, unsigned flags)
{
	enum lexer_value result;
	size_t len;

	if (out->problem != LEXER_VALUE_OK)
		return;
	result =
		lexer_value(token, flags, out->to + out->len, out->size - out->len, &len);
	if (result == LEXER_VALUE_OK)
		out->len += len;
	else
		out->problem = result;
}

/* Whole numbers that fit 32 bits are stored as numbers, others as their text.
 * Those of PostgreSQL 16 (0x10, 1_000) are left to the server. */
static void put_number(
	struct value_out *out, const struct lexer_token *token, bool is_negative)
{
	const char *pos = token->text;
	size_t len = token->len;
	uint64_t number = 0;
	bool is_whole = true;

	for (size_t i = 0; i < len; i++) {
		char c = char_fold(pos[i]);

		if (c == '_' || c == 'x' || c == 'o' || c == 'b') {
			out->problem = LEXER_VALUE_UNKNOWN;
			return;
		}
		is_whole &= char_is(c, CHAR_DIGIT);
		if (is_whole && number <= INT32_MAX)
			number = number * 10 + (uint64_t)(c - '0');
	}
	if (is_whole && number <= INT32_MAX) {
		while (len > 1 && *pos == '0') {
			pos++;
			len--;
		}
		is_negative &= number != 0;
	}
	if (is_negative)
		put(out, "-", 1);
	put(out, pos, len);
}

static void put_part(struct value_out *out, struct head *head, bool quotes)
{
	size_t start = out->len;
	bool is_negative = lexer_is_operator(&head->token, "-");

	if (is_negative || lexer_is_operator(&head->token, "+"))
		head_next(head);
	if (head->token.kind == LEXER_NUMBER)
		put_number(out, &head->token, is_negative);
	else
		put_decoded(out, &head->token, head->statement->lexer_flags);
	/* Numbers are not quoted. */
	if (quotes && head->token.kind != LEXER_NUMBER)
		quote_from(out, start);
	head_next(head);
}

enum lexer_value statement_value(
	const struct statement *statement, char *to, size_t size, size_t *len)
{
	struct value_out out = { .to = to, .size = size };
	bool quotes = is_list_of_names(statement->name);
	struct statement copy = *statement;
	struct head head;

	*len = 0;
	if (statement->value != SQL_VALUE_LIST)
		return statement->value == SQL_VALUE_INTERVAL ? LEXER_VALUE_UNKNOWN
							      : LEXER_VALUE_INVALID;
	if (size == 0)
		return LEXER_VALUE_TOO_LONG;
	copy.text = statement->body;
	head_init(&head, &copy);
	for (;;) {
		put_part(&out, &head, quotes);
		if (out.problem != LEXER_VALUE_OK || !head_accept_punct(&head, ','))
			break;
		put(&out, ", ", 2);
	}
	to[out.problem == LEXER_VALUE_OK ? out.len : 0] = '\0';
	*len = out.problem == LEXER_VALUE_OK ? out.len : 0;
	return out.problem;
}
