/* SPDX-License-Identifier: ISC */
#ifndef TESTS_UNIT_POOL_SUITES_H
#define TESTS_UNIT_POOL_SUITES_H

#include <check.h>

Suite *borrowing_suite(void);
Suite *budget_suite(void);
Suite *monitor_suite(void);
Suite *sharing_suite(void);
Suite *failing_suite(void);
Suite *fetching_suite(void);
Suite *interleavings_suite(void);
Suite *upkeep_suite(void);
Suite *model_suite(void);
Suite *threads_suite(void);

#endif
