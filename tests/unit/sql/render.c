/* SPDX-License-Identifier: ISC */
#include "sql/render.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct text {
	char *to;
	size_t size, used;
};

static void add(struct text *text, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add(struct text *text, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(text->to + text->used, text->size - text->used, fmt, args);
	va_end(args);
	if (len < 0 || (size_t)len >= text->size - text->used)
		abort(); /* the caller's buffer is for what a test can give */
	text->used += (size_t)len;
}

static const struct {
	uint32_t flag;
	const char *name;
} flag_names[] = {
	{ SQL_UNSURE, "unsure" },
	{ SQL_NO_BLOCK, "no-block" },
	{ SQL_CHAIN, "chain" },
	{ SQL_LOCAL, "local" },
	{ SQL_HOLD, "hold" },
	{ SQL_TEMP, "temp" },
	{ SQL_ON_COMMIT_DROP, "drop" },
	{ SQL_PG_TEMP, "pg_temp" },
	{ SQL_EXPLAIN_ANALYZE, "analyze" },
	{ SQL_EXECUTES, "executes" },
	{ SQL_MAY_WRITE, "write" },
	{ SQL_HAS_STRING, "string" },
	{ SQL_HAS_CAST_STRING, "cast" },
	{ SQL_HAS_PARAM, "param" },
	{ SQL_CALLS_SET_CONFIG, "set_config" },
	{ SQL_CALLS_SETSEED, "setseed" },
	{ SQL_CALLS_LOCK, "lock" },
	{ SQL_CALLS_UNLOCK, "unlock" },
	{ SQL_CALLS_NEXTVAL, "nextval" },
	{ SQL_CALLS_CURRVAL, "currval" },
	{ SQL_CALLS_NOTIFY, "notify" },
	{ SQL_CALLS_LARGE_OBJECT, "lo" },
	{ SQL_CALLS_DBLINK, "dblink" },
	{ SQL_CALLS_SESSION, "session" },
	{ SQL_CALLS_CONNECT, "connect" },
	{ SQL_CALLS_SLOT, "slot" },
	{ SQL_CALLS_ORIGIN, "origin" },
	{ SQL_CALLS_BACKUP, "backup" },
	{ SQL_CALLS_UNKNOWN, "calls" },
	{ SQL_MAY_CALL, "may-call" },
	{ SQL_UPDATES_SETTINGS, "settings" },
};

static void add_value(struct text *text, const struct statement *s)
{
	char value[1024];
	size_t len;

	switch (s->value) {
	case SQL_VALUE_NONE:
		break;
	case SQL_VALUE_DEFAULT:
		add(text, " =DEFAULT");
		break;
	case SQL_VALUE_CURRENT:
		add(text, " =CURRENT");
		break;
	case SQL_VALUE_INTERVAL:
		add(text, " =INTERVAL");
		break;
	case SQL_VALUE_UNREAD:
		add(text, " =UNREAD");
		break;
	case SQL_VALUE_LIST:
		if (statement_value(s, value, sizeof(value), &len) == LEXER_VALUE_OK)
			add(text, " ='%s'", value);
		else
			add(text, " =?");
		break;
	}
}

static void add_statement(struct text *text, const struct statement *s)
{
	const char *before = "(";

	add(text, "%s", statement_kind_name(s->kind));
	for (size_t i = 0; i < COUNT_OF(flag_names); i++) {
		if ((s->flags & flag_names[i].flag) != 0) {
			add(text, "%s%s", before, flag_names[i].name);
			before = ",";
		}
	}
	if (*before == ',')
		add(text, ")");
	if (s->name[0] != '\0')
		add(text, " %s", s->name);
	add_value(text, s);
	if (s->inner != SQL_EMPTY)
		add(text, " :%s", statement_kind_name(s->inner));
}

void render_statement(const struct statement *s, char *to, size_t size)
{
	struct text text = { .to = to, .size = size };

	*to = '\0';
	add_statement(&text, s);
}

void render_text(const char *sql, size_t len, unsigned flags, char *to, size_t size)
{
	struct text text = { .to = to, .size = size };
	struct statement_reader reader;
	struct statement s;
	bool is_first = true;

	*to = '\0';
	statement_begin(&reader, sql, len, flags);
	while (statement_next(&reader, &s)) {
		add(&text, "%s", is_first ? "" : " ; ");
		is_first = false;
		add_statement(&text, &s);
	}
}

static void add_argument(
	struct text *text, const struct sql_call_argument *argument, unsigned flags)
{
	char value[512];
	size_t len;

	switch (argument->kind) {
	case SQL_ARGUMENT_OTHER:
		add(text, "?");
		break;
	case SQL_ARGUMENT_NULL:
		add(text, "NULL");
		break;
	case SQL_ARGUMENT_BOOL:
		add(text, "%s", argument->is_true ? "true" : "false");
		break;
	case SQL_ARGUMENT_PARAM:
		add(text, "$%u", argument->param);
		break;
	case SQL_ARGUMENT_STRING:
		if (lexer_value(&argument->token, flags, value, sizeof(value), &len) ==
			LEXER_VALUE_OK)
			add(text, "'%s'", value);
		else
			add(text, "'?'");
		break;
	}
}

void render_calls(const struct statement *s, char *to, size_t size)
{
	struct text text = { .to = to, .size = size };
	struct statement_calls calls;
	struct sql_call call;

	*to = '\0';
	statement_calls_begin(&calls, s);
	while (statement_calls_next(&calls, &call)) {
		add(&text, "%s", text.used > 0 ? " " : "");
		for (size_t i = 0; i < COUNT_OF(call.arguments); i++) {
			add(&text, "%s", i > 0 ? "," : "");
			add_argument(&text, &call.arguments[i], s->lexer_flags);
		}
	}
}
