/* SPDX-License-Identifier: ISC */
/*
 * May others have what PostgreSQL makes of a text that a client sends now?
 *
 * What settings the server has told of is part of a statement's key.  Of others, and of
 * what is in flight, nobody knows; what hangs on them is for one client alone then.
 */
#include <string.h>

#include "session/client_priv.h"
#include "session/facts.h"
#include "session/server_priv.h"
#include "sql/statement_reading.h"

/* Beside enum statement_reading. */
enum { READING_KNOWN = 1 << 7 };

static unsigned reading_of(const struct server *s, const void *text, size_t len)
{
	return statement_reading(text, len, client_lexer_flags(s));
}

static unsigned find_reading(const void *text, size_t len, unsigned flags)
{
	return statement_reading(text, len, flags);
}

/* Found out once: read under other flags it has constants all the same.  But those under which
 * nobody can tell say that of all that hang on it, and others share it. */
static unsigned prepared_reading(const struct server *s, struct prepared *p)
{
	unsigned known = atomic_load_explicit(&p->reading, memory_order_relaxed);
	unsigned flags = client_lexer_flags(s);

	if (known == 0) {
		known = READING_KNOWN | facts_known(p, flags, FACT_READING, find_reading);
		if ((flags & (LEXER_MAY_CHANGE | LEXER_UNSAFE_ENCODING)) == 0)
			atomic_store_explicit(&p->reading, (uint8_t)known, memory_order_relaxed);
	}
	return known & ~(unsigned)READING_KNOWN;
}

/* Was set by the lease, or may be by what is in flight; or by what has run there out of
 * sight, which the server would have told of but for a few settings. */
static bool is_unsure(const struct client *c, const struct server *s, bool is_ahead,
	unsigned reading)
{
	bool may_be_told = c->work->read_key != 0 || (is_ahead && !exchange_is_idle(&s->xq));

	return (may_be_told && reading != 0) ||
		(s->hidden_key != 0 && (reading & STATEMENT_READS_UNTOLD) != 0);
}

bool client_reads_alone(const struct client *c, const struct server *s, const void *text,
	size_t len)
{
	return (s->data_ahead || s->hidden_key != 0 || c->work->read_key != 0) &&
		is_unsure(c, s, s->data_ahead, reading_of(s, text, len));
}

bool client_reads_constants(const struct server *s, struct prepared *p)
{
	return prepared_reading(s, p) != 0;
}

uint64_t client_reading_key(const struct client *c, const struct server *s,
	struct prepared *p)
{
	uint64_t key = client_state_key(c, s);

	if (LIKELY(s->code_key == 0 && s->hidden_key == 0 && c->work->read_key == 0))
		return key;
	if (!is_unsure(c, s, s->code_key != 0, prepared_reading(s, p)))
		return key;
	if (c->work->read_key != 0)
		return key ^ c->work->read_key;
	return key ^ (s->code_key != 0 ? s->code_key : s->hidden_key);
}
