/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pg/frame.h"
#include "session/state.h"
#include "sql/lexer.h"
#include "suites.h"

static struct touched t;
static struct params now, start, there;

static void begin(void)
{
	touched_init(&t);
	params_init(&now);
	params_init(&start);
	params_init(&there);
}

static void end(void)
{
	touched_finish(&t);
	params_finish(&now);
	params_finish(&start);
	params_finish(&there);
}

static void text(const char *sql)
{
	if (touched_may(sql, strlen(sql)))
		(void)touched_text(&t, sql, strlen(sql), LEXER_STANDARD_STRINGS);
}

/* The names, with what was done: "sapp.x rwork_mem". */
static const char *names(void)
{
	static char to[1000];
	const char *at = (const char *)buf_data(&t.names);

	to[0] = '\0';
	for (uint32_t i = 0; i < t.count; i++) {
		(void)snprintf(to + strlen(to), sizeof(to) - strlen(to), "%s%s",
			i == 0 ? "" : " ", at);
		at += strlen(at) + 1;
	}
	return to;
}

static const struct {
	const char *sql;
	const char *names;
	char more;                      /* 'a' all, 'u' unknown, 'c' closes, 'v' of the view, ' ' nothing */
} texts[] = {
	{ "SELECT 1", "", ' ' },
	{ "SELECT * FROM settings OFFSET 3", "", ' ' },
	{ "INSERT INTO offsets VALUES ('SET app.x = 1')", "", ' ' },
	{ "-- SET app.x = 1\nSELECT 1", "", ' ' },
	{ "SET app.x = '1'", "sapp.x", ' ' },
	{ "set session App.X to 1; SET app.x = 2", "sapp.x", ' ' },
	{ "SET LOCAL app.x = '1'", "", ' ' },
	{ "RESET app.x", "rapp.x", ' ' },
	{ "SET app.x = 1; RESET app.x", "bapp.x", ' ' },
	{ "RESET app.x; SET app.x = 1", "bapp.x", ' ' },
	{ "SET app.x TO DEFAULT", "rapp.x", ' ' },
	{ "SET app.x = 1; RESET ALL", "bapp.x", 'a' },
	{ "DISCARD ALL", "", 'a' },
	{ "SET TIME ZONE 'UTC'; SET ROLE x; SET SESSION AUTHORIZATION y",
		"stimezone srole ssession_authorization", ' ' },
	{ "SET TRANSACTION READ ONLY; SET transaction_read_only = on", "", ' ' },
	{ "SET Transaction_Isolation = 'serializable'; SET transaction_deferrable = on", "", ' ' },
	{ "SET transaction_timeout = '5s'", "stransaction_timeout", ' ' },
	{ "SET transaction_log.id = 7", "stransaction_log.id", ' ' },
	{ "SELECT set_config('app.x', $1, false)", "sapp.x", ' ' },
	{ "SELECT set_config('app.x', $1, true)", "", ' ' },
	{ "SELECT set_config('app.x', $1, $2)", "sapp.x", ' ' },
	{ "SELECT set_config($1, $2, false)", "", 'u' },
	{ "SELECT set_config('a' || 'b', '', false)", "", 'u' },
	{ "SELECT set_config('app.x', 'a' || $1, false)", "bapp.x", ' ' },
	{ "SELECT set_config('app.x', f(set_config('app.y', now()::text, true)), false)",
		"bapp.x", ' ' },
	{ "SELECT set_config('app.x', f(set_config('app.y', now()::text, false)), false)",
		"bapp.x bapp.y", ' ' },
	{ "SET sort_mem = 1; SET work_mem = 2; SELECT set_config('Vacuum_Mem', '3', false)",
		"swork_mem smaintenance_work_mem", ' ' },
	{ "SELECT set_config('app.' || f('x', 1), g(2, '3'), true)", "", ' ' },
	{ "SELECT set_config('work_mem', $1, $2)", "bwork_mem", ' ' },
	{ "SELECT set_config('role', f(1, 2), NOT true)", "brole", ' ' },
	{ "SELECT U&\"set\\005fconfig\"('app.x', '1', false)", "sapp.x", ' ' },
	{ "SELECT setseed(0.1)", "", 'c' },
	{ "SET seed = 0.1", "", 'c' },
	{ "LOAD 'auto_explain'", "", 'c' },
	{ "SET 'unterminated", "", 'u' },
	{ "SELECT setting FROM pg_settings", "", ' ' },
	{ "UPDATE pg_settings SET setting = '1' WHERE name = 'work_mem'", "", 'v' },
	{ "UPDATE settings SET setting = (SELECT setting FROM pg_catalog.pg_settings)", "", 'v' },
	{ "PREPARE p AS UPDATE \"pg_settings\" SET setting = $1", "", 'v' },
};

