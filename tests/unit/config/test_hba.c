/* SPDX-License-Identifier: ISC */
#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/diag.h"
#include "config/hba.h"
#include "config/ident.h"

Suite *hba_suite(void);

#define URL_FORM                                                                         \
	"ldapurl is ldap://host[:port]/basedn[?attribute[?scope[?filter]]], or the same with " \
	"ldaps, and nothing else"

static const char good[] =
	"# TYPE  DATABASE  USER  ADDRESS  METHOD\n"
	"local   all             postgres                        peer map=system\n"
	"local   all             all                             scram-sha-256\n"
	"host    replication     repl            10.0.0.0/8      md5\n"
	"host    shop,\"all\"    app,\"two words\" 192.168.1.0 255.255.255.0 password # why\n"
	"hostssl sameuser        /^u[0-9]+$      ::1/128         cert clientname=DN map=certs\n"
	"hostnossl secret        all             all             reject\r\n"
	"hostssl secret          all             all \\\n"
	"        scram-sha-256 clientcert=verify-ca\n"
	"host    all             nobody          samehost        trust\n"
	"hostgssenc all          all             all             trust\n"
	"host    \"/^t_[a,b]$\"  all             fd00::/8        md5\n"
	"\n"
	"host    open            all             0.0.0.0/0       trust";

static struct hba *parse(const char *text)
{
	struct diag diag = { 0 };
	struct hba *hba = hba_parse(text, strlen(text), "pg_hba.conf", false, &diag);

	ck_assert_msg(hba != NULL, "%u:%u: %s", diag.line, diag.column, diag.text);
	return hba;
}

/* address NULL: a unix socket.  Returns the line that fits, or 0. */
static uint32_t line_for(const struct hba *hba, const char *address, bool is_tls,
	const char *database, const char *user)
{
	struct hba_client c = { .database = database, .user = user };
	struct hba_verdict verdict;

	if (address != NULL) {
		c.link = is_tls ? HBA_LINK_TLS : HBA_LINK_PLAIN;
		c.address_len = strchr(address, ':') == NULL ? 4 : 16;
		ck_assert_int_eq(inet_pton(c.address_len == 4 ? AF_INET : AF_INET6, address,
			c.address), 1);
	}
	if (strcmp(database, "(physical)") == 0)
		c.is_physical = true;
	return hba_match(hba, &c, &verdict) ? verdict.line : 0;
}

static const struct {
	const char *address;
	bool is_tls;
	const char *database;
	const char *user;
	uint32_t line;
} matches[] = {
	{ NULL, false, "shop", "postgres", 2 },
	{ NULL, false, "shop", "app", 3 },
	{ "10.1.2.3", false, "(physical)", "repl", 4 },
	{ "10.1.2.3", false, "replication", "repl", 0 },
	{ "11.1.2.3", false, "(physical)", "repl", 0 },
	{ "192.168.1.77", false, "shop", "app", 5 },
	{ "::ffff:192.168.1.77", false, "shop", "app", 5 },
	{ "192.168.1.77", true, "shop", "two words", 5 },
	{ "192.168.2.77", false, "shop", "app", 0 },
	{ "192.168.1.77", false, "all", "app", 5 },
	{ "192.168.1.77", false, "other", "app", 0 },
	{ "::1", true, "u1", "u1", 6 },
	{ "::1", false, "u1", "u1", 0 },
	{ "::1", true, "u2", "u1", 0 },
	{ "::1", true, "ux", "ux", 0 },
	{ "1.2.3.4", false, "secret", "x", 7 },
	{ "1.2.3.4", true, "secret", "x", 8 },
	{ "127.0.0.1", false, "x", "nobody", 10 },
	{ "8.8.8.8", false, "x", "nobody", 0 },
	{ "fd00::1", false, "t_a", "x", 12 },
	{ "fd00::1", false, "t_,", "x", 12 },
	{ "fd00::1", false, "t_c", "x", 0 },
	{ "fe00::1", false, "t_a", "x", 0 },
	{ "8.8.8.8", false, "open", "x", 14 },
	{ "::2", false, "open", "x", 0 },
	{ "::1", true, "u1\n", "u1\n", 0 },
};

