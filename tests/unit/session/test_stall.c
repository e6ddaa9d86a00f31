/* SPDX-License-Identifier: ISC */
/*
 * What the router waits for, from what was sent and received (">" and "<" with the
 * type; the ReadyForQuery of a transaction is "<t", outside of one "<Z").
 */
#include <check.h>

#include "session/stall.h"
#include "suites.h"

struct row {
	const char *story;
	struct stall_facts facts; /* without the queue */
	enum stall stall;
	const char *why;
};

static void play(struct exchange_queue *q, const char *story)
{
	exchange_init(q);
	for (const char *c = story; *c != '\0'; c += 2) {
		bool ok = true;

		if (*c == ' ')
			c++;
		if (c[0] == '>')
			exchange_sent(q, (uint8_t)c[1]);
		else if (c[1] == 't')
			ok = exchange_received(q, 'Z', 'T');
		else
			ok = exchange_received(q, (uint8_t)c[1], 'I');
		ck_assert_msg(ok, "%s: unasked at %s", story, c);
	}
}

static const struct row rows[] = {
	/* transaction */
	{ "", { 0 }, STALL_NONE, "a session that has done nothing" },
	{ ">Q <C<Z", { 0 }, STALL_NONE, "a session outside a transaction" },
	{ ">Q <C<t", { 0 }, STALL_TRANSACTION, "between two queries of a transaction" },
	{ ">Q <C<t >Q", { 0 }, STALL_NONE, "its next query runs" },
	{ ">Q <C<t >Q <C", { 0 }, STALL_NONE, "that query is not over before Ready" },
	{ ">Q>Q <C<t", { 0 }, STALL_NONE, "the second of two that were sent at once" },
	{ ">Q <C<t >H", { 0 }, STALL_TRANSACTION, "Flush asks for nothing" },
	{ ">P>B>E>S <1<2<C<t", { 0 }, STALL_TRANSACTION,
		"the same by extended messages" },
	{ ">Q <C<t", { .is_unsent = true }, STALL_NONE, "something is on its way" },

	/* sync */
	{ ">P", { 0 }, STALL_SYNC, "Parse alone" },
	{ ">P>B>E>H <1<2<C", { 0 }, STALL_SYNC, "all answered, no Sync" },
	{ ">P>B>E", { 0 }, STALL_SYNC, "not told from this until flushed" },
	{ ">Q <C<t >P", { 0 }, STALL_SYNC, "in a transaction as well" },
	{ ">Q>P", { 0 }, STALL_NONE, "the query before it runs" },
	{ ">P>B>E>S>P", { 0 }, STALL_NONE, "the exchange before it runs" },
	{ ">P <E", { 0 }, STALL_SYNC, "after an error all is skipped up to Sync" },
	{ ">P <E >Q>Q", { 0 }, STALL_SYNC, "queries are skipped, too" },
	{ ">P>B>E>S", { 0 }, STALL_NONE, "with Sync PostgreSQL's turn has come" },

	/* copy */
	{ ">Q", { 0 }, STALL_NONE, "COPY not begun" },
	{ ">Q <G", { 0 }, STALL_COPY, "no data" },
	{ ">Q <G >d", { 0 }, STALL_COPY, "no more data" },
	{ ">Q <G >d", { .message = 'd' }, STALL_COPY, "in the middle of a line of data" },
	{ ">Q <G >d", { .is_unsent = true }, STALL_NONE,
		"PostgreSQL does not take the data" },
	{ ">Q <G >d>c", { 0 }, STALL_NONE, "the data are complete" },
	{ ">Q <G >f", { 0 }, STALL_NONE, "or given up" },
	{ ">P>B>E>S <1<2<G", { 0 }, STALL_COPY,
		"the Sync was sent early and read as data" },
	{ ">Q <H", { 0 }, STALL_NONE, "COPY TO: rows are to come" },

	/* reader */
	{ ">Q <T", { .is_unread = true }, STALL_READER, "rows that nobody reads" },
	{ ">Q <H", { .is_unread = true }, STALL_READER, "COPY TO that nobody reads" },
	{ ">Q <G", { .is_unread = true, .is_unsent = true }, STALL_READER,
		"reading comes first" },

	/* message */
	{ ">Q", { .message = 'Q' }, STALL_MESSAGE, "half a query" },
	{ ">F", { .message = 'F' }, STALL_MESSAGE, "half a call" },
	{ ">Q <C<t >Q", { .message = 'Q' }, STALL_MESSAGE,
		"half a query in a transaction" },
	{ ">Q>Q", { .message = 'Q' }, STALL_NONE, "the query before it runs" },
	{ ">Q>Q <C<t", { .message = 'Q' }, STALL_MESSAGE, "until it is answered" },
	{ ">Q", { .message = 'd' }, STALL_NONE, "data before their COPY has begun" },
	{ ">P", { .message = 'P' }, STALL_MESSAGE, "half a Parse" },
	{ ">P>B", { .message = 'B' }, STALL_MESSAGE, "half a Bind" },
	{ ">P>B>E>S>B", { .message = 'B' }, STALL_NONE, "the exchange before it runs" },
	{ ">P <E >Q", { .message = 'Q' }, STALL_MESSAGE, "half a query that is skipped" },
	{ ">Q", { .message = 'Q', .is_unsent = true }, STALL_NONE,
		"PostgreSQL does not read" },
};

START_TEST(tells_what_is_waited_for)
{
	const struct row *row = &rows[_i];
	struct stall_facts facts = row->facts;
	struct exchange_queue q;
	enum stall stall;

	play(&q, row->story);
	facts.xq = &q;
	stall = stall_judge(&facts);
	ck_assert_msg(stall == row->stall, "\"%s\", %s: \"%s\"", row->story, row->why,
		stall_word(stall));
}
END_TEST

static const struct {
	const char *story;
	bool is_answered;
} answers[] = {
	{ ">P", false },
	{ ">P <1", true },
	{ ">P>B>E <1<2", false },
	{ ">P>B>D>E <1<2<T<C", true },
	{ ">P>B>D>E <1<2<n<I", true },
	{ ">P>B>E <1<2<s", true },
	{ ">P>B>E <1<2<C >E", false },
	{ ">P>B>E>S <1<2<C<Z >P", false },
	{ ">P>B>E>S <1<2<C<Z >P <1", true },
	{ ">P>B>E <1<E", true },
	{ ">P>B>E <1<2<G >d>c", false },
	{ ">P>B>E <1<2<G >d>c <C", true },
	{ ">P>B>E>S <1<2<G >d>c <C", true },
};

START_TEST(counts_answers)
{
	struct exchange_queue q;

	play(&q, answers[_i].story);
	ck_assert_msg(stall_is_answered(&q) == answers[_i].is_answered, "%s",
		answers[_i].story);
}
END_TEST

START_TEST(has_a_word_for_each)
{
	for (int i = 0; i < STALL_COUNT; i++)
		ck_assert_int_eq(stall_word((enum stall)i)[0] == '\0', i == STALL_NONE);
}
END_TEST

Suite *stall_suite(void)
{
	Suite *s = suite_create("session/stall");
	TCase *tc = tcase_create("stall_judge");

	tcase_add_loop_test(tc, tells_what_is_waited_for, 0, (int)COUNT_OF(rows));
	tcase_add_loop_test(tc, counts_answers, 0, (int)COUNT_OF(answers));
	tcase_add_test(tc, has_a_word_for_each);
	suite_add_tcase(s, tc);
	return s;
}
