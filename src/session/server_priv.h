/* SPDX-License-Identifier: ISC */
/*
 * What the files of the server machine share.
 */
#ifndef SESSION_SERVER_PRIV_H
#define SESSION_SERVER_PRIV_H

#include "pg/error.h"
#include "pg/frame.h"
#include "pg/result.h"
#include "session/server.h"
#include "session/server_own.h"

enum { SERVER_MAGIC = 0x73727672, SERVER_CLEAN_US = 10000000 };

/* The only assignment to the phase. */
void server_enter_phase(struct server *, enum server_phase);
/* Results come in its phase: a client that reads them slowly stops it. */
bool server_passes_results(const struct server *);
void server_set_timer(struct server *, uint64_t after_us);

/* A Query of the router's own goes out: it ends the unnamed statement. */
static inline void server_sent_own(struct server *s)
{
	exchange_sent_own(&s->xq);
	s->unnamed_of = 0;
}

/* Nothing is in flight. */
static inline void server_flight_ended(struct server *s)
{
	s->binds_ahead = s->data_ahead = false;
	s->code_key = 0;
	s->lexer_flags &= (uint8_t)~LEXER_MAY_CHANGE;
}

/* From the pool to this worker: 0 or -errno; then it is dropped. */
NODISCARD int server_attach(struct worker *, struct server *);
void server_drop(struct worker *, struct server *);
/* A swallowed exchange has ended: what comes next in this phase. */
void server_own_done(struct server *);

/* The connection is of no use any more: tells the client why, and ends it.
 * message NULL: PostgreSQL's own words went to the client already. */
void server_fail(struct server *, enum server_end, const char *message);

/* The server's client is about to go: its settings say how to clean. */
void server_keep_route(struct server *);
void server_forget_route(struct server *);

/* server_end.c: its unit of the budget, and its end. */
/* It does not answer: without a cancel PostgreSQL would not read that it is to end. */
void server_cancel_own(struct server *);
void server_unit_cleaning(struct server *);
void server_unit_closing(struct server *);
void server_unit_gone(struct server *, uint64_t now_us, struct monitor_actions *);
void server_gone(struct server *);
/* Counts it, and says it in the log: once for each that had begun to connect. */
void server_ended(struct server *, enum server_end);

void server_reset(struct server *);
/* RESET: a row of the answer to what there is in a session; the end of that and of others. */
void server_look_row(struct server *, const struct frame *row);
void server_reset_answered(struct server *);
void server_finish_for_client(struct server *);
void server_after_abort(struct server *);
void server_abort_goes_on(struct server *);
void server_lease_ends(struct server *);
void server_barrier(struct server *);
/* BARRIER: are these its answer, ParseComplete and the parameters that only it has?  Sets
 * own_seen.  False: more is needed to tell. */
NODISCARD bool server_barrier_looked(struct server *, const uint8_t *data, size_t len);
/* Its ReadyForQuery, whose status is in xq. */
void server_barrier_done(struct server *);

/* server_state.c: what cleans a server of its last client's session, as one Query.  Where it leaves the
 * shared statements, and code has run, it also looks whether they are still those; server_clean_row() then
 * sets is_forged and has_foreign, and it is to be cleaned once more, with statements. */
/* Valid until the next call of the worker. */
const char *server_clean_sql(const struct server *, bool with_statements);
/* Behind a query: a seed that nobody knows. */
void server_add_reseed(struct worker *, struct buf *query);
/* That which was made before: another seed. */
void server_clean_reseed(struct server *);
bool server_looks_for_forged(const struct server *);
/* It was cleaned so, and nothing forged was found. */
void server_is_sure(struct server *, bool with_statements);
void server_clean_row(struct server *, const struct frame *row);
/* The lease ends: asks what the client's settings have become.  False: there is nothing
 * to ask. */
bool server_ask(struct server *);
/* True: it is to be asked something, and a cancel on its way would hit that; it is asked
 * when that is over. */
