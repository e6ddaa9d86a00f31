/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "session/login.h"
#include "suites.h"

static struct pool_login *login;
static struct route_host host;
static struct router router;

static void begin(void)
{
	struct route_pool pool = { .host = &host };

	memset(&host, 0, sizeof(host));
	ck_assert_int_eq(pthread_mutex_init(&host.lock, NULL), 0);
	login = login_create(&pool);
	ck_assert_ptr_nonnull(login);
	memset(&router, 0, sizeof(router));
	ck_assert_int_eq(pthread_mutex_init(&router.derived_lock, NULL), 0);
	ck_assert_int_eq(hash_table_init(&router.derived, 16), 0);
}

static void end(void)
{
	login_destroy(login);
	login_wipe_derived(&router);
	hash_table_finish(&router.derived);
	(void)pthread_mutex_destroy(&host.lock);
	(void)pthread_mutex_destroy(&router.derived_lock);
}

/* --- with a pool ---------------------------------------------------------------- */

START_TEST(keys_are_those_set_last)
{
	struct secret_keys keys = { .iterations = 4096, .salt_len = 1 }, got;

	ck_assert(!login_get_keys(login, &got));
	keys.client_key[0] = 1;
	ck_assert(login_set_keys(login, &keys));
	ck_assert(!login_set_keys(login, &keys));
	keys.client_key[0] = 2;
	ck_assert(login_set_keys(login, &keys));
	keys.salt[0] = 1;
	ck_assert(login_set_keys(login, &keys));
	ck_assert(login_get_keys(login, &got));
	ck_assert_uint_eq(got.iterations, 4096);
	ck_assert_uint_eq(got.client_key[0], 2);
}
END_TEST

START_TEST(password_is_the_one_set_last)
{
	char *got;

	ck_assert_ptr_null(login_get_password(login));
	ck_assert(login_set_password(login, "old"));
	ck_assert(!login_set_password(login, "old"));
	ck_assert(login_set_password(login, "new"));
	got = login_get_password(login);
	ck_assert_str_eq(got, "new");
	free(got);
}
END_TEST

/* A login with keys of this first byte, a password, and a stored secret. */
static void prove(struct pool_login *l, uint8_t first, const char *password, const char *stored)
{
	struct secret_keys keys = { .iterations = 4096, .salt_len = 1, .client_key = { first } };

	(void)login_set_version(l, stored);
	(void)login_set_keys(l, &keys);
	(void)login_set_password(l, password);
}

static void check_proof(struct pool_login *l, uint8_t first, const char *password,
	const char *md5)
{
	char *got_password = login_get_password(l), *got_md5 = login_get_md5(l);
	struct secret_keys keys;

	ck_assert(login_get_keys(l, &keys));
	ck_assert_uint_eq(keys.client_key[0], first);
	ck_assert_pstr_eq(got_password, password);
	ck_assert_pstr_eq(got_md5, md5);
	free(got_password);
	free(got_md5);
}

START_TEST(what_was_proven_is_inherited_once)
{
	static const char md5[] = "md50123456789abcdef0123456789abcdef";
	struct route_pool pool = { .host = &host };
	struct pool_login *heir = login_create(&pool);

	ck_assert_ptr_nonnull(heir);
	ck_assert(!login_inherit(heir, login, NULL));
	prove(login, 1, "word", md5);
	ck_assert(login_inherit(heir, login, NULL));
	check_proof(heir, 1, "word", md5);
	/* Copies: what becomes of one is nothing to the other. */
	prove(login, 2, "another", md5);
	ck_assert(!login_inherit(heir, login, NULL));
	check_proof(heir, 1, "word", md5);
	/* It knows of which secret they are. */
	ck_assert(!login_set_version(heir, md5));
	ck_assert(login_set_version(heir, "new"));
	ck_assert(!login_get_keys(heir, &(struct secret_keys){ 0 }));
	ck_assert_ptr_null(login_get_password(heir));
	/* Who has proven something itself has nothing of others, be it that it opens nothing. */
	ck_assert(!login_inherit(heir, login, NULL));
	check_proof(login, 2, "another", md5);
	login_destroy(heir);
}
END_TEST

START_TEST(keys_of_what_is_stored_are_inherited)
{
	struct route_pool pool = { .host = &host };
	struct pool_login *heir = login_create(&pool);
	char stored[SECRET_SCRAM_TEXT_MAX], other[SECRET_SCRAM_TEXT_MAX];
	struct secret_keys keys, got;
	struct secret_scram secret;

	ck_assert_ptr_nonnull(heir);
	ck_assert(secret_derive_keys("word", (const uint8_t *)"salt", 4, 2, &keys));
	ck_assert(secret_from_keys(&keys, &secret));
	secret_format_scram(&secret, stored);
	secret.stored_key[0] ^= 1;
	secret_format_scram(&secret, other);
	(void)login_set_version(login, "word");
	(void)login_set_password(login, "word");
	ck_assert(!login_inherit(heir, login, stored));
	(void)login_set_keys(login, &keys);
	/* Of another secret, of none, of another salt. */
	ck_assert(!login_inherit(heir, login, other));
	ck_assert(!login_inherit(heir, login, ""));
	ck_assert(!login_inherit(heir, login, "word"));
	secret.stored_key[0] ^= 1;
	secret.salt[0] ^= 1;
	ck_assert(!login_inherit(heir, login, secret_format_scram(&secret, other)));
	ck_assert(!login_get_keys(heir, &got));
	ck_assert(login_inherit(heir, login, stored));
	ck_assert(login_get_keys(heir, &got));
	ck_assert_mem_eq(got.client_key, keys.client_key, SECRET_KEY_LEN);
	ck_assert_ptr_null(login_get_password(heir));
	ck_assert(!login_set_version(heir, stored));
	login_destroy(heir);
}
END_TEST

