/* SPDX-License-Identifier: ISC */
/*
 * The parameters of a Bind, where a text takes names of settings from them: none is taken
 * that is empty or too long, and what cannot be read is unknown.
 */
#include <stdlib.h>
#include <string.h>

#include "session/state.h"
#include "sql/lexer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char sql[] = "SELECT set_config($1, 'x', false), set_config($2, 'x', false), "
				  "set_config($9, 'x', false)";
	struct touched t;
	const char *at;

	touched_init(&t);
	t.bind = data;
	t.bind_len = size;
	touched_text(&t, sql, sizeof(sql) - 1, LEXER_STANDARD_STRINGS);
	if (t.count > 3)
		abort();
	at = (const char *)buf_data(&t.names);
	for (uint32_t i = 0; i < t.count; i++) {
		size_t len = strlen(at);

		if (len < 2 || len > size)
			abort();
		at += len + 1;
	}
	touched_finish(&t);
	return 0;
}
