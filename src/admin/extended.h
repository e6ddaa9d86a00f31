/* SPDX-License-Identifier: ISC */
/*
 * The extended protocol on the console: statements and portals of one client, and
 * answers of commands in the form that it asks for.
 *
 * A command is run when its portal is executed.  To describe one it is run, too, if it
 * only shows something.  There are no parameters, and a portal gives all its rows at
 * once, whatever limit Execute names: nothing of the console is too long for that.
 *
 * Owns:   names and texts.
 * Thread: the worker of the client; pure.
 * Limits: EXTENDED_NAMES_MAX statements and portals of a client.
 * Source: PostgreSQL documentation, 55.2.3 Extended Query.
 */
#ifndef ADMIN_EXTENDED_H
#define ADMIN_EXTENDED_H

#include "base/buf.h"
#include "base/list.h"

enum { EXTENDED_NAMES_MAX = 1000, EXTENDED_COLUMNS_MAX = 64 };

/* What a client wants its columns to be in. */
struct extended_formats {
	uint16_t count;                 /* 0: text; 1: the same for all */
	bool is_binary[EXTENDED_COLUMNS_MAX];
};

struct extended {
	struct list statements;         /* struct extended_name */
	struct list portals;
	uint32_t count;                 /* of both */
	bool skips;                     /* until Sync, after an error */
};

enum extended_todo {
	EXTENDED_NOTHING,               /* the answer, perhaps an empty one, is written */
	EXTENDED_DESCRIBE,              /* text is to be run for its columns only */
	EXTENDED_EXECUTE                /* text is to be run */
};

struct extended_run {
	const char *text;               /* the client's, until its next message */
	struct extended_formats formats;
	bool is_statement;              /* DESCRIBE: of one, not of a portal */
};

void extended_init(struct extended *);
void extended_finish(struct extended *);

/* One message: Parse, Bind, Describe, Execute, Close, Flush or Sync. */
enum extended_todo extended_message(struct extended *, uint8_t type, const uint8_t *body,
	size_t len, struct buf *out, struct extended_run *);

/* Of the answer that a simple query would have had, what Describe is answered with, and
 * what Execute is. */
void extended_describe(const struct buf *answer, bool is_statement,
	const struct extended_formats *, struct buf *out);
void extended_execute(const struct buf *answer, const struct extended_formats *,
	struct buf *out);

#endif
