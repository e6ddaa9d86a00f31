/* SPDX-License-Identifier: ISC */
/*
 * Time.  Code that decides takes now_us as a parameter; only the loop reads
 * the clock, once a turn.
 *
 * Thread: any.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/base.h"

/* CLOCK_MONOTONIC in microseconds; never 0. */
uint64_t clock_now_us(void);

/* CLOCK_REALTIME in microseconds since 1970, for logs and SHOW. */
uint64_t clock_wall_us(void);

#endif
