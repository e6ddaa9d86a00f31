/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>

#include <check.h>

#include "pg/frame.h"
#include "session/advice.h"
#include "session/params.h"
#include "session/pin.h"
#include "sql/lexer.h"
#include "suites.h"

/* --- texts ---------------------------------------------------------------------- */

enum { TEMP = 1, CURSOR = 2, LOCK = 4, LISTEN = 8, LIBRARY = 16, SEED = 32,
	LINK = 64, SLOT = 128, ORIGIN = 256, BACKUP = 512 };

static const struct {
	const char *text;
	uint32_t makes, prepares;
	bool executes, ends, is_unseen;
} texts[] = {
	{ "SELECT 1", 0, 0, false, false, false },
	{ "CREATE TEMP TABLE t (x int)", TEMP, 0, false, false, false },
	{ "create temporary sequence s", TEMP, 0, false, false, false },
	{ "CREATE TABLE pg_temp.t (x int)", TEMP, 0, false, false, false },
	{ "SELECT 1 INTO TEMP t", TEMP, 0, false, false, false },
	{ "CREATE OR REPLACE TEMP VIEW v AS SELECT 1", TEMP, 0, false, false, false },
	{ "CREATE TEMP TABLE t (x int) ON COMMIT DROP", 0, 0, false, false, false },
	{ "CREATE TEMP TABLE t (x int) ON COMMIT DROP; CREATE TEMP TABLE u (x int)", TEMP, 0,
		false, false, false },
	{ "CREATE TABLE temp (x int)", 0, 0, false, false, false },
	{ "INSERT INTO temp VALUES (1)", 0, 0, false, false, false },
	{ "DECLARE c CURSOR WITH HOLD FOR SELECT 1", CURSOR, 0, false, false, false },
	{ "DECLARE c CURSOR FOR SELECT 1", 0, 0, false, false, false },
	{ "DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1", 0, 0, false, false, false },
	{ "SELECT pg_advisory_lock(1)", LOCK, 0, false, false, false },
	{ "SELECT pg_catalog.pg_try_advisory_lock_shared(1, 2)", LOCK, 0, false, false, false },
	{ "SELECT pg_advisory_xact_lock(1)", 0, 0, false, false, false },
	{ "SELECT (1::bigint).pg_advisory_lock", LOCK, 0, false, false, false },
	{ "SELECT 'pg_advisory_lock(1)'", 0, 0, false, false, false },
	{ "SELECT pg_advisory_unlock(1)", 0, 0, false, true, false },
	{ "LISTEN c", LISTEN, 0, false, false, false },
	{ "LISTEN c; UNLISTEN *", LISTEN, 0, false, true, false },
	{ "UNLISTEN c", 0, 0, false, true, false },
	{ "LOAD 'auto_explain'", LIBRARY, 0, false, false, false },
	{ "SELECT setseed(0.5)", SEED, 0, false, false, false },
	{ "SET seed TO 0.5", SEED, 0, false, false, false },
	{ "SELECT dblink_connect('c')", LINK, 0, false, false, false },
	{ "SELECT ext.DBLINK_connect_u('c', 'd')", LINK, 0, false, false, false },
	{ "SELECT dblink('c', 'SELECT 1')", 0, 0, false, false, false },
	{ "SELECT pg_create_physical_replication_slot('s', true, true)", SLOT, 0, false, false, false },
	{ "SELECT pg_create_logical_replication_slot('s', 'p', $1)", SLOT, 0, false, false, false },
	{ "SELECT pg_create_physical_replication_slot('s', temporary => true)", SLOT, 0, false,
		false, false },
	{ "SELECT pg_create_physical_replication_slot('s', temporary := true)", SLOT, 0, false,
		false, false },
	{ "SELECT \"pg_create_physical_replication_slot\"('s', true)", SLOT, 0, false, false, false },
	{ "SELECT pg_copy_physical_replication_slot('s', 't')", SLOT, 0, false, false, false },
	{ "SELECT pg_create_physical_replication_slot('s'), "
	  "pg_copy_physical_replication_slot('a', 'b')", SLOT, 0, false, false, false },
	{ "SELECT pg_create_physical_replication_slot('s'), "
	  "pg_create_physical_replication_slot('t', false, true)", SLOT, 0, false, false, false },
	{ "SELECT pg_create_physical_replication_slot('s', (1, 2) IS NULL, true)", SLOT, 0, false,
		false, false },
	{ "SELECT a, b, pg_create_logical_replication_slot('s', substr('p', 1, 2)), c, d", 0, 0, false,
		false, false },
	{ "SELECT * FROM pg_create_physical_replication_slot('s')", 0, 0, false, false, false },
	{ "SELECT pg_replication_origin_session_setup('o')", ORIGIN, 0, false, false, false },
	{ "SELECT pg_replication_origin_session_is_setup()", 0, 0, false, false, false },
	{ "SELECT pg_backup_start('b', true)", BACKUP, 0, false, false, false },
	{ "SELECT pg_start_backup('b', true, false)", BACKUP, 0, false, false, false },
	{ "SELECT * FROM pg_backup_stop()", 0, 0, false, false, false },
	{ "PREPARE p AS SELECT pg_advisory_lock(1)", 0, LOCK, false, false, false },
	{ "EXECUTE p", 0, 0, true, false, false },
	{ "EXPLAIN ANALYZE EXECUTE p", 0, 0, true, false, false },
	{ "DROP TABLE t", 0, 0, false, true, false },
	{ "CLOSE ALL", 0, 0, false, true, false },
	{ "DISCARD TEMP", 0, 0, false, true, false },
	{ "DISCARD ALL", 0, 0, false, true, false },
	{ "DO 'BEGIN END'", 0, 0, false, false, true },
	{ "CALL p()", 0, 0, false, false, true },
	{ "SELECT mine()", 0, 0, false, false, true },
	{ "SELECT (ROW(1)::r).mine", 0, 0, false, false, true },
	{ "SELECT ('a'::text).upper", 0, 0, false, false, false },
	{ "SELECT 1 NONSENSE (", 0, 0, false, false, true },
};

