/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdlib.h>

#include "base/buf.h"
#include "pg/startup.h"

/* A packet: length, code, and the bytes of body. */
static size_t packet(uint8_t *to, uint32_t code, const char *body, size_t len)
{
	uint32_t total = (uint32_t)len + 8;

	for (int i = 0; i < 4; i++) {
		to[i] = (uint8_t)(total >> (24 - 8 * i));
		to[4 + i] = (uint8_t)(code >> (24 - 8 * i));
	}
	memcpy(to + 8, body, len);
	return total;
}

#define V30 STARTUP_PROTOCOL_3_0
#define V32 STARTUP_PROTOCOL_3_2
#define BODY(text) text, sizeof(text) - 1

static const struct {
	const char *why;
	uint32_t code;
	const char *body;
	size_t len;
	const char *user, *database;
	enum startup_replication replication;
	uint32_t protocol;
	bool needs_negotiation;
} good[] = {
	{ "user only", V30, BODY("user\0ann\0\0"), "ann", "ann", STARTUP_REPLICATION_NONE,
		V30, false },
	{ "user and database", V30, BODY("user\0ann\0database\0db\0\0"), "ann", "db",
		STARTUP_REPLICATION_NONE, V30, false },
	{ "empty database", V30, BODY("user\0ann\0database\0\0\0"), "ann", "ann",
		STARTUP_REPLICATION_NONE, V30, false },
	{ "the last one counts", V30, BODY("user\0ann\0user\0bob\0\0"), "bob", "bob",
		STARTUP_REPLICATION_NONE, V30, false },
	{ "3.2 is spoken", V32, BODY("user\0ann\0\0"), "ann", "ann",
		STARTUP_REPLICATION_NONE, V32, false },
	{ "3.1 is let through as PostgreSQL 18 does", STARTUP_PROTOCOL(3, 1),
		BODY("user\0ann\0\0"), "ann", "ann", STARTUP_REPLICATION_NONE,
		STARTUP_PROTOCOL(3, 1), false },
	{ "3.3 is negotiated down", STARTUP_PROTOCOL(3, 3), BODY("user\0ann\0\0"), "ann",
		"ann", STARTUP_REPLICATION_NONE, V32, true },
	{ "3.9999 too", STARTUP_PROTOCOL(3, 9999), BODY("user\0ann\0\0"), "ann", "ann",
		STARTUP_REPLICATION_NONE, V32, true },
	{ "3.0 with a protocol option", V30, BODY("user\0ann\0_pq_.x\0" "1\0\0"), "ann",
		"ann", STARTUP_REPLICATION_NONE, V30, true },
	{ "physical replication has no database", V30,
		BODY("user\0ann\0database\0db\0replication\0true\0\0"), "ann", "",
		STARTUP_REPLICATION_PHYSICAL, V30, false },
	{ "a boolean may be short", V30, BODY("user\0ann\0replication\0T\0\0"), "ann", "",
		STARTUP_REPLICATION_PHYSICAL, V30, false },
	{ "replication off", V30, BODY("user\0ann\0replication\0of\0\0"), "ann", "ann",
		STARTUP_REPLICATION_NONE, V30, false },
	{ "logical replication", V30,
		BODY("user\0ann\0database\0db\0replication\0database\0\0"), "ann", "db",
		STARTUP_REPLICATION_LOGICAL, V30, false },
};

START_TEST(reads_sessions)
{
	uint8_t data[256];
	size_t len = packet(data, good[_i].code, good[_i].body, good[_i].len);
	struct startup s;

	ck_assert_msg(startup_parse(data, len, 0, &s) == STARTUP_OK, "%s", good[_i].why);
	ck_assert_int_eq(s.kind, STARTUP_SESSION);
	ck_assert_uint_eq(s.packet_len, len);
	ck_assert_str_eq(s.user, good[_i].user);
	ck_assert_str_eq(s.database, good[_i].database);
	ck_assert_int_eq(s.replication, good[_i].replication);
	ck_assert_uint_eq(s.protocol, good[_i].protocol);
	ck_assert_uint_eq(s.protocol_asked, good[_i].code);
	ck_assert_msg(s.needs_negotiation == good[_i].needs_negotiation, "%s", good[_i].why);
}
END_TEST

