/* SPDX-License-Identifier: ISC */
/*
 * TLS in a stream: the engine of tls.h between the socket's bytes and the owner's.
 *
 * A step of a handshake costs a few tenths of a millisecond, for which others would
 * have to wait.  So steps stand in a queue of the worker's, and each turn of the loop
 * takes one; between two of them everybody else is served.  Where a signature would
 * cost more than that, or many wait, the step is taken away by the pool's helper when
 * it comes to that.  While one is due here nothing is read from its socket.
 *
 * Thread: the worker's; stream_step_run() and stream_step_drop() any.
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
	SHAKING_MANY = 8,               /* that wait: then cheap ones go elsewhere, too */
	ANSWERS_MAX = 2 * 1024 * 1024   /* backlog of a peer that makes TLS itself answer */
};

struct stream_handshake {
	struct list_node node;          /* pool->shaking, pool->orphans */
	struct stream *stream;          /* NULL: it was closed */
	struct stream_step *step;       /* is taken elsewhere; only that may touch tls */
	void *started;                  /* the helper's name for it */
	struct buf in;                  /* of the peer's, not used yet */
};

static void step_next(struct io_task *);

bool stream_tls_pool_init(struct stream_pool *pool)
{
	pool->wire = tls_wire_create();
	buf_init(&pool->cipher, 0);
	list_init(&pool->shaking);
	list_init(&pool->orphans);
	io_task_init(&pool->shake, step_next);
	return pool->wire != NULL;
}

void stream_tls_pool_finish(struct stream_pool *pool)
{
	struct list_node *node;

	io_task_cancel(&pool->shake);
	buf_finish(&pool->cipher);
	free(pool->plain);
	tls_wire_unref(pool->wire);
	/* Those of steps that were dropped. */
	while ((node = list_pop_front(&pool->orphans)) != NULL)
		free(container_of(node, struct stream_handshake, node));
}

void stream_pool_set_helper(struct stream_pool *pool, const struct stream_helper *helper)
{
	pool->helper = helper;
}

static void free_handshake(struct stream_handshake *h)
{
	list_remove(&h->node);
	buf_finish(&h->in);
	free(h);
}

static void leave_queue(struct stream_pool *pool, struct stream_handshake *h)
{
	if (!list_is_linked(&h->node))
		return;
	list_remove(&h->node);
	pool->shaking_count--;
}

/* A step is taken elsewhere, which has the connection, and keeps it.  True: it has begun,
 * and looks at the handshake when it comes back. */
static bool part_from_step(struct stream *s)
{
	const struct stream_helper *helper = s->pool->helper;
	struct stream_handshake *h = s->handshake;

	if (h->step == NULL)
		return false;
	s->tls = NULL;
	if (!helper->withdraw(helper->arg, h->started))
		return true;
	h->step = NULL;
	return false;
}

static void forget_handshake(struct stream *s)
{
	struct stream_handshake *h = s->handshake;

	if (h == NULL)
		return;
	s->handshake = NULL;
	leave_queue(s->pool, h);
	free_handshake(h);
}

void stream_tls_forget(struct stream *s)
{
	struct stream_handshake *h = s->handshake;

	if (h != NULL && part_from_step(s)) {
		s->handshake = NULL;
		h->stream = NULL;
		buf_finish(&h->in);
		list_push_back(&s->pool->orphans, &h->node);
	}
	forget_handshake(s);
	tls_destroy(&s->tls);
}