START_TEST(the_first_rule_that_fits_counts)
{
	struct hba *hba = parse(good);

	ck_assert_uint_eq(hba_count(hba), 11);
	ck_assert_uint_eq(line_for(hba, matches[_i].address, matches[_i].is_tls,
		matches[_i].database, matches[_i].user), matches[_i].line);
	hba_destroy(&hba);
	ck_assert_ptr_null(hba);
}
END_TEST

/* Of a database with two names a rule may say either; neither is replication. */
START_TEST(a_rule_may_name_either)
{
	static const struct {
		const char *text;
		const char *user;
		uint32_t line;
	} cases[] = {
		{ "local one all reject\nlocal all all trust", "x", 1 },
		{ "local two all reject\nlocal all all trust", "x", 1 },
		{ "local \"two\" all reject\nlocal all all trust", "x", 1 },
		{ "local /^on all reject\nlocal all all trust", "x", 1 },
		{ "local /^tw all reject\nlocal all all trust", "x", 1 },
		{ "local x,two all reject\nlocal all all trust", "x", 1 },
		{ "local sameuser all reject\nlocal all all trust", "one", 1 },
		{ "local sameuser all reject\nlocal all all trust", "two", 1 },
		{ "local sameuser all reject\nlocal all all trust", "x", 2 },
		{ "local three all reject\nlocal all all trust", "x", 2 },
		{ "local replication all reject\nlocal all all trust", "x", 2 },
	};
	struct hba *hba = parse(cases[_i].text);
	struct hba_client c = { .database = "one", .alias = "two", .user = cases[_i].user };
	struct hba_verdict v;

	ck_assert(hba_match(hba, &c, &v));
	ck_assert_uint_eq(v.line, cases[_i].line);
	hba_destroy(&hba);
}
END_TEST

START_TEST(tells_method_certificate_and_map)
{
	struct hba *hba = parse(good);
	struct hba_client c = { .database = "x", .user = "postgres" };
	struct hba_verdict v;

	ck_assert(hba_match(hba, &c, &v));
	ck_assert_int_eq(v.method, HBA_PEER);
	ck_assert_str_eq(v.map, "system");
	c = (struct hba_client){ .link = HBA_LINK_TLS, .address_len = 16, .database = "u1",
		.user = "u1", .address = { [15] = 1 } };
	ck_assert(hba_match(hba, &c, &v));
	ck_assert_int_eq(v.method, HBA_CERT);
	ck_assert_int_eq(v.cert, HBA_CERT_USER);
	ck_assert(v.cert_dn);
	c.database = "secret";
	ck_assert(hba_match(hba, &c, &v));
	ck_assert_int_eq(v.method, HBA_SCRAM);
	ck_assert_int_eq(v.cert, HBA_CERT_VALID);
	ck_assert_ptr_null(v.map);
	hba_destroy(&hba);
}
END_TEST

