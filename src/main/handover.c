/* SPDX-License-Identifier: ISC */
#include "main/handover.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/slog.h"
#include "main/handover_priv.h"
#include "main/program.h"
#include "pg/startup.h"
#include "session/cancel.h"

enum { RECEIVE_MS = 10000, AT_THE_DOOR_MAX = 65536 };

/* --- messages ------------------------------------------------------------------------- */

int handover_send(int fd, const char *text, size_t len, const int *fds, size_t count)
{
	char control[CMSG_SPACE(sizeof(int) * HANDOVER_FDS_MAX)] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)text, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (count > 0) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
	}
	do
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static void take_fds(struct msghdr *msg, struct handover_message *m)
{
	m->fd_count = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = size_min(count, HANDOVER_FDS_MAX);
		memcpy(m->fds, CMSG_DATA(c), count * sizeof(int));
		m->fd_count = count;
	}
}

static void close_fds(struct handover_message *m, size_t from)
{
	for (size_t i = from; i < m->fd_count; i++)
		close(m->fds[i]);
	m->fd_count = 0;
}

int handover_read(int fd, struct handover_message *m)
{
	char control[CMSG_SPACE(sizeof(int) * HANDOVER_FDS_MAX)];
	struct iovec iov = { m->text, sizeof(m->text) - 1 };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control) };
	ssize_t n;

	/* Told once, where the other one has not read all: what it has said is still there. */
	do
		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	m->fd_count = 0;
	m->len = n > 0 ? (size_t)n : 0;
	m->text[m->len] = '\0';
	if (n > 0)
		take_fds(&msg, m);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
		close_fds(m, 0);
		return -EMSGSIZE;
	}
	return n == 0 ? -ECONNRESET : 1;
}

void handover_read_units(const char *text, struct handover_units *units)
{
	units->count = 0;
	while (*text != '\0' && units->count < DIRECTORY_HOSTS_MAX) {
		unsigned long number;
		char *end;
		size_t len;

		number = strtoul(text, &end, 10);
		if (end == text || *end != ' ')
			return;
		text = end + 1;
		len = strcspn(text, "\n");
		(void)snprintf(units->list[units->count].host, HANDOVER_NAME_SIZE, "%.*s",
			(int)len, text);
		units->list[units->count++].units = (uint32_t)number;
		text += len + (text[len] == '\n');
	}
}

/* --- those before ----------------------------------------------------------------------- */

static int add_before(struct program *p, int fd, const char *units)
{
	struct handover *h = &p->handover;
	struct handover_before *b;

	if (h->before_count == HANDOVER_BEFORE_MAX)
		return -ENFILE;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return -ENOMEM;
	b->fd = fd;
	handover_read_units(units, &b->units);
	pthread_mutex_lock(&h->lock);
	h->before[h->before_count++] = b;
	pthread_mutex_unlock(&h->lock);
	return 0;
}

static void remove_before(struct program *p, uint32_t i)
{
	struct handover *h = &p->handover;
	struct handover_before *b = h->before[i];

	pthread_mutex_lock(&h->lock);
	h->before[i] = h->before[--h->before_count];
	pthread_mutex_unlock(&h->lock);
	close(b->fd);
	free(b);
}

uint32_t handover_units_of(const struct handover_units *units, const char *host)
{
	for (uint32_t i = 0; i < units->count; i++) {
		if (strcmp(units->list[i].host, host) == 0)
			return units->list[i].units;
	}
	return 0;
}

static uint32_t units_at(const struct handover_before *b, const char *host)
{
	uint32_t units = handover_units_of(&b->units, host);

	return b->given > 0 && strcmp(b->given_host, host) == 0 ? units + b->given : units;
}

void handover_share(struct program *p)
{
	const struct handover *h = &p->handover;

	for (uint32_t i = 0; i < directory_host_count(p->directory); i++) {
		struct route_host *host = directory_host(p->directory, i);
		struct host_part part = { .most = UINT32_MAX };
		uint64_t sum = 0;

		for (uint32_t k = 0; k < h->before_count; k++)
			sum += units_at(h->before[k], host->name);
		part.elsewhere = (uint32_t)u64_min(sum, UINT32_MAX);
		directory_share_budget(p->directory, host, &part);
	}
}

uint32_t handover_place_key(const struct program *p, const struct route_host *host)
{
	const struct config_host *conf = config_find_host(p->config, host->name);

	return conf == NULL ? 0 : place_key(conf->places, conf->options.host.count);
}

void handover_know_limits(struct program *p)
{
	const struct handover *h = &p->handover;

	for (uint32_t i = 0; i < directory_host_count(p->directory); i++) {
		struct route_host *host = directory_host(p->directory, i);
		uint32_t most = handover_units_of(&h->max_connections, host->name);
		uint32_t key = handover_place_key(p, host);

		if (most > 0 && key == handover_units_of(&h->places, host->name))
			directory_set_limits(p->directory, host, most,
				handover_units_of(&h->reserved, host->name));
	}
}