START_TEST(texts_tell_what_they_make_and_end)
{
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		size_t len = strlen(texts[i].text);
		struct pin_scan scan;

		pin_scan(&scan, texts[i].text, len, LEXER_STANDARD_STRINGS);
		ck_assert_msg(scan.makes == texts[i].makes &&
				scan.prepares == texts[i].prepares &&
				scan.executes == texts[i].executes &&
				scan.ends == texts[i].ends &&
				scan.is_unseen == texts[i].is_unseen,
			"%s: makes %x prepares %x executes %d ends %d unseen %d",
			texts[i].text, scan.makes, scan.prepares, scan.executes, scan.ends,
			scan.is_unseen);
		/* What is not looked at makes nothing. */
		ck_assert_msg(pin_may(texts[i].text, len) ||
				(scan.makes | scan.prepares) == 0, "%s", texts[i].text);
	}
	ck_assert(!pin_may("SELECT * FROM t WHERE x = 1", 27));
	ck_assert(pin_may("SELECT U&\"\\0070g_lock\"(1)", 25));
	ck_assert(pin_may("TeMP", 4) && !pin_may("tem", 3));
}
END_TEST

START_TEST(text_that_may_be_read_either_way_does_both)
{
	static const char text[] = "SELECT 'a\\'; CREATE TEMP TABLE t (x int); --'";
	struct pin_scan scan;

	pin_scan(&scan, text, sizeof(text) - 1, 0);
	ck_assert(scan.makes == 0 && !scan.is_unseen);
	pin_scan(&scan, text, sizeof(text) - 1, LEXER_MAY_CHANGE);
	ck_assert(scan.makes == TEMP && scan.is_unseen);
	pin_scan(&scan, text, sizeof(text) - 1, LEXER_STANDARD_STRINGS | LEXER_MAY_CHANGE);
	ck_assert(scan.makes == TEMP && scan.is_unseen);
	pin_scan(&scan, "SELECT 1", 8, LEXER_MAY_CHANGE);
	ck_assert(scan.makes == 0 && !scan.is_unseen);
}
END_TEST

