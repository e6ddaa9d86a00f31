/* SPDX-License-Identifier: ISC */
#include "net/addr.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/suites.h"

static const struct {
	const char *text;
	int family;
	uint16_t port;
	const char *shown;
} good[] = {
	{ "127.0.0.1:6432", AF_INET, 6432, "127.0.0.1:6432" },
	{ "0.0.0.0:1", AF_INET, 1, "0.0.0.0:1" },
	{ "[::1]:65535", AF_INET6, 65535, "[::1]:65535" },
	{ "[::]:6432", AF_INET6, 6432, "[::]:6432" },
	{ "*:6432", AF_UNSPEC, 6432, "*:6432" },
	{ "unix:/tmp:6432", AF_UNIX, 0, "unix:/tmp:6432" },
};

START_TEST(parses_and_shows)
{
	char why[256] = "", text[ADDR_TEXT_MAX];
	struct addr a;

	ck_assert_int_eq(addr_parse_listen(good[_i].text, &a, why, sizeof(why)), 0);
	ck_assert_int_eq(a.sa.sa_family, good[_i].family);
	ck_assert_uint_eq(addr_port(&a), good[_i].port);
	ck_assert_str_eq(addr_text(&a, text, sizeof(text)), good[_i].shown);
}
END_TEST

START_TEST(slashes_at_the_end_say_nothing)
{
	char why[256] = "";
	struct addr a, b;

	ck_assert_int_eq(addr_parse_listen("unix:/tmp:6432", &a, why, sizeof(why)), 0);
	ck_assert_int_eq(addr_parse_listen("unix:/tmp//:6432", &b, why, sizeof(why)), 0);
	ck_assert(addr_equal(&a, &b));
}
END_TEST

static const struct {
	const char *why;
	const char *text;
} bad[] = {
	{ "empty", "" },
	{ "no port", "127.0.0.1" },
	{ "port empty", "127.0.0.1:" },
	{ "port zero", "127.0.0.1:0" },
	{ "port too large", "127.0.0.1:65536" },
	{ "port not a number", "127.0.0.1:64a" },
	{ "port very long", "127.0.0.1:000000000000000000001" },
	{ "a name", "localhost:6432" },
	{ "IPv6 without brackets", "::1:6432" },
	{ "brackets with IPv4", "[127.0.0.1]:6432" },
	{ "one bracket", "[::1:6432" },
	{ "relative directory", "unix:tmp:6432" },
	{ "no directory", "unix::6432" },
	{ "path too long",
		"unix:/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaa:6432" },
};

START_TEST(refuses_and_says_why)
{
	char why[256] = "";
	struct addr a;

	ck_assert_msg(
		addr_parse_listen(bad[_i].text, &a, why, sizeof(why)) == -EINVAL, "%s",
		bad[_i].why);
	ck_assert_msg(strlen(why) > 0, "%s", bad[_i].why);
}
END_TEST

START_TEST(compares)
{
	struct addr a[COUNT_OF(good)];
	char why[256];

	for (size_t i = 0; i < COUNT_OF(good); i++)
		ck_assert_int_eq(
			addr_parse_listen(good[i].text, &a[i], why, sizeof(why)), 0);
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		for (size_t k = 0; k < COUNT_OF(good); k++)
			ck_assert(addr_equal(&a[i], &a[k]) == (i == k));
	}
}
END_TEST

static const struct {
	const char *wide;
	const char *narrow;
	bool covers;
} covering[] = {
	{ "*:1", "127.0.0.1:1", true },
	{ "*:1", "0.0.0.0:1", true },
	{ "*:1", "[::]:1", true },
	{ "*:1", "[::1]:1", true },
	{ "*:1", "*:1", false },
	{ "*:1", "127.0.0.1:2", false },
	{ "*:1", "unix:/tmp:1", false },
	{ "0.0.0.0:1", "127.0.0.1:1", true },
	{ "0.0.0.0:1", "0.0.0.0:1", false },
	{ "0.0.0.0:1", "[::1]:1", false },
	{ "0.0.0.0:1", "*:1", false },
	{ "[::]:1", "[::1]:1", true },
	{ "[::]:1", "127.0.0.1:1", false },
	{ "127.0.0.1:1", "127.0.0.1:1", false },
	{ "127.0.0.1:1", "127.0.0.2:1", false },
	{ "unix:/tmp:1", "unix:/tmp:1", false },
};

