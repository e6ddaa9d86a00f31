/* SPDX-License-Identifier: ISC */
#ifndef TESTS_UNIT_SESSION_SUITES_H
#define TESTS_UNIT_SESSION_SUITES_H

#include <check.h>

Suite *chore_suite(void);
Suite *errand_suite(void);
Suite *exchange_suite(void);
Suite *exchange_model_suite(void);
Suite *facts_suite(void);
Suite *params_suite(void);
Suite *login_suite(void);
Suite *pin_suite(void);
Suite *prepared_suite(void);
Suite *seen_suite(void);
Suite *departed_suite(void);
Suite *shrink_suite(void);
Suite *stall_suite(void);
Suite *state_suite(void);
Suite *steps_suite(void);
Suite *target_suite(void);
Suite *texts_suite(void);
Suite *unseen_suite(void);

#endif