/* In a buffer of exactly that size, so that a sanitizer sees every overrun;
 * and bytes after the packet change nothing. */
START_TEST(asks_for_more_at_every_cut)
{
	uint8_t data[300];
	size_t len = packet(data, good[_i].code, good[_i].body, good[_i].len);
	struct startup s;

	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *copy = malloc(cut + 1);

		memcpy(copy + 1, data, cut);
		ck_assert_int_eq(startup_parse(copy + 1, cut, 0, &s), STARTUP_NEED_MORE);
		free(copy);
	}
	memset(data + len, 'x', 5);
	ck_assert_int_eq(startup_parse(data, len + 5, 0, &s), STARTUP_OK);
	ck_assert_uint_eq(s.packet_len, len);
}
END_TEST

static const struct {
	const char *why;
	uint32_t code;
	const char *body;
	size_t len;
	unsigned flags;
	const char *sqlstate, *text;
	bool is_silent;
} bad[] = {
	{ "no terminator", V30, BODY("user\0ann\0"), 0, "08P01",
		"invalid startup packet layout: expected terminator as last byte", false },
	{ "no body", V30, "", 0, 0, "08P01",
		"invalid startup packet layout: expected terminator as last byte", false },
	{ "a name without a value", V30, BODY("user\0"), 0, "08P01",
		"invalid startup packet layout: expected terminator as last byte", false },
	{ "a value without its end", V30, BODY("user\0ann"), 0, "08P01",
		"invalid startup packet layout: expected terminator as last byte", false },
	{ "more after the terminator", V30, BODY("user\0ann\0\0x"), 0, "08P01",
		"invalid startup packet layout: expected terminator as last byte", false },
	{ "no user", V30, BODY("database\0db\0\0"), 0, "28000",
		"no PostgreSQL user name specified in startup packet", false },
	{ "nothing at all", V30, BODY("\0"), 0, "28000",
		"no PostgreSQL user name specified in startup packet", false },
	{ "empty user", V30, BODY("user\0\0\0"), 0, "28000",
		"no PostgreSQL user name specified in startup packet", false },
	{ "protocol 2", STARTUP_PROTOCOL(2, 0), BODY("user\0ann\0\0"), 0, "0A000",
		"unsupported frontend protocol 2.0: server supports 3.0 to 3.2", false },
	{ "protocol 4", STARTUP_PROTOCOL(4, 1), BODY("user\0ann\0\0"), 0, "0A000",
		"unsupported frontend protocol 4.1: server supports 3.0 to 3.2", false },
	{ "TLS asked for twice", STARTUP_CODE_TLS, "", 0, STARTUP_TLS_ANSWERED, "0A000",
		"unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2", false },
	{ "GSS asked for twice", STARTUP_CODE_GSS, "", 0, STARTUP_GSS_ANSWERED, "0A000",
		"unsupported frontend protocol 1234.5680: server supports 3.0 to 3.2", false },
	{ "more in a TLS request", STARTUP_CODE_TLS, BODY("x"), 0, "08P01",
		"invalid length of startup packet", true },
	{ "replication=maybe", V30, BODY("user\0ann\0replication\0maybe\0\0"), 0, "22023",
		"invalid value for parameter \"replication\": \"maybe\"", false },
	{ "replication=o is ambiguous", V30, BODY("user\0ann\0replication\0o\0\0"), 0,
		"22023", "invalid value for parameter \"replication\": \"o\"", false },
	{ "a cancel without a key", STARTUP_CODE_CANCEL, BODY("\0\0\0\1"), 0, "08P01",
		"invalid length of cancel request packet", true },
	{ "a cancel with a key of three", STARTUP_CODE_CANCEL, BODY("\0\0\0\1abc"), 0,
		"08P01", "invalid length of cancel request packet", true },
	{ "a cancel without a pid", STARTUP_CODE_CANCEL, BODY("\0\0\0"), 0, "08P01",
		"invalid length of cancel request packet", true },
};

