/* SPDX-License-Identifier: ISC */
#include "session/slow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/slog.h"
#include "pg/message.h"
#include "pg/wire.h"
#include "session/client_priv.h"
#include "sql/fingerprint.h"
#include "sql/secret.h"

/* Quoted, a text may be longer than it is; then less of it is shown. */
enum { PRINT_SIZE = 20, KEY_SIZE = 16, QUOTED_SIZE = KEY_SIZE + SLOW_TEXT_MAX + 64 };

/* What a text begins with. */
struct slow_text {
	size_t len;                     /* 0: it is not known */
	char text[SLOW_TEXT_MAX];
};

struct slow_texts {
	struct slow_text last, unnamed;
};

/* --- which query it is ---------------------------------------------------------------- */

struct found {
	enum { FOUND_NOTHING, FOUND_TEXT, FOUND_UNNAMED, FOUND_SAME } what;
	bool becomes_unnamed;
	const char *text;
	size_t len;
};

static void find_parsed(const struct frame *f, struct found *found)
{
	struct wire_in in;
	const char *name;

	wire_init(&in, f->body, f->available);
	name = wire_cstr(&in);
	if (!wire_ok(&in))
		return;
	found->what = FOUND_TEXT;
	found->becomes_unnamed = name[0] == '\0';
	found->text = (const char *)in.pos;
	found->len = strnlen(found->text, wire_left(&in));
}

static void find_bound(struct client *c, const struct frame *f, struct found *found)
{
	struct prepared_name *n;
	struct wire_in in;
	const char *name;

	wire_init(&in, f->body, f->available);
	(void)wire_cstr(&in);
	name = wire_cstr(&in);
	if (!wire_ok(&in))
		return;
	if (name[0] == '\0') {
		found->what = FOUND_UNNAMED;
		return;
	}
	n = prepared_names_find(&c->names, name);
	if (n == NULL)
		return;
	found->what = FOUND_TEXT;
	found->text = (const char *)n->statement->body;
	found->len = strnlen(found->text, n->statement->len);
}

static struct found find(struct client *c, const struct frame *f)
{
	struct found found = { .what = FOUND_NOTHING };

	/* Of a text that is still coming, each look would see another part. */
	if (!frame_is_whole(f) && f->available < FINGERPRINT_TEXT_MAX)
		return found;
	switch (f->type) {
	case 'Q':
		found.what = FOUND_TEXT;
		found.text = (const char *)f->body;
		found.len = strnlen(found.text, f->available);
		break;
	case 'P':
		find_parsed(f, &found);
		break;
	case 'B':
		find_bound(c, f, &found);
		break;
	case 'F':
		break;
	default:
		found.what = FOUND_SAME;
		break;
	}
	return found;
}

static void copy_text(struct slow_text *to, const char *text, size_t len)
{
	to->len = size_min(len, sizeof(to->text));
	memcpy(to->text, text, to->len);
}

/* Texts are kept where somebody has asked for them alone. */
static void keep_text(struct client *c, const struct found *found)
{
	if (c->slow_texts == NULL) {
		if (c->route->limits.log_slow_text == 0 || found->what != FOUND_TEXT)
			return;
		c->slow_texts = calloc(1, sizeof(*c->slow_texts));
		/* Without memory it is a line without a text. */
		if (c->slow_texts == NULL)
			return;
	}
	if (found->what == FOUND_TEXT)
		copy_text(&c->slow_texts->last, found->text, found->len);
	else if (found->what == FOUND_UNNAMED)
		c->slow_texts->last = c->slow_texts->unnamed;
	else
		c->slow_texts->last.len = 0;
	if (found->becomes_unnamed)
		c->slow_texts->unnamed = c->slow_texts->last;
}

void slow_note(struct client *c, const struct server *s, const struct frame *f)
{
	struct found found;

	if (LIKELY(c->route->limits.log_slow_query_us == 0))
		return;
	found = find(c, f);
	if (found.what == FOUND_SAME)
		return;
	if (found.what == FOUND_TEXT)
		c->slow_print = fingerprint_of(found.text, found.len, client_lexer_flags(s));
	else
		c->slow_print = found.what == FOUND_UNNAMED ? c->slow_unnamed : 0;
	if (found.becomes_unnamed)
		c->slow_unnamed = c->slow_print;
	keep_text(c, &found);
}

