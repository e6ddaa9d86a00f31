/* SPDX-License-Identifier: ISC */
/*
 * Bytes come up from io_conn through receive() and go down through transmit();
 * there stream_tls.c comes in, where a stream has TLS: what is held and collected
 * is plain, what is in the backlog is as the peer gets it.
 *
 * While the owner looks at held bytes they are taken out of the stream, so
 * that it may close it meanwhile.  The epoch then tells that it did.
 *
 * Size: both directions share the flags and the end of one connection.
 *
 * Thread: the worker's.
 */
#include "net/stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net/addr.h"
#include "net/stream_priv.h"

enum { POOL_KEEPS = 256 };

struct chunk {
	struct chunk *next;
};

static struct stream *stream_of(struct io_conn *c)
{
	return container_of(c, struct stream, conn);
}

static bool is_secret(const struct stream *s)
{
	return s->flags & STREAM_SECRET;
}

static void clear(struct stream *s, uint32_t flags)
{
	s->flags &= ~flags;
}

/* --- chunks ----------------------------------------------------------------- */

struct stream_pool *stream_pool_create(void)
{
	struct stream_pool *pool = calloc(1, sizeof(*pool));

	if (pool != NULL && !stream_tls_pool_init(pool)) {
		free(pool);
		return NULL;
	}
	return pool;
}

void stream_pool_destroy(struct stream_pool **poolp)
{
	struct stream_pool *pool = *poolp;

	*poolp = NULL;
	if (pool == NULL)
		return;
	while (pool->free != NULL) {
		struct chunk *chunk = pool->free;

		pool->free = chunk->next;
		free(chunk);
	}
	stream_tls_pool_finish(pool);
	free(pool);
}

static uint8_t *chunk_take(struct stream_pool *pool)
{
	struct chunk *chunk = pool->free;

	if (chunk == NULL)
		return malloc(STREAM_CHUNK);
	pool->free = chunk->next;
	pool->count--;
	return (uint8_t *)chunk;
}

static void chunk_put(struct stream_pool *pool, uint8_t *bytes)
{
	struct chunk *chunk = (struct chunk *)(void *)bytes;

	if (pool->count == POOL_KEEPS) {
		free(bytes);
		return;
	}
	chunk->next = pool->free;
	pool->free = chunk;
	pool->count++;
}

/* len: what of it was used. */
static void give_back(struct stream *s, uint8_t *chunk, size_t len)
{
	if (s->flags & STREAM_SECRET)
		explicit_bzero(chunk, len);
	chunk_put(s->pool, chunk);
}

static void drop_chunk(struct stream *s)
{
	if (s->chunk != NULL)
		give_back(s, s->chunk, s->chunk_len);
	s->chunk = NULL;
	s->chunk_len = 0;
}

/* --- secrets -------------------------------------------------------------------- */

static void drop(struct buf *b, bool secret)
{
	if (secret)
		buf_wipe(b);
	buf_finish(b);
}

static void consume(struct buf *b, size_t len, bool secret)
{
	if (secret)
		buf_consume_secret(b, len);
	else
		buf_consume(b, len);
}

static void add(const struct stream *s, struct buf *b, const uint8_t *data, size_t len)
{
	if (is_secret(s))
		buf_add_secret(b, data, len);
	else
		buf_add(b, data, len);
}

/* --- reading: what the owner gets --------------------------------------------- */

static void run_again(struct stream *s)
{
	io_defer(s->conn.io, &s->again, IO_PHASE_RUN);
}

/* After a send that failed reading would find the end.  Who does not read is
 * told from the loop. */
static void end_unread(struct stream *s)
{
	const uint32_t mask = STREAM_FAILED | STREAM_ENDED | STREAM_READING |
		STREAM_QUIESCING;

	if ((s->flags & mask) != STREAM_FAILED)
		return;
	s->flags |= STREAM_ENDED;
	clear(s, STREAM_FRESH);
	run_again(s);
}

