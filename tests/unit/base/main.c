/* SPDX-License-Identifier: ISC */
#include <stdlib.h>

#include "suites.h"

int main(void)
{
	SRunner *runner = srunner_create(buf_suite());
	int failed;

	srunner_add_suite(runner, decimal_suite());
	srunner_add_suite(runner, list_suite());
	srunner_add_suite(runner, fair_suite());
	srunner_add_suite(runner, hash_suite());
	srunner_add_suite(runner, histogram_suite());
	srunner_add_suite(runner, shown_suite());
	srunner_add_suite(runner, slog_suite());
	srunner_add_suite(runner, slog_line_suite());
	srunner_add_suite(runner, slog_queue_suite());
	srunner_add_suite(runner, text_suite());
	srunner_add_suite(runner, diag_suite());
	srunner_add_suite(runner, rand_suite());
	srunner_add_suite(runner, processors_suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
