/* SPDX-License-Identifier: ISC */
#include <stdlib.h>

#include "suites.h"

int main(void)
{
	SRunner *runner = srunner_create(exchange_suite());
	int failed;

	srunner_add_suite(runner, chore_suite());
	srunner_add_suite(runner, errand_suite());
	srunner_add_suite(runner, exchange_model_suite());
	srunner_add_suite(runner, facts_suite());
	srunner_add_suite(runner, params_suite());
	srunner_add_suite(runner, login_suite());
	srunner_add_suite(runner, pin_suite());
	srunner_add_suite(runner, prepared_suite());
	srunner_add_suite(runner, shrink_suite());
	srunner_add_suite(runner, stall_suite());
	srunner_add_suite(runner, state_suite());
	srunner_add_suite(runner, steps_suite());
	srunner_add_suite(runner, target_suite());
	srunner_add_suite(runner, seen_suite());
	srunner_add_suite(runner, departed_suite());
	srunner_add_suite(runner, texts_suite());
	srunner_add_suite(runner, unseen_suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
