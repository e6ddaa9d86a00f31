/* SPDX-License-Identifier: ISC */
#include "session/shrink.h"

#include "base/slog.h"
#include "session/router.h"

enum { TELL_US = 1000000 };

bool shrink_step(struct shrink *d, uint32_t used, uint32_t budget, uint64_t now_us)
{
	bool is_on = used > budget, changed = used != d->used || budget != d->budget;

	if (!is_on && !d->is_on)
		return false;
	/* Begin, end and another reload are told at once. */
	if (is_on && d->is_on && budget == d->budget &&
		(!changed || now_us < d->told_us + TELL_US))
		return false;
	*d = (struct shrink){
		.is_on = is_on, .used = used, .budget = budget, .told_us = now_us
	};
	return true;
}

static void host_numbers(struct monitor *m, uint32_t *used, uint32_t *budget)
{
	pthread_mutex_lock(&m->lock);
	*used = m->budget.used;
	*budget = m->budget.limit;
	pthread_mutex_unlock(&m->lock);
}

void shrink_tick(struct worker *w, uint64_t now_us)
{
	struct directory *d = w->router->directory;
	uint32_t hosts = directory_host_count(d);

	for (uint32_t i = 0; i < hosts; i++) {
		struct route_host *host = directory_host(d, i);
		uint32_t used, budget;

		host_numbers(&host->monitor, &used, &budget);
		if (shrink_step(&w->shrinks[i], used, budget, now_us))
			SLOG(INFO, "budget-drain", "host=%s used=%u budget=%u surplus=%u",
				host->name, used, budget,
				used > budget ? used - budget : 0);
	}
}
