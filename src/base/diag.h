/* SPDX-License-Identifier: ISC */
/*
 * Where and why something a person wrote is wrong.
 *
 * A function that reads what people write takes a struct diag and fills it on
 * failure: file, line and column (1-based, 0 when unknown) and a sentence that
 * says what is wrong and what would be right.
 *
 * Thread: one.
 */
#ifndef BASE_DIAG_H
#define BASE_DIAG_H

#include "base/base.h"

enum { DIAG_TEXT_MAX = 512, DIAG_FILE_MAX = 256 };

struct diag {
	char file[DIAG_FILE_MAX];
	uint32_t line;
	uint32_t column;
	char text[DIAG_TEXT_MAX];
};

/* Sets all four; the first one wins, later calls change nothing. */
void diag_set(struct diag *, const char *file, uint32_t line, uint32_t column,
	const char *fmt, ...) PRINTF_LIKE(5, 6);

void diag_clear(struct diag *);
bool diag_is_set(const struct diag *);

/* "FILE:LINE:COLUMN: TEXT", leaving out what is unknown.  Returns to. */
const char *diag_format(const struct diag *, char *to, size_t size);

#endif
