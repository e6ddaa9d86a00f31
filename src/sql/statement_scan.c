/* SPDX-License-Identifier: ISC */
/*
 * One pass over the tokens of a statement: where it ends, which functions it
 * calls, which words and constants are in it.
 *
 * A semicolon ends a statement, but for those within parentheses (CREATE RULE)
 * and in the body of a routine: CREATE FUNCTION ... BEGIN ATOMIC ...; END.
 *
 * A call is a name before a parenthesis, unless its place says otherwise
 * (statement_place.c).  A function that is known to change the session counts wherever
 * it stands, also as an attribute: (0.5::float8).setseed.
 */
#include "sql/statement_place.h"
#include "sql/statement_priv.h"

#include <string.h>

enum { DEPTH_MAX = 64 };

static void set_flag(struct scan *scan, uint32_t flag)
{
	scan->statement->flags |= flag;
}

static bool is_string_kind(enum lexer_kind kind)
{
	return kind >= LEXER_STRING && kind <= LEXER_STRING_DOLLAR;
}

/* --- calls ---------------------------------------------------------------- */

/* A schema of PostgreSQL's, or none. */
static bool is_builtin_schema(const struct scan *scan, const struct chain *chain)
{
	return chain->parts == 1 ||
		lexer_value_is(&chain->schema, scan->lexer->flags, "pg_catalog");
}

/* The chain is a call, unless its place says otherwise. */
static void note_call(struct scan *scan)
{
	const struct chain *chain = &scan->chain;
	enum word_function function = FUNCTION_UNKNOWN;
	char name[LEXER_NAME_MAX + 1];
	size_t len;

	if (lexer_value(&chain->name, scan->lexer->flags, name, sizeof(name), &len) ==
		LEXER_VALUE_OK)
		function = words_function(name, len);
	/* Those of an extension are in whatever schema. */
	if (function != FUNCTION_DBLINK && function != FUNCTION_CONNECT &&
		!is_builtin_schema(scan, chain))
		function = FUNCTION_UNKNOWN;
	if (function != FUNCTION_UNKNOWN)
		set_flag(scan, statement_call_flags(function));
	else if (!statement_place_has_no_call(scan, chain))
		set_flag(scan, SQL_CALLS_UNKNOWN);
}

/* "name (" was read, and now the token behind it: arguments never begin so. */
static void finish_call(struct scan *scan)
{
	enum word word = scan->now.word;

	scan->waits_for_argument = false;
	if (word == WORD_SELECT || word == WORD_WITH || word == WORD_TABLE)
		return;
	note_call(scan);
}

/* A field, or a function of one argument (ParseFuncOrColumn() in parse_func.c). */
static void note_attribute(struct scan *scan)
{
	enum word_function function = FUNCTION_UNKNOWN;
	char name[LEXER_NAME_MAX + 1];
	size_t len;

	if (lexer_value(&scan->token, scan->lexer->flags, name, sizeof(name), &len) ==
		LEXER_VALUE_OK)
		function = words_function(name, len);
	set_flag(scan, function == FUNCTION_UNKNOWN ? SQL_MAY_CALL :
						      statement_call_flags(function));
}

static bool is_behind_expression(const struct scan *scan)
{
	return scan_is_punct(&scan->last, '.') &&
		(scan_is_punct(&scan->last2, ')') || scan_is_punct(&scan->last2, ']') ||
			scan->last2.kind == LEXER_PARAM);
}

static void begin_chain(struct scan *scan)
{
	struct chain *chain = &scan->chain;

	chain->is_open = true;
	chain->parts = 1;
	chain->name = scan->token;
	chain->word = scan->now.word;
	chain->before = scan->last;
	chain->before2 = scan->last2;
	chain->depth = scan->depth;
	chain->is_second = scan->count == 2;
	chain->is_attribute = is_behind_expression(scan);
}

static void on_name(struct scan *scan)
{
	struct chain *chain = &scan->chain;

	if (chain->is_open && scan_is_punct(&scan->last, '.')) {
		chain->schema = chain->name;
		chain->name = scan->token;
		chain->parts++;
	} else {
		begin_chain(scan);
	}
	if (chain->is_attribute)
		note_attribute(scan);
}

