/* SPDX-License-Identifier: ISC */
/*
 * RESET, RESET ALL, SET ... TO DEFAULT and DISCARD ALL go back to what the client brought
 * in its startup packet, as they do where the server is its own (PostgreSQL documentation,
 * 20.1.4: values of the startup packet are the session's defaults).
 *
 * Servers do not know them as defaults.  So what follows an exchange that may have reset
 * such a setting waits for its end, and before the client hears of that the values are
 * set again, in the same transaction: where it is rolled back both are.
 *
 * Not found: what functions reset out of sight, what a transaction resets and keeps
 * behind a savepoint that it goes back to in the same Query, SET LOCAL ... TO DEFAULT.
 *
 * What may have been reset to the end of a transaction only waits for that: set again before,
 * the value would outlive it in place of the client's own.
 */
#include <string.h>
#include <strings.h>

#include "base/hash.h"
#include "base/slog.h"
#include "pg/msg_out.h"
#include "pg/wire.h"
#include "session/client_priv.h"
#include "session/server_priv.h"
#include "sql/statement.h"

static const struct params *defaults_of(const struct client *c)
{
	return c->has_start ? &c->work->start : &c->params;
}

/* --- what may reset them --------------------------------------------------------------- */

/* Is one of them that was done to? */
static bool concerns(const struct client *c, bool also_set)
{
	const char *name, *value;
	size_t pos = 0;

	while (params_next(defaults_of(c), &pos, &name, &value)) {
		enum touched_as as = touched_as(&c->work->resets, name);

		if (as != TOUCHED_NOT && (as != TOUCHED_SET || also_set))
			return true;
	}
	return false;
}

/* What is known of what resets them. */
enum {
	WAY_NONE,
	WAY_READ,       /* the message that has just been noted is parsed, or bound */
	WAY_PARSED,     /* it is the unnamed statement */
	WAY_BOUND,      /* it is resets_portal */
	WAY_RAN,        /* nothing has failed since: all of it has run */
	WAY_UNSURE
};

/* Where texts are not kept: what a statement of an earlier exchange may reset when it runs. */
enum resets_by {
	BY_TAG = 1 << 0,        /* any, which its tag tells */
	BY_CALL = 1 << 1,       /* ... or with the tag of any other */
	BY_NULL = 1 << 2        /* the same if NULL is a value that it is given */
};

static void may_later(struct client *c, unsigned by, bool may)
{
	if (may)
		c->resets_by = (uint8_t)(c->resets_by | by);
}

/* What has come to "resets". */
static void noted(struct client *c, bool runs)
{
	struct touched *resets = &c->work->resets;
	struct client_work *work = c->work;
	uint8_t first = runs ? WAY_RAN : WAY_READ;

	work->cuts = work->cuts || resets->cuts;
	/* A SET behind RESET ALL may not hold. */
	resets->has_resets = resets->has_resets && concerns(c, resets->all);
	if (!resets->has_resets) {
		resets->resets_local = false;
		return;
	}
	work->resets_way = work->resets_way == WAY_NONE || (runs && work->resets_way == WAY_RAN) ?
		first :
		WAY_UNSURE;
	work->resets_executed = work->resets_executed || runs;
}

void client_note_resets(struct client *c, struct server *s, const void *text, size_t len,
	bool runs)
{
	const struct touched *now = &c->work->touched;
	struct touched *resets = &c->work->resets;

	if (s->replication != NULL || !client_has_defaults(c) ||
		!touched_may(text, len))
		return;
	resets->bind = now->bind;
	resets->bind_len = now->bind_len;
	resets->types = now->types;
	resets->types_len = now->types_len;
	(void)touched_text(resets, text, len, client_lexer_flags(s));
	resets->bind = resets->types = NULL;
	noted(c, runs);
	may_later(c, BY_NULL, resets->awaits_values && (resets->unknown || concerns(c, true)));
}

void client_note_call_resets(struct client *c, const char *name, bool may_be_local)
{
	struct touched *resets = &c->work->resets;

	if (!client_has_defaults(c))
		return;
	resets->resets_local = resets->resets_local || may_be_local;
	if (name[0] != '\0')
		touched_called(resets, name, true);
	else
		touched_called_unknown(resets, true);
	noted(c, true);
}

