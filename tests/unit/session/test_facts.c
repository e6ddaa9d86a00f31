/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <string.h>

#include "session/facts.h"
#include "session/named.h"
#include "suites.h"

enum { FLAGS = LEXER_STANDARD_STRINGS | LEXER_UTF8 };

static struct prepared_registry *registry;

static struct prepared *get(const char *text)
{
	registry = prepared_registry_create();
	ck_assert_ptr_nonnull(registry);
	return prepared_get(registry, text, strlen(text) + 1, 0, 1);
}

static void end(struct prepared *p)
{
	prepared_unref(p);
	prepared_registry_release(registry);
}

static const struct {
	const char *text;
	unsigned touches;
	bool names;
	unsigned runs;
	uint32_t pins;
} facts[] = {
	{ "SELECT 1", 0, false, 0, 0 },
	{ "SELECT 1 /* set temp execute create */", 0, false, 0, 0 },
	{ "UPDATE t SET a = 1", 0, false, 0, 0 },
	{ "SELECT a FROM t OFFSET 1", 0, false, 0, 0 },
	{ "SET LOCAL work_mem = '1MB'", FACT_IS_SET, false, 0, 0 },
	{ "SET work_mem = '1MB'", FACT_TOUCHES_ANY | FACT_IS_SET, false, 0, 0 },
	{ "RESET ALL", FACT_TOUCHES_ANY | FACT_IS_SET, false, 0, 0 },
	/* Reading what comes behind hangs on it. */
	{ "SET LOCAL standard_conforming_strings = off", FACT_TOUCHES_ANY | FACT_IS_SET, false, 0,
		0 },
	{ "SELECT set_config('a.b', 'c', false)", FACT_TOUCHES_ANY, false, 0, 0 },
	{ "SELECT set_config('a.b', $1, false)", FACT_TOUCHES_ANY | FACT_TAKES_VALUES, false, 0,
		0 },
	{ "SELECT set_config($1, $2, $3)", FACT_TOUCHES_ANY | FACT_TAKES_VALUES, false, 0, 0 },
	{ "SELECT 1; EXECUTE a", 0, true, 0, 0 },
	{ "DO $$ BEGIN EXECUTE 'x'; END $$", 0, true, 0, 0 },
	{ "DEALLOCATE ALL", 0, false, FACT_DROPS_ALL, 0 },
	{ "DISCARD ALL", FACT_TOUCHES_ANY, false, FACT_DROPS_ALL, 0 },
	{ "SELECT 1 AS a INTO t", 0, false, FACT_MAKES_TABLE, 0 },
	{ "CREATE TEMP TABLE t (a int)", 0, false, FACT_MAKES_TABLE, 1u << ROUTE_PIN_TEMP },
	{ "LISTEN a", 0, false, 0, 1u << ROUTE_PIN_LISTEN },
};

START_TEST(a_text_is_what_was_found)
{
	struct prepared *p = get(facts[_i].text);

	/* Found out, and known. */
	for (int round = 0; round < 2; round++) {
		ck_assert_uint_eq(facts_touches(p, FLAGS), facts[_i].touches);
		ck_assert(facts_names(p, FLAGS) == facts[_i].names);
		ck_assert_uint_eq(facts_runs(p, FLAGS), facts[_i].runs);
		ck_assert_uint_eq(facts_pins(p, FLAGS).makes, facts[_i].pins);
	}
	end(p);
}
END_TEST

START_TEST(what_sets_is_long_by_its_words)
{
	enum { WORDS = 16 * 1024, IN_FRONT = 3 };
	static const char begin[] = "SET search_path TO ";
	static char text[sizeof(begin) + 2 * WORDS];
	struct prepared *p;
	size_t len = sizeof(begin) - 1;

	memcpy(text, begin, len);
	for (int n = IN_FRONT; n < WORDS; n++)
		text[len++] = n % 2 == 1 ? 'a' : ',';
	text[len] = '\0';
	p = get(text);
	ck_assert_uint_eq(facts_touches(p, FLAGS), FACT_TOUCHES_ANY | FACT_IS_SET);
	end(p);
	text[len++] = '+';
	text[len] = '\0';
	p = get(text);
	ck_assert_uint_eq(facts_touches(p, FLAGS) & FACT_IS_LONG, FACT_IS_LONG);
	end(p);
	/* Neither what sets nothing, nor a comment. */
	memset(text, ',', len);
	p = get(text);
	ck_assert_uint_eq(facts_touches(p, FLAGS), 0);
	end(p);
	memcpy(text, "SET a.b = c --", strlen("SET a.b = c --"));
	p = get(text);
	ck_assert_uint_eq(facts_touches(p, FLAGS), FACT_TOUCHES_ANY | FACT_IS_SET);
	end(p);
}
END_TEST

