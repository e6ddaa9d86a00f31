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

static bool is_alike(const struct exchange_run *a, const struct exchange_run *b)
{
	return a->kind == b->kind && a->end == b->end && a->extended == b->extended &&
		a->asked == b->asked;
}

static void push_run(struct exchange_queue *q, const struct exchange_run *more)
{
	q->pending++;
	if (q->run_count > 0) {
		struct exchange_run *last = run_at(q, q->run_count - 1u);

		if (is_alike(last, more)) {
			last->count++;
			return;
		}
	}
	assert(q->run_count < EXCHANGE_RUNS_MAX);
	*run_at(q, q->run_count) = *more;
	run_at(q, q->run_count)->count = 1;
	q->run_count++;
}

/* The exchange that was open, if any, ends with this message. */
static void push(struct exchange_queue *q, enum exchange_kind kind, uint8_t end)
{
	bool is_ours = kind == EXCHANGE_SWALLOW;
	struct exchange_run run = { .kind = (uint8_t)kind,
		.end = end,
		.extended = end == 'S' || (q->open && !is_ours),
		/* At a Sync every error ends alike. */
		.asked = end == 'S' || is_ours ? 0 : q->open_asked };

	push_run(q, &run);
	if (is_ours)
		return;
	q->open = false;
	q->open_asked = 0;
}

static void pop(struct exchange_queue *q)
{
	struct exchange_run *run = run_at(q, 0);

	q->pending--;
	q->head_replied = 0;
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
		push(q, EXCHANGE_FORWARD, 'S');
		q->skipping = false;
		return;
	case 'Q':
	case 'F':
		if (q->open && q->skipping)
			return;
		push(q, EXCHANGE_FORWARD, type);
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
		q->open_asked++;
		return;
	}
}

void exchange_sent_own(struct exchange_queue *q)
{
	push(q, EXCHANGE_SWALLOW, 'Q');
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
				push_run(&rest, run);
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

/* The error was in the extended messages before the head's Query: that Query and
 * all else up to the next Sync are skipped and get no answer. */
static void skip_to_sync(struct exchange_queue *q)
{
	while (q->run_count > 0 && run_at(q, 0)->end != 'S')
		pop(q);
	if (q->run_count > 0)
		return;
	q->open = true;
	q->skipping = true;
}

static void on_error(struct exchange_queue *q)
{
	const struct exchange_run *run = head(q);

	if (q->copy == EXCHANGE_COPY_IN && q->syncs_ignored > 0)
		q->in_doubt = true;
	q->copy = EXCHANGE_NO_COPY;
	q->syncs_ignored = 0;
	if (run == NULL)
		q->skipping = q->open;
	else if (run->extended && run->end != 'S' && q->head_replied < run->asked)
		skip_to_sync(q);
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
	case '1':
	case '2':
	case '3':
	case 'n':
	case 's':
	case 'I':
	case 'T':
		q->head_replied++;
		return true;
	case 'C':
		q->head_replied++;
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
