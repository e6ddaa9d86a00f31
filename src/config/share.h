/* SPDX-License-Identifier: ISC */
/*
 * The numbers of the budget: what each workload is guaranteed on each host, and the
 * most that it may have there.
 *
 * A budget that PostgreSQL tells (connection_budget: auto) is divided at run time,
 * by the same function as one that stands in the file.
 *
 * Owns:   nothing.
 * Thread: share_compute() one; the rest any, as a config does not change.
 */
#ifndef CONFIG_SHARE_H
#define CONFIG_SHARE_H

#include "base/base.h"

struct config;
struct doc_source;

struct share_part {
	uint32_t guaranteed;
	uint32_t max;                   /* 0: it has no share of this host */
};

/* After verify_config().  Fills hosts[].budget and workloads[].shares[].  Returns 0 or
 * -EINVAL with the source's diag filled.  Afterwards, for each host:
 *   the sum of guaranteed <= budget, and
 *   guaranteed <= max <= budget, 1 <= max where the share is used. */
NODISCARD int share_compute(struct config *, const struct doc_source *);

/* Divides a budget of a host, 1 or more: parts has one for each workload, own is the
 * router's.  All floors together are never more than the budget.  False: those that the
 * file names are, and have become smaller in proportion; each of them is at least 1
 * while there is one for each. */
bool share_divide(const struct config *, size_t host, uint32_t budget,
	struct share_part *parts, struct share_part *own);

/* The sum of the floors; with auto, those that are not given count as 1. */
uint64_t share_floors(const struct config *, size_t host);

/* "web 25 + jobs 10 + router itself 1"; returns to. */
const char *share_spell(const struct config *, size_t host, char *to, size_t size);

#endif
