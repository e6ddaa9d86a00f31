/* SPDX-License-Identifier: ISC */
/*
 * Logins whose password comes from a file or a command (route/password.h), which is there
 * before a connect begins.  Where it is to be fetched, first or because PostgreSQL has
 * refused the one before, the server ends and its pool waits (monitor_postponed()): a
 * command that hangs has no unit of the budget, and no place among the host's connects.
 *
 * Owns:   nothing; a waiter belongs to the source until it is told, and holds no server.
 * Thread: the server's worker.
 */
#ifndef SESSION_SERVER_PASSWORD_H
#define SESSION_SERVER_PASSWORD_H

#include "session/server_connect.h"

/* True: it is in server_login.fetched, or none is needed.  False: the login has failed or is
 * postponed, and the server is gone; that of a replication connection waits, and
 * server_login_go() comes later. */
NODISCARD bool server_password_take(struct server *);

/* It took too long, for a replication connection: others' clients have query_wait_timeout. */
void server_password_late(struct server *);

/* PostgreSQL has refused the login.  True: another password may help, and is to be taken
 * before the next try. */
NODISCARD bool server_password_refused(struct server *, const char *sqlstate);
void server_password_worked(struct server *);

#endif
