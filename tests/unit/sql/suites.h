/* SPDX-License-Identifier: ISC */
#ifndef TESTS_UNIT_SQL_SUITES_H
#define TESTS_UNIT_SQL_SUITES_H

#include <check.h>

Suite *fingerprint_suite(void);
Suite *lexer_suite(void);
Suite *lexer_value_suite(void);
Suite *secret_suite(void);
Suite *statement_suite(void);
Suite *statement_end_suite(void);
Suite *statement_form_suite(void);
Suite *statement_may_suite(void);
Suite *statement_reading_suite(void);
Suite *statement_reuse_suite(void);
Suite *words_suite(void);

#endif
