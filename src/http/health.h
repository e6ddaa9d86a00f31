/* SPDX-License-Identifier: ISC */
/*
 * /health/db: how each workload does, for those who poll it.
 *
 * Owns:   nothing.
 * Thread: any; pure.
 */
#ifndef HTTP_HEALTH_H
#define HTTP_HEALTH_H

#include "http/look.h"

/* Appends an object with one member for each configured workload: size, checked_out
 * and utilization first. */
void health_write(struct buf *, const struct look *);

#endif
