/* SPDX-License-Identifier: ISC */
#include <stdlib.h>

#include "suites.h"

int main(void)
{
	SRunner *runner = srunner_create(budget_suite());
	int failed;

	srunner_add_suite(runner, monitor_suite());
	srunner_add_suite(runner, sharing_suite());
	srunner_add_suite(runner, borrowing_suite());
	srunner_add_suite(runner, failing_suite());
	srunner_add_suite(runner, fetching_suite());
	srunner_add_suite(runner, upkeep_suite());
	srunner_add_suite(runner, model_suite());
	srunner_add_suite(runner, interleavings_suite());
	srunner_add_suite(runner, threads_suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
