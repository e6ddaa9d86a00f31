/* SPDX-License-Identifier: ISC */
#include "sql/words.h"

#include <endian.h>
#include <string.h>

#include "sql/lexer_chars.h"

/* Keywords are compared as two numbers: the first 16 bytes tell them apart. */
enum { KEY_SIZE = 16, TEXT_SIZE = 24 };

struct word_row {
	char text[TEXT_SIZE];
	uint8_t len;
	uint8_t category;
};

static const struct word_row rows[WORD_COUNT] = {
#define WORD(name, category, text) \
	[WORD_##name] = { text, sizeof(text) - 1, WORD_##category },
#include "sql_words.def"
#undef WORD
};

struct key {
	uint64_t high, low;
};

static struct key key_of(const char *text)
{
	struct key key;

	memcpy(&key, text, sizeof(key));
	key.high = be64toh(key.high);
	key.low = be64toh(key.low);
	return key;
}

static bool key_is_above(struct key a, struct key b)
{
	return a.high > b.high || (a.high == b.high && a.low > b.low);
}

/* text has TEXT_SIZE bytes, zero behind len. */
static enum word find(const char *text, size_t len)
{
	struct key wanted = key_of(text);
	size_t low = 0, count = WORD_COUNT;

	/* The last row that is not above; row 0 is WORD_PLAIN, below all. */
	while (count > 1) {
		size_t half = count / 2;

		if (!key_is_above(key_of(rows[low + half].text), wanted))
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
