/* SPDX-License-Identifier: ISC */
/*
 * What reading SQL costs: tokens alone, and statements as session state needs
 * them.  Prints nanoseconds per text, and per kB of it; the best of ROUNDS runs,
 * as everything else a machine does only adds.
 *
 *   make tests/bench/sql && tests/bench/sql
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sql/statement.h"

enum { ROUNDS = 20, ROUND_NS = 20 * 1000 * 1000, KILOBYTE = 1024 };

#define FLAGS (LEXER_STANDARD_STRINGS | LEXER_UTF8)

static char long_insert[64 * KILOBYTE], long_string[64 * KILOBYTE];

static const struct {
	const char *name, *text;
} texts[] = {
	{ "SELECT 1", "SELECT 1" },
	{ "SET app.tenant_id", "SET app.tenant_id = '42'" },
	{ "BEGIN", "BEGIN" },
	{ "SELECT by key, 66 bytes",
		"SELECT id, name, email FROM users WHERE id = $1 AND tenant_id = $2" },
	{ "INSERT, 300 bytes",
		"INSERT INTO documents (id, tenant_id, title, body, created_at, "
		"updated_at, author_id)"
		" VALUES ($1, $2, 'A title of some length', 'A body that is a little "
		"longer than the"
		" title, as bodies tend to be', now(), now(), $3) ON CONFLICT (id) DO "
		"UPDATE SET title"
		" = excluded.title, updated_at = now() RETURNING id, updated_at" },
	{ "set_config(), 60 bytes",
		"SELECT set_config('app.tenant_id', '42', true) AS tenant_id" },
	{ "report, 480 bytes",
		"WITH recent AS (SELECT d.id, d.tenant_id, count(*) FILTER (WHERE "
		"v.seen) AS views"
		" FROM documents d LEFT JOIN visits v ON v.document_id = d.id WHERE "
		"d.created_at >"
		" now() - interval '7 days' GROUP BY d.id, d.tenant_id) SELECT t.name, "
		"sum(r.views),"
		" round(avg(r.views)::numeric, 2), row_number() OVER (PARTITION BY "
		"t.region ORDER BY"
		" sum(r.views) DESC) FROM recent r JOIN tenants t ON t.id = r.tenant_id "
		"WHERE"
		" lower(t.region) = lower($1) GROUP BY t.name, t.region HAVING "
		"sum(r.views) > $2 LIMIT"
		" 50" },
	{ "INSERT of rows, 64 kB", long_insert },
	{ "one string, 64 kB", long_string },
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

typedef unsigned run_f(const char *text, size_t len);

static unsigned run_tokens(const char *text, size_t len)
{
	struct lexer_token token;
	struct lexer lexer;
	unsigned count = 0;

	lexer_init(&lexer, text, len, FLAGS);
	while (lexer_next(&lexer, &token) != LEXER_END)
		count++;
	return count;
}

static unsigned run_statements(const char *text, size_t len)
{
	struct statement_reader reader;
	struct statement s;
	unsigned count = 0;

	statement_begin(&reader, text, len, FLAGS);
	while (statement_next(&reader, &s))
		count += s.flags + (unsigned)s.kind;
	return count;
}

/* Best time of one call, in nanoseconds. */
static double measure(run_f *run, const char *text, size_t len)
{
	static volatile unsigned sink;
	double best = 0;

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t begin = now_ns(), took;
		size_t calls = 0;

		do {
			for (int i = 0; i < 16; i++)
				sink += run(text, len);
			calls += 16;
			took = now_ns() - begin;
		} while (took < ROUND_NS);
		if (round == 0 || (double)took / (double)calls < best)
			best = (double)took / (double)calls;
	}
	(void)sink; /* keeps the calls */
	return best;
}

static void make_texts(void)
{
	static const char row[] = "(1234, 'a value', 5.5, true, $1), ";
	size_t used = (size_t)snprintf(long_insert, sizeof(long_insert),
		"INSERT INTO t (a, b, c, d, e) VALUES ");

	while (used + sizeof(row) < sizeof(long_insert)) {
		memcpy(long_insert + used, row, strlen(row));
		used += strlen(row);
	}
	memset(long_string, 'x', sizeof(long_string) - 1);
	memcpy(long_string, "SELECT '", 8);
	long_string[sizeof(long_string) - 2] = '\'';
}

int main(void)
{
	make_texts();
	printf("%-26s %7s %10s %10s %10s %10s\n", "text", "bytes", "tokens ns", "ns/kB",
		"stmts ns", "ns/kB");
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		size_t len = strlen(texts[i].text);
		double tokens = measure(run_tokens, texts[i].text, len);
		double statements = measure(run_statements, texts[i].text, len);
		double per_kb = (double)KILOBYTE / (double)len;

		printf("%-26s %7zu %10.0f %10.0f %10.0f %10.0f\n", texts[i].name, len,
			tokens, tokens * per_kb, statements, statements * per_kb);
	}
	return 0;
}
