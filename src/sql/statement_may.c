/* SPDX-License-Identifier: ISC */
#include "sql/statement_may.h"

#include <string.h>
#include <strings.h>

/* TEMPORARY and pg_temp have "temp" in them.  Where names are written as U&"..." nothing is
 * sure of them; PREPARE, EXECUTE and DEALLOCATE are no names. */
static const struct {
	const char *text;
	size_t len;
	unsigned may;
} words[] = {
#define WORD(text, may) { text, sizeof(text) - 1, may }
	WORD("advisory", STATEMENT_MAY_PIN),
	WORD("backup", STATEMENT_MAY_PIN),
	WORD("create", STATEMENT_MAY_MAKE),
	WORD("dblink", STATEMENT_MAY_PIN),
	WORD("deallocate", STATEMENT_MAY_NAME),
	WORD("discard", STATEMENT_MAY_SET),
	WORD("execute", STATEMENT_MAY_NAME),
	WORD("hold", STATEMENT_MAY_PIN),
	WORD("into", STATEMENT_MAY_MAKE),
	WORD("listen", STATEMENT_MAY_PIN),
	WORD("load", STATEMENT_MAY_SET | STATEMENT_MAY_PIN),
	WORD("prepare", STATEMENT_MAY_NAME),
	WORD("seed", STATEMENT_MAY_PIN),
	WORD("session_setup", STATEMENT_MAY_PIN),
	WORD("set", STATEMENT_MAY_SET),
	WORD("slot", STATEMENT_MAY_PIN),
	WORD("temp", STATEMENT_MAY_PIN),
	WORD("u&", STATEMENT_MAY_SET | STATEMENT_MAY_PIN)
#undef WORD
};

/* A letter, large or small, by its last five bits; what is none may look like one. */
#define LOW(c) ((unsigned char)(c) & 31)
#define BIT(c) (UINT32_C(1) << LOW(c))

/* The first two letters of each of the words. */
static const uint32_t second[32] = {
	[LOW('a')] = BIT('d'),
	[LOW('b')] = BIT('a'),
	[LOW('c')] = BIT('r'),
	[LOW('d')] = BIT('b') | BIT('e') | BIT('i'),
	[LOW('e')] = BIT('x'),
	[LOW('h')] = BIT('o'),
	[LOW('i')] = BIT('n'),
	[LOW('l')] = BIT('i') | BIT('o'),
	[LOW('p')] = BIT('r'),
	[LOW('s')] = BIT('e') | BIT('l'),
	[LOW('t')] = BIT('e'),
	[LOW('u')] = BIT('&')
};

static unsigned of_word(const char *at, size_t left)
{
	unsigned may = 0;

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		const char *text = words[i].text;

		/* What looks like one has another third letter, mostly. */
		if ((at[0] | 0x20) == text[0] && words[i].len <= left &&
			(words[i].len == 2 || (at[2] | 0x20) == text[2]) &&
			strncasecmp(at, text, words[i].len) == 0)
			may |= words[i].may;
	}
	return may;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

static bool ends_with(const char *text, size_t len, const char *word, size_t word_len)
{
	return len >= word_len && strncasecmp(text + len - word_len, word, word_len) == 0;
}

/* CREATE or INTO at this place, and not in "created_at" or in an INSERT, which come often. */
static bool may_make(const char *text, size_t len, size_t at)
{
	bool is_create = LOW(text[at]) == LOW('c');
	size_t end = at + (is_create ? sizeof("create") : sizeof("into")) - 1;

	if ((at > 0 && is_letter(text[at - 1])) ||
		(end < len && (is_letter(text[end]) || (text[end] >= '0' && text[end] <= '9'))))
		return false;
	while (at > 0 && (text[at - 1] == ' ' || text[at - 1] == '\n' || text[at - 1] == '\t'))
		at--;
	return is_create ||
		(!ends_with(text, at, "insert", 6) && !ends_with(text, at, "merge", 5));
}

static unsigned of_place(const char *text, size_t len, size_t at)
{
	unsigned may = of_word(text + at, len - at);

	return (may & STATEMENT_MAY_MAKE) != 0 && !may_make(text, len, at) ?
		may & ~(unsigned)STATEMENT_MAY_MAKE :
		may;
}

unsigned statement_may(const char *text, size_t len)
{
	unsigned may = 0;

	for (size_t i = 0; i + 1 < len; i++) {
		if (UNLIKELY((second[LOW(text[i])] >> LOW(text[i + 1]) & 1) != 0))
			may |= of_place(text, len, i);
	}
	return may;
}
