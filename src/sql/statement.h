/* SPDX-License-Identifier: ISC */
/*
 * What the statements of a text are, and what they leave in the session that
 * runs them, as far as the text shows it.
 *
 * It never guesses.  What is not understood has kind SQL_UNKNOWN, and what was
 * understood in part has flag SQL_UNSURE: it may have done anything.  A text is
 * taken to be one that PostgreSQL accepts: one that it refuses is refused as a
 * whole, before any of it runs.
 *
 * Out of sight for any reader of text: what operators, casts, views, defaults,
 * triggers, rules, policies and the attribute notation of rows ("SELECT t.f FROM t") call;
 * functions of a user's own that hide one of PostgreSQL's; what EXECUTE runs (the
 * flags of PREPARE are those of its statement); a temporary object that is made so
 * by search_path; a statement that fails, or a call that is never reached.
 *
 * Owns:   nothing; ranges point into the text.
 * Thread: any.
 * Limits: no allocation, no recursion, time linear in the text.
 * Size:   each flag says what it stands for.
 */
#ifndef SQL_STATEMENT_H
#define SQL_STATEMENT_H

#include "sql/lexer.h"

enum sql_kind {
#define KIND(name, group, tag) SQL_##name,
#include "sql_kinds.def"
#undef KIND
	SQL_KIND_COUNT
};

enum sql_group {
	SQL_GROUP_NOTHING,
	SQL_GROUP_UNKNOWN,
	SQL_GROUP_READ,
	SQL_GROUP_WRITE,
	SQL_GROUP_TRANSACTION,
	SQL_GROUP_SETTING,
	SQL_GROUP_PREPARED,
	SQL_GROUP_CURSOR,
	SQL_GROUP_CHANNEL,
	SQL_GROUP_DISCARD,
	SQL_GROUP_SCHEMA,
	SQL_GROUP_SERVER,
	SQL_GROUP_CODE
};

enum sql_flag {
	SQL_UNSURE = 1u << 0, /* not all of it was understood */
	/* PostgreSQL refuses it in a transaction block or a pipeline, or may, or it
	 * behaves differently there (CALL and DO may end transactions outside). */
	SQL_NO_BLOCK = 1u << 1,
	SQL_CHAIN = 1u << 2, /* COMMIT and ROLLBACK: AND CHAIN */
	SQL_LOCAL = 1u << 3, /* SET and SET ROLE: LOCAL */
	SQL_HOLD = 1u << 4, /* DECLARE: WITH HOLD */
	/* Makes something temporary: TEMP, TEMPORARY, or a name in pg_temp.  A
	 * search_path that begins with pg_temp does the same, unseen here. */
	SQL_TEMP = 1u << 5,
	SQL_ON_COMMIT_DROP = 1u << 6, /* with SQL_TEMP: gone when the transaction ends */
	/* Names the schema pg_temp, for whatever purpose. */
	SQL_PG_TEMP = 1u << 7,
	/* EXPLAIN: ANALYZE, so that the statement in it runs; also where an option
	 * turns it off again. */
	SQL_EXPLAIN_ANALYZE = 1u << 8,
	/* EXPLAIN, CREATE TABLE AS: of EXECUTE; name is the prepared statement. */
	SQL_EXECUTES = 1u << 9,
	/* INSERT, UPDATE, DELETE, MERGE or INTO stands somewhere in it. */
	SQL_MAY_WRITE = 1u << 10,
	/* Has a string constant; beside a cast or a type's name.  PostgreSQL turns
	 * any constant of unknown type into a value when it reads the statement,
	 * also one that no cast stands beside ("ts > 'yesterday'"). */
	SQL_HAS_STRING = 1u << 11,
	SQL_HAS_CAST_STRING = 1u << 12,
	SQL_HAS_PARAM = 1u << 13, /* has a parameter ($1) */
	/* Calls of functions, anywhere in it (include/sql_functions.def). */
	SQL_CALLS_SET_CONFIG = 1u << 14,
	SQL_CALLS_SETSEED = 1u << 15, /* also SET seed */
	SQL_CALLS_LOCK = 1u << 16,
	SQL_CALLS_UNLOCK = 1u << 17,
	SQL_CALLS_NEXTVAL = 1u << 18,
	SQL_CALLS_CURRVAL = 1u << 19,
	SQL_CALLS_NOTIFY = 1u << 20,
	SQL_CALLS_LARGE_OBJECT = 1u << 21,
	SQL_CALLS_DBLINK = 1u << 22,
	SQL_CALLS_SESSION = 1u << 23,
	/* A function that is not known to be harmless. */
	SQL_CALLS_UNKNOWN = 1u << 24,
	/* Names the view pg_settings, and may write: its rule calls set_config(). */
	SQL_UPDATES_SETTINGS = 1u << 25,
	/* Makes, drops (but tables, indexes, sequences) or changes what code may be in. */
	SQL_CHANGES_CODE = 1u << 26,
	/* Beside SQL_CALLS_DBLINK and SQL_CALLS_SESSION: what such a call leaves. */
	SQL_CALLS_CONNECT = 1u << 27,
	SQL_CALLS_SLOT = 1u << 28,
	SQL_CALLS_ORIGIN = 1u << 29,
	SQL_CALLS_BACKUP = 1u << 30
};

