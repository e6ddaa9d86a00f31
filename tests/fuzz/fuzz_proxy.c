/* SPDX-License-Identifier: ISC */
/* The PROXY protocol: any bytes; a header that is taken is taken with whatever follows,
 * and asked for more at every cut. */
#include <assert.h>

#include "net/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header h, cut;
	char text[ADDR_TEXT_MAX];

	if (proxy_parse(data, size, &h) != PROXY_OK)
		return 0;
	assert(h.len > 0 && h.len <= size && h.len <= PROXY_MAX);
	if (h.has_source)
		assert(addr_text(&h.source, text, sizeof(text))[0] != '\0');
	for (size_t i = 0; i < h.len; i++)
		assert(proxy_parse(data, i, &cut) == PROXY_NEED_MORE);
	return 0;
}
