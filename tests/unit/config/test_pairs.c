/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "config/hba.h"
#include "config/pairs.h"
#include "config/support.h"
#include "config/userlist.h"

Suite *pairs_suite(void);

#define MD5    "md50123456789abcdef0123456789abcdef"
#define VERIFIER \
	"SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$0000000000000000000000000000000000000000000=:" \
	"0000000000000000000000000000000000000000000="
#define PEER_HOST "hosts:\n  main: { host: /run/postgresql, connection_budget: 35 }\n"
#define CERT_HOST "hosts:\n  main: { host: a, connection_budget: 35, server_tls_cert_file: c, " \
		  "server_tls_key_file: k, server_tls_sslmode: require }\n"
#define OWN(more) "hosts:\n  main: { host: 127.0.0.1, connection_budget: 35, user: own" more " }\n"
#define UNIX   "workloads:\n  web: { listen: 'unix:/tmp:6432', pool_mode: transaction }\n"
#define AUTH(type) "auth: { auth_type: " type " }\n"
#define DB(entry) "databases:\n  app: { " entry " }\n"

static const struct {
	const char *why;
	const char *text;
	const char *users;              /* of auth_file */
	const char *rules;              /* of auth_hba_file */
	const char *says;               /* NULL: nothing */
	const char *where;              /* the warning begins so */
} cases[] = {
	{ "passwords open everything", HOST WEB AUTH("cert"), "\"u\" \"p\"\n", NULL, NULL, NULL },
	{ "nobody has one", HOST WEB AUTH("cert"), "\"u\" \"" VERIFIER "\"\n", NULL,
		"cert proves nothing that PostgreSQL takes", "test.yaml, line 5: " },
	{ "md5 may be what it asks for", HOST WEB AUTH("cert"), "\"u\" \"" MD5 "\"\n", NULL, NULL,
		NULL },
	{ "trust is nothing, too", HOST WEB AUTH("trust"), NULL, NULL,
		"clients of databases.* get in only where PostgreSQL trusts", "test.yaml, line 5: " },
	{ "peer is nothing, too", HOST UNIX AUTH("peer"), NULL, NULL,
		"peer proves nothing", "test.yaml, line 5: " },
	{ "PostgreSQL may ask the kernel", PEER_HOST UNIX AUTH("peer"), NULL, NULL, NULL, NULL },
	{ "PostgreSQL may ask for our certificate", CERT_HOST WEB AUTH("cert"), NULL, NULL, NULL,
		NULL },
	{ "the database's user has one", HOST WEB AUTH("cert") DB("user: x, password: p"), NULL,
		NULL, NULL, NULL },
	{ "... by a command", HOST WEB AUTH("cert") DB("user: x, password_command: /bin/x"), NULL,
		NULL, NULL, NULL },
	{ "peer over TCP", HOST WEB AUTH("peer"), "\"u\" \"p\"\n", NULL,
		"no workload listens on a unix socket", "test.yaml, line 5: " },
	{ "md5 secrets and SCRAM", HOST WEB, "\"a\" \"" MD5 "\"\n\"b\" \"p\"\n", NULL,
		"1 of the users, \"a\" among them, has md5 secrets", "" },
	{ "md5 secrets and md5", HOST WEB AUTH("md5"), "\"a\" \"" MD5 "\"\n", NULL, NULL, NULL },
	{ "pass-through", HOST WEB, "\"a\" \"" VERIFIER "\"\n", NULL, NULL, NULL },
#ifdef HAVE_LIBPAM
	{ "passwords in clear", HOST WEB AUTH("pam"), NULL, NULL, NULL, NULL },
#endif
	{ "the database's user without one", HOST WEB DB("user: x"), "\"a\" \"p\"\n", NULL,
		"databases.app.user has no password", "test.yaml, line 6: " },
	{ "... who is in auth_file", HOST WEB DB("user: x"), "\"x\" \"p\"\n", NULL, NULL, NULL },
	{ "... with a verifier", HOST WEB DB("user: x"), "\"x\" \"" VERIFIER "\"\n", NULL,
		"a SCRAM secret, which logs nobody in but who proves it", "test.yaml, line 6: " },
	{ "... who is the host's", OWN(", password: p") WEB DB("user: own"), "\"a\" \"p\"\n", NULL,
		NULL, NULL },
	{ "a verifier for a password", HOST WEB DB("user: x, password: " VERIFIER),
		"\"a\" \"p\"\n", NULL, "databases.app.password is a SCRAM secret",
		"test.yaml, line 6: " },
	{ "the router's own login without one", OWN("") WEB, "\"a\" \"p\"\n", NULL,
		"hosts.main.user has no password", "test.yaml, line 2: " },
	{ "... with a verifier", OWN(", password: " VERIFIER) WEB, "\"a\" \"p\"\n", NULL,
		"hosts.main.password is a SCRAM secret", "test.yaml, line 2: " },
	{ "... with a file", OWN(", password_file: x") WEB, "\"a\" \"p\"\n", NULL, NULL, NULL },
	{ "rules that prove nothing", HOST WEB AUTH("hba, auth_hba_file: hba"), NULL,
		"local all all reject\nhostssl all all all cert\n",
		"cert proves nothing", "pg_hba.conf, line 2: " },
	{ "one that proves something", HOST WEB AUTH("hba, auth_hba_file: hba"), NULL,
		"hostssl all all all cert\nhost all all all md5\n", NULL, NULL },
	{ "rules with SCRAM only", HOST WEB AUTH("hba, auth_hba_file: hba"), "\"a\" \"" MD5 "\"\n",
		"host all all all scram-sha-256\n", "has md5 secrets", "test.yaml, line 5: " },
};

START_TEST(tells_what_cannot_work)
{
	struct config *config = load(cases[_i].text);
	struct diag diag = { 0 };
	size_t before;

	if (cases[_i].users != NULL)
		config->userlist = userlist_parse(cases[_i].users, strlen(cases[_i].users),
			"userlist", &diag);
	if (cases[_i].rules != NULL)
		config->hba = hba_parse(cases[_i].rules, strlen(cases[_i].rules), "pg_hba.conf",
			false, &diag);
	ck_assert_msg(!diag_is_set(&diag), "%s: %s", cases[_i].why, diag.text);
	before = config->warnings.count;
	ck_assert_int_eq(pairs_warn(config), 0);
	if (cases[_i].says == NULL) {
		ck_assert_msg(config->warnings.count == before, "%s: %s", cases[_i].why,
			config->warnings.items[config->warnings.count - 1]);
	} else {
		const char *said;

		ck_assert_msg(config->warnings.count == before + 1, "%s: %zu", cases[_i].why,
			config->warnings.count - before);
		said = config->warnings.items[before];
		ck_assert_msg(strstr(said, cases[_i].says) != NULL, "%s: %s", cases[_i].why, said);
		ck_assert_msg(strncmp(said, cases[_i].where, strlen(cases[_i].where)) == 0, "%s",
			said);
	}
	config_unref(config);
}
END_TEST

Suite *pairs_suite(void)
{
	Suite *s = suite_create("config/pairs");
	TCase *tc = tcase_create("pairs_warn");

	tcase_add_loop_test(tc, tells_what_cannot_work, 0,
		(int)(sizeof(cases) / sizeof(cases[0])));
	suite_add_tcase(s, tc);
	return s;
}
