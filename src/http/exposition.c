/* SPDX-License-Identifier: ISC */
#include "http/exposition.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "admin/utf8.h"
#include "base/decimal.h"

enum kind { KIND_INFO, KIND_GAUGE, KIND_COUNTER, KIND_HISTOGRAM };

static const struct {
	const char *family;
	enum kind kind;
	const char *unit;
	const char *labels;
	const char *help;
} metrics[METRIC_COUNT] = {
#define METRIC(name, family, kind, unit, labels, help)                                   \
	[METRIC_##name] = { (family), KIND_##kind, (unit), (labels), (help) },
#include "metrics.def"
#undef METRIC
};

static const char *const kind_words[] = {
	[KIND_INFO] = "info",
	[KIND_GAUGE] = "gauge",
	[KIND_COUNTER] = "counter",
	[KIND_HISTOGRAM] = "histogram",
};

/* --- which of the two ----------------------------------------------------------- */

static double quality_of(const char *range, size_t len)
{
	for (size_t i = 0; i + 2 < len; i++) {
		if (range[i] == ';') {
			size_t at = i + 1;

			while (at < len && range[at] == ' ')
				at++;
			if (at + 2 < len && range[at] == 'q' && range[at + 1] == '=')
				return strtod(range + at + 2, NULL);
		}
	}
	return 1;
}

bool exposition_is_openmetrics(const char *accept)
{
	static const char openmetrics[] = "application/openmetrics-text";
	static const char plain[] = "text/plain";
	double new_quality = 0, old_quality = 0;

	while (accept != NULL && *accept != '\0') {
		size_t len = strcspn(accept, ",");
		double quality = quality_of(accept, len);

		if (strncasecmp(accept, openmetrics, sizeof(openmetrics) - 1) == 0 &&
			quality > new_quality)
			new_quality = quality;
		else if (strncasecmp(accept, plain, sizeof(plain) - 1) == 0 &&
			quality > old_quality)
			old_quality = quality;
		accept += len;
		accept += strspn(accept, ", \t");
	}
	return new_quality > 0 && new_quality >= old_quality;
}

const char *exposition_content_type(bool is_openmetrics)
{
	return is_openmetrics
		? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		: "text/plain; version=0.0.4; charset=utf-8";
}

/* --- families ------------------------------------------------------------------- */

/* What a sample's name adds to that of its family. */
static const char *suffix_of(enum kind kind)
{
	switch (kind) {
	case KIND_INFO:
		return "_info";
	case KIND_COUNTER:
		return "_total";
	case KIND_GAUGE:
	case KIND_HISTOGRAM:
		return "";
	}
	return "";
}

/* The older format knows samples only, and no info. */
void exposition_begin(struct exposition *e, enum metric which)
{
	enum kind kind = metrics[which].kind;
	const char *more = e->is_openmetrics ? "" : suffix_of(kind);
	const char *word = kind_words[kind];

	if (!e->is_openmetrics && kind == KIND_INFO)
		word = kind_words[KIND_GAUGE];
	e->family = which;
	buf_addf(e->out, "# TYPE %s%s %s\n", metrics[which].family, more, word);
	if (e->is_openmetrics && metrics[which].unit[0] != '\0')
		buf_addf(e->out, "# UNIT %s %s\n", metrics[which].family,
			metrics[which].unit);
	buf_addf(e->out, "# HELP %s%s %s\n", metrics[which].family, more,
		metrics[which].help);
}

/* Backslash, quote and line feed are escaped, in both formats alike. */
static void add_escaped(struct buf *out, const char *text)
{
	for (;;) {
		size_t len = strcspn(text, "\\\"\n");

		buf_add(out, text, len);
		text += len;
		if (*text == '\0')
			return;
		buf_add_u8(out, '\\');
		buf_add_u8(out, *text == '\n' ? 'n' : (uint8_t)*text);
		text++;
	}
}

/* Both formats are UTF-8; a name that a client made up need not be, and is told as the
 * console tells it. */
static void add_value(struct buf *out, const char *text)
{
	struct buf clean;

	if (utf8_is_clean(text)) {
		add_escaped(out, text);
		return;
	}
	buf_init(&clean, 0);
	utf8_add_clean(&clean, text);
	if (buf_ok(&clean))
		add_escaped(out, (const char *)buf_data(&clean));
	else
		out->failed = true;
	buf_finish(&clean);
}

static void add_labels(struct buf *out, const char *const *labels, const char *le)
{
	bool has_any = false;

	for (; labels[0] != NULL; labels += 2) {
		buf_add_u8(out, has_any ? ',' : '{');
		buf_add_str(out, labels[0]);
		buf_add_str(out, "=\"");
		add_value(out, labels[1]);
		buf_add_u8(out, '"');
		has_any = true;
	}
	if (le != NULL) {
		buf_add_str(out, has_any ? ",le=\"" : "{le=\"");
		buf_add_str(out, le);
		buf_add_u8(out, '"');
	}
	if (has_any || le != NULL)
		buf_add_u8(out, '}');
	buf_add_u8(out, ' ');
}

static void begin_sample(struct exposition *e, const char *suffix,
	const char *const *labels, const char *le)
{
	buf_add_str(e->out, metrics[e->family].family);
	buf_add_str(e->out, suffix);
	add_labels(e->out, labels, le);
}

static void add_number(struct buf *out, uint64_t value)
{
	char text[DECIMAL_SIZE];

	buf_add_str(out, decimal_text(value, text));
	buf_add_u8(out, '\n');
}

static void add_seconds(struct buf *out, uint64_t us)
{
	char text[DECIMAL_SIZE];

	buf_add_str(out, decimal_text(us / USEC_PER_SEC, text));
	/* The leading one makes it seven digits, and becomes the point. */
	decimal_text(USEC_PER_SEC + us % USEC_PER_SEC, text);
	text[DECIMAL_SIZE - 8] = '.';
	buf_add_str(out, text + DECIMAL_SIZE - 8);
	buf_add_u8(out, '\n');
}

void exposition_u64(struct exposition *e, uint64_t value, const char *const *labels)
{
	begin_sample(e, suffix_of(metrics[e->family].kind), labels, NULL);
	add_number(e->out, value);
}

void exposition_us(struct exposition *e, uint64_t us, const char *const *labels)
{
	begin_sample(e, suffix_of(metrics[e->family].kind), labels, NULL);
	add_seconds(e->out, us);
}

/* The bounds in seconds: numbers with a point, as the canonical form has them. */
static void write_bounds(struct exposition *e)
{
	for (size_t i = 0; i < TIMES_BOUNDS; i++) {
		double bound = (double)times_bounds_us[i] / (double)USEC_PER_SEC;

		(void)snprintf(e->bounds[i], sizeof(e->bounds[i]),
			times_bounds_us[i] % USEC_PER_SEC == 0 ? "%.1f" : "%g", bound);
	}
}

void exposition_times(struct exposition *e, const struct times_sum *times,
	const char *const *labels)
{
	if (e->bounds[0][0] == '\0')
		write_bounds(e);
	for (size_t i = 0; i <= TIMES_BOUNDS; i++) {
		begin_sample(e, "_bucket", labels, i < TIMES_BOUNDS ? e->bounds[i] : "+Inf");
		add_number(e->out, times->up_to[i]);
	}
	begin_sample(e, "_sum", labels, NULL);
	add_seconds(e->out, times->sum_us);
	begin_sample(e, "_count", labels, NULL);
	add_number(e->out, times->up_to[TIMES_BOUNDS]);
}

void exposition_end(struct exposition *e)
{
	if (e->is_openmetrics)
		buf_add_str(e->out, "# EOF\n");
}

/* --- the manual ----------------------------------------------------------------- */

void exposition_dump_man(void *file)
{
	FILE *out = file;

	for (size_t i = 0; i < METRIC_COUNT; i++) {
		(void)fprintf(out, ".It Li %s%s\n%s", metrics[i].family,
			suffix_of(metrics[i].kind), kind_words[metrics[i].kind]);
		if (metrics[i].labels[0] != '\0')
			(void)fprintf(out, " by %s", metrics[i].labels);
		(void)fprintf(out, ":\n%s\n", metrics[i].help);
	}
}
