/* SPDX-License-Identifier: ISC */
/*
 * Reads the commands of the console: words, nothing of SQL.
 *
 *   WORD [WORD] [;]            a word may be "quoted"
 *   SET WORD {=|TO} value [;]
 *
 * Blanks and comments may stand between words.
 *
 * Thread: any; pure.
 */
#ifndef ADMIN_COMMAND_H
#define ADMIN_COMMAND_H

#include "base/base.h"

enum { COMMAND_WORD_MAX = 31, COMMAND_ARGUMENT_MAX = 127, COMMAND_VALUE_MAX = 255 };

enum command_result {
	COMMAND_OK,
	COMMAND_EMPTY,                  /* blanks, comments, semicolons */
	COMMAND_BAD
};

struct command {
	char word[COMMAND_WORD_MAX + 1];
	char argument[COMMAND_ARGUMENT_MAX + 1];        /* "" when there is none */
	char value[COMMAND_VALUE_MAX + 1];              /* of SET */
	bool has_argument;
	bool has_value;
};

/* Cuts the next command out of a text that holds several: it, without its semicolon,
 * or NULL when there is none.  *rest: what comes behind it. */
char *command_split(char **rest);

/* One command, and nothing behind it. */
enum command_result command_parse(const char *text, struct command *);

#endif