START_TEST(words_are_those_of_the_options)
{
	char words[PIN_WORDS_MAX];
	uint32_t all = (1u << ROUTE_PIN_COUNT) - 1;

	ck_assert_str_eq(pin_words(0, words), "");
	ck_assert_str_eq(pin_words(TEMP | LISTEN, words), "temp_tables, listen");
	ck_assert_str_eq(pin_words(all, words),
		"temp_tables, cursors, advisory_locks, listen, load, setseed, dblink, "
		"replication_slots, replication_origins, backups");
	ck_assert_uint_eq(pin_stays(), LIBRARY | SEED | LINK | SLOT | ORIGIN | BACKUP);
}
END_TEST

/* --- the answer ------------------------------------------------------------------- */

static bool answer(struct pin_answer *a, const char *body, size_t len, enum pin_asks asks)
{
	struct frame row = {
		.type = 'D', .body = (const uint8_t *)body, .body_len = (uint32_t)len,
		.available = len
	};

	return pin_answer(a, &row, asks);
}

#define COLUMN(c) "\0\0\0\1" c

START_TEST(answer_is_read_and_a_piece_of_it_is_not)
{
	static const char plain[] = "\0\4" COLUMN("t") COLUMN("f") COLUMN("t") COLUMN("f");
	static const char more[] = "\0\6" COLUMN("f") COLUMN("t") COLUMN("f") COLUMN("t")
		COLUMN("f") "\0\0\0\11work_mem,";
	static const char none[] = "\0\6" COLUMN("f") COLUMN("f") COLUMN("f") COLUMN("f")
		COLUMN("t") "\377\377\377\377";
	static const char code[] = "\0\7" COLUMN("f") COLUMN("f") COLUMN("f") COLUMN("f")
		COLUMN("f") "\377\377\377\377" COLUMN("t");
	struct pin_answer a;

	ck_assert(answer(&a, plain, sizeof(plain) - 1, PIN_ASKS_PINS));
	ck_assert_uint_eq(a.there, TEMP | LOCK);
	ck_assert(!answer(&a, plain, sizeof(plain) - 1, PIN_ASKS_SETTINGS));
	ck_assert(answer(&a, more, sizeof(more) - 1, PIN_ASKS_SETTINGS));
	ck_assert(!a.has_statements && !a.has_code && !a.has_many);
	ck_assert_uint_eq(a.there, CURSOR | LISTEN);
	ck_assert_str_eq(a.settings, "work_mem,");
	ck_assert(answer(&a, none, sizeof(none) - 1, PIN_ASKS_SETTINGS));
	ck_assert(a.has_statements);
	ck_assert_uint_eq(a.there, 0);
	ck_assert_str_eq(a.settings, "");
	for (size_t i = 0; i < sizeof(plain) - 1; i++)
		ck_assert(!answer(&a, plain, i, PIN_ASKS_PINS));
	for (size_t i = 0; i < sizeof(more) - 1; i++)
		ck_assert(!answer(&a, more, i, PIN_ASKS_SETTINGS));
	ck_assert(answer(&a, code, sizeof(code) - 1, PIN_ASKS_CODE));
	ck_assert(a.has_code && !a.has_statements);
	for (size_t i = 0; i < sizeof(code) - 1; i++)
		ck_assert(!answer(&a, code, i, PIN_ASKS_CODE));
}
END_TEST

static const struct {
	const char *text;
	uint32_t keeps;
} kept[] = {
	{ "SELECT 1", 0 },
	{ "SET work_mem = '7MB'", 1u << ROUTE_KEPT_SETTINGS },
	{ "SET LOCAL work_mem = '7MB'", 0 },
	{ "SET work_mem TO DEFAULT; RESET x; RESET ALL; DISCARD ALL", 0 },
	{ "SET TRANSACTION READ ONLY", 0 },
	{ "SET transaction_read_only = on", 0 },
	{ "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", 1u << ROUTE_KEPT_SETTINGS },
	{ "SET ROLE r", 1u << ROUTE_KEPT_ROLE },
	{ "SET LOCAL ROLE r", 0 },
	{ "SET SESSION AUTHORIZATION r", 1u << ROUTE_KEPT_ROLE },
	{ "SELECT set_config('role', 'r', false)", 1u << ROUTE_KEPT_ROLE },
	{ "SELECT set_config('a.b', 'r', true)", 0 },
	{ "SELECT set_config('a.b', 'r', true), set_config('a.b', 'r', $1)",
		1u << ROUTE_KEPT_SETTINGS },
	{ "SELECT set_config(a, b, c) FROM t", 1u << ROUTE_KEPT_SETTINGS },
	{ "UPDATE pg_settings SET setting = '1'", 1u << ROUTE_KEPT_SETTINGS },
	{ "PREPARE p AS SELECT 1", 1u << ROUTE_KEPT_PREPARE },
	{ "PREPARE p AS SELECT set_config('a.b', 'r', false)",
		1u << ROUTE_KEPT_PREPARE | 1u << ROUTE_KEPT_SETTINGS },
};

