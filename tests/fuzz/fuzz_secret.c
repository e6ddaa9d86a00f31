/* SPDX-License-Identifier: ISC */
/*
 * Stored secrets and passwords.  A SCRAM secret that is read is written as the
 * same text; any password can be derived from.
 */
#include <stdlib.h>
#include <string.h>

#include "pg/secret.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t salt[4] = { 1, 2, 3, 4 };
	char *text = malloc(size + 1);
	char written[SECRET_SCRAM_TEXT_MAX], md5[SECRET_MD5_LEN + 1];
	struct secret_scram scram;
	struct secret_keys keys;
	enum secret_kind kind;

	memcpy(text, data, size);
	text[size] = '\0';
	kind = secret_classify(text);
	check(secret_parse_scram(text, &scram) == (kind == SECRET_SCRAM));
	if (kind == SECRET_SCRAM)
		check(strcmp(secret_format_scram(&scram, written), text) == 0);
	if (kind == SECRET_MD5)
		check(secret_md5_answer(text, salt, md5));
	check(secret_derive_keys(text, salt, sizeof(salt), 1, &keys));
	check(secret_from_keys(&keys, &scram));
	secret_format_scram(&scram, written);
	check(secret_classify(written) == SECRET_SCRAM);
	free(text);
	return 0;
}
