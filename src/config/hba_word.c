/* SPDX-License-Identifier: ISC */
#include "config/hba_word.h"

#include <string.h>
#include <stdlib.h>

#include "config/hba.h"

int hba_word_take(struct hba_word *word, const struct hba_line *line, struct hba_token *token)
{
	char why[200];
	int error;

	*word = (struct hba_word){ .is_quoted = token->is_quoted };
	if (token->text[0] == '/') {
		if (strlen(token->text) > HBA_REGEX_MAX)
			return hba_fail(line, token,
				"a regular expression of more than %d bytes", HBA_REGEX_MAX);
		error = regcomp(&word->regex, token->text + 1, REG_EXTENDED);
		if (error != 0) {
			(void)regerror(error, &word->regex, why, sizeof(why));
			return hba_fail(line, token, "invalid regular expression \"%.100s\": %s",
				token->text + 1, why);
		}
		word->is_regex = true;
	}
	word->text = token->text;
	token->text = NULL;
	return 0;
}

void hba_word_finish(struct hba_word *word)
{
	if (word->is_regex)
		regfree(&word->regex);
	free(word->text);
}

bool hba_word_fits(const struct hba_word *word, const char *name)
{
	if (word->is_regex)
		return regexec(&word->regex, name, 0, NULL, 0) == 0;
	return strcmp(word->text, name) == 0;
}

bool hba_word_is(const struct hba_word *word, const char *keyword)
{
	return !word->is_quoted && strcmp(word->text, keyword) == 0;
}
