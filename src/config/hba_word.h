/* SPDX-License-Identifier: ISC */
/*
 * A word of a rule that is compared with a name: the name itself or, after a slash,
 * a regular expression of PCRE2.
 *
 * Owns:   the text and the compiled expression.
 * Limits: of a search, HBA_WORD_STEPS steps, so that no name from the network takes long.
 * Thread: any, once made.
 */
#ifndef CONFIG_HBA_WORD_H
#define CONFIG_HBA_WORD_H

#include "config/hba_file.h"

enum { HBA_WORD_STEPS = 100000 };

struct hba_word {
	char *text;
	bool is_quoted;
	void *regex;                    /* pcre2_code; NULL: none */
};

/* Where something was found in the name. */
struct hba_match {
	bool is_found;
	size_t from;
	size_t to;
};

enum hba_fit { HBA_FITS_NOT, HBA_FITS, HBA_FIT_FAILED };

/* Takes the token's text.  Returns 0 or -EINVAL with the diag filled. */
NODISCARD int hba_word_take(struct hba_word *, const struct hba_line *, struct hba_token *);
void hba_word_finish(struct hba_word *);

/* FAILED: it takes too long to find out, or there is no memory. */
enum hba_fit hba_word_fit(const struct hba_word *, const char *name);
/* The same for a regular expression; *first: what its first parentheses found. */
enum hba_fit hba_word_search(const struct hba_word *, const char *name,
	struct hba_match *first);
/* How many parentheses it has that find something. */
uint32_t hba_word_groups(const struct hba_word *);

bool hba_word_is(const struct hba_word *, const char *keyword);

#endif
