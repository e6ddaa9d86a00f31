/* SPDX-License-Identifier: ISC */
#include "session/departed.h"

void departed_add(struct departed *d, uint64_t id, uint64_t now_us)
{
	uint64_t count = atomic_load_explicit(&d->count, memory_order_relaxed);

	atomic_store_explicit(&d->at_us[count % DEPARTED_MAX], now_us, memory_order_relaxed);
	atomic_store_explicit(&d->ids[count % DEPARTED_MAX], id, memory_order_relaxed);
	atomic_store_explicit(&d->count, count + 1, memory_order_release);
}

bool departed_has(const struct departed *d, uint64_t id, uint64_t now_us)
{
	uint64_t count = atomic_load_explicit(&d->count, memory_order_acquire);
	uint64_t oldest_us;

	for (uint64_t i = 0; i < u64_min(count, DEPARTED_MAX); i++) {
		if (atomic_load_explicit(&d->ids[i], memory_order_relaxed) == id)
			return true;
	}
	/* Those before it are not known any more. */
	oldest_us = atomic_load_explicit(&d->at_us[count % DEPARTED_MAX], memory_order_relaxed);
	return count > DEPARTED_MAX && oldest_us + DEPARTED_KEPT_US > now_us;
}
