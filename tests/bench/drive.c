/* SPDX-License-Identifier: ISC */
/*
 * The load generator of the benchmark suite: one thread, epoll, any number of clients.
 *
 *   drive SECONDS WARMUP GROUP [-- GROUP]...
 *
 *   SECONDS: of the window; "SECONDS+" goes on behind it until it is killed, so that who
 *   measures others has the time to.  WARMUP: in seconds, or "signal": SIGUSR1 ends it.
 *
 *   GROUP: WORD=VALUE... SQL [SQL...]      the statements are one transaction, in order
 *
 *     port=N host=ADDRESS-OR-DIRECTORY user= db= password= tls=1 clients=N
 *     kind=simple|extended|prepared|pipeline   depth=N (queries of a pipeline)
 *     keys=N,N...       $1, $2... are random numbers from 1 to N
 *     pace=HZ           each client begins HZ transactions a second, evenly
 *     burst=HZ          all of them begin one at the same moment, HZ times a second
 *     rate=HZ           arrivals at random times, HZ a second; free clients take them
 *     reconnect=1       each transaction has a connection of its own
 *     idle=1            logs in, and is silent
 *     copy=BYTES        what COPY ... FROM STDIN is given
 *     read=BYTES        each client reads so many a second, and no more
 *
 * Without pace and rate a client begins its next transaction when the last one has ended
 * (closed loop).  With them a transaction's latency counts from the moment in which it
 * was to begin, whether or not a client was free then: who is late is not left out
 * (coordinated omission); what has not ended with the window counts with its age.
 *
 * stdout: a line "ready" when all have logged in, "begin" and "end" around the window,
 * and one line of JSON.  Any error ends the program with a message.
 */
#include "drive.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

enum { EVENTS_MAX = 512, LOGINS_MAX = 30, LOGIN_PATIENCE_S = 300 };

static struct group groups[GROUPS_MAX];
static uint32_t group_count;
static int epoll_fd;
static int64_t begin_ns = INT64_MAX; /* of the window */
static bool is_over;
static bool goes_on; /* and counts no more */
static bool is_running;
static volatile sig_atomic_t is_signalled;
static uint32_t logins;

