/* SPDX-License-Identifier: ISC */
/*
 * Cancel requests: those that clients send us, and those that we send.
 *
 * A request finds its client by the number and key that we gave that client.  It
 * is passed on only while that client holds a server and something runs on it;
 * the server is then used by nobody else until PostgreSQL has closed the cancel
 * connection, so the cancel can hit no later query.
 *
 * Owns:   its connection to PostgreSQL.
 * Thread: the worker of the client that is to be cancelled.
 * Limits: max_cancel_connections of the host; beyond it requests wait, at most
 *         cancel_wait_timeout.
 */
#ifndef SESSION_CANCEL_H
#define SESSION_CANCEL_H

#include "session/client.h"
#include "session/server.h"

/* client is in state CANCEL and waits until the request is dealt with. */
void cancel_request(struct client *, uint32_t pid, const uint8_t *key, size_t key_len);

/* One that came to another process, about a client of ours.  Any thread. */
void cancel_from_elsewhere(struct router *, uint32_t pid, const uint8_t *key, size_t key_len);

/* Cancels what runs on a server of this worker.  whom: who waits for it, or
 * zeroes. */
struct cancel_reply {
	uint32_t worker;
	uint32_t slot;
	uint64_t id;
};

/* How long a request of our own waits for a connection. */
enum { CANCEL_PATIENCE_US = 5000000 };

void cancel_server(struct server *, uint64_t patience_us, const struct cancel_reply *);

/* A server is going away: its cancels must not touch it any more. */
void cancel_forget(struct server *);

/* SUSPEND has begun or ended: stream_hold_changed() for each. */
void cancel_hold_changed(struct worker *);

/* The process ends. */
void cancel_abort_all(struct worker *);

#endif
