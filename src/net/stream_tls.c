/* SPDX-License-Identifier: ISC */
/*
 * TLS in a stream: the engine of tls.h between the socket's bytes and the owner's.
 *
 * A step of a handshake may cost a signature, for which others would have to wait:
 * 0.5 ms with RSA of 2048 bits.  So steps stand in a queue of the worker's, and
 * each turn of the loop takes one; between two of them everybody else is served.
 * While one is due nothing is read from its socket.
 *
 * Thread: the worker's.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/stream_priv.h"

enum {
	PLAIN_SIZE = 64 * 1024,         /* a few records at a time */
	CIPHER_KEEPS = 256 * 1024,
	HANDSHAKE_MAX = 128 * 1024,     /* bytes of one that wait for their turn */
	ANSWERS_MAX = 2 * 1024 * 1024   /* backlog of a peer that makes TLS itself answer */
};

struct stream_handshake {
	struct list_node node;          /* pool->shaking */
	struct stream *stream;
	struct buf in;                  /* of the peer's, not used yet */
};

static void step_next(struct io_task *);

void stream_tls_pool_init(struct stream_pool *pool)
{
	buf_init(&pool->cipher, 0);
	list_init(&pool->shaking);
	io_task_init(&pool->shake, step_next);
}

void stream_tls_pool_finish(struct stream_pool *pool)
{
	io_task_cancel(&pool->shake);
	buf_finish(&pool->cipher);
	free(pool->plain);
}

static void forget_handshake(struct stream *s)
{
	struct stream_handshake *h = s->handshake;

	s->handshake = NULL;
	if (h == NULL)
		return;
	list_remove(&h->node);
	buf_finish(&h->in);
	free(h);
}

void stream_tls_forget(struct stream *s)
{
	forget_handshake(s);
	tls_destroy(&s->tls);
}

/* What the engine has written goes to the peer. */
static void send_cipher(struct stream *s)
{
	struct buf *cipher = &s->pool->cipher;

	stream_transmit(s, buf_data(cipher), buf_len(cipher));
	if (cipher->capacity > CIPHER_KEEPS)
		buf_finish(cipher);
	else
		buf_clear(cipher);
}

/* --- data --------------------------------------------------------------------------- */

void stream_tls_send(struct stream *s, const uint8_t *a, size_t a_len, const uint8_t *b,
	size_t b_len)
{
	struct buf *cipher = &s->pool->cipher;

	if (tls_write(s->tls, a, a_len, cipher) == TLS_OK &&
		tls_write(s->tls, b, b_len, cipher) == TLS_OK) {
		send_cipher(s);
	} else {
		buf_finish(cipher);
		stream_break(s, -EPROTO);
	}
}

void stream_tls_end(struct stream *s)
{
	if (s->flags & (STREAM_SHAKING | STREAM_NOTIFIED | STREAM_FAILED))
		return;
	s->flags |= STREAM_NOTIFIED;
	tls_end(s->tls, &s->pool->cipher);
	send_cipher(s);
}

/* As many records as there are, up to size. */
static enum tls_result read_some(struct stream *s, size_t *filled)
{
	struct stream_pool *pool = s->pool;
	enum tls_result result;
	bool has_answered;
	size_t len;

	*filled = 0;
	do {
		result = tls_read(s->tls, pool->plain + *filled, PLAIN_SIZE - *filled, &len,
			&pool->cipher);
		*filled += len;
	} while (result == TLS_OK && *filled < PLAIN_SIZE);
	/* Answers to key updates, and alerts.  Who asks for them and reads nothing is
	 * not waited for. */
	has_answered = buf_len(&pool->cipher) > 0;
	send_cipher(s);
	if (has_answered && buf_len(&s->backlog) > ANSWERS_MAX)
		return TLS_FAILED;
	return result;
}

static void receive_data(struct stream *s, const uint8_t *data, size_t len)
{
	uint32_t epoch = s->epoch;
	enum tls_result result;
	size_t filled;

	if (s->pool->plain == NULL)
		s->pool->plain = malloc(PLAIN_SIZE);
	if (s->pool->plain == NULL) {
		stream_break(s, -ENOMEM);
		return;
	}
	tls_input(s->tls, data, len);
	do {
		result = read_some(s, &filled);
		if (filled > 0)
			stream_deliver(s, s->pool->plain, filled);
		if (s->epoch != epoch || s->flags & (STREAM_FINISHING | STREAM_ENDED))
			break;
	} while (result == TLS_OK);
	if (s->epoch != epoch)
		return;
	tls_input(s->tls, NULL, 0);
	if (s->flags & (STREAM_FINISHING | STREAM_ENDED))
		return;
	if (result == TLS_FAILED)
		stream_break(s, -EPROTO);
	else if (result == TLS_CLOSED)
		stream_ended(s, 0);
	else
		return;
	if (s->epoch == epoch)
		stream_update_reading(s);
}

