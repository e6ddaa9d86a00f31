/* SPDX-License-Identifier: ISC */
/*
 * The first packet of a connection: a request for encryption or for a cancel,
 * or the parameters of a session.
 *
 * Owns:   nothing.  Pointers in struct startup point into the packet, and are
 *         valid as long as its bytes are; user and database are copies.
 * Thread: any.
 * Limits: STARTUP_PACKET_MAX, told before the packet has arrived.
 * Source: PostgreSQL documentation, 55.2.1 and 55.7; ProcessStartupPacket() in
 *         PostgreSQL 15 (names are cut) and 18 (protocol 3.2, cancel keys).
 *
 * Stricter than PostgreSQL in one point: encryption requests have exactly 8
 * bytes here.
 */
#ifndef PG_STARTUP_H
#define PG_STARTUP_H

#include "pg/wire.h"

enum {
	STARTUP_PACKET_MAX = 4 + 10000,         /* MAX_STARTUP_PACKET_LENGTH */
	STARTUP_NAME_SIZE = 64,                 /* NAMEDATALEN: a name and its NUL */
	STARTUP_KEY_MIN = 4,
	STARTUP_KEY_MAX = 256,
	STARTUP_TLS_BYTE = 0x16                 /* a TLS handshake record */
};

/* Protocol versions and the codes that stand in their place. */
#define STARTUP_PROTOCOL(major, minor) ((uint32_t)(major) << 16 | (uint32_t)(minor))
#define STARTUP_PROTOCOL_3_0           STARTUP_PROTOCOL(3, 0)
#define STARTUP_PROTOCOL_3_2           STARTUP_PROTOCOL(3, 2)
#define STARTUP_PROTOCOL_LATEST        STARTUP_PROTOCOL_3_2
#define STARTUP_CODE_CANCEL            STARTUP_PROTOCOL(1234, 5678)
#define STARTUP_CODE_TLS               STARTUP_PROTOCOL(1234, 5679)
#define STARTUP_CODE_GSS               STARTUP_PROTOCOL(1234, 5680)

enum startup_result {
	STARTUP_NEED_MORE,
	STARTUP_OK,
	STARTUP_BAD             /* startup.error says why; close the connection */
};

enum startup_kind {
	STARTUP_DIRECT_TLS,     /* TLS without asking; nothing is consumed */
	STARTUP_TLS_REQUEST,    /* answer 'S' or 'N' */
	STARTUP_GSS_REQUEST,    /* answer 'N' */
	STARTUP_CANCEL,         /* startup.cancel_*; answer nothing and close */
	STARTUP_SESSION         /* everything else in struct startup */
};

/* What has been asked on this connection before; asked again it is an error,
 * as in PostgreSQL. */
enum startup_flags {
	STARTUP_TLS_ANSWERED = 1,       /* after 'S' or 'N', or direct TLS */
	STARTUP_GSS_ANSWERED = 2        /* after 'N', and after TLS has begun */
};

enum startup_error {
	STARTUP_ERROR_NONE,
	STARTUP_ERROR_LENGTH,           /* of the packet */
	STARTUP_ERROR_CANCEL_LENGTH,    /* of a CancelRequest or its key */
	STARTUP_ERROR_PROTOCOL,         /* a version other than 3.x */
	STARTUP_ERROR_LAYOUT,           /* pairs of strings, then one NUL */
	STARTUP_ERROR_REPLICATION,      /* neither boolean nor "database" */
	STARTUP_ERROR_NO_USER,
	STARTUP_ERROR_COUNT
};

enum startup_replication {
	STARTUP_REPLICATION_NONE,
	STARTUP_REPLICATION_PHYSICAL,   /* database is then "" */
	STARTUP_REPLICATION_LOGICAL     /* replication=database */
};

struct startup {
	enum startup_kind kind;
	enum startup_error error;
	/* Bytes of the packet.  After an encryption request that is answered 'S'
	 * there must be no byte after these: refuse the connection (it would be
	 * somebody's plain text taken for encrypted, CVE-2021-3935). */
	size_t packet_len;

	uint32_t protocol_asked;        /* as the client said */
	uint32_t protocol;              /* what we speak: asked, but at most 3.2 */
	/* Send msg_out_negotiate_protocol() first: a minor version over 2, or
	 * parameters beginning with _pq_., none of which is known. */
	bool needs_negotiation;
	uint32_t pq_count;              /* of _pq_. parameters */

	char user[STARTUP_NAME_SIZE];           /* cut at 63 bytes; never "" */
	char database[STARTUP_NAME_SIZE];       /* the user's name if not given */
	enum startup_replication replication;
	const char *options;            /* "" if not given; see pg/options.h */
	const char *application_name;   /* "" if not given; also a parameter */

	uint32_t cancel_pid;
	const uint8_t *cancel_key;
	size_t cancel_key_len;          /* STARTUP_KEY_MIN to STARTUP_KEY_MAX */

	struct wire_slice pairs;        /* all names and values, for the iterators */
	const char *bad_value;          /* that the error text quotes, or "" */
};

/*
 * Looks at the first len bytes of a connection.  flags: enum startup_flags.
 * With STARTUP_NEED_MORE nothing in *out counts.  The caller limits the time.
 * A bad length is told as soon as its four bytes are here.
 */
NODISCARD enum startup_result startup_parse(const uint8_t *data, size_t len,
	unsigned flags, struct startup *out);

/*
 * The session's other parameters, in the order sent, duplicates included (the
 * last one counts).  Without user, database, options, replication and _pq_.*;
 * names are as sent, so compare without case.  *pos starts as 0.  False when
 * there is none left.
 */
bool startup_param_next(const struct startup *, size_t *pos, const char **name,
	const char **value);

/* The same for names that begin with _pq_., for NegotiateProtocolVersion. */
bool startup_pq_next(const struct startup *, size_t *pos, const char **name);

/* What PostgreSQL answers to each error.  The text is written to to, and to is
 * returned; bytes of the client's in it are cut and not checked for encoding. */
const char *startup_error_sqlstate(enum startup_error);
const char *startup_error_text(const struct startup *, char *to, size_t size);
/* NULL when there is no hint. */
const char *startup_error_hint(enum startup_error);

/* PostgreSQL closes without an answer, and only logs: whoever sends such a
 * packet does not speak the protocol. */
bool startup_error_is_silent(enum startup_error);

#endif
