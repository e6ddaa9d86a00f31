/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "session/prepared.h"
#include "suites.h"

static struct prepared_registry *registry;
static uint64_t bytes_before;

static void begin(void)
{
	bytes_before = prepared_bytes();
	registry = prepared_registry_create();
	ck_assert_ptr_nonnull(registry);
}

/* All that was made is gone. */
static void end(void)
{
	prepared_registry_release(registry);
	ck_assert_uint_eq(prepared_bytes(), bytes_before);
}

static struct prepared *get(const char *text, uint64_t key)
{
	struct prepared *p = prepared_get(registry, text, strlen(text) + 1, key, 1);

	ck_assert_ptr_nonnull(p);
	return p;
}

/* --- the registry --------------------------------------------------------------------- */

START_TEST(equal_statements_are_one)
{
	struct prepared *a, *b, *other_text, *other_state;

	begin();
	a = get("SELECT 1", 7);
	ck_assert(prepared_is_mine_only(a));
	b = get("SELECT 1", 7);
	ck_assert_ptr_eq(a, b);
	ck_assert(!prepared_is_mine_only(a));
	other_text = get("SELECT 2", 7);
	other_state = get("SELECT 1", 8);
	ck_assert_ptr_ne(a, other_text);
	ck_assert_ptr_ne(a, other_state);
	ck_assert_str_ne(a->name, other_state->name);
	prepared_unref(a);
	ck_assert_ptr_eq(get("SELECT 1", 7), b);
	prepared_unref(b);
	prepared_unref(b);
	prepared_unref(other_text);
	prepared_unref(other_state);
	prepared_unref(NULL);
	end();
}
END_TEST

START_TEST(bodies_may_have_any_bytes)
{
	static const uint8_t one[] = "SELECT $1\0\0\1\0\0\0\x17";
	static const uint8_t two[] = "SELECT $1\0\0\1\0\0\0\x19";
	struct prepared *a, *b;

	begin();
	a = prepared_get(registry, one, sizeof(one), 0, 1);
	b = prepared_get(registry, two, sizeof(two), 0, 1);
	ck_assert_ptr_ne(a, b);
	ck_assert_uint_eq(a->len, sizeof(one));
	ck_assert_mem_eq(a->body, one, sizeof(one));
	prepared_unref(a);
	prepared_unref(b);
	a = prepared_get(registry, "", 0, 0, 1);
	ck_assert_uint_eq(a->len, 0);
	prepared_unref(a);
	end();
}
END_TEST

START_TEST(a_retired_statement_is_made_anew)
{
	struct prepared *old, *new;

	begin();
	old = get("SELECT 1", 0);
	prepared_retire(old, true);
	prepared_retire(old, false);
	ck_assert(atomic_load(&old->is_retired) && atomic_load(&old->is_stale));
	new = get("SELECT 1", 0);
	ck_assert_ptr_ne(old, new);
	ck_assert_str_ne(old->name, new->name);
	prepared_unref(old);
	ck_assert_ptr_eq(get("SELECT 1", 0), new);
	prepared_unref(new);
	prepared_unref(new);
	end();
}
END_TEST

START_TEST(who_prepares_after_ddl_gets_another_one)
{
	struct prepared *old, *new;

	begin();
	old = get("SELECT * FROM t", 0);
	prepared_schema_changed();
	new = get("SELECT * FROM t", 0);
	ck_assert_ptr_ne(old, new);
	/* Whoever has the old one may go on with it. */
	ck_assert(!atomic_load(&old->is_retired));
	ck_assert_ptr_eq(get("SELECT * FROM t", 0), new);
	prepared_unref(old);
	prepared_unref(new);
	prepared_unref(new);
	end();
}
END_TEST

START_TEST(one_alone_is_nobody_elses)
{
	struct prepared *alone, *shared;

	begin();
	alone = prepared_get_alone(registry, "SELECT 'now'", 13, 7);
	shared = get("SELECT 'now'", 0);
	ck_assert_ptr_ne(alone, shared);
	ck_assert(alone->is_alone && !shared->is_alone);
	prepared_retire(alone, false);
	prepared_unref(alone);
	prepared_unref(shared);
	end();
}
END_TEST

START_TEST(a_registry_lives_as_long_as_its_statements)
{
	struct prepared *p;

	begin();
	p = get("SELECT 1", 0);
	prepared_registry_release(registry);
	ck_assert_uint_gt(prepared_bytes(), bytes_before);
	prepared_unref(p);
	ck_assert_uint_eq(prepared_bytes(), bytes_before);
}
END_TEST

