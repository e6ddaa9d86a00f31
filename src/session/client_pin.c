/* SPDX-License-Identifier: ISC */
/*
 * Leases that a client of a transaction port keeps, as their server has what no other
 * server has: temporary tables, cursors WITH HOLD, advisory locks, LISTEN, LOAD,
 * setseed().
 *
 * Where a text shows it the lease is pinned before the text runs, or the text is refused.
 * When a transaction is over in which something was made or may have gone the server is
 * asked what is there; once there is nothing the lease ends, and the server is cleaned.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/slog.h"
#include "pg/frame.h"
#include "pg/msg_out.h"
#include "pg/wire.h"
#include "session/client_advice.h"
#include "session/client_pin.h"
#include "session/client_priv.h"
#include "session/facts.h"
#include "session/server_priv.h"
#include "sql/statement_may.h"

/* For changes that no text shows. */
enum { PROBE_PAUSE_US = USEC_PER_SEC };

/* What a look at one name costs, in bytes that are read. */
enum { NAME_COST = 64 };

static bool keeps(const struct client *c, const struct server *s)
{
	return !s->is_session && c->workload->mode != ROUTE_SESSION &&
		c->route->limits.state != ROUTE_STATE_OFF;
}

/* --- before a text runs --------------------------------------------------------------------- */

static void pinned(struct client *c, struct server *s, uint32_t kinds)
{
	if (c->work->pins.kinds == 0)
		c->work->pins.since_us = worker_now(c->worker);
	for (unsigned i = 0; i < ROUTE_PIN_COUNT; i++) {
		if ((kinds & pin_bit(i)) != 0)
			router_count(&c->worker->pins[i]);
	}
	client_advice_keeps(c, kinds & ~c->work->pins.kinds);
	c->work->pins.kinds |= kinds;
	/* Cleaned, and the cleaning checked, before anybody else has it. */
	s->is_dirty = true;
}

static bool admit(struct client *c, struct server *s, uint32_t want, enum step_kind *why)
{
	uint32_t refused = want & c->route->limits.pins_refused;
	uint32_t max;

	if (refused == 0 && monitor_pin(&s->host->monitor, &c->work->lease, &max)) {
		c->work->pins.most = max;
		pinned(c, s, want);
		client_advice_tell(c, want, ADVICE_PINNED);
		return true;
	}
	*why = refused != 0 ? STEP_NOT_ALLOWED : STEP_NOT_PINNED;
	c->work->pins.refused = refused != 0 ? refused : want;
	c->work->pins.refused_max = refused != 0 ? 0 : max;
	/* It does not run, so nothing is loaded. */
	if ((c->work->pins.kinds & pin_stays()) == 0)
		c->work->touched.closes = false;
	client_advice_tell(c, c->work->pins.refused, ADVICE_REFUSED);
	return false;
}

static void of_protocol(struct prepared_name *n, void *arg)
{
	struct server *s = arg;

	/* A PREPARE was looked at when it ran. */
	if (n->statement->may_pin && !n->statement->is_sql)
		s->client->work->pins.prepared |=
			facts_pins(n->statement, client_lexer_flags(s)).makes;
}

/* There may be thousands: not as long as they are the same. */
static void look_at_prepared(struct client *c, struct server *s)
{
	struct client_work *work = c->work;
	unsigned flags = client_lexer_flags(s);

	if (work->has_pins && work->pins_names == c->names.changes && work->pins_flags == flags)
		return;
	work->has_pins = true;
	work->pins_names = c->names.changes;
	work->pins_flags = flags;
	client_has_read(c, c->names.table.count * NAME_COST);
	prepared_names_each(&c->names, of_protocol, s);
}

static bool admits(struct client *c, struct server *s, const struct pin_scan *scan,
	enum step_kind *why)
{
	struct pins *p = &c->work->pins;
	uint32_t want;

	/* EXECUTE runs what the protocol has prepared, too. */
	if (scan->executes)
		look_at_prepared(c, s);
	p->prepared |= scan->prepares;
	p->may_end = p->may_end || scan->ends;
	p->is_unseen = p->is_unseen || scan->is_unseen || scan->executes;
	want = scan->makes | (scan->executes ? p->prepared : 0) |
		(scan->keeps & c->route->limits.pins_refused);
	/* set_config('seed', ...) is known to state.c. */
	if (c->work->touched.closes && ((want | p->kinds) & pin_stays()) == 0)
		want |= pin_bit(ROUTE_PIN_SEED);
	want &= ~p->kinds;
	return want == 0 || admit(c, s, want, why);
}

bool client_pin_admits(struct client *c, struct server *s, const void *text, size_t len,
	enum step_kind *why)
{
	struct pin_scan scan;

	if (!keeps(c, s) ||
		(client_pin_passes(c) &&
			(statement_may(text, len) & (STATEMENT_MAY_PIN | STATEMENT_MAY_NAME)) == 0))
		return true;
	pin_scan(&scan, text, len, client_lexer_flags(s));
	return admits(c, s, &scan, why);
}

static bool admits_statement(struct client *c, struct server *s, struct prepared *p,
	enum step_kind *why)
{
	struct pin_scan scan;