/* --- being held -------------------------------------------------------------------- */

void stream_pool_hold(struct stream_pool *pool, bool is_held)
{
	pool->is_held = is_held;
}

bool stream_is_held(const struct stream *s)
{
	return stream_is_open(s) && s->pool->is_held && !(s->flags & STREAM_EXEMPT);
}

void stream_hold_changed(struct stream *s)
{
	if (!stream_is_open(s))
		return;
	stream_update_reading(s);
	if (!stream_is_held(s))
		run_again(s);
}

void stream_exempt(struct stream *s, bool is_exempt)
{
	clear(s, STREAM_EXEMPT);
	if (is_exempt)
		s->flags |= STREAM_EXEMPT;
	if (stream_is_open(s) && s->pool->is_held)
		stream_hold_changed(s);
}

/* The one place that starts and stops reading. */
void stream_update_reading(struct stream *s)
{
	bool wanted = s->flags & (STREAM_FINISHING | STREAM_SHAKING) ||
		(s->flags & STREAM_RESUMED && buf_len(&s->held) < s->held_max);

	if (s->flags & (STREAM_CONNECTING | STREAM_QUIESCING | STREAM_ENDED) ||
		stream_is_held(s) ||
		(s->flags & STREAM_STEPPING && !stream_tls_is_away(s)))
		wanted = false;
	if (wanted != ((s->flags & STREAM_READING) != 0)) {
		s->flags ^= STREAM_READING;
		if (wanted)
			io_conn_rx_start(&s->conn);
		else
			io_conn_rx_stop(&s->conn);
	}
	end_unread(s);
}

static void tell_end(struct stream *s)
{
	if (s->flags & STREAM_TOLD)
		return;
	s->flags |= STREAM_TOLD;
	s->ops->on_end(s, s->end_error);
}

/* After stream_finish() the end is told when our words are on their way, too. */
static void end_maybe(struct stream *s)
{
	bool words_left = s->flags & STREAM_FINISHING &&
		!(s->flags & (STREAM_FIN_SENT | STREAM_FAILED));

	if (s->flags & STREAM_ENDED && !(s->flags & STREAM_FRESH) && !words_left)
		tell_end(s);
}

static size_t offer(struct stream *s, const uint8_t *data, size_t len)
{
	const struct tls *before = s->tls;
	uint32_t epoch = s->epoch;
	size_t used = s->ops->on_data(s, data, len);

	assert(used <= len);
	/* What came in front of TLS is nobody's word: none of it may be read as if it
	 * had come through it (CVE-2021-3935, CVE-2021-23214, CVE-2021-23222). */
	if (s->epoch == epoch && s->tls != before && used < len) {
		stream_break(s, -EPROTO);
		return len;
	}
	return used;
}

/* False: the stream was closed meanwhile. */
static bool offer_held(struct stream *s)
{
	bool secret = is_secret(s);
	struct buf held = s->held;
	uint32_t epoch = s->epoch;
	size_t used;

	clear(s, STREAM_FRESH | STREAM_OFFER);
	buf_init(&s->held, 0);
	used = offer(s, buf_data(&held), buf_len(&held));
	if (s->epoch != epoch || s->flags & STREAM_FINISHING) {
		drop(&held, secret);
		return s->epoch == epoch;
	}
	consume(&held, used, secret);
	s->held = held;
	return true;
}

void stream_break(struct stream *s, int error)
{
	clear(s, STREAM_FRESH | STREAM_CONGESTED);
	s->flags |= STREAM_ENDED | STREAM_FAILED;
	s->end_error = error;
	run_again(s);
}

/* Without memory for them the bytes are lost, and with them the connection. */
static void hold(struct stream *s, const uint8_t *data, size_t len)
{
	add(s, &s->held, data, len);
	s->flags |= STREAM_FRESH;
	if (buf_ok(&s->held))
		return;
	drop(&s->held, is_secret(s));
	stream_break(s, -ENOMEM);
}

