/* SPDX-License-Identifier: ISC */
#include <stdlib.h>

#include "base/slog.h"
#include "net/suites.h"

int main(void)
{
	SRunner *runner = srunner_create(timers_suite());
	int failed;

	/* Full queues and missing descriptors are what some tests are about. */
	slog_set_level(SLOG_ERROR);
	srunner_add_suite(runner, addr_suite());
	srunner_add_suite(runner, child_suite());
	srunner_add_suite(runner, ldap_suite());
	srunner_add_suite(runner, proxy_suite());
	srunner_add_suite(runner, inherited_suite());
	srunner_add_suite(runner, listening_suite());
	srunner_add_suite(runner, io_suite());
	srunner_add_suite(runner, io_random_suite());
	srunner_add_suite(runner, io_threads_suite());
	srunner_add_suite(runner, io_place_suite());
	srunner_add_suite(runner, io_send_suite());
	srunner_add_suite(runner, stream_suite());
	srunner_add_suite(runner, stream_bulk_suite());
	srunner_add_suite(runner, stream_away_suite());
	srunner_add_suite(runner, stream_tls_suite());
	srunner_add_suite(runner, tls_suite());
	srunner_add_suite(runner, tls_hosts_suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