static void set_welcome(uint64_t key, const char *zone)
{
	struct params params;

	params_init(&params);
	ck_assert(params_set(&params, "TimeZone", zone));
	login_set_welcome(login, key, &params);
	params_finish(&params);
}

static bool has_welcome(uint64_t key, const char *zone)
{
	struct params got;
	bool found;

	params_init(&got);
	found = login_get_welcome(login, key, &got) &&
		strcmp(params_get(&got, "TimeZone"), zone) == 0;
	params_finish(&got);
	return found;
}

START_TEST(welcome_belongs_to_its_key)
{
	ck_assert(!has_welcome(0, "UTC"));
	set_welcome(0, "UTC");
	set_welcome(7, "CET");
	ck_assert(has_welcome(0, "UTC"));
	ck_assert(has_welcome(7, "CET"));
	ck_assert(!has_welcome(8, "UTC"));
}
END_TEST

START_TEST(first_welcome_stays_until_forgotten)
{
	set_welcome(1, "UTC");
	set_welcome(1, "CET");
	ck_assert(has_welcome(1, "UTC"));
	login_forget_welcomes(login);
	ck_assert(!has_welcome(1, "UTC"));
	set_welcome(1, "CET");
	ck_assert(has_welcome(1, "CET"));
}
END_TEST

START_TEST(welcomes_are_of_where_the_host_is)
{
	set_welcome(0, "UTC");
	set_welcome(1, "CET");
	host.target.generation++;
	ck_assert(!has_welcome(0, "UTC"));
	ck_assert(!has_welcome(1, "CET"));
	set_welcome(1, "UTC");
	ck_assert(has_welcome(1, "UTC"));
}
END_TEST

START_TEST(welcomes_are_limited)
{
	for (uint64_t key = 0; key < 2 * LOGIN_WELCOMES_MAX; key++)
		set_welcome(key, "UTC");
	ck_assert(has_welcome(LOGIN_WELCOMES_MAX - 1, "UTC"));
	ck_assert(!has_welcome(LOGIN_WELCOMES_MAX, "UTC"));
	login_forget_welcomes(login);
	set_welcome(LOGIN_WELCOMES_MAX, "UTC");
	ck_assert(has_welcome(LOGIN_WELCOMES_MAX, "UTC"));
}
END_TEST

START_TEST(welcome_that_is_not_found_leaves_nothing)
{
	struct params got;

	params_init(&got);
	ck_assert(!login_get_welcome(login, 1, &got));
	ck_assert_uint_eq(buf_len(&got.text), 0);
	params_finish(&got);
}
END_TEST

/* --- derived secrets ------------------------------------------------------------ */

static void set_derived(const char *user, const char *stored, uint8_t first)
{
	struct secret_scram secret = { .iterations = 4096, .stored_key = { first } };

	login_set_derived(&router, user, stored, &secret);
}

/* The first byte of the secret, or -1. */
static int derived(const char *user, const char *stored)
{
	struct secret_scram got;

	return login_get_derived(&router, user, stored, &got) ? got.stored_key[0] : -1;
}

START_TEST(derived_secret_belongs_to_user_and_text)
{
	ck_assert_int_eq(derived("anna", "secret"), -1);
	set_derived("anna", "secret", 1);
	set_derived("bert", "secret", 2);
	ck_assert_int_eq(derived("anna", "secret"), 1);
	ck_assert_int_eq(derived("bert", "secret"), 2);
	ck_assert_int_eq(derived("anna", "other"), -1);
	ck_assert_int_eq(derived("Anna", "secret"), -1);
}
END_TEST

START_TEST(derived_secret_is_replaced_when_the_text_changes)
{
	set_derived("anna", "old", 1);
	set_derived("anna", "new", 2);
	ck_assert_int_eq(derived("anna", "new"), 2);
	ck_assert_int_eq(derived("anna", "old"), -1);
	ck_assert_uint_eq(router.derived.count, 1);
}
END_TEST

START_TEST(derived_secrets_are_limited)
{
	char user[16];

	for (int i = 0; i <= LOGIN_DERIVED_MAX; i++) {
		(void)snprintf(user, sizeof(user), "u%d", i);
		set_derived(user, "secret", 1);
	}
	ck_assert_uint_eq(router.derived.count, LOGIN_DERIVED_MAX);
	ck_assert_int_eq(derived(user, "secret"), -1);
	/* Those that are known may still change. */
	set_derived("u5", "new", 2);
	ck_assert_int_eq(derived("u5", "new"), 2);
	login_wipe_derived(&router);
	ck_assert_uint_eq(router.derived.count, 0);
	ck_assert_int_eq(derived("u5", "new"), -1);
}
END_TEST

Suite *login_suite(void)
{
	Suite *s = suite_create("session/login");
	TCase *tc = tcase_create("login");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, keys_are_those_set_last);
	tcase_add_test(tc, password_is_the_one_set_last);
	tcase_add_test(tc, what_was_proven_is_inherited_once);
	tcase_add_test(tc, keys_of_what_is_stored_are_inherited);
	tcase_add_test(tc, welcome_belongs_to_its_key);
	tcase_add_test(tc, first_welcome_stays_until_forgotten);
	tcase_add_test(tc, welcomes_are_of_where_the_host_is);
	tcase_add_test(tc, welcomes_are_limited);
	tcase_add_test(tc, welcome_that_is_not_found_leaves_nothing);
	tcase_add_test(tc, derived_secret_belongs_to_user_and_text);
	tcase_add_test(tc, derived_secret_is_replaced_when_the_text_changes);
	tcase_add_test(tc, derived_secrets_are_limited);
	suite_add_tcase(s, tc);
	return s;
}
