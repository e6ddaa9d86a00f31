/* SPDX-License-Identifier: ISC */
#include "session/exchange.h"

#include <assert.h>

void exchange_init(struct exchange_queue *q)
{
	*q = (struct exchange_queue){ .status = 'I' };
}

static struct exchange_run *run_at(struct exchange_queue *q, uint32_t index)
{
	return &q->runs[(q->first + index) % EXCHANGE_RUNS_MAX];
}

static const struct exchange_run *head(const struct exchange_queue *q)
{
	return q->run_count == 0 ? NULL : &q->runs[q->first];
}

bool exchange_has_room(const struct exchange_queue *q)
{
	return q->run_count < EXCHANGE_RUNS_MAX;
}

static void push(struct exchange_queue *q, enum exchange_kind kind, uint8_t end,
	bool extended)
{
	struct exchange_run *last;

	q->pending++;
	if (q->run_count > 0) {
		last = run_at(q, q->run_count - 1u);
		if (last->kind == kind && last->end == end && last->extended == extended) {
			last->count++;
			return;
		}
	}
	assert(q->run_count < EXCHANGE_RUNS_MAX);
	last = run_at(q, q->run_count++);
	*last = (struct exchange_run){
		.count = 1, .kind = (uint8_t)kind, .end = end, .extended = extended
	};
}

static void pop(struct exchange_queue *q)
{
	struct exchange_run *run = run_at(q, 0);

	q->pending--;
	if (--run->count == 0) {
		q->first = (uint8_t)((q->first + 1u) % EXCHANGE_RUNS_MAX);
		q->run_count--;
	}
	if (!q->has_early_end)
		return;
	if (q->early_end_at == 0)
		q->has_early_end = false;
	else
		q->early_end_at--;
}

static void sent_copy_end(struct exchange_queue *q)
{
	if (q->copy == EXCHANGE_COPY_IN || q->copy == EXCHANGE_COPY_BOTH) {
		q->copy_end_sent = true;
		return;
	}
	if (q->has_early_end)
		return;
	q->has_early_end = true;
	q->early_end_at = q->pending;
}

void exchange_sent(struct exchange_queue *q, uint8_t type)
{
	switch (type) {
	case 'S':
		if (q->copy == EXCHANGE_COPY_IN && !q->copy_end_sent) {
			q->syncs_ignored++;
			return;
		}
		push(q, EXCHANGE_FORWARD, 'S', true);
		q->open = false;
		q->skipping = false;
		return;
	case 'Q':
	case 'F':
		if (q->open && q->skipping)
			return;
		push(q, EXCHANGE_FORWARD, type, q->open);
		q->open = false;
		return;
	case 'c':
	case 'f':
		sent_copy_end(q);
		return;
	case 'd':
	case 'H':
		return;
	default:
		q->open = true;
		return;
	}
}

void exchange_sent_own(struct exchange_queue *q)
{
	push(q, EXCHANGE_SWALLOW, 'Q', false);
}

enum exchange_reply exchange_owner(const struct exchange_queue *q)
{
	const struct exchange_run *run = head(q);

	if (run != NULL)
		return run->kind == EXCHANGE_SWALLOW ? EXCHANGE_TO_ROUTER :
						       EXCHANGE_TO_CLIENT;
	return q->open || q->in_doubt || q->copy != EXCHANGE_NO_COPY ? EXCHANGE_TO_CLIENT :
								       EXCHANGE_UNASKED;
}

/* Takes count exchanges out of the queue, beginning with the one at index. */
static void drop(struct exchange_queue *q, uint32_t index, uint32_t count)
{
	struct exchange_queue rest = *q;
	uint32_t at = 0;

	rest.first = 0;
	rest.run_count = 0;
	rest.pending = 0;
	for (uint32_t i = 0; i < q->run_count; i++) {
		const struct exchange_run *run = run_at(q, i);

		for (uint32_t n = 0; n < run->count; n++, at++) {
			if (at < index || at >= index + count)
				push(&rest, run->kind, run->end, run->extended);
		}
	}
	*q = rest;
}

/* The server reads COPY data: whatever Sync was sent behind the COPY and before
 * its end will be ignored. */
static void copy_in_begins(struct exchange_queue *q)
{
	const struct exchange_run *run = head(q);
	uint32_t from = run != NULL && run->end != 'S' ? 1 : 0;
	uint32_t to = q->has_early_end ? q->early_end_at : q->pending;

	q->copy = EXCHANGE_COPY_IN;
	q->copy_end_sent = q->has_early_end;
	q->has_early_end = false;
	q->syncs_ignored = 0;
	if (to <= from)
		return;
	q->syncs_ignored = to - from;
	drop(q, from, to - from);
	if (q->pending == 0)
		q->open = true;
}

static void on_error(struct exchange_queue *q)
{
	const struct exchange_run *run = head(q);

	if (q->copy == EXCHANGE_COPY_IN && q->syncs_ignored > 0)
		q->in_doubt = true;
	if (run == NULL) {
		q->skipping = q->open;
	} else if (run->extended && run->end != 'S') {
		/* In the messages before the Query, or in the Query? */
		q->in_doubt = true;
	}
	q->copy = EXCHANGE_NO_COPY;
	q->syncs_ignored = 0;
}

bool exchange_received(struct exchange_queue *q, uint8_t type, char status)
{
	switch (type) {
	case 'G':
		copy_in_begins(q);
		return true;
	case 'H':
		q->copy = EXCHANGE_COPY_OUT;
		return true;
	case 'W':
		q->copy = EXCHANGE_COPY_BOTH;
		q->copy_end_sent = false;
		return true;
	case 'C':
		/* The Syncs before the end of the data were read with the data. */
		q->copy = EXCHANGE_NO_COPY;
		q->syncs_ignored = 0;
		return true;
	case 'E':
		on_error(q);
		return true;
	case 'Z':
		q->status = status;
		q->copy = EXCHANGE_NO_COPY;
		if (q->pending == 0)
			return q->in_doubt;
		pop(q);
		return true;
	default:
		return true;
	}
}
