/* SPDX-License-Identifier: ISC */
/*
 * Single values as people write them: numbers, durations, sizes, and the word that
 * they probably meant.
 *
 * Thread: any; nothing here has state.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "base/base.h"

/* Each reads the whole text.  Returns false with a sentence in why, which says what
 * is wrong and what would be right; bounds are the caller's. */
NODISCARD bool value_read_number(const char *, uint64_t *, char *why, size_t why_size);

/* "5s"; microseconds.  0 needs no unit. */
NODISCARD bool value_read_duration(const char *, uint64_t *us, char *why,
	size_t why_size);

/* "64kB"; bytes.  0 needs no unit. */
NODISCARD bool value_read_size(const char *, uint64_t *bytes, char *why,
	size_t why_size);

/* "0770", a text of octal digits. */
NODISCARD bool value_read_mode(const char *, uint64_t *, char *why, size_t why_size);

/* What the readers above take, in the largest unit that is exact.  Return to. */
const char *value_print_duration(uint64_t us, char *to, size_t size);
const char *value_print_size(uint64_t bytes, char *to, size_t size);

/* The one of names that is nearest to what was written, or NULL if none is near. */
const char *value_nearest(const char *written, const char *const *names, size_t count);

#endif
