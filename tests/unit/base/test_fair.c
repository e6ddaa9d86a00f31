/* SPDX-License-Identifier: ISC */
#include "base/fair.h"
#include "suites.h"

enum { MOST = 20, MANY = 100 };

struct item {
	struct fair_item item;
	uint64_t source;
};

static struct fair fair;
static struct item items[MANY];

/* Sources that have lanes of their own: the hash has a key. */
static uint64_t sources[3];

static void find_lanes(uint64_t source, const struct fair_lane *lanes[2])
{
	struct fair_item probes[2], *out;

	for (size_t i = 0; i < 2; i++) {
		fair_item_init(&probes[i]);
		ck_assert(fair_push(&fair, &probes[i], source, &out));
		lanes[i] = probes[i].lane;
	}
	for (size_t i = 0; i < 2; i++)
		ck_assert(fair_remove(&fair, &probes[i]));
}

static bool have_own_lanes(uint64_t a, uint64_t b)
{
	const struct fair_lane *one[2], *two[2];

	find_lanes(a, one);
	find_lanes(b, two);
	return one[0] != one[1] && one[0] != two[0] && one[0] != two[1] && one[1] != two[0] &&
		one[1] != two[1];
}

static uint64_t find_source(uint64_t after, const uint64_t *others, size_t count)
{
	bool is_alone = false;

	while (!is_alone) {
		after++;
		is_alone = have_own_lanes(after, after + 1) || have_own_lanes(after, after + 2);
		for (size_t i = 0; i < count; i++)
			is_alone = is_alone && have_own_lanes(after, others[i]);
	}
	return after;
}

static void begin(void)
{
	fair_init(&fair, MOST);
	for (size_t i = 0; i < 3; i++)
		sources[i] = find_source(i == 0 ? 0 : sources[i - 1], sources, i);
	for (size_t i = 0; i < MANY; i++)
		fair_item_init(&items[i].item);
}

static struct fair_item *push(size_t item, size_t source)
{
	struct fair_item *out;

	ck_assert(fair_push(&fair, &items[item].item, sources[source], &out));
	return out;
}

static size_t pop(void)
{
	struct fair_item *item = fair_pop(&fair);

	ck_assert_ptr_nonnull(item);
	ck_assert_ptr_null(item->lane);
	return (size_t)(container_of(item, struct item, item) - items);
}

START_TEST(sources_take_turns)
{
	static const size_t order[] = { 0, 1, 6, 7, 8, 2, 3, 4, 5 };

	for (size_t i = 0; i < 6; i++)
		ck_assert_ptr_null(push(i, 0));
	ck_assert_ptr_null(push(6, 1));
	ck_assert_ptr_null(push(7, 2));
	ck_assert_ptr_null(push(8, 2));
	for (size_t i = 0; i < COUNT_OF(order); i++)
		ck_assert_uint_eq(pop(), order[i]);
	ck_assert_ptr_null(fair_pop(&fair));
	ck_assert_uint_eq(fair.count, 0);
}
END_TEST

START_TEST(who_has_most_makes_room)
{
	struct fair_item *out;
	size_t left = 0;

	for (size_t i = 0; i < MOST - 2; i++)
		ck_assert_ptr_null(push(i, 0));
	ck_assert_ptr_null(push(MOST - 2, 1));
	ck_assert_ptr_null(push(MOST - 1, 1));
	/* Not for one of his own. */
	ck_assert(!fair_push(&fair, &items[MOST].item, sources[0], &out));
	ck_assert_ptr_null(out);
	ck_assert_ptr_null(items[MOST].item.lane);
	/* The last ones that came go first. */
	ck_assert_ptr_eq(push(MOST, 2), &items[MOST - 4].item);
	ck_assert_ptr_null(items[MOST - 4].item.lane);
	ck_assert_ptr_eq(push(MOST + 1, 1), &items[MOST - 3].item);
	ck_assert_uint_eq(fair.count, MOST);
	/* Until all have the same, or one more. */
	for (size_t i = MOST + 2; i < MANY; i++) {
		if (!fair_push(&fair, &items[i].item, sources[2], &out))
			break;
		ck_assert_ptr_nonnull(out);
	}
	ck_assert_uint_eq(fair.count, MOST);
	for (size_t i = 0; i < MOST - 2; i++)
		left += items[i].item.lane != NULL;
	ck_assert_uint_ge(left, MOST / 2 - 2);
	ck_assert_uint_le(left, MOST / 2);
}
END_TEST

static bool is_not_of(const struct fair_item *item, void *arg)
{
	const uint64_t *source = arg;

	return container_of(item, const struct item, item)->source != *source;
}

/* Also where the lanes are the same ones. */
START_TEST(who_may_not_go_keeps_his_place)
{
	struct fair_item *out;

	for (size_t i = 0; i < 3; i++) {
		ck_assert_ptr_null(push(i, 0));
		items[i].source = sources[0];
	}
	ck_assert(fair_push(&fair, &items[3].item, sources[0], &out));
	items[3].source = sources[1];
	ck_assert_ptr_null(push(4, 2));
	items[4].source = sources[2];
	for (size_t i = 0; i < 2; i++) {
		out = fair_pop_if(&fair, is_not_of, &sources[0]);
		ck_assert(out == &items[3].item || out == &items[4].item);
	}
	ck_assert_ptr_null(fair_pop_if(&fair, is_not_of, &sources[0]));
	ck_assert_uint_eq(fair.count, 3);
	for (size_t i = 0; i < 3; i++)
		ck_assert_ptr_nonnull(fair_pop_if(&fair, is_not_of, &sources[1]));
	ck_assert_ptr_null(fair_pop(&fair));
}
END_TEST

START_TEST(who_leaves_is_not_found)
{
	for (size_t i = 0; i < 3; i++)
		ck_assert_ptr_null(push(i, 0));
	ck_assert_ptr_null(push(3, 1));
	ck_assert(fair_remove(&fair, &items[1].item));
	ck_assert(!fair_remove(&fair, &items[1].item));
	ck_assert(fair_remove(&fair, &items[3].item));
	ck_assert_uint_eq(fair.count, 2);
	ck_assert_uint_eq(pop(), 0);
	ck_assert_uint_eq(pop(), 2);
	ck_assert_ptr_null(fair_pop(&fair));
	/* A lane that was empty takes its turn again. */
	ck_assert_ptr_null(push(1, 0));
	ck_assert_uint_eq(pop(), 1);
}
END_TEST

Suite *fair_suite(void)
{
	Suite *suite = suite_create("fair");
	TCase *tc = tcase_create("fair");

	tcase_add_checked_fixture(tc, begin, NULL);
	tcase_add_test(tc, sources_take_turns);
	tcase_add_test(tc, who_has_most_makes_room);
	tcase_add_test(tc, who_may_not_go_keeps_his_place);
	tcase_add_test(tc, who_leaves_is_not_found);
	suite_add_tcase(suite, tc);
	return suite;
}
