/* SPDX-License-Identifier: ISC */
#include "config/value.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	DIGITS_MAX = 18,                /* always fits 64 bits */
	WORD_MAX = 64,                  /* longest word that a guess is made for */
	SHOWN_MAX = 60,                 /* of what was written, in a message */
};

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit time_units[] = {
	{ "us", 1 },
	{ "ms", USEC_PER_MSEC },
	{ "s", USEC_PER_SEC },
	{ "min", 60 * USEC_PER_SEC },
	{ "h", 3600 * USEC_PER_SEC },
	{ "d", 86400 * USEC_PER_SEC },
};

static const struct unit size_units[] = {
	{ "B", 1 },
	{ "kB", UINT64_C(1) << 10 },
	{ "MB", UINT64_C(1) << 20 },
	{ "GB", UINT64_C(1) << 30 },
};

static const char time_unit_names[] = "units are us, ms, s, min, h and d";
static const char size_unit_names[] = "units are B, kB, MB and GB";

/* Reads digits from the start of text; how many, or -1 when they are too many. */
static int read_digits(const char *text, uint64_t *out)
{
	uint64_t value = 0;
	int count = 0;

	while (isdigit((unsigned char)text[count])) {
		if (count == DIGITS_MAX)
			return -1;
		value = value * 10 + (uint64_t)(text[count] - '0');
		count++;
	}
	*out = value;
	return count;
}

static bool is_leading_zero(const char *text)
{
	return text[0] == '0' && isdigit((unsigned char)text[1]);
}

bool value_read_number(const char *text, uint64_t *out, char *why, size_t why_size)
{
	int digits = read_digits(text, out);

	if (digits < 0) {
		(void)snprintf(why, why_size, "the number is too large");
		return false;
	}
	if (digits == 0 || text[digits] != '\0') {
		(void)snprintf(why, why_size, "needs a whole number, not \"%.*s\"",
			SHOWN_MAX, text);
		return false;
	}
	if (is_leading_zero(text)) {
		(void)snprintf(why, why_size,
			"%s begins with a zero; write %" PRIu64
			" (there are no octal numbers)",
			text, *out);
		return false;
	}
	return true;
}

/* A number with one of units after it, both in one word or with a space between.
 * What does not fit is UINT64_MAX, which is out of everybody's bounds. */
static bool read_with_unit(const char *text, const struct unit *units, size_t count,
	uint64_t *out, const char **unit)
{
	int digits = read_digits(text, out);

	*unit = "";
	if (digits < 0) {
		*out = UINT64_MAX;
		return true;
	}
	if (digits == 0 || is_leading_zero(text))
		return false;
	*unit = text + digits;
	if (**unit == ' ' && (*unit)[1] != '\0')
		(*unit)++;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(*unit, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(*out, units[i].factor, out))
			*out = UINT64_MAX;
		return true;
	}
	return **unit == '\0' && *out == 0;
}

bool value_read_duration(const char *text, uint64_t *us, char *why, size_t why_size)
{
	const char *unit;

	if (read_with_unit(text, time_units, COUNT_OF(time_units), us, &unit))
		return true;
	if (*unit == '\0' && *text != '\0' && strspn(text, "0123456789") == strlen(text))
		(void)snprintf(why, why_size,
			"%.*s has no unit; did you mean %.*ss? (%s)", SHOWN_MAX, text,
			SHOWN_MAX, text, time_unit_names);
	else if (strcmp(unit, "m") == 0)
		(void)snprintf(why, why_size,
			"%.*s has no unit that is known; did you mean %.*smin? (%s)",
			SHOWN_MAX, text, (int)strspn(text, "0123456789"), text,
			time_unit_names);
	else
		(void)snprintf(why, why_size, "needs a whole number with a unit, such as "
			"5s, not \"%.*s\" (%s)", SHOWN_MAX, text, time_unit_names);
	return false;
}

bool value_read_size(const char *text, uint64_t *bytes, char *why, size_t why_size)
{
	const char *unit;

	if (read_with_unit(text, size_units, COUNT_OF(size_units), bytes, &unit))
		return true;
	if (*unit == '\0' && *text != '\0' && strspn(text, "0123456789") == strlen(text))
		(void)snprintf(why, why_size,
			"%.*s has no unit; did you mean %.*sB? (%s)", SHOWN_MAX, text,
			SHOWN_MAX, text, size_unit_names);
	else
		(void)snprintf(why, why_size, "needs a whole number with a unit, such as "
			"64kB, not \"%.*s\" (%s)", SHOWN_MAX, text, size_unit_names);
	return false;
}

bool value_read_mode(const char *text, uint64_t *out, char *why, size_t why_size)
{
	size_t len = strlen(text);

	*out = 0;
	if (len < 3 || len > 4 || strspn(text, "01234567") != len) {
		(void)snprintf(why, why_size,
			"needs three or four octal digits in quotes, such as \"0770\"");
		return false;
	}
	for (size_t i = 0; i < len; i++)
		*out = *out * 8 + (uint64_t)(text[i] - '0');
	return true;
}

static const char *print_with_unit(uint64_t value, const struct unit *units, size_t count,
	char *to, size_t size)
{
	size_t i = count - 1;

	if (value == 0) {
		(void)snprintf(to, size, "0");
		return to;
	}
	while (value % units[i].factor != 0)
		i--;
	(void)snprintf(to, size, "%" PRIu64 "%s", value / units[i].factor, units[i].name);
	return to;
}

const char *value_print_duration(uint64_t us, char *to, size_t size)
{
	return print_with_unit(us, time_units, COUNT_OF(time_units), to, size);
}

const char *value_print_size(uint64_t bytes, char *to, size_t size)
{
	return print_with_unit(bytes, size_units, COUNT_OF(size_units), to, size);
}

/* Edit distance (Levenshtein) with a swap of neighbours counted as one, letters of
 * both cases alike.  Both words are at most WORD_MAX long. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t row[3][WORD_MAX + 1];

	for (size_t j = 0; j <= b_len; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *now = row[i % 3], *last = row[(i - 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			bool same = tolower((unsigned char)a[i - 1]) ==
				tolower((unsigned char)b[j - 1]);

			now[j] = size_min(last[j], now[j - 1]) + 1;
			now[j] = size_min(now[j], last[j - 1] + (same ? 0 : 1));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
				a[i - 2] == b[j - 1])
				now[j] = size_min(now[j], row[(i - 2) % 3][j - 2] + 1);
		}
	}
	return row[a_len % 3][b_len];
}

/* Errors worth a guess: one in a short word, a third of a long one; and a word that
 * is part of the other ("pool_size") counts as one error. */
const char *value_nearest(const char *written, const char *const *names, size_t count)
{
	size_t len = strlen(written), best = WORD_MAX;
	const char *nearest = NULL;

	if (len == 0 || len > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t name_len = strlen(names[i]), errors;

		if (name_len > WORD_MAX)
			continue;
		errors = distance(written, len, names[i], name_len);
		if (len >= 4 && name_len >= 4 && errors > 2 &&
			(strstr(names[i], written) != NULL ||
				strstr(written, names[i]) != NULL))
			errors = 2;
		if (errors < best && errors <= size_max(1, size_min(len, name_len) / 3)) {
			best = errors;
			nearest = names[i];
		}
	}
	return nearest;
}