/* Bytes as the owner is to see them. */
static void deliver(struct stream *s, const uint8_t *data, size_t len)
{
	uint32_t epoch = s->epoch;
	size_t used;

	if (s->flags & (STREAM_FINISHING | STREAM_ENDED))
		return;
	if (!(s->flags & STREAM_RESUMED) || stream_is_held(s)) {
		hold(s, data, len);
	} else if (buf_len(&s->held) > 0) {
		hold(s, data, len);
		if (s->flags & STREAM_FRESH && !offer_held(s))
			return;
	} else {
		used = offer(s, data, len);
		if (s->epoch != epoch || s->flags & STREAM_FINISHING)
			return;
		if (used < len)
			hold(s, data + used, len - used);
		clear(s, STREAM_FRESH);
	}
	stream_update_reading(s);
}

/* Where secrets begin or end with these bytes all of them are wiped. */
void stream_deliver(struct stream *s, const uint8_t *data, size_t len)
{
	bool was_secret = is_secret(s);

	deliver(s, data, len);
	if (was_secret || is_secret(s))
		explicit_bzero((void *)(uintptr_t)data, len);
}

void stream_set_secret(struct stream *s, bool secret)
{
	clear(s, STREAM_SECRET);
	if (secret)
		s->flags |= STREAM_SECRET;
	if (s->tls != NULL && s->handshake == NULL)
		tls_set_secret(s->tls, secret);
}

/* Bytes as the socket gave them. */
static void receive(struct io_conn *c, const uint8_t *data, size_t len)
{
	struct stream *s = stream_of(c);

	s->rx_bytes += len;
	if (s->tls == NULL)
		stream_deliver(s, data, len);
	else
		stream_tls_receive(s, data, len);
}

void stream_ended(struct stream *s, int error)
{
	/* What made sending fail says more than the end of file that follows. */
	if (s->flags & STREAM_ENDED)
		return;
	if (error != 0 || !(s->flags & STREAM_FAILED))
		s->end_error = error;
	s->flags |= STREAM_ENDED;
	clear(s, STREAM_READING);
	end_maybe(s);
}

static void on_conn_end(struct io_conn *c, int error)
{
	stream_ended(stream_of(c), error);
}

static void on_again(struct io_task *task)
{
	struct stream *s = container_of(task, struct stream, again);
	uint32_t epoch = s->epoch;

	/* stream_hold_changed() makes up for it. */
	if (stream_is_held(s))
		return;
	if (buf_len(&s->held) > 0 && s->flags & (STREAM_RESUMED | STREAM_OFFER) &&
		!offer_held(s))
		return;
	clear(s, STREAM_OFFER);
	stream_update_reading(s);
	if (s->flags & STREAM_DROPPED) {
		clear(s, STREAM_DROPPED);
		s->ops->on_drained(s);
		if (s->epoch != epoch)
			return;
	}
	end_maybe(s);
}

/* --- sending ---------------------------------------------------------------- */

/* Everything queued is lost.  Reading goes on to its end, which shutdown(2)
 * makes near: the peer's last words may say why. */
static void send_failed(struct stream *s, int error)
{
	bool was_congested = (s->flags & STREAM_CONGESTED) != 0;

	s->flags |= STREAM_FAILED;
	clear(s, STREAM_CONGESTED | STREAM_EMPTYING);
	drop_chunk(s);
	drop(&s->backlog, is_secret(s));
	(void)shutdown(s->conn.fd, SHUT_RDWR);
	if (s->flags & STREAM_ENDED) {
		/* The owner heard of the end before, and may wait to send on. */
		if (was_congested) {
			s->flags |= STREAM_DROPPED;
			run_again(s);
		}
		return;
	}
	s->end_error = error;
	end_unread(s);
}

