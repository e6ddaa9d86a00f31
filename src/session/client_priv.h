/* SPDX-License-Identifier: ISC */
/*
 * What the files of the client machine share.  Size: a few lines of each.
 */
#ifndef SESSION_CLIENT_PRIV_H
#define SESSION_CLIENT_PRIV_H

#include "base/hash.h"
#include "net/tls.h"
#include "pg/client_auth.h"
#include "pg/frame.h"
#include "pg/startup.h"
#include "session/client.h"
#include "session/server.h"

enum { CLIENT_MAGIC = 0x636c6e74, CLIENT_LINGER_US = 2000000, CLIENT_APPLICATION_SIZE = 64 /* NAMEDATALEN */ };

/* What is needed until a client is logged in, and freed then. */
struct client_login {
	struct client *client;
	struct list_node in_unproven;   /* worker->unproven, oldest first, until
					   gate_pass() */
	struct client_auth auth;
	bool has_auth;
	struct route_proof proof;       /* what it has to prove, from AUTH on */
	struct chore *chore;            /* client_proof.c's, under way */
	struct addr peer;
	bool has_peer, wants_proxy;     /* a PROXY header comes first */
	bool is_one_too_many;           /* of its address */
	bool was_looked_up;             /* its secret is auth_query's */
	bool is_doomed;                 /* it goes through the motions and fails */
	unsigned startup_flags;
	uint32_t protocol;
	enum startup_replication replication;
	char user[STARTUP_NAME_SIZE];
	char database[STARTUP_NAME_SIZE];
	bool is_console;
	bool is_direct;         /* TLS began without being asked for */
	char certificate[TLS_DN_MAX];   /* client_certificate_name() */
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

/* The peer is gone, with 0 or -errno.  True: it has said Terminate, and what it sent before that is still to
 * run; the client then ends by itself. */
bool client_has_quit(struct client *, int error);
/* The next message, NEED_MORE, or BAD when PostgreSQL would not take it: then the client
 * is ended. */
enum frame_result client_next_message(struct client *, const uint8_t *data, size_t len,
	struct frame *);
size_t client_console_data(struct client *, const uint8_t *data, size_t len);

/* client_auth.c: AUTH, up to client_login_proven() or the client's end. */
void client_auth_begin(struct client *);
void client_auth_end(struct client_login *);
struct lookup_answer;
void client_auth_found(struct client *, const struct lookup_answer *);

/* client_startup.c: TLS is agreed upon, or will not be. */
void client_startup_secure(struct client *);
void client_startup_insecure(struct client *);

/* All that authentication knows of the client's TLS.  A name is valid until the next
 * is asked for; dn: the whole name of the certificate, else its common name. */
bool client_is_tls(const struct client *);
bool client_has_certificate(const struct client *);
const char *client_certificate_name(const struct client *, bool dn);

/* client_login.c */
void client_login_proven(struct client *);
void client_login_free(struct client *);
void client_login_welcome(struct client *);
void client_login_granted(struct client *);

/* client_prepared.c: what becomes of a message on a transaction port. */
enum client_sent {
	CLIENT_AS_IT_IS,        /* it is to be sent */
	CLIENT_REPLACED,        /* something else was; what is left of it goes on */
	CLIENT_DROPPED          /* the same; what is left of it does not */
};

/* The rest of it is to come before anything is done about it, or known of it. */
bool client_prepared_waits(const struct client *, const struct server *, const struct frame *);
/* Returns the bytes used, 0 when more are needed. */
size_t client_prepared_message(struct client *, struct server *, const struct frame *,
	enum client_sent *);
/* A message that fails at its place, with an error of ours: STEP_REFUSED and its like. */
void client_send_failing(struct server *, enum step_kind, struct prepared_name *);
/* Is there room for a statement of so many bytes? */
bool client_has_room(const struct client *, size_t len);
/* The same of the memory of all clients alone. */
bool client_has_memory(const struct client *, size_t len);
/* What the client means by this name, or NULL.  In a lease; several look for that of each
 * message, so the last one is kept at hand. */
struct prepared_name *client_named(const struct client *, const char *name);
/* It runs soon, and may set something then; and it may name others. */
void client_note_statement(struct client *, struct server *, struct prepared *);
void client_note_use(struct client *, struct server *, struct prepared *);
/* So much was read of what the client has sent before: others are to have their turn. */
static inline void client_has_read(const struct client *c, size_t len)
{
	c->work->read += len;
}

/* client_plain.c */
/* Nothing is put in front of it, and nothing in its place. */
bool client_is_plain(const struct client *, const struct server *, const struct frame *);
/* Execute and Describe of portals, as far as they come in a row and nothing is special:
 * their bytes, which go on; 0: look closer. */
size_t client_pass_plain(struct client *, struct server *, const uint8_t *data, size_t len);
/* CopyData that follows CopyData of the same COPY: the same. */
size_t client_pass_copy(struct client *, const struct server *, const uint8_t *data, size_t len);

/* client_sure.c */
/* The message names what was made or dropped in front of it, without an answer: it waits. */
bool client_waits_for_names(const struct client *, struct server *, const struct frame *);
/* Something in front of it may change how its text is read, and was not answered: it waits. */
bool client_waits_for_reading(struct client *, struct server *, const struct frame *);
/* It was sent: so may it. */
void client_cuts_behind(const struct client *, struct server *, const struct frame *);
/* The message goes on, and another comes. */
void client_sure_taken(const struct client *);
/* PostgreSQL is to answer what was sent, where that is what it waits for. */
void client_sure_flush(struct server *);
/* A text that is about to run, as a Query or by Bind: does it drop all names, or make a
 * table of which its tag does not tell? */
void client_note_run(struct server *, const void *text, size_t len);
void client_note_bound_run(const struct client *, struct server *, const char *name);

/* client_deallocate.c: what a statement with this text would drop, NULL for all others;
 * then *body is to be prepared in its place. */
struct prepared_act *client_parse_drop(const struct client *, const struct server *,
	const void *text, size_t len, const uint8_t **body, size_t *body_len);
/* Such a portal is about to run. */
void client_run_drop(struct client *, struct server *, const struct prepared_act *);
/* A Query.  True: something else was sent in its place. */
bool client_deallocate(struct client *, struct server *, const struct frame *);

/* client_portal.c: what portals do to names when they run. */
/* May one be bound to the statement of this name?  Not if there are too many. */
bool client_portal_admits(const struct client *, const char *name);
/* It is about to be bound, closed, run: nothing else is sent in front of that message. */
void client_portal_bound(struct client *, struct server *, const char *portal,
	const char *name);
void client_portal_closed(struct client *, struct server *, const char *portal);
/* The last may send something in front of it. */
void client_portal_runs(struct client *, struct server *, const char *portal);
/* That did not happen. */
void client_portal_undo(struct client *, const struct step *);

/* client_sql.c: PREPARE, EXECUTE and DEALLOCATE of SQL. */

/* Sees that the server has what this text names.  True: something was sent. */
bool client_sql_need(struct client *, struct server *, const char *text, size_t len);
/* The same for one that the client uses by the protocol, made by SQL. */
void client_sql_use(struct client *, struct server *, struct prepared_name *);
/* The server has it no more. */
void client_sql_close(struct server *, const char *name);
void client_sql_close_all(struct server *);
/* The text of a Query is about to be sent.  False: it was not; it fails instead. */
NODISCARD bool client_sql_query(struct client *, struct server *, const struct frame *);
/* What a statement with this text does to names, if it is a PREPARE.  *fails: the kind of
 * step that it is to fail with, or STEP_END_SYNC. */
struct prepared_act *client_sql_parse(struct client *, struct server *, const char *text,
	size_t len, enum step_kind *fails);
/* Such a portal is about to run. */
void client_sql_run(struct client *, struct server *, const struct prepared_act *);

/* client_told.c: ParameterStatus on a transaction port. */
/* The welcome has told it this. */
void client_told_all(struct client *, const struct params *settings);
/* It knows this.  False: without memory. */
bool client_told_set(struct client *, const struct params *settings);
void client_told_forget(struct client *);
/* Appends what differs from what it was told last. */
void client_told_changes(struct client *, const struct params *reported, struct buf *out);
/* True: this, which ends with ReadyForQuery, goes to it in place of ReadyForQuery. */
bool client_told_ready(struct client *, struct server *, char status, struct buf *out);

/* Does the server have the unnamed statement that the client sent last?  It may have an
 * older one. */
static inline bool client_unnamed_is_there(const struct client *c, const struct server *s)
{
	return s->unnamed_of == c->id && s->unnamed_version == c->unnamed_version;
}

static inline void client_unnamed_put(const struct client *c, struct server *s)
{
	s->unnamed_of = c->id;
	s->unnamed_version = c->unnamed_version;
	s->unnamed_at = s->xq.ends;
	s->unnamed_is_unsure = !exchange_is_idle(&s->xq);
}

/* ... and will have it when what is sent next runs: what made it so was answered, or both
 * are skipped. */
static inline bool client_unnamed_is_sure(const struct client *c, const struct server *s)
{
	return client_unnamed_is_there(c, s) &&
		(!s->unnamed_is_unsure || s->unnamed_at == s->xq.ends);
}

/* client_unnamed.c */
/* A Parse with this body goes on: what is kept of it, and the step.  may: enum text_may. */
void client_unnamed_keep(struct client *, struct server *, const uint8_t *body, size_t len,
	unsigned may);
void client_unnamed_sent(struct client *, struct server *);
/* A Close of it goes on. */
void client_unnamed_close(struct client *, struct server *);
/* Sees that the server has it. */
void client_unnamed_use(struct client *, struct server *);
/* Bind, or Describe of a statement: of the unnamed one, perhaps? */
bool client_uses_unnamed(const struct frame *);
/* Takes away an unnamed statement that is not the client's. */
void client_unnamed_hide(struct client *, struct server *);
/* A message that is passed on where nobody looks after names: replies to what is put in
 * between are told from those to the client's own. */
void client_unnamed_passing(const struct client *, struct server *, uint8_t type);

/* server_state.c: is the client's state looked after? */
bool client_is_kept(const struct client *);
/* What stands behind the text in the body of a Parse, while its Bind is noted; NULL: no more. */
void client_note_types(struct client *, const void *body, size_t len);
/* A text that the server is about to read; one that nobody has seen. */
void client_note_text(struct client *, struct server *, const void *text, size_t len);
void client_note_unseen(struct client *);
/* One that was read before: touches, enum fact_touches, are not _ANY; or what it sets is told
 * by the other: that is not read, as it would be too much, and is lost. */
void client_note_known(struct client *, unsigned touches);
void client_note_unread(struct client *, struct server *);

/* client_function.c: a FunctionCall.  What it sets has yet to come; may it run; it goes on;
 * the same where names are looked after, false: it was refused, and what fails was sent
 * instead. */
bool client_function_waits(const struct frame *);
bool client_function_admits(struct client *, struct server *, const struct frame *,
	enum step_kind *why);
void client_function_note(struct client *, const struct frame *);
bool client_function_runs(struct client *, struct server *, const struct frame *);

/* Under which settings texts of the client's are read there, as far as it is known. */
static inline uint64_t client_state_key(const struct client *c, const struct server *s)
{
	return c->params.plan_key ^ s->literal_key ^ s->path_key;
}

/* client_reads.c: those of which nothing is known.  Is a text that is sent now for this
 * client alone? */
bool client_reads_alone(const struct client *, const struct server *, const void *text,
	size_t len);
/* What it is read as hangs on settings. */
bool client_reads_constants(const struct server *, struct prepared *);
/* The key under which a statement is to be used now. */
uint64_t client_reading_key(const struct client *, const struct server *, struct prepared *);

/* ... that nobody else's are. */
static inline uint64_t client_new_key(struct client *c)
{
	return hash_mix(c->id, ++c->worker->read_keys) | 1;
}

/* What follows waits until what was reset, or may be once more, is made good. */
static inline bool client_waits_for_defaults(const struct client *c, const struct server *s)
{
	const struct client_work *work = c->work;

	return s->xq.pending > 0 && !s->xq.open && s->xq.copy == EXCHANGE_NO_COPY &&
		(work->resets.has_resets || work->resets_bound || work->resets_saved ||
			work->resets_now != 0);
}

/* client_lease.c */
void client_request(struct client *);
void client_give_back(struct client *);
void client_refuse(struct client *, const char *sqlstate, const char *message,
	const char *hint);

/* client.c: the time to hear the last words is over. */
void client_linger_over(struct client *);

/* client_limits.c: the timer is set for the first limit of what the client is doing; its end. */
void client_arm(struct client *);
void client_on_deadline(struct timer *, uint64_t now_us);

#endif
