/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "session/steps.h"
#include "suites.h"

static struct prepared_registry *registry;
static struct prepared_names names;
static struct prepared *p;
static struct prepared_name *n;
static struct steps q;
static char undone[256];

static void begin(void)
{
	registry = prepared_registry_create();
	ck_assert_ptr_nonnull(registry);
	p = prepared_get(registry, "SELECT 1", 9, 0, 1);
	n = prepared_names_add(&names, "name", prepared_ref(p));
	q = (struct steps){ .count = 0 };
	undone[0] = '\0';
}

/* What steps held is given back. */
static void end(void)
{
	steps_finish(&q);
	ck_assert_uint_eq(n->refs, 1);
	prepared_names_clear(&names);
	ck_assert(prepared_is_mine_only(p));
	prepared_unref(p);
	prepared_registry_release(registry);
	ck_assert_uint_eq(prepared_bytes(), 0);
}

static void push(enum step_kind kind)
{
	bool is_end = kind == STEP_END_SYNC || kind == STEP_END_QUERY;

	ck_assert(steps_push(&q, kind, 0, is_end ? NULL : p, is_end ? NULL : n));
}

static void note(const struct step *step, void *arg)
{
	char text[16];

	ck_assert_ptr_eq(arg, &q);
	(void)snprintf(text, sizeof(text), "%d ", (int)step->kind);
	strcat(undone, text);
}

static void note_ended(struct step *step, void *arg)
{
	note(step, arg);
}

static const char *list(const enum step_kind *kinds, size_t count)
{
	static char text[256];

	text[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		char one[16];

		(void)snprintf(one, sizeof(one), "%d ", (int)kinds[i]);
		strcat(text, one);
	}
	return text;
}

#define LIST(...)                                                                        \
	list((const enum step_kind[]){ __VA_ARGS__ },                                    \
		COUNT_OF(((const enum step_kind[]){ __VA_ARGS__ })))

static const struct {
	enum step_kind kind;
	char reply;
	enum step_verdict verdict;
} meanings[] = {
	{ STEP_PARSE, '1', STEP_FORWARD },
	{ STEP_PARSE_OURS, '1', STEP_DROP },
	{ STEP_PARSE_FAKED, '3', STEP_AS_PARSE },
	{ STEP_UNNAMED, '1', STEP_FORWARD },
	{ STEP_UNNAMED_FIRST, '1', STEP_FORWARD },
	{ STEP_UNNAMED_OURS, '1', STEP_DROP },
	{ STEP_BIND, '2', STEP_FORWARD },
	{ STEP_DESCRIBE, 't', STEP_FORWARD },
	{ STEP_BIND_SHARED, '2', STEP_FORWARD },
	{ STEP_DESCRIBE_SHARED, 't', STEP_FORWARD },
	{ STEP_CLOSE, '3', STEP_FORWARD },
	{ STEP_CLOSE_UNNAMED, '3', STEP_FORWARD },
	{ STEP_CLOSE_OURS, '3', STEP_DROP },
	{ STEP_BIND_OURS, '2', STEP_DROP },
	{ STEP_TEXT_PARSE, '1', STEP_DROP },
	{ STEP_TEXT_CLOSE, '3', STEP_DROP },
	{ STEP_SQL_PARSE, '1', STEP_DROP },
	{ STEP_SQL_AGAIN, 'C', STEP_DROP },
	{ STEP_SQL_END, 'C', STEP_DROP },
	{ STEP_SQL_CLOSE, '3', STEP_DROP },
	{ STEP_SQL_PREPARE, 'C', STEP_FORWARD },
	{ STEP_SQL_DROP, 'C', STEP_FORWARD },
	{ STEP_DEALLOCATE, 'C', STEP_AS_DEALLOCATE },
	{ STEP_DEALLOCATE_ALL, 'C', STEP_AS_DEALLOCATE_ALL },
};

