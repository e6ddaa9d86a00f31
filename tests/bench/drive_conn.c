/* SPDX-License-Identifier: ISC */
/*
 * One client's connection: connect, TLS, login, and the messages that come in.  Bodies
 * are skipped where nothing in them matters, so that a result may have any size.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "drive.h"

/* As often a second, about, a slow reader reads, unless that would be too much at once. */
enum { SLOW_READS = 100 };

static int epoll_fd;
static SSL_CTX *tls;
static uint8_t scratch[SCRATCH_SIZE];

void conn_init(int fd)
{
	epoll_fd = fd;
	tls = SSL_CTX_new(TLS_client_method());
	if (tls == NULL)
		drive_refuse("no TLS");
	SSL_CTX_set_mode(tls,
		SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			SSL_MODE_RELEASE_BUFFERS);
	/* Every login of the measured side is to be a whole one. */
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void wait_for(struct client *c, short events)
{
	struct pollfd p = { .fd = c->fd, .events = events };
	int ready;

	/* The signal that the window begins may come meanwhile. */
	do
		ready = poll(&p, 1, 60000);
	while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		drive_refuse("the other side takes nothing for a minute");
}

/* All of it: only bulk data ever waits here, and then there is nothing else to do. */
void conn_send(struct client *c, const void *data, size_t size)
{
	const uint8_t *at = data;

	while (size > 0) {
		size_t done = 0;
		ssize_t sent;

		if (c->ssl != NULL) {
			if (SSL_write_ex(c->ssl, at, size, &done) != 1)
				wait_for(c, POLLOUT);
		} else {
			sent = send(c->fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
			if (sent < 0 && errno != EAGAIN)
				drive_fail("send");
			if (sent < 0)
				wait_for(c, POLLOUT);
			done = sent > 0 ? (size_t)sent : 0;
		}
		at += done;
		size -= done;
	}
}

static void connect_unix(struct client *c)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int size = snprintf(to.sun_path, sizeof(to.sun_path), "%s/.s.PGSQL.%d",
		c->group->host, c->group->port);

	if (size < 0 || (size_t)size >= sizeof(to.sun_path))
		drive_refuse("a directory whose name is too long");
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		drive_fail("connect");
}

static void connect_tcp(struct client *c)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons(c->group->port) };
	int one = 1;

	if (inet_pton(AF_INET, c->group->host, &to.sin_addr) != 1)
		drive_refuse("a host is an IPv4 address or a directory");
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* On loopback it is there at once, or never. */
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		drive_fail("connect");
	if (setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		drive_fail("setsockopt");
}

void conn_open(struct client *c)
{
	static const uint8_t request[] = { 0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f };
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };

	if (c->group->host[0] == '/')
		connect_unix(c);
	else
		connect_tcp(c);
	c->head_used = 0;
	c->left = 0;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
		drive_fail("epoll_ctl");
	if (c->group->is_tls) {
		c->state = CLIENT_TLS_REPLY;
		conn_send(c, request, sizeof(request));
	} else {
		c->state = CLIENT_LOGIN;
		messages_startup(c);
	}
}

void conn_close(struct client *c)
{
	static const uint8_t terminate[] = { 'X', 0, 0, 0, 4 };

	conn_send(c, terminate, sizeof(terminate));
	if (c->ssl != NULL) {
		SSL_shutdown(c->ssl);
		SSL_free(c->ssl);
		c->ssl = NULL;
	}
	close(c->fd);
	c->reads_at_ns = 0;
	c->state = CLIENT_AWAY;
}

static void handshake(struct client *c)
{
	int ret = SSL_do_handshake(c->ssl);

	if (ret == 1) {
		c->state = CLIENT_LOGIN;
		messages_startup(c);
	} else if (SSL_get_error(c->ssl, ret) != SSL_ERROR_WANT_READ) {
		ERR_print_errors_fp(stderr);
		drive_refuse("a handshake failed");
	}
}

static void begin_tls(struct client *c)
{
	uint8_t answer = 0;

	if (recv(c->fd, &answer, 1, 0) != 1 || answer != 'S')
		drive_refuse("the other side does not want TLS");
	c->ssl = SSL_new(tls);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
		drive_refuse("no TLS connection");
	SSL_set_connect_state(c->ssl);
	c->state = CLIENT_HANDSHAKE;
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0)
		drive_fail("fcntl");
	handshake(c);
}

/* --- messages --------------------------------------------------------------------- */

static bool matters(uint8_t type)
{
	return type == 'R' || type == 'E' || type == 'Z' || type == 'G';
}

static void told_error(const uint8_t *body, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		fputc(body[i] != 0 ? body[i] : ' ', stderr);
	drive_refuse(": told by the other side");
}

static void on_authentication(struct client *c)
{
	uint32_t code = c->body_used >= 4 ? get32(c->body) : 99;

	if (code != 0 && code < 10)
		drive_refuse("only trust and SCRAM are known here");
	if (code != 0)
		scram_on_request(c, code, c->body + 4, c->body_used - 4);
}

