/* SPDX-License-Identifier: ISC */
/*
 * The barrier: finds the end of the replies where they cannot be counted.  See
 * docs/decisions/003-barrier.md.
 */
#include <stdio.h>
#include <string.h>

#include "base/rand.h"
#include "pg/msg_out.h"
#include "session/client_priv.h"
#include "session/server_priv.h"
#include "session/server_redo.h"

/* Types of parameters that are none: not 0, not 705 (unknown).  PostgreSQL does not look
 * for those that a statement does not use (postgres.c, exec_parse_message()). */
#define NONCE_BITS 0x8000000080000000UL

static void add_nonce(const struct server *s, struct buf *out)
{
	buf_add_u16(out, 2);
	buf_add_u32(out, (uint32_t)(s->nonce >> 32));
	buf_add_u32(out, (uint32_t)s->nonce);
}

/* It is not known how many ReadyForQuery are still to come: asks something whose
 * answer is told from all others, and so finds the end.  A statement that ends
 * transactions is described also in one that has failed, and no transaction is touched
 * as it never runs. */
void server_barrier(struct server *s)
{
	struct buf body, out;
	char name[64];

	rand_bytes(&s->nonce, sizeof(s->nonce));
	s->nonce |= NONCE_BITS;
	(void)snprintf(name, sizeof(name), "pgtandem_barrier_%016lx", (unsigned long)s->nonce);
	server_enter_phase(s, SERVER_PHASE_BARRIER);
	server_set_timer(s, SERVER_CLEAN_US);
	s->own_seen = false;
	s->wants_barrier = false;
	buf_init(&body, 0);
	buf_add_cstr(&body, "ROLLBACK");
	add_nonce(s, &body);
	buf_init(&out, 0);
	msg_out_parse_body(&out, name, buf_data(&body), buf_len(&body));
	msg_out_describe(&out, 'S', name);
	msg_out_close(&out, 'S', name);
	msg_out_sync(&out);
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
	buf_finish(&body);
}

bool server_barrier_looked(struct server *s, const uint8_t *data, size_t len)
{
	struct buf answer;
	size_t size;
	bool is_it;

	buf_init(&answer, 0);
	msg_out_parse_complete(&answer);
	msg_out_header(&answer, 't', 10);
	add_nonce(s, &answer);
	size = buf_len(&answer);
	is_it = memcmp(data, buf_data(&answer), size_min(len, size)) == 0;
	buf_finish(&answer);
	s->own_seen = is_it && len >= size;
	return !is_it || s->own_seen;
}

/* The client may have begun a transaction in front of it. */
void server_barrier_done(struct server *s)
{
	uint32_t ends = s->xq.ends;
	char status = s->xq.status;

	exchange_init(&s->xq);
	s->xq.status = status;
	s->xq.ends = ends;
	server_prepared_lost_count(s);
	server_enter_phase(s, SERVER_PHASE_READY);
	if (s->is_session || status != 'I')
		client_resume(s->client);
	else
		server_lease_ends(s);
}
