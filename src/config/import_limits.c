/* SPDX-License-Identifier: ISC */
/*
 * Limits of databases and users: PgBouncer counts them in each process, this router over
 * all ports together.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/import_priv.h"

/* What a file says of it; 0: nothing, or that there is no limit. */
static uint64_t value_in(
	struct import *x, const struct option *o, const struct ini_entry *e)
{
	char *text = e == NULL ? NULL : import_convert(x, o, IMPORT_PLAIN, e, e->value);
	uint64_t value = text == NULL ? 0 : strtoull(text, NULL, 10);

	free(text);
	return value;
}

static void set_sum(struct import *x, const struct option *o, uint64_t sum,
	const struct ini_entry *last, size_t files)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, u64_min(sum, o->max));
	import_set(x, &x->defaults, o, strdup(text), last, 0);
	if (files > 1)
		import_tell(x, false, last,
			"%s: %s is what the files allow together, as it counts over all ports",
			o->name, text);
}

static void add_up(struct import *x, const char *key, const struct ini *inis, size_t count)
{
	const struct option *o = option_find(OPTION_AT_DEFAULTS, key);
	const struct ini_entry *from[IMPORT_FILES_MAX] = { NULL }, *last = NULL;
	size_t limited = 0;
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		const struct ini_entry *e = import_find_key(&inis[i], key);
		uint64_t value = value_in(x, o, e);

		if (value == 0)
			continue;
		from[i] = last = e;
		limited++;
		sum += value;
	}
	if (limited > 0 && limited == count)
		set_sum(x, o, sum, last, count);
	for (size_t i = 0; i < count && limited < count; i++) {
		if (from[i] != NULL)
			import_tell(x, true, from[i],
				"%s: it counts over all ports, and another file has no such limit",
				key);
	}
}

void import_limits(struct import *x, const struct ini *inis, size_t count)
{
	static const char *const keys[] = { "max_db_connections", "max_db_client_connections",
		"max_user_connections", "max_user_client_connections" };

	for (size_t i = 0; i < COUNT_OF(keys); i++)
		add_up(x, keys[i], inis, count);
}
