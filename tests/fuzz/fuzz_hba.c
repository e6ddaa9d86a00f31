/* SPDX-License-Identifier: ISC */
/* The readers of the HBA and the ident file: any bytes give rules or an error with a
 * place, and rules can be asked. */
#include <assert.h>
#include <string.h>

#include "base/diag.h"
#include "config/hba.h"
#include "config/ident.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct hba *hba)
{
	static const struct {
		enum hba_link link;
		size_t address_len;
	} ways[] = { { HBA_LINK_TLS, 4 }, { HBA_LINK_PLAIN, 16 }, { HBA_LINK_LOCAL, 0 } };

	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		struct hba_client c = { .link = ways[i].link,
			.address_len = ways[i].address_len, .database = "shop", .user = "app" };
		struct hba_verdict verdict;

		memset(c.address, 1, sizeof(c.address));
		if (hba_match(hba, &c, &verdict))
			assert(verdict.line > 0 && hba_method_name(verdict.method) != NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct diag diag = { 0 };
	struct ident *ident;
	struct hba *hba;

	hba = hba_parse((const char *)data, size, "fuzz", false, &diag);
	assert((hba == NULL) == diag_is_set(&diag));
	assert(hba != NULL || (diag.line > 0 && diag.column > 0));
	if (hba != NULL)
		ask(hba);
	hba_destroy(&hba);
	diag_clear(&diag);
	ident = ident_parse((const char *)data, size, "fuzz", false, &diag);
	assert((ident == NULL) == diag_is_set(&diag));
	(void)ident_allows(ident, "map", "system", "app");
	ident_destroy(&ident);
	return 0;
}