void stream_tls_stop(struct stream *s)
{
	if (s->handshake->step == NULL || part_from_step(s))
		return;
	forget_handshake(s);
	s->flags &= ~(uint32_t)STREAM_STEPPING;
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

void stream_tls_attached(struct stream *s)
{
	if (s->tls != NULL)
		tls_share_wire(s->tls, s->pool->wire);
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
	pool->shaking_count++;
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
	tls_set_secret(s->tls, (s->flags & STREAM_SECRET) != 0);
	tls_share_wire(s->tls, s->pool->wire);
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

/* A step was taken. */
static void settle(struct stream *s, enum tls_result result)
{
	if (result == TLS_FAILED)
		stream_break(s, -EPROTO);
	else if (result == TLS_OK)
		shaken(s);
	else if (buf_len(&s->handshake->in) > 0)
		step_later(s);
	else
		stream_update_reading(s);
}

static enum tls_result shake(struct tls *tls, struct buf *in, struct buf *out)
{
	enum tls_result result;

	tls_input(tls, buf_data(in), buf_len(in));
	result = tls_handshake(tls, out);
	buf_consume(in, buf_len(in) - tls_input_left(tls));
	tls_input(tls, NULL, 0);
	return result;
}

/* --- ... in another thread --------------------------------------------------------------- */

void stream_step_run(struct stream_step *step)
{
	tls_park(step->tls, TLS_PARKS_NOTHING);
	step->result = shake(step->tls, &step->in, &step->out);
	step->was_run = true;
}

void stream_step_drop(struct stream_step *step)
{
	tls_destroy(&step->tls);
	buf_finish(&step->in);
	buf_finish(&step->out);
	free(step);
}

/* False: there is no room. */
static bool send_away(struct stream *s)
{
	const struct stream_helper *helper = s->pool->helper;
	struct stream_step *step = calloc(1, sizeof(*step));
	struct stream_handshake *h = s->handshake;

	if (step == NULL)
		return false;
	*step = (struct stream_step){ .handshake = h, .tls = s->tls, .in = h->in };
	buf_init(&step->out, 0);
	buf_init(&h->in, HANDSHAKE_MAX);
	h->step = step;
	h->started = helper->start(helper->arg, s, step);
	if (h->started != NULL) {
		s->flags |= STREAM_STEPPING;
		stream_update_reading(s);
		return true;
	}
	h->in = step->in;
	h->step = NULL;
	free(step);
	return false;
}

static void fail_for_want_of_room(struct stream *s)
{
	tls_fail(s->tls, "too many handshakes wait");
	stream_break(s, -EBUSY);
}

/* The stream has its connection back, and what came meanwhile. */
static void take_back(struct stream *s, struct stream_step *step)
{
	struct stream_handshake *h = s->handshake;

	step->tls = NULL;
	buf_add(&step->in, buf_data(&h->in), buf_len(&h->in));
	buf_finish(&h->in);
	h->in = step->in;
	buf_init(&step->in, 0);
}

void stream_step_done(struct stream_step *step)
{
	struct stream_handshake *h = step->handshake;
	struct stream *s = h->stream;

	h->step = NULL;
	if (s == NULL) {
		free_handshake(h);
		stream_step_drop(step);
		return;
	}
	s->flags &= ~(uint32_t)STREAM_STEPPING;
	if (s->tls != NULL)
		take_back(s, step);
	if (s->flags & (STREAM_FINISHING | STREAM_ENDED | STREAM_FAILED)) {
		stream_update_reading(s);
	} else if (!step->was_run) {
		fail_for_want_of_room(s);
	} else if (!buf_ok(&h->in)) {
		stream_break(s, -EPROTO);
	} else {
		stream_transmit(s, buf_data(&step->out), buf_len(&step->out));
		settle(s, step->result);
	}
	stream_step_drop(step);
}

/* --- ... in this one ------------------------------------------------------------------------ */

static enum tls_park what_goes_away(const struct stream_pool *pool)
{
	if (pool->helper == NULL)
		return TLS_PARKS_NOTHING;
	return pool->shaking_count >= SHAKING_MANY ? TLS_PARKS_ALL :
							 TLS_PARKS_SLOW;
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
	tls_park(s->tls, what_goes_away(s->pool));
	result = shake(s->tls, &h->in, &s->pool->cipher);
	if (result == TLS_COSTLY && !send_away(s) && !tls_key_is_slow(s->tls)) {
		tls_park(s->tls, TLS_PARKS_NOTHING);
		result = shake(s->tls, &h->in, &s->pool->cipher);
	}
	send_cipher(s);
	if (result != TLS_COSTLY)
		settle(s, result);
	else if (h->step == NULL)
		fail_for_want_of_room(s);
}

static void step_next(struct io_task *task)
{
	struct stream_pool *pool = container_of(task, struct stream_pool, shake);
	struct list_node *node = list_first(&pool->shaking);
	struct stream_handshake *next;
	struct stream *s;

	if (node == NULL)
		return;
	s = container_of(node, struct stream_handshake, node)->stream;
	leave_queue(pool, s->handshake);
	if (list_first(&pool->shaking) != NULL) {
		next = container_of(list_first(&pool->shaking), struct stream_handshake, node);
		io_defer(next->stream->conn.io, task, IO_PHASE_RUN);
	}
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

bool stream_tls_is_due(const struct stream *s)
{
	return s->flags & STREAM_STEPPING;
}

bool stream_tls_is_away(const struct stream *s)
{
	return s->handshake != NULL && s->handshake->step != NULL;
}

const char *stream_tls_error(const struct stream *s)
{
	return s->tls == NULL || stream_tls_is_away(s) ? "" : tls_error(s->tls);
}
