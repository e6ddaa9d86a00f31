/* SPDX-License-Identifier: ISC */
/*
 * The old process's side of a restart.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/slog.h"
#include "main/handover_priv.h"
#include "main/program.h"

enum {
	PATIENCE_US = 60 * 1000000,
	HANDOVER_ROOM = (2 * HANDOVER_BEFORE_MAX + 5) * HANDOVER_UNITS_MAX
};

#define TOO_MANY_HOLDS "the new process cannot be told of all that is paused or disabled"

/* --- units -------------------------------------------------------------------------------- */

static void deliver_tending(struct mail *mail, struct worker *w)
{
	free(mail);
	worker_tend_pools(w);
}

void handover_tend(struct program *p)
{
	struct mail *mail = calloc(1, sizeof(*mail));

	/* Without memory it is done by the next upkeep. */
	if (mail == NULL)
		return;
	mail->deliver = deliver_tending;
	worker_post(p->router.workers[0], mail);
}

uint32_t handover_units(struct program *p)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < directory_host_count(p->directory); i++) {
		struct monitor *m = &directory_host(p->directory, i)->monitor;

		pthread_mutex_lock(&m->lock);
		sum += m->budget.used;
		pthread_mutex_unlock(&m->lock);
	}
	return sum;
}

static int send_units(struct program *p, bool only_changes)
{
	uint32_t count = directory_host_count(p->directory);
	bool changed = !only_changes;
	struct buf out;
	int ret = 0;

	buf_init(&out, 0);
	buf_add_str(&out, "U");
	for (uint32_t i = 0; i < count; i++) {
		struct route_host *host = directory_host(p->directory, i);
		uint32_t units = handover_units_now(host);

		changed = changed || units != p->handover.hosts[i].told;
		p->handover.hosts[i].told = units;
		handover_add_units(&out, units, host->name);
	}
	if (!buf_ok(&out))
		ret = -ENOMEM;
	else if (changed)
		ret = handover_send(p->handover.fd, (const char *)buf_data(&out),
			buf_len(&out), NULL, 0);
	/* It will be told again. */
	if (ret < 0)
		p->handover.hosts[0].told = UINT32_MAX;
	buf_finish(&out);
	return ret;
}

/* --- starting it ---------------------------------------------------------------------------- */

struct sockets {
	int fds[HANDOVER_FDS_MAX];
	char text[1 + HANDOVER_FDS_MAX];
	size_t count;
	int to;
	int error;
};

static void send_sockets(struct sockets *s)
{
	if (s->count > 0 && s->error == 0)
		s->error = handover_send(s->to, s->text, 1 + s->count, s->fds, s->count);
	s->count = 0;
}

static void add_socket(struct sockets *s, int fd, bool is_kept)
{
	if (fd < 0)
		return;
	s->fds[s->count] = fd;
	s->text[1 + s->count++] = is_kept ? 'k' : 'o';
	if (s->count == HANDOVER_FDS_MAX)
		send_sockets(s);
}

static void add_http_socket(void *arg, int fd, const struct addr *addr)
{
	(void)addr;
	add_socket(arg, fd, false);
}

static int send_listeners(struct program *p)
{
	struct sockets s = { .to = p->handover.fd, .text = "L" };

	list_for_each(&p->entrances, node) {
		struct listening *l = container_of(node, struct listening, node);

		if (!l->is_kept)
			add_socket(&s, l->fd, false);
	}
	/* Where systemd's are used, too, copies of them are: these are all. */
	for (uint32_t i = 0; i < p->inherited.count; i++)
		add_socket(&s, p->inherited.list[i].fd, p->inherited.list[i].is_kept);
	http_each_socket(p->http, add_http_socket, &s);
	send_sockets(&s);
	return s.error;
}

static int send_text(int to, const struct buf *text)
{
	return handover_send(to, (const char *)buf_data(text), buf_len(text), NULL, 0);
}

