/* SPDX-License-Identifier: ISC */
/*
 * RESET, RESET ALL, SET ... TO DEFAULT and DISCARD ALL go back to what the client brought
 * in its startup packet, as they do where the server is its own (PostgreSQL documentation,
 * 20.1.4: values of the startup packet are the session's defaults).
 *
 * Servers do not know them as defaults.  So what follows an exchange that may have reset
 * such a setting waits for its end, and before the client hears of that the values are
 * set again, in the same transaction: where it is rolled back both are.  What may have
 * reset them client_resets.c finds.
 *
 * What may have been reset to the end of a transaction only waits for that: set again before,
 * the value would outlive it in place of the client's own.
 */
#include <string.h>
#include <strings.h>

#include "base/slog.h"
#include "session/client_priv.h"
#include "session/client_resets.h"
#include "session/server_priv.h"

/* --- what was reset ------------------------------------------------------------------------- */

/* Something has: what is there to be made good?  What has not may do so later. */
static bool has_run(struct client *c, const struct server *s, char status)
{
	struct client_work *work = c->work;
	bool has_run = work->resets_executed || c->resets_unsure;
	bool may_run = (work->resets_way == WAY_BOUND && status == 'T') ||
		(work->resets_way == WAY_PARSED &&
			(s->is_session || (status == 'T' && !c->keeps_statements)));

	if (status == 'T' && (work->resets_way == WAY_UNSURE ||
				     (work->resets_way == WAY_BOUND && has_run)))
		work->resets_bound = true;
	if (!has_run && !may_run)
		client_resets_forget(c);
	return has_run;
}

/* --- making it good ----------------------------------------------------------------------- */

/* Does it have that value as it is?  Encodings have many spellings. */
static bool is_reported(const struct server *s, const char *name, const char *value)
{
	const char *now = params_get(&s->reported, name);

	if (now == NULL)
		return false;
	if (strcasecmp(name, "client_encoding") != 0)
		return strcmp(now, value) == 0;
	for (;; now++, value++) {
		while (*now == '-' || *now == '_')
			now++;
		while (*value == '-' || *value == '_')
			value++;
		if ((*now | 0x20) != (*value | 0x20))
			return false;
		if (*now == '\0' || *value == '\0')
			return *now == *value;
	}
}

static void write_value(struct buf *sql, const char *name, const char *value)
{
	buf_add_str(sql, "pg_catalog.set_config(");
	params_add_literal(sql, name);
	buf_add_str(sql, ", ");
	params_add_literal(sql, value);
	buf_add_str(sql, ", false)");
}

/* SET takes its value for one name where a list of names belongs. */
static bool is_list_of_names(const char *name)
{
	static const char *const lists[] = { "search_path", "temp_tablespaces",
		"local_preload_libraries", "session_preload_libraries" };

	for (size_t i = 0; i < COUNT_OF(lists); i++) {
		if (strcasecmp(name, lists[i]) == 0)
			return true;
	}
	return false;
}

static void write_name(struct buf *sql, const char *name)
{
	buf_add_str(sql, "\"");
	for (; *name != '\0'; name++) {
		if (*name == '.')
			buf_add_str(sql, "\".");
		buf_add(sql, *name == '.' ? "\"" : name, 1);
	}
	buf_add_str(sql, "\"");
}

/* It was reset.  SET takes no snapshot: SET TRANSACTION may still follow. */
static void write_again(struct buf *sql, const char *name, const char *value)
{
	if (is_list_of_names(name)) {
		buf_add_str(sql, "SELECT ");
		write_value(sql, name, value);
		buf_add_str(sql, " IS NULL; ");
		return;
	}
	buf_add_str(sql, "SET SESSION ");
	write_name(sql, name);
	buf_add_str(sql, " TO ");
	params_add_literal(sql, value);
	buf_add_str(sql, "; ");
}

/* It may have been reset, and may have been set since, or the RESET was rolled back. */
static void write_if_reset(struct buf *sql, const char *name, const char *value)
{
	buf_add_str(sql, "SELECT CASE WHEN ");
	if (strchr(name, '.') != NULL) {
		/* In no view; reset it is empty. */
		buf_add_str(sql, "coalesce(pg_catalog.current_setting(");
		params_add_literal(sql, name);
		buf_add_str(sql, ", true), '') OPERATOR(pg_catalog.=) ''");
	} else {
		buf_add_str(sql, "(SELECT source FROM pg_catalog.pg_settings WHERE "
				 "pg_catalog.lower(name) OPERATOR(pg_catalog.=) "
				 "pg_catalog.lower(");
		params_add_literal(sql, name);
		buf_add_str(sql, ")) OPERATOR(pg_catalog.<>) 'session'");
	}
	buf_add_str(sql, " THEN ");
	write_value(sql, name, value);
	buf_add_str(sql, " END IS NULL; ");
}

/* Nobody knows whether all of it has run and holds. */
static bool is_unsure(const struct client *c)
{
	return c->resets_unsure || c->work->resets_way != WAY_RAN;
}

/* It was, before any of that: the client has emptied it, and does not get it back for what has
 * perhaps come to nothing. */
static bool was_empty(const struct client *c, const char *name)
{
	return c->has_start && strchr(name, '.') != NULL && params_get(&c->params, name) == NULL;
}

/* What has to be said so that the defaults are the client's again: of the timeout, which
 * ends what is said, or of all others.  False: nothing. */
