/* SPDX-License-Identifier: ISC */
/*
 * The time until which a password is valid, as a query tells it.
 *
 * Thread: any; pure.
 * Source: EncodeDateTime() in datetime.c with DateStyle ISO and TimeZone UTC;
 *         rolvaliduntil in PostgreSQL's documentation of pg_authid.
 */
#ifndef PG_VALID_UNTIL_H
#define PG_VALID_UNTIL_H

#include "base/base.h"

/* "2026-11-20 17:00:00.5+00", "infinity" or "-infinity", not terminated: microseconds
 * since 1970, INT64_MAX and INT64_MIN; after the year 9999 INT64_MAX, too.  False for anything else: another time zone,
 * before Christ. */
NODISCARD bool valid_until_parse(const char *text, size_t len, int64_t *unix_us);

#endif