static int send_list(int to, const char *letter, const struct handover_units *units,
	const int *fds, size_t fd_count)
{
	struct buf out;
	int ret;

	buf_init(&out, 0);
	buf_add_str(&out, letter);
	for (uint32_t i = 0; i < units->count; i++)
		handover_add_units(&out, units->list[i].units, units->list[i].host);
	ret = buf_ok(&out) ? handover_send(to, (const char *)buf_data(&out), buf_len(&out), fds,
				     fd_count)
			   : -ENOMEM;
	buf_finish(&out);
	return ret;
}

/* What was set aside for it, and not told, the new process sets aside anew. */
static int send_before(struct program *p, const struct handover_before *b)
{
	int to = p->handover.fd, ret = send_list(to, "P", &b->units, &b->fd, 1);
	struct handover_units given = { .count = 1 };

	if (ret == 0 && b->given > 0 && b->is_told) {
		given.list[0].units = b->given;
		memcpy(given.list[0].host, b->given_host, sizeof(b->given_host));
		ret = send_list(to, "O", &given, NULL, 0);
	}
	if (ret == 0 && b->asked.count > 0)
		ret = send_list(to, "W", &b->asked, NULL, 0);
	return ret;
}

/* Without them a new process that cannot ask PostgreSQL yet would have nothing of a budget that
 * goes by what that says. */
static int send_limits(struct program *p)
{
	struct buf most, reserved, places;
	int ret = -ENOMEM;

	buf_init(&most, 0);
	buf_init(&reserved, 0);
	buf_init(&places, 0);
	buf_add_str(&most, "S");
	buf_add_str(&reserved, "T");
	buf_add_str(&places, "D");
	for (uint32_t i = 0; i < directory_host_count(p->directory); i++) {
		struct route_host *host = directory_host(p->directory, i);
		struct host_limits limits;

		route_host_limits(host, &limits);
		if (!limits.is_known)
			continue;
		handover_add_units(&most, limits.max_connections, host->name);
		handover_add_units(&reserved, limits.reserved, host->name);
		handover_add_units(&places, handover_place_key(p, host), host->name);
	}
	if (buf_ok(&most) && buf_ok(&reserved) && buf_ok(&places))
		ret = send_text(p->handover.fd, &most);
	if (ret == 0)
		ret = send_text(p->handover.fd, &reserved);
	if (ret == 0)
		ret = send_text(p->handover.fd, &places);
	buf_finish(&most);
	buf_finish(&reserved);
	buf_finish(&places);
	return ret;
}

static int send_mock_key(struct program *p)
{
	char text[1 + SCRAM_MOCK_KEY_LEN] = "M";
	int ret;

	memcpy(text + 1, p->router.mock_key, SCRAM_MOCK_KEY_LEN);
	ret = handover_send(p->handover.fd, text, sizeof(text), NULL, 0);
	explicit_bzero(text, sizeof(text));
	return ret;
}

static int send_all(struct program *p)
{
	int ret = send_units(p, false);

	for (uint32_t i = 0; ret == 0 && i < p->handover.before_count; i++)
		ret = send_before(p, p->handover.before[i]);
	if (ret == 0)
		ret = send_listeners(p);
	if (ret == 0)
		ret = send_limits(p);
	if (ret == 0)
		ret = send_mock_key(p);
	return ret == 0 ? handover_send(p->handover.fd, "B", 1, NULL, 0) : ret;
}

static void answer(struct program *p, bool ok, const char *text)
{
	struct handover *h = &p->handover;

	if (h->done != NULL)
		h->done(h->done_arg, ok, text);
	h->done = NULL;
}

void handover_stop_successor(struct program *p)
{
	struct handover *h = &p->handover;
	int status;

	handover_set_newer(h, -1);
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
	if (h->phase != HANDOVER_STARTING)
		return;
	h->phase = HANDOVER_NONE;
	atomic_store(&p->router.hands_over, false);
	if (h->pid != 0) {
		(void)kill((pid_t)h->pid, SIGKILL);
		(void)waitpid((pid_t)h->pid, &status, 0);
	}
	answer(p, false, "the process ends");
}

static void failed(struct program *p, const char *text)
{
	struct handover *h = &p->handover;
	console_done_f *done = h->done;
	char quoted[512];

	SLOG(ERROR, "restart-failed", "error=%s",
		slog_quote(quoted, sizeof(quoted), text, strlen(text)));
	/* Whoever hears of it may try again at once. */
	h->done = NULL;
	handover_stop_successor(p);
	if (done != NULL)
		done(h->done_arg, false, text);
}

