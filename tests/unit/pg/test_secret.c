/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdlib.h>

#include "pg/base64.h"
#include "pg/secret.h"

/* Of the password "pencil" and the salt of RFC 7677, by another program. */
#define SALT   "W22ZaJ0SNY7soEsUEjb6gQ=="
#define STORED "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
#define SERVER "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define PENCIL "SCRAM-SHA-256$4096:" SALT "$" STORED ":" SERVER

static const struct {
	const char *why, *stored;
	enum secret_kind kind;
} rows[] = {
	{ "no user", NULL, SECRET_NONE },
	{ "no password", "", SECRET_NONE },
	{ "plain", "secret", SECRET_PLAIN },
	{ "md5", "md59d792a3a8853c2411afb9163d088c036", SECRET_MD5 },
	{ "upper-case digits", "md59D792A3A8853C2411AFB9163D088C036", SECRET_PLAIN },
	{ "one digit too few", "md59d792a3a8853c2411afb9163d088c03", SECRET_PLAIN },
	{ "one digit too many", "md59d792a3a8853c2411afb9163d088c0366", SECRET_PLAIN },
	{ "a password that begins with md5", "md5sum", SECRET_PLAIN },
	{ "SCRAM", PENCIL, SECRET_SCRAM },
	{ "SCRAM, one iteration", "SCRAM-SHA-256$1:" SALT "$" STORED ":" SERVER,
		SECRET_SCRAM },
	{ "no iterations", "SCRAM-SHA-256$:" SALT "$" STORED ":" SERVER, SECRET_MALFORMED },
	{ "zero iterations", "SCRAM-SHA-256$0:" SALT "$" STORED ":" SERVER,
		SECRET_MALFORMED },
	{ "a sign", "SCRAM-SHA-256$+1:" SALT "$" STORED ":" SERVER, SECRET_MALFORMED },
	{ "space", "SCRAM-SHA-256$ 1:" SALT "$" STORED ":" SERVER, SECRET_MALFORMED },
	{ "letters", "SCRAM-SHA-256$4096x:" SALT "$" STORED ":" SERVER, SECRET_MALFORMED },
	{ "too many iterations", "SCRAM-SHA-256$4294967297:" SALT "$" STORED ":" SERVER,
		SECRET_MALFORMED },
	{ "empty salt", "SCRAM-SHA-256$4096:$" STORED ":" SERVER, SECRET_MALFORMED },
	{ "salt without padding",
		"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ$" STORED ":" SERVER,
		SECRET_MALFORMED },
	{ "short StoredKey", "SCRAM-SHA-256$4096:" SALT "$Zm9v:" SERVER, SECRET_MALFORMED },
	{ "short ServerKey", "SCRAM-SHA-256$4096:" SALT "$" STORED ":Zm9v",
		SECRET_MALFORMED },
	{ "long ServerKey", PENCIL "AAAA", SECRET_MALFORMED },
	{ "a line feed", PENCIL "\n", SECRET_MALFORMED },
	{ "no ServerKey", "SCRAM-SHA-256$4096:" SALT "$" STORED, SECRET_MALFORMED },
	{ "another hash", "SCRAM-SHA-512$4096:" SALT "$" STORED ":" SERVER, SECRET_PLAIN },
};

START_TEST(classifies)
{
	ck_assert_msg(secret_classify(rows[_i].stored) == rows[_i].kind, "%s", rows[_i].why);
}
END_TEST

START_TEST(refuses_a_secret_at_every_cut)
{
	char text[] = PENCIL;
	struct secret_scram scram;

	text[_i] = '\0';
	ck_assert(!secret_parse_scram(text, &scram));
}
END_TEST

START_TEST(derives_and_formats)
{
	struct secret_scram scram, made;
	struct secret_keys keys;
	char text[SECRET_SCRAM_TEXT_MAX];

	ck_assert(secret_parse_scram(PENCIL, &scram));
	ck_assert_uint_eq(scram.iterations, 4096);
	ck_assert_uint_eq(scram.salt_len, 16);
	ck_assert(secret_derive_keys("pencil", scram.salt, scram.salt_len, 4096, &keys));
	ck_assert(secret_from_keys(&keys, &made));
	ck_assert_str_eq(secret_format_scram(&made, text), PENCIL);
	ck_assert(secret_keys_match(&keys, scram.salt, 16, 4096));
	ck_assert(!secret_keys_match(&keys, scram.salt, 16, 4095));
	ck_assert(!secret_keys_match(&keys, scram.salt, 15, 4096));
	secret_keys_wipe(&keys);
	ck_assert(!secret_keys_match(&keys, scram.salt, 0, 0));
}
END_TEST

