/* SPDX-License-Identifier: ISC */
/*
 * The table of options, and a configuration, as text: manual, sample, SHOW CONFIG.
 *
 * Thread: any.
 */
#ifndef CONFIG_DUMP_H
#define CONFIG_DUMP_H

#include <stdio.h>

#include "base/base.h"

struct config;
struct option;

/* The mdoc entries of pgtandem.yaml(5), all sections. */
void dump_man(FILE *);

/* A whole file with every option, commented, at its default. */
void dump_sample(FILE *);

/* The table: one option a line, tabs between level, name, type, default, range,
 * effect and help. */
void dump_options(FILE *);

/* One value of the running configuration. */
struct dump_row {
	const char *name;               /* "process.workers", "hosts.main.port" */
	const char *value;
	const char *def;                /* "" where there is none */
	bool is_changeable;             /* by a reload */
	const struct option *option;
};

typedef void dump_row_f(void *arg, const struct dump_row *);

/* Calls back for every option, in the order of the manual; settings of a workload,
 * database or user only where the file gives them.  Secrets are "***".  Returns 0
 * or -ENOMEM. */
NODISCARD int dump_show(const struct config *, dump_row_f *, void *arg);

#endif