/* "(x).f" may call f, be it a field or a function that nobody knows; no enumerator, as
 * those are ints. */
#define SQL_MAY_CALL (UINT32_C(1) << 31)

/* What SET gives the parameter. */
enum sql_value {
	SQL_VALUE_NONE,	   /* not a SET */
	SQL_VALUE_LIST,	   /* body; see statement_value() */
	SQL_VALUE_DEFAULT, /* DEFAULT, or LOCAL for a time zone */
	SQL_VALUE_CURRENT, /* FROM CURRENT */
	SQL_VALUE_INTERVAL, /* SET TIME ZONE INTERVAL...: only the server knows it */
	SQL_VALUE_UNREAD   /* kind SQL_UNKNOWN: a SET whose name is too long or not clear */
};

/* Part of the text. */
struct sql_range {
	const char *data; /* NULL: there is none */
	size_t len;
};

/* Two names and a dot. */
enum { STATEMENT_NAME_SIZE = 2 * LEXER_NAME_MAX + 2 };

struct statement {
	enum sql_kind kind;
	/* EXPLAIN, PREPARE, DECLARE, CREATE TABLE AS, COPY (...): of the statement
	 * in it; else SQL_EMPTY. */
	enum sql_kind inner;
	uint32_t flags; /* enum sql_flag */
	unsigned lexer_flags;
	enum sql_value value;
	struct sql_range text; /* without the semicolon and what is around */
	/* SET: the value's tokens.  BEGIN, START TRANSACTION, SET TRANSACTION, SET
	 * CHARACTERISTICS: the modes.  PREPARE: the statement behind AS.  DECLARE: behind
	 * FOR.  EXECUTE: the arguments with their parentheses.  LOAD: the string. */
	struct sql_range body;
	struct sql_range types; /* PREPARE: with their parentheses */
	/* Savepoint, prepared statement, cursor, channel or transaction as PostgreSQL
	 * names it; parameter in lower case, by the name that SHOW knows ("timezone"
	 * for SET TIME ZONE).  "": there is none. */
	char name[STATEMENT_NAME_SIZE];
};

struct statement_reader {
	struct lexer lexer;
};

/* flags: enum lexer_flag. */
void statement_begin(
	struct statement_reader *, const char *text, size_t len, unsigned flags);

/* The next statement; empty ones (";;") are left out.  False at the end. */
bool statement_next(struct statement_reader *, struct statement *);

/* How many statements a text has, at most "most", and the first of them (kind
 * SQL_EMPTY if there is none).  Returns whether that many is all. */
unsigned statement_count(const char *text, size_t len, unsigned flags, unsigned most,
	struct statement *first);

enum sql_group statement_group(enum sql_kind);
const char *statement_kind_name(enum sql_kind);
const char *statement_tag(enum sql_kind);

/* The value of a SET with SQL_VALUE_LIST as PostgreSQL would store it, before it
 * checks and tidies it: the parts joined by ", ", each quoted for parameters that
 * are lists of names (flatten_set_variable_args()).  As lexer_value(). */
NODISCARD enum lexer_value statement_value(
	const struct statement *, char *to, size_t size, size_t *len);

/* --- calls of set_config() ---------------------------------------------------- */

enum sql_argument {
	SQL_ARGUMENT_OTHER, /* an expression; its value: is_filled, param */
	SQL_ARGUMENT_NULL,
	SQL_ARGUMENT_STRING, /* token; lexer_value() decodes it */
	SQL_ARGUMENT_BOOL,   /* is_true */
	SQL_ARGUMENT_PARAM   /* param: $1 is 1 */
};

struct sql_call_argument {
	enum sql_argument kind;
	bool is_true;
	bool is_filled;	 /* an expression that is never NULL */
	uint32_t param; /* ... or only if this one is; 0: that is not known */
	struct lexer_token token;
};

/* name, value, is_local; set_config() takes none by name. */
struct sql_call {
	struct sql_call_argument arguments[3];
};

struct statement_calls {
	struct lexer lexer;
};

void statement_calls_begin(struct statement_calls *, const struct statement *);

/* The next call of set_config(); false when there is none left. */
bool statement_calls_next(struct statement_calls *, struct sql_call *);

/* It is SELECT, calls of set_config() with constants or parameters, and no more: each
 * runs exactly once, from left to right. */
bool statement_is_only_set_config(const struct statement *);

/* Does each call of set_config() in it surely run, if the statement does?  It is SELECT, such
 * calls with whatever arguments, and constants and current_setting() beside them. */
bool statement_runs_set_config(const struct statement *);

/* PREPARE: is the parameter of this number (from 1) of a type whose values are text as they
 * are written, or of none?  True for other statements. */
bool statement_types_leave_text(const struct statement *, uint32_t number);

#endif
