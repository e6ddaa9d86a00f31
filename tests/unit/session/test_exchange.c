/* SPDX-License-Identifier: ISC */
/*
 * The rules of exchange.h by name: what was sent and received, and where that
 * leaves the queue.  The long stories were found by the model (world.h).
 *
 * What PostgreSQL 15 answered to the doubtful ones, sent over a plain socket:
 *   Q(copy;copy) c S c S          GC GC Z Z: the first Sync was data
 *   Q(copy) c S c S               GC Z Z Z
 *   P B E(copy) d(bad) c Q, S     12G E, nothing for the Query; Z
 *   P B E(copy) c P B E(copy) c S 12GC 12GC Z
 *   P c B E(copy) S, c S          12G, CZ: CopyDone before the COPY was ignored
 *   P B E(copy) S, d(bad), c S    12G, E, Z: nothing for the first Sync
 *   P(bad) Q, Q, S                E, nothing, Z
 *   P Q(bad)                      1 E Z
 *   P(bad) F, S                   E, Z
 *   Q(copy) Q                     G E, and FATAL
 */
#include <string.h>

#include <check.h>

#include "session/exchange.h"
#include "suites.h"

enum state { IDLE, BUSY, OPEN, SKIPPING, DOUBT };

struct row {
	/* ">" sent, "<" received, "q" the router's own Query */
	const char *story;
	enum state state;
	uint32_t pending;
	enum exchange_reply owner;
	const char *why;
};

static void play(struct exchange_queue *q, const char *story)
{
	exchange_init(q);
	for (const char *c = story; *c != '\0'; c += 2) {
		if (*c == ' ')
			c++;
		if (c[0] == '<')
			ck_assert_msg(exchange_received(q, (uint8_t)c[1], 'I'),
				"%s: unasked at %s", story, c);
		else if (c[1] == 'q')
			exchange_sent_own(q);
		else
			exchange_sent(q, (uint8_t)c[1]);
	}
}

static enum state state_of(const struct exchange_queue *q)
{
	if (q->in_doubt)
		return DOUBT;
	if (exchange_is_idle(q))
		return IDLE;
	if (q->skipping)
		return SKIPPING;
	return q->pending > 0 ? BUSY : OPEN;
}

#define CLIENT EXCHANGE_TO_CLIENT
#define ROUTER EXCHANGE_TO_ROUTER
#define NOBODY EXCHANGE_UNASKED

