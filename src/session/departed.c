/* SPDX-License-Identifier: ISC */
#include "session/departed.h"

void departed_add(struct departed *d, uint64_t id, uint64_t now_us)
{
	atomic_store_explicit(&d->at_us[d->next], now_us, memory_order_relaxed);
	atomic_store_explicit(&d->ids[d->next], id, memory_order_relaxed);
	d->next = (d->next + 1) % DEPARTED_MAX;
}

bool departed_has(const struct departed *d, uint64_t id, uint64_t now_us)
{
	uint64_t oldest_us = UINT64_MAX;

	for (size_t i = 0; i < DEPARTED_MAX; i++) {
		if (atomic_load_explicit(&d->ids[i], memory_order_relaxed) == id)
			return true;
		oldest_us = u64_min(oldest_us,
			atomic_load_explicit(&d->at_us[i], memory_order_relaxed));
	}
	/* Those before it are not known any more. */
	return oldest_us != 0 && oldest_us + DEPARTED_KEPT_US > now_us;
}
