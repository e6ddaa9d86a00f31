/* SPDX-License-Identifier: ISC */
/*
 * Averages of the counters: what they grew between the last two looks, of which one
 * is due each period.  Until the first period is over, averages are 0.
 *
 * Owns:   its copies of the counters.  Names belong to the caller and live as
 *         long.
 * Thread: one at a time, under the owner's lock.
 */
#ifndef ADMIN_AVERAGES_H
#define ADMIN_AVERAGES_H

#include "route/stats.h"

/* The counters of one database. */
struct averages_row {
	char name[64];                  /* a copy: the database may be swept */
	uint64_t totals[STAT_COUNT];
};

/* Those of all, sorted by name, at one moment. */
struct averages_look {
	struct averages_row *rows;
	size_t count;
	uint64_t gone[STAT_COUNT];      /* of databases that are forgotten */
	uint64_t at_us;
};

struct averages {
	struct averages_look older;
	struct averages_look newer;
};

void averages_init(struct averages *, uint64_t now_us);
void averages_finish(struct averages *);

/* Is the last look a period ago? */
bool averages_are_due(const struct averages *, uint64_t period_us, uint64_t now_us);
/* From here on averages are of the time since the look before; the rows are taken over,
 * and look has none. */
void averages_note(struct averages *, struct averages_look *);

/* Of one database, or of all together (NULL).  Counts and wait_time are per
 * second, query_time per query, xact_time per transaction. */
void averages_get(const struct averages *, const char *name, uint64_t out[STAT_COUNT]);

#endif
