/* SPDX-License-Identifier: ISC */
#include "net/tls_hosts.h"

#include <check.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "net/suites.h"

static struct tls_hosts hosts;

static void begin(void)
{
	ck_assert_int_eq(tls_hosts_init(&hosts), 0);
}

static void end(void)
{
	tls_hosts_finish(&hosts);
	ck_assert_uint_eq(ERR_peek_error(), 0);
}

/* common: up to two common names, a comma between them; names: subjectAltName, or NULL. */
static int add(size_t which, const char *common, const char *names)
{
	X509 *cert = X509_new();
	const char *comma = strchr(common, ',');
	int first = comma == NULL ? (int)strlen(common) : (int)(comma - common), count;

	ck_assert_int_eq(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
		(const unsigned char *)common, first, -1, 0), 1);
	if (comma != NULL)
		ck_assert_int_eq(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN",
			MBSTRING_UTF8, (const unsigned char *)comma + 1, -1, -1, 0), 1);
	if (names != NULL) {
		X509_EXTENSION *ext;
		X509V3_CTX ctx;

		X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
		ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, names);
		ck_assert_ptr_nonnull(ext);
		ck_assert_int_eq(X509_add_ext(cert, ext, -1), 1);
		X509_EXTENSION_free(ext);
	}
	count = tls_hosts_add(&hosts, cert, which);
	X509_free(cert);
	return count;
}

#define ck_assert_is(name, number) ck_assert_uint_eq(tls_hosts_find(&hosts, name), number)
#define ck_assert_none(name) ck_assert_is(name, SIZE_MAX)

START_TEST(a_name_in_any_case_and_with_its_dot)
{
	ck_assert_int_eq(add(3, "cn.test", "DNS:db.Example.test,DNS:full.test."), 2);
	ck_assert_is("db.example.test", 3);
	ck_assert_is("DB.EXAMPLE.Test", 3);
	ck_assert_is("db.example.test.", 3);
	ck_assert_is("full.test", 3);
	ck_assert_none("db.example.test..");
	ck_assert_none("example.test");
	ck_assert_none("x.db.example.test");
	ck_assert_none("cn.test");
	ck_assert_none("");
	ck_assert_none(".");
}
END_TEST

START_TEST(a_wildcard_is_one_whole_label)
{
	ck_assert_int_eq(add(1, "cn", "DNS:*.us.test"), 1);
	ck_assert_is("a.us.test", 1);
	ck_assert_is("A.US.TEST.", 1);
	ck_assert_none("us.test");
	ck_assert_none(".us.test");
	ck_assert_none("b.a.us.test");
	ck_assert_none("aus.test");
	ck_assert_int_eq(add(2, "cn", "DNS:f*.eu.test,DNS:a.*.test,DNS:*"), 3);
	ck_assert_none("fa.eu.test");
	ck_assert_none("a.eu.test");
	ck_assert_none("eu");
}
END_TEST

START_TEST(the_first_that_has_it)
{
	ck_assert_int_eq(add(0, "cn", "DNS:both.test,DNS:*.wild.test,DNS:both.test"), 3);
	ck_assert_int_eq(add(1, "cn", "DNS:both.test,DNS:one.wild.test,DNS:two.mild.test"), 3);
	ck_assert_int_eq(add(2, "cn", "DNS:*.mild.test"), 1);
	ck_assert_is("both.test", 0);
	ck_assert_is("one.wild.test", 0);
	ck_assert_is("two.mild.test", 1);
	ck_assert_is("three.mild.test", 2);
}
END_TEST

START_TEST(common_names_where_no_host_is_named)
{
	ck_assert_int_eq(add(1, "db.one.test,db.uno.test", NULL), 2);
	ck_assert_int_eq(add(2, "*.two.test", "IP:127.0.0.1,email:a@three.test"), 1);
	ck_assert_is("db.one.test", 1);
	ck_assert_is("db.uno.test", 1);
	ck_assert_is("a.two.test", 2);
	ck_assert_none("127.0.0.1");
	ck_assert_none("three.test");
}
END_TEST

START_TEST(what_is_no_name)
{
	static const unsigned char zero[] = "db.eu.test\0.evil.test";
	char longest[300];
	X509 *cert = X509_new();

	ck_assert_int_eq(add(1, ".", NULL), 0);
	/* It is no list at all, and then the common name counts. */
	ck_assert_int_eq(add(2, "odd.test", "DER:3005820141"), 1);
	ck_assert_is("odd.test", 2);
	ck_assert_int_eq(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
		zero, sizeof(zero) - 1, -1, 0), 1);
	ck_assert_int_eq(tls_hosts_add(&hosts, cert, 3), 0);
	X509_free(cert);
	ck_assert_none("db.eu.test");
	memset(longest, 'a', sizeof(longest));
	longest[255] = '\0';
	ck_assert_none(longest);
	longest[255] = 'a';
	longest[sizeof(longest) - 1] = '\0';
	ck_assert_none(longest);
}
END_TEST

START_TEST(many)
{
	char name[40], names[48];

	for (size_t i = 0; i < 2000; i++) {
		(void)snprintf(names, sizeof(names), "DNS:n%zu.test", i);
		ck_assert_int_eq(add(i, "cn", names), 1);
	}
	for (size_t i = 0; i < 2000; i++) {
		(void)snprintf(name, sizeof(name), "n%zu.test", i);
		ck_assert_is(name, i);
	}
}
END_TEST

Suite *tls_hosts_suite(void)
{
	Suite *s = suite_create("net/tls_hosts");
	TCase *tc = tcase_create("tls_hosts");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, a_name_in_any_case_and_with_its_dot);
	tcase_add_test(tc, a_wildcard_is_one_whole_label);
	tcase_add_test(tc, the_first_that_has_it);
	tcase_add_test(tc, common_names_where_no_host_is_named);
	tcase_add_test(tc, what_is_no_name);
	tcase_add_test(tc, many);
	suite_add_tcase(s, tc);
	return s;
}
