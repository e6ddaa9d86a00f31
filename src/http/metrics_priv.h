/* SPDX-License-Identifier: ISC */
/*
 * What metrics.c and metrics_hosts.c share.
 */
#ifndef HTTP_METRICS_PRIV_H
#define HTTP_METRICS_PRIV_H

#include "http/exposition.h"
#include "http/look.h"
#include "http/metrics.h"

enum { LABEL_MAX = 96 };

/* The label for a workload, written to "to".  No two of them have the same. */
const char *metrics_workload(const struct look *, uint32_t index, char to[LABEL_MAX]);

void metrics_hosts(struct exposition *, const struct look *);

#endif