/* ON CONFLICT (a) DO NOTHING is a clause; JOIN ... ON conflict(a) is a call. */
static void note_conflict(struct scan *scan)
{
	if (scan->conflict_open)
		set_flag(scan, SQL_CALLS_UNKNOWN);
	scan->conflict_open = false;
}

/* DO alone may be somebody's label. */
static void end_conflict(struct scan *scan)
{
	if (scan->last.word == WORD_DO && scan->depth + 1 == scan->conflict_depth)
		scan->conflict_open = false;
}

/* What was opened may be the call of a function that OVER can follow. */
static bool may_be_call(const struct chain *chain)
{
	enum word_category category = words_category(chain->word);

	if (chain->parts > 1 || chain->name.kind != LEXER_WORD)
		return true;
	/* WITHIN GROUP (...) belongs to a call. */
	if (chain->word == WORD_GROUP)
		return true;
	/* What follows OPERATOR (...) is an operand. */
	if (chain->word == WORD_OPERATOR)
		return false;
	return category != WORD_RESERVED && category != WORD_COL_NAME;
}

static void push_paren(struct scan *scan, bool is_call)
{
	if (scan->depth >= DEPTH_MAX) {
		set_flag(scan, SQL_UNSURE);
	} else {
		scan->calls &= ~(UINT64_C(1) << scan->depth);
		if (is_call)
			scan->calls |= UINT64_C(1) << scan->depth;
	}
	scan->depth++;
}

static void open_paren(struct scan *scan)
{
	const struct chain *chain = &scan->chain;
	bool follows_name = chain->is_open && scan_is_name(scan->last.kind);
	bool is_word = follows_name && chain->parts == 1;

	push_paren(scan, follows_name && may_be_call(chain));
	if (is_word && chain->word == WORD_CONFLICT && chain->before.word == WORD_ON) {
		scan->conflict_open = true;
		scan->conflict_depth = scan->depth;
	} else if (is_word && chain->word == WORD_OPERATOR) {
		scan->operator_open = true;
	} else if (is_word && chain->word == WORD_TREAT &&
		!statement_place_names(chain->before.word)) {
		/* TREAT(x AS f) calls f(x) of PostgreSQL's, whatever f is. */
		set_flag(scan, SQL_UNSURE);
	} else if (follows_name) {
		scan->waits_for_argument = true;
	}
}

/* "(+" and "(a.+"; in "(a !)" and "(1 !)" the operator has an operand (up to release 13). */
static bool is_name_of_operator(const struct scan *scan)
{
	return scan->last.kind == LEXER_OPERATOR &&
		(scan_is_punct(&scan->last2, '(') || scan_is_punct(&scan->last2, '.'));
}

static void close_paren(struct scan *scan)
{
	if (scan->operator_open && !is_name_of_operator(scan))
		set_flag(scan, SQL_CALLS_UNKNOWN);
	scan->operator_open = false;
	if (scan->depth == 0) {
		set_flag(scan, SQL_UNSURE);
		return;
	}
	scan->depth--;
	/* Of the parenthesis around it, in which nothing has followed that makes it a clause. */
	if (scan->depth + 1 < scan->conflict_depth)
		note_conflict(scan);
	scan->now.closes_call =
		scan->depth < DEPTH_MAX && (scan->calls >> scan->depth & 1) != 0;
}

/* --- constants ------------------------------------------------------------ */

/* A string behind it is a constant of that type.  LIKE and others are words of
 * operators where a string follows them. */
static bool may_be_type(const struct scan *scan)
{
	const struct item *item = &scan->last;

	switch ((int)item->word) {
	case WORD_LIKE:
	case WORD_ILIKE:
	case WORD_ESCAPE:
	case WORD_BETWEEN:
	case WORD_IS:
		return false;
	case WORD_ZONE:
		/* AT TIME ZONE, not "time with time zone". */
		return scan->last3.word != WORD_AT;
	default:
		break;
	}
	if (scan_is_punct(item, ')') || scan_is_punct(item, ']'))
		return true;
	return scan_is_name(item->kind) && words_category(item->word) != WORD_RESERVED;
}

