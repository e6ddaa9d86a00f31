/* SPDX-License-Identifier: ISC */
#include "admin/started.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/dump.h"
#include "config/option.h"

static void add(void *arg, const struct dump_row *row)
{
	struct started *s = arg;

	if (row->option->effect != OPTION_RESTART)
		return;
	assert(s->count < STARTED_MAX);
	s->rows[s->count].name = strdup(row->name);
	s->rows[s->count].value = strdup(row->value);
	s->failed = s->failed || s->rows[s->count].name == NULL ||
		s->rows[s->count].value == NULL;
	s->count++;
}

int started_take(struct started *s, const struct config *config)
{
	*s = (struct started){ .count = 0 };
	if (dump_show(config, add, s) == 0 && !s->failed)
		return 0;
	started_finish(s);
	return -ENOMEM;
}

void started_finish(struct started *s)
{
	for (size_t i = 0; i < s->count; i++) {
		free(s->rows[i].name);
		free(s->rows[i].value);
	}
	s->count = 0;
}

const char *started_value(const struct started *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->rows[i].name, name) == 0)
			return s->rows[i].value;
	}
	return NULL;
}

const char *started_differs(const struct started *s, const struct dump_row *row)
{
	const char *value =
		row->option->effect == OPTION_RESTART ? started_value(s, row->name) : NULL;

	return value == NULL || strcmp(value, row->value) == 0 ? NULL : value;
}