START_TEST(text_says_what_would_be_kept)
{
	struct pin_scan scan;

	pin_scan(&scan, kept[_i].text, strlen(kept[_i].text), LEXER_STANDARD_STRINGS);
	ck_assert_msg(scan.keeps == kept[_i].keeps, "%s: %x", kept[_i].text, scan.keeps);
}
END_TEST

START_TEST(what_has_run_its_prepare_makes_what_that_says)
{
	static const char locks[] = "PREPARE p AS SELECT pg_advisory_lock(1)";
	static const char sets[] = "PREPARE p AS SELECT set_config('a.b', 'r', false)";
	struct pin_scan scan;

	pin_scan(&scan, locks, sizeof(locks) - 1, LEXER_STANDARD_STRINGS);
	pin_scan_runs(&scan);
	ck_assert(scan.makes == LOCK && scan.keeps == 0);
	pin_scan(&scan, sets, sizeof(sets) - 1, LEXER_STANDARD_STRINGS);
	pin_scan_runs(&scan);
	ck_assert(scan.makes == 0 && scan.keeps == 1u << ROUTE_KEPT_SETTINGS);
}
END_TEST

/* Names that do not fit count as some that nobody knows. */
START_TEST(too_many_settings_are_told)
{
	char body[2 + 5 * 5 + 4 + PIN_SETTINGS_MAX] = "\0\6" COLUMN("f") COLUMN("f") COLUMN("f")
		COLUMN("f") COLUMN("f") "\0\0";
	struct pin_answer a;

	body[29] = (char)(PIN_SETTINGS_MAX >> 8);
	body[30] = (char)(PIN_SETTINGS_MAX & 0xff);
	memset(body + 31, 'x', PIN_SETTINGS_MAX);
	ck_assert(answer(&a, body, sizeof(body), PIN_ASKS_SETTINGS));
	ck_assert(a.has_many);
	ck_assert_str_eq(a.settings, "");
}
END_TEST

START_TEST(settings_are_compared_with_those_known)
{
	struct params known;

	params_init(&known);
	ck_assert(!pin_has_unknown("", &known));
	ck_assert(pin_has_unknown("work_mem", &known));
	ck_assert(params_set(&known, "work_mem", "1MB"));
	ck_assert(params_set(&known, "datestyle", "ISO"));
	ck_assert(!pin_has_unknown("work_mem,DateStyle", &known));
	ck_assert(pin_has_unknown("work_mem,jit", &known));
	ck_assert(!pin_has_unknown("transaction_isolation,work_mem", &known));
	params_finish(&known);
}
END_TEST

START_TEST(audit_tells_what_has_changed)
{
	static const struct {
		const char *settings;
		bool has_many;
		uint32_t changed;
	} cases[] = {
		{ "", false, 0 },
		{ "work_mem", false, 0 },
		{ "work_mem,jit", false, 1u << ROUTE_KEPT_SETTINGS },
		{ "work_mem,!", false, 1u << ROUTE_KEPT_SETTINGS },
		{ "@", false, 1u << ROUTE_KEPT_ROLE },
		{ "work_mem,!,@", false, 1u << ROUTE_KEPT_ROLE | 1u << ROUTE_KEPT_SETTINGS },
		{ "", true, 1u << ROUTE_KEPT_SETTINGS },
	};
	struct params known;

	params_init(&known);
	ck_assert(params_set(&known, "work_mem", "1MB"));
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct pin_answer a = { .has_many = cases[i].has_many };

		(void)snprintf(a.settings, sizeof(a.settings), "%s", cases[i].settings);
		ck_assert_uint_eq(pin_changed(&a, &known), cases[i].changed);
	}
	params_finish(&known);
}
END_TEST