static bool has_null(const struct frame *f)
{
	struct wire_in in;
	uint16_t count;
	uint32_t len;

	wire_init(&in, f->body, f->available);
	(void)wire_cstr(&in);
	(void)wire_cstr(&in);
	count = wire_u16(&in);
	(void)wire_bytes(&in, 2 * (size_t)count);
	for (count = wire_u16(&in); count > 0 && wire_ok(&in); count--) {
		len = wire_u32(&in);
		if (len == UINT32_MAX)
			return true;
		(void)wire_bytes(&in, len);
	}
	/* Not all of it has come. */
	return !wire_ok(&in);
}

/* What it is nobody knows. */
static void note_any(struct client *c, bool runs)
{
	struct touched *resets = &c->work->resets;

	/* Perhaps: and what is local to the transaction may have nothing to do with it. */
	resets->resets_local = true;
	touched_bound_null(resets);
	touched_called_unknown(resets, true);
	noted(c, runs);
}

void client_note_passing_run(struct client *c, const struct server *s, const struct frame *f)
{
	bool awaits_null = c->work->touched.awaits_values || (c->resets_by & BY_NULL) != 0;
	unsigned by = BY_CALL;

	if (LIKELY(!awaits_null && (c->resets_by & BY_CALL) == 0) || s->xq.skipping)
		return;
	if (awaits_null && f->type == 'B' && has_null(f)) {
		touched_bound_null(&c->work->touched);
		by |= BY_NULL;
	}
	if ((c->resets_by & by) != 0)
		note_any(c, f->type == 'E');
}

/* What was prepared, or what a cursor stands for: of one WITH HOLD by COMMIT. */
static bool runs_earlier(const struct client *c, const struct statement *s)
{
	bool is_any = s->kind == SQL_EXECUTE || s->kind == SQL_FETCH || s->kind == SQL_MOVE ||
		s->kind == SQL_COMMIT;

	return (is_any && (c->resets_by & BY_CALL) != 0) ||
		((c->resets_by & (BY_CALL | BY_NULL)) != 0 && touched_gives_null(s));
}

static bool is_kept_to_run(const struct statement *s)
{
	return (s->kind == SQL_PREPARE || s->kind == SQL_DECLARE) &&
		(s->flags & SQL_CALLS_SET_CONFIG) != 0;
}

static void note_others(struct client *c, const struct server *s, const struct frame *f,
	const char *text, size_t len)
{
	bool has_resets = c->work->resets.has_resets, runs = false, is_kept = false;
	struct statement_reader reader;
	struct statement one;

	if (LIKELY(!has_resets && (c->resets_by & (BY_CALL | BY_NULL)) == 0))
		return;
	statement_begin(&reader, text, len, client_lexer_flags(s));
	while (statement_next(&reader, &one)) {
		is_kept = is_kept || is_kept_to_run(&one);
		runs = runs || runs_earlier(c, &one);
	}
	may_later(c, BY_CALL, (is_kept && has_resets) || (runs && f->type == 'P'));
	if (runs && f->type == 'Q')
		note_any(c, true);
}

void client_note_passing_text(struct client *c, struct server *s, const struct frame *f)
{
	const char *text = (const char *)f->body;
	size_t len = f->body_len;
	bool is_named;

	if (!frame_is_whole(f) || len == 0 || !client_has_defaults(c))
		return;
	is_named = f->type == 'P' && text[0] != '\0';
	if (f->type == 'P') {
		text += strnlen(text, len - 1) + 1;
		len -= (size_t)(text - (const char *)f->body);
	}
	len = strnlen(text, len);
	client_note_resets(c, s, text, len, f->type == 'Q');
	may_later(c, c->work->resets.is_set ? BY_TAG : BY_TAG | BY_CALL,
		is_named && c->work->resets.has_resets);
	note_others(c, s, f, text, len);
}

/* --- whether it has run ------------------------------------------------------------------ */

static void forget(struct client *c)
{
	touched_finish(&c->work->resets);
	c->resets_unsure = false;
	c->work->resets_way = WAY_NONE;
	c->work->resets_executed = false;
	c->work->resets_tagged = false;
}

static void behind_parse(struct client *c, const struct frame *f)
{
	struct client_work *work = c->work;
	bool is_unnamed = f->available > 0 && f->body[0] == '\0';

	if (work->resets_way == WAY_READ)
		work->resets_way = is_unnamed ? WAY_PARSED : WAY_UNSURE;
	/* There is another one now, which does nothing of the kind. */
	else if (work->resets_way == WAY_PARSED && is_unnamed && !c->resets_unsure)
		forget(c);
}

