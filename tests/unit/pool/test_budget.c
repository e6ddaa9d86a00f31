/* SPDX-License-Identifier: ISC */
/*
 * budget_may_take() is pure: every small budget is tried against sentences that
 * do not share its arithmetic.
 */
#include <check.h>

#include "pool/budget.h"
#include "suites.h"

enum { SHARES = 3, LIMIT_MAX = 4 };

struct budget_case {
	struct budget budget;
	struct share shares[SHARES];
};

static void case_finish(struct budget_case *c)
{
	c->budget.share_count = SHARES;
	c->budget.used = 0;
	for (uint32_t i = 0; i < SHARES; i++) {
		c->shares[i].index = i;
		c->budget.shares[i] = &c->shares[i];
		c->budget.used += c->shares[i].used;
	}
}

/* Digits of *n, each below base: one number stands for one case. */
static uint32_t digit(uint32_t *n, uint32_t base)
{
	uint32_t value = *n % base;

	*n /= base;
	return value;
}

/* False: floors above the budget, which no configuration may have. */
static bool case_make(struct budget_case *c, uint32_t n)
{
	uint32_t floors = 0;

	*c = (struct budget_case){ 0 };
	for (uint32_t i = 0; i < SHARES; i++) {
		struct share *s = &c->shares[i];

		s->kind = digit(&n, 2) != 0 ? SHARE_LASTING : SHARE_TRANSIENT;
		s->guaranteed = digit(&n, 3);
		s->used = digit(&n, 4);
		s->max = s->guaranteed + digit(&n, 3);
		floors += s->guaranteed;
	}
	c->budget.limit = 1 + digit(&n, LIMIT_MAX);
	case_finish(c);
	return n == 0 && floors <= c->budget.limit;
}

enum { CASES = 72 * 72 * 72 * LIMIT_MAX };

/* What the others hold or may still claim: max(used, guaranteed) of each. */
static uint32_t claims_of_others(const struct budget_case *c, const struct share *to)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < SHARES; i++) {
		const struct share *s = &c->shares[i];

		if (s != to)
			sum += s->used > s->guaranteed ? s->used : s->guaranteed;
	}
	return sum;
}

typedef void case_check_f(struct budget_case *, struct share *to, struct share *from);

/* Every case, every pair of shares; from is NULL or has a unit to give. */
static void for_each_case(case_check_f *check)
{
	struct budget_case c;

	for (uint32_t n = 0; n < CASES; n++) {
		if (!case_make(&c, n))
			continue;
		for (uint32_t to = 0; to < SHARES; to++) {
			check(&c, &c.shares[to], NULL);
			for (uint32_t from = 0; from < SHARES; from++) {
				if (c.shares[from].used > 0)
					check(&c, &c.shares[to], &c.shares[from]);
			}
		}
	}
}

/* The cases are numbers without units. */
static void take(struct budget_case *c, struct share *share)
{
	struct unit unit = budget_take(&c->budget, share);

	ck_assert_ptr_eq(unit.share, share);
}

static void give(struct budget_case *c, struct share *share)
{
	struct unit unit = { .share = share };

	budget_free(&c->budget, &unit);
	ck_assert_ptr_null(unit.share);
}

/* Does what was allowed, checks, and undoes it. */
static void apply(struct budget_case *c, struct share *to, struct share *from)
{
	if (from != NULL)
		give(c, from);
	take(c, to);
}

static void undo(struct budget_case *c, struct share *to, struct share *from)
{
	give(c, to);
	if (from != NULL)
		take(c, from);
}

static void check_limit(struct budget_case *c, struct share *to, struct share *from)
{
	if (!budget_may_take(&c->budget, to, from))
		return;
	apply(c, to, from);
	if (c->budget.used > c->budget.limit)
		ck_abort_msg("more than the budget");
	if (to != from && to->used > to->max)
		ck_abort_msg("more than the share's maximum");
	undo(c, to, from);
}