static const struct {
	const char *sql;
	enum touched_reading reading;
} readings[] = {
	{ "SET app.x = '1'", READING_STAYS },
	{ "SET LOCAL app.x = '1'", READING_STAYS },
	{ "SET LOCAL search_path = a", READING_STAYS },
	{ "SET ROLE a", READING_STAYS },
	{ "SET LOCAL timezone = 'UTC'", READING_IS_TOLD },
	{ "SET TIME ZONE 'UTC'", READING_IS_TOLD },
	{ "SET NAMES 'UTF8'", READING_IS_TOLD },
	{ "SET XML OPTION DOCUMENT", READING_IS_UNSURE },
	{ "SET \"Array_Nulls\" TO off", READING_IS_UNSURE },
	{ "RESET bytea_output", READING_IS_UNSURE },
	{ "SELECT 1; SET LOCAL transform_null_equals = on; SET app.x = 1", READING_IS_UNSURE },
	{ "RESET DateStyle", READING_IS_TOLD },
	{ "RESET ALL", READING_IS_UNSURE },
	{ "DISCARD ALL", READING_IS_UNSURE },
	{ "SELECT set_config('app.x', '1', true)", READING_STAYS },
	{ "SELECT set_config('app.x', $1, false), set_config('TimeZone', $2, true)",
		READING_IS_TOLD },
	{ "SELECT set_config($1, $2, true)", READING_IS_UNSURE },
	{ "SELECT set_config('xmloption', 'document', true); SET LOCAL timezone = 'UTC'",
		READING_IS_UNSURE },
	{ "UPDATE pg_settings SET setting = '1' WHERE name = 'app.x'", READING_IS_UNSURE },
	{ "SET NONSENSE 'x", READING_IS_UNSURE },
};

START_TEST(what_is_read_otherwise)
{
	for (size_t i = 0; i < COUNT_OF(readings); i++) {
		const char *sql = readings[i].sql;

		begin();
		ck_assert_msg(touched_may(sql, strlen(sql)), "%s", sql);
		ck_assert_msg(touched_text(&t, sql, strlen(sql), LEXER_STANDARD_STRINGS) ==
				readings[i].reading,
			"%s", sql);
		end();
	}
}
END_TEST

START_TEST(what_is_planned_under_what_a_text_sets)
{
	static const struct {
		const char *sql;
		bool runs;
	} cases[] = {
		{ "SET TimeZone = 'UTC'", false },
		{ "BEGIN; SET LOCAL TimeZone = 'UTC'; SET app.x = 1", false },
		{ "SET TimeZone = 'UTC'; SELECT f()", true },
		{ "SELECT f(); SET app.x = 1", false },
		{ "SET app.x = 1; SELECT f()", false },
		{ "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;", false },
		{ "SELECT set_config('TimeZone', $1, true)", false },
		{ "SELECT set_config('TimeZone', $1, true), f()", true },
		{ "SET LOCAL xmloption = document; INSERT INTO t VALUES (1)", true },
		{ "SET NONSENSE 'x", true },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		begin();
		(void)touched_text(&t, cases[i].sql, strlen(cases[i].sql), LEXER_STANDARD_STRINGS);
		ck_assert_msg(t.runs == cases[i].runs, "%s", cases[i].sql);
		end();
	}
}
END_TEST

START_TEST(what_changes_where_strings_end)
{
	static const struct {
		const char *sql;
		bool cuts;
	} cases[] = {
		{ "SET app.x = 1; SET LOCAL timezone = 'UTC'", false },
		{ "SET standard_conforming_strings = on", true },
		{ "SET LOCAL Standard_Conforming_Strings TO DEFAULT", true },
		{ "SET NAMES 'LATIN1'", true },
		{ "RESET client_encoding", true },
		{ "RESET timezone", false },
		{ "RESET ALL", true },
		{ "SELECT set_config('client_encoding', 'UTF8', true)", true },
		{ "SELECT set_config('app.x', 'UTF8', true)", false },
		{ "SELECT set_config('a' || 'b', 'UTF8', true)", true },
		{ "SELECT set_config($1, 'UTF8', true)", true },
		{ "UPDATE pg_settings SET setting = 'off'", true },
		{ "SET 'unterminated", true },
	};

	/* Each text by itself. */
	begin();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		text(cases[i].sql);
		ck_assert_msg(t.cuts == cases[i].cuts, "%s", cases[i].sql);
	}
	ck_assert(t.unknown);
	end();
}
END_TEST

