/* SPDX-License-Identifier: ISC */
#include "pool/budget.h"

#include <assert.h>

void share_init(struct share *s, const char *name)
{
	*s = (struct share){ .name = name, .pinned_max = SHARE_PINNED_AUTO };
	list_init(&s->waiters);
	list_init(&s->hungry);
}

uint64_t budget_floors_open(
	const struct budget *b, const struct share *except, const struct share *from)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < b->share_count; i++) {
		const struct share *s = b->shares[i];
		uint32_t used = s->used - (s == from ? 1 : 0);

		if (s != except && used < s->guaranteed)
			sum += s->guaranteed - used;
	}
	return sum;
}

bool budget_may_take(
	const struct budget *b, const struct share *to, const struct share *from)
{
	uint64_t used = b->used - (from != NULL ? 1 : 0);

	if (to == from)
		return b->used <= b->limit;
	if (used >= b->limit || to->used >= to->max)
		return false;
	if (share_is_below_floor(to) || to->kind == SHARE_TRANSIENT)
		return true;
	/* Lent for long: only what nobody else has a claim on. */
	return used + 1 + budget_floors_open(b, to, from) <= b->limit;
}

struct unit budget_take(struct budget *b, struct share *s)
{
	b->used++;
	s->used++;
	return (struct unit){ .share = s };
}

void budget_free(struct budget *b, struct unit *unit)
{
	assert(unit->share != NULL);
	assert(b->used > 0 && unit->share->used > 0);
	b->used--;
	unit->share->used--;
	unit->share = NULL;
}

void budget_lend(struct unit *unit, struct share *to)
{
	assert(unit->share != NULL && unit->share->used > 0);
	unit->share->used--;
	to->used++;
	unit->share = to;
}

uint32_t share_pinned_max(const struct share *s)
{
	uint32_t most;

	if (s->is_ending)
		return s->pinned_max;
	if (s->pinned_max != SHARE_PINNED_AUTO)
		return s->pinned_max < s->guaranteed ? s->pinned_max : s->guaranteed;
	/* Half of the floor, and never the last server that the others may have. */
	most = s->guaranteed / 2 + s->guaranteed % 2;
	return s->max > most ? most : s->max == 0 ? 0 : s->max - 1;
}

bool share_goes_before(const struct share *a, const struct share *b, bool b_gives)
{
	uint64_t a_weight = a->weight == 0 ? 1 : a->weight;
	uint64_t b_weight = b->weight == 0 ? 1 : b->weight;
	uint64_t a_then = (uint64_t)share_borrowed(a) + 1;
	uint64_t b_now = (uint64_t)share_borrowed(b) + (b_gives ? 0 : 1);

	return a_then * b_weight < b_now * a_weight;
}
