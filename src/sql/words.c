/* SPDX-License-Identifier: ISC */
#include "sql/words.h"

#include <endian.h>
#include <string.h>

#include "sql/lexer_chars.h"

/* Keywords are compared as two numbers: the first 16 bytes tell them apart. */
struct key {
	uint64_t high, low;
};

enum { TEXT_SIZE = 24 };

struct word_row {
	struct key key;
	char text[TEXT_SIZE];
	uint8_t len;
	uint8_t category;
};

/* Byte i of a string constant; 0 behind its end. */
#define BYTE(text, i) \
	((uint64_t)(uint8_t)(sizeof(text) > (i) ? (text)[sizeof(text) > (i) ? (i) : 0] \
						: 0))
#define HALF(text, i) \
	(BYTE(text, (i)) << 56 | BYTE(text, (i) + 1) << 48 | BYTE(text, (i) + 2) << 40 | \
		BYTE(text, (i) + 3) << 32 | BYTE(text, (i) + 4) << 24 | \
		BYTE(text, (i) + 5) << 16 | BYTE(text, (i) + 6) << 8 | \
		BYTE(text, (i) + 7))

static const struct word_row rows[WORD_COUNT] = {
#define WORD(name, category, text) \
	[WORD_##name] = { { HALF(text, 0), HALF(text, 8) }, text, sizeof(text) - 1, \
		WORD_##category },
#include "sql_words.def"
#undef WORD
};

static bool key_is_above(const struct key *a, const struct key *b)
{
	return a->high > b->high || (a->high == b->high && a->low > b->low);
}

/* text has TEXT_SIZE bytes, zero behind len. */
static enum word find(const char *text, size_t len)
{
	size_t low = 0, count = WORD_COUNT;
	struct key wanted;

	memcpy(&wanted, text, sizeof(wanted));
	wanted.high = be64toh(wanted.high);
	wanted.low = be64toh(wanted.low);
	/* The last row that is not above; row 0 is WORD_PLAIN, below all. */
	while (count > 1) {
		size_t half = count / 2;

		if (!key_is_above(&rows[low + half].key, &wanted))
			low += half;
		count -= half;
	}
	if (rows[low].len == len && memcmp(rows[low].text, text, len) == 0)
		return (enum word)low;
	return WORD_PLAIN;
}

enum word words_find(const struct lexer_token *token)
{
	char text[TEXT_SIZE] = { 0 };

	if (token->kind != LEXER_WORD || token->len >= TEXT_SIZE)
		return WORD_PLAIN;
	for (size_t i = 0; i < token->len; i++)
		text[i] = char_fold(token->text[i]);
	return find(text, token->len);
}

enum word words_find_text(const char *name, size_t len)
{
	char text[TEXT_SIZE] = { 0 };

	if (len == 0 || len >= TEXT_SIZE)
		return WORD_PLAIN;
	memcpy(text, name, len);
	return find(text, len);
}

enum word_category words_category(enum word word)
{
	return (enum word_category)rows[word].category;
}

/* --- functions ------------------------------------------------------------ */

static const struct {
	const char *name;
	enum word_function function;
} functions[] = {
#define FUNCTION(class, name) { name, FUNCTION_##class },
#include "sql_functions.def"
#undef FUNCTION
};

enum word_function words_function(const char *name, size_t len)
{
	size_t low = 0, high = COUNT_OF(functions);

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strncmp(functions[middle].name, name, len);

		if (order == 0 && functions[middle].name[len] == '\0')
			return functions[middle].function;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return FUNCTION_UNKNOWN;
}