START_TEST(texts_name_what_they_may_set)
{
	begin();
	text(texts[_i].sql);
	ck_assert_str_eq(names(), texts[_i].names);
	ck_assert_int_eq(t.all, texts[_i].more == 'a');
	ck_assert_int_eq(t.unknown, texts[_i].more == 'u');
	ck_assert_int_eq(t.closes, texts[_i].more == 'c');
	ck_assert_int_eq(t.of_view, texts[_i].more == 'v');
	ck_assert(touched_is_empty(&t) == (texts[_i].names[0] == '\0' && texts[_i].more == ' '));
	end();
}
END_TEST

/* Of a Bind: two formats, and three parameters of which the last is NULL. */
START_TEST(names_may_be_parameters)
{
	static const uint8_t bind[] = { 0, 2, 0, 0, 0, 1, 0, 3, 0, 0, 0, 5, 'a', 'p', 'p',
		'.', 'x', 0, 0, 0, 1, '7', 0xff, 0xff, 0xff, 0xff };
	static const struct {
		const char *sql, *names;
		bool unknown;
	} cases[] = {
		{ "SELECT set_config($1, $2, false)", "sapp.x", false },
		{ "SELECT set_config($1, $2, true)", "", false },
		{ "SELECT set_config($3, $2, false)", "", false },
		{ "SELECT set_config($4, $2, false)", "", true },
		{ "SELECT set_config($0, $2, false)", "", true },
		{ "SELECT set_config($1, $3, false)", "bapp.x", false },
		{ "SELECT set_config($1, $2::uuid::text, false)", "sapp.x", false },
		{ "SELECT set_config($1, $3::uuid::text, false)", "bapp.x", false },
		{ "SELECT set_config($1, $4, false)", "bapp.x", false },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		begin();
		t.bind = bind;
		t.bind_len = sizeof(bind);
		text(cases[i].sql);
		ck_assert_str_eq(names(), cases[i].names);
		ck_assert_int_eq(t.unknown, cases[i].unknown);
		end();
	}
	/* Cut before the end of the first parameter nothing is known. */
	for (size_t len = 0; len < sizeof(bind); len++) {
		uint8_t *cut = malloc(len + 1);

		ck_assert_ptr_nonnull(cut);
		memcpy(cut, bind, len);
		begin();
		t.bind = cut;
		t.bind_len = len;
		text(cases[0].sql);
		ck_assert_int_eq(t.unknown, len < 17);
		/* Neither is whether the second is NULL. */
		ck_assert_str_eq(names(), len < 17 ? "" : len < 21 ? "bapp.x" : "sapp.x");
		end();
		free(cut);
	}
	/* Without a Bind. */
	begin();
	text(cases[0].sql);
	ck_assert(t.unknown);
	end();
}
END_TEST