START_TEST(a_reply_means_what_was_sent)
{
	static const char replies[] = "123tC";

	begin();
	for (const char *reply = replies; *reply != '\0'; reply++) {
		push(meanings[_i].kind);
		if (*reply == meanings[_i].reply) {
			ck_assert_int_eq(steps_received(&q, (uint8_t)*reply),
				meanings[_i].verdict);
			steps_described(&q);
			ck_assert_uint_eq(q.count, 0);
			continue;
		}
		/* Nothing of the kind was asked for; results are others'. */
		ck_assert_int_eq(steps_received(&q, (uint8_t)*reply),
			*reply == 'C' ? STEP_FORWARD : STEP_UNEXPECTED);
		ck_assert_uint_eq(q.count, 1);
		steps_finish(&q);
	}
	end();
}
END_TEST

START_TEST(a_description_ends_with_its_columns)
{
	begin();
	push(STEP_DESCRIBE);
	push(STEP_DESCRIBE);
	/* Of a portal, before it. */
	steps_described(&q);
	ck_assert_uint_eq(q.count, 2);
	ck_assert_int_eq(steps_received(&q, 't'), STEP_FORWARD);
	ck_assert_uint_eq(q.count, 2);
	steps_described(&q);
	ck_assert_uint_eq(q.count, 1);
	/* It fails behind its parameters: it is this one that fails. */
	ck_assert_int_eq(steps_received(&q, 't'), STEP_FORWARD);
	ck_assert_int_eq((int)steps_head(&q).kind, STEP_DESCRIBE);
	steps_fail(&q, note, &q);
	ck_assert_uint_eq(q.count, 0);
	ck_assert(!steps_described(&q));
	/* Whose it was is told. */
	push(STEP_DESCRIBE);
	push(STEP_DESCRIBE_SHARED);
	ck_assert_int_eq(steps_received(&q, 't'), STEP_FORWARD);
	ck_assert(!steps_described(&q));
	ck_assert_int_eq(steps_received(&q, 't'), STEP_FORWARD);
	ck_assert(steps_described(&q));
	ck_assert_uint_eq(q.count, 0);
	end();
}
END_TEST

START_TEST(nothing_answers_what_is_to_fail)
{
	static const enum step_kind kinds[] = { STEP_REFUSED, STEP_DUPLICATE, STEP_STALE, STEP_END_QUERY,
		STEP_END_SYNC };

	begin();
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		push(kinds[i]);
		for (const char *reply = "123t"; *reply != '\0'; reply++)
			ck_assert_int_eq(
				steps_received(&q, (uint8_t)*reply), STEP_UNEXPECTED);
		ck_assert_int_eq(steps_received(&q, 'C'), STEP_FORWARD);
		ck_assert_int_eq((int)steps_head(&q).kind, (int)kinds[i]);
		steps_finish(&q);
	}
	ck_assert_int_eq(steps_received(&q, '1'), STEP_UNEXPECTED);
	ck_assert_int_eq((int)steps_head(&q).kind, STEP_END_SYNC);
	end();
}
END_TEST

START_TEST(replies_come_in_order_over_any_length)
{
	begin();
	for (int turn = 0; turn < 5; turn++) {
		for (int i = 0; i < 100; i++) {
			push(STEP_PARSE_OURS);
			push(STEP_BIND);
			push(STEP_CLOSE);
		}
		push(STEP_END_SYNC);
		for (int i = 0; i < 100; i++) {
			ck_assert_int_eq(steps_received(&q, '1'), STEP_DROP);
			ck_assert_int_eq(steps_received(&q, '2'), STEP_FORWARD);
			ck_assert_int_eq(steps_received(&q, '3'), STEP_FORWARD);
		}
		steps_ended(&q, NULL, NULL);
		ck_assert_uint_eq(q.count, 0);
	}
	end();
}
END_TEST