START_TEST(answers_bad_packets_as_postgresql_does)
{
	uint8_t data[256];
	size_t len = packet(data, bad[_i].code, bad[_i].body, bad[_i].len);
	char text[256];
	struct startup s;

	ck_assert_msg(startup_parse(data, len, bad[_i].flags, &s) == STARTUP_BAD, "%s",
		bad[_i].why);
	ck_assert_str_eq(startup_error_sqlstate(s.error), bad[_i].sqlstate);
	ck_assert_str_eq(startup_error_text(&s, text, sizeof(text)), bad[_i].text);
	ck_assert_msg(startup_error_is_silent(s.error) == bad[_i].is_silent, "%s",
		bad[_i].why);
	ck_assert_int_eq(startup_error_hint(s.error) != NULL,
		s.error == STARTUP_ERROR_REPLICATION);
}
END_TEST

static const struct {
	const char *why;
	uint8_t bytes[4];
	enum startup_result result;
} lengths[] = {
	{ "zero", { 0, 0, 0, 0 }, STARTUP_BAD },
	{ "no room for a code", { 0, 0, 0, 7 }, STARTUP_BAD },
	{ "the shortest", { 0, 0, 0, 8 }, STARTUP_NEED_MORE },
	{ "the longest, 10004", { 0, 0, 0x27, 0x14 }, STARTUP_NEED_MORE },
	{ "one more", { 0, 0, 0x27, 0x15 }, STARTUP_BAD },
	{ "negative", { 0xff, 0xff, 0xff, 0xff }, STARTUP_BAD },
	{ "an HTTP request", { 'G', 'E', 'T', ' ' }, STARTUP_BAD },
};

START_TEST(judges_the_length_before_the_rest_comes)
{
	struct startup s;

	ck_assert_msg(startup_parse(lengths[_i].bytes, 4, 0, &s) == lengths[_i].result, "%s",
		lengths[_i].why);
	if (lengths[_i].result == STARTUP_BAD)
		ck_assert(startup_error_is_silent(s.error));
}
END_TEST

START_TEST(reads_requests)
{
	uint8_t data[16];
	struct startup s;
	size_t len = packet(data, STARTUP_CODE_TLS, "", 0);

	ck_assert_int_eq(startup_parse(data, len, 0, &s), STARTUP_OK);
	ck_assert_int_eq(s.kind, STARTUP_TLS_REQUEST);
	ck_assert_uint_eq(s.packet_len, 8);
	ck_assert_int_eq(startup_parse(data, len, STARTUP_GSS_ANSWERED, &s), STARTUP_OK);
	(void)packet(data, STARTUP_CODE_GSS, "", 0);
	ck_assert_int_eq(startup_parse(data, len, STARTUP_TLS_ANSWERED, &s), STARTUP_OK);
	ck_assert_int_eq(s.kind, STARTUP_GSS_REQUEST);
}
END_TEST

START_TEST(sees_direct_tls_only_at_the_start)
{
	const uint8_t hello[] = { 0x16, 3, 1, 2, 0 };
	struct startup s;

	ck_assert_int_eq(startup_parse(hello, 1, 0, &s), STARTUP_OK);
	ck_assert_int_eq(s.kind, STARTUP_DIRECT_TLS);
	ck_assert_uint_eq(s.packet_len, 0);
	ck_assert_int_eq(startup_parse(hello, 5, STARTUP_TLS_ANSWERED, &s), STARTUP_BAD);
	ck_assert_int_eq(startup_parse(hello, 5, STARTUP_GSS_ANSWERED, &s), STARTUP_BAD);
}
END_TEST