static const struct {
	const char *text;
	uint32_t line;
	uint32_t column;
	const char *message;
} bad[] = {
	{ "hosts all all all md5", 1, 1, "unknown type \"hosts\"; known are: local, host, "
		"hostssl, hostnossl, hostgssenc, hostnogssenc" },
	{ "\n local", 2, 2, "the line ends here before its database" },
	{ "local all", 1, 7, "the line ends here before its user" },
	{ "local all all", 1, 11, "the line ends here before its method" },
	{ "host all all", 1, 10, "the line ends here before its address" },
	{ "host all all all", 1, 14, "the line ends here before its method" },
	{ "host all all 10.0.0.0/33 md5", 1, 14,
		"invalid length of the mask \"/33\"; 0 to 32 are allowed" },
	{ "host all all 10.0.0.0", 1, 14, "needs a mask, as in 10.0.0.0/32" },
	{ "host all all 10.0.0.0 md5", 1, 23, "\"md5\" is no mask" },
	{ "host all all 10.0.0.0 ffff:: md5", 1, 23, "address and mask are not of one kind" },
	{ "host all all db.example.com md5", 1, 14, "\"db.example.com\" is no address; forms "
		"are 10.0.0.0/8, 10.0.0.0 255.0.0.0, fd00::/8, all, samehost and samenet (names "
		"of hosts are not looked up)" },
	{ "host all all all,samenet md5", 1, 18, "only one address can stand here" },
	{ "local all all mdfive", 1, 15, "unknown method \"mdfive\"; known are: trust, reject, "
		"password, md5, scram-sha-256, cert, peer, pam, ldap" },
	{ "host all all all radius", 1, 18, "the method radius is not known here" },
#ifdef HAVE_LIBPAM
	{ "host all all all pam pamservice=", 1, 22,
		"pamservice is the name of a file in /etc/pam.d" },
#endif
#ifdef HAVE_LIBLDAP
	{ "host all all all ldap", 1, 18, "ldap needs ldapserver or ldapurl" },
	{ "host all all all ldap ldapurl=ldap://", 1, 23, URL_FORM },
	{ "host all all all ldap ldapurl=ldap:///dc=x", 1, 23, URL_FORM },
	{ "host all all all ldap ldapurl=ldap://a:0/dc=x", 1, 23, URL_FORM },
	{ "host all all all ldap ldapurl=ldap://a:65536/dc=x", 1, 23, URL_FORM },
	{ "host all all all ldap ldapurl=ldap://a:1x/dc=x", 1, 23, URL_FORM },
	{ "host all all all ldap ldapurl=ldap://[::1/dc=x", 1, 23, URL_FORM },
	{ "host all all all ldap ldapurl=ldap://a/dc=%zz", 1, 23, URL_FORM },
	{ "host all all all ldap ldapurl=ldap://a/dc=%0", 1, 23, URL_FORM },
	{ "host all all all ldap ldapurl=ldap://a/dc=%00", 1, 23, URL_FORM },
	{ "host all all all ldap ldapurl=ldap://a/b?c?all", 1, 23, URL_FORM },
	{ "host all all all ldap ldapurl=ldap://a/b?c?sub?f?x", 1, 23, URL_FORM },
	{ "host all all all ldap ldapserver=a ldapscheme=ldaps ldaptls=1 ldapbasedn=b", 1, 18,
		"ldaptls=1 asks for TLS within a connection that has it: ldapscheme is ldaps" },
#endif
	{ "host all all all peer", 1, 18, "peer is only for local (unix sockets)" },
	{ "host all all all cert", 1, 18, "cert is only for hostssl" },
	{ "host all +staff all md5", 1, 10, "+staff: who is a member of a role only PostgreSQL "
		"knows; name the users" },
	{ "host samerole all all md5", 1, 6, "samerole is not known here: who is a member of a "
		"role only PostgreSQL knows" },
	{ "host all /( all md5", 1, 10,
		"invalid regular expression \"(\": missing closing parenthesis at its byte 1" },
	{ "host all \"a all md5\n", 1, 10, "the closing quote is missing" },
	{ "local all all md5 x", 1, 19, "needs name=value, not \"x\"" },
	{ "local all all md5 x=y", 1, 19,
		"unknown option \"x\"; known are: map, clientcert, clientname, "
		"pamservice and those of ldap" },
	{ "local all all md5 map=y", 1, 19, "map is only for peer and cert" },
	{ "host all all all md5 clientcert=verify-ca", 1, 22,
		"clientcert is only for hostssl" },
	{ "hostssl all all all cert clientcert=verify-ca", 1, 26, "clientcert can be verify-ca "
		"(not with cert) or verify-full, not \"verify-ca\"" },
	{ "local all all \\\n md5 md5=", 2, 6,
		"unknown option \"md5\"; known are: map, clientcert, clientname, "
		"pamservice and those of ldap" },
	{ "local all @users md5", 1, 11, "no other file is read here" },
	{ "include other", 1, 9, "no other file is read here" },
	{ "include", 1, 1, "include needs the name of one file" },
	{ "include_dir other", 1, 13, "no other file is read here" },
	{ "include_dir a b", 1, 1, "include_dir needs the name of one directory" },
};

