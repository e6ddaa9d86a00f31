/* SPDX-License-Identifier: ISC */
/* Runs the unit tests of src/sql. */
#include <stdlib.h>

#include "sql/suites.h"

int main(void)
{
	SRunner *runner = srunner_create(lexer_suite());
	int failed;

	srunner_add_suite(runner, fingerprint_suite());
	srunner_add_suite(runner, lexer_value_suite());
	srunner_add_suite(runner, secret_suite());
	srunner_add_suite(runner, statement_suite());
	srunner_add_suite(runner, statement_end_suite());
	srunner_add_suite(runner, statement_form_suite());
	srunner_add_suite(runner, statement_may_suite());
	srunner_add_suite(runner, statement_reading_suite());
	srunner_add_suite(runner, statement_reuse_suite());
	srunner_add_suite(runner, words_suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
