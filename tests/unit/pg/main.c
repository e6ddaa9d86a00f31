/* SPDX-License-Identifier: ISC */
/* Runs the unit tests of src/pg. */
#include <check.h>
#include <stdlib.h>

Suite *base64_suite(void);
Suite *client_auth_suite(void);
Suite *error_suite(void);
Suite *frame_suite(void);
Suite *message_suite(void);
Suite *msg_out_suite(void);
Suite *options_suite(void);
Suite *result_suite(void);
Suite *scram_suite(void);
Suite *secret_suite(void);
Suite *server_auth_suite(void);
Suite *startup_suite(void);
Suite *valid_until_suite(void);
Suite *wire_suite(void);

int main(void)
{
	SRunner *runner = srunner_create(wire_suite());
	int failed;

	srunner_add_suite(runner, frame_suite());
	srunner_add_suite(runner, message_suite());
	srunner_add_suite(runner, startup_suite());
	srunner_add_suite(runner, valid_until_suite());
	srunner_add_suite(runner, options_suite());
	srunner_add_suite(runner, msg_out_suite());
	srunner_add_suite(runner, error_suite());
	srunner_add_suite(runner, result_suite());
	srunner_add_suite(runner, base64_suite());
	srunner_add_suite(runner, secret_suite());
	srunner_add_suite(runner, scram_suite());
	srunner_add_suite(runner, client_auth_suite());
	srunner_add_suite(runner, server_auth_suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
