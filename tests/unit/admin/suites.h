/* SPDX-License-Identifier: ISC */
#ifndef TESTS_UNIT_ADMIN_SUITES_H
#define TESTS_UNIT_ADMIN_SUITES_H

#include <check.h>

Suite *alias_suite(void);
Suite *averages_suite(void);
Suite *command_suite(void);
Suite *json_suite(void);
Suite *manual_suite(void);
Suite *show_suite(void);
Suite *snap_suite(void);
Suite *table_suite(void);
Suite *utf8_suite(void);

#endif
