/* SPDX-License-Identifier: ISC */
/*
 * Cuts SQL text into the tokens that PostgreSQL's scanner (scan.l) finds in it.
 *
 * PostgreSQL reads the whole text of a Query or Parse before it runs any of it,
 * so what it cannot read has no effect.  What this lexer cannot read, and what
 * servers of different versions read differently, sets "unsure": a caller must
 * then assume the worst of the text.
 *
 * Owns:   nothing; tokens point into the text.
 * Thread: any.
 * Limits: none: no allocation, no recursion, every byte is looked at a bounded
 *         number of times, and nothing beyond the end is read.
 * Source: PostgreSQL documentation, 4.1 Lexical Structure; checked against a
 *         server in tests/integration/test_sql_oracle.py.
 */
#ifndef SQL_LEXER_H
#define SQL_LEXER_H

#include "base/base.h"

/* What the meaning of a text depends on, of the session that sends it. */
enum lexer_flag {
	/* standard_conforming_strings is on: no escapes in '...'. */
	LEXER_STANDARD_STRINGS = 1u << 0,
	/* client_encoding is UTF8: \u escapes can be decoded. */
	LEXER_UTF8 = 1u << 1,
	/* A byte that looks like ASCII may be the second one of a character (see
	 * lexer_encoding_flags()): text with any other byte is unsure. */
	LEXER_UNSAFE_ENCODING = 1u << 2,
	/* Any of these may be otherwise when it is read: text that hangs on them
	 * (lexer_hangs_on_flags()) is unsure. */
	LEXER_MAY_CHANGE = 1u << 3,
	/* Beside LEXER_UTF8: the server has UTF8, too, so that names beyond ASCII are there as
	 * they were sent. */
	LEXER_UTF8_THERE = 1u << 4
};

enum lexer_kind {
	LEXER_END,
	LEXER_WORD,	       /* identifier or keyword, without quotes */
	LEXER_QUOTED,	       /* "..." */
	LEXER_QUOTED_UNICODE,  /* U&"...", with its UESCAPE */
	LEXER_STRING,	       /* '...' */
	LEXER_STRING_ESCAPE,   /* E'...' */
	LEXER_STRING_UNICODE,  /* U&'...', with its UESCAPE */
	LEXER_STRING_NATIONAL, /* N'...' */
	LEXER_STRING_DOLLAR,   /* $tag$...$tag$ */
	LEXER_BITS,	       /* B'...' */
	LEXER_HEX,	       /* X'...' */
	LEXER_NUMBER,
	LEXER_PARAM,	   /* $1 */
	LEXER_OPERATOR,	   /* also those of one character, such as = and * */
	LEXER_CAST,	   /* :: */
	LEXER_DOTS,	   /* .. */
	LEXER_ASSIGN,	   /* := */
	LEXER_PUNCT,	   /* one of ( ) [ ] , ; : . */
	LEXER_OTHER,	   /* a byte that begins nothing */
	LEXER_UNTERMINATED /* a string, name or comment without end; takes the rest */
};

struct lexer_token {
	enum lexer_kind kind;
	char escape;	  /* of U&: the escape character; 0: not usable */
	const char *text; /* all of it, with prefix, quotes and UESCAPE */
	size_t len;
	const char *body; /* what is between the quotes, as it was written */
	size_t body_len;
};

struct lexer {
	const char *pos;
	const char *end;
	unsigned flags; /* enum lexer_flag */
	bool unsure;	/* sticky */
	/* Signs that were left over from an operator, each one by itself. */
	const char *signs;
	const char *signs_end;
};

/* text may be NULL when len is 0. */
void lexer_init(struct lexer *, const char *text, size_t len, unsigned flags);

/* Could it be cut into other tokens under other flags?  Quick, and true when in doubt. */
bool lexer_hangs_on_flags(const char *text, size_t len);

/* Takes the next token; LEXER_END again and again at the end. */
enum lexer_kind lexer_next(struct lexer *, struct lexer_token *);

/* A character constant of any form: what the grammar calls Sconst. */
bool lexer_is_string(const struct lexer_token *);

/* A name of any form; keywords too. */
bool lexer_is_name(const struct lexer_token *);

/* The punctuation character. */
static inline bool lexer_is_punct(const struct lexer_token *token, char c)
{
	return token->kind == LEXER_PUNCT && token->text[0] == c;
}

/* The word, in any case, without quotes; word is in lower case. */
bool lexer_is_word(const struct lexer_token *, const char *word);

/* The operator. */
bool lexer_is_operator(const struct lexer_token *, const char *op);

enum lexer_value {
	LEXER_VALUE_OK,
	LEXER_VALUE_TOO_LONG, /* does not fit */
	LEXER_VALUE_INVALID,  /* PostgreSQL refuses it */
	LEXER_VALUE_UNKNOWN   /* depends on what only the server knows, as encodings */
};

/* Longest identifier; PostgreSQL cuts longer ones (NAMEDATALEN - 1). */
enum { LEXER_NAME_MAX = 63 };

/* What a name or a string stands for: a name folded and cut as PostgreSQL does
 * it, a string without quotes and escapes.  Writes at most size bytes, the last
 * of them a NUL that is not counted in *len.  Anything else is INVALID. */
NODISCARD enum lexer_value lexer_value(
	const struct lexer_token *, unsigned flags, char *to, size_t size, size_t *len);

/* The value is exactly this. */
bool lexer_value_is(const struct lexer_token *, unsigned flags, const char *value);

/* LEXER_UTF8 and LEXER_UNSAFE_ENCODING as they follow from client_encoding. */
unsigned lexer_encoding_flags(const char *client_encoding);

#endif