static void fin_maybe(struct stream *s)
{
	if (!(s->flags & STREAM_FINISHING) || s->flags & STREAM_FIN_SENT ||
		stream_unsent(s) > 0)
		return;
	if (s->tls != NULL)
		stream_tls_end(s);
	if (buf_len(&s->backlog) > 0)
		return;
	s->flags |= STREAM_FIN_SENT;
	(void)shutdown(s->conn.fd, SHUT_WR);    /* fails if the peer is gone */
	if (s->flags & STREAM_ENDED)
		run_again(s);
}

static void add_backlog(struct stream *s, const uint8_t *data, size_t len)
{
	add(s, &s->backlog, data, len);
	if (!buf_ok(&s->backlog))
		send_failed(s, -ENOMEM);
	else if (buf_len(&s->backlog) > STREAM_BACKLOG_HIGH)
		s->flags |= STREAM_CONGESTED;
}

/* The kernel has taken n bytes of a and b: keeps the others. */
static void taken(struct stream *s, ssize_t n, const uint8_t *a, size_t a_len,
	const uint8_t *b, size_t b_len)
{
	size_t sent;

	if (n < 0) {
		send_failed(s, (int)n);
		return;
	}
	sent = (size_t)n;
	s->tx_bytes += sent;
	if (sent == a_len + b_len)
		return;
	if (sent < a_len)
		add_backlog(s, a + sent, a_len - sent);
	sent -= size_min(sent, a_len);
	if (sent < b_len && !(s->flags & STREAM_FAILED))
		add_backlog(s, b + sent, b_len - sent);
	if (!(s->flags & STREAM_FAILED))
		io_conn_tx_wait(&s->conn);
}

/* Bytes as the peer is to get them.  The backlog is empty.  Sends a, then b, and
 * keeps what the kernel does not take. */
static void transmit(struct stream *s, const uint8_t *a, size_t a_len, const uint8_t *b,
	size_t b_len)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)a, a_len },
		{ (void *)(uintptr_t)b, b_len } };
	ssize_t n = 0;

	assert(buf_len(&s->backlog) == 0);
	if (!(s->flags & STREAM_CONNECTING))
		n = a_len > 0 ? io_conn_send(&s->conn, iov, b_len > 0 ? 2 : 1) :
				io_conn_send(&s->conn, iov + 1, 1);
	taken(s, n, a, a_len, b, b_len);
}

void stream_transmit(struct stream *s, const uint8_t *data, size_t len)
{
	if (len == 0 || s->flags & STREAM_FAILED)
		return;
	if (buf_len(&s->backlog) > 0)
		add_backlog(s, data, len);
	else
		transmit(s, data, len, NULL, 0);
}

/* Sends what was collected, and data behind it. */
static void push(struct stream *s, const uint8_t *data, size_t len)
{
	uint8_t *chunk = s->chunk;
	size_t chunk_len = s->chunk_len;

	s->chunk = NULL;
	s->chunk_len = 0;
	if (chunk_len + len > 0 && s->tls != NULL)
		stream_tls_send(s, chunk, chunk_len, data, len);
	else if (chunk_len + len > 0)
		transmit(s, chunk, chunk_len, data, len);
	if (chunk != NULL)
		give_back(s, chunk, chunk_len);
	fin_maybe(s);
}

static bool collect(struct stream *s, const uint8_t *data, size_t len)
{
	if (s->chunk_len + len > STREAM_CHUNK)
		return false;
	if (s->chunk == NULL)
		s->chunk = chunk_take(s->pool);
	if (s->chunk == NULL)
		return false;
	memcpy(s->chunk + s->chunk_len, data, len);
	s->chunk_len += (uint32_t)len;
	io_defer(s->conn.io, &s->flush, IO_PHASE_FLUSH);
	return true;
}

void stream_send(struct stream *s, const void *data, size_t len)
{
	if (len == 0 || !stream_is_open(s) ||
		s->flags & (STREAM_FAILED | STREAM_FINISHING | STREAM_SHAKING))
		return;
	if (buf_len(&s->backlog) > 0 && s->tls == NULL)
		add_backlog(s, data, len);
	else if (!collect(s, data, len))
		push(s, data, len);
}

