/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <string.h>

#include "net/ldap.h"
#include "net/suites.h"

static const struct ldap_target none = { .uris = "", .prefix = "", .suffix = "", .basedn = "",
	.binddn = "", .bindpasswd = "", .attribute = "", .filter = "" };

static const struct {
	const char *name, *dn, *filter;
} names[] = {
	{ "ann", "ann", "ann" },
	{ "*", "*", "\\2a" },
	{ "a)(uid=*", "a)(uid\\3d*", "a\\29\\28uid=\\2a" },
	{ "a,ou=x", "a\\2cou\\3dx", "a,ou=x" },
	{ "a\\b", "a\\5cb", "a\\5cb" },
	{ "a+b<c>d;e\"f#g/h", "a\\2bb\\3cc\\3ed\\3be\\22f\\23g\\2fh",
		"a+b<c>d;e\"f#g\\2fh" },
	{ " a b ", "\\20a b\\20", " a b " },
	{ "a\nb", "a\\0ab", "a\\0ab" },
	{ "\xc3\xa9", "\xc3\xa9", "\\c3\\a9" },
	{ "$username", "$username", "$username" },
};

static void ck_text(struct buf *b, const char *text)
{
	buf_add_u8(b, 0);
	ck_assert(buf_ok(b));
	ck_assert_str_eq((const char *)buf_data(b), text);
	buf_finish(b);
}

START_TEST(escapes_names)
{
	struct buf b;

	buf_init(&b, 0);
	ldap_escape_dn(&b, names[_i].name);
	ck_text(&b, names[_i].dn);
	ldap_escape_filter(&b, names[_i].name);
	ck_text(&b, names[_i].filter);
}
END_TEST

START_TEST(makes_the_name_to_bind_as)
{
	struct ldap_target target = none;
	struct buf b;

	buf_init(&b, 0);
	target.prefix = "cn=";
	target.suffix = ",dc=x";
	ck_assert(ldap_bind_name(&target, "a,b", &b));
	ck_assert_str_eq((const char *)buf_data(&b), "cn=a\\2cb,dc=x");
	buf_clear(&b);
	target.prefix = "";
	target.suffix = "@example.net";
	ck_assert(ldap_bind_name(&target, "a.b", &b));
	ck_assert_str_eq((const char *)buf_data(&b), "a.b@example.net");
	buf_clear(&b);
	ck_assert(!ldap_bind_name(&target, "a@elsewhere", &b));
	target.suffix = ",dc=x";
	ck_assert(!ldap_bind_name(&target, "cn=admin", &b));
	ck_assert_uint_eq(buf_len(&b), 0);
	buf_finish(&b);
}
END_TEST

START_TEST(makes_the_filter)
{
	static const struct {
		const char *attribute, *filter, *made;
	} cases[] = {
		{ "", "", "(uid=a\\2a)" },
		{ "mail", "", "(mail=a\\2a)" },
		{ "", "(|(uid=$username)(cn=$username))", "(|(uid=a\\2a)(cn=a\\2a))" },
		{ "", "(uid=x)", "(uid=x)" },
		{ "", "$username", "a\\2a" },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct ldap_target target = none;
		struct buf b;

		buf_init(&b, 0);
		target.attribute = cases[i].attribute;
		target.filter = cases[i].filter;
		ldap_search_filter(&target, "a*", &b);
		ck_text(&b, cases[i].made);
	}
}
END_TEST

/* A bind without a password is one as nobody, which a directory takes. */
START_TEST(takes_no_empty_password)
{
	struct ldap_target target = none;
	char why[LDAP_WHY_MAX];

	target.uris = "ldap://127.0.0.1:1";
	target.prefix = "cn=";
	ck_assert_int_ne(ldap_verify(&target, "ann", "", 1000000, why), LDAP_IS_RIGHT);
	ck_assert_int_eq(ldap_verify(&target, "ann", "x", 1000000, why), LDAP_CANNOT_TELL);
	ck_assert_str_ne(why, "");
}
END_TEST

Suite *ldap_suite(void)
{
	Suite *s = suite_create("net/ldap");
	TCase *tc = tcase_create("ldap");

	tcase_add_loop_test(tc, escapes_names, 0, (int)COUNT_OF(names));
	tcase_add_test(tc, makes_the_name_to_bind_as);
	tcase_add_test(tc, makes_the_filter);
	tcase_add_test(tc, takes_no_empty_password);
	suite_add_tcase(s, tc);
	return s;
}
