/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/child.h"
#include "suites.h"

enum { OUTPUT_MAX = 100 };

static bool run_for(const char *script, char *const *env, uint64_t timeout_us,
	struct child_answer *answer)
{
	char sh[] = "/bin/sh", c[] = "-c", *text = strdup(script);
	char *argv[] = { sh, c, text, NULL };
	struct child_order order = { .argv = argv, .env = env, .timeout_us = timeout_us,
		.output_max = OUTPUT_MAX };
	bool is_fine = child_run(&order, answer);

	free(text);
	ck_assert(is_fine == (answer->line != NULL));
	ck_assert(is_fine == (answer->why[0] == '\0'));
	return is_fine;
}

static bool run(const char *script, struct child_answer *answer)
{
	return run_for(script, NULL, 20 * USEC_PER_SEC, answer);
}

START_TEST(takes_one_line)
{
	static const struct {
		const char *script;
		const char *line;
		const char *why;
	} cases[] = {
		{ "echo abc", "abc", NULL },
		{ "printf abc", "abc", NULL },
		{ "printf 'a b\\r\\n'", "a b", NULL },
		{ "printf ' x '", " x ", NULL },
		{ "printf a; sleep 0.05; printf b", "ab", NULL },
		{ "echo abc; echo def", NULL, "it printed more than one line" },
		{ "true", NULL, "it printed nothing" },
		{ "echo", NULL, "it printed nothing" },
		{ "printf 'a\\0b'", NULL, "it printed a zero byte" },
		{ "echo abc; exit 3", NULL, "it ended with code 3" },
		{ "echo abc; kill -TERM $$", NULL, "it was ended by signal 15" },
		{ "head -c 101 /dev/zero | tr '\\0' x", NULL, "it printed more than a password can be" },
		{ "yes", NULL, "it printed more than a password can be" },
	};
	struct child_answer answer;

	(void)run(cases[_i].script, &answer);
	if (cases[_i].line == NULL) {
		ck_assert_ptr_null(answer.line);
		ck_assert_str_eq(answer.why, cases[_i].why);
	} else {
		ck_assert_msg(answer.line != NULL, "%s", answer.why);
		ck_assert_str_eq(answer.line, cases[_i].line);
	}
	free(answer.line);
}
END_TEST

START_TEST(a_program_that_is_not_there)
{
	char none[] = "/nonexistent/program", *argv[] = { none, NULL };
	struct child_order order = { .argv = argv, .timeout_us = USEC_PER_SEC,
		.output_max = OUTPUT_MAX };
	struct child_answer answer;

	ck_assert(!child_run(&order, &answer));
	ck_assert_str_eq(answer.why, "No such file or directory");
}
END_TEST