void stream_send_buf(struct stream *s, struct buf *b)
{
	stream_send(s, buf_data(b), buf_len(b));
	consume(b, buf_len(b), is_secret(s));
}

void stream_flush(struct stream *s)
{
	io_task_cancel(&s->flush);
	if (stream_is_open(s) && !(s->flags & STREAM_FAILED))
		push(s, NULL, 0);
}

/* What a stream has collected, and nothing else, can be sent together with others'. */
static void on_flush(struct io_task *task)
{
	struct stream *s = container_of(task, struct stream, flush);

	if (s->chunk_len > 0 && s->tls == NULL && buf_len(&s->backlog) == 0 &&
		(s->flags & (STREAM_FAILED | STREAM_CONNECTING)) == 0)
		io_conn_send_later(&s->conn, s->chunk, s->chunk_len);
	else
		stream_flush(s);
}

static void on_sent(struct io_conn *c, ssize_t n)
{
	struct stream *s = stream_of(c);
	uint8_t *chunk = s->chunk;
	size_t len = s->chunk_len;

	s->chunk = NULL;
	s->chunk_len = 0;
	taken(s, n, chunk, len, NULL, 0);
	give_back(s, chunk, len);
	fin_maybe(s);
}

static void send_backlog(struct stream *s)
{
	struct iovec iov = { buf_data(&s->backlog), buf_len(&s->backlog) };
	ssize_t n;

	if (iov.iov_len == 0 || s->flags & STREAM_FAILED)
		return;
	n = io_conn_send(&s->conn, &iov, 1);
	if (n < 0) {
		send_failed(s, (int)n);
		return;
	}
	s->tx_bytes += (uint64_t)n;
	consume(&s->backlog, (size_t)n, is_secret(s));
	if (buf_len(&s->backlog) > 0)
		io_conn_tx_wait(&s->conn);
	fin_maybe(s);
}

static void on_connected(struct stream *s)
{
	int error = sock_error(s->conn.fd);

	clear(s, STREAM_CONNECTING);
	if (error == 0) {
		send_backlog(s);
		fin_maybe(s);
		stream_update_reading(s);
	}
	s->ops->on_connected(s, error);
}

static void on_writable(struct io_conn *c)
{
	struct stream *s = stream_of(c);
	uint32_t epoch = s->epoch;

	if (s->flags & STREAM_CONNECTING) {
		on_connected(s);
		return;
	}
	send_backlog(s);
	if (s->flags & STREAM_CONGESTED && buf_len(&s->backlog) < STREAM_BACKLOG_LOW) {
		clear(s, STREAM_CONGESTED);
		s->ops->on_drained(s);
	}
	if (s->epoch == epoch && s->flags & STREAM_EMPTYING && buf_len(&s->backlog) == 0) {
		clear(s, STREAM_EMPTYING);
		s->ops->on_quiet(s);
	}
}

bool stream_has_failed(const struct stream *s)
{
	return s->flags & STREAM_FAILED;
}

bool stream_is_congested(const struct stream *s)
{
	return s->flags & STREAM_CONGESTED;
}

size_t stream_unsent(const struct stream *s)
{
	return s->chunk_len + buf_len(&s->backlog);
}

size_t stream_held(const struct stream *s)
{
	return buf_len(&s->held);
}

/* --- life ------------------------------------------------------------------- */

static void on_conn_quiet(struct io_conn *c)
{
	struct stream *s = stream_of(c);

	clear(s, STREAM_QUIESCING);
	if (s->flags & STREAM_FINISHING)
		stream_update_reading(s);
	s->ops->on_quiet(s);
}

static const struct io_conn_ops conn_ops = {
	.on_data = receive,
	.on_end = on_conn_end,
	.on_writable = on_writable,
	.on_quiet = on_conn_quiet,
	.on_sent = on_sent,
};