static void on_message(struct client *c)
{
	switch (c->head[0]) {
	case 'E':
		told_error(c->body, c->body_used);
		break;
	case 'R':
		on_authentication(c);
		break;
	case 'G':
		messages_copy(c);
		break;
	case 'Z':
		drive_on_ready(c);
		break;
	default:
		break;
	}
}

static size_t take_head(struct client *c, const uint8_t *data, size_t size)
{
	size_t part = sizeof(c->head) - c->head_used;

	if (part > size)
		part = size;
	memcpy(c->head + c->head_used, data, part);
	c->head_used += (uint32_t)part;
	if (c->head_used < sizeof(c->head))
		return part;
	c->left = get32(c->head + 1);
	if (c->left < 4 || (matters(c->head[0]) && c->left - 4 > BODY_MAX))
		drive_refuse("a message of a wrong length");
	c->left -= 4;
	c->body_used = 0;
	return part;
}

static void take(struct client *c, const uint8_t *data, size_t size)
{
	/* Bodies are whole nearly always: only what is cut is kept with the client. */
	while (size > 0) {
		size_t part = 0;

		if (c->head_used < sizeof(c->head)) {
			part = take_head(c, data, size);
			data += part;
			size -= part;
		}
		if (c->head_used < sizeof(c->head))
			return;
		part = c->left < size ? c->left : size;
		if (matters(c->head[0])) {
			if (c->body == NULL)
				c->body = malloc(BODY_MAX);
			if (c->body == NULL)
				drive_fail("malloc");
			memcpy(c->body + c->body_used, data, part);
			c->body_used += (uint32_t)part;
		}
		c->left -= (uint32_t)part;
		data += part;
		size -= part;
		if (c->left > 0)
			return;
		c->head_used = 0;
		on_message(c);
	}
}

static void check_end(struct client *c, bool is_end)
{
	if (is_end)
		drive_refuse("the other side has closed a connection");
	if (errno != EAGAIN && c->ssl == NULL)
		drive_fail("recv");
}

static void listen_to(struct client *c, uint32_t events)
{
	struct epoll_event event = { .events = events, .data = { .ptr = c } };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event) != 0)
		drive_fail("epoll_ctl");
}

/* Who was late, for want of data or of processors, makes up for it, within a tenth of a
 * second. */
static void pause_reading(struct client *c, int64_t ns)
{
	int64_t now = drive_now_ns();

	if (c->read_until_ns < now - NS_PER_S / 10)
		c->read_until_ns = now - NS_PER_S / 10;
	c->read_until_ns += ns;
	if (c->read_until_ns > now) {
		c->reads_at_ns = c->read_until_ns;
		listen_to(c, 0);
	}
}

static void read_plain(struct client *c)
{
	double rate = c->group->read_rate;
	size_t room = sizeof(scratch);
	ssize_t got;

	if (rate > 0 && rate / SLOW_READS < (double)room)
		room = (size_t)(rate / SLOW_READS) + 1;
	got = recv(c->fd, scratch, room, MSG_DONTWAIT);
	if (got <= 0) {
		check_end(c, got == 0);
		return;
	}
	if (rate > 0 && c->state == CLIENT_BUSY)
		pause_reading(c, (int64_t)((double)got * 1e9 / rate));
	c->group->bytes += (uint64_t)got;
	take(c, scratch, (size_t)got);
}

int64_t conn_read_slowly(struct group *g, int64_t now, int64_t end)
{
	for (uint32_t i = 0; i < g->count; i++) {
		struct client *c = &g->clients[i];

		if (c->reads_at_ns == 0)
			continue;
		if (c->reads_at_ns <= now) {
			c->reads_at_ns = 0;
			listen_to(c, EPOLLIN);
		} else if (c->reads_at_ns < end) {
			end = c->reads_at_ns;
		}
	}
	return end;
}

static void read_tls(struct client *c)
{
	size_t got;

	while (c->ssl != NULL &&
		SSL_read_ex(c->ssl, scratch, sizeof(scratch), &got) == 1) {
		c->group->bytes += got;
		take(c, scratch, got);
		/* One answer is one record, mostly: another read would be one too many.
		 */
		if (c->ssl == NULL ||
			(SSL_pending(c->ssl) == 0 && got < SCRATCH_SIZE / 2))
			return;
	}
	if (c->ssl != NULL && SSL_get_error(c->ssl, 0) != SSL_ERROR_WANT_READ)
		drive_refuse("the other side has closed a connection, or TLS failed");
}

void conn_on_event(struct client *c)
{
	switch (c->state) {
	case CLIENT_AWAY:
		break;
	case CLIENT_TLS_REPLY:
		begin_tls(c);
		break;
	case CLIENT_HANDSHAKE:
		handshake(c);
		break;
	case CLIENT_LOGIN:
	case CLIENT_PREPARE:
	case CLIENT_READY:
	case CLIENT_BUSY:
		if (c->ssl != NULL)
			read_tls(c);
		else
			read_plain(c);
		break;
	}
}