/* A password that is written without its quotes, or behind a wrong name. */
START_TEST(tells_no_password)
{
	static const char *const lines[] = {
		"host all all all ldap ldapserver=a ldapbindpasswd=my Secret42 ldapbasedn=b",
		"host all all all ldap ldapserver=a ldapbindpasswd=my Secret42=x ldapbasedn=b",
		"host all all all ldap ldapserver=a ldapbindpaswd=x Secret42=",
		"host all all all ldap ldapserver=a LDAPBINDPASSWD=Secret42",
		"host all all all ldap ldapserver=a ldapbasedn=b ldapPwd=Secret42",
		"host all all all ldap ldapserver=a ldapport=Secret42 ldapbindpasswd=",
		"ldapbindpasswd=Secret42",
		"host all all all ldapbindpasswd=Secret42",
		"host all all ldapbindpasswd=Secret42 ldap",
	};

	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		struct diag diag = { 0 };

		ck_assert_ptr_null(hba_parse(lines[i], strlen(lines[i]), "hba", false, &diag));
		ck_assert_uint_eq(diag.line, 1);
		ck_assert_uint_gt(diag.column, 0);
		ck_assert_msg(strstr(diag.text, "Secret42") == NULL, "%s", diag.text);
		ck_assert_msg(strlen(diag.text) > 10, "%s", diag.text);
	}
}
END_TEST

#ifdef HAVE_LIBLDAP
START_TEST(reads_options_of_ldap)
{
	static const struct {
		const char *options;
		const char *uris, *basedn, *attribute, *filter;
		int scope;
	} cases[] = {
		{ "ldapserver=a ldapprefix=cn=", "ldap://a:389", "", "", "", 2 },
		{ "ldapserver=\"a b\" ldapscheme=ldaps ldapsuffix=x", "ldaps://a:636 ldaps://b:636",
			"", "", "", 2 },
		{ "ldapserver=\" ::1  [::2] \" ldapport=3890 ldapsuffix=x",
			"ldap://[::1]:3890 ldap://[::2]:3890", "", "", "", 2 },
		{ "ldapurl=ldap://a/dc=x", "ldap://a:389", "dc=x", "", "", 2 },
		{ "ldapurl=ldaps://[::1]:7/dc=%78?uid?one", "ldaps://[::1]:7", "dc=x", "uid", "", 1 },
		{ "ldapurl=ldap://a:5/dc=x??base?(uid=$username)", "ldap://a:5", "dc=x", "",
			"(uid=$username)", 0 },
		{ "ldapserver=a ldapurl=ldap://b/dc=x ldapbinddn=c ldapbindpasswd=d", "ldap://b:389",
			"dc=x", "", "", 2 },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct hba_client c = { .database = "d", .user = "u" };
		struct hba_verdict verdict;
		struct hba_place at;
		char text[300];
		struct hba *hba;

		(void)snprintf(text, sizeof(text), "local all all ldap %s", cases[i].options);
		hba = parse(text);
		ck_assert(hba_match(hba, &c, &verdict));
		ck_assert_int_eq(verdict.method, HBA_LDAP);
		ck_assert_str_eq(verdict.ldap->uris, cases[i].uris);
		ck_assert_str_eq(verdict.ldap->basedn, cases[i].basedn);
		ck_assert_str_eq(verdict.ldap->attribute, cases[i].attribute);
		ck_assert_str_eq(verdict.ldap->filter, cases[i].filter);
		ck_assert_int_eq(verdict.ldap->scope, cases[i].scope);
		ck_assert(hba_clear_ldap(hba, &at) == (strncmp(cases[i].uris, "ldaps", 5) != 0));
		hba_destroy(&hba);
	}
}
END_TEST
#endif

