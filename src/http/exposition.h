/* SPDX-License-Identifier: ISC */
/*
 * Writes metrics as Prometheus reads them: OpenMetrics text 1.0.0, or the older text
 * format 0.0.4.
 *
 * Owns:   nothing.
 * Thread: any; pure.
 * Source: https://github.com/prometheus/OpenMetrics, specification/OpenMetrics.md;
 *         prometheus.io/docs/instrumenting/exposition_formats.
 */
#ifndef HTTP_EXPOSITION_H
#define HTTP_EXPOSITION_H

#include "base/buf.h"
#include "route/times.h"

enum metric {
#define METRIC(name, family, kind, unit, labels, help) METRIC_##name,
#include "metrics.def"
#undef METRIC
	METRIC_COUNT
};

struct exposition {
	struct buf *out;
	bool is_openmetrics;
	enum metric family;             /* the one that was begun last */
	char bounds[TIMES_BOUNDS][16];  /* of histograms, as text; written with the first */
};

/* What the Accept header of a request asks for; NULL: there is none. */
bool exposition_is_openmetrics(const char *accept);
const char *exposition_content_type(bool is_openmetrics);

/* The samples of one family come one after the other, behind its head. */
void exposition_begin(struct exposition *, enum metric);

/* labels: "name", "value", ..., NULL at the end. */
void exposition_u64(struct exposition *, uint64_t value, const char *const *labels);
/* Seconds out of microseconds. */
void exposition_us(struct exposition *, uint64_t us, const char *const *labels);
void exposition_times(struct exposition *, const struct times_sum *,
	const char *const *labels);

void exposition_end(struct exposition *);

#define LABELS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define NO_LABELS   ((const char *const[]){ NULL })

/* For the manual: the table, as mdoc. */
void exposition_dump_man(void *file);

#endif
