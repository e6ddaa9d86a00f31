/* SPDX-License-Identifier: ISC */
/*
 * A load generator for the benchmarks: groups of clients, each of which sends its
 * next query when the last one is answered; in one thread, with epoll.
 *
 *   load SECONDS WARMUP GROUP [-- GROUP]...
 *   load --arrivals ROUNDS INTERVAL_MS GROUP [-- GROUP]... -- GROUP
 *
 *   GROUP: PORT USER DATABASE CLIENTS SQL [SQL...]     one of them, by lot
 *
 * With --arrivals the last group comes in rounds: all its clients log in, then all
 * send one query in the same moment; when all have their answer they leave.
 *
 * Every answer, and every login from connect() on, is written to stdout as a struct
 * sample (tests/bench/measure.py reads them).  The end of an answer is the time at which
 * the kernel received it, not the one at which this program got around to reading: it
 * must not be its own noise.  An answer's first column, if it is a number, is taken for a
 * time of PostgreSQL's.
 *
 * The peer must let clients in without a password.  Any error ends the program.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	GROUPS_MAX = 8,
	TEXTS_MAX = 64,
	BUFFER_SIZE = 4096,
	EVENTS_MAX = 512,
	LOGINS_MAX = 30, /* at a time: below everybody's backlog */
	PATIENCE_S = 60
};

#define NS_PER_S  INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

struct sample {
	int32_t group;
	int32_t client;
	int64_t sent_ns; /* since the epoch, as the others */
	int64_t received_ns;
	int64_t read_ns;  /* when this program saw it */
	int64_t stamp_ns; /* what PostgreSQL said; 0: nothing */
};

enum state { CLIENT_AWAY, CLIENT_LOGIN, CLIENT_READY, CLIENT_BUSY };

struct group {
	int32_t index;
	uint16_t port;
	const char *user;
	const char *database;
	uint32_t count;
	char *texts[TEXTS_MAX]; /* whole Query messages */
	size_t lengths[TEXTS_MAX];
	uint32_t text_count;
	struct client *clients;
	uint32_t ready;
	uint32_t answered;
};

struct client {
	struct group *group;
	int32_t index;
	enum state state;
	int fd;
	uint64_t dice;
	struct sample now;
	size_t used;
	uint8_t buffer[BUFFER_SIZE];
};

static struct group groups[GROUPS_MAX];
static uint32_t group_count;
static struct sample *samples;
static size_t sample_count, sample_room;
static int epoll_fd;
static int64_t keep_from_ns = INT64_MAX;
static bool is_stopping;
static uint32_t logins;

