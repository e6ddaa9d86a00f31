/* SPDX-License-Identifier: ISC */
#include "pg/valid_until.h"

#include <string.h>
#include <time.h>

struct reader {
	const char *pos;
	const char *end;
	bool ok;
};

/* From least to most digits. */
static int number(struct reader *r, size_t least, size_t most)
{
	size_t count = 0;
	int value = 0;

	while (count < most && r->pos < r->end && *r->pos >= '0' && *r->pos <= '9') {
		value = value * 10 + (*r->pos++ - '0');
		count++;
	}
	r->ok = r->ok && count >= least;
	return value;
}

static void expect(struct reader *r, char c)
{
	if (r->pos < r->end && *r->pos == c)
		r->pos++;
	else
		r->ok = false;
}

/* The digits behind the point, if there is one. */
static int64_t fraction_us(struct reader *r)
{
	int64_t unit = 100000, us = 0;

	if (r->pos == r->end || *r->pos != '.')
		return 0;
	r->pos++;
	for (; r->pos < r->end && *r->pos >= '0' && *r->pos <= '9'; unit /= 10)
		us += unit * (*r->pos++ - '0');
	return us;
}

static bool is_text(const char *text, size_t len, const char *wanted)
{
	return strlen(wanted) == len && memcmp(text, wanted, len) == 0;
}

bool valid_until_parse(const char *text, size_t len, int64_t *unix_us)
{
	struct reader r = { .pos = text, .end = text + len, .ok = true };
	struct tm tm = { 0 };
	int64_t us;

	*unix_us = INT64_MIN;
	if (is_text(text, len, "infinity"))
		*unix_us = INT64_MAX;
	if (is_text(text, len, "infinity") || is_text(text, len, "-infinity"))
		return true;
	tm.tm_year = number(&r, 4, 6) - 1900;
	expect(&r, '-');
	tm.tm_mon = number(&r, 2, 2) - 1;
	expect(&r, '-');
	tm.tm_mday = number(&r, 2, 2);
	expect(&r, ' ');
	tm.tm_hour = number(&r, 2, 2);
	expect(&r, ':');
	tm.tm_min = number(&r, 2, 2);
	expect(&r, ':');
	tm.tm_sec = number(&r, 2, 2);
	us = fraction_us(&r);
	expect(&r, '+');
	if (number(&r, 2, 2) != 0 || !r.ok || r.pos != r.end || tm.tm_mon < 0 ||
		tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 24 ||
		tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	/* Beyond what the C library and 64 bits bear. */
	if (tm.tm_year > 9999 - 1900)
		*unix_us = INT64_MAX;
	else
		*unix_us = (int64_t)timegm(&tm) * (int64_t)USEC_PER_SEC + us;
	return true;
}
