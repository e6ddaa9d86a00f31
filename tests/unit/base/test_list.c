/* SPDX-License-Identifier: ISC */
#include "base/list.h"
#include "suites.h"

struct item {
	struct list_node node;
	char name;
};

static struct item items[4];
static struct list list;

static void begin(void)
{
	list_init(&list);
	for (int i = 0; i < 4; i++) {
		list_node_init(&items[i].node);
		items[i].name = (char)('a' + i);
	}
}

static void is(const struct list *l, const char *names)
{
	size_t at = 0;

	list_for_each(l, node) {
		ck_assert_int_eq(container_of(node, struct item, node)->name, names[at]);
		ck_assert_ptr_eq(node->next->prev, node);
		at++;
	}
	ck_assert_int_eq(names[at], '\0');
	ck_assert(list_is_empty(l) == (at == 0));
}

START_TEST(pushes_at_both_ends)
{
	list_push_back(&list, &items[1].node);
	list_push_back(&list, &items[2].node);
	list_push_front(&list, &items[0].node);
	list_insert_after(&items[1].node, &items[3].node);
	is(&list, "abdc");
	ck_assert_ptr_eq(list_first(&list), &items[0].node);
	ck_assert_ptr_eq(list_last(&list), &items[2].node);
}
END_TEST

START_TEST(removing_twice_is_harmless)
{
	list_push_back(&list, &items[0].node);
	list_push_back(&list, &items[1].node);
	list_remove(&items[0].node);
	ck_assert(!list_is_linked(&items[0].node));
	list_remove(&items[0].node);
	is(&list, "b");
	ck_assert(list_is_linked(&items[1].node));
}
END_TEST

START_TEST(pops_until_empty)
{
	list_push_back(&list, &items[0].node);
	list_push_back(&list, &items[1].node);
	ck_assert_ptr_eq(list_pop_front(&list), &items[0].node);
	ck_assert_ptr_eq(list_pop_front(&list), &items[1].node);
	ck_assert_ptr_null(list_pop_front(&list));
	ck_assert_ptr_null(list_first(&list));
	ck_assert_ptr_null(list_last(&list));
}
END_TEST

START_TEST(splices_behind_what_is_there)
{
	struct list other;

	list_init(&other);
	list_splice_back(&list, &other);
	is(&list, "");
	list_push_back(&other, &items[1].node);
	list_push_back(&other, &items[2].node);
	list_push_back(&list, &items[0].node);
	list_splice_back(&list, &other);
	is(&list, "abc");
	is(&other, "");
	list_splice_back(&other, &list);
	is(&other, "abc");
}
END_TEST

START_TEST(safe_walk_may_remove_where_it_stands)
{
	for (int i = 0; i < 4; i++)
		list_push_back(&list, &items[i].node);
	list_for_each_safe(&list, node) {
		if (container_of(node, struct item, node)->name != 'c')
			list_remove(node);
	}
	is(&list, "c");
}
END_TEST

Suite *list_suite(void)
{
	Suite *s = suite_create("base/list");
	TCase *tc = tcase_create("list");

	tcase_add_checked_fixture(tc, begin, NULL);
	tcase_add_test(tc, pushes_at_both_ends);
	tcase_add_test(tc, removing_twice_is_harmless);
	tcase_add_test(tc, pops_until_empty);
	tcase_add_test(tc, splices_behind_what_is_there);
	tcase_add_test(tc, safe_walk_may_remove_where_it_stands);
	suite_add_tcase(s, tc);
	return s;
}
