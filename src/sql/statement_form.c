/* SPDX-License-Identifier: ISC */
#include "sql/statement_form.h"

#include <string.h>

#include "sql/lexer_chars.h"

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Eight bytes at a time: most of a text are letters. */
static bool has_digit(const char *pos)
{
	uint64_t word;

	memcpy(&word, pos, sizeof(word));
	word ^= EACH('0');
	/* Is one of them below 10? */
	return ((word - EACH(10)) & ~word & EACH(0x80)) != 0;
}

static const char *find_digit(const char *pos, const char *end)
{
	while (end - pos >= 8 && !has_digit(pos))
		pos += 8;
	while (pos < end && !char_is(*pos, CHAR_DIGIT))
		pos++;
	return pos;
}

static bool is_of_word(char c)
{
	return char_is(c, CHAR_LETTER) || c == '$';
}

struct sql_range statement_form(const char *text, size_t len, char *room)
{
	const char *pos = text, *end = text + len, *digits = find_digit(text, end);
	size_t used = 0;

	if (digits == end || memchr(text, '&', len) != NULL)
		return (struct sql_range){ text, len };
	while (digits < end) {
		const char *behind = digits;
		bool is_alone = digits == text || !is_of_word(digits[-1]);

		while (behind < end && char_is(*behind, CHAR_DIGIT))
			behind++;
		is_alone = is_alone && (behind == end || !is_of_word(*behind));
		memcpy(room + used, pos, (size_t)(digits - pos));
		used += (size_t)(digits - pos);
		pos = digits;
		if (is_alone) {
			room[used++] = '0';
			pos = behind;
		}
		digits = find_digit(behind, end);
	}
	memcpy(room + used, pos, (size_t)(end - pos));
	return (struct sql_range){ room, used + (size_t)(end - pos) };
}
