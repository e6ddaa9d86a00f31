/* SPDX-License-Identifier: ISC */
/*
 * The first packet of a connection.  The first byte of the input is the flags.
 */
#include <stdlib.h>
#include <string.h>

#include "pg/msg_out.h"
#include "pg/startup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void use_session(const struct startup *s)
{
	const char *name, *value;
	size_t pos = 0, seen = 0;
	uint32_t pq = 0;
	struct buf out;

	check(s->user[0] != '\0' && strlen(s->user) < STARTUP_NAME_SIZE);
	check(strlen(s->database) < STARTUP_NAME_SIZE);
	while (startup_param_next(s, &pos, &name, &value))
		seen += strlen(name) + strlen(value) + 2;
	for (pos = 0; startup_pq_next(s, &pos, &name);)
		pq++;
	check(seen <= s->pairs.len && pq == s->pq_count);
	check(strlen(s->options) + strlen(s->application_name) < s->packet_len);
	buf_init(&out, STARTUP_PACKET_MAX);
	msg_out_negotiate_protocol(&out, s);
	check(buf_ok(&out));
	buf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum startup_result result;
	struct startup s, cut;
	char text[256];

	if (size < 1)
		return 0;
	result = startup_parse(data + 1, size - 1, data[0] & 3u, &s);
	if (result == STARTUP_OK && s.packet_len > 0) {
		check(s.packet_len <= size - 1);
		check(startup_parse(data + 1, s.packet_len - 1, data[0] & 3u, &cut) ==
			STARTUP_NEED_MORE);
	}
	if (result == STARTUP_OK && s.kind == STARTUP_SESSION)
		use_session(&s);
	if (result == STARTUP_OK && s.kind == STARTUP_CANCEL)
		check(s.cancel_key_len <= STARTUP_KEY_MAX &&
			s.cancel_key + s.cancel_key_len <= data + size);
	if (result == STARTUP_BAD) {
		check(strlen(startup_error_text(&s, text, sizeof(text))) > 0);
		check(strlen(startup_error_sqlstate(s.error)) == 5);
	}
	return 0;
}
