/* SPDX-License-Identifier: ISC */
/* Runs the unit tests of src/admin. */
#include <stdlib.h>

#include "suites.h"

int main(void)
{
	SRunner *runner = srunner_create(command_suite());
	int failed;

	srunner_add_suite(runner, utf8_suite());
	srunner_add_suite(runner, table_suite());
	srunner_add_suite(runner, averages_suite());
	srunner_add_suite(runner, alias_suite());
	srunner_add_suite(runner, snap_suite());
	srunner_add_suite(runner, show_suite());
	srunner_add_suite(runner, json_suite());
	srunner_add_suite(runner, manual_suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
