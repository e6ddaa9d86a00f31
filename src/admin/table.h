/* SPDX-License-Identifier: ISC */
/*
 * A view as a table: a row is a struct, columns say where its fields are and what
 * type they have, and one renderer writes the messages.
 *
 * Owns:   nothing.
 * Thread: any; pure.
 * Limits: TABLE_COLUMNS_MAX columns.
 */
#ifndef ADMIN_TABLE_H
#define ADMIN_TABLE_H

#include "base/buf.h"

enum { TABLE_COLUMNS_MAX = 40, TABLE_TIME_SIZE = 32 };

/* The field's C type, and the type that the client is told. */
enum table_type {
	TABLE_TEXT,                     /* const char *, NULL is SQL's; text */
	TABLE_U32,                      /* uint32_t; int4 */
	TABLE_BIGINT,                   /* uint64_t; int8 */
	TABLE_NUMERIC,                  /* uint64_t; numeric */
	TABLE_TIME                      /* uint64_t us since 1970, 0 is NULL; text */
};

struct table_column {
	const char *name;
	enum table_type type;
	size_t offset;
	const char *unit;               /* "" where the type says it, or it is a count */
	const char *help;               /* a sentence: the manual's */
};

struct table {
	const struct table_column *columns;
	size_t count;
};

/* Defines a table out of COLUMNS; columns are TABLE_COLUMN(type, row, field, unit,
 * help). */
#define TABLE_OF(columns) { (columns), COUNT_OF(columns) }
#define TABLE_COLUMN(type, row, field, unit, help)                                       \
	{ #field, TABLE_##type, offsetof(struct row, field), (unit), (help) }
#define TABLE_COLUMN_AS(name, type, row, field, unit, help)                              \
	{ (name), TABLE_##type, offsetof(struct row, field), (unit), (help) }

void table_head(const struct table *, struct buf *);
/* Text that is not UTF-8 is made so. */
void table_row(const struct table *, const void *row, struct buf *);

/* "YYYY-MM-DD HH:MM:SS UTC".  Returns to. */
const char *table_time_text(uint64_t wall_us, char to[TABLE_TIME_SIZE]);

#endif