START_TEST(wide_covers_narrow)
{
	struct addr wide, narrow;
	char why[256];

	ck_assert_int_eq(addr_parse_listen(covering[_i].wide, &wide, why, sizeof(why)), 0);
	ck_assert_int_eq(addr_parse_listen(covering[_i].narrow, &narrow, why, sizeof(why)), 0);
	ck_assert_msg(addr_covers(&wide, &narrow) == covering[_i].covers, "%s, %s",
		covering[_i].wide, covering[_i].narrow);
}
END_TEST

START_TEST(resolves_addresses_names_and_directories)
{
	char why[256], text[ADDR_TEXT_MAX];
	struct addr a[8];

	ck_assert_int_eq(addr_resolve("127.0.0.1", 5432, a, 8, why, sizeof(why)), 1);
	ck_assert_str_eq(addr_text(a, text, sizeof(text)), "127.0.0.1:5432");
	ck_assert_int_eq(addr_resolve("::1", 5432, a, 8, why, sizeof(why)), 1);
	ck_assert_str_eq(addr_text(a, text, sizeof(text)), "[::1]:5432");
	ck_assert_int_ge(addr_resolve("localhost", 5432, a, 8, why, sizeof(why)), 1);
	ck_assert_uint_eq(addr_port(a), 5432);
	ck_assert_int_eq(addr_resolve("/run/pg", 5432, a, 8, why, sizeof(why)), 1);
	ck_assert_str_eq(a->un.sun_path, "/run/pg/.s.PGSQL.5432");
	ck_assert_int_eq(addr_resolve("@pg", 5432, a, 8, why, sizeof(why)), 1);
	ck_assert_int_eq(a->un.sun_path[0], '\0');
	ck_assert_str_eq(addr_text(a, text, sizeof(text)), "unix:@pg:5432");
	ck_assert_str_eq(addr_host_text(a, text, sizeof(text)), "unix");
	ck_assert_int_lt(addr_resolve("no.such.invalid", 1, a, 8, why, sizeof(why)), 0);
	ck_assert_ptr_nonnull(strstr(why, "no.such.invalid"));
	ck_assert_int_lt(addr_resolve("*", 5432, a, 8, why, sizeof(why)), 0);
}
END_TEST

/* Listens on a port that is free, for any kind of TCP address. */
static int listen_somewhere(const char *host, struct addr *a)
{
	char text[64], why[256];

	for (unsigned port = 31000; port < 32000; port++) {
		int fd;

		snprintf(text, sizeof(text), "%s:%u", host, port);
		ck_assert_int_eq(addr_parse_listen(text, a, why, sizeof(why)), 0);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (bind(fd, (struct sockaddr *)&(struct sockaddr_in){
				    .sin_family = AF_INET, .sin_port = htons((uint16_t)port) },
			    sizeof(struct sockaddr_in)) < 0) {
			close(fd);
			continue;
		}
		close(fd);
		/* Another program may look for one just now. */
		fd = addr_listen(a, 16, 0);
		if (fd == -EADDRINUSE)
			continue;
		ck_assert_int_ge(fd, 0);
		return fd;
	}
	ck_abort_msg("no free port");
	return -1;
}