static void count_socket(void *arg, int fd, const struct addr *addr)
{
	uint32_t *count = arg;

	(void)addr;
	*count += fd >= 0;
}

static uint32_t count_sockets(struct program *p)
{
	uint32_t count = p->inherited.count;

	list_for_each(&p->entrances, node)
		count += !container_of(node, struct listening, node)->is_kept;
	http_each_socket(p->http, count_socket, &count);
	return count;
}

/* What would make it fail in the end, when somebody may have connected to an address that only
 * the new process has: nothing is begun. */
static bool cannot_be(struct program *p, char *why, size_t size)
{
	if (p->handover.before_count == HANDOVER_BEFORE_MAX)
		handover_hear(p);
	if (p->handover.before_count == HANDOVER_BEFORE_MAX)
		(void)snprintf(why, size,
			"%u processes before this one still drain: one of them has to end first",
			p->handover.before_count);
	else if (count_sockets(p) > INHERITED_MAX)
		(void)snprintf(why, size,
			"it listens on %u addresses, of which at most %d can be handed over",
			count_sockets(p), INHERITED_MAX);
	else if (suspend_is_on(&p->router))
		(void)snprintf(why, size, "pooler is suspended");
	else if (!handover_holds_fit(p))
		(void)snprintf(why, size, "%s", TOO_MANY_HOLDS);
	else
		return false;
	SLOG(ERROR, "restart-failed", "error=\"%s\"", why);
	return true;
}