/* What PostgreSQL was asked to spell is set for the moment, behind the look. */
START_TEST(audit_asks_for_what_the_client_has)
{
	struct params now, raw, reported;
	struct pin_known known = { &now, &raw, &reported, "me" };
	struct buf sql;
	const char *text;

	params_init(&now);
	params_init(&raw);
	params_init(&reported);
	ck_assert(params_set(&now, "app.x", "it's") && params_set(&raw, "app.x", "it's"));
	ck_assert(params_set(&now, "work_mem", "5120") && params_set(&raw, "work_mem", "5120"));
	ck_assert(params_set(&now, "TimeZone", "UTC") && params_set(&raw, "TimeZone", "UTC"));
	ck_assert(params_set(&now, "jit", "off") && params_set(&raw, "jit", "on"));
	ck_assert(params_set(&reported, "TimeZone", "UTC"));
	buf_init(&sql, 0);
	pin_audit(&known, &sql);
	buf_add_cstr(&sql, "");
	text = (const char *)buf_data(&sql);
	ck_assert_ptr_nonnull(strstr(text, "current_setting(E'app.x', true) OPERATOR(pg_catalog.=) E'it''s'"));
	ck_assert_ptr_nonnull(strstr(text, "set_config(E'work_mem', E'5120', true)"));
	ck_assert_ptr_null(strstr(text, "set_config(E'TimeZone'"));
	ck_assert_ptr_null(strstr(text, "set_config(E'jit'"));
	ck_assert_ptr_nonnull(strstr(text, "current_setting(E'role', true) OPERATOR(pg_catalog.=) E'none'"));
	ck_assert_ptr_nonnull(strstr(text, "E'session_authorization', true) OPERATOR(pg_catalog.=) E'me'"));
	buf_finish(&sql);
	params_finish(&now);
	params_finish(&raw);
	params_finish(&reported);
}
END_TEST

/* --- advice --------------------------------------------------------------------------- */

static struct advice_entry copies[ADVICE_ENTRIES_MAX + 1];

START_TEST(advice_counts_and_forgets_the_oldest)
{
	struct advice_key key, first;
	struct advice advice;
	char name[16];

	ck_assert_int_eq(advice_init(&advice), 0);
	advice_key_make(&first, "web", "app", "me", NULL);
	advice_note(&advice, &first, TEMP | LOCK, ADVICE_PINNED, 7);
	advice_note(&advice, &first, LOCK, ADVICE_REFUSED, 8);
	ck_assert_uint_eq(advice_copy(&advice, copies, ADVICE_ENTRIES_MAX), 1);
	ck_assert_str_eq(copies[0].key.workload, "web");
	ck_assert_str_eq(copies[0].key.application, "");
	ck_assert_uint_eq(copies[0].uses[ROUTE_PIN_LOCK].times[ADVICE_PINNED], 1);
	ck_assert_uint_eq(copies[0].uses[ROUTE_PIN_LOCK].times[ADVICE_REFUSED], 1);
	ck_assert_uint_eq(copies[0].uses[ROUTE_PIN_LOCK].last_wall_us, 8);
	ck_assert_uint_eq(copies[0].uses[ROUTE_PIN_TEMP].last_wall_us, 7);
	ck_assert_uint_eq(copies[0].uses[ROUTE_PIN_LISTEN].last_wall_us, 0);
	for (int i = 0; i < ADVICE_ENTRIES_MAX; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		advice_key_make(&key, "web", "app", "me", name);
		advice_note(&advice, &key, TEMP, ADVICE_PINNED, 9);
	}
	ck_assert_uint_eq(advice_copy(&advice, copies, COUNT_OF(copies)),
		ADVICE_ENTRIES_MAX);
	ck_assert_str_eq(copies[0].key.application, name);
	ck_assert_str_eq(copies[ADVICE_ENTRIES_MAX - 1].key.application, "0");
	advice_finish(&advice);
}
END_TEST

