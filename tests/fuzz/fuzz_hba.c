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
	struct hba_client c = { .link = HBA_LINK_TLS, .database = "shop", .user = "app" };
	struct hba_verdict verdict;

	c.address_len = 4;
	memset(c.address, 1, sizeof(c.address));
	(void)hba_match(hba, &c, &verdict);
	c.address_len = 16;
	(void)hba_match(hba, &c, &verdict);
	c.link = HBA_LINK_LOCAL;
	if (hba_match(hba, &c, &verdict))
		assert(verdict.line > 0 && hba_method_name(verdict.method) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct diag diag = { 0 };
	struct ident *ident;
	struct hba *hba;

	/* Repetitions of repetitions are the C library's to bear. */
	if (memchr(data, '{', size) != NULL)
		return 0;
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
