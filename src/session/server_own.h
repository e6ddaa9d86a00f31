/* SPDX-License-Identifier: ISC */
/*
 * Queries of the router's own, in the session that a client has, or has left.
 *
 * Thread: the server's worker.
 */
#ifndef SESSION_SERVER_OWN_H
#define SESSION_SERVER_OWN_H

struct server;

/* Sends one, to be swallowed; one behind SERVER_UNTIMED, unless that would hold on in a
 * transaction of the client's; one that can only stand alone. */
void server_send_own(struct server *, const char *sql);
void server_send_untimed(struct server *, const char *sql);
void server_send_alone(struct server *, const char *sql);

/* Where it may_defer in front of the first two: SERIALIZABLE, READ ONLY and DEFERRABLE it would
 * wait until no other transaction could make it fail (GetSafeSnapshot() in predicate.c), and
 * on a standby nothing is SERIALIZABLE (GetSerializableTransactionSnapshot()). */
#define SERVER_AT_ONCE "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; "

/* What stands behind it in the same text has no timeout of the client's
 * (enable_statement_timeout() in postgres.c), but cannot see it either. */
#define SERVER_UNTIMED "SET LOCAL statement_timeout TO 0; "

#endif
