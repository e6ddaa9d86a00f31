/* SPDX-License-Identifier: ISC */
#include <stdlib.h>

#include "suites.h"

int main(void)
{
	SRunner *runner = srunner_create(directory_suite());
	int failed;

	srunner_add_suite(runner, hold_suite());
	srunner_add_suite(runner, host_suite());
	srunner_add_suite(runner, limits_suite());
	srunner_add_suite(runner, own_suite());
	srunner_add_suite(runner, password_suite());
	srunner_add_suite(runner, pools_suite());
	srunner_add_suite(runner, reload_suite());
	srunner_add_suite(runner, resolver_suite());
	srunner_add_suite(runner, stats_suite());
	srunner_add_suite(runner, times_suite());
	srunner_add_suite(runner, threads_suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