static const struct row rows[] = {
	{ "", IDLE, 0, NOBODY, "nothing was sent" },
	{ ">Q", BUSY, 1, CLIENT, "a Query is an exchange" },
	{ ">F", BUSY, 1, CLIENT, "a FunctionCall is an exchange" },
	{ ">S", BUSY, 1, CLIENT, "a Sync is an exchange" },
	{ ">Q<T<D<C<Z", IDLE, 0, NOBODY, "ReadyForQuery ends it" },
	{ ">Q<E<Z", IDLE, 0, NOBODY, "so after an error" },
	{ ">H>d>c>f", IDLE, 0, NOBODY, "these are ignored outside of COPY" },
	{ ">P", OPEN, 0, CLIENT, "an extended message waits for its Sync" },
	{ ">P>B>D>E>H<1<2<T<D<C", OPEN, 0, CLIENT, "Flush ends nothing" },
	{ ">P>B>E>S", BUSY, 1, CLIENT, "up to Sync it is one exchange" },
	{ ">P>B>E>S<1<2<C<Z", IDLE, 0, NOBODY, "and one ReadyForQuery" },
	{ ">Q>Q>Q<C<Z", BUSY, 2, CLIENT, "exchanges are answered one by one" },
	{ ">S>P>S<Z<1", BUSY, 1, CLIENT, "Syncs that follow each other, too" },
	{ ">q", BUSY, 1, ROUTER, "the router's own is swallowed" },
	{ ">q>Q", BUSY, 2, ROUTER, "replies belong to the head" },
	{ ">q>Q<C<Z", BUSY, 1, CLIENT, "which is the client's now" },
	{ ">q>q>P<C<Z<E<Z", OPEN, 0, CLIENT, "an open exchange comes behind" },

	{ ">P<E", SKIPPING, 0, CLIENT, "after an error all is skipped to Sync" },
	{ ">P<E>Q>F>B", SKIPPING, 0, CLIENT, "a Query, too" },
	{ ">P<E>Q>S<Z", IDLE, 0, NOBODY, "Sync ends that" },
	{ ">P>S<E>Q", BUSY, 2, CLIENT, "not what comes behind the Sync" },
	{ ">P>S<E>Q<Z<C<Z", IDLE, 0, NOBODY, "which has an answer of its own" },
	{ ">P>Q<E", SKIPPING, 0, CLIENT, "the Query was sent before the error was seen" },
	{ ">P>Q<1<E<Z", IDLE, 0, NOBODY, "here the Query failed, not the Parse" },
	{ ">P>B>D>E>Q<1<2<n<E>S<Z", IDLE, 0, NOBODY, "here the Execute failed" },
	{ ">P>Q>Q>S>Q<E", BUSY, 2, CLIENT, "skipped are those before the Sync" },
	{ ">D>Q<t<n<E<Z", IDLE, 0, NOBODY, "two replies to one Describe" },
	{ ">E>Q<D<s<E<Z", IDLE, 0, NOBODY, "a suspended portal is a reply" },
	{ ">E>C>Q<I<3<E<Z", IDLE, 0, NOBODY, "so are those of Close and of nothing" },
	{ ">P>F<E", SKIPPING, 0, CLIENT, "a FunctionCall is skipped as well" },

	{ ">Q<G", BUSY, 1, CLIENT, "a COPY wants data" },
	{ ">Q<G>S>H>S<C<Z", IDLE, 0, NOBODY, "Sync in COPY data is ignored" },
	{ ">Q<G>d>c>S<C<Z", BUSY, 1, CLIENT, "behind the data it is not" },
	{ ">P>B>E>S<1<2<G", OPEN, 0, CLIENT, "this Sync will be read as data" },
	{ ">P>B>E>S<1<2<G>d>c>S<C<Z", IDLE, 0, NOBODY, "as libpq does it" },
	{ ">P>B>E>S>d>c>S<1<2<G<C<Z", IDLE, 0, NOBODY, "the same, all sent at once" },
	{ ">P>B>E>d>c>S<1<2<G<C<Z", IDLE, 0, NOBODY, "with one Sync only" },
	{ ">P>B>E>S>S>S>c>S>S<1<2<G<C<Z<Z", IDLE, 0, NOBODY, "many Syncs" },
	{ ">Q>d>c>Q>d>c<G<C<Z<G<C<Z", IDLE, 0, NOBODY, "COPY behind COPY" },
	{ ">Q>c>S>c>S<G<C<G<C<Z<Z", IDLE, 0, NOBODY, "two COPYs in one Query" },
	{ ">Q>c>S>c>S<G<C<Z<Z<Z", IDLE, 0, NOBODY, "one COPY, and one CopyDone too much" },
	{ ">Q<G>c>S<C<G>c<C<Z", IDLE, 0, NOBODY, "the Sync was data of the second" },
	{ ">P>B>E>c>P>B>E>c>S<1<2<G<C<1<2<G<C<Z", IDLE, 0, NOBODY,
		"two COPYs before one Sync" },
	{ ">P>B>E>c>B>E>c>E>Q<1<2<G<C<2<G<C<C<E<Z", IDLE, 0, NOBODY,
		"which of the messages began the COPY is counted" },
	{ ">P>c>B>E>S>c>S<1<2<G<C<Z", IDLE, 0, NOBODY,
		"CopyDone before the Execute does not end its COPY" },
	{ ">c>Q<G>S>c<C<Z", IDLE, 0, NOBODY, "nor one that nothing was before" },
	{ ">Q>c>Q>S>c<C<Z<G<C<Z", IDLE, 0, NOBODY, "nor one behind another Query" },
	{ ">P<E>f>S<Z>E>S<G>f<E>S<Z", DOUBT, 0, CLIENT,
		"nor one that was skipped; its COPY has a Sync" },
	{ ">d>f>E<G>S>f<E>S<Z", DOUBT, 0, CLIENT, "nor one on an idle server" },
	{ ">Q<H<d<c<C<Z", IDLE, 0, NOBODY, "COPY OUT needs nothing" },
	{ ">Q>S<H<d<c<C<Z", BUSY, 1, CLIENT, "and ignores nothing" },
	{ ">Q<W>d<d>c<c<C<Z", IDLE, 0, NOBODY, "both ways" },

	{ ">Q<G>d>f<E<Z", IDLE, 0, NOBODY, "CopyFail is an error" },
	{ ">Q<G>d<E<Z>d>c", IDLE, 0, NOBODY, "data that nobody wants any more" },
	{ ">Q>d>c>S<G<E<Z", BUSY, 1, CLIENT, "the Sync behind the data is sure" },
	{ ">P>B>E>d>c>S<1<2<G<E<Z", IDLE, 0, NOBODY, "so is the only one" },
	{ ">P>B>E>c>Q<1<2<G<E", SKIPPING, 0, CLIENT, "a Query behind it is skipped" },
	{ ">P>B>E<1<2<G>d>f>S<E<Z", IDLE, 0, NOBODY, "a Flush, no Sync, no doubt" },
	{ ">P>B>E>S<1<2<G<E", DOUBT, 0, CLIENT, "was the Sync read before the error?" },
	{ ">Q<G>S<E<Z", DOUBT, 0, CLIENT, "so with a Query" },
	{ ">P>B>E>S<1<2<G>d>c<E>S<Z", DOUBT, 0, CLIENT, "the doubt remains" },
	{ ">P>B>E>S<1<2<G<E>d>c>S<Z<Z", DOUBT, 0, CLIENT, "ReadyForQuery may come twice" },
	{ ">Q>d>Q<G>d>c>S<E<Z", BUSY, 2, CLIENT,
		"what is no data ends it: nothing behind was read as such" },
	{ ">Q>E>c<G>S<E<Z<G", BUSY, 1, CLIENT, "nor was what lies behind an Execute" },
};

