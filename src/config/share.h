/* SPDX-License-Identifier: ISC */
/*
 * The numbers of the budget: what each workload is guaranteed on each host, and the
 * most that it may have there.
 *
 * Thread: one.
 */
#ifndef CONFIG_SHARE_H
#define CONFIG_SHARE_H

#include "base/base.h"

struct config;
struct doc_source;

/* After verify_config().  Fills config->workloads[].shares[].  Returns 0 or -EINVAL
 * with the source's diag filled.  Afterwards, for each host:
 *   the sum of guaranteed <= connection_budget, and
 *   guaranteed <= max <= connection_budget, 1 <= max where the share is used. */
NODISCARD int share_compute(struct config *, const struct doc_source *);

#endif