/* Its parent is another one now, which may take its time to bury it. */
static void await_end(int pid, uint64_t until_us)
{
	while (kill(pid, 0) == 0) {
		char path[64], state = '\0';
		FILE *f;
		int fields;

		(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		f = fopen(path, "r");
		if (f == NULL)
			break;
		/* Nothing is read where it was buried meanwhile. */
		fields = fscanf(f, "%*d %*s %c", &state);
		ck_assert_int_eq(fclose(f), 0);
		if (fields != 1 || state == 'Z')
			break;
		ck_assert_uint_lt(clock_now_us(), until_us);
	}
}

/* What it has begun goes with it, though that holds the pipes.  A busy machine may not have
 * begun anything in so short a time: then it has longer. */
START_TEST(does_not_wait_for_ever)
{
	uint64_t timeout_us = 300000, since;
	struct child_answer answer;

	do {
		since = clock_now_us();
		ck_assert(!run_for("sleep 1000 & echo $! >&2; exec sleep 1000", NULL, timeout_us,
			&answer));
		ck_assert_str_eq(answer.why, "it did not end in time");
		ck_assert_uint_ge(clock_now_us() - since, timeout_us);
		ck_assert_uint_lt(clock_now_us() - since, timeout_us + 20000000);
		timeout_us *= 4;
	} while (answer.errors[0] == '\0' && timeout_us < 20000000);
	ck_assert_int_gt(atoi(answer.errors), 1);
	await_end(atoi(answer.errors), clock_now_us() + 20000000);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

/* One that stays behind and keeps the pipes is not waited for, and ends. */
START_TEST(what_stays_behind_ends)
{
	uint64_t since = clock_now_us();
	struct child_answer answer;
	int pid;

	ck_assert(run("sleep 1000 & echo $!", &answer));
	ck_assert_uint_lt(clock_now_us() - since, 20000000);
	pid = atoi(answer.line);
	free(answer.line);
	ck_assert_int_gt(pid, 1);
	await_end(pid, since + 20000000);
	/* Also that of one that fails. */
	ck_assert(!run("sleep 1000 & echo $! >&2; exit 1", &answer));
	ck_assert_int_gt(atoi(answer.errors), 1);
	await_end(atoi(answer.errors), since + 20000000);
}
END_TEST

/* Nobody can be faster than who always has something. */
START_TEST(an_endless_complaint)
{
	char text[100];
	struct child_pipe zeros = { .fd = open("/dev/zero", O_RDONLY), .text = text,
		.max = sizeof(text) };

	ck_assert_int_ge(zeros.fd, 0);
	ck_assert_int_eq(child_drain(&zeros, true), 0);
	ck_assert_uint_eq(zeros.len, sizeof(text));
	ck_assert(zeros.was_cut);
	ck_assert_int_eq(lseek(zeros.fd, 0, SEEK_CUR), 0);
	ck_assert_int_eq(child_drain(&zeros, false), -EFBIG);
	ck_assert_int_eq(close(zeros.fd), 0);
}
END_TEST

/* So much, and no more; and all of what a pipe can hold. */
START_TEST(a_pipe_is_read_in_pieces)
{
	enum { WHOLE = 65536 };
	static char sent[WHOLE + 1000], text[2 * WHOLE];
	struct child_pipe end = { .text = text, .max = sizeof(text) };
	int fds[2];

	memset(sent, 'x', sizeof(sent));
	ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
	ck_assert_int_ge(fcntl(fds[1], F_SETPIPE_SZ, 2 * WHOLE), 2 * WHOLE);
	ck_assert_int_eq(write(fds[1], sent, sizeof(sent)), (int)sizeof(sent));
	ck_assert_int_eq(close(fds[1]), 0);
	end.fd = fds[0];
	ck_assert_int_eq(child_drain(&end, false), 0);
	ck_assert_uint_eq(end.len, WHOLE);
	ck_assert_int_eq(end.fd, fds[0]);
	ck_assert_int_eq(child_drain(&end, false), 0);
	ck_assert_uint_eq(end.len, sizeof(sent));
	ck_assert_int_eq(end.fd, -1);
}
END_TEST

START_TEST(who_never_stops_to_complain_ends_in_time)
{
	uint64_t since = clock_now_us();
	struct child_answer answer;

	ck_assert(!run_for("for i in 1 2 3 4; do yes >&2 & done; exec yes >&2", NULL, 300000,
		&answer));
	ck_assert_str_eq(answer.why, "it did not end in time");
	ck_assert_uint_lt(clock_now_us() - since, 20000000);
}
END_TEST

/* Where SIGCHLD is ignored nobody can be waited for: an end, and no answer. */
START_TEST(an_end_that_nobody_tells)
{
	uint64_t since = clock_now_us();
	struct child_answer answer;

	ck_assert_ptr_eq(signal(SIGCHLD, SIG_IGN), SIG_DFL);
	ck_assert(!run("echo abc", &answer));
	(void)signal(SIGCHLD, SIG_DFL);
	ck_assert_str_eq(answer.why, "it ended with code 255");
	ck_assert_uint_lt(clock_now_us() - since, 15000000);
}
END_TEST

START_TEST(gets_nothing_of_ours)
{
	char host[] = "PGHOST=a,b", *env[] = { host, NULL };
	struct child_answer answer;
	int fd = open("/dev/null", O_RDONLY), high = fcntl(fd, F_DUPFD, 200);

	ck_assert_int_ge(high, 200);
	ck_assert_int_eq(setenv("PGTANDEM_SECRET", "x", 1), 0);
	ck_assert(run_for("env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= -e ^PATH= | tr '\\n' ' '", env,
		20 * USEC_PER_SEC, &answer));
	ck_assert_str_eq(answer.line, "PGHOST=a,b ");
	free(answer.line);
	/* The descriptor of its own listing is the only other one. */
	ck_assert(run("ls /proc/self/fd | tr '\\n' ' '", &answer));
	ck_assert_str_eq(answer.line, "0 1 2 3 ");
	free(answer.line);
	ck_assert(run("cat; [ $(cut -d ' ' -f 6 /proc/$$/stat) = $$ ] && echo 1", &answer));
	ck_assert_str_eq(answer.line, "1");
	free(answer.line);
	close(high);
	close(fd);
}
END_TEST

START_TEST(hides_what_was_printed)
{
	struct child_answer answer;

	ck_assert(!run("echo Secret42; echo 'no good: Secret42, sorry' >&2; exit 1", &answer));
	ck_assert_str_eq(answer.errors, "no good: ********, sorry\n");
	/* The end of what is said is kept, and no half of a word. */
	ck_assert(!run("printf Secret42 >&2; head -c 505 /dev/zero | tr '\\0' x >&2;"
		       "echo ' the end' >&2; exit 1", &answer));
	ck_assert_ptr_nonnull(strstr(answer.errors, "* the end\n"));
	ck_assert_ptr_null(strchr(answer.errors, 'x'));
}
END_TEST

START_TEST(hides_each_word_of_a_secret)
{
	char text[] = "abcdef ghi abcdefabcdef longword x";

	child_hide(text, "abcdef x ghi longword", strlen("abcdef x ghi longword"));
	ck_assert_str_eq(text, "****** ghi ************ ******** x");
}
END_TEST

START_TEST(says_what_may_not_be_run)
{
	char path[] = "/tmp/pgtandem-child-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_ptr_null(child_problem("/bin/sh"));
	ck_assert_ptr_nonnull(strstr(child_problem("sh"), "whole path"));
	ck_assert_str_eq(child_problem("/tmp"), "it is no file");
	ck_assert_ptr_nonnull(child_problem("/nonexistent"));
	ck_assert_int_eq(chmod(path, 0600), 0);
	ck_assert_str_eq(child_problem(path), "it cannot be run");
	ck_assert_int_eq(chmod(path, 0702), 0);
	ck_assert_ptr_nonnull(strstr(child_problem(path), "everybody may change it"));
	ck_assert_int_eq(chmod(path, 0700), 0);
	ck_assert_ptr_null(child_problem(path));
	unlink(path);
}
END_TEST

Suite *child_suite(void)
{
	Suite *s = suite_create("net/child");
	TCase *tc = tcase_create("child_run");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, takes_one_line, 0, 13);
	tcase_add_test(tc, a_program_that_is_not_there);
	tcase_add_test(tc, does_not_wait_for_ever);
	tcase_add_test(tc, what_stays_behind_ends);
	tcase_add_test(tc, an_endless_complaint);
	tcase_add_test(tc, a_pipe_is_read_in_pieces);
	tcase_add_test(tc, who_never_stops_to_complain_ends_in_time);
	tcase_add_test(tc, an_end_that_nobody_tells);
	tcase_add_test(tc, gets_nothing_of_ours);
	tcase_add_test(tc, hides_what_was_printed);
	tcase_add_test(tc, hides_each_word_of_a_secret);
	tcase_add_test(tc, says_what_may_not_be_run);
	suite_add_tcase(s, tc);
	return s;
}