START_TEST(advice_adds_up_how_long_servers_are_kept)
{
	enum { A = ROUTE_PIN_TEMP, B = ROUTE_PIN_LISTEN };
	struct advice_hold *first, *second;
	struct advice_key key, other;
	struct advice advice;

	ck_assert_int_eq(advice_init(&advice), 0);
	advice_key_make(&key, "web", "app", "me", "jobs");
	first = advice_hold(&advice, &key);
	second = advice_hold(&advice, &key);
	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_eq(first, second);
	advice_held(&advice, first, TEMP | LISTEN, 1, 100);
	advice_held(&advice, second, TEMP, 1, 110);
	/* A worker whose clock is a turn behind. */
	advice_held(&advice, first, TEMP, -1, 108);
	advice_held(&advice, NULL, TEMP, 1, 108);
	ck_assert_uint_eq(advice_copy(&advice, copies, 1), 1);
	ck_assert_uint_eq(copies[0].uses[A].held, 1);
	ck_assert_uint_eq(copies[0].uses[B].held, 1);
	ck_assert_uint_eq(advice_held_us(&copies[0].uses[A], 208), 110);
	ck_assert_uint_eq(advice_held_us(&copies[0].uses[B], 200), 100);
	/* Nobody else makes it go while it keeps something. */
	for (int i = 0; i < ADVICE_ENTRIES_MAX + 5; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "%d", i);
		advice_key_make(&other, "web", "app", "me", name);
		advice_note(&advice, &other, TEMP, ADVICE_PINNED, 9);
	}
	advice_held(&advice, second, TEMP, -1, 208);
	advice_held(&advice, first, LISTEN, -1, 300);
	advice_release(&advice, first);
	advice_note(&advice, &key, TEMP, ADVICE_PINNED, 10);
	ck_assert_uint_eq(advice_copy(&advice, copies, 1), 1);
	ck_assert_str_eq(copies[0].key.application, "jobs");
	ck_assert_uint_eq(copies[0].uses[A].held, 0);
	ck_assert_uint_eq(advice_held_us(&copies[0].uses[A], 9999), 110);
	ck_assert_uint_eq(advice_held_us(&copies[0].uses[B], 9999), 200);
	advice_release(&advice, second);
	advice_release(&advice, NULL);
	advice_finish(&advice);
}
END_TEST

/* As many as there may be keep something, and one more. */
START_TEST(advice_that_is_held_takes_a_place_of_its_own)
{
	static struct advice_hold *holds[ADVICE_ENTRIES_MAX + 1];
	struct advice_key key;
	struct advice advice;
	char name[16];

	ck_assert_int_eq(advice_init(&advice), 0);
	for (size_t i = 0; i < COUNT_OF(holds); i++) {
		(void)snprintf(name, sizeof(name), "%zu", i);
		advice_key_make(&key, "web", "app", "me", name);
		holds[i] = advice_hold(&advice, &key);
		ck_assert_ptr_nonnull(holds[i]);
	}
	ck_assert_uint_eq(advice_copy(&advice, copies, COUNT_OF(copies)), COUNT_OF(holds));
	for (size_t i = 0; i < COUNT_OF(holds); i++)
		advice_release(&advice, holds[i]);
	ck_assert_uint_eq(advice_copy(&advice, copies, COUNT_OF(copies)),
		ADVICE_ENTRIES_MAX);
	advice_finish(&advice);
}
END_TEST

Suite *pin_suite(void)
{
	Suite *s = suite_create("session/pin");
	TCase *tc = tcase_create("pin");

	tcase_add_test(tc, texts_tell_what_they_make_and_end);
	tcase_add_test(tc, text_that_may_be_read_either_way_does_both);
	tcase_add_test(tc, words_are_those_of_the_options);
	tcase_add_test(tc, answer_is_read_and_a_piece_of_it_is_not);
	tcase_add_test(tc, too_many_settings_are_told);
	tcase_add_loop_test(tc, text_says_what_would_be_kept, 0, COUNT_OF(kept));
	tcase_add_test(tc, what_has_run_its_prepare_makes_what_that_says);
	tcase_add_test(tc, settings_are_compared_with_those_known);
	tcase_add_test(tc, audit_tells_what_has_changed);
	tcase_add_test(tc, audit_asks_for_what_the_client_has);
	tcase_add_test(tc, advice_counts_and_forgets_the_oldest);
	tcase_add_test(tc, advice_adds_up_how_long_servers_are_kept);
	tcase_add_test(tc, advice_that_is_held_takes_a_place_of_its_own);
	suite_add_tcase(s, tc);
	return s;
}