static void hear(struct program *p, struct handover_before *b, const struct handover_message *m)
{
	switch (m->text[0]) {
	case 'U':
		handover_read_units(m->text + 1, &b->units);
		break;
	case 'W':
		handover_hear_asked(b, m->text + 1);
		break;
	case 'A':
		handover_hear_taken(b);
		break;
	case 'Q':
		handover_hear_quiet(b, m);
		break;
	case 'C':
		(void)handover_tell_before(&p->handover, m->text, m->len);
		break;
	default:
		break;
	}
}

/* False: it has ended. */
static bool listen_to(struct program *p, struct handover_before *b, bool *changed)
{
	struct handover_message m;
	int ret;

	/* Of what cannot be read it has as much as before. */
	while ((ret = handover_read(b->fd, &m)) > 0 || ret == -EMSGSIZE) {
		close_fds(&m, 0);
		if (ret < 0)
			continue;
		hear(p, b, &m);
		*changed = *changed || m.text[0] == 'U' || m.text[0] == 'A';
	}
	return ret == 0;
}

void handover_hear(struct program *p)
{
	struct handover *h = &p->handover;
	bool changed = false;

	for (uint32_t i = 0; i < h->before_count;) {
		if (listen_to(p, h->before[i], &changed)) {
			i++;
			continue;
		}
		SLOG(INFO, "predecessor-end", "left=%u", h->before_count - 1);
		remove_before(p, i);
		changed = true;
	}
	if (!changed)
		return;
	handover_share(p);
	handover_tend(p);
}

uint32_t handover_tell_before(struct handover *h, const char *text, size_t len)
{
	uint32_t told = 0;

	pthread_mutex_lock(&h->lock);
	for (uint32_t i = 0; i < h->before_count; i++)
		told += handover_send(h->before[i]->fd, text, len, NULL, 0) == 0;
	pthread_mutex_unlock(&h->lock);
	return told;
}

void handover_set_newer(struct handover *h, int fd)
{
	pthread_mutex_lock(&h->lock);
	h->newer = fd;
	pthread_mutex_unlock(&h->lock);
}

/* Those before are the newer one's to tell. */
static bool tell_newer(struct handover *h, const char *text, size_t len)
{
	bool is_told;

	pthread_mutex_lock(&h->lock);
	is_told = h->newer >= 0 && handover_send(h->newer, text, len, NULL, 0) == 0;
	pthread_mutex_unlock(&h->lock);
	return is_told;
}

bool handover_cancel(void *arg, uint32_t pid, const uint8_t *key, size_t len)
{
	struct program *p = arg;
	char text[1 + sizeof(pid) + STARTUP_KEY_MAX] = { 'C' };

	if (len > STARTUP_KEY_MAX)
		return false;
	memcpy(text + 1, &pid, sizeof(pid));
	memcpy(text + 1 + sizeof(pid), key, len);
	len += 1 + sizeof(pid);
	return handover_tell_before(&p->handover, text, len) > 0 ||
		tell_newer(&p->handover, text, len);
}

void handover_cancelled(struct program *p, const struct handover_message *m)
{
	uint32_t pid;

	if (m->len < 1 + sizeof(pid) || m->len > 1 + sizeof(pid) + STARTUP_KEY_MAX)
		return;
	memcpy(&pid, m->text + 1, sizeof(pid));
	cancel_from_elsewhere(&p->router, pid, (const uint8_t *)m->text + 1 + sizeof(pid),
		m->len - 1 - sizeof(pid));
}

uint32_t handover_order(void *arg, const char *text, size_t len)
{
	struct program *p = arg;
	char message[512];

	if (len + 1 > sizeof(message))
		return 0;
	message[0] = 'X';
	memcpy(message + 1, text, len);
	return handover_tell_before(&p->handover, message, len + 1);
}

void handover_ordered(struct program *p, const struct handover_message *m)
{
	console_order(p->console, m->text + 1);
}

int handover_send_ids(struct program *p)
{
	/* Who is at the door yet is let in by this process. */
	uint64_t next = atomic_load(&p->router.next_client_id) + AT_THE_DOOR_MAX;
	char text[1 + sizeof(next)] = { 'I' };

	memcpy(text + 1, &next, sizeof(next));
	return handover_send(p->handover.fd, text, sizeof(text), NULL, 0);
}

static void take_ids(struct program *p, const struct handover_message *m)
{
	uint64_t next;

	if (m->len != 1 + sizeof(next))
		return;
	memcpy(&next, m->text + 1, sizeof(next));
	atomic_store(&p->router.next_client_id, next);
}

/* --- taking over ------------------------------------------------------------------------ */

bool handover_is_heir(const struct program *p)
{
	return p->handover.before_count > 0;
}

static int take_listeners(struct program *p, struct handover_message *m)
{
	for (size_t i = 0; i < m->fd_count; i++) {
		bool is_kept = 1 + i < m->len && m->text[1 + i] == 'k';
		int ret = inherited_add(&p->inherited, m->fds[i], "", is_kept);

		if (ret < 0) {
			close_fds(m, i);
			return ret;
		}
	}
	return 0;
}

