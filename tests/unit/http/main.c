/* SPDX-License-Identifier: ISC */
/* Runs the unit tests of src/http. */
#include <stdlib.h>

#include "suites.h"

int main(void)
{
	SRunner *runner = srunner_create(exposition_suite());
	int failed;

	srunner_add_suite(runner, health_suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
