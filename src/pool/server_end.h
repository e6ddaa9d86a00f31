/* SPDX-License-Identifier: ISC */
/*
 * Why a connection to PostgreSQL is closed: include/server_ends.def.
 *
 * Thread: any.
 */
#ifndef POOL_SERVER_END_H
#define POOL_SERVER_END_H

enum server_end {
#define SERVER_END(name, word, text) SERVER_END_##name,
#include "server_ends.def"
#undef SERVER_END
	SERVER_END_COUNT
};

/* As metrics and the log tell it. */
const char *server_end_word(enum server_end);

#endif