START_TEST(our_names_are_told_from_others)
{
	struct prepared *p;

	begin();
	p = get("SELECT 1", 0);
	ck_assert(prepared_is_our_name(p->name));
	ck_assert(prepared_is_our_name(prepared_no_name()));
	ck_assert_str_ne(p->name, prepared_no_name());
	ck_assert(prepared_is_our_name(prepared_text_name()));
	ck_assert_str_ne(prepared_text_name(), prepared_no_name());
	ck_assert(!prepared_is_our_name("pgtandem_"));
	ck_assert(!prepared_is_our_name("Pgtandem_s1"));
	ck_assert(!prepared_is_our_name(""));
	prepared_unref(p);
	end();
}
END_TEST

static const struct {
	const char *text;
	bool may;
} namings[] = {
	{ "PREPARE p AS SELECT 1", true },
	{ "eXeCuTe p", true },
	{ "x EXECUTE", true },
	{ "DEALLOCATE ALL", true },
	{ "SELECT 1; deallocate prepare p", true },
	{ "SELECT name FROM pg_prepared_statements", true },
	{ "DO $$ BEGIN EXECUTE 'x'; END $$", true },
	{ "SELECT xp, dx, epx FROM depart", false },
	{ "EXECUT", false },
	{ "xecute", false },
	{ "PREPAR", false },
	{ "DEALLOCAT", false },
	{ "", false },
};

START_TEST(texts_that_may_name_statements)
{
	const char *text = namings[_i].text;

	ck_assert_msg(prepared_may_name(text, strlen(text)) == namings[_i].may, "%s", text);
	/* Cut at every byte, in memory of its own. */
	for (size_t len = 0; len < strlen(text); len++) {
		char *cut = malloc(len + 1);

		ck_assert_ptr_nonnull(cut);
		memcpy(cut, text, len);
		(void)prepared_may_name(cut, len);
		free(cut);
	}
}
END_TEST

START_TEST(what_sql_has_prepared_is_one_clients)
{
	const char *text = "PREPARE p AS SELECT 1; rest";
	size_t len = strlen("PREPARE p AS SELECT 1");
	struct prepared *one, *two;

	begin();
	one = prepared_get_sql(registry, text, len);
	two = prepared_get_sql(registry, text, len);
	ck_assert_ptr_ne(one, two);
	ck_assert(one->is_sql && one->is_alone && one->may_name);
	/* The text with its end, and no types. */
	ck_assert_uint_eq(one->len, len + 3);
	ck_assert_int_eq(memcmp(one->body, "PREPARE p AS SELECT 1\0\0\0", len + 3), 0);
	prepared_unref(one);
	prepared_unref(two);
	end();
}
END_TEST

START_TEST(acts_hold_their_statement)
{
	struct prepared *p;
	struct prepared_act *act;

	begin();
	p = get("SELECT 1", 0);
	act = prepared_act_create(PREPARED_MAKES, "p", prepared_ref(p));
	ck_assert(!prepared_is_mine_only(p));
	prepared_act_unref(prepared_act_ref(act));
	ck_assert(!prepared_is_mine_only(p));
	prepared_act_unref(act);
	prepared_act_unref(NULL);
	ck_assert(prepared_is_mine_only(p));
	prepared_unref(p);
	end();
}
END_TEST

/* --- names ------------------------------------------------------------------------------- */

START_TEST(names_are_found_and_go)
{
	struct prepared_names names = { .bytes = 0 };
	struct prepared_name *a, *b;

	begin();
	ck_assert_ptr_null(prepared_names_find(&names, "a"));
	ck_assert(prepared_names_are_none(&names));
	prepared_names_clear(&names);
	a = prepared_names_add(&names, "a", get("SELECT 1", 0));
	b = prepared_names_add(&names, "B", get("SELECT 1", 0));
	ck_assert_ptr_eq(prepared_names_find(&names, "a"), a);
	ck_assert_ptr_eq(prepared_names_find(&names, "B"), b);
	ck_assert_ptr_null(prepared_names_find(&names, "b"));
	ck_assert_uint_gt(names.bytes, 0);
	prepared_names_unlink(&names, a);
	ck_assert_ptr_null(prepared_names_find(&names, "a"));
	prepared_names_clear(&names);
	ck_assert_uint_eq(names.bytes, 0);
	ck_assert(prepared_names_are_none(&names));
	end();
}
END_TEST

START_TEST(names_count_as_far_as_postgresql_reads_them)
{
	struct prepared_names names = { .bytes = 0 };
	char name[200];
	struct prepared_name *n;

	begin();
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	n = prepared_names_add(&names, name, get("SELECT 1", 0));
	ck_assert_uint_eq(n->len, PREPARED_NAME_MAX);
	ck_assert_uint_eq(strlen(n->text), PREPARED_NAME_MAX);
	name[63] = '\0';
	ck_assert_ptr_eq(prepared_names_find(&names, name), n);
	name[62] = '\0';
	ck_assert_ptr_null(prepared_names_find(&names, name));
	prepared_names_clear(&names);
	end();
}
END_TEST

