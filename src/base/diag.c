/* SPDX-License-Identifier: ISC */
#include "base/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void diag_clear(struct diag *d)
{
	memset(d, 0, sizeof(*d));
}

bool diag_is_set(const struct diag *d)
{
	return d->text[0] != '\0';
}

void diag_set(struct diag *d, const char *file, uint32_t line, uint32_t column,
	const char *fmt, ...)
{
	va_list args;

	if (diag_is_set(d))
		return;
	(void)snprintf(d->file, sizeof(d->file), "%s", file == NULL ? "" : file);
	d->line = line;
	d->column = column;
	va_start(args, fmt);
	(void)vsnprintf(d->text, sizeof(d->text), fmt, args);
	va_end(args);
}

const char *diag_format(const struct diag *d, char *to, size_t size)
{
	if (d->file[0] == '\0')
		(void)snprintf(to, size, "%s", d->text);
	else if (d->line == 0)
		(void)snprintf(to, size, "%s: %s", d->file, d->text);
	else if (d->column == 0)
		(void)snprintf(to, size, "%s:%u: %s", d->file, d->line, d->text);
	else
		(void)snprintf(to, size, "%s:%u:%u: %s", d->file, d->line, d->column,
			d->text);
	return to;
}
