/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdlib.h>

Suite *config_errors_suite(void);
Suite *config_suite(void);
Suite *doc_suite(void);
Suite *dump_suite(void);
Suite *hba_suite(void);
Suite *ini_suite(void);
Suite *listen_suite(void);
Suite *network_suite(void);
Suite *option_suite(void);
Suite *pairs_suite(void);
Suite *place_suite(void);
Suite *reload_suite(void);
Suite *share_suite(void);
Suite *userlist_suite(void);
Suite *value_suite(void);

int main(void)
{
	SRunner *runner = srunner_create(value_suite());
	int failed;

	srunner_add_suite(runner, option_suite());
	srunner_add_suite(runner, doc_suite());
	srunner_add_suite(runner, ini_suite());
	srunner_add_suite(runner, listen_suite());
	srunner_add_suite(runner, place_suite());
	srunner_add_suite(runner, userlist_suite());
	srunner_add_suite(runner, hba_suite());
	srunner_add_suite(runner, network_suite());
	srunner_add_suite(runner, config_suite());
	srunner_add_suite(runner, config_errors_suite());
	srunner_add_suite(runner, share_suite());
	srunner_add_suite(runner, reload_suite());
	srunner_add_suite(runner, dump_suite());
	srunner_add_suite(runner, pairs_suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
