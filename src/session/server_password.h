/* SPDX-License-Identifier: ISC */
/*
 * Logins whose password comes from a file or a command (route/password.h): a connect that
 * needs one waits for it before it begins, and once more when PostgreSQL has refused it.
 *
 * Owns:   nothing; a waiter belongs to the source until it is told, and holds no server.
 * Thread: the server's worker.
 */
#ifndef SESSION_SERVER_PASSWORD_H
#define SESSION_SERVER_PASSWORD_H

#include "session/server_connect.h"

/* True: it is in server_login.fetched, or none is needed.  False: server_login_go() comes
 * later, or the login has failed. */
NODISCARD bool server_password_take(struct server *);

/* It took too long. */
void server_password_late(struct server *);

/* PostgreSQL has refused the login.  True: another password may help, and is to be taken
 * before the next try. */
NODISCARD bool server_password_refused(struct server *, const char *sqlstate);
void server_password_worked(struct server *);

#endif