	if (!keeps(c, s) || (!p->may_pin && !p->may_name && !client_pin_looks(c)))
		return true;
	scan = facts_pins(p, client_lexer_flags(s));
	/* A PREPARE that has run, and of which this is what it has prepared. */
	if (p->is_sql)
		pin_scan_runs(&scan);
	return admits(c, s, &scan, why);
}

bool client_pin_admits_bind(struct client *c, struct server *s, const char *name,
	enum step_kind *why)
{
	const char *text = (const char *)buf_data(&c->unnamed);
	const struct prepared_name *n;
	size_t len;

	if (name[0] != '\0') {
		n = client_named(c, name);
		return n == NULL || admits_statement(c, s, n->statement, why);
	}
	if (c->unnamed_large != NULL)
		return admits_statement(c, s, c->unnamed_large, why);
	if (!c->has_unnamed ||
		(!c->unnamed_pins && !c->unnamed_names && client_pin_passes(c)))
		return true;
	len = strnlen(text, buf_len(&c->unnamed));
	client_has_read(c, len);
	return client_pin_admits(c, s, text, len, why);
}

bool client_pin_admits_setting(struct client *c, struct server *s, const char *name,
	enum step_kind *why)
{
	uint32_t want = pin_of_setting(name) & c->route->limits.pins_refused;

	return !keeps(c, s) || want == 0 || admit(c, s, want, why);
}

void client_pin_refuse_query(struct server *s, enum step_kind why)
{
	struct buf out;
	char sql[64];

	(void)snprintf(sql, sizeof(sql), "EXECUTE %s", prepared_no_name());
	server_close_unseen(s, prepared_no_name());
	server_step(s, why, NULL, NULL);
	exchange_sent(&s->xq, 'Q');
	buf_init(&out, 0);
	msg_out_query(&out, sql);
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
}

/* --- where nobody looks after names ---------------------------------------------------------- */

/* What is prepared by name may be bound again when what it made is gone. */
static bool passes_text(struct client *c, struct server *s, const struct frame *f,
	enum step_kind *why)
{
	const char *text, *name = "";
	struct pin_scan scan;
	struct wire_in in;
	size_t len;

	wire_init(&in, f->body, f->available);
	if (f->type == 'P')
		name = wire_cstr(&in);
	text = wire_cstr(&in);
	if (!wire_ok(&in))
		return true;
	len = strlen(text);
	if (client_pin_passes(c) &&
		(statement_may(text, len) & (STATEMENT_MAY_PIN | STATEMENT_MAY_NAME)) == 0)
		return true;
	pin_scan(&scan, text, len, client_lexer_flags(s));
	if (name[0] != '\0')
		scan.prepares |= scan.makes;
	return admits(c, s, &scan, why);
}

/* Without a name it is what its Parse was. */
static bool passes_bind(struct client *c, struct server *s, const struct frame *f,
	enum step_kind *why)
{
	struct pin_scan scan = { .executes = true };

	return c->work->pins.prepared == 0 || client_uses_unnamed(f) || admits(c, s, &scan, why);
}

bool client_pin_passing(struct client *c, struct server *s, const struct frame *f,
	enum step_kind *why)
{
	bool in_copy = s->xq.copy == EXCHANGE_COPY_IN && !s->xq.copy_end_sent;

	if (!keeps(c, s) || s->xq.skipping || in_copy)
		return true;
	switch (f->type) {
	case 'P':
	case 'Q':
		return passes_text(c, s, f, why);
	case 'B':
		return passes_bind(c, s, f, why);
	case 'F':
		return client_function_admits(c, s, f, why);
	default:
		return true;
	}
}

void client_pin_refuse_passing(struct client *c, struct server *s, const struct frame *f,
	enum step_kind why)
{
	if (f->type == 'Q' || f->type == 'F') {
		client_pin_refuse_query(s, why);
		server_step(s, STEP_END_QUERY, NULL, NULL);
		c->unnamed_version++;
		client_unnamed_put(c, s);
		return;
	}
	/* PostgreSQL begins with the one that was there. */
	if (f->type == 'P' && f->body[0] == '\0')
		client_unnamed_hide(c, s);
	client_send_failing(s, why, NULL);
}

/* The first of several. */
static unsigned first_of(uint32_t kinds)
{
	unsigned kind = 0;

	while (kind + 1 < ROUTE_KIND_COUNT && (kinds & pin_bit(kind)) == 0)
		kind++;
	return kind;
}

void client_pin_error(struct client *c, bool is_policy, struct buf *out)
{
	unsigned pin = first_of(c->work->pins.refused);
	const char *port = c->route->limits.session_port;
	char message[256], hint[512];
	struct msg_out_error error = { .severity = "ERROR",
		.sqlstate = is_policy ? "0A000" : "53300",
		.message = message,
		.hint = hint };

	if (is_policy)
		(void)snprintf(message, sizeof(message),
			"%s are not allowed on this port (session_state_%s is refuse)",
			pin_text(pin), pin_word(pin));
	else
		(void)snprintf(message, sizeof(message),
			"%s need a server connection of their own, and clients of this port keep as many as they may (max_pinned is %u)",
			pin_text(pin), c->work->pins.refused_max);
	(void)snprintf(hint, sizeof(hint),
		port[0] != '\0' ? "Use the session port, %s." :
				  "Use a port with pool_mode session%s; there is none yet.",
		port);
	buf_clear(out);
	msg_out_error(out, &error);
}

