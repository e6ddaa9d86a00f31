/* SPDX-License-Identifier: ISC */
/*
 * A name service of the tests' own: it defines getaddrinfo(), so nothing is asked of
 * the system's, and it may be made to take as long as a test wants.
 */
#ifndef TESTS_UNIT_ROUTE_NAMES_H
#define TESTS_UNIT_ROUTE_NAMES_H

#include "base/base.h"

/* Forgets all; nobody waits any more. */
void names_begin(void);

/* From now on the name has these IPv4 addresses, "127.0.0.5 127.0.0.6"; NULL: it does
 * not exist. */
void names_set(const char *name, const char *addrs);

/* Whoever asks has to wait. */
void names_stop(bool);

uint32_t names_asked(void);             /* questions, answered or not */
uint32_t names_waiting(void);

#endif
