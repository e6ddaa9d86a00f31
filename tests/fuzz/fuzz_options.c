/* SPDX-License-Identifier: ISC */
/*
 * The options of a startup packet.  What was read, written again with every
 * byte escaped, is read as the same.
 */
#include <stdlib.h>
#include <string.h>

#include "pg/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_escaped(struct buf *to, const char *text)
{
	for (; *text != '\0'; text++) {
		buf_add_u8(to, '\\');
		buf_add_u8(to, (uint8_t)*text);
	}
}

static void write_again(const struct buf *settings, struct buf *to)
{
	const char *name, *value;
	size_t pos = 0;

	while (options_next(settings, &pos, &name, &value)) {
		if (name[0] == '\0')
			abort();
		buf_add_str(to, " --");
		write_escaped(to, name);
		buf_add_u8(to, '=');
		write_escaped(to, value);
	}
	buf_add_u8(to, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct buf first, again, written;
	struct diag diag;

	memcpy(text, data, size);
	text[size] = '\0';
	buf_init(&first, 0);
	buf_init(&again, 0);
	buf_init(&written, 0);
	diag_clear(&diag);
	if (options_parse(text, &first, &diag)) {
		write_again(&first, &written);
		if (!options_parse((const char *)buf_data(&written), &again, &diag))
			abort();
		if (buf_len(&first) != buf_len(&again))
			abort();
		if (buf_len(&first) > 0 &&
			memcmp(buf_data(&first), buf_data(&again), buf_len(&first)) != 0)
			abort();
	} else if (!diag_is_set(&diag) || buf_len(&first) != 0) {
		abort();
	}
	buf_finish(&first);
	buf_finish(&again);
	buf_finish(&written);
	free(text);
	return 0;
}
