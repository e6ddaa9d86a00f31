/* SPDX-License-Identifier: ISC */
#include "admin/averages.h"

#include <stdlib.h>
#include <string.h>

void averages_init(struct averages *a, uint64_t now_us)
{
	*a = (struct averages){ .older.at_us = now_us, .newer.at_us = now_us };
}

void averages_finish(struct averages *a)
{
	free(a->older.rows);
	free(a->newer.rows);
	averages_init(a, 0);
}

bool averages_are_due(const struct averages *a, uint64_t period_us, uint64_t now_us)
{
	return now_us >= a->newer.at_us + period_us;
}

void averages_note(struct averages *a, struct averages_look *look)
{
	free(a->older.rows);
	a->older = a->newer;
	a->newer = *look;
	look->rows = NULL;
	look->count = 0;
}

static int compare(const void *key, const void *row)
{
	return strcmp(key, ((const struct averages_row *)row)->name);
}

static void add(uint64_t sum[STAT_COUNT], const struct averages_row *row)
{
	for (size_t i = 0; i < STAT_COUNT; i++)
		sum[i] += row->totals[i];
}

static void sum_of(const struct averages_look *look, const char *name,
	uint64_t sum[STAT_COUNT])
{
	const struct averages_row *found;

	memset(sum, 0, STAT_COUNT * sizeof(sum[0]));
	if (name == NULL) {
		memcpy(sum, look->gone, STAT_COUNT * sizeof(sum[0]));
		for (size_t i = 0; i < look->count; i++)
			add(sum, &look->rows[i]);
		return;
	}
	if (look->count == 0)
		return;
	found = bsearch(name, look->rows, look->count, sizeof(look->rows[0]), compare);
	if (found != NULL)
		add(sum, found);
}

void averages_get(const struct averages *a, const char *name, uint64_t out[STAT_COUNT])
{
	uint64_t before[STAT_COUNT], more[STAT_COUNT];
	double seconds = (double)(a->newer.at_us - a->older.at_us) / (double)USEC_PER_SEC;

	sum_of(&a->older, name, before);
	sum_of(&a->newer, name, more);
	for (size_t i = 0; i < STAT_COUNT; i++) {
		/* What is forgotten, or was and is there again, has begun anew. */
		more[i] -= u64_min(more[i], before[i]);
		out[i] = seconds > 0 ? (uint64_t)((double)more[i] / seconds) : 0;
	}
	if (more[STAT_query_count] > 0)
		out[STAT_query_time] = more[STAT_query_time] / more[STAT_query_count];
	else
		out[STAT_query_time] = 0;
	if (more[STAT_xact_count] > 0)
		out[STAT_xact_time] = more[STAT_xact_time] / more[STAT_xact_count];
	else
		out[STAT_xact_time] = 0;
}
