/* SPDX-License-Identifier: ISC */
/*
 * Clients look up, views look, while another thread reloads and sweeps.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites.h"
#include "world.h"

enum { LOOKERS = 4, LOOKS = 3000, TEXTS = 4 };

static _Atomic int looking, wrong;       /* ck_assert is not for threads */

static const char *const texts[TEXTS] = {
	PLAIN,
	HOSTS WORKLOADS DATABASES "users: { anna: { password: new } }\n",
	HOSTS WORKLOADS "databases: { '*': { host: other, default_pool_size: 3 } }\n" USERS,
	HOSTS DATABASES USERS "workloads:\n"
		"  web: { listen: '*:6432', pool_mode: transaction, tcp_keepidle: 9s }\n"
		"  jobs: { listen: '*:6433', pool_mode: transaction }\n",
};

static void expect(bool is_right)
{
	if (!is_right)
		atomic_fetch_add(&wrong, 1);
}

/* A login, and what is read of the route afterwards. */
static void look(uint32_t n)
{
	static const char *const names[] = { "a", "b", "c" };
	const char *workload = n % 2 == 0 ? "web" : "jobs";
	struct route_workload *w = directory_current_workload(directory, workload);
	struct host_target target;
	struct sock_tcp tcp;
	struct route *r;

	expect(w != NULL);
	route_workload_tcp(w, &tcp);
	/* The mode may have changed since. */
	if (directory_find(directory, w, names[n % 3], n % 5 == 0 ? "bert" : "anna", &r) !=
		ROUTE_OK)
		return;
	expect(strcmp(r->pool->dbname, names[n % 3]) == 0);
	expect(r->slice->pool == &r->pool->pool);
	expect(r->limits.reset_query != NULL);
	expect(route_count_client(r) == ROUTE_OK);
	route_host_target(r->host, &target);
	expect(target.addr_count == 1);
	route_unref(route_ref(r));
	route_uncount_client(r);
	route_leave(r);
}

static void *look_often(void *arg)
{
	uint32_t first = (uint32_t)(uintptr_t)arg;
	struct addr peer = { .sa.sa_family = AF_UNIX };
	struct route_login who = { .database = "rag", .user = "anna", .peer = &peer };
	struct route_proof proof;

	for (uint32_t i = 0; i < LOOKS; i++) {
		look(first + i);
		directory_auth(directory, &who, &proof);
		expect(proof.secret != NULL);
		route_proof_finish(&proof);
		config_unref(directory_config(directory));
	}
	atomic_fetch_sub(&looking, 1);
	return NULL;
}

START_TEST(lookups_and_reloads_do_not_disturb_each_other)
{
	pthread_t threads[LOOKERS];
	uint32_t reloads = 0;

	world_begin(PLAIN);
	looking = LOOKERS;
	for (uintptr_t i = 0; i < LOOKERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, look_often, (void *)i), 0);
	while (looking > 0) {
		world_reload(texts[reloads++ % TEXTS]);
		directory_sweep(directory);
	}
	for (int i = 0; i < LOOKERS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_int_eq(wrong, 0);
	directory_sweep(directory);
	ck_assert_int_eq(world_sessions, 0);
	for (uint32_t i = 0; i < directory_host_count(directory); i++) {
		ck_assert_uint_eq(world_pools(directory_host(directory, i)), 0);
		monitor_check(&directory_host(directory, i)->monitor);
	}
	world_end();
}
END_TEST

Suite *threads_suite(void)
{
	Suite *s = suite_create("route/threads");
	TCase *tc = tcase_create("threads");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, lookups_and_reloads_do_not_disturb_each_other);
	suite_add_tcase(s, tc);
	return s;
}
