/* SPDX-License-Identifier: ISC */
/*
 * What the files of the client machine share.
 */
#ifndef SESSION_CLIENT_PRIV_H
#define SESSION_CLIENT_PRIV_H

#include "pg/client_auth.h"
#include "pg/frame.h"
#include "pg/startup.h"
#include "session/client.h"

enum { CLIENT_MAGIC = 0x636c6e74, CLIENT_LINGER_US = 2000000 };

/* What is needed until a client is logged in, and freed then. */
struct client_login {
	struct client_auth auth;
	bool has_auth;
	unsigned startup_flags;
	uint32_t protocol;
	enum startup_replication replication;
	char user[STARTUP_NAME_SIZE];
	char database[STARTUP_NAME_SIZE];
	bool is_console;
	struct buf first;       /* goes out in front of the welcome */
};

static inline struct client *client_from_stream(struct stream *stream)
{
	return container_of(stream, struct client, stream);
}

/* Each takes bytes and returns how many it used. */
size_t client_startup_data(struct client *, const uint8_t *data, size_t len);
size_t client_auth_data(struct client *, const uint8_t *data, size_t len);
size_t client_query_data(struct client *, const uint8_t *data, size_t len);
size_t client_console_data(struct client *, const uint8_t *data, size_t len);

/* client_login.c */
void client_login_begin(struct client *);
void client_login_free(struct client *);
void client_login_welcome(struct client *);
void client_login_granted(struct client *);

/* client_prepared.c: Parse, Bind, Describe, Close, Query and the ends of exchanges on
 * a transaction port.  Returns the bytes used, 0 when more are needed.  *is_raw: they
 * go on as they are; else what replaces them was sent. */
size_t client_prepared_message(struct client *, struct server *, const struct frame *,
	bool *is_raw);
void client_prepared_idle(struct client *);

/* server_state.c: a text that the server is about to read; one that nobody has seen. */
void client_note_text(struct client *, struct server *, const void *text, size_t len);
void client_note_unseen(struct client *);

/* Names of statements are looked after: on transaction ports, unless switched off. */
static inline bool client_keeps_statements(const struct client *c)
{
	return c->workload->mode != ROUTE_SESSION && c->route->limits.max_prepared > 0;
}

/* client_lease.c */
void client_request(struct client *);
void client_give_back(struct client *);
void client_refuse(struct client *, const char *sqlstate, const char *message,
	const char *hint);
void client_arm(struct client *);
void client_linger_over(struct client *);
void client_on_deadline(struct timer *, uint64_t now_us);
void client_on_notify(struct timer *, uint64_t now_us);

#endif
