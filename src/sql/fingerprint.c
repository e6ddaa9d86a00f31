/* SPDX-License-Identifier: ISC */
#include "sql/fingerprint.h"

#include "sql/lexer.h"

/* FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/ */
static const uint64_t fnv_begin = UINT64_C(0xcbf29ce484222325);
static const uint64_t fnv_prime = UINT64_C(0x100000001b3);

static uint64_t add_byte(uint64_t hash, uint8_t byte)
{
	return (hash ^ byte) * fnv_prime;
}

static uint64_t add_text(uint64_t hash, const struct lexer_token *t)
{
	for (size_t i = 0; i < t->len; i++) {
		char c = t->text[i];

		if (t->kind == LEXER_WORD && c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		hash = add_byte(hash, (uint8_t)c);
	}
	/* No other token has it: "a b" is not "ab". */
	return add_byte(hash, 0);
}

static bool is_constant(const struct lexer_token *t)
{
	return lexer_is_string(t) || t->kind == LEXER_NUMBER || t->kind == LEXER_PARAM ||
		t->kind == LEXER_BITS || t->kind == LEXER_HEX;
}

uint64_t fingerprint_of(const char *text, size_t len, unsigned flags)
{
	bool after_constant = false, comma = false;
	uint64_t hash = fnv_begin;
	struct lexer_token t;
	struct lexer lexer;

	lexer_init(&lexer, text, size_min(len, FINGERPRINT_TEXT_MAX), flags);
	while (lexer_next(&lexer, &t) != LEXER_END) {
		/* A comma between two constants waits for what comes. */
		if (after_constant && !comma && lexer_is_punct(&t, ',')) {
			comma = true;
			continue;
		}
		if (is_constant(&t)) {
			if (!(after_constant && comma))
				hash = add_byte(add_byte(hash, '?'), 0);
			after_constant = true;
			comma = false;
			continue;
		}
		if (comma)
			hash = add_byte(add_byte(hash, ','), 0);
		after_constant = comma = false;
		hash = add_text(hash, &t);
	}
	if (comma)
		hash = add_byte(add_byte(hash, ','), 0);
	return hash == 0 ? 1 : hash;
}