START_TEST(ready_ends_one_exchange)
{
	begin();
	push(STEP_BIND);
	push(STEP_END_SYNC);
	push(STEP_PARSE);
	push(STEP_END_QUERY);
	push(STEP_CLOSE);
	steps_ended(&q, NULL, NULL);
	ck_assert_int_eq((int)steps_head(&q).kind, STEP_PARSE);
	steps_ended(&q, NULL, NULL);
	ck_assert_int_eq((int)steps_head(&q).kind, STEP_CLOSE);
	steps_ended(&q, NULL, NULL);
	steps_ended(&q, NULL, NULL);
	ck_assert_uint_eq(q.count, 0);
	end();
}
END_TEST

START_TEST(an_error_undoes_up_to_sync_the_last_first)
{
	begin();
	push(STEP_BIND);
	push(STEP_PARSE);
	push(STEP_END_QUERY);
	push(STEP_CLOSE);
	push(STEP_END_SYNC);
	push(STEP_PARSE_FAKED);
	push(STEP_END_SYNC);
	steps_fail(&q, note, &q);
	ck_assert_str_eq(undone, LIST(STEP_CLOSE, STEP_END_QUERY, STEP_PARSE, STEP_BIND));
	ck_assert_int_eq((int)steps_head(&q).kind, STEP_END_SYNC);
	undone[0] = '\0';
	/* Nothing is left to undo of this one. */
	steps_fail(&q, note, &q);
	ck_assert_str_eq(undone, "");
	steps_ended(&q, NULL, NULL);
	steps_fail(&q, note, &q);
	ck_assert_str_eq(undone, LIST(STEP_PARSE_FAKED));
	end();
}
END_TEST

START_TEST(an_open_exchange_is_undone_to_its_end)
{
	begin();
	push(STEP_PARSE);
	push(STEP_BIND);
	steps_fail(&q, note, &q);
	ck_assert_str_eq(undone, LIST(STEP_BIND, STEP_PARSE));
	ck_assert_uint_eq(q.count, 0);
	end();
}
END_TEST

/* What has run stays; what is behind the Query is another exchange's. */
START_TEST(an_error_in_a_query_undoes_the_rest_of_it)
{
	begin();
	push(STEP_SQL_PREPARE);
	push(STEP_SQL_DROP);
	push(STEP_SQL_PREPARE);
	push(STEP_END_QUERY);
	push(STEP_PARSE);
	push(STEP_END_SYNC);
	ck_assert_int_eq(steps_received(&q, 'C'), STEP_FORWARD);
	steps_fail_query(&q, note, &q);
	ck_assert_str_eq(undone, LIST(STEP_SQL_PREPARE, STEP_SQL_DROP));
	ck_assert_uint_eq(q.count, 3);
	steps_ended(&q, NULL, NULL);
	ck_assert_int_eq(steps_head(&q).kind, STEP_PARSE);
	end();
}
END_TEST

START_TEST(all_is_undone_when_the_count_is_lost)
{
	begin();
	push(STEP_PARSE);
	push(STEP_END_SYNC);
	push(STEP_CLOSE_OURS);
	steps_fail_all(&q, note, &q);
	ck_assert_str_eq(undone, LIST(STEP_CLOSE_OURS, STEP_END_SYNC, STEP_PARSE));
	ck_assert_uint_eq(q.count, 0);
	end();
}
END_TEST

START_TEST(syncs_behind_a_copy_go)
{
	begin();
	push(STEP_BIND);
	push(STEP_END_SYNC);
	push(STEP_PARSE);
	push(STEP_END_SYNC);
	push(STEP_END_SYNC);
	steps_drop_syncs(&q, 2);
	ck_assert_uint_eq(q.count, 3);
	steps_each(&q, note, &q);
	ck_assert_str_eq(undone, LIST(STEP_BIND, STEP_PARSE, STEP_END_SYNC));
	steps_drop_syncs(&q, 0);
	ck_assert_uint_eq(q.count, 3);
	end();
}
END_TEST

