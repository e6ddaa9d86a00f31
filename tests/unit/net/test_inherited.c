/* SPDX-License-Identifier: ISC */
#include "net/inherited.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loops.h"
#include "net/suites.h"

static struct addr addr_of(int fd)
{
	struct addr addr;

	ck_assert(sock_local(fd, &addr));
	return addr;
}

START_TEST(is_taken_once)
{
	struct inherited in = { .count = 0 };
	uint16_t port;
	int fd = loops_tcp_listener(&port), other = loops_tcp_listener(&port);
	struct addr addr = addr_of(fd), elsewhere = addr_of(other);
	bool is_kept = true;

	ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0);
	ck_assert_int_eq(inherited_add(&in, fd, "session", false), 0);
	ck_assert_int_eq(inherited_take(&in, &elsewhere, &is_kept), -1);
	ck_assert_int_eq(inherited_take(&in, &addr, &is_kept), fd);
	ck_assert(!is_kept);
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(inherited_take(&in, &addr, &is_kept), -1);
	inherited_finish(&in);
	/* Still whoever's that took it. */
	ck_assert_int_eq(close(fd), 0);
	close(other);
}
END_TEST

START_TEST(what_is_within_is_taken_once)
{
	struct inherited in = { .count = 0 };
	uint16_t port, kept_port;
	int fd = loops_tcp_listener(&port), kept = loops_tcp_listener(&kept_port);
	struct addr wide, addr, is = addr_of(fd);
	char text[32], why[128];

	ck_assert_int_eq(inherited_add(&in, fd, "", false), 0);
	ck_assert_int_eq(inherited_add(&in, kept, "", true), 0);
	(void)snprintf(text, sizeof(text), "*:%u", kept_port);
	ck_assert_int_eq(addr_parse_listen(text, &wide, why, sizeof(why)), 0);
	ck_assert_int_eq(inherited_take_within(&in, &wide, &addr), -1);
	(void)snprintf(text, sizeof(text), "*:%u", port);
	ck_assert_int_eq(addr_parse_listen(text, &wide, why, sizeof(why)), 0);
	ck_assert_int_eq(inherited_take_within(&in, &wide, &addr), fd);
	ck_assert(addr_equal(&addr, &is));
	ck_assert_int_eq(inherited_take_within(&in, &wide, &addr), -1);
	inherited_finish(&in);
	ck_assert_int_eq(close(fd), 0);
}
END_TEST

START_TEST(what_is_kept_is_given_in_copies)
{
	struct inherited in = { .count = 0 };
	uint16_t port;
	int fd = loops_tcp_listener(&port);
	struct addr addr = addr_of(fd);
	bool is_kept = false;

	ck_assert_int_eq(inherited_add(&in, fd, "", true), 0);
	for (int i = 0; i < 3; i++) {
		int copy = inherited_take(&in, &addr, &is_kept);

		ck_assert_int_ge(copy, 0);
		ck_assert_int_ne(copy, fd);
		ck_assert(is_kept);
		close(copy);
	}
	inherited_drop(&in, true);
	ck_assert_int_ge(fcntl(fd, F_GETFD), 0);
	inherited_finish(&in);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}
END_TEST

/* "*" is one socket for both families, which "[::]" of this program is not. */
START_TEST(all_addresses_are_told_apart)
{
	static const struct { const char *text; bool is_kept; bool fits; } asked[] = {
		{ "*", false, true },
		{ "*", true, true },
		{ "[::]", false, false },
		{ "[::]", true, true },
		{ "0.0.0.0", true, false },
		{ "127.0.0.1", false, false },
	};
	struct inherited in = { .count = 0 };
	struct inherited_socket s;
	struct addr any, addr;
	char text[32], why[128];
	int fd;

	ck_assert_int_eq(addr_parse_listen("*:1", &any, why, sizeof(why)), 0);
	/* One that is free for both families. */
	any.in6.sin6_port = 0;
	fd = addr_listen(&any, 1, 0);
	ck_assert_int_ge(fd, 0);
	addr = addr_of(fd);
	if (addr.sa.sa_family != AF_INET6) {
		close(fd);
		return;
	}
	ck_assert_int_eq(inherited_add(&in, fd, "", false), 0);
	s = in.list[0];
	s.is_kept = asked[_i].is_kept;
	(void)snprintf(text, sizeof(text), "%s:%u", asked[_i].text, addr_port(&addr));
	ck_assert_int_eq(addr_parse_listen(text, &addr, why, sizeof(why)), 0);
	ck_assert_msg(inherited_fits(&s, &addr) == asked[_i].fits, "%s", text);
	inherited_finish(&in);
}
END_TEST

START_TEST(what_does_not_listen_is_refused)
{
	struct inherited in = { .count = 0 };
	int pair[2], datagrams = socket(AF_INET, SOCK_DGRAM, 0);

	loops_pair(pair);
	ck_assert_int_eq(inherited_add(&in, pair[0], "", true), -EINVAL);
	ck_assert_int_eq(inherited_add(&in, datagrams, "", true), -EINVAL);
	ck_assert_int_eq(inherited_add(&in, -1, "", true), -EINVAL);
	ck_assert_uint_eq(in.count, 0);
	close(pair[0]);
	close(pair[1]);
	close(datagrams);
}
END_TEST

/* Its name goes with it, unless it is somebody else's. */
START_TEST(nobody_wants_it)
{
	char path[] = "/tmp/inheritedXXXXXX";
	struct inherited in = { .count = 0 };
	struct addr addr = { .len = sizeof(addr.un) };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool removes = _i == 1;

	ck_assert_ptr_nonnull(mkdtemp(path));
	addr.un.sun_family = AF_UNIX;
	(void)snprintf(addr.un.sun_path, sizeof(addr.un.sun_path), "%s/s", path);
	ck_assert_int_eq(bind(fd, &addr.sa, addr.len), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(inherited_add(&in, fd, "", false), 0);
	inherited_drop(&in, removes);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	ck_assert_int_eq(access(addr.un.sun_path, F_OK), removes ? -1 : 0);
	inherited_finish(&in);
	(void)unlink(addr.un.sun_path);
	ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

Suite *inherited_suite(void)
{
	Suite *s = suite_create("net/inherited");
	TCase *tc = tcase_create("inherited");

	tcase_add_test(tc, is_taken_once);
	tcase_add_test(tc, what_is_within_is_taken_once);
	tcase_add_test(tc, what_is_kept_is_given_in_copies);
	tcase_add_loop_test(tc, all_addresses_are_told_apart, 0, 6);
	tcase_add_test(tc, what_does_not_listen_is_refused);
	tcase_add_loop_test(tc, nobody_wants_it, 0, 2);
	suite_add_tcase(s, tc);
	return s;
}
