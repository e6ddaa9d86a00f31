/* SPDX-License-Identifier: ISC */
/*
 * A PostgreSQL that answers at once, so that what stands before it is what limits: one
 * thread, epoll; lets everybody in, and has one row with one column for every question.
 *
 *   fakepg PORT        127.0.0.1; "listening" on stdout when it does; ends with SIGTERM
 *
 * Transactions are begun and ended by BEGIN, COMMIT and ROLLBACK at the beginning of a
 * Query, so that ReadyForQuery says what PostgreSQL would say.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IN_SIZE = 16 * 1024, OUT_SIZE = 256 * 1024, EVENTS_MAX = 512 };

enum {
	CODE_PROTOCOL_3 = 196608,
	CODE_CANCEL = 80877102,
	CODE_TLS = 80877103,
	CODE_GSS = 80877104
};

struct session {
	int fd;
	bool is_started;
	char status; /* as in ReadyForQuery */
	size_t used;
	uint8_t in[IN_SIZE];
};

static uint8_t out[OUT_SIZE];
static size_t out_size;
static int epoll_fd;

static void fail(const char *what)
{
	fprintf(stderr, "fakepg: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* What is sent: a message's length counts itself, not its type. */
static void put(char type, const void *body, size_t size)
{
	uint32_t length = htonl((uint32_t)size + 4);

	if (size + 5 > sizeof(out) - out_size)
		fail("too many questions at once");
	out[out_size] = (uint8_t)type;
	memcpy(out + out_size + 1, &length, 4);
	if (size > 0)
		memcpy(out + out_size + 5, body, size);
	out_size += size + 5;
}

static void put_parameter(const char *name, const char *value)
{
	char text[128];
	int size = snprintf(text, sizeof(text), "%s%c%s", name, 0, value);

	put('S', text, (size_t)size + 1);
}

static void put_ready(const struct session *s)
{
	put('Z', &s->status, 1);
}

static void put_columns(void)
{
	/* One: "?column?", of no table, int4. */
	static const uint8_t body[] =
		"\0\1?column?\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0";

	put('T', body, sizeof(body));
}

static void put_row(void)
{
	put('D',
		"\0\1\0\0\0\1"
		"1",
		7);
	put('C', "SELECT 1", 9);
}

static void welcome(struct session *s)
{
	static const char *const parameters[][2] = {
		{ "server_version", "15.0" },
		{ "server_encoding", "UTF8" },
		{ "client_encoding", "UTF8" },
		{ "DateStyle", "ISO, MDY" },
		{ "TimeZone", "UTC" },
		{ "IntervalStyle", "postgres" },
		{ "integer_datetimes", "on" },
		{ "standard_conforming_strings", "on" },
		{ "is_superuser", "off" },
		{ "session_authorization", "bench" },
		{ "application_name", "" },
		{ "in_hot_standby", "off" },
		{ "default_transaction_read_only", "off" },
	};

	put('R', "\0\0\0\0", 4);
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
		put_parameter(parameters[i][0], parameters[i][1]);
	put('K', "\0\0\x12\x34\0\0\x56\x78", 8);
	s->status = 'I';
	s->is_started = true;
	put_ready(s);
}

static bool begins(const char *text, const char *word)
{
	return strncasecmp(text, word, strlen(word)) == 0;
}

static void answer_query(struct session *s, const char *text)
{
	if (begins(text, "BEGIN")) {
		s->status = 'T';
		put('C', "BEGIN", 6);
	} else if (begins(text, "COMMIT") || begins(text, "ROLLBACK")) {
		s->status = 'I';
		put('C', "COMMIT", 7);
	} else if (begins(text, "SELECT")) {
		put_columns();
		put_row();
	} else {
		put('C', "SET", 4);
	}
	put_ready(s);
}

/* false: the session is over. */
static bool answer(struct session *s, uint8_t type, const uint8_t *body)
{
	switch (type) {
	case 'Q':
		answer_query(s, (const char *)body);
		break;
	case 'P':
		put('1', NULL, 0);
		break;
	case 'B':
		put('2', NULL, 0);
		break;
	case 'D':
		if (body[0] == 'S')
			put('t', "\0\0", 2);
		put_columns();
		break;
	case 'E':
		put_row();
		break;
	case 'C':
		put('3', NULL, 0);
		break;
	case 'S':
		put_ready(s);
		break;
	case 'X':
		return false;
	default:
		break;
	}
	return true;
}

static bool start(struct session *s, const uint8_t *packet)
{
	uint32_t code = get32(packet + 4);

	if (code == CODE_TLS || code == CODE_GSS)
		out[out_size++] = 'N';
	else if (code == CODE_CANCEL)
		return false;
	else
		welcome(s);
	return true;
}

/* All messages that are there; what is cut stays for later. */
static bool work(struct session *s)
{
	size_t at = 0;

	while (true) {
		size_t head = s->is_started ? 5 : 8, left = s->used - at, size;
		bool goes_on;

		if (left < head)
			break;
		size = get32(s->in + at + (s->is_started ? 1 : 0)) +
			(s->is_started ? 1U : 0U);
		if (size < head || size > IN_SIZE)
			return false;
		if (left < size)
			break;
		goes_on = s->is_started ? answer(s, s->in[at], s->in + at + 5)
					: start(s, s->in + at);
		if (!goes_on)
			return false;
		at += size;
	}
	memmove(s->in, s->in + at, s->used - at);
	s->used -= at;
	return true;
}

static bool serve(struct session *s)
{
	ssize_t got = recv(s->fd, s->in + s->used, IN_SIZE - s->used, 0);
	bool goes_on;

	if (got <= 0)
		return false;
	s->used += (size_t)got;
	out_size = 0;
	goes_on = work(s);
	/* Answers are small, and whoever asks reads them: they fit. */
	if (out_size > 0 && send(s->fd, out, out_size, MSG_NOSIGNAL) != (ssize_t)out_size)
		return false;
	return goes_on;
}

static void welcome_one(int listener)
{
	struct session *s = calloc(1, sizeof(*s));
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = s };
	int one = 1;

	if (s == NULL)
		fail("calloc");
	s->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (s->fd < 0) {
		free(s);
		return;
	}
	if (setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &event) < 0)
		fail("a new connection");
}

static int listen_on(const char *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(port)) };
	struct epoll_event event = { .events = EPOLLIN };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
		bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
		listen(fd, 1024) < 0 ||
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		fail("listen");
	return fd;
}

int main(int argc, char **argv)
{
	static struct epoll_event events[EVENTS_MAX];
	int listener;

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (argc != 2 || epoll_fd < 0)
		fail("usage: fakepg PORT");
	listener = listen_on(argv[1]);
	puts("listening");
	fflush(stdout);
	while (true) {
		int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

		for (int i = 0; i < count; i++) {
			struct session *s = events[i].data.ptr;

			if (s == NULL) {
				welcome_one(listener);
			} else if (!serve(s)) {
				close(s->fd);
				free(s);
			}
		}
	}
}