START_TEST(a_name_comes_back_unless_given_again)
{
	struct prepared_names names = { .bytes = 0 };
	struct prepared_name *old, *new;
	uint64_t bytes;

	begin();
	old = prepared_name_ref(prepared_names_add(&names, "a", get("SELECT 1", 0)));
	bytes = names.bytes;
	prepared_names_unlink(&names, old);
	prepared_names_unlink(&names, old);
	ck_assert_uint_eq(names.bytes, 0);
	prepared_names_relink(&names, old);
	prepared_names_relink(&names, old);
	ck_assert_ptr_eq(prepared_names_find(&names, "a"), old);
	ck_assert_uint_eq(names.bytes, bytes);
	prepared_names_unlink(&names, old);
	new = prepared_names_add(&names, "a", get("SELECT 2", 0));
	prepared_names_relink(&names, old);
	ck_assert_ptr_eq(prepared_names_find(&names, "a"), new);
	/* Also into a map that was emptied. */
	prepared_names_clear(&names);
	prepared_names_relink(&names, old);
	ck_assert_ptr_eq(prepared_names_find(&names, "a"), old);
	prepared_names_clear(&names);
	prepared_name_unref(old);
	prepared_name_unref(NULL);
	end();
}
END_TEST

/* Dropped, and given again before the answer: when both fail it is what it was. */
START_TEST(a_name_is_hidden_by_one_that_may_come_to_nothing)
{
	struct prepared_names names = { .bytes = 0 };
	struct prepared_name *old, *new, *third;

	begin();
	old = prepared_name_ref(prepared_names_add(&names, "a", get("SELECT 1", 0)));
	new = prepared_name_create("a", get("SELECT 2", 0));
	third = prepared_name_create("a", get("SELECT 3", 0));
	prepared_names_unlink(&names, old);
	prepared_names_relink(&names, new);
	/* The first has failed, and then the second. */
	prepared_names_relink(&names, old);
	ck_assert_ptr_eq(prepared_names_find(&names, "a"), new);
	prepared_names_undo(&names, new);
	ck_assert_ptr_eq(prepared_names_find(&names, "a"), old);
	/* One that was never there hides nothing, and leaves nothing. */
	prepared_names_relink(&names, third);
	ck_assert_ptr_eq(prepared_names_find(&names, "a"), old);
	prepared_names_undo(&names, third);
	ck_assert_uint_eq(third->refs, 1);
	prepared_names_undo(&names, old);
	ck_assert_ptr_null(prepared_names_find(&names, "a"));
	prepared_name_unref(old);
	prepared_name_unref(new);
	prepared_name_unref(third);
	prepared_names_clear(&names);
	end();
}
END_TEST

START_TEST(a_name_may_get_another_statement)
{
	struct prepared_names names = { .bytes = 0 };
	struct prepared_name *n;
	uint64_t bytes;

	begin();
	n = prepared_names_add(&names, "a", get("SELECT 1", 0));
	bytes = names.bytes;
	prepared_names_set(&names, n, get("SELECT 123", 0));
	ck_assert_uint_eq(names.bytes, bytes + 2);
	ck_assert_uint_eq(n->statement->len, 11);
	prepared_names_clear(&names);
	ck_assert_uint_eq(names.bytes, 0);
	end();
}
END_TEST

START_TEST(many_names)
{
	enum { MANY = 20000 };
	struct prepared_names names = { .bytes = 0 };
	char name[32];

	begin();
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof(name), "name%d", i);
		prepared_names_add(&names, name, get(i % 2 ? "SELECT 1" : "SELECT 2", 0));
	}
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof(name), "name%d", i);
		ck_assert_str_eq(prepared_names_find(&names, name)->text, name);
	}
	prepared_names_clear(&names);
	end();
}
END_TEST

/* --- sets ---------------------------------------------------------------------------------- */

START_TEST(a_set_knows_what_was_used_last)
{
	struct prepared_set set;
	struct prepared *p[3];

	begin();
	prepared_set_init(&set);
	ck_assert_ptr_null(prepared_set_oldest(&set));
	for (int i = 0; i < 3; i++) {
		char text[24];

		(void)snprintf(text, sizeof(text), "SELECT %d", i);
		p[i] = get(text, 0);
		ck_assert(!prepared_set_use(&set, p[i]));
		ck_assert(prepared_set_add(&set, p[i]));
		ck_assert(prepared_set_add(&set, p[i]));
	}
	ck_assert_uint_eq(set.count, 3);
	ck_assert_uint_eq(set.bytes, 3 * sizeof("SELECT 0"));
	ck_assert_ptr_eq(prepared_set_oldest(&set), p[0]);
	ck_assert(prepared_set_use(&set, p[0]));
	ck_assert_ptr_eq(prepared_set_oldest(&set), p[1]);
	prepared_set_remove(&set, p[1]);
	prepared_set_remove(&set, p[1]);
	ck_assert_ptr_eq(prepared_set_oldest(&set), p[2]);
	ck_assert_uint_eq(set.count, 2);
	/* It holds what nobody else has. */
	for (int i = 0; i < 3; i++)
		prepared_unref(p[i]);
	ck_assert_str_eq((char *)prepared_set_oldest(&set)->body, "SELECT 2");
	prepared_set_clear(&set);
	ck_assert_uint_eq(set.count, 0);
	ck_assert_uint_eq(set.bytes, 0);
	prepared_set_clear(&set);
	end();
}
END_TEST