START_TEST(bind_and_describe_hold_no_statement)
{
	begin();
	push(STEP_BIND);
	push(STEP_DESCRIBE);
	ck_assert_uint_eq(atomic_load(&p->refs), 2);
	ck_assert_uint_eq(n->refs, 3);
	push(STEP_PARSE);
	ck_assert_uint_eq(atomic_load(&p->refs), 3);
	end();
}
END_TEST

static bool is_sure(const char *name)
{
	return steps_are_sure(&q, name, 0, 0);
}

START_TEST(an_unnamed_one_is_sure_up_to_a_sync)
{
	static const enum step_kind kinds[] = { STEP_UNNAMED, STEP_UNNAMED_FIRST,
		STEP_UNNAMED_OURS, STEP_CLOSE_OURS, STEP_END_QUERY };

	begin();
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		ck_assert(steps_unnamed_is_sure(&q));
		ck_assert(steps_push(&q, kinds[i], 0, NULL, NULL));
		push(STEP_BIND);
		ck_assert(steps_unnamed_is_sure(&q));
		push(STEP_END_SYNC);
		ck_assert(!steps_unnamed_is_sure(&q));
		push(STEP_BIND);
		ck_assert(!steps_unnamed_is_sure(&q));
		while (q.count > 0)
			steps_ended(&q, NULL, NULL);
		ck_assert_uint_eq(q.unnamed, 0);
	}
	end();
}
END_TEST

START_TEST(what_fails_together_is_sure)
{
	begin();
	ck_assert(is_sure("name"));
	push(STEP_PARSE);
	ck_assert(is_sure("name"));
	push(STEP_END_SYNC);
	ck_assert(!is_sure("name"));
	ck_assert(is_sure("other"));
	/* The same text, and anything. */
	ck_assert(!steps_are_sure(&q, "other", 9, hash_bytes("SELECT 1", 9)));
	ck_assert(steps_are_sure(&q, "other", 9, hash_bytes("SELECT 2", 9)));
	ck_assert(!steps_are_sure(&q, NULL, 0, 0));
	/* Its answer, before the end. */
	ck_assert_int_eq(steps_received(&q, '1'), STEP_FORWARD);
	ck_assert(is_sure("name"));
	end();
}
END_TEST

/* What was in flight when something was undone may have been sent for that. */
START_TEST(the_first_is_unsure_behind_what_was_undone)
{
	begin();
	push(STEP_SQL_PREPARE);
	ck_assert(!steps_head_is_unsure(&q));
	push(STEP_END_SYNC);
	push(STEP_SQL_PREPARE);
	/* Neither of what changes nothing. */
	steps_fail(&q, note, &q);
	ck_assert_uint_eq(q.count, 2);
	steps_ended(&q, NULL, NULL);
	ck_assert(steps_head_is_unsure(&q));
	push(STEP_SQL_PREPARE);
	ck_assert_int_eq(steps_received(&q, 'C'), STEP_FORWARD);
	ck_assert(!steps_head_is_unsure(&q));
	push(STEP_END_SYNC);
	push(STEP_BIND);
	push(STEP_END_SYNC);
	push(STEP_SQL_PREPARE);
	ck_assert_int_eq(steps_received(&q, 'C'), STEP_FORWARD);
	steps_ended(&q, NULL, NULL);
	steps_fail(&q, note, &q);
	steps_ended(&q, NULL, NULL);
	ck_assert(!steps_head_is_unsure(&q));
	end();
}
END_TEST

START_TEST(what_drops_all_is_counted)
{
	begin();
	push(STEP_DROPS_ALL);
	push(STEP_DEALLOCATE_ALL);
	push(STEP_END_SYNC);
	push(STEP_END_SYNC);
	ck_assert_uint_eq(q.drops_all, 2);
	ck_assert_uint_eq(q.deallocates_all, 1);
	ck_assert(!steps_awaits(&q, 'C'));
	steps_ran(&q);
	ck_assert(steps_awaits(&q, 'C') && !steps_awaits(&q, '1'));
	steps_drop_syncs(&q, 1);
	ck_assert_uint_eq(q.count, 2);
	steps_ended(&q, note_ended, &q);
	ck_assert_str_eq(undone, LIST(STEP_DEALLOCATE_ALL, STEP_END_SYNC));
	ck_assert_uint_eq(q.drops_all + q.deallocates_all, 0);
	end();
}
END_TEST