START_TEST(formats_the_longest_secret)
{
	struct secret_scram scram = { .iterations = 999999999, .salt_len = SECRET_SALT_MAX };
	struct secret_scram again;
	char text[SECRET_SCRAM_TEXT_MAX];

	ck_assert(secret_parse_scram(secret_format_scram(&scram, text), &again));
	ck_assert_mem_eq(&scram, &again, sizeof(scram));
}
END_TEST

static const struct {
	const char *why, *in, *out;
} prepared[] = {
	{ "nothing", "", "" },
	{ "ASCII", "pencil", "pencil" },
	{ "ASCII control characters stay", "a\x01z", "a\x01z" },
#ifdef HAVE_LIBIDN
	{ "RFC 4013: soft hyphen goes", "I\xc2\xadX", "IX" },
	{ "RFC 4013: feminine ordinal", "\xc2\xaa", "a" },
	{ "RFC 4013: roman nine", "\xe2\x85\xa8", "IX" },
	{ "no-break space becomes a space", "a\xc2\xa0z", "a z" },
	{ "full width", "p\xef\xbd\x81ss", "pass" },
	{ "composed", "u\xcc\x88", "\xc3\xbc" },
	{ "a letter only when normalised: ALEF SYMBOL", "\xe2\x84\xb5" "abc", "\xd7\x90" "abc" },
	{ "a letter only when normalised: a/c", "\xd7\x90\xe2\x84\x80\xd7\x90",
		"\xd7\x90" "a/c\xd7\x90" },
	{ "Corrigendum 4", "\xf0\xaf\xa1\xa8", "\xe3\x9b\xbc" },
#endif
	{ "RFC 4013: prohibited", "\xc3\xa4\x07", "\xc3\xa4\x07" },
	{ "RFC 4013: bidi check", "\xd8\xa7\x31", "\xd8\xa7\x31" },
	{ "prohibited, though NFKC makes U+0300 of it", "a\xcd\x80", "a\xcd\x80" },
	{ "only what is mapped to nothing", "\xc2\xad", "\xc2\xad" },
	{ "not UTF-8", "\xff\xfe", "\xff\xfe" },
	{ "cut UTF-8", "a\xc3", "a\xc3" },
	{ "overlong UTF-8", "a\xc0\x80", "a\xc0\x80" },
	{ "a surrogate", "\xed\xa0\x80", "\xed\xa0\x80" },
	{ "unassigned in Unicode 3.2", "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
};

START_TEST(prepares_passwords)
{
	char *made = secret_saslprep(prepared[_i].in);

	ck_assert_msg(strcmp(made, prepared[_i].out) == 0, "%s", prepared[_i].why);
	free(made);
}
END_TEST

/* U+FDFA becomes 18 characters, 33 bytes. */
START_TEST(has_room_for_what_grows)
{
	char text[SECRET_SASLPREP_MAX + 1];
	char *made;

	for (size_t i = 0; i + 3 <= SECRET_SASLPREP_MAX; i += 3) {
		memcpy(text + i, "\xef\xb7\xba", 3);
		text[i + 3] = '\0';
	}
	made = secret_saslprep(text);
#ifdef HAVE_LIBIDN
	ck_assert_uint_eq(strlen(made), strlen(text) * 11);
#endif
	free(made);
}
END_TEST

START_TEST(makes_md5_secrets)
{
	const uint8_t salt[4] = { 1, 2, 3, 4 };
	char secret[SECRET_MD5_LEN + 1], answer[SECRET_MD5_LEN + 1];

	ck_assert(secret_md5("secret", "ann", secret));
	ck_assert_str_eq(secret, "md59d792a3a8853c2411afb9163d088c036");
	ck_assert(secret_md5_answer(secret, salt, answer));
	ck_assert_str_eq(answer, "md59009ce60b9ca97f1e752376843d1309e");
}
END_TEST

Suite *secret_suite(void);
Suite *secret_suite(void)
{
	Suite *s = suite_create("pg/secret");
	TCase *tc = tcase_create("secret");

	tcase_add_loop_test(tc, classifies, 0, (int)COUNT_OF(rows));
	tcase_add_loop_test(tc, refuses_a_secret_at_every_cut, 0, (int)sizeof(PENCIL) - 1);
	tcase_add_test(tc, derives_and_formats);
	tcase_add_test(tc, formats_the_longest_secret);
	tcase_add_loop_test(tc, prepares_passwords, 0, (int)COUNT_OF(prepared));
	tcase_add_test(tc, has_room_for_what_grows);
	tcase_add_test(tc, makes_md5_secrets);
	suite_add_tcase(s, tc);
	return s;
}