static void fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static void refuse(const char *what)
{
	fprintf(stderr, "load: %s\n", what);
	exit(EXIT_FAILURE);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* --- messages ------------------------------------------------------------------------
 */

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(char *p, size_t value)
{
	uint32_t word = htonl((uint32_t)value);

	memcpy(p, &word, sizeof(word));
}

static char *make_query(const char *sql, size_t *length)
{
	size_t size = strlen(sql) + 1;
	char *message = malloc(size + 5);

	if (message == NULL)
		fail("malloc");
	message[0] = 'Q';
	put32(message + 1, size + 4);
	memcpy(message + 5, sql, size);
	*length = size + 5;
	return message;
}

static void send_all(const struct client *c, const char *data, size_t size)
{
	/* A few bytes to a peer that reads: they always fit. */
	if (send(c->fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
		fail("send");
}

static void send_startup(const struct client *c)
{
	char message[512];
	int size = snprintf(message + 8, sizeof(message) - 8, "user%c%s%cdatabase%c%s%c",
		0, c->group->user, 0, 0, c->group->database, 0);

	if (size < 0 || (size_t)size >= sizeof(message) - 9)
		refuse("names too long");
	message[8 + size] = '\0';
	put32(message, (size_t)size + 9);
	put32(message + 4, 196608);
	send_all(c, message, (size_t)size + 9);
}

/* --- clients ---------------------------------------------------------------------------
 */

static void keep(const struct sample *s)
{
	if (s->sent_ns < keep_from_ns || is_stopping)
		return;
	if (sample_count == sample_room) {
		sample_room = sample_room * 2 + 65536;
		samples = realloc(samples, sample_room * sizeof(*samples));
		if (samples == NULL)
			fail("realloc");
	}
	samples[sample_count++] = *s;
}

static void ask(struct client *c)
{
	const struct group *g = c->group;
	uint32_t which;

	c->dice ^= c->dice << 13;
	c->dice ^= c->dice >> 7;
	c->dice ^= c->dice << 17;
	which = (uint32_t)(c->dice >> 16) % g->text_count;
	c->state = CLIENT_BUSY;
	c->now = (struct sample){ .group = g->index, .client = c->index };
	c->now.sent_ns = now_ns();
	send_all(c, g->texts[which], g->lengths[which]);
}

static void come(struct client *c)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons(c->group->port) };
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
	int one = 1;

	c->now = (struct sample){ .group = c->group->index, .client = c->index };
	c->now.sent_ns = now_ns();
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		fail("socket");
	/* On loopback it is there at once, or never. */
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("connect");
	if (setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
		setsockopt(c->fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) < 0)
		fail("setsockopt");
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
		fail("epoll_ctl");
	c->state = CLIENT_LOGIN;
	c->used = 0;
	logins++;
	send_startup(c);
}

static void leave(struct client *c)
{
	static const char terminate[] = { 'X', 0, 0, 0, 4 };

	send_all(c, terminate, sizeof(terminate));
	close(c->fd);
	c->state = CLIENT_AWAY;
}

static int64_t stamp_of(const uint8_t *body, size_t size)
{
	char text[64];
	uint32_t length;

	if (size < 6)
		return 0;
	length = get32(body + 2);
	if (length >= sizeof(text) || length > size - 6)
		return 0;
	memcpy(text, body + 6, length);
	text[length] = '\0';
	return (int64_t)(strtod(text, NULL) * 1e9);
}

static void on_ready(struct client *c)
{
	if (c->state == CLIENT_LOGIN) {
		logins--;
		c->group->ready++;
		c->now.stamp_ns = -1;
	} else {
		c->group->answered++;
	}
	keep(&c->now);
	c->state = CLIENT_READY;
}

static void on_message(struct client *c, const uint8_t *body, size_t size, uint8_t type)
{
	switch (type) {
	case 'E':
		for (size_t i = 0; i < size; i++)
			fputc(body[i] != 0 ? body[i] : ' ', stderr);
		refuse(": told by the other side");
		break;
	case 'R':
		if (size != 4 || get32(body) != 0)
			refuse("the other side wants a password");
		break;
	case 'D':
		c->now.stamp_ns = stamp_of(body, size);
		break;
	case 'Z':
		on_ready(c);
		break;
	default:
		break;
	}
}

/* When the kernel received what was read; the time now where it does not say. */
static int64_t receive(struct client *c, int64_t now)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct timespec))];
		struct cmsghdr align;
	} control;
	struct iovec part = { c->buffer + c->used, BUFFER_SIZE - c->used };
	struct msghdr m = { .msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(c->fd, &m, 0);
	struct timespec when;

	if (got < 0)
		fail("recvmsg");
	if (got == 0)
		refuse("the other side has closed a connection");
	c->used += (size_t)got;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h != NULL; h = CMSG_NXTHDR(&m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&when, CMSG_DATA(h), sizeof(when));
		return when.tv_sec * NS_PER_S + when.tv_nsec;
	}
	return now;
}

static void on_readable(struct client *c, int64_t now)
{
	size_t at = 0;

	c->now.received_ns = receive(c, now);
	c->now.read_ns = now_ns();
	while (c->used - at >= 5) {
		size_t size = (size_t)get32(c->buffer + at + 1) + 1;

		if (size < 5 || size > BUFFER_SIZE)
			refuse("a message that does not fit");
		if (c->used - at < size)
			break;
		on_message(c, c->buffer + at + 5, size - 5, c->buffer[at]);
		at += size;
	}
	memmove(c->buffer, c->buffer + at, c->used - at);
	c->used -= at;
}

/* One turn of the loop; clients of the first "closed" groups go on by themselves. */
static void turn(int timeout_ms, uint32_t closed)
{
	static struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(epoll_fd, events, EVENTS_MAX, timeout_ms);
	int64_t now = now_ns();

	if (count < 0 && errno != EINTR)
		fail("epoll_wait");
	for (int i = 0; i < count; i++) {
		struct client *c = events[i].data.ptr;

		on_readable(c, now);
		if (c->state == CLIENT_READY && !is_stopping &&
			(uint32_t)c->group->index < closed)
			ask(c);
	}
}

static void turn_until(const uint32_t *counter, uint32_t wanted, uint32_t closed)
{
	int64_t deadline = now_ns() + PATIENCE_S * NS_PER_S;

	while (*counter < wanted) {
		turn(100, closed);
		if (now_ns() > deadline)
			refuse("no answer for a minute");
	}
}

