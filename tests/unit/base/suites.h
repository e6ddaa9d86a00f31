/* SPDX-License-Identifier: ISC */
#ifndef TESTS_UNIT_BASE_SUITES_H
#define TESTS_UNIT_BASE_SUITES_H

#include <check.h>

Suite *buf_suite(void);
Suite *decimal_suite(void);
Suite *list_suite(void);
Suite *fair_suite(void);
Suite *hash_suite(void);
Suite *histogram_suite(void);
Suite *shown_suite(void);
Suite *slog_suite(void);
Suite *slog_line_suite(void);
Suite *slog_queue_suite(void);
Suite *text_suite(void);
Suite *diag_suite(void);
Suite *rand_suite(void);
Suite *processors_suite(void);

#endif
