/* SPDX-License-Identifier: ISC */
/*
 * Rows and COPY data on their way to the client: most of what PostgreSQL sends, and
 * nothing is to be known of it.
 */
#include "pg/frame.h"
#include "session/server_priv.h"

size_t server_pass_rows(const struct server *s, const uint8_t *data, size_t len)
{
	size_t pos = 0;
	struct frame f;

	if ((data[0] != 'D' && data[0] != 'd') || s->body_left > 0 ||
		s->phase != SERVER_PHASE_READY || s->errand != NULL ||
		exchange_owner(&s->xq) != EXCHANGE_TO_CLIENT)
		return 0;
	while (pos < len && (data[pos] == 'D' || data[pos] == 'd') &&
		frame_next(data + pos, len - pos, FRAME_BODY_MAX, &f) == FRAME_OK &&
		frame_is_whole(&f))
		pos += frame_size(&f);
	return pos;
}
