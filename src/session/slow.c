/* SPDX-License-Identifier: ISC */
#include "session/slow.h"

#include <string.h>

#include "base/slog.h"
#include "pg/wire.h"
#include "session/client_priv.h"
#include "sql/fingerprint.h"

/* The statement that a Bind names; 0: its text is not known. */
static uint64_t print_of_bind(struct client *c, const struct server *s,
	const struct frame *f)
{
	struct prepared_name *n;
	struct wire_in in;
	const char *name;

	wire_init(&in, f->body, f->available);
	(void)wire_cstr(&in);
	name = wire_cstr(&in);
	if (!wire_ok(&in))
		return 0;
	if (name[0] == '\0')
		return c->slow_unnamed;
	n = prepared_names_find(&c->names, name);
	if (n == NULL)
		return 0;
	return fingerprint_of((const char *)n->statement->body,
		strnlen((const char *)n->statement->body, n->statement->len),
		client_lexer_flags(s));
}

static uint64_t print_of_parse(struct client *c, const struct server *s,
	const struct frame *f)
{
	struct wire_in in;
	const char *name, *text;
	uint64_t print;

	wire_init(&in, f->body, f->available);
	name = wire_cstr(&in);
	if (!wire_ok(&in))
		return 0;
	text = (const char *)in.pos;
	print = fingerprint_of(text, strnlen(text, wire_left(&in)), client_lexer_flags(s));
	if (name[0] == '\0')
		c->slow_unnamed = print;
	return print;
}

void slow_note(struct client *c, const struct server *s, const struct frame *f)
{
	if (LIKELY(c->route->limits.log_slow_query_us == 0))
		return;
	/* Of a text that is still coming, each look would see another part. */
	if (!frame_is_whole(f) && f->available < FINGERPRINT_TEXT_MAX) {
		c->slow_print = 0;
		return;
	}
	switch (f->type) {
	case 'Q':
		c->slow_print = fingerprint_of((const char *)f->body,
			strnlen((const char *)f->body, f->available),
			client_lexer_flags(s));
		return;
	case 'P':
		c->slow_print = print_of_parse(c, s, f);
		return;
	case 'B':
		c->slow_print = print_of_bind(c, s, f);
		return;
	case 'F':
		c->slow_print = 0;
		return;
	default:
		return;
	}
}

void slow_waited(const struct client *c, uint64_t us)
{
	uint64_t limit_us = c->route->limits.log_slow_wait_us;

	if (LIKELY(limit_us == 0 || us < limit_us))
		return;
	SLOG_LIMITED(WARN, "slow-wait",
		"id=%lu workload=%s host=%s user=\"%s\" database=\"%s\" waited_ms=%lu",
		(unsigned long)c->id, c->workload->name, c->route->host->name,
		c->route->user, c->route->database->name,
		(unsigned long)(us / USEC_PER_MSEC));
}

/* Where another one was sent behind it, the fingerprint is that one's. */
void slow_queried(const struct client *c, uint64_t us)
{
	uint64_t limit_us = c->route->limits.log_slow_query_us;
	bool is_known = c->slow_print != 0 && c->server->xq.pending == 0;

	if (LIKELY(limit_us == 0 || us < limit_us))
		return;
	if (is_known)
		SLOG_LIMITED(WARN, "slow-query",
			"id=%lu workload=%s host=%s user=\"%s\" database=\"%s\" duration_ms=%lu backend=%u fingerprint=%016lx",
			(unsigned long)c->id, c->workload->name, c->route->host->name,
			c->route->user, c->route->database->name,
			(unsigned long)(us / USEC_PER_MSEC), c->server->ps.backend_pid,
			(unsigned long)c->slow_print);
	else
		SLOG_LIMITED(WARN, "slow-query",
			"id=%lu workload=%s host=%s user=\"%s\" database=\"%s\" duration_ms=%lu backend=%u fingerprint=unknown",
			(unsigned long)c->id, c->workload->name, c->route->host->name,
			c->route->user, c->route->database->name,
			(unsigned long)(us / USEC_PER_MSEC), c->server->ps.backend_pid);
}