START_TEST(tells_which_rule_is_for_tls)
{
	static const struct {
		const char *text;
		uint32_t tls, certificate;      /* lines; 0: none */
	} cases[] = {
		{ "local all all trust\nhostnossl all all all md5\nhost all all all md5", 0, 0 },
		{ "local all all trust\nhostssl all all all md5\nhostssl all all all cert", 2, 3 },
		{ "hostssl all all all cert", 1, 1 },
		{ "\nhostssl all all all md5 clientcert=verify-ca", 2, 2 },
		{ "hostssl all all all md5\n\nhostssl all all all md5 clientcert=verify-full", 1, 3 },
	};
	struct hba *hba = parse(cases[_i].text);
	struct hba_place at = { NULL, 0 };

	ck_assert(hba_needs_tls(hba, &at) == (cases[_i].tls != 0));
	ck_assert_uint_eq(at.line, cases[_i].tls);
	at.line = 0;
	ck_assert(hba_needs_certificate(hba, &at) == (cases[_i].certificate != 0));
	ck_assert_uint_eq(at.line, cases[_i].certificate);
	hba_destroy(&hba);
}
END_TEST

START_TEST(says_what_is_wrong_and_where)
{
	struct diag diag = { 0 };

	ck_assert_ptr_null(hba_parse(bad[_i].text, strlen(bad[_i].text), "pg_hba.conf", false,
		&diag));
	ck_assert_str_eq(diag.text, bad[_i].message);
	ck_assert_str_eq(diag.file, "pg_hba.conf");
	ck_assert_uint_eq(diag.line, bad[_i].line);
	ck_assert_uint_eq(diag.column, bad[_i].column);
}
END_TEST

START_TEST(survives_every_cut)
{
	for (size_t cut = 0; cut <= strlen(good); cut++) {
		/* So that a byte read behind the end is seen. */
		char *text = malloc(cut + 1);
		struct diag diag = { 0 };
		struct hba *hba;

		memcpy(text, good, cut);
		text = realloc(text, cut == 0 ? 1 : cut);
		hba = hba_parse(text, cut, "pg_hba.conf", false, &diag);
		ck_assert((hba == NULL) == diag_is_set(&diag));
		hba_destroy(&hba);
		free(text);
	}
}
END_TEST

/* --- files ---------------------------------------------------------------------------- */