static void on_string(struct scan *scan)
{
	set_flag(scan, SQL_HAS_STRING);
	if (scan->last.kind == LEXER_CAST || may_be_type(scan))
		set_flag(scan, SQL_HAS_CAST_STRING);
}

/* ('x')::date and ARRAY['x']::date[] are constants of the type too. */
static void on_cast(struct scan *scan)
{
	bool has_string = (scan->statement->flags & SQL_HAS_STRING) != 0;

	if (is_string_kind(scan->last.kind) ||
		(has_string &&
			(scan_is_punct(&scan->last, ')') || scan_is_punct(&scan->last, ']'))))
		set_flag(scan, SQL_HAS_CAST_STRING);
}

/* --- words ---------------------------------------------------------------- */

static bool begins_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

/* pg_settings; pg_temp, and pg_temp_3 as the catalog has it. */
static void note_system_name(struct scan *scan)
{
	char name[LEXER_NAME_MAX + 1];
	size_t len;

	/* Most names are not long enough or do not begin so; U&"..." may. */
	if (scan->token.kind != LEXER_QUOTED_UNICODE &&
		(scan->token.len < 7 || memchr(scan->token.text, '_', 4) == NULL))
		return;
	if (lexer_value(&scan->token, scan->lexer->flags, name, sizeof(name), &len) !=
		LEXER_VALUE_OK)
		return;
	scan->has_settings = scan->has_settings || strcmp(name, "pg_settings") == 0;
	if (strcmp(name, "pg_temp") == 0 || begins_with(name, "pg_temp_") ||
		begins_with(name, "pg_toast_temp_"))
		set_flag(scan, SQL_PG_TEMP);
}

static void note_temp(struct scan *scan)
{
	switch ((int)scan->last.word) {
	case WORD_CREATE:
	case WORD_LOCAL:
	case WORD_GLOBAL:
	case WORD_REPLACE:
		set_flag(scan, SQL_TEMP);
		break;
	case WORD_INTO:
		/* INSERT INTO temp: a table of that name. */
		if (scan->last2.word != WORD_INSERT && scan->last2.word != WORD_MERGE)
			set_flag(scan, SQL_TEMP);
		break;
	default:
		break;
	}
}

static void note_into(struct scan *scan)
{
	set_flag(scan, SQL_MAY_WRITE);
	if (scan->last.word != WORD_INSERT && scan->last.word != WORD_MERGE &&
		scan->last.word != WORD_AS)
		scan->result->has_into = true;
}

static bool is_routine(const struct scan *scan)
{
	enum word word = scan->first[1];

	if (scan->first[0] != WORD_CREATE)
		return false;
	if (word == WORD_OR && scan->first[2] == WORD_REPLACE)
		word = scan->first[3];
	return word == WORD_FUNCTION || word == WORD_PROCEDURE;
}

/* BEGIN ATOMIC.  A routine within a routine's body could be meant by a second
 * one, or a column's name and alias. */
static void note_atomic(struct scan *scan)
{
	if (scan->last.word != WORD_BEGIN || scan->depth > 0 || !is_routine(scan))
		return;
	if (scan->in_body)
		set_flag(scan, SQL_UNSURE);
	scan->in_body = true;
	scan->at_start = true;
}

static void on_word(struct scan *scan)
{
	switch ((int)scan->now.word) {
	case WORD_PLAIN:
		note_system_name(scan);
		break;
	case WORD_UPDATE:
		end_conflict(scan);
		set_flag(scan, SQL_MAY_WRITE);
		break;
	case WORD_INSERT:
	case WORD_DELETE:
	case WORD_MERGE:
		set_flag(scan, SQL_MAY_WRITE);
		break;
	case WORD_INTO:
		note_into(scan);
		break;
	case WORD_TEMP:
	case WORD_TEMPORARY:
		note_temp(scan);
		break;
	case WORD_DROP:
		if (scan->last.word == WORD_COMMIT && scan->last2.word == WORD_ON)
			set_flag(scan, SQL_ON_COMMIT_DROP);
		break;
	case WORD_CREATE:
		scan->has_create = true;
		break;
	case WORD_CONCURRENTLY:
		scan->result->has_concurrently = true;
		break;
	case WORD_CAST:
	case WORD_TREAT:
	case WORD_XMLSERIALIZE:
		scan->has_cast = true;
		break;
	case WORD_NOTHING:
		end_conflict(scan);
		break;
	case WORD_CONFLICT:
		/* One more: what stood before was a call. */
		if (scan->last.word == WORD_ON)
			note_conflict(scan);
		break;
	case WORD_XMLTABLE:
		scan->has_xmltable = true;
		break;
	case WORD_ATOMIC:
		note_atomic(scan);
		break;
	default:
		break;
	}
}

