/* SPDX-License-Identifier: ISC */
/*
 * The form that pg_hba.conf and pg_ident.conf have in common: lines of fields,
 * fields of tokens.
 *
 * Blanks part fields; commas part the tokens of a field; # begins a comment; within
 * double quotes blanks, commas and # are text, "" is a quote; a backslash at the end
 * of a line joins the next one to it.  An unquoted token @name stands for the tokens
 * of a file; include and include_if_exists put a file in place of a line, include_dir
 * all files of a directory whose names end in .conf and begin with no dot, in the order
 * of their bytes.
 *
 * Owns:   nothing after hba_file_read(); a token's text is freed after on_line()
 *         unless that has set the pointer to NULL.
 * Thread: any.
 * Limits: HBA_FILE_MAX bytes per file, HBA_LINES_MAX lines with fields in all files
 *         together, HBA_TOKENS_MAX tokens, files within files HBA_DEPTH_MAX deep,
 *         HBA_DIR_MAX files of a directory.
 * Source: PostgreSQL documentation, 21.1 and 21.2; next_token() and
 *         tokenize_auth_file() in hba.c.  Other than there, a quote that is not
 *         closed on its line is an error.
 */
#ifndef CONFIG_HBA_FILE_H
#define CONFIG_HBA_FILE_H

#include "base/base.h"

enum {
	HBA_FILE_MAX = 1 << 20,
	HBA_LINES_MAX = 10000,
	HBA_TOKENS_MAX = 100000,
	HBA_DEPTH_MAX = 10,
	HBA_DIR_MAX = 1000
};

struct diag;

struct hba_token {
	char *text;
	bool is_quoted;                 /* it began with a quote: no keyword */
	uint32_t line;
	uint32_t column;
	const char *path;               /* of its file, during on_line() */
};

struct hba_field {
	struct hba_token *tokens;
	size_t count;                   /* at least 1 */
};

struct hba_line {
	const char *path;
	uint32_t line;
	struct hba_field *fields;
	size_t count;                   /* at least 1 */
	struct diag *diag;              /* for hba_fail() */
};

/* Returns 0, or -errno with the line's diag filled. */
typedef int hba_line_fn(void *arg, struct hba_line *);

/* text is the file called path; files that it names are opened if may_open, and else
 * are an error.  Returns 0 or -errno with diag filled. */
NODISCARD int hba_file_read(const char *text, size_t len, const char *path, bool may_open,
	hba_line_fn *on_line, void *arg, struct diag *);

/* What the line says, mixed into the hash of those before it. */
uint64_t hba_line_hash(const struct hba_line *, uint64_t before);

/* An unquoted token of exactly that text. */
bool hba_token_is(const struct hba_token *, const char *keyword);

/* Fills the diag with the token's place.  Of a line that may hold a password nothing
 * between quotes is told.  Returns -EINVAL. */
int hba_fail(const struct hba_line *, const struct hba_token *, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

#endif