static void put(const char *dir, const char *name, const char *text)
{
	char path[200];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

/* A search that takes too long lets nobody in, as that line might reject. */
START_TEST(no_name_takes_long)
{
	struct hba *hba = parse("local all /^(a+)+$ reject\nlocal all all trust\n");

	ck_assert_uint_eq(line_for(hba, NULL, false, "x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"),
		0);
	ck_assert_uint_eq(line_for(hba, NULL, false, "x", "b"), 2);
	ck_assert_uint_eq(line_for(hba, NULL, false, "x", "aa"), 1);
	hba_destroy(&hba);
}
END_TEST

START_TEST(files_within_files)
{
	static const char *const names[] = { "hba", "users", "more", "self" };
	char dir[] = "/tmp/pgtandem-hba-XXXXXX", path[200];
	struct diag diag = { 0 };
	struct hba *hba;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/hba", dir);
	put(dir, "users", "anna, berta\n# nobody\n\"c d\"\n");
	put(dir, "more", "local x all trust\n");
	put(dir, "hba", "local all @users,dora md5\ninclude more\ninclude_if_exists none\n");
	hba = hba_load(path, &diag);
	ck_assert_msg(hba != NULL, "%s", diag.text);
	ck_assert_uint_eq(hba_count(hba), 2);
	ck_assert_uint_eq(line_for(hba, NULL, false, "y", "anna"), 1);
	ck_assert_uint_eq(line_for(hba, NULL, false, "y", "berta"), 1);
	ck_assert_uint_eq(line_for(hba, NULL, false, "y", "c d"), 1);
	ck_assert_uint_eq(line_for(hba, NULL, false, "y", "dora"), 1);
	ck_assert_uint_eq(line_for(hba, NULL, false, "y", "emma"), 0);
	ck_assert_uint_eq(line_for(hba, NULL, false, "x", "emma"), 1);
	hba_destroy(&hba);

	put(dir, "hba", "\ninclude none\n");
	ck_assert_ptr_null(hba_load(path, &diag));
	ck_assert_uint_eq(diag.line, 2);
	ck_assert_ptr_nonnull(strstr(diag.text, "No such file"));
	diag_clear(&diag);

	put(dir, "self", "include self\ninclude self\n");
	put(dir, "hba", "include self\n");
	ck_assert_ptr_null(hba_load(path, &diag));
	ck_assert_str_eq(diag.text, "files within files, more than 10 deep");
	diag_clear(&diag);

	/* 2 to the power of 10 of them, were they read to the end. */
	put(dir, "self", "local all @self,@self md5\n");
	put(dir, "hba", "local all @self md5\n");
	ck_assert_ptr_null(hba_load(path, &diag));
	ck_assert_str_eq(diag.text, "files within files, more than 10 deep");
	diag_clear(&diag);

	put(dir, "more", "local x all mdfive\n");
	put(dir, "hba", "include more\n");
	ck_assert_ptr_null(hba_load(path, &diag));
	ck_assert_ptr_nonnull(strstr(diag.file, "/more"));
	ck_assert_uint_eq(diag.line, 1);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}
END_TEST

/* As PostgreSQL 16 does: in the order of the names, other names left out. */
START_TEST(directories_of_files)
{
	static const char *const names[] = { "hba", "d/20.conf", "d/10.conf", "d/.9.conf",
		"d/30.txt", "d/.conf" };
	char dir[] = "/tmp/pgtandem-hba-XXXXXX", path[200];
	struct hba_place at;
	struct diag diag = { 0 };
	struct hba *hba;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/d", dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/d/sub.conf", dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	put(dir, "d/10.conf", "# first\nlocal x all reject\n");
	put(dir, "d/20.conf", "local x all trust\nhostssl all all all cert\n");
	put(dir, "d/.9.conf", "no rule\n");
	put(dir, "d/.conf", "no rule\n");
	put(dir, "d/30.txt", "no rule\n");
	put(dir, "hba", "include_dir d\nlocal all all trust\n");
	(void)snprintf(path, sizeof(path), "%s/hba", dir);
	hba = hba_load(path, &diag);
	ck_assert_msg(hba != NULL, "%s", diag.text);
	ck_assert_uint_eq(hba_count(hba), 4);
	ck_assert_uint_eq(line_for(hba, NULL, false, "x", "anna"), 2);
	ck_assert_uint_eq(line_for(hba, NULL, false, "y", "anna"), 2);
	ck_assert(hba_needs_tls(hba, &at));
	ck_assert_uint_eq(at.line, 2);
	ck_assert_ptr_nonnull(strstr(at.path, "/d/20.conf"));
	hba_destroy(&hba);

	put(dir, "d/20.conf", "\nlocal x all mdfive\n");
	ck_assert_ptr_null(hba_load(path, &diag));
	ck_assert_ptr_nonnull(strstr(diag.file, "/d/20.conf"));
	ck_assert_uint_eq(diag.line, 2);
	ck_assert_uint_eq(diag.column, 13);
	diag_clear(&diag);

	/* Of a directory that includes itself. */
	put(dir, "d/20.conf", "include_dir ../d\n");
	ck_assert_ptr_null(hba_load(path, &diag));
	ck_assert_str_eq(diag.text, "files within files, more than 10 deep");
	diag_clear(&diag);

	put(dir, "hba", "include_dir none\n");
	ck_assert_ptr_null(hba_load(path, &diag));
	ck_assert_uint_eq(diag.line, 1);
	ck_assert_uint_eq(diag.column, 13);
	ck_assert_ptr_nonnull(strstr(diag.text, "No such file"));
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	(void)snprintf(path, sizeof(path), "%s/d/sub.conf", dir);
	rmdir(path);
	(void)snprintf(path, sizeof(path), "%s/d", dir);
	rmdir(path);
	rmdir(dir);
}
END_TEST

/* --- maps ----------------------------------------------------------------------------- */

static const char maps[] =
	"# map system user\n"
	"os  root      postgres\n"
	"os  \"two words\" app\n"
	"os  root      /^adm_\n"
	"crt /^(.*)@example\\.com$  \\1\n"
	"crt /^ops@    all\n"
	"crt literal   \"all\"\n";

START_TEST(maps_say_who_may_be_whom)
{
	static const struct {
		const char *map;
		const char *system;
		const char *user;
		bool is_allowed;
	} cases[] = {
		{ NULL, "app", "app", true }, { NULL, "app", "App", false },
		{ "os", "root", "postgres", true }, { "os", "root", "root", false },
		{ "os", "two words", "app", true }, { "os", "root", "adm_x", true },
		{ "crt", "anna@example.com", "anna", true },
		{ "crt", "anna@example.com", "berta", false },
		{ "crt", "anna@example,com", "anna", false },
		{ "crt", "ops@x", "whoever", true }, { "crt", "literal", "whoever", false },
		{ "crt", "literal", "all", true }, { "none", "root", "root", false },
		{ "os", "anna@example.com", "anna", false },
	};
	struct diag diag = { 0 };
	struct ident *ident = ident_parse(maps, strlen(maps), "ident", false, &diag);

	ck_assert_msg(ident != NULL, "%u:%u: %s", diag.line, diag.column, diag.text);
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		ck_assert_msg(ident_allows(ident, cases[i].map, cases[i].system,
				cases[i].user) == cases[i].is_allowed, "case %zu", i);
	ck_assert(ident_has_map(ident, "crt"));
	ck_assert(!ident_has_map(ident, "none"));
	ident_destroy(&ident);
	ck_assert(!ident_allows(NULL, "os", "root", "postgres"));
}
END_TEST

START_TEST(maps_with_errors)
{
	static const struct {
		const char *text;
		uint32_t column;
		const char *message;
	} cases[] = {
		{ "os", 1, "the line ends here before its name in the system" },
		{ "os root", 4, "the line ends here before its name of the user" },
		{ "os root a b", 11,
			"only three fields can stand here: map, name in the system, user" },
		{ "os root a,b", 11, "only one name of the user can stand here" },
		{ "os root \\1", 9, "\\1 needs a regular expression with parentheses before it" },
		{ "os /root \\1", 10,
			"\\1 needs a regular expression with parentheses before it" },
		{ "os root +x", 9, "+x: who is a member of a role only PostgreSQL knows; name "
			"the users" },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct diag diag = { 0 };

		ck_assert_ptr_null(ident_parse(cases[i].text, strlen(cases[i].text), "ident",
			false, &diag));
		ck_assert_str_eq(diag.text, cases[i].message);
		ck_assert_uint_eq(diag.column, cases[i].column);
	}
	for (size_t cut = 0; cut <= strlen(maps); cut++) {
		struct diag diag = { 0 };
		struct ident *ident = ident_parse(maps, cut, "ident", false, &diag);

		ck_assert((ident == NULL) == diag_is_set(&diag));
		ident_destroy(&ident);
	}
}
END_TEST

Suite *hba_suite(void)
{
	Suite *s = suite_create("config/hba");
	TCase *tc = tcase_create("rules");

	tcase_add_loop_test(tc, the_first_rule_that_fits_counts, 0, (int)COUNT_OF(matches));
	tcase_add_loop_test(tc, a_rule_may_name_either, 0, 11);
	tcase_add_loop_test(tc, tells_which_rule_is_for_tls, 0, 5);
#ifdef HAVE_LIBLDAP
	tcase_add_test(tc, reads_options_of_ldap);
#endif
	tcase_add_test(tc, tells_method_certificate_and_map);
	tcase_add_loop_test(tc, says_what_is_wrong_and_where, 0, (int)COUNT_OF(bad));
	tcase_add_test(tc, survives_every_cut);
	tcase_add_test(tc, no_name_takes_long);
	tcase_add_test(tc, files_within_files);
	tcase_add_test(tc, directories_of_files);
	tcase_add_test(tc, tells_no_password);
	tcase_add_test(tc, maps_say_who_may_be_whom);
	tcase_add_test(tc, maps_with_errors);
	suite_add_tcase(s, tc);
	return s;
}