START_TEST(never_takes_above_budget_or_max)
{
	for_each_case(check_limit);
}
END_TEST

static void check_lasting(struct budget_case *c, struct share *to, struct share *from)
{
	if (to->kind != SHARE_LASTING || to == from ||
		!budget_may_take(&c->budget, to, from))
		return;
	apply(c, to, from);
	if (to->used > to->guaranteed &&
		to->used + claims_of_others(c, to) > c->budget.limit)
		ck_abort_msg("a lasting share borrows what another floor may claim");
	undo(c, to, from);
}

START_TEST(lasting_share_never_borrows_what_another_floor_may_claim)
{
	for_each_case(check_lasting);
}
END_TEST

/* The other direction: nothing is refused that the rules allow. */
static void check_allowed(struct budget_case *c, struct share *to, struct share *from)
{
	uint32_t used = c->budget.used - (from != NULL ? 1 : 0);
	bool fits = used < c->budget.limit && to->used < to->max;
	bool may = budget_may_take(&c->budget, to, from);

	if (to == from || !fits)
		return;
	if (to->used < to->guaranteed && !may)
		ck_abort_msg("a share below its floor is refused a free unit");
	if (to->kind == SHARE_TRANSIENT && !may)
		ck_abort_msg("a transient share may not borrow a free unit");
	if (to->kind != SHARE_LASTING)
		return;
	apply(c, to, from);
	if (to->used + claims_of_others(c, to) <= c->budget.limit && !may)
		ck_abort_msg("a lasting share may not borrow what nobody claims");
	undo(c, to, from);
}

START_TEST(allows_what_the_rules_allow)
{
	for_each_case(check_allowed);
}
END_TEST

static void check_same(struct budget_case *c, struct share *to, struct share *from)
{
	if (to == from &&
		budget_may_take(&c->budget, to, from) !=
			(c->budget.used <= c->budget.limit))
		ck_abort_msg("a share gives a unit to itself");
}

START_TEST(unit_stays_with_its_share_unless_the_budget_shrank)
{
	for_each_case(check_same);
}
END_TEST

static void check_pure(struct budget_case *c, struct share *to, struct share *from)
{
	uint32_t used = c->budget.used, to_used = to->used;

	(void)budget_may_take(&c->budget, to, from);
	if (used != c->budget.used || to_used != to->used)
		ck_abort_msg("budget_may_take() changed something");
}

START_TEST(asking_changes_nothing)
{
	for_each_case(check_pure);
}
END_TEST

START_TEST(units_are_counted_twice_and_agree)
{
	struct unit first, second, moved;
	struct budget_case c;

	ck_assert(case_make(&c, 0));
	first = budget_take(&c.budget, &c.shares[0]);
	second = budget_take(&c.budget, &c.shares[1]);
	moved = unit_move(&first);
	ck_assert_ptr_null(first.share);
	budget_lend(&moved, &c.shares[2]);
	ck_assert_uint_eq(c.budget.used, 2);
	ck_assert_uint_eq(c.shares[0].used, 0);
	ck_assert_uint_eq(c.shares[2].used, 1);
	budget_free(&c.budget, &second);
	budget_free(&c.budget, &moved);
	ck_assert_uint_eq(c.budget.used, 0);
}
END_TEST

Suite *budget_suite(void)
{
	Suite *s = suite_create("pool/budget");
	TCase *tc = tcase_create("may_take");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, never_takes_above_budget_or_max);
	tcase_add_test(tc, lasting_share_never_borrows_what_another_floor_may_claim);
	tcase_add_test(tc, allows_what_the_rules_allow);
	tcase_add_test(tc, unit_stays_with_its_share_unless_the_budget_shrank);
	tcase_add_test(tc, asking_changes_nothing);
	tcase_add_test(tc, units_are_counted_twice_and_agree);
	suite_add_tcase(s, tc);
	return s;
}
