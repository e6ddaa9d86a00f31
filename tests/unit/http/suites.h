/* SPDX-License-Identifier: ISC */
#ifndef TESTS_UNIT_HTTP_SUITES_H
#define TESTS_UNIT_HTTP_SUITES_H

#include <check.h>

Suite *exposition_suite(void);
Suite *health_suite(void);

#endif
