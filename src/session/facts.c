/* SPDX-License-Identifier: ISC */
#include "session/facts.h"

#include <stdlib.h>
#include <strings.h>

#include "session/named.h"
#include "session/state.h"
#include "sql/statement.h"
#include "sql/statement_may.h"

/* Beside what was found. */
enum { KNOWN = 1 << 7 };

/* A Bind of some bytes may have a statement read again: about 1 ms.  Comments and constants are
 * passed over quickly, however long they are. */
enum { WORDS_MAX = 16 * 1024 };

struct facts {
	struct facts *next;
	unsigned flags;                 /* enum lexer_flag */
	_Atomic uint8_t bytes[FACT_COUNT];
	_Atomic uint64_t pins;          /* see pack() */
};

/* NULL without memory. */
static struct facts *of(struct prepared *p, unsigned flags)
{
	struct facts *first = atomic_load_explicit(&p->facts, memory_order_acquire), *f;

	for (f = first; f != NULL; f = f->next) {
		if (f->flags == flags)
			return f;
	}
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return NULL;
	f->flags = flags;
	f->next = first;
	/* Where another thread was quicker it is found in the next round, or there are two of
	 * them, which say the same. */
	while (!atomic_compare_exchange_weak_explicit(&p->facts, &f->next, f,
		memory_order_release, memory_order_acquire))
		;
	return f;
}

void facts_free(struct facts *f)
{
	while (f != NULL) {
		struct facts *next = f->next;

		free(f);
		f = next;
	}
}

unsigned facts_known(struct prepared *p, unsigned flags, enum fact fact, fact_find_f *find)
{
	struct facts *f = of(p, flags);
	unsigned known = f == NULL ? 0 :
		atomic_load_explicit(&f->bytes[fact], memory_order_relaxed);

	if (known == 0) {
		known = KNOWN | find(p->body, p->text_len, flags);
		if (f != NULL)
			atomic_store_explicit(&f->bytes[fact], (uint8_t)known,
				memory_order_relaxed);
	}
	return known & ~(unsigned)KNOWN;
}

/* --- settings ---------------------------------------------------------------------------- */

static bool has_create(const char *text, size_t len)
{
	static const char word[] = "create";

	for (size_t i = 0; i + sizeof(word) - 1 <= len; i++) {
		if ((text[i] | 0x20) == 'c' && strncasecmp(text + i, word, sizeof(word) - 1) == 0)
			return true;
	}
	return false;
}

/* A default or a check runs for whoever uses the table.  Functions of somebody's own are
 * found where they are. */
bool facts_find_code(const void *text, size_t len, unsigned flags)
{
	const uint32_t code = SQL_UNSURE | SQL_CALLS_SET_CONFIG | SQL_CALLS_SETSEED |
		SQL_CALLS_CURRVAL | SQL_CALLS_DBLINK | SQL_CALLS_SESSION | SQL_CALLS_UNKNOWN |
		SQL_MAY_CALL;
	struct statement_reader reader;
	struct statement one;

	if (!has_create(text, len))
		return false;
	statement_begin(&reader, text, len, flags);
	while (statement_next(&reader, &one)) {
		if (one.kind == SQL_UNKNOWN ||
			(one.kind == SQL_CREATE_TABLE && (one.flags & code) != 0))
			return true;
	}
	return reader.lexer.unsure;
}

static bool takes_values(const void *text, size_t len, unsigned flags)
{
	struct statement_reader reader;
	struct statement one;

	statement_begin(&reader, text, len, flags);
	while (statement_next(&reader, &one)) {
		if ((one.flags & SQL_UNSURE) != 0 ||
			((one.flags & SQL_CALLS_SET_CONFIG) != 0 &&
				(one.flags & SQL_HAS_PARAM) != 0))
			return true;
	}
	return reader.lexer.unsure;
}

static bool is_long(const void *text, size_t len, unsigned flags)
{
	struct lexer_token token;
	struct lexer lexer;
	uint32_t words = 0;

	lexer_init(&lexer, text, len, flags);
	while (words <= WORDS_MAX && lexer_next(&lexer, &token) != LEXER_END)
		words++;
	return words > WORDS_MAX;
}

/* One reading of it. */
static unsigned find_touched(const void *text, size_t len, unsigned flags)
{
	enum touched_reading reading;
	unsigned found = 0;
	struct touched t;

	touched_init(&t);
	reading = touched_text(&t, text, len, flags);
	if (reading != READING_STAYS || !touched_is_empty(&t) || t.cuts || t.runs ||
		t.has_resets || t.resets_any || t.awaits_values || t.is_lost)
		found |= FACT_TOUCHES_ANY;
	found |= t.is_set ? FACT_IS_SET : 0;
	touched_finish(&t);
	return found;
}