/* --- when the transaction is over --------------------------------------------------------------- */

/* Is it this one's turn to be looked at? */
static bool is_audited(struct client *c)
{
	uint32_t each = c->route->limits.audit_each;

	return each != 0 && c->work->pins.is_unseen && c->worker->audits++ % each == 0;
}

static bool is_to_be_asked(struct client *c)
{
	struct pins *p = &c->work->pins;
	bool has_rested = worker_now(c->worker) - p->asked_us >= PROBE_PAUSE_US;

	p->is_audit = is_audited(c);
	if (p->asks || p->is_audit)
		return true;
	if (p->kinds == 0)
		return false;
	return p->may_end || (p->kinds & ~p->confirmed & ~pin_stays()) != 0 ||
		(p->is_unseen && has_rested);
}

/* The client goes on with the server that it has. */
static void stay(struct client *c)
{
	/* As far as its share of the worker goes it has begun anew. */
	c->lease_exchanges = 0;
	client_portals_forget(c);
	if (stream_held(&c->stream) > 0)
		stream_retry(&c->stream);
}

/* They are there no more. */
static void leave_out(struct client *c, uint32_t kinds)
{
	struct pins *p = &c->work->pins;

	kinds &= p->kinds;
	p->kinds &= ~kinds;
	if (kinds != 0)
		client_advice_ended(c, kinds);
}

static void unpin_if_nothing_is_left(struct client *c, struct server *s)
{
	if (c->work->pins.kinds == 0 && c->work->lease.is_pinned)
		monitor_unpin(&s->host->monitor, &c->work->lease);
}

void client_pin_ran(struct client *c, bool loads)
{
	struct pins *p = &c->work->pins;
	uint32_t load = pin_bit(ROUTE_PIN_LOAD);

	p->confirmed |= p->kinds & pin_stays() & (loads ? load : ~load);
}

/* What nobody can be asked for, and what failed or did not run: no tag has come.  What it did
 * all the same goes with the server. */
static void forget_failed(struct client *c, struct server *s)
{
	uint32_t failed = c->work->pins.kinds & ~c->work->pins.confirmed & pin_stays();

	if (failed == 0)
		return;
	leave_out(c, failed);
	server_break(s, SERVER_END_STATE);
	unpin_if_nothing_is_left(c, s);
}

bool client_pin_holds(struct client *c, struct server *s)
{
	struct pins *p = &c->work->pins;

	if (LIKELY(p->kinds == 0 && !p->asks && !p->is_unseen))
		return false;
	forget_failed(c, s);
	if (keeps(c, s) && is_to_be_asked(c)) {
		p->asked_us = worker_now(c->worker);
		server_probe(s, p->is_audit);
		return true;
	}
	if (p->kinds == 0)
		return false;
	stay(c);
	return true;
}

/* What no text showed: kept for the client where that is allowed. */
static void found(struct client *c, struct server *s, uint32_t kinds)
{
	uint32_t kept = kinds & ~c->route->limits.pins_refused;

	s->is_dirty = true;
	if (kept != 0) {
		monitor_pin_found(&s->host->monitor, &c->work->lease);
		c->work->pins.most = 0;
		pinned(c, s, kept);
	}
	client_advice_tell(c, kinds, ADVICE_FOUND);
}

void client_pin_told(struct client *c, struct server *s)
{
	struct pins *p = &c->work->pins;
	uint32_t fresh = p->there & ~p->kinds;

	if (fresh != 0)
		found(c, s, fresh);
	if (p->changed != 0) {
		s->is_dirty = true;
		client_advice_tell(c, p->changed, ADVICE_FOUND);
		p->changed = 0;
	}
	leave_out(c, ~(p->there | pin_stays()));
	p->confirmed = p->kinds;
	p->failures = 0;
	p->asks = false;
	p->may_end = false;
	p->is_unseen = false;
	p->is_audit = false;
	unpin_if_nothing_is_left(c, s);
}

void client_pin_untold(struct client *c, struct server *s)
{
	s->is_dirty = true;
	c->work->pins.failures = 0;
	/* Asked again after its next transaction. */
	if (c->work->pins.kinds != 0) {
		stay(c);
		return;
	}
	client_pin_forget(c);
	server_lease_ends(s);
}

void client_pin_forget(struct client *c)
{
	struct pins *p = &c->work->pins;

	leave_out(c, p->kinds);
	p->confirmed = 0;
	p->asks = false;
	p->may_end = false;
	p->is_unseen = false;
	p->is_audit = false;
	p->since_us = 0;
	p->asked_us = 0;
	/* What it had prepared went with its server. */
	if (!c->keeps_statements)
		p->prepared = 0;
}
