/* SPDX-License-Identifier: ISC */
/*
 * A client of the console: its messages go to whoever answers there, one after the
 * other, and what costs something one in a turn of the loop.
 */
#include <string.h>

#include "pg/frame.h"
#include "session/client_priv.h"

size_t client_console_data(struct client *c, const uint8_t *data, size_t len)
{
	const struct console_ops *console = &c->worker->router->console;
	size_t pos = 0;
	struct frame f;

	while (c->state == CLIENT_ADMIN && !c->is_console_busy &&
		!stream_is_congested(&c->stream)) {
		if (client_next_message(c, data + pos, len - pos, &f) != FRAME_OK)
			break;
		if (frame_size(&f) > STREAM_HELD_MAX) {
			client_close_with(c, CLOSE_PROTOCOL, "54000",
				"command too long for the admin console", NULL);
			break;
		}
		if (!frame_is_whole(&f))
			break;
		pos += frame_size(&f);
		/* As of other clients: a query, or what ends with a Sync. */
		if (f.type == 'Q' || f.type == 'S') {
			c->queries++;
			c->xacts++;
		}
		if (f.type == 'X') {
			client_close(c, CLOSE_QUIT);
		} else if (memchr("PBDECHS", f.type, 7) != NULL) {
			c->is_console_busy = true;
			console->extended(console->arg, c, f.type, f.body, f.body_len);
		} else if (f.type == 'Q' && f.body_len > 0 && f.body[f.body_len - 1] == '\0') {
			c->is_console_busy = true;
			console->query(console->arg, c, (const char *)f.body);
		} else {
			client_close_with(c, CLOSE_PROTOCOL, "08P01",
				"invalid message on the admin console", NULL);
		}
		/* Everybody else on this worker first; the answer makes the stream go on. */
		if (memchr("QDE", f.type, 3) != NULL)
			break;
	}
	return c->state == CLIENT_ADMIN ? pos : len;
}

void client_console_reply(struct client *c, struct buf *out)
{
	c->is_console_busy = false;
	if (buf_len(out) > 0 || !buf_ok(out))
		client_send(c, out);
	stream_retry(&c->stream);
}
