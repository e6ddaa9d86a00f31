/* SPDX-License-Identifier: ISC */
/*
 * What the two SCRAM machines share: reading attributes, nonces, the
 * transcript.
 *
 * Thread: any.
 * Source: RFC 5802, section 7 (Formal Syntax).
 */
#ifndef PG_SCRAM_PRIV_H
#define PG_SCRAM_PRIV_H

#include "pg/base64.h"
#include "pg/scram.h"
#include "pg/wire.h"

/* Characters of a nonce of ours. */
enum { SCRAM_NONCE_LEN = BASE64_LEN(SCRAM_NONCE_RAW) };

/* The rest of a message that is attributes: "r=abc,s=def". */
struct scram_attrs {
	const char *pos;
	const char *end;
	bool has_more;          /* one more must come: at the start, after a comma */
};

void scram_attrs_init(struct scram_attrs *, const char *text, size_t len);

/* Takes one attribute.  False when none is left or it is malformed; *value may
 * be empty. */
bool scram_attrs_next(struct scram_attrs *, char *name, struct wire_slice *value);

/* Takes the attribute that must come now.  A mandatory extension in its place
 * gives SCRAM_ERROR_EXTENSION, anything else SCRAM_ERROR_MALFORMED. */
enum scram_error scram_attrs_expect(struct scram_attrs *, char name,
	struct wire_slice *value);

/* Optional extensions up to the end: ignored, but well-formed. */
enum scram_error scram_attrs_skip(struct scram_attrs *);

/* Printable ASCII without comma, at least one, at most SCRAM_NONCE_MAX. */
bool scram_nonce_is_valid(struct wire_slice);

/* Writes SCRAM_NONCE_LEN characters and a NUL; raw NULL: random. */
void scram_nonce_make(const uint8_t *raw, char to[SCRAM_NONCE_LEN + 1]);

/* A part of the AuthMessage; parts are joined by commas.  False when it does
 * not fit. */
bool scram_transcript_add(struct scram_transcript *, const char *text, size_t len);

/* The value of c=: base64 of the gs2 header and, with flag p, the data. */
enum {
	SCRAM_GS2_MAX = 40,             /* "p=tls-server-end-point,," */
	SCRAM_CBIND_MAX = BASE64_LEN(SCRAM_GS2_MAX + SCRAM_BINDING_MAX) + 1
};

/* type and data count with flag p only. */
size_t scram_gs2_header(char flag, const char *type, char to[SCRAM_GS2_MAX]);
size_t scram_cbind(char flag, const char *type, const uint8_t *data, size_t len,
	char to[SCRAM_CBIND_MAX]);

/* Copies a binding into a machine; false when it is longer than can be. */
bool scram_binding_copy(const struct scram_binding *, char type[32],
	uint8_t data[SCRAM_BINDING_MAX], size_t *len);

#endif