void stream_init(struct stream *s, const struct stream_ops *ops)
{
	*s = (struct stream){ .ops = ops, .held_max = STREAM_HELD_MAX };
	io_conn_init(&s->conn, &conn_ops);
	io_task_init(&s->flush, on_flush);
	io_task_init(&s->again, on_again);
	buf_init(&s->held, 0);
	buf_init(&s->backlog, 0);
}

int stream_attach(struct stream *s, struct io *io, struct stream_pool *pool, int fd)
{
	int ret = io_conn_attach(io, &s->conn, fd);

	if (ret < 0)
		return ret;
	s->pool = pool;
	s->flags = 0;
	s->end_error = 0;
	s->rx_bytes = 0;
	s->tx_bytes = 0;
	s->epoch++;
	stream_tls_attached(s);
	return 0;
}

void stream_connect_wait(struct stream *s)
{
	s->flags |= STREAM_CONNECTING;
	stream_update_reading(s);
	io_conn_tx_wait(&s->conn);
}

void stream_resume(struct stream *s)
{
	if (!stream_is_open(s) || s->flags & STREAM_FINISHING)
		return;
	s->flags |= STREAM_RESUMED;
	stream_update_reading(s);
	if (buf_len(&s->held) > 0 || s->flags & STREAM_ENDED)
		run_again(s);
}

void stream_pause(struct stream *s)
{
	if (!stream_is_open(s))
		return;
	clear(s, STREAM_RESUMED);
	stream_update_reading(s);
}

void stream_offer(struct stream *s)
{
	io_task_cancel(&s->again);
	s->flags |= STREAM_OFFER;
	on_again(&s->again);
}

void stream_retry(struct stream *s)
{
	if (!stream_is_open(s) || s->flags & STREAM_FINISHING)
		return;
	s->flags |= STREAM_OFFER;
	run_again(s);
}

void stream_finish(struct stream *s)
{
	if (!stream_is_open(s) || s->flags & STREAM_FINISHING)
		return;
	s->flags |= STREAM_FINISHING;
	clear(s, STREAM_TOLD | STREAM_FRESH | STREAM_CONGESTED | STREAM_EMPTYING);
	drop(&s->held, is_secret(s));
	if (s->handshake != NULL)
		stream_tls_stop(s);
	stream_update_reading(s);
	if (!(s->flags & STREAM_CONNECTING))
		io_defer(s->conn.io, &s->flush, IO_PHASE_FLUSH);
	run_again(s);
}

static void drop_queues(struct stream *s)
{
	io_task_cancel(&s->flush);
	io_task_cancel(&s->again);
	drop_chunk(s);
	drop(&s->held, is_secret(s));
	drop(&s->backlog, is_secret(s));
	s->flags = 0;
	s->epoch++;
}

void stream_close(struct stream *s)
{
	if (!stream_is_open(s))
		return;
	if (s->chunk_len > 0)
		stream_flush(s);
	if (s->tls != NULL && buf_len(&s->backlog) == 0)
		stream_tls_end(s);
	io_conn_close(&s->conn);
	stream_tls_forget(s);
	drop_queues(s);
}

void stream_drop(struct stream *s)
{
	assert(!stream_is_open(s));
	io_conn_forget(&s->conn);
	stream_tls_forget(s);
}

bool stream_quiesce(struct stream *s)
{
	stream_flush(s);
	if (buf_len(&s->backlog) > 0) {
		s->flags |= STREAM_EMPTYING;
		return false;
	}
	s->flags |= STREAM_QUIESCING;
	clear(s, STREAM_READING);
	if (!io_conn_quiesce(&s->conn))
		return false;
	clear(s, STREAM_QUIESCING);
	return true;
}

int stream_detach(struct stream *s)
{
	int fd;

	assert(stream_held(s) == 0 && stream_unsent(s) == 0 && s->handshake == NULL);
	fd = io_conn_detach(&s->conn);
	drop_queues(s);
	return fd;
}
