/* SPDX-License-Identifier: ISC */
/*
 * The costly part of TLS handshakes, with clients and with PostgreSQL, as chores: a
 * signature with RSA of 4096 bits takes 5 ms, for which nobody else is to wait.
 *
 * Owns:   a step while it is a chore.
 * Thread: see chore.h.
 * Limits: the queue of CHORE_SIGN, in which addresses take turns; a client's waits no
 *         longer than the client may take to log in.
 */
#ifndef SESSION_HANDSHAKE_H
#define SESSION_HANDSHAKE_H

struct worker;

/* Before the worker's first stream. */
void handshake_init(struct worker *);

#endif
