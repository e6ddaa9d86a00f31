/* SPDX-License-Identifier: ISC */
/*
 * Lines of the log for what took long: waits and queries, by their fingerprint, and where
 * log_slow_text says so by their text.
 *
 * Texts are looked at only while log_slow_query is set, and what waits only when it has
 * waited for long.  Texts that may hold a secret (sql/secret.h) are never written.
 *
 * Owns:   two numbers of the client, and its slow_texts.
 * Thread: the client's worker.
 * Limits: SLOW_TEXT_MAX bytes of a text.
 */
#ifndef SESSION_SLOW_H
#define SESSION_SLOW_H

#include "pg/frame.h"
#include "session/client.h"

enum { SLOW_TEXT_MAX = 1024 };

/* A message goes on to the server: which query will run? */
void slow_note(struct client *, const struct server *, const struct frame *);

/* A wait is over, and the client has a server; a query is over. */
void slow_waited(struct client *, uint64_t us);
void slow_queried(const struct client *, uint64_t us);

/* The client is to be freed. */
void slow_forget(struct client *);

#endif
