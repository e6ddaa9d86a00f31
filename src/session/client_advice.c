/* SPDX-License-Identifier: ISC */
#include "session/client_advice.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/slog.h"
#include "pg/msg_out.h"
#include "session/client_priv.h"

enum { NAME_MAX_QUOTED = 4 * ADVICE_NAME_SIZE };

static const char *quote(char to[NAME_MAX_QUOTED], const char *name)
{
	return slog_quote(to, NAME_MAX_QUOTED, name, strlen(name));
}

/* Without what application_name_add_host has put behind it, which is each client's own. */
static const char *application_of(const struct client *c, char to[CLIENT_APPLICATION_SIZE])
{
	const char *name = params_get(&c->params, "application_name"), *end = NULL;

	if (name == NULL || !atomic_load(&c->workload->adds_host))
		return name;
	for (const char *at = name; (at = strstr(at, " - ")) != NULL; at++)
		end = at;
	if (end == NULL || end - name >= CLIENT_APPLICATION_SIZE)
		return name;
	(void)snprintf(to, CLIENT_APPLICATION_SIZE, "%.*s", (int)(end - name), name);
	return to;
}

static void make_key(const struct client *c, struct advice_key *key)
{
	char application[CLIENT_APPLICATION_SIZE];

	advice_key_make(key, c->workload->name, c->route->database->name, c->route->user,
		application_of(c, application));
}

/* --- the log ------------------------------------------------------------------------ */

/* What it costs: SHOW ADVICE adds it up. */
static const char *cost(const struct client *c, uint32_t kinds, char to[64])
{
	const struct pins *p = &c->work->pins;

	if ((p->kinds & kinds) == 0)
		return "";
	if (p->most == 0)
		return ", beyond max_pinned";
	(void)snprintf(to, 64, ", one of %u that may be kept (max_pinned)", p->most);
	return to;
}

static void write_log(const struct client *c, const struct advice_key *key, uint32_t kinds,
	enum advice_what what)
{
	static const char *const said[ADVICE_WHATS] = { "pins the server connection",
		"refused", "set out of sight" };
	char words[PIN_WORDS_MAX], database[NAME_MAX_QUOTED], user[NAME_MAX_QUOTED],
		application[NAME_MAX_QUOTED], costs[64];

	SLOG_LIMITED(INFO, "session-state",
		"id=%lu workload=%s database=%s user=%s application=%s state=\"%s\" text=\"%s%s; this belongs on a session port\" port=\"%s\"",
		(unsigned long)c->id, key->workload, quote(database, key->database),
		quote(user, key->user), quote(application, key->application),
		pin_words(kinds, words), said[what], cost(c, kinds, costs),
		c->route->limits.session_port);
}

void client_advice_tell(struct client *c, uint32_t kinds, enum advice_what what)
{
	struct pins *p = &c->work->pins;
	uint32_t fresh = kinds & ~p->told;
	struct advice_key key;

	make_key(c, &key);
	advice_note(&c->worker->router->advice, &key, kinds, what, clock_wall_us());
	if (c->route->limits.advice == ROUTE_ADVICE_OFF)
		return;
	p->told |= kinds;
	/* Who is refused hears of it anyway. */
	if (c->route->limits.advice == ROUTE_ADVICE_NOTICE && what != ADVICE_REFUSED)
		p->notices |= fresh;
	if (fresh != 0)
		write_log(c, &key, fresh, what);
}

/* --- how long ----------------------------------------------------------------------- */

void client_advice_keeps(struct client *c, uint32_t kinds)
{
	struct pins *p = &c->work->pins;
	struct advice_key key;

	if (p->hold == NULL) {
		make_key(c, &key);
		p->hold = advice_hold(&c->worker->router->advice, &key);
	}
	advice_held(&c->worker->router->advice, p->hold, kinds, 1, worker_now(c->worker));
}

void client_advice_ended(struct client *c, uint32_t kinds)
{
	struct pins *p = &c->work->pins;

	advice_held(&c->worker->router->advice, p->hold, kinds, -1, worker_now(c->worker));
	if (p->kinds != 0)
		return;
	advice_release(&c->worker->router->advice, p->hold);
	p->hold = NULL;
}

/* --- the client ----------------------------------------------------------------------- */

/* PostgreSQL's notices have a message, a detail and a hint. */
static void notice(const struct client *c, unsigned kind, struct buf *out)
{
	const struct pins *p = &c->work->pins;
	const char *port = c->route->limits.session_port;
	bool is_kept = kind < ROUTE_PIN_COUNT, stays = (pin_stays() & pin_bit(kind)) != 0;
	char message[192], detail[192], hint[512];
	const struct msg_out_error is = { .severity = "NOTICE",
		.sqlstate = "00000",
		.message = message,
		.detail = is_kept ? detail : NULL,
		.hint = hint };

	(void)snprintf(message, sizeof(message), is_kept ?
			"%s keep a server connection for this client" :
			"%s were made where no statement shows them, and are lost",
		pin_text(kind));
	(void)snprintf(hint, sizeof(hint), port[0] != '\0' ? "Use the session port, %s." :
			"Use a port with pool_mode session%s; there is none yet.", port);
	(void)snprintf(detail, sizeof(detail), p->most == 0 ?
			"Nobody else can use it until %s." :
			"Nobody else can use it until %s; clients of this port may keep %u (max_pinned).",
		stays ? "the client leaves" : "they are gone", p->most);
	msg_out_notice(out, &is);
}

void client_advice_notices(struct client *c, struct buf *out)
{
	struct pins *p = &c->work->pins;

	for (unsigned i = 0; i < ROUTE_KIND_COUNT; i++) {
		if ((p->notices & pin_bit(i)) != 0)
			notice(c, i, out);
	}
	p->notices = 0;
}
