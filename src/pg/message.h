/* SPDX-License-Identifier: ISC */
/*
 * What is known about each message of the protocol: include/messages.def as an
 * enum of bytes and as two tables indexed by byte.
 *
 * Thread: any; everything is constant.
 */
#ifndef PG_MESSAGE_H
#define PG_MESSAGE_H

#include "base/base.h"

/* Bytes of the messages that clients (FE_) and servers (BE_) send. */
#define MESSAGE_PREFIX_FRONTEND(name) FE_##name
#define MESSAGE_PREFIX_BACKEND(name)  BE_##name
enum message_byte {
#define MESSAGE(direction, name, byte, kind, body_max, title)                            \
	MESSAGE_PREFIX_##direction(name) = (byte),
#include "messages.def"
#undef MESSAGE
};
#undef MESSAGE_PREFIX_FRONTEND
#undef MESSAGE_PREFIX_BACKEND

/* See the columns of messages.def. */
enum message_kind {
	MESSAGE_NONE,           /* no such message */
	MESSAGE_SIMPLE,
	MESSAGE_EXTENDED,
	MESSAGE_COPY,
	MESSAGE_AUTH,
	MESSAGE_ASYNC,
	MESSAGE_RESULT
};

/* The sizes that messages.def names, in bytes of body. */
enum message_body_max {
	MESSAGE_BODY_NOTHING = 0,
	MESSAGE_BODY_STATUS = 1,
	MESSAGE_BODY_KEY = 4 + 256,             /* protocol 3.2: keys to 256 bytes */
	MESSAGE_BODY_SMALL = 10000,             /* PQ_SMALL_MESSAGE_LIMIT */
	MESSAGE_BODY_REPLY = 30000,             /* libpq, VALID_LONG_MESSAGE_TYPE */
	MESSAGE_BODY_TOKEN = 65535,             /* PG_MAX_AUTH_TOKEN_LENGTH */
	MESSAGE_BODY_PARAMS = 2 + 4 * 65535,
	MESSAGE_BODY_LARGE = 0x3fffffff - 1     /* PQ_LARGE_MESSAGE_LIMIT */
};

struct message_def {
	const char *title;      /* "Bind"; NULL when there is no such message */
	uint32_t body_max;
	enum message_kind kind;
};

/* Indexed by the byte of the message. */
extern const struct message_def message_frontend_defs[256];
extern const struct message_def message_backend_defs[256];

/* A client may send it at some time. */
static inline bool message_is_frontend(uint8_t byte)
{
	return message_frontend_defs[byte].kind != MESSAGE_NONE;
}

/* A server may send it at some time. */
static inline bool message_is_backend(uint8_t byte)
{
	return message_backend_defs[byte].kind != MESSAGE_NONE;
}

/* Part of the extended query protocol, as sent by a client: after an error
 * all of these are skipped until Sync (which is one of them). */
static inline bool message_is_extended(uint8_t byte)
{
	return message_frontend_defs[byte].kind == MESSAGE_EXTENDED;
}

/* Names for logs; "unknown" when there is no such message. */
const char *message_frontend_title(uint8_t byte);
const char *message_backend_title(uint8_t byte);

#endif
