/* SPDX-License-Identifier: ISC */
/* What is sent to the console: any text is cut into commands, each of which is one or
 * is refused; nothing of it is lost or read twice. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "admin/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *rest = text, *behind = text, *one;

	assert(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	while ((one = command_split(&rest)) != NULL) {
		struct command c;

		assert(one >= behind && rest > one && rest <= text + size);
		assert(command_parse(one, &c) != COMMAND_EMPTY);
		assert(strlen(c.word) <= COMMAND_WORD_MAX);
		assert(strlen(c.argument) <= COMMAND_ARGUMENT_MAX);
		assert(strlen(c.value) <= COMMAND_VALUE_MAX);
		behind = rest;
	}
	free(text);
	return 0;
}
