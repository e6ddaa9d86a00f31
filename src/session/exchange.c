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

/* The last place is kept for what ends the exchange that is open. */
bool exchange_has_room(const struct exchange_queue *q)
{
	return q->run_count < EXCHANGE_RUNS_MAX - 1 || q->pending == 0;
}

static bool is_alike(const struct exchange_run *a, const struct exchange_run *b)
{
	return a->kind == b->kind && a->end == b->end && a->asked == b->asked;
}

static void push_run(struct exchange_queue *q, const struct exchange_run *more)
{
	struct exchange_run *last;

	if (more->end != 'c') {
		q->pending += more->count;
		q->ends += more->count;
	}
	if (q->run_count > 0) {
		last = run_at(q, q->run_count - 1u);
		if (is_alike(last, more)) {
			last->count += more->count;
			return;
		}
	}
	assert(q->run_count < EXCHANGE_RUNS_MAX);
	*run_at(q, q->run_count++) = *more;
}

/* Takes one of the run at this place, 0 or 1. */
static void take(struct exchange_queue *q, uint32_t at)
{
	struct exchange_run *run = run_at(q, at);

	if (run->end != 'c')
		q->pending--;
	if (--run->count > 0)
		return;
	if (at == 1)
		*run = *run_at(q, 0);
	q->first = (uint8_t)((q->first + 1u) % EXCHANGE_RUNS_MAX);
	q->run_count--;
}

/* Ends of COPY data before the end of the head. */
static void take_copy_ends(struct exchange_queue *q)
{
	while (q->run_count > 0 && run_at(q, 0)->end == 'c')
		take(q, 0);
}

/* The exchange that was open, if any, ends with this message. */
static void push(struct exchange_queue *q, uint8_t end)
{
	const struct exchange_run run = { .count = 1,
		.kind = EXCHANGE_FORWARD,
		.end = end,
		.asked = end == 'S' ? 0 : q->open_asked };

	push_run(q, &run);
	q->open_asked = 0;
	if (end != 'c')
		q->open = false;
}

/* The head has been answered. */
static void pop(struct exchange_queue *q)
{
	take_copy_ends(q);
	take(q, 0);
	q->head_replied = 0;
	/* Whatever of these the last COPY did not use up was ignored. */
	while (q->run_count > 0 && run_at(q, 0)->end == 'c' && run_at(q, 0)->asked == 0)
		take(q, 0);
}

static void sent_copy_end(struct exchange_queue *q)
{
	if ((q->copy == EXCHANGE_COPY_IN && !q->copy_end_sent) ||
		q->copy == EXCHANGE_COPY_BOTH) {
		q->copy_end_sent = true;
		return;
	}
	/* Out of place: no COPY can begin before more is sent. */
	if (q->skipping || (q->pending == 0 && !q->open))
		return;
	if (q->run_count < EXCHANGE_RUNS_MAX - 1)
		push(q, 'c');
	else
		q->in_doubt = true;
}

/* Not for COPY: it fails before the server comes to this, or the session does. */
static void sent_in_copy(struct exchange_queue *q)
{
	if (q->copy == EXCHANGE_COPY_IN)
		q->copy_end_sent = true;
}

void exchange_sent(struct exchange_queue *q, uint8_t type)
{
	switch (type) {
	case 'S':
		q->unsynced = false;
		if (q->copy == EXCHANGE_COPY_IN && !q->copy_end_sent) {
			q->syncs_ignored++;
			return;
		}
		push(q, 'S');
		q->skipping = false;
		return;
	case 'Q':
	case 'F':
		sent_in_copy(q);
		if (!q->skipping)
			push(q, type);
		return;
	case 'c':
	case 'f':
		sent_copy_end(q);
		return;
	case 'd':
	case 'H':
		return;
	default:
		sent_in_copy(q);
		q->open = true;
		q->unsynced = true;
		q->open_asked++;
		return;
	}
}

void exchange_sent_own(struct exchange_queue *q)
{
	const struct exchange_run run = {
		.count = 1, .kind = EXCHANGE_SWALLOW, .end = 'Q'
	};

	push_run(q, &run);
}

