/* SPDX-License-Identifier: ISC */
/* PgBouncer's configuration, any bytes of it: a list of lines or an error with a place;
 * and what is made of the list is YAML, with no option that does not exist. */
#include <assert.h>
#include <string.h>

#include "base/diag.h"
#include "config/doc.h"
#include "config/import.h"
#include "config/ini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_say(void *arg, bool lost, const char *file, uint32_t line, const char *text)
{
	size_t *count = arg;

	assert(text[0] != '\0' && (file == NULL || line > 0));
	*count += lost;
}

/* Bytes that are not UTF-8 stay what they are, and YAML has none of them. */
static bool is_ascii(const struct buf *b)
{
	for (size_t i = 0; i < buf_len(b); i++) {
		if (buf_data(b)[i] > 0x7e)
			return false;
	}
	return true;
}

static void check_import(const struct ini *ini)
{
	/* Twice: what is said of one file and of another is the same, but for ports. */
	const struct ini inis[] = { *ini, *ini };
	const char *const names[] = { "one.ini", "two.ini" };
	struct diag diag = { 0 };
	struct doc_node *doc;
	size_t lost = 0, said = 0;
	struct buf out;

	buf_init(&out, 0);
	if (import_inis(inis, names, 1, &out, &lost, on_say, &said, &diag) == 0) {
		assert(lost == said);
		doc = doc_parse((const char *)buf_data(&out), buf_len(&out), "out.yaml", &diag);
		assert(doc != NULL || !is_ascii(&out) || strstr(diag.text, "too") != NULL);
		doc_free(doc);
	} else {
		assert(diag_is_set(&diag));
	}
	buf_clear(&out);
	diag_clear(&diag);
	(void)!import_inis(inis, names, 2, &out, &lost, on_say, &said, &diag);
	buf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct diag diag = { 0 };
	struct ini ini;

	ini_init(&ini);
	if (ini_parse(&ini, (const char *)data, size, "fuzz.ini", false, &diag) < 0)
		assert(diag.line > 0);
	else
		check_import(&ini);
	for (const struct ini_entry *e = ini.first; e != NULL; e = e->next) {
		char key[INI_KEY_MAX + 1], value[INI_VALUE_MAX + 1];
		const char *at = e->value;

		while (ini_next_pair(&at, key, value) > 0)
			assert(at <= e->value + strlen(e->value));
	}
	ini_finish(&ini);
	return 0;
}