static unsigned readings;

static unsigned read_it(const void *text, size_t len, unsigned flags)
{
	ck_assert_uint_eq(strlen(text), len);
	readings++;
	return flags == FLAGS ? 0 : 5;
}

START_TEST(a_text_is_read_once_for_each_way_to_read_it)
{
	struct prepared *p = get("SELECT 1");

	readings = 0;
	for (int round = 0; round < 3; round++) {
		ck_assert_uint_eq(facts_known(p, FLAGS, FACT_LEAVES, read_it), 0);
		ck_assert_uint_eq(facts_known(p, LEXER_UTF8, FACT_LEAVES, read_it), 5);
		ck_assert_uint_eq(facts_known(p, FLAGS, FACT_READING, read_it), 0);
	}
	ck_assert_uint_eq(readings, 3);
	end(p);
}
END_TEST

START_TEST(a_text_may_do_more_where_strings_end_elsewhere)
{
	/* With escapes the string ends behind the second quote. */
	struct prepared *p = get("SELECT 'a\\', set_config('b.c', 'd', false) --'");
	struct pin_scan scan;

	ck_assert_uint_eq(facts_touches(p, FLAGS), FACT_TOUCHES_ANY);
	ck_assert_uint_eq(facts_touches(p, FLAGS | LEXER_MAY_CHANGE) & FACT_TOUCHES_ANY,
		FACT_TOUCHES_ANY);
	scan = facts_pins(p, FLAGS | LEXER_MAY_CHANGE);
	ck_assert(scan.is_unseen);
	scan = facts_pins(p, FLAGS);
	ck_assert(!scan.is_unseen);
	end(p);
}
END_TEST

START_TEST(what_pins_is_kept_whole)
{
	struct prepared *p = get("PREPARE a AS SELECT pg_advisory_lock(1); EXECUTE a; UNLISTEN *; "
				 "SET x = 1; SELECT f()");
	struct pin_scan scan, known;

	pin_scan(&scan, (const char *)p->body, p->text_len, FLAGS);
	for (int round = 0; round < 2; round++) {
		known = facts_pins(p, FLAGS);
		ck_assert_uint_eq(known.makes, scan.makes);
		ck_assert_uint_eq(known.prepares, scan.prepares);
		ck_assert_uint_eq(known.keeps, scan.keeps);
		ck_assert(known.executes && known.ends && known.is_unseen);
	}
	ck_assert_uint_eq(known.prepares, 1u << ROUTE_PIN_LOCK);
	ck_assert_uint_ne(known.keeps, 0);
	end(p);
}
END_TEST

static const struct {
	const char *text;
	const char *names;
	bool is_sure;
} named[] = {
	{ "", "", true },
	{ "EXECUTE a; EXECUTE B; execute \"C d\"(1)", "a,b,C d,", true },
	{ "PREPARE a AS SELECT 1; DEALLOCATE PREPARE b; DEALLOCATE ALL", "a,prepare,b,", true },
	{ "DEALLOCATE \"all\"", "all,", true },
	{ "SELECT 'execute a'", "", false },
	{ "SELECT * FROM pg_prepared_statements; EXECUTE a", "a,", false },
	{ "EXECUTE U&\"a\\zzzz\" b", "b,", false },
	{ "EXECUTE", "", true },
	{ "EXECUTE a 'x", "a,", false },
};

START_TEST(names_stand_behind_their_verbs)
{
	char found[256] = "";
	struct named n;

	named_begin(&n, named[_i].text, strlen(named[_i].text), FLAGS);
	while (named_next(&n)) {
		strcat(found, n.name);
		strcat(found, ",");
	}
	ck_assert_str_eq(found, named[_i].names);
	ck_assert(named_is_sure(&n) == named[_i].is_sure);
}
END_TEST

Suite *facts_suite(void)
{
	Suite *suite = suite_create("facts");
	TCase *tc = tcase_create("facts");

	tcase_add_loop_test(tc, a_text_is_what_was_found, 0, COUNT_OF(facts));
	tcase_add_test(tc, what_sets_is_long_by_its_words);
	tcase_add_test(tc, a_text_is_read_once_for_each_way_to_read_it);
	tcase_add_test(tc, a_text_may_do_more_where_strings_end_elsewhere);
	tcase_add_test(tc, what_pins_is_kept_whole);
	tcase_add_loop_test(tc, names_stand_behind_their_verbs, 0, COUNT_OF(named));
	suite_add_tcase(suite, tc);
	return suite;
}