static unsigned find_touches(const void *text, size_t len, unsigned flags)
{
	unsigned found = find_touched(text, len, flags);

	/* Both that it may be read as; the tag as in the second, which is looked at last. */
	if ((flags & LEXER_MAY_CHANGE) != 0)
		found = (found & FACT_TOUCHES_ANY) |
			find_touched(text, len, flags ^ LEXER_STANDARD_STRINGS);
	if ((found & FACT_TOUCHES_ANY) != 0 && takes_values(text, len, flags))
		found |= FACT_TAKES_VALUES;
	if ((found & FACT_TOUCHES_ANY) != 0 && is_long(text, len, flags))
		found |= FACT_IS_LONG;
	if (facts_find_code(text, len, flags))
		found |= FACT_MAKES_CODE;
	return found;
}

unsigned facts_touches(struct prepared *p, unsigned flags)
{
	return !p->may_touch ? 0 : facts_known(p, flags, FACT_TOUCHES, find_touches);
}

/* --- names ------------------------------------------------------------------------------- */

static unsigned find_names(const void *text, size_t len, unsigned flags)
{
	struct named named;

	named_begin(&named, text, len, flags);
	return named_next(&named) || !named_is_sure(&named);
}

bool facts_names(struct prepared *p, unsigned flags)
{
	return p->may_name && facts_known(p, flags, FACT_NAMES, find_names) != 0;
}

/* CREATE and its kin have tags of their own; what is not known may be anything. */
static bool makes_table(const struct statement *s)
{
	return statement_group(s->kind) == SQL_GROUP_SCHEMA || s->kind == SQL_UNKNOWN ||
		s->inner == SQL_CREATE_TABLE_AS || s->inner == SQL_SELECT_INTO;
}

unsigned facts_find_runs(const void *text, size_t len, unsigned flags)
{
	struct statement_reader reader;
	struct statement statement;
	unsigned found = 0;

	statement_begin(&reader, text, len, flags);
	while (statement_next(&reader, &statement)) {
		if (statement.kind == SQL_DISCARD_ALL || statement.kind == SQL_DEALLOCATE_ALL)
			found |= FACT_DROPS_ALL;
		if (makes_table(&statement))
			found |= FACT_MAKES_TABLE;
	}
	return found;
}

unsigned facts_runs(struct prepared *p, unsigned flags)
{
	if (!p->may_touch && !p->may_name && !p->may_make)
		return 0;
	return facts_known(p, flags, FACT_RUNS, facts_find_runs);
}

/* --- what pins --------------------------------------------------------------------------- */

#define KINDS_BITS 16
#define KINDS_MASK ((1u << KINDS_BITS) - 1)

_Static_assert((int)ROUTE_KIND_COUNT <= KINDS_BITS, "three sets of kinds and four bits");

static uint64_t pack(const struct pin_scan *scan)
{
	uint64_t bits = 1;

	bits |= (uint64_t)scan->executes << 1 | (uint64_t)scan->ends << 2 |
		(uint64_t)scan->is_unseen << 3;
	return bits << (3 * KINDS_BITS) | (uint64_t)scan->makes << (2 * KINDS_BITS) |
		(uint64_t)scan->prepares << KINDS_BITS | scan->keeps;
}

static struct pin_scan unpack(uint64_t packed)
{
	uint64_t bits = packed >> (3 * KINDS_BITS);

	return (struct pin_scan){ .makes = packed >> (2 * KINDS_BITS) & KINDS_MASK,
		.prepares = packed >> KINDS_BITS & KINDS_MASK,
		.keeps = packed & KINDS_MASK,
		.executes = (bits >> 1 & 1) != 0,
		.ends = (bits >> 2 & 1) != 0,
		.is_unseen = (bits >> 3 & 1) != 0 };
}

struct pin_scan facts_pins(struct prepared *p, unsigned flags)
{
	struct facts *f = of(p, flags);
	uint64_t packed = f == NULL ? 0 : atomic_load_explicit(&f->pins, memory_order_relaxed);
	struct pin_scan scan;

	if (packed != 0)
		return unpack(packed);
	pin_scan(&scan, (const char *)p->body, p->text_len, flags);
	if (f != NULL)
		atomic_store_explicit(&f->pins, pack(&scan), memory_order_relaxed);
	return scan;
}