void exchange_sent_own_until_sync(struct exchange_queue *q)
{
	const struct exchange_run run = {
		.count = 1, .kind = EXCHANGE_SWALLOW, .end = 'S'
	};

	push_run(q, &run);
}

enum exchange_reply exchange_owner(const struct exchange_queue *q)
{
	/* The end of COPY data is the client's, and so is what it lies in. */
	if (q->run_count > 0)
		return head(q)->kind == EXCHANGE_SWALLOW ? EXCHANGE_TO_ROUTER :
							   EXCHANGE_TO_CLIENT;
	return q->open || q->in_doubt || q->copy != EXCHANGE_NO_COPY ? EXCHANGE_TO_CLIENT :
								       EXCHANGE_UNASKED;
}

/* What ends the head: 'Q', 'F', 'S', or 0 when that is not sent yet.  *asked: the
 * messages before it. */
static uint8_t head_end(const struct exchange_queue *q, int64_t *asked)
{
	*asked = 0;
	for (uint32_t i = 0; i < q->run_count; i++) {
		const struct exchange_run *run =
			&q->runs[(q->first + i) % EXCHANGE_RUNS_MAX];

		*asked += run->asked * (int64_t)(run->end == 'c' ? run->count : 1);
		if (run->end != 'c')
			return run->end;
	}
	*asked += q->open_asked;
	return 0;
}

bool exchange_is_answered(const struct exchange_queue *q)
{
	int64_t asked;

	return q->pending == 0 && head_end(q, &asked) == 0 && q->head_replied >= asked;
}

/* Is it the messages before the end that the server is dealing with? */
static bool is_before_end(const struct exchange_queue *q)
{
	int64_t asked;
	uint8_t end = head_end(q, &asked);

	return end == 'S' || end == 0 || q->head_replied < asked;
}

/*
 * The server reads COPY data: whatever Sync was sent behind the COPY and before
 * its end will be ignored.  If it is an Execute's, the head begins anew behind
 * that end; if it is a Query's, the Query is still the head.
 */
static void copy_in_begins(struct exchange_queue *q)
{
	bool is_query = !is_before_end(q);
	uint32_t at = is_query ? 1 : 0;
	/* Messages of the head up to the one that began the COPY. */
	int64_t before = is_query ? 0 : q->head_replied + 1;

	if (is_query)
		take_copy_ends(q);
	q->copy = EXCHANGE_COPY_IN;
	q->copy_end_sent = is_query && run_at(q, 0)->count > 1;
	q->syncs_ignored = 0;
	while (q->run_count > at && !q->copy_end_sent) {
		const struct exchange_run run = *run_at(q, at);

		if (run.end == 'S') {
			q->syncs_ignored++;
			before = 0;
		} else if (run.end == 'c' && run.asked <= before) {
			q->copy_end_sent = run.asked == before;
			before -= run.asked;
		} else {
			/* Not for COPY, as above. */
			q->copy_end_sent = true;
			break;
		}
		take(q, at);
	}
	if (q->run_count == at && q->open_asked > before)
		q->copy_end_sent = true;
	if (is_query)
		return;
	q->head_replied = before - 1;
	if (q->pending == 0)
		q->open = true;
}

/* After an error in an extended message: all up to the next Sync is skipped and
 * gets no answer. */
static void skip_to_sync(struct exchange_queue *q)
{
	while (q->run_count > 0 && run_at(q, 0)->end != 'S')
		take(q, 0);
	if (q->run_count > 0)
		return;
	q->open = true;
	q->open_asked = 0;
	q->skipping = true;
}

bool exchange_error_skips(const struct exchange_queue *q)
{
	return is_before_end(q) && (q->run_count > 0 || q->open);
}

static void on_error(struct exchange_queue *q)
{
	if (q->copy == EXCHANGE_COPY_IN && q->syncs_ignored > 0)
		q->in_doubt = true;
	q->copy = EXCHANGE_NO_COPY;
	q->syncs_ignored = 0;
	if (exchange_error_skips(q))
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