/* What is cut or stripped names something else. */
START_TEST(names_are_taken_as_text_only)
{
	static const uint8_t bind[] = { 0, 0, 0, 2, 0, 0, 0, 5, 'a', 'p', 'p', '.', 'x', 0, 0,
		0, 1, '7' };
	static const struct {
		uint8_t types[10];
		const char *names;
	} cases[] = {
		{ { 0, 0 }, "sapp.x" },
		{ { 0, 1, 0, 0, 0, 25 }, "sapp.x" },
		{ { 0, 2, 0, 0, 4, 19, 0, 0, 0, 19 }, "sapp.x" },
		{ { 0, 2, 0, 0, 4, 18, 0, 0, 0, 25 }, "" },
		{ { 0, 1, 0, 0, 0, 19 }, "" },
		{ { 0, 1, 0, 1, 0, 25 }, "" },
	};
	static const struct {
		const char *sql, *names;
	} prepared[] = {
		{ "PREPARE p(text) AS SELECT set_config($1, $2, false)", "sapp.x" },
		{ "PREPARE p AS SELECT set_config($1, $2, false)", "sapp.x" },
		{ "PREPARE p(varchar, name) AS SELECT set_config($1, $2, false)", "sapp.x" },
		{ "PREPARE p(name, text) AS SELECT set_config($1, $2, false)", "" },
		{ "PREPARE p(char(9)) AS SELECT set_config($1, $2, false)", "" },
		{ "PREPARE p(text[], text) AS SELECT set_config($1, $2, false)", "" },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		begin();
		t.bind = bind;
		t.bind_len = sizeof(bind);
		t.types = cases[i].types;
		t.types_len = 2 + 4 * (size_t)cases[i].types[1];
		text("SELECT set_config($1, $2, false)");
		ck_assert_msg(strcmp(names(), cases[i].names) == 0, "%zu: %s", i, names());
		ck_assert(t.is_lost == (cases[i].names[0] == '\0'));
		end();
	}
	for (size_t i = 0; i < COUNT_OF(prepared); i++) {
		begin();
		t.bind = bind;
		t.bind_len = sizeof(bind);
		text(prepared[i].sql);
		ck_assert_msg(strcmp(names(), prepared[i].names) == 0, "%s: %s", prepared[i].sql,
			names());
		end();
	}
}
END_TEST

/* A value that may be NULL, and a call that may not be reached. */
START_TEST(calls_may_reset_and_may_do_nothing)
{
	static const struct {
		const char *sql;
		bool has_resets, has_errors;
	} cases[] = {
		{ "SELECT set_config('app.x', 'a', false)", false, false },
		{ "SELECT set_config('app.x', $1, false)", false, false },
		{ "SELECT current_setting('jit') AS cur, set_config('jit', $1, false) AS new",
			false, false },
		{ "SELECT pg_catalog.set_config('search_path', '', false);", false, false },
		{ "SELECT set_config('app.x', '7'::text, false)::int x, 1, NULL", false, false },
		{ "SELECT set_config('app.x', 7::text, false)", false, false },
		{ "SELECT set_config('app.x', coalesce($1, f(2, 3), ''), false)", false, false },
		{ "SELECT set_config('app.x', coalesce($1, f('')), false)", true, false },
		{ "SELECT set_config('app.x', coalesce($1, '') || $2, false)", true, false },
		{ "SELECT set_config('app.x', NULL, false)", true, false },
		{ "SELECT set_config('app.x', NULL, true)", false, false },
		{ "SELECT set_config('app.x', now()::text, false)", true, false },
		{ "SELECT set_config('app.' || $1, NULL, false)", true, false },
		{ "SELECT set_config('app.x', 'a', false) WHERE false", false, true },
		{ "SELECT set_config('app.x', 'a', false) LIMIT 0", false, true },
		{ "SELECT set_config('app.x', 'a', false) FROM t", false, true },
		{ "SELECT DISTINCT set_config('app.x', 'a', false)", false, true },
		{ "SELECT CASE WHEN f() THEN set_config('app.x', 'a', false) END", false, true },
		{ "SELECT f() AND set_config('app.x', 'a', false) = 'a'", false, true },
		{ "SELECT set_config('app.x', 'a', false), f()", false, true },
		{ "SELECT set_config('app.x', coalesce($1, set_config('app.y', 'a', false)), true)",
			false, true },
		{ "SELECT (SELECT set_config('app.x', 'a', false))", false, true },
		{ "INSERT INTO t SELECT set_config('app.x', 'a', false)", false, true },
		{ "DELETE FROM t RETURNING set_config('app.x', 'a', false)", false, true },
		{ "WITH w AS (SELECT set_config('app.x', 'a', false)) SELECT 1", false, true },
		{ "PREPARE p AS SELECT set_config('app.x', 'a', false)", false, true },
		{ "EXPLAIN SELECT set_config('app.x', 'a', false)", false, true },
		{ "SELECT set_config('app.x', 'a', true) WHERE false", false, false },
		{ "SELECT set_config('app.x', 'a', false) WHERE false; SET app.y = 1", false, true },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		begin();
		text(cases[i].sql);
		ck_assert_msg(t.has_resets == cases[i].has_resets, "%s", cases[i].sql);
		ck_assert_msg(t.has_errors == cases[i].has_errors, "%s", cases[i].sql);
		end();
	}
}
END_TEST

