/* SPDX-License-Identifier: ISC */
/* What several tests of config/ need. */
#ifndef TESTS_UNIT_CONFIG_SUPPORT_H
#define TESTS_UNIT_CONFIG_SUPPORT_H

#include <check.h>
#include <string.h>

#include "base/diag.h"
#include "config/config.h"

#define HOST "hosts:\n  main: { host: 127.0.0.1, connection_budget: 35 }\n"
#define WEB  "workloads:\n  web: { listen: '*:6432', pool_mode: transaction }\n"

/* A configuration that must be good. */
static inline struct config *load(const char *text)
{
	struct diag diag = { 0 };
	struct config *config =
		config_load_memory(text, strlen(text), "test.yaml", &diag);

	ck_assert_msg(config != NULL, "%u:%u: %s", diag.line, diag.column, diag.text);
	return config;
}

#endif