/* --- the handshake ---------------------------------------------------------------------- */

static void step_later(struct stream *s)
{
	struct stream_pool *pool = s->pool;

	if (s->flags & STREAM_STEPPING)
		return;
	s->flags |= STREAM_STEPPING;
	list_push_back(&pool->shaking, &s->handshake->node);
	io_defer(s->conn.io, &pool->shake, IO_PHASE_RUN);
	stream_update_reading(s);
}

static void shaken(struct stream *s)
{
	uint32_t epoch = s->epoch;
	struct buf rest = s->handshake->in;

	buf_init(&s->handshake->in, 0);
	forget_handshake(s);
	s->flags &= ~(uint32_t)(STREAM_SHAKING | STREAM_STEPPING);
	if (s->ops->on_secure != NULL)
		s->ops->on_secure(s);
	/* Data right behind the handshake. */
	if (s->epoch == epoch && buf_len(&rest) > 0 &&
		!(s->flags & (STREAM_FINISHING | STREAM_ENDED)))
		receive_data(s, buf_data(&rest), buf_len(&rest));
	if (s->epoch == epoch)
		stream_update_reading(s);
	buf_finish(&rest);
}

static void step(struct stream *s)
{
	struct stream_handshake *h = s->handshake;
	enum tls_result result;

	s->flags &= ~(uint32_t)STREAM_STEPPING;
	if (s->flags & (STREAM_FINISHING | STREAM_ENDED | STREAM_FAILED)) {
		stream_update_reading(s);
		return;
	}
	tls_input(s->tls, buf_data(&h->in), buf_len(&h->in));
	result = tls_handshake(s->tls, &s->pool->cipher);
	buf_consume(&h->in, buf_len(&h->in) - tls_input_left(s->tls));
	tls_input(s->tls, NULL, 0);
	send_cipher(s);
	if (result == TLS_FAILED)
		stream_break(s, -EPROTO);
	else if (result == TLS_OK)
		shaken(s);
	else
		stream_update_reading(s);
}

static void step_next(struct io_task *task)
{
	struct stream_pool *pool = container_of(task, struct stream_pool, shake);
	struct list_node *node = list_pop_front(&pool->shaking);
	struct stream_handshake *next;
	struct stream *s;

	if (node == NULL)
		return;
	s = container_of(node, struct stream_handshake, node)->stream;
	if (list_first(&pool->shaking) != NULL) {
		next = container_of(list_first(&pool->shaking), struct stream_handshake, node);
		io_defer(next->stream->conn.io, task, IO_PHASE_RUN);
	}
	pool->handshakes++;
	step(s);
}

static void receive_handshake(struct stream *s, const uint8_t *data, size_t len)
{
	struct stream_handshake *h = s->handshake;

	buf_add(&h->in, data, len);
	if (!buf_ok(&h->in))
		stream_break(s, -EPROTO);
	else
		step_later(s);
}

void stream_tls_receive(struct stream *s, const uint8_t *data, size_t len)
{
	if (s->flags & (STREAM_FINISHING | STREAM_ENDED))
		return;
	if (s->flags & STREAM_SHAKING)
		receive_handshake(s, data, len);
	else
		receive_data(s, data, len);
}

int stream_start_tls(struct stream *s, struct tls_context *context, const char *name,
	const void *data, size_t len)
{
	struct stream_handshake *h;
	struct tls *tls;

	if (!stream_is_open(s) || s->tls != NULL || stream_held(s) > 0)
		return -EPROTO;
	h = calloc(1, sizeof(*h));
	tls = h == NULL ? NULL : tls_create(context, name);
	if (tls == NULL) {
		free(h);
		return -ENOMEM;
	}
	stream_flush(s);
	list_node_init(&h->node);
	buf_init(&h->in, HANDSHAKE_MAX);
	buf_add(&h->in, data, len);
	h->stream = s;
	s->tls = tls;
	s->handshake = h;
	s->flags |= STREAM_SHAKING;
	step_later(s);
	return 0;
}

const struct tls *stream_tls(const struct stream *s)
{
	return s->flags & STREAM_SHAKING ? NULL : s->tls;
}

const char *stream_tls_text(const struct stream *s, char *to, size_t size)
{
	const struct tls *tls = stream_tls(s);

	to[0] = '\0';
	if (tls != NULL)
		(void)snprintf(to, size, "%s/%s", tls_protocol(tls), tls_cipher(tls));
	return to;
}

const char *stream_tls_error(const struct stream *s)
{
	return s->tls == NULL ? "" : tls_error(s->tls);
}
