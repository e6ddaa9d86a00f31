/* SPDX-License-Identifier: ISC */
/*
 * A number as text, for what writes thousands of them: snprintf() takes ten times as
 * long.
 *
 * Thread: any; pure.
 */
#ifndef BASE_DECIMAL_H
#define BASE_DECIMAL_H

#include "base/base.h"

enum { DECIMAL_SIZE = 21 };     /* 20 digits and the NUL */

/* The text ends where to ends; what is returned is where it begins. */
static inline const char *decimal_text(uint64_t value, char to[DECIMAL_SIZE])
{
	char *at = to + DECIMAL_SIZE - 1;

	*at = '\0';
	do {
		*--at = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	return at;
}

#endif