void slow_forget(struct client *c)
{
	/* It may hold what a client wrote into its queries. */
	if (c->slow_texts != NULL)
		explicit_bzero(c->slow_texts, sizeof(*c->slow_texts));
	free(c->slow_texts);
	c->slow_texts = NULL;
}

/* --- lines ------------------------------------------------------------------------------ */

static const char *show_print(char to[PRINT_SIZE], uint64_t print)
{
	if (print == 0)
		return "unknown";
	(void)snprintf(to, PRINT_SIZE, "%016lx", (unsigned long)print);
	return to;
}

/* " text="..."", or nothing where nobody wants it or nobody knows it. */
static const char *show_text(const struct client *c, char to[QUOTED_SIZE],
	const struct slow_text *t)
{
	size_t len = size_min(t->len, c->route->limits.log_slow_text);

	if (len == 0)
		return "";
	if (secret_may_be_in(t->text, t->len))
		return " text_withheld=yes";
	/* Not a part of a character. */
	while (len < t->len && len > 0 && ((uint8_t)t->text[len] & 0xc0) == 0x80)
		len--;
	memcpy(to, " text=", sizeof(" text="));
	(void)slog_quote(to + strlen(to), QUOTED_SIZE - KEY_SIZE, t->text, len);
	return to;
}

/* What the client wants a server for: its first message, if it is at hand. */
static uint64_t what_waited(struct client *c, struct slow_text *t)
{
	const uint8_t *data = buf_data(&c->stream.held);
	size_t len = buf_len(&c->stream.held);
	struct found found;
	struct frame f;

	t->len = 0;
	if (c->state == CLIENT_LOGIN || c->is_relaying || c->body_left > 0 || len == 0 ||
		frame_next(data, len, message_frontend_defs[data[0]].body_max, &f) != FRAME_OK)
		return 0;
	found = find(c, &f);
	if (found.what == FOUND_UNNAMED && c->slow_texts != NULL)
		*t = c->slow_texts->unnamed;
	if (found.what == FOUND_UNNAMED)
		return c->slow_unnamed;
	if (found.what != FOUND_TEXT)
		return 0;
	copy_text(t, found.text, found.len);
	return fingerprint_of(found.text, found.len, client_lexer_flags(c->server));
}

void slow_waited(struct client *c, uint64_t us)
{
	uint64_t limit_us = c->route->limits.log_slow_wait_us;
	char print[PRINT_SIZE], quoted[QUOTED_SIZE];
	struct slow_text text;
	uint64_t what;

	if (LIKELY(limit_us == 0 || us < limit_us))
		return;
	what = what_waited(c, &text);
	SLOG_LIMITED(WARN, "slow-wait",
		"id=%lu workload=%s host=%s user=\"%s\" database=\"%s\" waited_ms=%lu fingerprint=%s%s",
		(unsigned long)c->id, c->workload->name, c->route->host->name,
		c->route->user, c->route->database->name,
		(unsigned long)(us / USEC_PER_MSEC), show_print(print, what),
		show_text(c, quoted, &text));
}

/* Where another one was sent behind it, the fingerprint is that one's. */
void slow_queried(const struct client *c, uint64_t us)
{
	static const struct slow_text unknown = { .len = 0 };
	uint64_t limit_us = c->route->limits.log_slow_query_us;
	bool is_known = c->slow_print != 0 && c->server->xq.pending == 0;
	char print[PRINT_SIZE], quoted[QUOTED_SIZE];

	if (LIKELY(limit_us == 0 || us < limit_us))
		return;
	SLOG_LIMITED(WARN, "slow-query",
		"id=%lu workload=%s host=%s user=\"%s\" database=\"%s\" duration_ms=%lu backend=%u fingerprint=%s%s",
		(unsigned long)c->id, c->workload->name, c->route->host->name,
		c->route->user, c->route->database->name,
		(unsigned long)(us / USEC_PER_MSEC), c->server->ps.backend_pid,
		show_print(print, is_known ? c->slow_print : 0),
		show_text(c, quoted,
			is_known && c->slow_texts != NULL ? &c->slow_texts->last : &unknown));
}