/* --- threads --------------------------------------------------------------------------------- */

enum { THREADS = 4, TURNS = 4000, TEXTS = 6 };

static void retire_oldest(struct prepared_set *set)
{
	if (set->count > 0)
		prepared_retire(prepared_set_oldest(set), false);
}

/* A client's and a server's part of the life of statements that all threads share. */
static void *work(void *arg)
{
	struct prepared_names names = { .bytes = 0 };
	struct prepared_set set;
	struct rand_small r;

	rand_small_init(&r, (uint64_t)(uintptr_t)arg);
	prepared_set_init(&set);
	for (int i = 0; i < TURNS; i++) {
		uint64_t k = rand_small_below(&r, TEXTS);
		struct prepared_name *n;
		char text[16], name[16];

		(void)snprintf(text, sizeof(text), "SELECT %d", (int)k);
		(void)snprintf(name, sizeof(name), "n%d", (int)rand_small_below(&r, 4));
		n = prepared_names_find(&names, name);
		if (n != NULL) {
			ck_assert(prepared_set_add(&set, n->statement));
			prepared_names_unlink(&names, n);
		} else {
			n = prepared_names_add(&names, name, get(text, 0));
			ck_assert_str_eq((char *)n->statement->body, text);
		}
		if (rand_small_below(&r, 50) == 0)
			retire_oldest(&set);
		if (rand_small_below(&r, 50) == 0)
			prepared_schema_changed();
		while (set.count > 2)
			prepared_set_remove(&set, prepared_set_oldest(&set));
	}
	prepared_names_clear(&names);
	prepared_set_clear(&set);
	return NULL;
}

START_TEST(threads_share_statements)
{
	pthread_t threads[THREADS];

	begin();
	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, work, (void *)(i + 1)), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	end();
}
END_TEST

/* Nobody finds it any more; but who has found it before has it, too. */
START_TEST(one_is_kept_for_its_client)
{
	struct prepared *a, *b, *c;

	begin();
	a = get("SELECT 1", 0);
	ck_assert(!prepared_seclude(a, 2));
	ck_assert(prepared_seclude(a, 1));
	ck_assert(a->is_alone);
	b = get("SELECT 1", 0);
	ck_assert_ptr_ne(a, b);
	c = prepared_get(registry, "SELECT 1", 9, 0, 2);
	ck_assert_ptr_eq(b, c);
	ck_assert(!prepared_seclude(b, 1));
	ck_assert(!prepared_seclude(b, 2));
	prepared_unref(c);
	ck_assert(!prepared_seclude(b, 1));
	prepared_unref(a);
	prepared_unref(b);
	end();
}
END_TEST

Suite *prepared_suite(void)
{
	Suite *s = suite_create("session/prepared");
	TCase *tc = tcase_create("registry");

	tcase_add_test(tc, equal_statements_are_one);
	tcase_add_test(tc, bodies_may_have_any_bytes);
	tcase_add_test(tc, a_retired_statement_is_made_anew);
	tcase_add_test(tc, who_prepares_after_ddl_gets_another_one);
	tcase_add_test(tc, one_alone_is_nobody_elses);
	tcase_add_test(tc, a_registry_lives_as_long_as_its_statements);
	tcase_add_test(tc, our_names_are_told_from_others);
	tcase_add_test(tc, one_is_kept_for_its_client);
	tcase_add_test(tc, threads_share_statements);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	tc = tcase_create("names");
	tcase_add_loop_test(tc, texts_that_may_name_statements, 0, (int)COUNT_OF(namings));
	tcase_add_test(tc, what_sql_has_prepared_is_one_clients);
	tcase_add_test(tc, acts_hold_their_statement);
	tcase_add_test(tc, names_are_found_and_go);
	tcase_add_test(tc, names_count_as_far_as_postgresql_reads_them);
	tcase_add_test(tc, a_name_comes_back_unless_given_again);
	tcase_add_test(tc, a_name_is_hidden_by_one_that_may_come_to_nothing);
	tcase_add_test(tc, a_name_may_get_another_statement);
	tcase_add_test(tc, many_names);
	tcase_add_test(tc, a_set_knows_what_was_used_last);
	suite_add_tcase(s, tc);
	return s;
}
