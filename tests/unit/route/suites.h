/* SPDX-License-Identifier: ISC */
#ifndef TESTS_UNIT_ROUTE_SUITES_H
#define TESTS_UNIT_ROUTE_SUITES_H

#include <check.h>

Suite *directory_suite(void);
Suite *hold_suite(void);
Suite *host_suite(void);
Suite *limits_suite(void);
Suite *own_suite(void);
Suite *password_suite(void);
Suite *pools_suite(void);
Suite *reload_suite(void);
Suite *resolver_suite(void);
Suite *stats_suite(void);
Suite *times_suite(void);
Suite *threads_suite(void);

#endif
