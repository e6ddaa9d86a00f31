/* SPDX-License-Identifier: ISC */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "config/hba_word.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "config/hba.h"

static int compile(struct hba_word *word, const struct hba_line *line,
	const struct hba_token *token)
{
	const char *text = token->text + 1;
	size_t len = strlen(text), at;
	PCRE2_UCHAR why[200];
	int error;

	if (len > HBA_REGEX_MAX)
		return hba_fail(line, token, "a regular expression of more than %d bytes",
			HBA_REGEX_MAX);
	/* A $ is the end of the name, and a newline in it a character as others are. */
	word->regex = pcre2_compile((PCRE2_SPTR)text, len,
		PCRE2_DOLLAR_ENDONLY | PCRE2_DOTALL, &error, &at, NULL);
	if (word->regex != NULL)
		return 0;
	(void)pcre2_get_error_message(error, why, sizeof(why));
	return hba_fail(line, token, "invalid regular expression \"%.100s\": %s at its byte %zu",
		text, (const char *)why, at);
}

int hba_word_take(struct hba_word *word, const struct hba_line *line, struct hba_token *token)
{
	*word = (struct hba_word){ .is_quoted = token->is_quoted };
	if (token->text[0] == '/') {
		int ret = compile(word, line, token);

		if (ret < 0)
			return ret;
	}
	word->text = token->text;
	token->text = NULL;
	return 0;
}

void hba_word_finish(struct hba_word *word)
{
	pcre2_code_free(word->regex);
	free(word->text);
}

static enum hba_fit search(pcre2_match_context *context, pcre2_match_data *data,
	const struct hba_word *word, const char *name, struct hba_match *first)
{
	const PCRE2_SIZE *found;
	int count;

	if (context == NULL || data == NULL)
		return HBA_FIT_FAILED;
	(void)pcre2_set_match_limit(context, HBA_WORD_STEPS);
	count = pcre2_match(word->regex, (PCRE2_SPTR)name, strlen(name), 0, 0, data, context);
	if (count == PCRE2_ERROR_NOMATCH)
		return HBA_FITS_NOT;
	if (count < 0)
		return HBA_FIT_FAILED;
	found = pcre2_get_ovector_pointer(data);
	if (count > 1 && found[2] != PCRE2_UNSET && found[2] <= found[3])
		*first = (struct hba_match){ true, found[2], found[3] };
	return HBA_FITS;
}

enum hba_fit hba_word_search(const struct hba_word *word, const char *name,
	struct hba_match *first)
{
	pcre2_match_data *data = pcre2_match_data_create_from_pattern(word->regex, NULL);
	pcre2_match_context *context = pcre2_match_context_create(NULL);
	enum hba_fit fit;

	*first = (struct hba_match){ .is_found = false };
	fit = search(context, data, word, name, first);
	pcre2_match_context_free(context);
	pcre2_match_data_free(data);
	return fit;
}

enum hba_fit hba_word_fit(const struct hba_word *word, const char *name)
{
	struct hba_match first;

	if (word->regex != NULL)
		return hba_word_search(word, name, &first);
	return strcmp(word->text, name) == 0 ? HBA_FITS : HBA_FITS_NOT;
}

uint32_t hba_word_groups(const struct hba_word *word)
{
	uint32_t count = 0;

	if (word->regex != NULL)
		(void)pcre2_pattern_info(word->regex, PCRE2_INFO_CAPTURECOUNT, &count);
	return count;
}

bool hba_word_is(const struct hba_word *word, const char *keyword)
{
	return !word->is_quoted && strcmp(word->text, keyword) == 0;
}
