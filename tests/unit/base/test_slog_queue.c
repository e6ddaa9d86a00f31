/* SPDX-License-Identifier: ISC */
#include "base/slog_queue.h"

#include <check.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/suites.h"

enum { WRITERS = 4, LINES_EACH = 500, LONG = 1000, PATIENCE_US = 10000000 };

static sem_t may_write;
static sem_t has_begun;
static _Atomic bool waits;
static _Atomic bool fails;
static char *seen;                      /* what was written */
static size_t seen_len;
static char left[64 * 1024];
static size_t left_len;

static void add(char *to, size_t *len, const struct slog_queue_line *l)
{
	memcpy(to + *len, l->text, l->len);
	*len += l->len;
	to[(*len)++] = '\n';
	to[*len] = '\0';
}

static bool write_line(const struct slog_queue_line *l)
{
	if (waits) {
		sem_post(&has_begun);
		while (sem_wait(&may_write) < 0)
			;
	}
	if (fails)
		return false;
	add(seen, &seen_len, l);
	return true;
}

static void on_left(const struct slog_queue_line *l)
{
	if (left_len + l->len + 2 < sizeof(left))
		add(left, &left_len, l);
}

static bool put(const char *text, size_t len)
{
	const struct slog_queue_line line = { .level = SLOG_INFO, .event = "x", .text = text,
		.len = len };

	return slog_queue_put(&line);
}

/* As the program's sinks do. */
static void sink(enum slog_level level, const char *event, const char *body)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "%s %s", event, body);

	(void)level;
	put(text, (size_t)n);
}

static void set_up(void)
{
	seen = calloc(1, 4 * SLOG_QUEUE_SIZE);
	seen_len = left_len = 0;
	waits = fails = false;
	sem_init(&may_write, 0, 0);
	sem_init(&has_begun, 0, 0);
	ck_assert(!put("too early", 9));
	ck_assert_int_eq(slog_queue_start(write_line), 0);
}

static void tear_down(void)
{
	slog_set_sink(NULL);
	free(seen);
	sem_destroy(&may_write);
	sem_destroy(&has_begun);
}

static void *write_many(void *arg)
{
	char text[32];

	for (int i = 0; i < LINES_EACH; i++) {
		int n = snprintf(text, sizeof(text), "%d %d", *(int *)arg, i);

		ck_assert(put(text, (size_t)n));
	}
	return NULL;
}

/* Each writer's lines arrive whole and in its order. */
START_TEST(keeps_the_order_of_each_thread)
{
	pthread_t threads[WRITERS];
	int numbers[WRITERS], next[WRITERS] = { 0 }, count = 0;

	for (int i = 0; i < WRITERS; i++) {
		numbers[i] = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_many, &numbers[i]), 0);
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert(slog_queue_stop(PATIENCE_US));
	for (char *line = strtok(seen, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		int who, number;

		ck_assert_int_eq(sscanf(line, "%d %d", &who, &number), 2);
		ck_assert_int_eq(number, next[who]++);
		count++;
	}
	ck_assert_int_eq(count, WRITERS * LINES_EACH);
	ck_assert(!put("too late", 8));
}
END_TEST

/* While the writer hangs nobody waits: what has no room is counted, and told behind what
 * had. */
START_TEST(a_full_queue_loses_and_says_so)
{
	uint64_t before = slog_queue_lost(), lost = 0;
	char text[LONG + 1];
	char said[64];

	memset(text, 'x', LONG);
	slog_set_sink(sink);
	waits = true;
	ck_assert(put("first", 5));
	while (sem_wait(&has_begun) < 0)
		;
	for (int i = 0; i < 2 * SLOG_QUEUE_SIZE / LONG; i++)
		ck_assert(put(text, LONG));
	lost = slog_queue_lost() - before;
	ck_assert_uint_gt(lost, SLOG_QUEUE_SIZE / LONG - 1);
	ck_assert(!slog_queue_drain(1000));
	waits = false;
	sem_post(&may_write);
	ck_assert(slog_queue_drain(PATIENCE_US));
	(void)snprintf(said, sizeof(said), "log-lost lines=%lu\n", (unsigned long)lost);
	ck_assert_msg(strstr(seen, said) != NULL, "%s", said);
	ck_assert(strncmp(seen, "first\n", 6) == 0);
	ck_assert(slog_queue_stop(PATIENCE_US));
}
END_TEST

/* It is not said where nothing can be said, and then once. */
START_TEST(what_cannot_be_written_is_told_later)
{
	uint64_t before = slog_queue_lost();

	slog_set_sink(sink);
	fails = true;
	for (int i = 0; i < 3; i++) {
		ck_assert(put("lost", 4));
		ck_assert(slog_queue_drain(PATIENCE_US));
	}
	ck_assert_uint_eq(slog_queue_lost() - before, 3);
	fails = false;
	ck_assert(put("again", 5));
	ck_assert(slog_queue_stop(PATIENCE_US));
	ck_assert_str_eq(seen, "again\nlog-lost lines=3\n");
}
END_TEST

START_TEST(a_crash_finds_what_is_left)
{
	waits = true;
	ck_assert(put("one", 3));
	while (sem_wait(&has_begun) < 0)
		;
	ck_assert(put("two", 3));
	ck_assert(put("three", 5));
	slog_queue_each_left(on_left);
	ck_assert_str_eq(left, "one\ntwo\nthree\n");
	waits = false;
	sem_post(&may_write);
	ck_assert(slog_queue_stop(PATIENCE_US));
	ck_assert_str_eq(seen, "one\ntwo\nthree\n");
}
END_TEST

Suite *slog_queue_suite(void)
{
	Suite *s = suite_create("base/slog_queue");
	TCase *tc = tcase_create("queue");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, keeps_the_order_of_each_thread);
	tcase_add_test(tc, a_full_queue_loses_and_says_so);
	tcase_add_test(tc, what_cannot_be_written_is_told_later);
	tcase_add_test(tc, a_crash_finds_what_is_left);
	suite_add_tcase(s, tc);
	return s;
}
