/* SPDX-License-Identifier: ISC */
/*
 * Lines of the log for what took long: waits, and queries by their fingerprint.
 *
 * Texts are looked at only while log_slow_query is set.
 *
 * Owns:   nothing; two numbers of the client are its.
 * Thread: the client's worker.
 */
#ifndef SESSION_SLOW_H
#define SESSION_SLOW_H

#include "pg/frame.h"
#include "session/client.h"

/* A message goes on to the server: which query will run? */
void slow_note(struct client *, const struct server *, const struct frame *);

/* A wait is over; a query is. */
void slow_waited(const struct client *, uint64_t us);
void slow_queried(const struct client *, uint64_t us);

#endif