/* --- the pass -------------------------------------------------------------------- */

static void on_punct(struct scan *scan)
{
	if (scan->now.c == '(')
		open_paren(scan);
	else if (scan->now.c == ')')
		close_paren(scan);
	/* Only CREATE RULE has statements in parentheses. */
	else if (scan->now.c == ';' && scan->depth > 0 &&
		(scan->first[0] != WORD_CREATE ||
			(scan->first[1] != WORD_RULE && scan->first[3] != WORD_RULE)))
		set_flag(scan, SQL_UNSURE);
}

static void on_token(struct scan *scan)
{
	bool was_at_start = scan->at_start;

	if (scan->waits_for_argument)
		finish_call(scan);
	scan->at_start = false;
	if (scan_is_name(scan->now.kind)) {
		on_name(scan);
		on_word(scan);
		if (was_at_start && scan->now.word == WORD_END)
			scan->in_body = false;
	} else if (is_string_kind(scan->now.kind)) {
		on_string(scan);
	} else if (scan->now.kind == LEXER_PUNCT) {
		on_punct(scan);
		scan->at_start = scan->in_body && scan->now.c == ';' && scan->depth == 0;
	} else if (scan->now.kind == LEXER_CAST) {
		on_cast(scan);
	} else if (scan->now.kind == LEXER_PARAM) {
		set_flag(scan, SQL_HAS_PARAM);
	}
	if (!scan_is_name(scan->now.kind) && !scan_is_punct(&scan->now, '.'))
		scan->chain.is_open = false;
}

/* Behind a dot every word is a name. */
static void look_at(struct scan *scan)
{
	scan->now = (struct item){ .kind = scan->token.kind };
	if (scan->now.kind == LEXER_WORD && !scan_is_punct(&scan->last, '.'))
		scan->now.word = words_find(&scan->token);
	else if (scan->now.kind == LEXER_PUNCT)
		scan->now.c = scan->token.text[0];
}

static bool ends_here(const struct scan *scan)
{
	return scan->now.kind == LEXER_END ||
		(scan_is_punct(&scan->now, ';') && scan->depth == 0 && !scan->in_body);
}

static void finish(struct scan *scan)
{
	if (scan->depth > 0 || scan->in_body || scan->lexer->unsure)
		set_flag(scan, SQL_UNSURE);
	if (scan->has_cast && (scan->statement->flags & SQL_HAS_STRING) != 0)
		set_flag(scan, SQL_HAS_CAST_STRING);
	if (scan->has_settings && (scan->statement->flags & SQL_MAY_WRITE) != 0)
		set_flag(scan, SQL_UPDATES_SETTINGS);
	if ((scan->statement->flags & SQL_PG_TEMP) != 0 &&
		(scan->has_create || scan->result->has_into))
		set_flag(scan, SQL_TEMP);
	note_conflict(scan);
}

void statement_scan(
	struct lexer *lexer, struct statement *statement, struct scan_result *result)
{
	struct scan scan = { .lexer = lexer, .statement = statement, .result = result };
	struct sql_range *text = &statement->text;

	for (;;) {
		(void)lexer_next(lexer, &scan.token);
		look_at(&scan);
		if (ends_here(&scan))
			break;
		if (scan.count == 0)
			text->data = scan.token.text;
		if (scan.count < COUNT_OF(scan.first))
			scan.first[scan.count] = scan.now.word;
		scan.count++;
		text->len = (size_t)(scan.token.text + scan.token.len - text->data);
		on_token(&scan);
		scan.last3 = scan.last2;
		scan.last2 = scan.last;
		scan.last = scan.now;
	}
	finish(&scan);
}