START_TEST(names_of_63_bytes_are_told_apart)
{
	char name[PREPARED_NAME_MAX + 3];

	begin();
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	prepared_names_clear(&names);
	n = prepared_names_add(&names, name, prepared_ref(p));
	push(STEP_CLOSE);
	push(STEP_END_QUERY);
	ck_assert(!is_sure(name));
	name[PREPARED_NAME_MAX - 1] = 'm';
	ck_assert(is_sure(name));
	end();
}
END_TEST

START_TEST(use_changes_nothing)
{
	begin();
	push(STEP_BIND);
	push(STEP_DESCRIBE);
	push(STEP_END_SYNC);
	ck_assert(is_sure("name"));
	end();
}
END_TEST

/* It has no answer of its own: it lasts to the next, or to the end. */
START_TEST(what_drops_all_concerns_everything)
{
	begin();
	push(STEP_BIND);
	push(STEP_DROPS_ALL);
	push(STEP_END_QUERY);
	ck_assert(!is_sure("other"));
	ck_assert_int_eq(steps_received(&q, '2'), STEP_FORWARD);
	ck_assert(!is_sure("other"));
	ck_assert_int_eq(steps_received(&q, 'C'), STEP_FORWARD);
	ck_assert(!is_sure("other"));
	steps_ended(&q, NULL, NULL);
	ck_assert(is_sure("other"));
	ck_assert_uint_eq(q.count, 0);
	push(STEP_DROPS_ALL);
	push(STEP_PARSE);
	push(STEP_END_SYNC);
	ck_assert_int_eq(steps_received(&q, '1'), STEP_FORWARD);
	ck_assert(is_sure("other"));
	end();
}
END_TEST

START_TEST(nothing_is_unsure_when_all_has_failed)
{
	begin();
	push(STEP_PARSE);
	push(STEP_END_SYNC);
	push(STEP_CLOSE_OURS);
	push(STEP_END_SYNC);
	steps_drop_syncs(&q, 1);
	ck_assert(!is_sure("name"));
	steps_fail_all(&q, note, &q);
	ck_assert(is_sure("name"));
	ck_assert_uint_eq(q.changes, 0);
	ck_assert_uint_eq(q.ends, 0);
	end();
}
END_TEST

static void push_at(enum step_kind kind, uint32_t place)
{
	ck_assert(steps_push(&q, kind, place, NULL, n));
}

START_TEST(a_portal_is_settled_when_its_message_is_answered)
{
	begin();
	push_at(STEP_BIND, 0);
	push_at(STEP_PORTAL_BOUND, 0);
	push_at(STEP_CLOSE, 1);
	push_at(STEP_PORTAL_GONE, 1);
	steps_settle(&q, 0, note, &q);
	ck_assert_uint_eq(q.count, 4);
	ck_assert_int_eq(steps_received(&q, '2'), STEP_FORWARD);
	steps_settle(&q, 1, note, &q);
	ck_assert_uint_eq(q.count, 2);
	/* An error now is that of the Close. */
	ck_assert_str_eq(undone, "");
	steps_fail(&q, note, &q);
	ck_assert_str_eq(undone, LIST(STEP_PORTAL_GONE, STEP_CLOSE));
	ck_assert_uint_eq(q.changes, 0);
	end();
}
END_TEST

START_TEST(what_an_execute_did_not_do_is_undone)
{
	begin();
	push_at(STEP_DEALLOCATE, 2);
	steps_run_by_execute(&q);
	push_at(STEP_PORTAL_GONE, 2);
	push_at(STEP_BIND, 3);
	/* Those in front of it give other tags. */
	steps_settle(&q, 2, note, &q);
	ck_assert_uint_eq(q.count, 3);
	/* Its own was another, too. */
	steps_settle(&q, 3, note, &q);
	ck_assert_str_eq(undone, LIST(STEP_DEALLOCATE));
	ck_assert_uint_eq(q.count, 1);
	steps_fail_all(&q, note, &q);
	end();
}
END_TEST

