/* SPDX-License-Identifier: ISC */
/* The reader of auth_file: any bytes give a list or an error with a place. */
#include <assert.h>

#include "base/diag.h"
#include "config/userlist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct diag diag = { 0 };
	struct userlist *list =
		userlist_parse((const char *)data, size, "fuzz.txt", &diag);

	assert((list == NULL) == diag_is_set(&diag));
	if (list == NULL) {
		assert(diag.line > 0 && diag.column > 0);
		return 0;
	}
	(void)userlist_find(list, "app");
	assert(userlist_count(list) <= size / 5);
	userlist_destroy(&list);
	return 0;
}