static struct handover_before *last_before(struct program *p)
{
	return p->handover.before[p->handover.before_count - 1];
}

/* 1: that was all. */
static int take_message(struct program *p, struct handover_message *m)
{
	int ret = 0;

	switch (m->text[0]) {
	case 'L':
		return take_listeners(p, m);
	case 'P':
		if (m->fd_count != 1)
			break;
		ret = add_before(p, m->fds[0], m->text + 1);
		if (ret == 0)
			m->fd_count = 0;
		break;
	case 'U':
		handover_read_units(m->text + 1, &p->handover.before[0]->units);
		break;
	case 'O':
		handover_hear_given(last_before(p), m->text + 1);
		break;
	case 'W':
		handover_hear_asked(last_before(p), m->text + 1);
		break;
	case 'S':
		handover_read_units(m->text + 1, &p->handover.max_connections);
		break;
	case 'T':
		handover_read_units(m->text + 1, &p->handover.reserved);
		break;
	case 'D':
		handover_read_units(m->text + 1, &p->handover.places);
		break;
	case 'M':
		if (m->len != 1 + sizeof(p->handover.mock_key))
			break;
		memcpy(p->handover.mock_key, m->text + 1, sizeof(p->handover.mock_key));
		p->handover.has_mock_key = true;
		explicit_bzero(m->text, m->len);
		break;
	case 'B':
		ret = 1;
		break;
	default:
		break;
	}
	close_fds(m, 0);
	return ret;
}

/* Until read says something else than 0, or nothing has come for a while. */
static int wait_for_message(int fd, struct handover_message *m)
{
	uint64_t until_us = clock_now_us() + RECEIVE_MS * USEC_PER_MSEC;
	int ret;

	while ((ret = handover_read(fd, m)) == 0) {
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

		if (clock_now_us() >= until_us)
			return -ETIMEDOUT;
		(void)poll(&poll_fd, 1, 100);
	}
	return ret;
}

int handover_receive(struct program *p, struct diag *diag)
{
	const char *text = getenv(HANDOVER_VARIABLE);
	struct handover_message m;
	int fd, ret;

	if (text == NULL)
		return 0;
	fd = (int)strtol(text, NULL, 10);
	(void)unsetenv(HANDOVER_VARIABLE);
	ret = add_before(p, fd, "");
	while (ret == 0) {
		ret = wait_for_message(fd, &m);
		if (ret > 0)
			ret = take_message(p, &m);
	}
	if (ret == 1)
		return 0;
	diag_set(diag, NULL, 0, 0, "cannot take over from the running process: %s",
		strerror(-ret));
	return ret;
}

/* Signals wait until it runs: it would take over, and end. */
static bool is_told_to_end(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
		(sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1 ||
			sigismember(&pending, SIGQUIT) == 1);
}

int handover_take(struct program *p, struct diag *diag)
{
	int fd = p->handover.before[0]->fd;
	struct handover_message m;
	int ret;

	if (is_told_to_end()) {
		diag_set(diag, NULL, 0, 0, "told to end by a signal");
		return -ECANCELED;
	}
	/* What is narrower than the old process's takes from its queue what comes from here on. */
	ret = entrances_begin(p, p->config, diag);
	if (ret < 0)
		return ret;
	ret = handover_send(fd, "R", 1, NULL, 0);
	if (ret == 0) {
		do {
			ret = wait_for_message(fd, &m);
			if (ret > 0 && m.text[0] == 'H')
				handover_take_holds(p, &m);
			if (ret > 0 && m.text[0] == 'I')
				take_ids(p, &m);
		} while (ret > 0 && m.text[0] != 'G');
	}
	if (ret > 0) {
		entrances_own(p);
		/* Nobody wants these any more. */
		inherited_drop(&p->inherited, true);
		SLOG(INFO, "took-over", "before=%u", p->handover.before_count);
		return 0;
	}
	diag_set(diag, NULL, 0, 0, "the running process does not hand over: %s",
		strerror(-ret));
	return ret == 0 ? -EIO : ret;
}

void handover_give_up(struct program *p, const char *text)
{
	char message[HANDOVER_TEXT_MAX / 2];
	int len;

	if (!handover_is_heir(p))
		return;
	len = snprintf(message, sizeof(message), "E%s", text);
	/* Who does not hear it sees that this process ends. */
	if (handover_send(p->handover.before[0]->fd, message,
		    size_min((size_t)len, sizeof(message) - 1), NULL, 0) < 0)
		return;
}

/* --- life --------------------------------------------------------------------------------- */

void handover_init(struct program *p)
{
	p->handover = (struct handover){ .fd = -1, .newer = -1 };
	pthread_mutex_init(&p->handover.lock, NULL);
}

void handover_close_before(struct program *p)
{
	while (p->handover.before_count > 0)
		remove_before(p, p->handover.before_count - 1);
}

void handover_finish(struct program *p)
{
	handover_stop_successor(p);
	handover_close_before(p);
	free(p->handover.budgets);
	pthread_mutex_destroy(&p->handover.lock);
}
