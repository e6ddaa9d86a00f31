/* SPDX-License-Identifier: ISC */
/* A relay of two streams between two raw peers, with more bytes than any buffer
 * takes, both ways at once, and each source paused while its sink is congested. */
#include "net/stream.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rand.h"
#include "net/loops.h"
#include "net/suites.h"

enum { TOTAL = 10 * 1000 * 1000 };

struct side {
	struct stream stream;
	struct side *other;
	uint64_t most_unsent;
	bool ended;
};

static size_t on_data(struct stream *s, const uint8_t *data, size_t len)
{
	struct side *side = container_of(s, struct side, stream);
	struct side *to = side->other;

	stream_send(&to->stream, data, len);
	if (stream_unsent(&to->stream) > to->most_unsent)
		to->most_unsent = stream_unsent(&to->stream);
	if (stream_is_congested(&to->stream))
		stream_pause(s);
	return len;
}

static void on_end(struct stream *s, int error)
{
	struct side *side = container_of(s, struct side, stream);

	ck_assert_int_eq(error, 0);
	side->ended = true;
}

static void on_drained(struct stream *s)
{
	stream_resume(&container_of(s, struct side, stream)->other->stream);
}

static const struct stream_ops ops = {
	.on_data = on_data,
	.on_end = on_end,
	.on_drained = on_drained,
};

/* A raw peer: writes the pattern of its seed and checks that of the other. */
struct peer {
	int fd;
	uint64_t sent;
	uint64_t received;
	uint8_t seed;
	uint8_t expects;
};

static uint8_t pattern(uint8_t seed, uint64_t at)
{
	return (uint8_t)(at * 31 + at / 251 + seed);
}

static void peer_write(struct peer *p, size_t len)
{
	static uint8_t bytes[200000];
	ssize_t n;

	if (len > TOTAL - p->sent)
		len = TOTAL - p->sent;
	if (len == 0)
		return;
	for (size_t i = 0; i < len; i++)
		bytes[i] = pattern(p->seed, p->sent + i);
	n = send(p->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		p->sent += (uint64_t)n;
	else
		ck_assert_int_eq(errno, EAGAIN);
}

static void peer_read(struct peer *p, size_t len)
{
	static uint8_t bytes[200000];
	ssize_t n = recv(p->fd, bytes, len, MSG_DONTWAIT);
	size_t wrong = 0;

	if (n < 0) {
		ck_assert_int_eq(errno, EAGAIN);
		return;
	}
	for (ssize_t i = 0; i < n; i++)
		wrong += bytes[i] != pattern(p->expects, p->received + (size_t)i);
	ck_assert_uint_eq(wrong, 0);
	p->received += (uint64_t)n;
}

static void side_open(struct side *side, struct side *other, struct io *io,
	struct stream_pool *pool, int fd, bool multishot)
{
	int small = 4096;

	*side = (struct side){ .other = other };
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	stream_init(&side->stream, &ops);
	io_conn_rx_multishot(&side->stream.conn, multishot);
	ck_assert_int_eq(stream_attach(&side->stream, io, pool, fd), 0);
	stream_resume(&side->stream);
}

START_TEST(relays_much_both_ways)
{
	struct io *io = loops_create(_i % LOOPS_COUNT);
	bool tcp = _i / LOOPS_COUNT > 0;
	struct stream_pool *pool;
	struct peer a = { .seed = 1, .expects = 99 }, b = { .seed = 99, .expects = 1 };
	struct side left, right;
	struct rand_small random;
	int fds[2];

	if (io == NULL)
		return;
	rand_small_init(&random, 4711);
	pool = stream_pool_create();
	(tcp ? loops_tcp_pair : loops_pair)(fds);
	a.fd = fds[1];
	side_open(&left, &right, io, pool, fds[0], true);
	(tcp ? loops_tcp_pair : loops_pair)(fds);
	b.fd = fds[1];
	side_open(&right, &left, io, pool, fds[0], false);
	while (a.received < TOTAL || b.received < TOTAL) {
		peer_write(&a, 1 + rand_small_below(&random, 100000));
		peer_write(&b, 1 + rand_small_below(&random, 100000));
		ck_assert_int_eq(io_turn(io, 0), 0);
		if (rand_small_below(&random, 8) != 0)
			peer_read(&a, 1 + rand_small_below(&random, 150000));
		if (rand_small_below(&random, 3) != 0)
			peer_read(&b, 1 + rand_small_below(&random, 150000));
	}
	close(a.fd);
	close(b.fd);
	LOOPS_UNTIL(io, left.ended && right.ended);
	/* One reading beyond the mark, and what was on its way. */
	ck_assert_uint_le(left.most_unsent, STREAM_BACKLOG_HIGH + 512 * 1024);
	ck_assert_uint_le(right.most_unsent, STREAM_BACKLOG_HIGH + 512 * 1024);
	ck_assert_uint_eq(left.stream.rx_bytes, TOTAL);
	ck_assert_uint_eq(left.stream.tx_bytes, TOTAL);
	stream_close(&left.stream);
	stream_close(&right.stream);
	stream_pool_destroy(&pool);
	io_destroy(&io);
}
END_TEST

Suite *stream_bulk_suite(void)
{
	Suite *s = suite_create("net/stream, bulk");
	TCase *tc = tcase_create("relay");

	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, relays_much_both_ways, 0, 2 * LOOPS_COUNT);
	suite_add_tcase(s, tc);
	return s;
}