static void turn_for(int64_t ns, uint32_t closed)
{
	int64_t end = now_ns() + ns;

	for (int64_t left = ns; left > 0; left = end - now_ns())
		turn((int)(left / NS_PER_MS) + 1, closed);
}

/* --- what happens
 * ------------------------------------------------------------------------ */

static void come_all(struct group *g, uint32_t closed)
{
	g->ready = 0;
	for (uint32_t i = 0; i < g->count; i++) {
		come(&g->clients[i]);
		while (logins >= LOGINS_MAX)
			turn(100, closed);
	}
	turn_until(&g->ready, g->count, closed);
}

static void one_round(struct group *g, uint32_t closed)
{
	come_all(g, closed);
	g->answered = 0;
	for (uint32_t i = 0; i < g->count; i++)
		ask(&g->clients[i]);
	turn_until(&g->answered, g->count, closed);
	for (uint32_t i = 0; i < g->count; i++)
		leave(&g->clients[i]);
}

static void start(uint32_t closed)
{
	for (uint32_t i = 0; i < closed; i++)
		come_all(&groups[i], 0);
	for (uint32_t i = 0; i < closed; i++)
		for (uint32_t j = 0; j < groups[i].count; j++)
			ask(&groups[i].clients[j]);
}

static int write_samples(void)
{
	if (fwrite(samples, sizeof(*samples), sample_count, stdout) != sample_count ||
		fflush(stdout) != 0)
		fail("write");
	return EXIT_SUCCESS;
}

static int run_closed(double seconds, double warmup)
{
	start(group_count);
	turn_for((int64_t)(warmup * 1e9), group_count);
	keep_from_ns = now_ns();
	turn_for((int64_t)(seconds * 1e9), group_count);
	is_stopping = true;
	return write_samples();
}

static int run_arrivals(uint32_t rounds, int64_t interval_ms)
{
	uint32_t closed = group_count - 1;

	start(closed);
	turn_for(interval_ms * NS_PER_MS, closed);
	keep_from_ns = now_ns();
	for (uint32_t i = 0; i < rounds; i++) {
		turn_for(interval_ms * NS_PER_MS, closed);
		one_round(&groups[closed], closed);
	}
	/* What was under way meanwhile is to be seen too. */
	turn_for(interval_ms * NS_PER_MS, closed);
	is_stopping = true;
	return write_samples();
}

/* --- arguments
 * --------------------------------------------------------------------------- */

static unsigned long number(const char *text, unsigned long max)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value > max)
		refuse("a number is wrong");
	return value;
}

static int read_group(char **args, int count)
{
	struct group *g = &groups[group_count];
	int used = 4;

	if (count < 5 || group_count == GROUPS_MAX)
		refuse("a group is PORT USER DATABASE CLIENTS SQL [SQL...]");
	g->index = (int32_t)group_count++;
	g->port = (uint16_t)number(args[0], UINT16_MAX);
	g->user = args[1];
	g->database = args[2];
	g->count = (uint32_t)number(args[3], 100000);
	for (; used < count && strcmp(args[used], "--") != 0; used++) {
		if (g->text_count == TEXTS_MAX)
			refuse("too many texts");
		g->texts[g->text_count] =
			make_query(args[used], &g->lengths[g->text_count]);
		g->text_count++;
	}
	g->clients = calloc(g->count, sizeof(*g->clients));
	if (g->clients == NULL || g->text_count == 0)
		refuse("a group without clients or SQL");
	for (uint32_t i = 0; i < g->count; i++) {
		g->clients[i].group = g;
		g->clients[i].index = (int32_t)i;
		g->clients[i].dice = (i + 1) * UINT64_C(0x9e3779b97f4a7c15) + group_count;
	}
	return used;
}

int main(int argc, char **argv)
{
	bool is_rounds = argc > 1 && strcmp(argv[1], "--arrivals") == 0;
	int at = is_rounds ? 4 : 3;

	if (argc < at + 5)
		refuse("usage: load [--arrivals] NUMBER NUMBER GROUP [-- GROUP]...");
	while (at < argc) {
		at += read_group(argv + at, argc - at);
		at += at < argc ? 1 : 0;
	}
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		fail("epoll_create1");
	if (is_rounds)
		return run_arrivals((uint32_t)number(argv[2], 100000),
			(int64_t)number(argv[3], 60000));
	return run_closed(strtod(argv[1], NULL), strtod(argv[2], NULL));
}
