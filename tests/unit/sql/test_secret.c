/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "sql/secret.h"
#include "sql/suites.h"

static const char *const secrets[] = {
	"CREATE ROLE a LOGIN PASSWORD 'x'",
	"create user a encrypted password 'x'",
	"CREATE GROUP a ENCRYPTED PASSWORD 'x'",
	"ALTER ROLE a PASSWORD NULL",
	"alter user a with password 'SCRAM-SHA-256$4096:a$b:c'",
	"ALTER/**/USER/**/a/**/PASSWORD/**/'x'",
	"SELECT 1; ALTER ROLE a PASSWORD 'x'",
	"-- first\nALTER ROLE a PASSWORD 'x'",
	"CREATE USER MAPPING FOR a SERVER s OPTIONS (user 'b', token 'x')",
	"ALTER USER MAPPING FOR a SERVER s OPTIONS (SET token 'x')",
	"CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (key 'x')",
	"CREATE SUBSCRIPTION s CONNECTION 'host=a' PUBLICATION p",
	"ALTER SUBSCRIPTION s CONNECTION 'host=a token=x'",
	"DO $$ BEGIN EXECUTE 'ALTER ROLE a ' || 'PASS' || 'WORD ''x'''; END $$",
	"EXPLAIN ANALYZE SELECT dblink_connect('host=a password=x')",
	"SELECT dblink_connect('postgresql://a:x@b/c')",
	"SELECT dblink('POSTGRES://a:x@b/c', 'SELECT 1')",
	"COPY t FROM PROGRAM 'curl -u a:x http://b'",
	"SELECT pgp_sym_encrypt('a', 'x')",
	"SELECT crypt('x', gen_salt('bf'))",
	"SELECT hmac('a', 'x', 'sha256')",
	"SET app.client_secret = 'x'",
	"SELECT set_config('app.PASSWD', 'x', false)",
	"UPDATE t SET password_hash = 'x'",
};

static const char *const plain[] = {
	"",
	"SELECT 1",
	"SELECT * FROM users WHERE id = 7",
	"SELECT user, role FROM t",
	"CREATE TABLE t (a int)",
	"ALTER TABLE t ADD b text",
	"ALTER TABLE created DROP alter_role",
	"COPY t FROM STDIN",
	"SELECT program FROM t",
	"SELECT 'postgres', 'postgresql:/', 'http://a/b'",
	"SELECT pass, word FROM cry_pts",
	"\xff\xfe select",
};

START_TEST(secrets_are_seen)
{
	ck_assert_msg(secret_may_be_in(secrets[_i], strlen(secrets[_i])), "%s", secrets[_i]);
}
END_TEST

START_TEST(others_are_not_hidden)
{
	ck_assert_msg(!secret_may_be_in(plain[_i], strlen(plain[_i])), "%s", plain[_i]);
}
END_TEST

/* However much is shown: what stands before the cut is no secret, or it is hidden. */
START_TEST(cut_anywhere)
{
	const char *text = secrets[_i], *x = strstr(text, "x'");

	for (size_t len = 0; len <= strlen(text); len++) {
		char *copy = strndup(text, len);

		if (secret_may_be_in(copy, len))
			ck_assert(secret_may_be_in(text, strlen(text)));
		else
			ck_assert_msg(x == NULL || text + len <= x, "%s", copy);
		free(copy);
	}
}
END_TEST

Suite *secret_suite(void)
{
	Suite *s = suite_create("sql/secret");
	TCase *tc = tcase_create("secret");

	tcase_add_loop_test(tc, secrets_are_seen, 0, (int)COUNT_OF(secrets));
	tcase_add_loop_test(tc, others_are_not_hidden, 0, (int)COUNT_OF(plain));
	tcase_add_loop_test(tc, cut_anywhere, 0, (int)COUNT_OF(secrets));
	suite_add_tcase(s, tc);
	return s;
}
