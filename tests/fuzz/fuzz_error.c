/* SPDX-License-Identifier: ISC */
/*
 * ErrorResponse and NoticeResponse from a server that may send anything.
 */
#include <stdlib.h>
#include <string.h>

#include "pg/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t sum;

static void use(struct wire_slice s)
{
	if (s.data == NULL)
		abort();
	for (size_t i = 0; i < s.len; i++)
		sum += (size_t)s.data[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error_fields e;

	(void)error_parse(data, size, &e);
	if (strlen(e.sqlstate) != 5)
		abort();
	use(e.severity);
	use(e.message);
	use(e.detail);
	use(e.hint);
	use(e.position);
	use(e.where);
	use(e.schema);
	use(e.table);
	use(e.routine);
	(void)error_is_fatal(&e);
	(void)error_has_class(&e, "57P");
	return 0;
}
