/* SPDX-License-Identifier: ISC */
/* What main.c runs. */
#ifndef TESTS_NET_SUITES_H
#define TESTS_NET_SUITES_H

#include <check.h>

Suite *timers_suite(void);
Suite *addr_suite(void);
Suite *child_suite(void);
Suite *ldap_suite(void);
Suite *proxy_suite(void);
Suite *inherited_suite(void);
Suite *listening_suite(void);
Suite *io_suite(void);
Suite *io_random_suite(void);
Suite *io_place_suite(void);
Suite *io_send_suite(void);
Suite *io_threads_suite(void);
Suite *stream_suite(void);
Suite *stream_bulk_suite(void);
Suite *stream_away_suite(void);
Suite *stream_tls_suite(void);
Suite *tls_suite(void);
Suite *tls_hosts_suite(void);

#endif
