/* SPDX-License-Identifier: ISC */
/*
 * A word of a rule that is compared with a name: the name itself or, after a slash,
 * a regular expression.
 *
 * Owns:   the text and the compiled expression.
 * Thread: any, once made.
 */
#ifndef CONFIG_HBA_WORD_H
#define CONFIG_HBA_WORD_H

#include <regex.h>

#include "config/hba_file.h"

struct hba_word {
	char *text;
	bool is_quoted;
	bool is_regex;
	regex_t regex;
};

/* Takes the token's text.  Returns 0 or -EINVAL with the diag filled. */
NODISCARD int hba_word_take(struct hba_word *, const struct hba_line *, struct hba_token *);
void hba_word_finish(struct hba_word *);

bool hba_word_fits(const struct hba_word *, const char *name);
bool hba_word_is(const struct hba_word *, const char *keyword);

#endif