bool server_waits_for_cancels(struct server *);
void server_ask_again(struct server *);
void server_answered(struct server *, const struct frame *row);
/* A statement of the client's has run: what its tag, in a whole CommandComplete, tells. */
void server_note_tag(struct server *, enum result_tag, const struct frame *);
/* PortalSuspended: it has run as far as that. */
void server_note_suspended(struct server *);
void server_ask_done(struct server *);
/* Prepared ones, of whomever. */
static inline bool server_has_statements(const struct server *s)
{
	return s->has_foreign || s->prepared.count > 0 || !prepared_names_are_none(&s->sql);
}

/* It carries what another client may have left. */
bool server_needs_cleaning(const struct server *, const struct client *);
/* It may have the client's session from here on. */
void server_carries(struct server *, const struct client *);

/* server_defaults.c */
/* An exchange of the client's has ended.  True: what it has reset is made good first;
 * the client hears of the end when server_defaults_done() is true (false: asked again,
 * or failed). */
bool server_defaults(struct server *, char status);
NODISCARD bool server_defaults_done(struct server *);
/* A statement has run that sets or resets; an error has come; what was done in the transaction
 * so far holds, or some of it does not. */
void server_defaults_tag(struct server *);
void server_defaults_unsure(struct server *);
void server_defaults_committed(struct server *);
void server_defaults_rolled_back(struct server *);
void server_defaults_saved(struct server *);
void server_defaults_discarded(struct server *);
/* server_rows.c: those that are whole and the client's, as far as they come in a row: their
 * bytes. */
size_t server_pass_rows(const struct server *, const uint8_t *data, size_t len);
/* server_query.c: the client is told, or was.  */
void server_client_ready(struct server *, char status);
/* server_pin.c: asks what is in the session that only this server has. */
void server_probe(struct server *, bool settings);
void server_probe_row(struct server *, const struct frame *row);
void server_probe_done(struct server *);

/* server_chain.c: the clean that rides behind the last message of a lease. */
/* Its client has sent what proves that the lease ends (client_end.c): sends it. */
void server_chain(struct server *);
/* Puts the Query that cleans and leaves these settings, which its client has, into
 * s->clean; it is kept there, as most clients of a pool bring the same.  False: without
 * memory. */
NODISCARD bool server_make_clean(struct server *, const struct params *left);
/* The client's part is answered: false when it is not as was proven, and the server is
 * closed. */
bool server_chain_ready(struct server *, char status);
/* The clean's own answer, when the lease did not end all the same, and when it did. */
void server_chain_undone(struct server *);
void server_chain_done(struct server *);
/* What is in flight of the client's own. */
static inline uint32_t server_pending_of_client(const struct server *s)
{
	return s->xq.pending - (s->is_chained ? 1 : 0);
}

/* server_prepared.c: what is sent, each with its step. */
void server_step(struct server *, enum step_kind, struct prepared *, struct prepared_name *);
void server_send_parse(struct server *, const char *name, const void *body, size_t len);
void server_send_close(struct server *, const char *name);
/* What code out of sight may have prepared by this name is not to be met. */
void server_close_unseen(struct server *, const char *name);
void server_send_describe(struct server *, const char *name);
/* Parse, and what has to go so that there are at most so many. */
void server_prepare(struct server *, enum step_kind, struct prepared *,
	struct prepared_name *, uint32_t most);
void server_unprepare(struct server *, struct prepared *);

/* And what replies say. */
/* A client's error.  True: s->instead goes to the client in its place. */
bool server_prepared_error(struct server *, const struct error_fields *, bool skips);
/* The server has reported settings. */
void server_note_settings(struct server *);

/* server_fit.c: makes it the client's, who hears of it; and when PostgreSQL has answered. */
void server_fit(struct server *);
void server_fitted(struct server *);

/* server_connect.c, server_login.c */
/* has_waited: its password has just been fetched for it. */
void server_login_start(struct server *, bool has_waited);
void server_login_connected(struct server *, int error);
void server_login_lost(struct server *, int error);
void server_login_free(struct server *);
void server_login_timeout(struct server *);
/* It has reported another in_hot_standby. */
void server_role_changed(struct server *);

void server_on_timer(struct timer *, uint64_t now_us);
extern const struct stream_ops server_stream_ops;

static inline struct server *server_from_stream(struct stream *stream)
{
	return container_of(stream, struct server, stream);
}

#endif
