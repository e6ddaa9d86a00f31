/* SPDX-License-Identifier: ISC */
#include "session/unseen.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* An answer holds for so long; the next is asked for while it still holds, by one who has
 * so much time for that. */
enum { FRESH_MS = 1000, DUE_MS = 750, CLAIM_US = 200000 };

/* Where that takes longer, in a database with very many tables and functions, the answer
 * holds longer, too: so PostgreSQL is not busy with this alone. */
enum { LONG_US = 500000, HOLDS_TIMES = 4, HOLDS_LONGER_US = 9000000 };

/* Whoever asks has heard something by then, or is gone. */
enum { ASKED_MAX_US = 6000000 };

/* Clocks of workers are as old as their turns. */
enum { SLACK_US = 1000000 };

/* The word: milliseconds, 16 bits of the generation, and these. */
enum { WORD_ABLE = 0x0f, WORD_IS_MIGHTY = 0x10, WORD_IS_VALID = 0x80 };
enum { WORD_GENERATION_SHIFT = 8, WORD_TIME_SHIFT = 24 };

void unseen_init(struct unseen *u)
{
	*u = (struct unseen){ .word = 0 };
	pthread_mutex_init(&u->lock, NULL);
}

void unseen_finish(struct unseen *u)
{
	pthread_mutex_destroy(&u->lock);
}

static uint64_t age_ms(uint64_t word, uint64_t now_us)
{
	uint64_t then_ms = word >> WORD_TIME_SHIFT, now_ms = now_us / USEC_PER_MSEC;

	return now_ms > then_ms ? now_ms - then_ms : 0;
}

static uint64_t took_us(struct unseen *u)
{
	return atomic_load_explicit(&u->took_us, memory_order_relaxed);
}

static uint64_t longer_ms(struct unseen *u)
{
	uint64_t longer_us = took_us(u) * HOLDS_TIMES;

	return (longer_us < HOLDS_LONGER_US ? longer_us : HOLDS_LONGER_US) / USEC_PER_MSEC;
}

static bool is_recent(struct unseen *u, uint64_t word, uint64_t now_us)
{
	return (word & WORD_IS_VALID) != 0 &&
		age_ms(word, now_us) < FRESH_MS + longer_ms(u);
}

static bool is_of(uint64_t word, uint64_t generation)
{
	return ((word >> WORD_GENERATION_SHIFT) & UINT16_MAX) == (generation & UINT16_MAX);
}

/* What has run since then, and may have left something at some time. */
static unsigned was_able(struct unseen *u, uint64_t since_us)
{
	unsigned able = 0;

	for (unsigned i = 0; i < UNSEEN_WAYS; i++) {
		uint64_t was_us = atomic_load(&u->was_us[i]);

		if (was_us != 0 && was_us + SLACK_US >= since_us)
			able |= 1u << i;
	}
	return able;
}

/* Code that was changed may be gone by now, and so may what an answer before has found.
 */
static bool may(
	struct unseen *u, uint64_t word, const struct unseen_ran *ran, uint64_t changes)
{
	unsigned able = ((unsigned)word & WORD_ABLE) | was_able(u, ran->since_us);

	if ((word & WORD_IS_MIGHTY) != 0 && ran->changes != changes)
		able = UNSEEN_ALL;
	return (ran->code & (able | UNSEEN_LOAD)) != 0;
}

enum unseen_verdict unseen_judge(struct unseen *u, const struct unseen_ran *ran,
	uint64_t generation, uint64_t changes, uint64_t now_us)
{
	uint64_t word = atomic_load(&u->word);

	if (ran->code == 0)
		return UNSEEN_CANNOT;
	/* Whatever the answer is. */
	if ((ran->code & UNSEEN_LOAD) != 0)
		return UNSEEN_MAY;
	if (!is_recent(u, word, now_us))
		return UNSEEN_UNKNOWN;
	/* That code has changed since makes nobody ask who would be told the worst. */
	if (may(u, word, ran, changes))
		return UNSEEN_MAY;
	return is_of(word, generation) ? UNSEEN_CANNOT : UNSEEN_UNKNOWN;
}

bool unseen_may(struct unseen *u, const struct unseen_ran *ran, uint64_t changes)
{
	return may(u, atomic_load(&u->word), ran, changes);
}