static int connect_and_accept(const struct addr *to, int listener)
{
	struct sock_tcp tcp = { .keepalive = true,
		.keepidle_s = 30,
		.keepintvl_s = 5,
		.keepcnt = 3,
		.user_timeout_ms = 10000,
		.socket_buffer = 65536 };
	struct pollfd ready = { .fd = listener, .events = POLLIN };
	bool in_progress;
	int fd = addr_connect(to, &tcp, &in_progress);
	int peer;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(poll(&ready, 1, 10000), 1);
	ready = (struct pollfd){ .fd = fd, .events = POLLOUT };
	ck_assert_int_eq(poll(&ready, 1, 10000), 1);
	ck_assert_int_eq(sock_error(fd), 0);
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	ck_assert_int_ge(peer, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	close(fd);
	return peer;
}

START_TEST(star_takes_both_families)
{
	char why[256], text[ADDR_TEXT_MAX];
	struct addr any, to, peer;
	int listener = listen_somewhere("*", &any);
	int fd;

	ck_assert_int_ne(fcntl(listener, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(listener, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(
		addr_resolve("127.0.0.1", addr_port(&any), &to, 1, why, sizeof(why)), 1);
	fd = connect_and_accept(&to, listener);
	ck_assert(sock_peer(fd, &peer));
	ck_assert_str_eq(addr_host_text(&peer, text, sizeof(text)), "127.0.0.1");
	close(fd);
	ck_assert_int_eq(
		addr_resolve("::1", addr_port(&any), &to, 1, why, sizeof(why)), 1);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	if (fd >= 0 && connect(fd, &to.sa, to.len) == 0) {
		close(fd);
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		ck_assert(sock_peer(fd, &peer));
		ck_assert_str_eq(addr_host_text(&peer, text, sizeof(text)), "::1");
	}
	close(fd);
	close(listener);
}
END_TEST

START_TEST(narrower_one_takes_connections_once_it_listens)
{
	struct addr any, narrow, to;
	char text[64], why[256];
	int wide = listen_somewhere("*", &any);
	int fd;

	snprintf(text, sizeof(text), "127.0.0.1:%u", addr_port(&any));
	ck_assert_int_eq(addr_parse_listen(text, &narrow, why, sizeof(why)), 0);
	to = narrow;
	fd = addr_bind_over(&narrow, &wide, 1);
	ck_assert_int_ge(fd, 0);
	ck_assert(addr_is_listening(wide) && !addr_is_listening(fd));
	close(connect_and_accept(&to, wide));
	ck_assert_int_eq(addr_listen_over(fd, 16, &wide, 1), 0);
	ck_assert(addr_is_listening(fd));
	close(connect_and_accept(&to, fd));
	close(fd);
	/* As if nothing had been. */
	close(connect_and_accept(&to, wide));
	close(wide);
}
END_TEST

START_TEST(port_in_use_is_reported_after_a_second)
{
	struct addr a;
	int listener = listen_somewhere("127.0.0.1", &a);
	uint64_t begin_us = clock_now_us();

	ck_assert_int_eq(addr_listen(&a, 16, 0), -EADDRINUSE);
	ck_assert_uint_ge(clock_now_us() - begin_us, 900000);
	close(listener);
}
END_TEST

static void *close_soon(void *arg)
{
	(void)poll(NULL, 0, 100);
	close(*(int *)arg);
	return NULL;
}

/* A busy machine may not run the other thread within the second that is waited. */
START_TEST(port_that_becomes_free_is_taken)
{
	int fd = -EADDRINUSE;

	for (int attempt = 0; attempt < 5 && fd == -EADDRINUSE; attempt++) {
		struct addr a;
		int listener = listen_somewhere("127.0.0.1", &a);
		pthread_t thread;

		ck_assert_int_eq(pthread_create(&thread, NULL, close_soon, &listener), 0);
		fd = addr_listen(&a, 16, 0);
		pthread_join(thread, NULL);
	}
	ck_assert_int_ge(fd, 0);
	close(fd);
}
END_TEST

static void unix_dir(char *dir, struct addr *a)
{
	char text[128], why[256];

	strcpy(dir, "/tmp/test_addr.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(text, sizeof(text), "unix:%s:6432", dir);
	ck_assert_int_eq(addr_parse_listen(text, a, why, sizeof(why)), 0);
}

START_TEST(unix_socket_that_nobody_serves_is_replaced)
{
	struct sock_tcp tcp = { .keepalive = true };
	struct stat st;
	struct addr a;
	bool in_progress;
	char dir[64];
	int fd, peer;

	unix_dir(dir, &a);
	fd = addr_listen(&a, 16, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(stat(a.un.sun_path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	close(fd);
	fd = addr_listen(&a, 16, 0777);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(stat(a.un.sun_path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0777);
	peer = addr_connect(&a, &tcp, &in_progress);
	ck_assert_int_ge(peer, 0);
	ck_assert(!in_progress);
	close(peer);
	close(fd);
	ck_assert_int_eq(addr_connect(&a, &tcp, &in_progress), -ECONNREFUSED);
	unlink(a.un.sun_path);
	ck_assert_int_eq(addr_connect(&a, &tcp, &in_progress), -ENOENT);
	rmdir(dir);
}
END_TEST

START_TEST(socket_of_another_process_becomes_as_configured)
{
	char dir[64];
	struct addr a;
	struct stat st;
	int fd;

	unix_dir(dir, &a);
	fd = addr_listen(&a, 16, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(addr_listen_again(fd, &a, 8, 0777), 0);
	ck_assert_int_eq(stat(a.un.sun_path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0777);
	ck_assert_int_eq(unlink(a.un.sun_path), 0);
	ck_assert_int_eq(addr_listen_again(fd, &a, 8, 0777), -ENOENT);
	close(fd);
	ck_assert_int_eq(rmdir(dir), 0);
	fd = listen_somewhere("127.0.0.1", &a);
	ck_assert_int_eq(addr_listen_again(fd, &a, 8, 0777), 0);
	close(fd);
	ck_assert_int_eq(addr_listen_again(-1, &a, 8, 0777), -EBADF);
}
END_TEST

START_TEST(unix_socket_that_answers_is_left_alone)
{
	struct addr a;
	char dir[64];
	int fd;

	unix_dir(dir, &a);
	fd = addr_listen(&a, 16, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(addr_listen(&a, 16, 0600), -EADDRINUSE);
	close(fd);
	unlink(a.un.sun_path);
	rmdir(dir);
}
END_TEST

START_TEST(file_that_is_no_socket_is_left_alone)
{
	struct addr a;
	char dir[64];
	int fd;

	unix_dir(dir, &a);
	fd = open(a.un.sun_path, O_CREAT | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(addr_listen(&a, 16, 0600), -EADDRINUSE);
	ck_assert_int_eq(unlink(a.un.sun_path), 0);
	rmdir(dir);
}
END_TEST

START_TEST(stale_sockets_are_told)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	ck_assert(!sock_is_stale(fds[0]));
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	ck_assert(sock_is_stale(fds[0]));
	ck_assert(sock_is_stale(fds[0]));
	close(fds[1]);
	ck_assert(sock_is_stale(fds[0]));
	close(fds[0]);
	ck_assert(sock_is_stale(-1));
}
END_TEST

Suite *addr_suite(void)
{
	Suite *s = suite_create("net/addr");
	TCase *tc = tcase_create("text");

	tcase_add_loop_test(tc, parses_and_shows, 0, (int)COUNT_OF(good));
	tcase_add_test(tc, slashes_at_the_end_say_nothing);
	tcase_add_loop_test(tc, refuses_and_says_why, 0, (int)COUNT_OF(bad));
	tcase_add_test(tc, compares);
	tcase_add_loop_test(tc, wide_covers_narrow, 0, (int)COUNT_OF(covering));
	tcase_add_test(tc, resolves_addresses_names_and_directories);
	suite_add_tcase(s, tc);
	tc = tcase_create("sockets");
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, star_takes_both_families);
	tcase_add_test(tc, narrower_one_takes_connections_once_it_listens);
	tcase_add_test(tc, port_in_use_is_reported_after_a_second);
	tcase_add_test(tc, port_that_becomes_free_is_taken);
	tcase_add_test(tc, unix_socket_that_nobody_serves_is_replaced);
	tcase_add_test(tc, socket_of_another_process_becomes_as_configured);
	tcase_add_test(tc, unix_socket_that_answers_is_left_alone);
	tcase_add_test(tc, file_that_is_no_socket_is_left_alone);
	tcase_add_test(tc, stale_sockets_are_told);
	suite_add_tcase(s, tc);
	return s;
}