static void behind_bind(struct client *c, const struct frame *f)
{
	struct client_work *work = c->work;
	const char *portal, *name;
	struct wire_in in;
	uint64_t hash;

	wire_init(&in, f->body, f->available);
	portal = wire_cstr(&in);
	name = wire_cstr(&in);
	hash = hash_bytes(portal, strlen(portal));
	if (!wire_ok(&in) || (work->resets_way == WAY_BOUND && hash == work->resets_portal))
		work->resets_way = WAY_UNSURE;
	else if (work->resets_way == WAY_READ ||
		(work->resets_way == WAY_PARSED && name[0] == '\0')) {
		work->resets_way = WAY_BOUND;
		work->resets_portal = hash;
	}
}

static void behind_execute(struct client *c, const struct frame *f)
{
	struct client_work *work = c->work;
	const char *portal;
	struct wire_in in;

	wire_init(&in, f->body, f->available);
	portal = wire_cstr(&in);
	if (!wire_ok(&in))
		work->resets_way = WAY_UNSURE;
	else if (work->resets_way == WAY_BOUND &&
		hash_bytes(portal, strlen(portal)) == work->resets_portal)
		work->resets_way = WAY_RAN;
	work->resets_executed = work->resets_executed || work->resets_way == WAY_RAN ||
		work->resets_way == WAY_UNSURE;
}

static void behind_query(struct client *c)
{
	struct client_work *work = c->work;

	/* What it says is EXECUTE. */
	if (work->resets_way == WAY_READ) {
		work->resets_way = WAY_UNSURE;
		work->resets_executed = true;
	}
	/* It ends the unnamed statement. */
	if (work->resets_way == WAY_PARSED && !c->resets_unsure)
		forget(c);
}

void client_resets_behind(struct client *c, const struct frame *f)
{
	switch (f->type) {
	case 'P':
		behind_parse(c, f);
		break;
	case 'B':
		behind_bind(c, f);
		break;
	case 'E':
		behind_execute(c, f);
		break;
	case 'Q':
		behind_query(c);
		break;
	default:
		break;
	}
}

/* Something has: what is there to be made good?  What has not may do so later. */
static bool has_run(struct client *c, const struct server *s, char status)
{
	struct client_work *work = c->work;
	bool has_run = work->resets_executed || c->resets_unsure;
	bool may_run = (work->resets_way == WAY_BOUND && status == 'T') ||
		(work->resets_way == WAY_PARSED && s->is_session);

	if (status == 'T' && (work->resets_way == WAY_UNSURE ||
				     (work->resets_way == WAY_BOUND && has_run)))
		work->resets_bound = true;
	if (!has_run && !may_run)
		forget(c);
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

	while (params_next(defaults_of(c), &pos, &name, &value)) {
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

void server_defaults_unsure(struct server *s)
{
	s->client->resets_unsure = s->client->work->resets.has_resets;
}

void server_defaults_rolled_back(struct server *s)
{
	struct client *c = s->client;

	if (c == NULL)
		return;
	if (c->work->resets_tagged)
		server_defaults_unsure(s);
	if (client_may_reset_later(c)) {
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
		c->work->resets_tagged = c->work->resets.has_resets;
	if (c == NULL || ((c->resets_by & BY_TAG) == 0 && !c->work->resets_bound) ||
		!client_has_defaults(c))
		return;
	touched_reset_all(&c->work->resets);
	c->resets_unsure = true;
}

/* The values are set again behind it: going back to it undoes that, and not what reset them. */
void server_defaults_saved(struct server *s)
{
	if (s->client != NULL && s->client->work->resets.has_resets)
		s->client->work->resets_saved = true;
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
		forget(c);
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
		forget(c);
	return any;
}

bool server_defaults(struct server *s, char status)
{
	bool is_made_good = make_good(s, status, false);

	if (status == 'I')
		s->client->work->resets_bound = s->client->work->resets_saved = false;
	return is_made_good;
}

bool server_defaults_done(struct server *s)
{
	struct client *c = s->client;

	server_enter_phase(s, SERVER_PHASE_READY);
	if (!s->own_failed) {
		forget(c);
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
