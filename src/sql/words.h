/* SPDX-License-Identifier: ISC */
/*
 * PostgreSQL's keywords, and functions it is worth knowing by name.
 *
 * Thread: any.
 * Source: include/sql_words.def, include/sql_functions.def.
 */
#ifndef SQL_WORDS_H
#define SQL_WORDS_H

#include "sql/lexer.h"

enum word {
	WORD_PLAIN, /* not a keyword: a name */
#define WORD(name, category, text) WORD_##name,
#include "sql_words.def"
#undef WORD
	WORD_COUNT
};

enum word_category { WORD_UNRESERVED, WORD_COL_NAME, WORD_TYPE_FUNC, WORD_RESERVED };

/* Which keyword the token is; quoted names are none. */
enum word words_find(const struct lexer_token *);

/* The same for a name that is folded already. */
enum word words_find_text(const char *text, size_t len);

/* WORD_PLAIN is UNRESERVED. */
enum word_category words_category(enum word);

enum word_function {
	FUNCTION_UNKNOWN,
	FUNCTION_HARMLESS,
	FUNCTION_SET_CONFIG,
	FUNCTION_SETSEED,
	FUNCTION_LOCK,
	FUNCTION_UNLOCK,
	FUNCTION_NEXTVAL,
	FUNCTION_CURRVAL,
	FUNCTION_NOTIFY,
	FUNCTION_LARGE_OBJECT,
	FUNCTION_DBLINK,
	FUNCTION_CONNECT,
	FUNCTION_SLOT,
	FUNCTION_ORIGIN,
	FUNCTION_BACKUP,
	FUNCTION_SESSION
};

/* name: as the catalog has it. */
enum word_function words_function(const char *name, size_t len);

#endif