/* Before its own tag the text may give those of other statements. */
START_TEST(what_a_query_does_waits_for_its_tag)
{
	begin();
	push_at(STEP_SQL_PREPARE, 0);
	push(STEP_END_QUERY);
	steps_settle(&q, 2, note, &q);
	ck_assert_uint_eq(q.count, 2);
	ck_assert_int_eq(steps_received(&q, 'C'), STEP_FORWARD);
	steps_fail_all(&q, note, &q);
	end();
}
END_TEST

/* What it is called says nothing of statements. */
START_TEST(a_portal_concerns_no_statement_of_its_name)
{
	begin();
	push_at(STEP_PORTAL_GONE, 0);
	push(STEP_END_SYNC);
	ck_assert(is_sure("name"));
	ck_assert(!steps_are_sure(&q, NULL, 0, 0));
	steps_fail_all(&q, note, &q);
	end();
}
END_TEST

START_TEST(there_is_room_to_a_limit)
{
	begin();
	ck_assert(steps_has_room(&q));
	while (steps_has_room(&q))
		push(STEP_BIND);
	ck_assert_uint_gt(q.count, STEPS_MAX - 4);
	ck_assert(!steps_has_room_again(&q));
	/* What a message brings beside itself still has its place. */
	for (int i = 0; i < 8; i++)
		push(STEP_CLOSE_OURS);
	while (!steps_has_room_again(&q))
		ck_assert_int_eq(steps_received(&q, '2'), STEP_FORWARD);
	ck_assert_uint_ge(q.count, STEPS_MAX / 4);
	end();
}
END_TEST

Suite *steps_suite(void)
{
	Suite *s = suite_create("session/steps");
	TCase *tc = tcase_create("steps");

	tcase_add_loop_test(tc, a_reply_means_what_was_sent, 0, COUNT_OF(meanings));
	tcase_add_test(tc, a_description_ends_with_its_columns);
	tcase_add_test(tc, nothing_answers_what_is_to_fail);
	tcase_add_test(tc, replies_come_in_order_over_any_length);
	tcase_add_test(tc, ready_ends_one_exchange);
	tcase_add_test(tc, an_error_undoes_up_to_sync_the_last_first);
	tcase_add_test(tc, an_open_exchange_is_undone_to_its_end);
	tcase_add_test(tc, an_error_in_a_query_undoes_the_rest_of_it);
	tcase_add_test(tc, all_is_undone_when_the_count_is_lost);
	tcase_add_test(tc, syncs_behind_a_copy_go);
	tcase_add_test(tc, bind_and_describe_hold_no_statement);
	tcase_add_test(tc, an_unnamed_one_is_sure_up_to_a_sync);
	tcase_add_test(tc, what_fails_together_is_sure);
	tcase_add_test(tc, names_of_63_bytes_are_told_apart);
	tcase_add_test(tc, the_first_is_unsure_behind_what_was_undone);
	tcase_add_test(tc, what_drops_all_is_counted);
	tcase_add_test(tc, use_changes_nothing);
	tcase_add_test(tc, what_drops_all_concerns_everything);
	tcase_add_test(tc, nothing_is_unsure_when_all_has_failed);
	tcase_add_test(tc, a_portal_is_settled_when_its_message_is_answered);
	tcase_add_test(tc, what_an_execute_did_not_do_is_undone);
	tcase_add_test(tc, what_a_query_does_waits_for_its_tag);
	tcase_add_test(tc, a_portal_concerns_no_statement_of_its_name);
	tcase_add_test(tc, there_is_room_to_a_limit);
	suite_add_tcase(s, tc);
	return s;
}
