/* SPDX-License-Identifier: ISC */
#include "pool/budget.h"

#include <assert.h>

void share_init(struct share *s, const char *name)
{
	*s = (struct share){ .name = name };
	list_init(&s->waiters);
	list_init(&s->hungry);
}

/* What the other shares may still claim below their floors. */
static uint64_t floors_open(const struct budget *b, const struct share *except,
	const struct share *from)
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

bool budget_may_take(const struct budget *b, const struct share *to,
	const struct share *from)
{
	uint64_t used = b->used - (from != NULL ? 1 : 0);

	if (to == from)
		return b->used <= b->limit;
	if (used >= b->limit || to->used >= to->max)
		return false;
	if (share_is_below_floor(to) || to->kind == SHARE_TRANSIENT)
		return true;
	/* Lent for long: only what nobody else has a claim on. */
	return used + 1 + floors_open(b, to, from) <= b->limit;
}

void budget_take(struct budget *b, struct share *s)
{
	b->used++;
	s->used++;
}

void budget_free(struct budget *b, struct share *s)
{
	assert(b->used > 0);
	assert(s->used > 0);
	b->used--;
	s->used--;
}

void budget_move(struct share *from, struct share *to)
{
	assert(from->used > 0);
	from->used--;
	to->used++;
}
