/* SPDX-License-Identifier: ISC */
/*
 * The HTTP server: metrics, health, the console's views as JSON, and a page.
 *
 * One thread of its own serves all of it.  It reads what may be read from any thread;
 * for views of what belongs to the workers it sends a letter around, as the console
 * does, and goes on with others meanwhile.  No worker waits for it.
 *
 * Owns:   its sockets and its thread.
 * Thread: the functions here are for the main thread.
 * Limits: http.max_connections connections, 16 kB of head of a request, no body,
 *         http.timeout for a request and its answer, however slowly either moves, 2 s for
 *         its first line on a new connection.
 * Source: GNU libmicrohttpd 0.9.75, which parses HTTP.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "admin/console.h"
#include "base/diag.h"
#include "config/config.h"
#include "net/addr.h"
#include "session/router.h"

struct http;

/* A descriptor that listens there, or -errno; whether it is somebody else's, as inherited.h
 * has it: is_kept, or handed over by another process. */
typedef int http_listen_f(void *arg, const struct config *, const struct addr *, bool *is_kept,
	bool *is_lent);

/* It may have been in another one's place, and listens from here on.  Returns 0 or -errno. */
typedef int http_listen_now_f(void *arg, const struct config *, const struct addr *, int fd);
/* One of another process that the wide one covers, as inherited_take_within(). */
typedef int http_take_within_f(void *arg, const struct addr *wide, struct addr *);

struct http_calls {
	http_listen_f *listen;
	http_listen_now_f *listen_now;
	http_take_within_f *take_within;
	void *arg;
};

/* Returns 0 or -errno. */
NODISCARD int http_create(struct http **, struct console *, struct router *,
	const char *io_backend, const struct http_calls *);

/* Opens what a configuration wants to listen on, in addition to what is there; what takes the
 * place of another one listens from begin on.  Both return 0, or -errno with diag filled; then
 * follows http_commit() or http_abandon(). */
NODISCARD int http_open(struct http *, const struct config *, struct diag *);
NODISCARD int http_begin(struct http *, const struct config *, struct diag *);
void http_commit(struct http *, const struct config *);
void http_abandon(struct http *);

/* Each listening socket that is this process's; before it is handed over. */
typedef void http_socket_f(void *arg, int fd, const struct addr *);
void http_each_socket(struct http *, http_socket_f *, void *arg);
/* Another process listens on them from here on.  Returns 0 or -ENOMEM. */
NODISCARD int http_hand_over(struct http *);
/* Since then: this process has left them. */
bool http_has_left(const struct http *);

/* This process has taken over: what it got is its own, and becomes as configured. */
void http_own(struct http *, const struct config *);

/* Clients are served from now on: /readyz. */
void http_ready(struct http *);

/* Begins; the workers run.  Returns 0 or -errno. */
NODISCARD int http_start(struct http *);
/* While the workers run: nobody is answered any more. */
void http_stop(struct http *);
/* When they have ended. */
void http_destroy(struct http **);

#endif