void handover_begin(struct program *p, console_done_f *done, void *done_arg)
{
	struct handover *h = &p->handover;
	char why[sizeof(p->exe) + 128];
	int pair[2], ret, room = HANDOVER_ROOM;

	if (h->phase != HANDOVER_NONE || atomic_load(&p->router.drain) != ROUTER_SERVES) {
		/* Two at the same moment: else the console has said so. */
		done(done_arg, false, "a restart is under way, or the end");
		return;
	}
	/* From here on nobody suspends, or holds more. */
	atomic_store(&p->router.hands_over, true);
	if (cannot_be(p, why, sizeof(why))) {
		atomic_store(&p->router.hands_over, false);
		done(done_arg, false, why);
		return;
	}
	h->done = done;
	h->done_arg = done_arg;
	h->phase = HANDOVER_STARTING;
	h->pid = 0;
	h->until_us = clock_now_us() + PATIENCE_US;
	ret = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
	if (ret == 0) {
		h->fd = pair[0];
		/* All of it has to fit before anybody reads; as much as the system lets it. */
		(void)setsockopt(h->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
		ret = send_all(p);
		if (ret == 0)
			ret = handover_spawn(p, pair[1]);
		close(pair[1]);
	}
	if (ret < 0) {
		(void)snprintf(why, sizeof(why), "cannot start %s: %s", p->exe, strerror(-ret));
		failed(p, why);
	} else {
		SLOG(INFO, "restart", "program=%s pid=%ld", p->exe, h->pid);
	}
}

/* --- handing over ---------------------------------------------------------------------------- */

static void go(struct program *p)
{
	struct handover *h = &p->handover;

	/* What was asked for before this began may have come to pass since. */
	if (suspend_is_on(&p->router)) {
		failed(p, "pooler is suspended");
		return;
	}
	if (handover_send_holds(p) < 0) {
		failed(p, TOO_MANY_HOLDS);
		return;
	}
	if (handover_send_ids(p) < 0 || handover_send(h->fd, "G", 1, NULL, 0) < 0 ||
		entrances_hand_over(p) < 0 ||
		http_hand_over(p->http) < 0) {
		failed(p, "the new process cannot be told to go on");
		return;
	}
	SLOG(INFO, "handed-over", "pid=%ld clients=%u", h->pid,
		atomic_load(&p->router.clients));
	h->phase = HANDOVER_DONE;
	h->first_clients = (uint32_t)program_all_clients(p);
	for (uint32_t i = 0; i < directory_host_count(p->directory); i++)
		handover_begin_units(p, i);
	handover_close_before(p);
	handover_set_newer(h, h->fd);
	notify_successor(h->pid);
	program_begin_drain(p, ROUTER_HANDED_OVER);
	handover_lower(p);
	(void)send_units(p, true);
}

/* Before it could say anything, perhaps.  Of a brother its parent is told. */
static void failed_at_once(struct program *p)
{
	struct handover *h = &p->handover;
	char how[64] = "", text[sizeof(p->exe) + 128];
	int status;

	/* Whatever it still does; what is ending already ends as it was going to. */
	if (h->pid != 0)
		(void)kill((pid_t)h->pid, SIGKILL);
	if (h->pid != 0 && waitpid((pid_t)h->pid, &status, 0) == h->pid) {
		h->pid = 0;
		if (WIFSIGNALED(status))
			(void)snprintf(how, sizeof(how), " by signal %d", WTERMSIG(status));
		else
			(void)snprintf(how, sizeof(how), " with exit status %d",
				WEXITSTATUS(status));
	}
	(void)snprintf(text, sizeof(text),
		"the new process (%s) has ended%s before it was ready; the log may say why",
		p->exe, how);
	failed(p, text);
}

static void starting(struct program *p)
{
	struct handover *h = &p->handover;
	struct handover_message m;
	int ret = handover_read(h->fd, &m);

	if (ret > 0 && m.text[0] == 'R')
		go(p);
	else if (ret > 0 && m.text[0] == 'E')
		failed(p, m.text + 1);
	else if (ret < 0)
		failed_at_once(p);
	else if (clock_now_us() >= h->until_us)
		failed(p, "the new process did not get ready within 60 s");
}

/* Of what it was given it tells when the new process knows that it has it. */
static void say_units(struct program *p)
{
	struct handover *h = &p->handover;
	bool has_more = h->owes_taken;

	if (has_more)
		h->owes_taken = handover_send(h->fd, "A", 1, NULL, 0) < 0;
	if (h->owes_taken)
		return;
	(void)send_units(p, !has_more);
	handover_ask(p);
}

static void handed_over(struct program *p)
{
	struct handover *h = &p->handover;
	struct handover_message m;
	int ret = 0, status;

	/* It may be replaced in turn, and end before this one does. */
	if (h->pid != 0 && waitpid((pid_t)h->pid, &status, WNOHANG) != 0)
		h->pid = 0;
	if (h->fd >= 0) {
		while ((ret = handover_read(h->fd, &m)) > 0) {
			if (m.text[0] == 'C')
				handover_cancelled(p, &m);
			else if (m.text[0] == 'H')
				handover_take_holds(p, &m);
			else if (m.text[0] == 'X')
				handover_ordered(p, &m);
			else if (m.text[0] == 'Y')
				handover_given(p, &m);
			else if (m.text[0] == 'N')
				handover_take_budgets(p, &m);
		}
	}
	if (ret < 0) {
		SLOG(INFO, "successor-end", "clients=%u", atomic_load(&p->router.clients));
		handover_set_newer(h, -1);
		close(h->fd);
		h->fd = -1;
	}
	/* Where the other one leaves an address, or ends, nobody listens any more. */
	if (entrances_are_left(p) && http_has_left(p->http)) {
		entrances_close(p);
		inherited_finish(&p->inherited);
		/* Whoever connects from here on gets to the new one. */
		answer(p, true, "");
	}
	handover_lower(p);
	if (h->fd >= 0)
		say_units(p);
	handover_say_quiet(p);
}

bool handover_tick(struct program *p)
{
	struct handover *h = &p->handover;

	/* Once there is a new process that is its to do. */
	if (h->phase == HANDOVER_NONE) {
		if (h->before_count > 0)
			handover_hear(p);
		handover_tell_budgets(p);
		handover_give_asked(p);
		handover_tell_holds(p);
	}
	if (h->phase == HANDOVER_STARTING)
		starting(p);
	else if (h->phase == HANDOVER_DONE)
		handed_over(p);
	return h->before_count > 0 || h->phase != HANDOVER_NONE;
}