/* Where the Bind is seen, and not what it binds. */
START_TEST(null_comes_behind_its_text)
{
	begin();
	text("SELECT set_config('app.x', 'a', false)");
	touched_bound_null(&t);
	ck_assert(!t.has_resets);
	text("SELECT set_config('work_mem', $1, false)");
	ck_assert(!t.has_resets);
	touched_bound_null(&t);
	ck_assert(t.has_resets);
	ck_assert_int_eq(touched_as(&t, "work_mem"), TOUCHED_BOTH);
	ck_assert_int_eq(touched_as(&t, "other"), TOUCHED_NOT);
	text("SELECT set_config($2, $1, false)");
	touched_bound_null(&t);
	ck_assert_int_eq(touched_as(&t, "other"), TOUCHED_BOTH);
	ck_assert(!t.resets_local);
	text("SELECT set_config('app.y', $1, $2)");
	ck_assert(!t.resets_local);
	touched_bound_null(&t);
	ck_assert(t.resets_local);
	end();
}
END_TEST

/* In the same text. */
START_TEST(null_comes_by_execute)
{
	static const struct {
		const char *behind;
		bool has_resets;
	} cases[] = {
		{ "SELECT 1", false },
		{ "EXECUTE p", false },
		{ "EXECUTE p('a', 2)", false },
		{ "EXECUTE p('a', NULL)", true },
		{ "EXECUTE p(f('a'))", true },
		{ "EXECUTE p(-1)", true },
		{ "EXPLAIN ANALYZE EXECUTE p(NULL)", true },
		{ "CREATE TABLE t AS EXECUTE p(NULL)", true },
	};
	char sql[200];

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		begin();
		(void)snprintf(sql, sizeof(sql),
			"SET app.y = 'a'; PREPARE p AS SELECT set_config('app.x', $1, false); %s",
			cases[i].behind);
		text(sql);
		ck_assert_msg(t.has_resets == cases[i].has_resets, "%s", sql);
		ck_assert_int_eq(touched_as(&t, "app.x"),
			cases[i].has_resets ? TOUCHED_BOTH : TOUCHED_SET);
		text("SET app.z = 'a'");
		ck_assert_int_eq(touched_as(&t, "app.z"), TOUCHED_SET);
		touched_reset_all(&t);
		ck_assert_int_eq(touched_as(&t, "app.z"), TOUCHED_BOTH);
		end();
	}
}
END_TEST

START_TEST(too_many_names_are_unknown)
{
	char sql[64];

	begin();
	for (int i = 0; i <= STATE_NAMES_MAX; i++) {
		ck_assert(!t.unknown);
		(void)snprintf(sql, sizeof(sql), "SET app.x%d = 1", i);
		text(sql);
	}
	ck_assert(t.unknown);
	ck_assert_uint_eq(t.count, STATE_NAMES_MAX);
	end();
}
END_TEST

/* What was done to a setting, and whether anything was reset at all. */
START_TEST(what_was_done_to_a_setting)
{
	static const struct {
		const char *sql;
		enum touched_as as;
		bool has_resets;
	} cases[] = {
		{ "SELECT 1", TOUCHED_NOT, false },
		{ "SET work_mem = 1", TOUCHED_SET, false },
		{ "SET LOCAL work_mem TO DEFAULT", TOUCHED_NOT, false },
		{ "RESET work_mem", TOUCHED_RESET, true },
		{ "SET Work_Mem TO DEFAULT", TOUCHED_RESET, true },
		{ "RESET other", TOUCHED_NOT, true },
		{ "SET work_mem = 1; RESET work_mem", TOUCHED_BOTH, true },
		{ "RESET work_mem; SET work_mem = 1", TOUCHED_BOTH, true },
		{ "RESET ALL", TOUCHED_RESET, true },
		{ "DISCARD ALL", TOUCHED_RESET, true },
		{ "SET work_mem = 1; RESET ALL", TOUCHED_BOTH, true },
		{ "RESET ALL; SET work_mem = 1", TOUCHED_SET, true },
		{ "RESET ALL; RESET ALL; SET work_mem = 1; RESET ALL", TOUCHED_BOTH, true },
		{ "SET other = 1; RESET ALL; RESET work_mem; RESET ALL", TOUCHED_RESET, true },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		begin();
		text(cases[i].sql);
		ck_assert_msg(touched_as(&t, "work_mem") == cases[i].as &&
				t.has_resets == cases[i].has_resets,
			"%s", cases[i].sql);
		touched_set_again(&t, "work_mem");
		ck_assert(touched_as(&t, "work_mem") == TOUCHED_SET ||
			touched_as(&t, "work_mem") == TOUCHED_BOTH);
		end();
	}
}
END_TEST

