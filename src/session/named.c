/* SPDX-License-Identifier: ISC */
#include "session/named.h"

#include "session/prepared.h"

void named_begin(struct named *n, const char *text, size_t len, unsigned flags)
{
	lexer_init(&n->lexer, text, len, flags);
	n->follows = false;
	n->is_sure = true;
}

static bool is_verb(const struct lexer_token *token)
{
	return lexer_is_word(token, "execute") || lexer_is_word(token, "prepare") ||
		lexer_is_word(token, "deallocate");
}

/* Code of DO or of a function, or the view of all of them. */
static bool may_name_any(const struct lexer_token *token)
{
	if (token->kind == LEXER_UNTERMINATED || lexer_is_word(token, "pg_prepared_statements"))
		return true;
	return (lexer_is_string(token) || token->kind == LEXER_QUOTED) &&
		prepared_may_name(token->text, token->len);
}

bool named_next(struct named *n)
{
	struct lexer_token token;
	bool is_name;
	size_t len;

	while (lexer_next(&n->lexer, &token) != LEXER_END) {
		n->is_sure = n->is_sure && !may_name_any(&token);
		/* DEALLOCATE ALL: no name, unless it is in quotes. */
		is_name = n->follows && lexer_is_name(&token) && !lexer_is_word(&token, "all");
		if (!is_name) {
			n->follows = is_verb(&token);
			continue;
		}
		if (lexer_value(&token, n->lexer.flags, n->name, sizeof(n->name), &len) ==
			LEXER_VALUE_OK) {
			n->follows = is_verb(&token);
			return true;
		}
		/* What it is nobody knows; what is behind it may be a name as well. */
		n->is_sure = false;
	}
	return false;
}

bool named_is_sure(const struct named *n)
{
	return n->is_sure && !n->lexer.unsure;
}
