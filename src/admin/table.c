/* SPDX-License-Identifier: ISC */
#include "admin/table.h"

#include <assert.h>
#include <time.h>

#include "admin/utf8.h"
#include "base/decimal.h"
#include "pg/msg_out.h"

static const enum msg_out_type wire_types[] = {
	[TABLE_TEXT] = MSG_OUT_TEXT,
	[TABLE_U32] = MSG_OUT_INT4,
	[TABLE_BIGINT] = MSG_OUT_INT8,
	[TABLE_NUMERIC] = MSG_OUT_NUMERIC,
	[TABLE_TIME] = MSG_OUT_TEXT,
};

void table_head(const struct table *table, struct buf *out)
{
	struct msg_out_column columns[TABLE_COLUMNS_MAX];

	assert(table->count <= TABLE_COLUMNS_MAX);
	for (size_t i = 0; i < table->count; i++)
		columns[i] = (struct msg_out_column){ .name = table->columns[i].name,
			.type = wire_types[table->columns[i].type] };
	msg_out_row_description(out, columns, table->count);
}

const char *table_time_text(uint64_t wall_us, char to[TABLE_TIME_SIZE])
{
	time_t seconds = (time_t)(wall_us / USEC_PER_SEC);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	if (strftime(to, TABLE_TIME_SIZE, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		to[0] = '\0';
	return to;
}

/* The field as text, which for numbers is written to scratch; NULL is SQL's. */
static const char *cell(
	enum table_type type, const void *field, char scratch[TABLE_TIME_SIZE])
{
	switch (type) {
	case TABLE_TEXT:
		return *(const char *const *)field;
	case TABLE_U32:
		/* int4 goes no further; drivers refuse what does. */
		return decimal_text(u64_min(*(const uint32_t *)field, INT32_MAX), scratch);
	case TABLE_BIGINT:
	case TABLE_NUMERIC:
		return decimal_text(*(const uint64_t *)field, scratch);
	case TABLE_TIME:
		if (*(const uint64_t *)field == 0)
			return NULL;
		return table_time_text(*(const uint64_t *)field, scratch);
	}
	return NULL;
}

/* Rows with such text are rare: only they need memory. */
static void clean_row(
	const char **values, size_t count, struct buf *clean, struct buf *out)
{
	size_t at[TABLE_COLUMNS_MAX];

	for (size_t i = 0; i < count; i++) {
		at[i] = buf_len(clean);
		if (values[i] != NULL && !utf8_is_clean(values[i]))
			utf8_add_clean(clean, values[i]);
		else
			at[i] = SIZE_MAX;
	}
	if (!buf_ok(clean)) {
		out->failed = true;
		return;
	}
	/* Only now: the buffer has moved while it grew. */
	for (size_t i = 0; i < count; i++) {
		if (at[i] != SIZE_MAX)
			values[i] = (const char *)buf_data(clean) + at[i];
	}
}

void table_row(const struct table *table, const void *row, struct buf *out)
{
	char scratch[TABLE_COLUMNS_MAX][TABLE_TIME_SIZE];
	const char *values[TABLE_COLUMNS_MAX];
	struct buf clean;

	assert(table->count <= TABLE_COLUMNS_MAX);
	for (size_t i = 0; i < table->count; i++) {
		const struct table_column *c = &table->columns[i];

		values[i] = cell(c->type, (const char *)row + c->offset, scratch[i]);
	}
	buf_init(&clean, 0);
	clean_row(values, table->count, &clean, out);
	msg_out_data_row(out, values, table->count);
	buf_finish(&clean);
}