/* A DataRow of these texts; NULL is null. */
static struct frame row(const char *const *values, size_t count)
{
	static uint8_t body[4096];
	size_t at = 2;

	body[0] = 0;
	body[1] = (uint8_t)count;
	for (size_t i = 0; i < count; i++) {
		uint32_t len = values[i] == NULL ? UINT32_MAX : (uint32_t)strlen(values[i]);

		body[at++] = (uint8_t)(len >> 24);
		body[at++] = (uint8_t)(len >> 16);
		body[at++] = (uint8_t)(len >> 8);
		body[at++] = (uint8_t)len;
		if (values[i] == NULL)
			continue;
		memcpy(body + at, values[i], len);
		at += len;
	}
	return (struct frame){ .type = 'D', .body = body, .body_len = (uint32_t)at,
		.available = at };
}

static bool answer(const char *const *values, size_t count)
{
	struct frame f = row(values, count);

	return touched_answer(&t, &start, "me", &f, &now, &there);
}

START_TEST(answers_become_the_clients_settings)
{
	begin();
	text("SET app.x = 1; SET role = admin; SET work_mem = '1MB'");
	ck_assert(answer((const char *const[]){ "1", "none", "1MB" }, 3));
	ck_assert_str_eq(params_get(&now, "app.x"), "1");
	ck_assert_ptr_null(params_get(&now, "role"));
	ck_assert_str_eq(params_get(&there, "work_mem"), "1MB");
	ck_assert(now.key == there.key && now.key != 0);
	end();
}
END_TEST

START_TEST(answers_may_be_in_hex)
{
	begin();
	t.recodes = true;
	text("SET app.x = 1; SET work_mem = '1MB'; RESET app.y; SET app.y = 1");
	ck_assert(answer((const char *const[]){ "c3bc0a", "314d42", "32", "session" }, 4));
	ck_assert_str_eq(params_get(&now, "app.x"), "\xc3\xbc\n");
	ck_assert_str_eq(params_get(&now, "work_mem"), "1MB");
	ck_assert_str_eq(params_get(&now, "app.y"), "2");
	end();
	begin();
	t.recodes = true;
	text("SET app.x = 1");
	ck_assert(!answer((const char *const[]){ "c3bg" }, 1));
	ck_assert(!answer((const char *const[]){ "c300" }, 1));
	ck_assert(!answer((const char *const[]){ "c3b" }, 1));
	end();
}
END_TEST

enum { MANY = 6000 };

/* A DataRow of so many columns of one letter. */
static struct frame long_row(uint32_t count)
{
	static uint8_t body[2 + MANY * 5] = { 0 };

	body[0] = (uint8_t)(count >> 8);
	body[1] = (uint8_t)count;
	for (uint32_t i = 0; i < count; i++)
		memcpy(body + 2 + (size_t)i * 5, "\0\0\0\1y", 5);
	return (struct frame){ .type = 'D', .body = body, .body_len = 2 + count * 5,
		.available = 2 + (size_t)count * 5 };
}

/* Others wait meanwhile. */
START_TEST(many_settings_take_no_long_time)
{
	char name[64];
	struct frame f;
	clock_t since;

	begin();
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof(name), "a.v%d", i);
		ck_assert(params_add(&now, name, "x"));
	}
	ck_assert(params_copy(&start, &now));
	since = clock();
	for (int i = 0; i < STATE_NAMES_MAX; i++) {
		(void)snprintf(name, sizeof(name), "SET A.V%d = 'y'", MANY - 1 - i);
		text(name);
	}
	t.all = true;
	f = long_row(MANY);
	ck_assert(touched_has_question(&t, &now));
	ck_assert(touched_answer(&t, &start, "me", &f, &now, &there));
	ck_assert_msg(clock() - since < CLOCKS_PER_SEC / 2, "%g s",
		(double)(clock() - since) / CLOCKS_PER_SEC);
	ck_assert_str_eq(params_get(&now, "a.v5999"), "y");
	ck_assert_str_eq(params_get(&there, "a.v5200"), "y");
	ck_assert_str_eq(params_get(&now, "a.v5199"), "x");
	ck_assert_ptr_null(params_get(&there, "a.v5199"));
	end();
}
END_TEST