static bool write_defaults(struct client *c, struct server *s, bool is_timeout, struct buf *sql)
{
	const char *name, *value;
	size_t pos = 0, begin = buf_len(sql);
	/* A set_config() that may not have been reached says nothing of a RESET beside it. */
	bool unsure = is_unsure(c), is_doubtful = unsure || c->work->resets.has_errors;

	while (params_next(client_defaults(c), &pos, &name, &value)) {
		enum touched_as as = touched_as(&c->work->resets, name);

		if (as == TOUCHED_SET && c->work->resets.all && is_doubtful)
			as = TOUCHED_BOTH;
		if (as == TOUCHED_NOT || as == TOUCHED_SET || is_reported(s, name, value) ||
			(strcasecmp(name, "statement_timeout") == 0) != is_timeout ||
			((as == TOUCHED_RESET ? unsure : is_doubtful) && was_empty(c, name)))
			continue;
		if (as == TOUCHED_RESET && !unsure)
			write_again(sql, name, value);
		else
			write_if_reset(sql, name, value);
		if (c->work->touched.seen)
			touched_set_again(&c->work->touched, name);
	}
	return buf_len(sql) > begin;
}

/* Is what is told now of the exchange in which some were reset, or of one behind it? */
static bool is_of_resets(const struct server *s)
{
	const struct client_work *work = s->client->work;

	return work->resets.has_resets &&
		(int32_t)(exchange_head(&s->xq) - work->resets_from) >= 0;
}

void server_defaults_unsure(struct server *s)
{
	if (is_of_resets(s))
		s->client->resets_unsure = true;
}

void server_defaults_rolled_back(struct server *s)
{
	struct client *c = s->client;

	if (c == NULL)
		return;
	if (c->work->resets_tagged)
		server_defaults_unsure(s);
	if (c->work->resets_bound || c->work->resets_saved) {
		touched_reset_all(&c->work->resets);
		c->resets_unsure = true;
	}
}

void server_defaults_committed(struct server *s)
{
	if (s->client != NULL)
		s->client->work->resets_tagged = false;
}

void server_defaults_tag(struct server *s)
{
	struct client *c = s->client;

	if (c != NULL)
		c->work->resets_tagged = is_of_resets(s);
	if (c == NULL || !client_has_defaults(c) ||
		(!c->work->resets_bound && c->work->resets_now == 0))
		return;
	touched_reset_all(&c->work->resets);
	c->resets_unsure = true;
}

/* The values are set again behind it: going back to it undoes that, and not what reset them. */
void server_defaults_saved(struct server *s)
{
	if (s->client != NULL && is_of_resets(s))
		s->client->work->resets_saved = true;
}

/* DEALLOCATE ALL: nothing that was prepared in front of it by a name is there any more. */
void server_defaults_discarded(struct server *s)
{
	struct client *c = s->client;

	if (c != NULL && (int32_t)(exchange_head(&s->xq) - c->later.from) > 0)
		client_resets_drop(c);
}

static bool make_good(struct server *s, char status, bool again)
{
	struct client *c = s->client;
	struct buf sql;
	bool any;

	if (touched_is_empty(&c->work->resets) || !exchange_is_idle(&s->xq) ||
		s->phase != SERVER_PHASE_READY)
		return false;
	if (!c->work->resets.has_resets) {
		client_resets_forget(c);
		return false;
	}
	if (status == 'E') {
		/* Undone with the transaction, or a part of it. */
		c->resets_unsure = true;
		return false;
	}
	if (!has_run(c, s, status))
		return false;
	if (status == 'T' && c->work->resets.resets_local) {
		c->resets_unsure = true;
		return false;
	}
	buf_init(&sql, 0);
	/* The timeout holds for none of the others, in either order. */
	any = write_defaults(c, s, again, &sql);
	if (again && s->xq.status == 'I')
		buf_add_str(&sql, SERVER_UNTIMED);
	any = write_defaults(c, s, !again, &sql) || any;
	buf_add_cstr(&sql, "");
	if (any && buf_ok(&sql)) {
		server_enter_phase(s, SERVER_PHASE_DEFAULTS);
		server_set_timer(s, SERVER_CLEAN_US);
		server_send_own(s, (const char *)buf_data(&sql));
	} else if (any) {
		server_fail(s, SERVER_END_MEMORY, "out of memory");
	}
	buf_finish(&sql);
	/* Until it is known that it was not the client's own cancel that came late. */
	if (!any)
		client_resets_forget(c);
	return any;
}

bool server_defaults(struct server *s, char status)
{
	struct client *c = s->client;
	bool is_idle = exchange_is_idle(&s->xq);
	bool is_made_good = make_good(s, status, false);

	if (status != 'I')
		return is_made_good;
	c->work->resets_bound = c->work->resets_saved = false;
	if (is_idle) {
		c->work->resets_now = 0;
		/* Those that are held have run. */
		c->later.by = (uint8_t)(c->later.by & ~BY_CURSOR);
	}
	return is_made_good;
}

bool server_defaults_done(struct server *s)
{
	struct client *c = s->client;

	server_enter_phase(s, SERVER_PHASE_READY);
	if (!s->own_failed) {
		client_resets_forget(c);
		return true;
	}
	/* A cancel that came late, or a timeout. */
	if (strcmp(s->sqlstate, "57014") == 0) {
		c->resets_unsure = true;
		return s->xq.status == 'E' || !make_good(s, s->xq.status, true);
	}
	SLOG_LIMITED(WARN, "defaults-failed", "client=%lu server=%lu sqlstate=%s",
		(unsigned long)c->id, (unsigned long)s->ps.id, s->sqlstate);
	server_fail(s, SERVER_END_CLEAN,
		"the settings of the startup packet could not be set again");
	return false;
}
