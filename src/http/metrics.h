/* SPDX-License-Identifier: ISC */
/*
 * /metrics: what include/metrics.def lists.
 *
 * Owns:   nothing.
 * Thread: any.
 * Limits: METRICS_SERIES_MAX combinations of workload, database and user are told one
 *         by one, those that were seen first after a login; all others together as
 *         "(other)".
 */
#ifndef HTTP_METRICS_H
#define HTTP_METRICS_H

#include "http/look.h"

enum { METRICS_SERIES_MAX = 2000, METRICS_CODES = 6 };

/* What is not in the directory. */
struct metrics_process {
	const struct router *router;
	const char *io_backend;
	bool is_ready;
	uint64_t start_wall_us;
	uint64_t requests[METRICS_CODES];       /* answers by their first digit */
};

/* Appends all of it.  False: no memory. */
NODISCARD bool metrics_write(struct buf *, bool is_openmetrics, const struct look *,
	struct directory *, const struct metrics_process *);

#endif