START_TEST(reset_goes_back_to_the_startup_value_that_the_server_has_not)
{
	begin();
	ck_assert(params_set(&start, "DateStyle", "German, DMY"));
	ck_assert(params_set(&now, "DateStyle", "ISO, YMD"));
	text("RESET DateStyle");
	ck_assert(answer((const char *const[]){ "ISO, MDY" }, 1));
	ck_assert_str_eq(params_get(&now, "DateStyle"), "German, DMY");
	ck_assert_ptr_null(params_get(&there, "DateStyle"));
	end();
}
END_TEST

START_TEST(reset_that_was_rolled_back_changes_nothing)
{
	begin();
	ck_assert(params_set(&now, "app.x", "1"));
	text("RESET ALL");
	ck_assert(answer((const char *const[]){ "1" }, 1));
	ck_assert_str_eq(params_get(&now, "app.x"), "1");
	ck_assert_str_eq(params_get(&there, "app.x"), "1");
	end();
}
END_TEST

START_TEST(both_is_told_by_the_source)
{
	begin();
	text("SET work_mem = '1MB'; RESET work_mem");
	ck_assert(answer((const char *const[]){ "1MB", "session" }, 2));
	ck_assert_str_eq(params_get(&now, "work_mem"), "1MB");
	ck_assert(answer((const char *const[]){ "4MB", "default" }, 2));
	ck_assert_ptr_null(params_get(&now, "work_mem"));
	end();
}
END_TEST

/* Behind an error there is one column each, null when nobody has set it. */
START_TEST(what_was_refused_is_not_kept)
{
	begin();
	ck_assert(params_set(&start, "work_mem", "2MB"));
	ck_assert(params_set(&now, "work_mem", "3MB"));
	text("SET log_statement = 'all'; SET role = x; SET app.x = 1; RESET app.x; "
	     "SET geqo = off; RESET geqo; RESET work_mem");
	t.has_errors = true;
	ck_assert(answer((const char *const[]){ NULL, "none", "1", "off", "3MB" }, 5));
	ck_assert_ptr_null(params_get(&now, "log_statement"));
	ck_assert_ptr_null(params_get(&now, "role"));
	ck_assert_str_eq(params_get(&now, "app.x"), "1");
	ck_assert_str_eq(params_get(&now, "geqo"), "off");
	ck_assert_str_eq(params_get(&there, "work_mem"), "3MB");
	ck_assert(answer((const char *const[]){ NULL, "x", "", NULL, NULL }, 5));
	ck_assert_str_eq(params_get(&now, "role"), "x");
	ck_assert_ptr_null(params_get(&now, "app.x"));
	ck_assert_ptr_null(params_get(&now, "geqo"));
	ck_assert_str_eq(params_get(&now, "work_mem"), "2MB");
	ck_assert_ptr_null(params_get(&there, "work_mem"));
	end();
}
END_TEST

/* The client has it no more, though it brought it. */
START_TEST(what_was_emptied_stays_so_where_it_never_was)
{
	static const char *const values[] = { NULL, "" };

	for (size_t i = 0; i < COUNT_OF(values); i++) {
		begin();
		ck_assert(params_set(&start, "app.x", "1"));
		text("SET app.x = 2");
		t.has_errors = true;
		ck_assert(answer(&values[i], 1));
		ck_assert_ptr_null(params_get(&now, "app.x"));
		end();
	}
}
END_TEST

/* Each tag is that of one, as far as it can be. */
START_TEST(what_was_bound_waits_for_its_tag)
{
	begin();
	text("SET work_mem = '1MB'");
	touched_bound(&t);
	text("SELECT set_config('geqo', 'off', false)");
	touched_bound(&t);
	ck_assert(touched_is_awaited(&t));
	touched_ran(&t, false);
	touched_ran(&t, false);
	ck_assert(touched_is_awaited(&t));
	touched_ran(&t, true);
	ck_assert(!touched_is_awaited(&t));
	text("RESET work_mem");
	touched_bound(&t);
	touched_ran(&t, false);
	ck_assert(touched_is_awaited(&t));
	touched_undone(&t);
	ck_assert(t.has_errors);
	touched_finish(&t);
	ck_assert(!touched_is_awaited(&t));
	touched_undone(&t);
	ck_assert(!t.has_errors);
	end();
}
END_TEST

