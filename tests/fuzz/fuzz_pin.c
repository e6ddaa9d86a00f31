/* SPDX-License-Identifier: ISC */
/*
 * A server's answer about its session, and the names of settings in it; and a text that
 * may make a client keep its server.  The first byte says which.
 */
#include <stdlib.h>
#include <string.h>

#include "pg/frame.h"
#include "session/params.h"
#include "session/pin.h"
#include "sql/lexer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_text(const char *text, size_t len)
{
	struct pin_scan scan;

	pin_scan(&scan, text, len, LEXER_STANDARD_STRINGS);
	if (((scan.makes | scan.prepares) >> ROUTE_PIN_COUNT) != 0)
		abort();
	if ((scan.keeps >> ROUTE_KIND_COUNT) != 0 ||
		(scan.keeps & ((1u << ROUTE_PIN_COUNT) - 1)) != 0)
		abort();
	/* Whoever is not looked at makes nothing. */
	if ((scan.makes | scan.prepares) != 0 && !pin_may(text, len))
		abort();
}

static void use_answer(const uint8_t *data, size_t size, enum pin_asks asks)
{
	struct frame row = {
		.type = 'D', .body = data, .body_len = (uint32_t)size, .available = size
	};
	struct pin_answer answer;
	struct params none;

	params_init(&none);
	if (pin_answer(&answer, &row, asks)) {
		bool has_name = strspn(answer.settings, ",") != strlen(answer.settings);

		if (pin_has_unknown(answer.settings, &none) != has_name)
			abort();
	}
	params_finish(&none);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == 't')
		use_text((const char *)data + 1, size - 1);
	else
		use_answer(data + 1, size - 1, data[0] == 's' ? PIN_ASKS_SETTINGS :
				data[0] == 'q' ? PIN_ASKS_STATEMENTS :
				data[0] == 'c' ? PIN_ASKS_CODE : PIN_ASKS_PINS);
	return 0;
}