START_TEST(reads_cancel_keys_of_any_length)
{
	char body[4 + 257] = "\x01\x02\x03\x04";
	uint8_t data[300];
	struct startup s;
	size_t len = packet(data, STARTUP_CODE_CANCEL, body, 4 + (size_t)_i);
	bool fits = _i >= STARTUP_KEY_MIN && _i <= STARTUP_KEY_MAX;

	ck_assert_int_eq(startup_parse(data, len, 0, &s), fits ? STARTUP_OK : STARTUP_BAD);
	ck_assert_int_eq(s.kind, STARTUP_CANCEL);
	if (fits) {
		ck_assert_uint_eq(s.cancel_pid, 0x01020304);
		ck_assert_uint_eq(s.cancel_key_len, (size_t)_i);
		ck_assert_ptr_eq(s.cancel_key, data + 12);
	}
}
END_TEST

START_TEST(gives_the_other_parameters)
{
	static const char body[] = "a\0" "1\0user\0ann\0_pq_.x\0y\0options\0-c x=1\0"
				   "Application_Name\0app\0a\0\0_pq_.z\0\0replication\0no\0\0";
	static const char *const pairs[] = { "a", "1", "Application_Name", "app", "a", "" };
	uint8_t data[256];
	size_t len = packet(data, V30, BODY(body)), pos = 0, n = 0;
	const char *name, *value;
	struct startup s;

	ck_assert_int_eq(startup_parse(data, len, 0, &s), STARTUP_OK);
	while (startup_param_next(&s, &pos, &name, &value)) {
		ck_assert_str_eq(name, pairs[n++]);
		ck_assert_str_eq(value, pairs[n++]);
	}
	ck_assert_uint_eq(n, COUNT_OF(pairs));
	ck_assert_str_eq(s.options, "-c x=1");
	ck_assert_str_eq(s.application_name, "app");
	ck_assert_uint_eq(s.pq_count, 2);
	pos = 0;
	ck_assert(startup_pq_next(&s, &pos, &name));
	ck_assert_str_eq(name, "_pq_.x");
	ck_assert(startup_pq_next(&s, &pos, &name));
	ck_assert_str_eq(name, "_pq_.z");
	ck_assert(!startup_pq_next(&s, &pos, &name));
}
END_TEST

/* CVE-2012-4575 of another router: a long name is no reason to die. */
START_TEST(cuts_long_names)
{
	static char body[STARTUP_PACKET_MAX];
	static uint8_t data[STARTUP_PACKET_MAX + 8];
	struct startup s;
	size_t len = STARTUP_PACKET_MAX - 8;

	memset(body, 'x', len);
	memcpy(body, "user\0", 5);
	body[len - 2] = '\0';
	body[len - 1] = '\0';
	len = packet(data, V30, body, len);
	ck_assert_int_eq(startup_parse(data, len, 0, &s), STARTUP_OK);
	ck_assert_uint_eq(strlen(s.user), 63);
	ck_assert_uint_eq(strlen(s.database), 63);
}
END_TEST

Suite *startup_suite(void);
Suite *startup_suite(void)
{
	Suite *s = suite_create("pg/startup");
	TCase *tc = tcase_create("startup");

	tcase_add_loop_test(tc, reads_sessions, 0, (int)COUNT_OF(good));
	tcase_add_loop_test(tc, asks_for_more_at_every_cut, 0, (int)COUNT_OF(good));
	tcase_add_loop_test(tc, answers_bad_packets_as_postgresql_does, 0, (int)COUNT_OF(bad));
	tcase_add_loop_test(tc, judges_the_length_before_the_rest_comes, 0,
		(int)COUNT_OF(lengths));
	tcase_add_test(tc, reads_requests);
	tcase_add_test(tc, sees_direct_tls_only_at_the_start);
	tcase_add_loop_test(tc, reads_cancel_keys_of_any_length, 0, STARTUP_KEY_MAX + 2);
	tcase_add_test(tc, gives_the_other_parameters);
	tcase_add_test(tc, cuts_long_names);
	suite_add_tcase(s, tc);
	return s;
}