/* First the names, then what they are. */
START_TEST(view_is_asked_for_names)
{
	static const char *const some[] = { "work_mem,lock_timeout" }, *const none[] = { NULL },
				 *const two[] = { "a", "b" };
	struct frame f;

	begin();
	ck_assert(params_set(&now, "statement_timeout", "60s"));
	ck_assert(params_set(&now, "app.x", "x"));
	ck_assert(params_set(&now, "role", "r"));
	text("UPDATE pg_settings SET setting = '1' WHERE name = 'work_mem'");
	ck_assert(touched_has_question(&t, &now) && t.has_resets);
	ck_assert_int_eq(touched_as(&t, "whatever"), TOUCHED_BOTH);
	f = row(two, 2);
	ck_assert(!touched_names(&t, &now, &f));
	f = row(some, 1);
	for (uint32_t len = 0; len < f.body_len; len++) {
		struct frame cut = f;

		cut.body_len = len;
		cut.available = len;
		ck_assert(!touched_names(&t, &now, &cut));
	}
	ck_assert(t.of_view);
	ck_assert(touched_names(&t, &now, &f));
	ck_assert(!t.of_view && t.has_more);
	ck_assert_str_eq(names(), "bstatement_timeout bapp.x bwork_mem block_timeout");
	ck_assert(answer((const char *const[]){ "60s", "session", "x", NULL, "5MB", "session", "7s",
				 "default" }, 8));
	ck_assert_str_eq(params_get(&now, "work_mem"), "5MB");
	ck_assert_ptr_null(params_get(&now, "lock_timeout"));
	ck_assert_str_eq(params_get(&now, "statement_timeout"), "60s");
	ck_assert_str_eq(params_get(&now, "app.x"), "x");
	ck_assert_str_eq(params_get(&now, "role"), "r");
	end();
	begin();
	text("UPDATE pg_settings SET setting = NULL");
	f = row(none, 1);
	ck_assert(touched_names(&t, &now, &f));
	ck_assert(touched_is_empty(&t));
	end();
}
END_TEST

START_TEST(answers_that_make_no_sense_are_refused)
{
	static const char *const one[] = { "1" }, *const two[] = { "1", "2" };
	struct frame f;

	begin();
	text("SET app.x = 1");
	ck_assert(!answer(two, 2));
	ck_assert(!answer(one, 0));
	/* Cut at every byte. */
	f = row(one, 1);
	for (uint32_t len = 0; len < f.body_len; len++) {
		struct frame cut = f;

		cut.body_len = len;
		cut.available = len;
		ck_assert(!touched_answer(&t, &start, "me", &cut, &now, &there));
	}
	end();
}
END_TEST

Suite *state_suite(void)
{
	Suite *s = suite_create("session/state");
	TCase *tc = tcase_create("state");

	tcase_add_loop_test(tc, texts_name_what_they_may_set, 0, (int)COUNT_OF(texts));
	tcase_add_test(tc, what_is_read_otherwise);
	tcase_add_test(tc, what_is_planned_under_what_a_text_sets);
	tcase_add_test(tc, what_changes_where_strings_end);
	tcase_add_test(tc, names_may_be_parameters);
	tcase_add_test(tc, names_are_taken_as_text_only);
	tcase_add_test(tc, calls_may_reset_and_may_do_nothing);
	tcase_add_test(tc, null_comes_behind_its_text);
	tcase_add_test(tc, null_comes_by_execute);
	tcase_add_test(tc, too_many_names_are_unknown);
	tcase_add_test(tc, what_was_done_to_a_setting);
	tcase_add_test(tc, answers_become_the_clients_settings);
	tcase_add_test(tc, answers_may_be_in_hex);
	tcase_add_test(tc, many_settings_take_no_long_time);
	tcase_add_test(tc, reset_goes_back_to_the_startup_value_that_the_server_has_not);
	tcase_add_test(tc, reset_that_was_rolled_back_changes_nothing);
	tcase_add_test(tc, both_is_told_by_the_source);
	tcase_add_test(tc, what_was_refused_is_not_kept);
	tcase_add_test(tc, what_was_emptied_stays_so_where_it_never_was);
	tcase_add_test(tc, answers_that_make_no_sense_are_refused);
	tcase_add_test(tc, what_was_bound_waits_for_its_tag);
	tcase_add_test(tc, view_is_asked_for_names);
	suite_add_tcase(s, tc);
	return s;
}
