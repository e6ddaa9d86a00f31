/* SPDX-License-Identifier: ISC */
/* SASLprep of passwords, as PostgreSQL does it.
 *
 * Its saslprep.c looks for what is prohibited, unassigned or of both directions in what was
 * mapped, before it is normalised; RFC 3454, and so libidn's own profile, after that.  It
 * makes a difference for signs that NFKC makes letters of: a password with U+2135 (ALEF
 * SYMBOL) beside a Latin letter is prepared there, and taken as it is by libidn.
 *
 * NFKC of libidn is that of Unicode 3.2, PostgreSQL's a newer one.  Of what 3.2 knows, and
 * the rest is refused, five characters differ (Corrigendum 4), and sequences that no
 * language has (Corrigendum 5), for which there is nothing here. */
#include "pg/secret.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_LIBIDN
#include <stringprep.h>

#include "base/text.h"

enum { PROFILE_MAX = 32 };

/* SASLprep without the step that normalises; static, so it ends with an empty one. */
static Stringprep_profile profile[PROFILE_MAX];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_profile(void)
{
	size_t n = 0;

	for (const Stringprep_profile *p = stringprep_saslprep; p->operation != 0; p++) {
		if (p->operation != STRINGPREP_NFKC && n < PROFILE_MAX - 1)
			profile[n++] = *p;
	}
}

static uint32_t corrected(uint32_t c)
{
	switch (c) {
	case 0x2f868: return 0x36fc;
	case 0x2f874: return 0x5f53;
	case 0x2f91f: return 0x243ab;
	case 0x2f95f: return 0x7aee;
	case 0x2f9bf: return 0x45d7;
	default: return c;
	}
}

/* Of text, which has room for a 0 behind it.  NULL: not possible, or no memory. */
static char *prepare(uint32_t *text, size_t len)
{
	uint32_t *normal;
	size_t count = len;
	char *made;

	/* What it maps becomes one character or none. */
	if (stringprep_4i(text, &count, len + 1, STRINGPREP_NO_UNASSIGNED, profile) !=
		STRINGPREP_OK || count == 0)
		return NULL;
	for (size_t i = 0; i < count; i++)
		text[i] = corrected(text[i]);
	normal = stringprep_ucs4_nfkc_normalize(text, (ssize_t)count);
	if (normal == NULL)
		return NULL;
	made = stringprep_ucs4_to_utf8(normal, -1, NULL, NULL);
	for (count = 0; normal[count] != 0; count++)
		;
	OPENSSL_cleanse(normal, count * sizeof(*normal));
	free(normal);
	return made;
}

/* Plain ASCII stays as it is, control characters too: PostgreSQL does not run
 * it through SASLprep.  An empty result counts as failure there. */
char *secret_saslprep(const char *password)
{
	uint32_t *text;
	size_t len;
	char *made;

	if (text_is_ascii(password) || strlen(password) > SECRET_SASLPREP_MAX)
		return strdup(password);
	/* NULL: not UTF-8. */
	text = stringprep_utf8_to_ucs4(password, -1, &len);
	if (text == NULL)
		return strdup(password);
	(void)pthread_once(&once, make_profile);
	made = prepare(text, len);
	OPENSSL_cleanse(text, len * sizeof(*text));
	free(text);
	return made != NULL ? made : strdup(password);
}
#else
char *secret_saslprep(const char *password)
{
	return strdup(password);
}
#endif