START_TEST(story_ends_as_expected)
{
	const struct row *row = &rows[_i];
	struct exchange_queue q;

	play(&q, row->story);
	ck_assert_msg(state_of(&q) == row->state, "%s: %s (state %d)", row->story, row->why,
		state_of(&q));
	ck_assert_msg(q.pending == row->pending, "%s: %s (pending %u)", row->story, row->why,
		q.pending);
	ck_assert_msg(exchange_owner(&q) == row->owner, "%s: %s (owner)", row->story,
		row->why);
}
END_TEST

START_TEST(answered_is_what_has_all_its_replies)
{
	static const struct {
		const char *story;
		bool is_answered;
	} cases[] = {
		{ "", true }, { ">P", false }, { ">P<1", true }, { ">P>B<1", false },
		{ ">P>B>E>H<1<2", false }, { ">P>B>E>H<1<2<C", true }, { ">D<t", false },
		{ ">D<t<n", true }, { ">Q>P<1", false }, { ">Q>P<C<Z", false },
		{ ">Q>P<C<Z<1", true }, { ">P>B>E>S>P<1<2<C<Z", false },
		{ ">P>B>E>d>c>B<1<2<G", false }, { ">P>B>E>d>c>B<1<2<G<C<2", true },
		{ ">P>S<1", false }, { ">P>S<1<Z", true },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct exchange_queue q;

		play(&q, cases[i].story);
		ck_assert_msg(exchange_is_answered(&q) == cases[i].is_answered, "%s",
			cases[i].story);
	}
}
END_TEST

START_TEST(ready_that_nothing_asked_for_is_refused)
{
	static const char *const before[] = { "", ">Q<Z", ">P", ">d>c" };
	struct exchange_queue q;

	for (size_t i = 0; i < COUNT_OF(before); i++) {
		play(&q, before[i]);
		ck_assert_msg(!exchange_received(&q, 'Z', 'I'), "%s", before[i]);
	}
}
END_TEST

START_TEST(status_is_that_of_the_last_ready)
{
	struct exchange_queue q;

	exchange_init(&q);
	ck_assert_int_eq(q.status, 'I');
	exchange_sent(&q, 'Q');
	ck_assert(exchange_received(&q, 'Z', 'T'));
	ck_assert_int_eq(q.status, 'T');
}
END_TEST

START_TEST(exchanges_that_are_alike_need_no_room)
{
	struct exchange_queue q;

	exchange_init(&q);
	for (uint32_t i = 0; i < 100000; i++) {
		ck_assert(exchange_has_room(&q));
		for (const char *type = "PBDES"; *type != '\0'; type++)
			exchange_sent(&q, (uint8_t)*type);
	}
	ck_assert_uint_eq(q.pending, 100000);
	for (uint32_t i = 0; i < 100000; i++)
		ck_assert(exchange_received(&q, 'Z', 'I'));
	ck_assert(exchange_is_idle(&q));
}
END_TEST

START_TEST(room_ends_and_comes_back)
{
	struct exchange_queue q;
	uint32_t sent = 0;

	exchange_init(&q);
	while (exchange_has_room(&q))
		exchange_sent(&q, (uint8_t)"QF"[sent++ % 2]);
	ck_assert_uint_ge(sent, EXCHANGE_RUNS_MAX - 1);
	ck_assert_uint_eq(q.pending, sent);
	ck_assert(exchange_received(&q, 'Z', 'I'));
	ck_assert(exchange_has_room(&q));
}
END_TEST

/* A client must be able to end what is open, however much nonsense it sent. */
START_TEST(open_exchange_always_has_room_for_its_end)
{
	struct exchange_queue q;

	exchange_init(&q);
	for (uint32_t i = 1; i < 100; i++) {
		for (uint32_t n = 0; n < i; n++)
			exchange_sent(&q, 'P');
		exchange_sent(&q, 'c');
		ck_assert(exchange_has_room(&q));
	}
	/* More places than are kept. */
	ck_assert(q.in_doubt);
	exchange_sent(&q, 'S');
	ck_assert_uint_eq(q.pending, 1);
	ck_assert(exchange_received(&q, 'Z', 'I'));
	ck_assert_uint_eq(q.pending, 0);
}
END_TEST

Suite *exchange_suite(void)
{
	Suite *s = suite_create("session/exchange");
	TCase *tc = tcase_create("exchange");

	tcase_add_loop_test(tc, story_ends_as_expected, 0, (int)COUNT_OF(rows));
	tcase_add_test(tc, answered_is_what_has_all_its_replies);
	tcase_add_test(tc, ready_that_nothing_asked_for_is_refused);
	tcase_add_test(tc, status_is_that_of_the_last_ready);
	tcase_add_test(tc, exchanges_that_are_alike_need_no_room);
	tcase_add_test(tc, room_ends_and_comes_back);
	tcase_add_test(tc, open_exchange_always_has_room_for_its_end);
	suite_add_tcase(s, tc);
	return s;
}
