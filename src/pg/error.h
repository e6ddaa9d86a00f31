/* SPDX-License-Identifier: ISC */
/*
 * Reads ErrorResponse and NoticeResponse.  Whoever sent one is not trusted:
 * every field may be missing, come twice or lack its end (CVE-2026-6666 was a
 * missing SQLSTATE).
 *
 * Owns:   nothing; slices point into the body.
 * Thread: any.
 * Source: PostgreSQL documentation, 55.8 Error and Notice Message Fields.
 */
#ifndef PG_ERROR_H
#define PG_ERROR_H

#include "pg/wire.h"

enum { ERROR_SQLSTATE_SIZE = 6 };

struct error_fields {
	/* Five digits or upper-case letters; "XX000" when the field is missing or
	 * is anything else. */
	char sqlstate[ERROR_SQLSTATE_SIZE];
	/* Each is empty, with data "", when missing; the first one counts when it
	 * comes twice. */
	struct wire_slice severity;     /* V, or S where V is missing */
	struct wire_slice message;      /* M */
	struct wire_slice detail;       /* D */
	struct wire_slice hint;         /* H */
	struct wire_slice position;     /* P */
	struct wire_slice where;        /* W */
	struct wire_slice schema;       /* s */
	struct wire_slice table;        /* t */
	struct wire_slice routine;      /* R */
};

/*
 * Reads the body of the message.  False when it is malformed (no end, text
 * after the end, a field without its NUL); *out then holds what could be read,
 * and is as safe to use as otherwise.
 */
bool error_parse(const uint8_t *body, size_t len, struct error_fields *out);

/* FATAL or PANIC: the server closes the connection after it. */
bool error_is_fatal(const struct error_fields *);

/* The SQLSTATE begins with these characters: error_has_class(e, "28"). */
bool error_has_class(const struct error_fields *, const char *prefix);

#endif
