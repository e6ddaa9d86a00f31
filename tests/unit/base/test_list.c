/* SPDX-License-Identifier: ISC */
#include "base/suites.h"

#include "base/list.h"

struct item {
	int number;
	struct list_node node;
};

static int number(const struct list_node *node)
{
	return container_of(node, const struct item, node)->number;
}

/* Fills the list with 0, 1, 2, ... */
static void fill(struct list *list, struct item *items, int count)
{
	list_init(list);
	for (int i = 0; i < count; i++) {
		items[i].number = i;
		list_node_init(&items[i].node);
		list_push_back(list, &items[i].node);
	}
}

START_TEST(keeps_the_order_of_pushes)
{
	struct item items[3], first = { .number = -1 };
	struct list list;
	int wanted = -1;

	fill(&list, items, 3);
	list_push_front(&list, &first.node);
	list_for_each(&list, node)
		ck_assert_int_eq(number(node), wanted++);
	ck_assert_int_eq(wanted, 3);
	ck_assert_int_eq(number(list_first(&list)), -1);
	ck_assert_int_eq(number(list_last(&list)), 2);
}
END_TEST

START_TEST(an_empty_list_has_neither_end)
{
	struct list list;

	list_init(&list);
	ck_assert(list_is_empty(&list));
	ck_assert_ptr_null(list_first(&list));
	ck_assert_ptr_null(list_last(&list));
	ck_assert_ptr_null(list_pop_front(&list));
}
END_TEST

START_TEST(a_node_may_be_removed_twice)
{
	struct item items[3];
	struct list list;

	fill(&list, items, 3);
	ck_assert(list_is_linked(&items[1].node));
	list_remove(&items[1].node);
	ck_assert(!list_is_linked(&items[1].node));
	list_remove(&items[1].node);
	ck_assert_int_eq(number(list_pop_front(&list)), 0);
	ck_assert_int_eq(number(list_pop_front(&list)), 2);
	ck_assert(list_is_empty(&list));
}
END_TEST

START_TEST(the_current_node_may_go_during_a_walk)
{
	struct item items[6];
	struct list list;

	fill(&list, items, 6);
	list_for_each_safe(&list, node) {
		if (number(node) % 2 == 0)
			list_remove(node);
	}
	for (int wanted = 1; wanted < 6; wanted += 2)
		ck_assert_int_eq(number(list_pop_front(&list)), wanted);
	ck_assert(list_is_empty(&list));
}
END_TEST

START_TEST(splicing_moves_everything)
{
	struct item a[2], b[2];
	struct list to, from;

	fill(&to, a, 2);
	fill(&from, b, 2);
	list_splice_back(&to, &from);
	ck_assert(list_is_empty(&from));
	list_splice_back(&to, &from);
	ck_assert_int_eq(number(list_pop_front(&to)), 0);
	ck_assert_int_eq(number(list_pop_front(&to)), 1);
	ck_assert_ptr_eq(list_pop_front(&to), &b[0].node);
	ck_assert_ptr_eq(list_pop_front(&to), &b[1].node);
	ck_assert(list_is_empty(&to));
}
END_TEST

Suite *list_suite(void)
{
	Suite *s = suite_create("base/list");
	TCase *tc = tcase_create("list");

	tcase_add_test(tc, keeps_the_order_of_pushes);
	tcase_add_test(tc, an_empty_list_has_neither_end);
	tcase_add_test(tc, a_node_may_be_removed_twice);
	tcase_add_test(tc, the_current_node_may_go_during_a_walk);
	tcase_add_test(tc, splicing_moves_everything);
	suite_add_tcase(s, tc);
	return s;
}