void drive_fail(const char *what)
{
	fprintf(stderr, "drive: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

void drive_refuse(const char *what)
{
	fprintf(stderr, "drive: %s\n", what);
	exit(EXIT_FAILURE);
}

int64_t drive_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static uint64_t roll(uint64_t *dice)
{
	*dice ^= *dice << 13;
	*dice ^= *dice >> 7;
	*dice ^= *dice << 17;
	return *dice >> 11;
}

/* --- transactions --------------------------------------------------------------------
 */

static void begin_transaction(struct client *c, int64_t since)
{
	struct group *g = c->group;

	c->since_ns = since;
	c->statement = 0;
	for (uint32_t i = 0; i < g->key_count; i++)
		c->key[i] = roll(&c->dice) % g->keys[i] + 1;
	if (g->is_reconnecting) {
		conn_open(c);
		return;
	}
	c->state = CLIENT_BUSY;
	messages_statement(c);
}

/* When a paced group's arrival is, counted over all its clients, who take turns. */
static double arrival_ns(const struct group *g, uint64_t arrival)
{
	double turns = g->is_burst ? (double)(arrival / g->count)
				   : (double)arrival / (double)g->count;

	return g->next_ns + turns * 1e9 / g->pace;
}

static int64_t due_at(const struct client *c, uint64_t number)
{
	return (int64_t)arrival_ns(c->group, number * c->group->count + c->index);
}

static void go_on(struct client *c)
{
	struct group *g = c->group;

	if (g->is_idle || (is_over && !goes_on) || !is_running)
		return;
	if (g->pace > 0) {
		if (c->done < c->due)
			begin_transaction(c, due_at(c, c->done));
	} else if (g->rate > 0) {
		if (g->backlog_count > 0) {
			int64_t since = g->backlog[g->backlog_at];

			g->backlog_at = (g->backlog_at + 1) % g->backlog_room;
			g->backlog_count--;
			begin_transaction(c, since);
			return;
		}
		c->next_free = g->free_list;
		g->free_list = c;
	} else {
		begin_transaction(c, drive_now_ns());
	}
}

static void end_transaction(struct client *c)
{
	struct group *g = c->group;
	int64_t now = drive_now_ns();

	if (g->is_reconnecting)
		conn_close(c);
	else
		c->state = CLIENT_READY;
	c->done++;
	if (!is_over && now >= begin_ns)
		g->ended++;
	/* A paced one counts if it was to begin in the window, all others if they end in
	 * it. */
	if (!is_over && (g->pace > 0 || g->rate > 0 ? c->since_ns : now) >= begin_ns)
		histogram_add(&g->histogram, now - c->since_ns);
	go_on(c);
}

static void logged_in(struct client *c)
{
	struct group *g = c->group;

	scram_forget(c);
	if (g->kind == KIND_PREPARED && c->parses > 0) {
		c->state = CLIENT_PREPARE;
		messages_prepare(c);
		c->parses--;
		return;
	}
	if (g->is_reconnecting && is_running) {
		c->state = CLIENT_BUSY;
		messages_statement(c);
		return;
	}
	c->state = CLIENT_READY;
	logins--;
	g->ready++;
}

void drive_on_ready(struct client *c)
{
	if (c->state != CLIENT_BUSY) {
		logged_in(c);
	} else if (++c->statement < c->group->statement_count) {
		messages_statement(c);
	} else {
		end_transaction(c);
	}
}

/* --- arrivals --------------------------------------------------------------------------
 */

static void arrive_paced(struct group *g, int64_t now)
{
	while (arrival_ns(g, g->arrivals) <= (double)now) {
		struct client *c = &g->clients[g->arrivals++ % g->count];

		c->due++;
		if (c->state == CLIENT_READY || c->state == CLIENT_AWAY)
			begin_transaction(c, due_at(c, c->done));
	}
}

static void keep_for_later(struct group *g, int64_t since)
{
	size_t room = g->backlog_room * 2 + 4096;
	int64_t *ring;

	if (g->backlog_count == g->backlog_room) {
		ring = malloc(room * sizeof(*ring));
		if (ring == NULL)
			drive_fail("malloc");
		for (size_t i = 0; i < g->backlog_count; i++)
			ring[i] = g->backlog[(g->backlog_at + i) % g->backlog_room];
		free(g->backlog);
		g->backlog = ring;
		g->backlog_room = room;
		g->backlog_at = 0;
	}
	g->backlog[(g->backlog_at + g->backlog_count++) % g->backlog_room] = since;
}

static void arrive_random(struct group *g, int64_t now)
{
	static uint64_t dice = UINT64_C(0x9e3779b97f4a7c15);

	while (g->next_ns <= (double)now) {
		int64_t since = (int64_t)g->next_ns;
		struct client *c = g->free_list;

		g->arrivals++;
		g->next_ns += -log(((double)roll(&dice) + 1) / 0x1p53) * 1e9 / g->rate;
		if (c == NULL) {
			keep_for_later(g, since);
			continue;
		}
		g->free_list = c->next_free;
		begin_transaction(c, since);
	}
}

/* When the next one comes; no group's next one is later than the end. */
static int64_t arrive(int64_t now, int64_t end)
{
	double next = (double)end;

	for (uint32_t i = 0; i < group_count && is_running; i++) {
		struct group *g = &groups[i];
		double mine = next;

		if (g->read_rate > 0)
			next = (double)conn_read_slowly(g, now, (int64_t)next);
		if (g->pace > 0) {
			arrive_paced(g, now);
			mine = arrival_ns(g, g->arrivals);
		} else if (g->rate > 0) {
			arrive_random(g, now);
			mine = g->next_ns;
		}
		if (mine < next)
			next = mine;
	}
	return (int64_t)next;
}

static double number(const char *text, double max)
{
	char *end;
	double value;

	errno = 0;
	value = strtod(text, &end);
	if (errno != 0 || end == text || *end != '\0' || !(value >= 0 && value <= max))
		drive_refuse("a number is wrong");
	return value;
}

/* --- what happens ----------------------------------------------------------------------
 */

static void turn(int64_t until)
{
	static struct epoll_event events[EVENTS_MAX];
	int64_t now = drive_now_ns(), wait = arrive(now, until) - now;
	struct timespec timeout = { 0 };
	int count;

	if (wait > 0) {
		timeout.tv_sec = wait / NS_PER_S;
		timeout.tv_nsec = wait % NS_PER_S;
	}
	count = epoll_pwait2(epoll_fd, events, EVENTS_MAX, &timeout, NULL);
	if (count < 0 && errno != EINTR)
		drive_fail("epoll_pwait2");
	for (int i = 0; i < count; i++)
		conn_on_event(events[i].data.ptr);
}

static void turn_for(double seconds)
{
	int64_t end = drive_now_ns() + (int64_t)(seconds * 1e9);

	while (drive_now_ns() < end)
		turn(end);
}

static void on_signal(int number)
{
	(void)number;
	is_signalled = 1;
}

static void turn_until_signal(void)
{
	while (!is_signalled)
		turn(drive_now_ns() + NS_PER_S / 10);
}

static void say(const char *what)
{
	printf("%s\n", what);
	fflush(stdout);
}

static void log_in(struct group *g)
{
	int64_t deadline = drive_now_ns() + LOGIN_PATIENCE_S * NS_PER_S;

	for (uint32_t i = 0; i < g->count || g->ready < g->count;) {
		if (i < g->count && logins < LOGINS_MAX) {
			logins++;
			conn_open(&g->clients[i++]);
			continue;
		}
		turn(drive_now_ns() + NS_PER_S / 10);
		if (drive_now_ns() > deadline)
			drive_refuse("not everybody has logged in for minutes");
	}
}

static void start(void)
{
	for (uint32_t i = 0; i < group_count; i++)
		if (!groups[i].is_reconnecting)
			log_in(&groups[i]);
	say("ready");
	is_running = true;
	for (uint32_t i = 0; i < group_count; i++) {
		groups[i].next_ns = (double)drive_now_ns();
		for (uint32_t j = 0; j < groups[i].count; j++)
			go_on(&groups[i].clients[j]);
	}
}

/* What was to begin in the window and has not ended with it is as old as it is. */
static void count_unanswered(struct group *g, int64_t now)
{
	if (g->rate <= 0 && g->pace <= 0)
		return;
	for (size_t i = 0; i < g->backlog_count; i++) {
		int64_t since = g->backlog[(g->backlog_at + i) % g->backlog_room];

		if (since >= begin_ns) {
			histogram_add(&g->histogram, now - since);
			g->unanswered++;
		}
	}
	for (uint32_t i = 0; i < g->count; i++) {
		struct client *c = &g->clients[i];
		bool is_busy = c->state != CLIENT_READY && c->state != CLIENT_AWAY;
		uint64_t late = g->pace > 0 ? c->due - c->done : (uint64_t)is_busy;

		for (uint64_t j = 0; j < late; j++) {
			int64_t since =
				g->pace > 0 ? due_at(c, c->done + j) : c->since_ns;

			if (since < begin_ns)
				continue;
			histogram_add(&g->histogram, now - since);
			g->unanswered++;
		}
	}
}

static void print_group(const struct group *g, double seconds)
{
	const struct histogram *h = &g->histogram;

	printf("%s{\"ended\": %" PRIu64 ", \"unanswered\": %" PRIu32
	       ", \"bytes\": %" PRIu64 ", \"seconds\": %.6f, \"mean\": %.3f, \"p50\": "
				       "%.3f, \"p95\": %.3f, \"p99\": %.3f,"
	       " \"p999\": %.3f, \"max\": %.3f}",
		g->index > 0 ? ", " : "", g->ended, g->unanswered, g->bytes, seconds,
		h->count > 0 ? (double)h->sum / (double)h->count / 1e3 : 0.0,
		histogram_percentile_us(h, 0.5), histogram_percentile_us(h, 0.95),
		histogram_percentile_us(h, 0.99), histogram_percentile_us(h, 0.999),
		(double)h->max / 1e3);
}

static void run(char *window, const char *warmup)
{
	double seconds;
	int64_t end;

	goes_on = window[0] != '\0' && window[strlen(window) - 1] == '+';
	if (goes_on)
		window[strlen(window) - 1] = '\0';
	seconds = number(window, 3600);
	start();
	if (strcmp(warmup, "signal") == 0)
		turn_until_signal();
	else
		turn_for(number(warmup, 600));
	for (uint32_t i = 0; i < group_count; i++)
		groups[i].bytes = 0;
	say("begin");
	begin_ns = drive_now_ns();
	turn_for(seconds);
	end = drive_now_ns();
	is_over = true;
	say("end");
	printf("[");
	for (uint32_t i = 0; i < group_count; i++) {
		count_unanswered(&groups[i], end);
		print_group(&groups[i], (double)(end - begin_ns) / 1e9);
	}
	say("]");
	while (goes_on)
		turn(drive_now_ns() + NS_PER_S / 10);
}

/* --- arguments -------------------------------------------------------------------------
 */

static enum kind kind_of(const char *text)
{
	static const char *const names[] = { "simple", "extended", "prepared",
		"pipeline" };

	for (uint32_t i = 0; i < 4; i++)
		if (strcmp(text, names[i]) == 0)
			return (enum kind)i;
	drive_refuse("kind=simple|extended|prepared|pipeline");
}

static void read_keys(struct group *g, char *text)
{
	char *rest = NULL;

	for (char *t = strtok_r(text, ",", &rest); t != NULL;
		t = strtok_r(NULL, ",", &rest)) {
		if (g->key_count == KEYS_MAX)
			drive_refuse("at most nine keys");
		g->keys[g->key_count++] = (uint64_t)number(t, 1e15);
	}
}

static bool read_flags(struct group *g, const char *name, const char *value)
{
	if (strcmp(name, "tls") == 0)
		g->is_tls = number(value, 1) > 0;
	else if (strcmp(name, "reconnect") == 0)
		g->is_reconnecting = number(value, 1) > 0;
	else if (strcmp(name, "idle") == 0)
		g->is_idle = number(value, 1) > 0;
	else
		return false;
	return true;
}

static void read_word(struct group *g, const char *name, char *value)
{
	if (strcmp(name, "port") == 0)
		g->port = (uint16_t)number(value, UINT16_MAX);
	else if (strcmp(name, "host") == 0)
		g->host = value;
	else if (strcmp(name, "user") == 0)
		g->user = value;
	else if (strcmp(name, "db") == 0)
		g->database = value;
	else if (strcmp(name, "password") == 0)
		g->password = value;
	else if (strcmp(name, "clients") == 0)
		g->count = (uint32_t)number(value, 100000);
	else if (strcmp(name, "kind") == 0)
		g->kind = kind_of(value);
	else if (strcmp(name, "depth") == 0)
		g->depth = (uint32_t)number(value, 100);
	else if (strcmp(name, "keys") == 0)
		read_keys(g, value);
	else if (strcmp(name, "pace") == 0)
		g->pace = number(value, 1e6);
	else if (strcmp(name, "burst") == 0)
		g->is_burst = (g->pace = number(value, 1e6)) > 0;
	else if (strcmp(name, "rate") == 0)
		g->rate = number(value, 1e7);
	else if (strcmp(name, "read") == 0)
		g->read_rate = number(value, 1e12);
	else if (strcmp(name, "copy") == 0)
		g->copy_bytes = (uint64_t)number(value, 1e15);
	else if (!read_flags(g, name, value))
		drive_refuse("an unknown word: see the head of drive.c");
}

/* WORD=VALUE as long as the words are lower case without spaces; then SQL. */
static char *value_of(char *text)
{
	char *equals = strchr(text, '=');

	for (char *at = text; equals != NULL && at < equals; at++)
		if (*at < 'a' || *at > 'z')
			return NULL;
	return equals;
}

static int read_group(char **args, int count)
{
	struct group *g = &groups[group_count];
	int used = 0;

	if (group_count == GROUPS_MAX)
		drive_refuse("too many groups");
	*g = (struct group){ .index = group_count++,
		.host = "127.0.0.1",
		.user = "postgres",
		.database = "postgres",
		.password = "",
		.count = 1,
		.depth = 1 };
	for (; used < count && strcmp(args[used], "--") != 0; used++) {
		char *value = g->statement_count == 0 ? value_of(args[used]) : NULL;

		if (value != NULL) {
			*value = '\0';
			read_word(g, args[used], value + 1);
		} else if (g->statement_count == STATEMENTS_MAX) {
			drive_refuse("too many statements");
		} else {
			g->statements[g->statement_count++] = args[used];
		}
	}
	g->clients = calloc(g->count, sizeof(*g->clients));
	if (g->clients == NULL || g->count == 0 ||
		(g->statement_count == 0 && !g->is_idle))
		drive_refuse("a group without clients or SQL");
	if (g->read_rate > 0 && g->is_tls)
		drive_refuse("read= is for connections without TLS");
	for (uint32_t i = 0; i < g->count; i++) {
		g->clients[i].group = g;
		g->clients[i].index = i;
		g->clients[i].parses = g->statement_count;
		g->clients[i].dice = (i + 1) * UINT64_C(0x9e3779b97f4a7c15) + group_count;
	}
	return used;
}

int main(int argc, char **argv)
{
	struct rlimit files;
	int at = 3;

	if (argc < 4)
		drive_refuse("usage: drive SECONDS WARMUP GROUP [-- GROUP]...");
	while (at < argc) {
		at += read_group(argv + at, argc - at);
		at += at < argc ? 1 : 0;
	}
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		drive_fail("epoll_create1");
	conn_init(epoll_fd);
	if (signal(SIGUSR1, on_signal) == SIG_ERR)
		drive_fail("signal");
	run(argv[1], argv[2]);
	return EXIT_SUCCESS;
}