unsigned unseen_able(struct unseen *u)
{
	uint64_t word = atomic_load_explicit(&u->word, memory_order_relaxed);

	return (word & WORD_IS_VALID) == 0 ? (unsigned)UNSEEN_ALL
					   : (unsigned)word & WORD_ABLE;
}

unsigned unseen_known_able(struct unseen *u)
{
	return (unsigned)atomic_load_explicit(&u->word, memory_order_relaxed) & WORD_ABLE;
}

bool unseen_claim(struct unseen *u, uint64_t now_us)
{
	uint64_t word = atomic_load_explicit(&u->word, memory_order_relaxed);
	uint64_t claimed_us = atomic_load_explicit(&u->claimed_us, memory_order_relaxed);
	/* As the last one took long, so may this. */
	uint64_t lead_us = (word & WORD_ABLE) == UNSEEN_ALL ? 0 : 2 * took_us(u);

	if (age_ms(word, now_us + lead_us) < DUE_MS + longer_ms(u) ||
		now_us < claimed_us + CLAIM_US + lead_us)
		return false;
	return atomic_compare_exchange_strong(&u->claimed_us, &claimed_us, now_us);
}

bool unseen_is_asked(struct unseen *u, uint64_t now_us)
{
	uint64_t asked_us = atomic_load_explicit(&u->asked_us, memory_order_relaxed);

	if (asked_us == 0 || now_us >= asked_us + ASKED_MAX_US)
		return false;
	return took_us(u) > 0 || now_us >= asked_us + LONG_US;
}

void unseen_ask(struct unseen *u, uint64_t now_us)
{
	atomic_store_explicit(&u->asked_us, now_us, memory_order_relaxed);
}

void unseen_ask_ends(struct unseen *u)
{
	atomic_store_explicit(&u->asked_us, 0, memory_order_relaxed);
}

/* --- the answer ---------------------------------------------------------------------- */

static void keep(struct unseen *u, unsigned able, bool is_mighty, uint64_t generation,
	uint64_t asked_us)
{
	uint64_t now = asked_us / USEC_PER_MSEC << WORD_TIME_SHIFT |
		(generation & UINT16_MAX) << WORD_GENERATION_SHIFT | WORD_IS_VALID |
		(is_mighty ? WORD_IS_MIGHTY : 0) | able;
	uint64_t word = atomic_load(&u->word);

	/* A later one may have come first. */
	while (word >> WORD_TIME_SHIFT <= now >> WORD_TIME_SHIFT &&
		!atomic_compare_exchange_weak(&u->word, &word, now))
		;
	for (unsigned i = 0; i < UNSEEN_WAYS; i++) {
		if ((able & 1u << i) != 0)
			atomic_store(&u->was_us[i], asked_us);
	}
}

void unseen_take(struct unseen *u, const struct unseen_answer *answer,
	uint64_t generation, uint64_t asked_us, uint64_t now_us)
{
	uint64_t took = now_us - asked_us > LONG_US ? now_us - asked_us : 0;

	pthread_mutex_lock(&u->lock);
	if (!answer->is_same)
		u->last = *answer;
	atomic_store_explicit(&u->took_us, took, memory_order_relaxed);
	unseen_ask_ends(u);
	keep(u, answer->able, answer->is_mighty, generation, asked_us);
	pthread_mutex_unlock(&u->lock);
}

void unseen_fail(struct unseen *u, uint64_t generation, uint64_t asked_us)
{
	static const struct unseen_answer all = { .able = UNSEEN_ALL, .is_mighty = true };

	pthread_mutex_lock(&u->lock);
	u->last = all;
	/* So nobody asks for ten seconds, and then only one does. */
	atomic_store_explicit(
		&u->took_us, HOLDS_LONGER_US / HOLDS_TIMES, memory_order_relaxed);
	unseen_ask_ends(u);
	keep(u, all.able, all.is_mighty, generation, asked_us);
	pthread_mutex_unlock(&u->lock);
}

void unseen_name(struct unseen *u, char to[UNSEEN_NAME_MAX])
{
	pthread_mutex_lock(&u->lock);
	(void)snprintf(to, UNSEEN_NAME_MAX, "%s", u->last.name);
	pthread_mutex_unlock(&u->lock);
}
