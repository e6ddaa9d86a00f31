/* SPDX-License-Identifier: ISC */
#include <ctype.h>
#include <string.h>

#include "admin/show.h"
#include "suites.h"

START_TEST(lists_each_name_once)
{
	char list[64] = "";

	show_list_add(list, sizeof(list), "web");
	ck_assert_str_eq(list, "web");
	show_list_add(list, sizeof(list), "web");
	show_list_add(list, sizeof(list), "web2");
	show_list_add(list, sizeof(list), "we");
	show_list_add(list, sizeof(list), "web2");
	show_list_add(list, sizeof(list), "eb");
	show_list_add(list, sizeof(list), "");
	ck_assert_str_eq(list, "web, web2, we, eb");
}
END_TEST

/* Whatever the room, the list ends in time, and says that it does. */
START_TEST(ends_a_long_list_in_dots)
{
	char list[64], name[3] = "aa";
	size_t size = (size_t)_i;

	memset(list, 'x', sizeof(list));
	list[0] = '\0';
	for (int i = 0; i < 26; i++) {
		name[0] = (char)('a' + i);
		show_list_add(list, size, name);
	}
	ck_assert_uint_lt(strlen(list), size);
	if (size > 6)
		ck_assert_str_eq(list + strlen(list) - 3, "...");
	for (size_t i = size; i < sizeof(list); i++)
		ck_assert_int_eq(list[i], 'x');
}
END_TEST

START_TEST(fakes_what_drivers_ask_for)
{
	ck_assert_str_eq(show_faked("Client_Encoding"), "UTF8");
	ck_assert_str_eq(show_faked("DateStyle"), "ISO");
	ck_assert_ptr_null(show_faked("work_mem"));
}
END_TEST

/* The table is found by strcasecmp(), but is read by people. */
START_TEST(has_words_for_all_views)
{
	const struct view *view = &show_views[_i];

	for (const char *c = view->word; *c != '\0'; c++)
		ck_assert(*c == '_' || isupper((unsigned char)*c));
	ck_assert((view->rights & ROUTE_ADMIN) != 0);
	ck_assert_uint_lt(strlen(view->word), COMMAND_ARGUMENT_MAX);
	for (size_t i = 0; i < show_view_count; i++)
		ck_assert(i == (size_t)_i || strcmp(show_views[i].word, view->word) != 0);
}
END_TEST

Suite *show_suite(void)
{
	Suite *s = suite_create("admin/show");
	TCase *tc = tcase_create("show");

	tcase_add_test(tc, lists_each_name_once);
	tcase_add_loop_test(tc, ends_a_long_list_in_dots, 1, 64);
	tcase_add_test(tc, fakes_what_drivers_ask_for);
	tcase_add_loop_test(tc, has_words_for_all_views, 0, (int)show_view_count);
	suite_add_tcase(s, tc);
	return s;
}
