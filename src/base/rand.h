/* SPDX-License-Identifier: ISC */
/*
 * Random numbers: from the kernel for keys, from a small generator for jitter.
 *
 * Thread: rand_bytes any; a struct rand_small belongs to one thread.
 */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include "base/base.h"

/* Fills with unpredictable bytes; aborts if the kernel has none, as nothing
 * that needs keys can go on. */
void rand_bytes(void *to, size_t len);

/* xorshift64*: for jitter and tests, never for secrets. */
struct rand_small {
	uint64_t state;
};

void rand_small_init(struct rand_small *, uint64_t seed);
uint64_t rand_small_next(struct rand_small *);
uint64_t rand_small_below(struct rand_small *, uint64_t limit);

#endif
