/* SPDX-License-Identifier: ISC */
/*
 * The thread and its doors.
 *
 * Each listening socket has a daemon of libmicrohttpd without threads of its own; one
 * loop runs them all, so that nothing here is shared but what main and the workers
 * bring.
 */
#include "http/http.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/slog.h"
#include "http/http_priv.h"

enum { TICK_MS = 250, LINGER_US = 2000000, DOORS_MAX = 64, HTTP_NICENESS = 5 };

/* --- main's part ---------------------------------------------------------------------- */

static void wake(struct http *h)
{
	uint64_t one = 1;

	/* Full means that it is awake anyway. */
	if (write(h->wake_fd, &one, sizeof(one)) < 0)
		return;
}

int http_create(struct http **out, struct console *console, struct router *router,
	const char *io_backend, const struct http_calls *calls)
{
	struct http *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return -ENOMEM;
	h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->wake_fd < 0) {
		free(h);
		return -errno;
	}
	h->console = console;
	h->router = router;
	h->io_backend = io_backend;
	h->calls = *calls;
	h->start_wall_us = clock_wall_us();
	pthread_mutex_init(&h->lock, NULL);
	list_init(&h->entrances);
	list_init(&h->orders);
	list_init(&h->arrived);
	list_init(&h->doors);
	list_init(&h->visitors);
	*out = h;
	return 0;
}

/* What opens its sockets, with the configuration that wants them. */
struct opening {
	const struct http *http;
	const struct config *config;
};

static int open_socket(void *arg, const struct addr *addr, bool *is_kept, bool *is_lent)
{
	const struct opening *o = arg;

	return o->http->calls.listen(o->http->calls.arg, o->config, addr, is_kept, is_lent);
}

static int take_within(void *arg, const struct addr *wide, struct addr *addr)
{
	const struct opening *o = arg;

	return o->http->calls.take_within(o->http->calls.arg, wide, addr);
}

int http_open(struct http *h, const struct config *config, struct diag *diag)
{
	const struct option_list *list = &config->http.listen;
	struct opening opening = { h, config };
	const struct listening_ops ops = { .who = "http: ",
		.size = sizeof(struct listening),
		.open = open_socket,
		.take_within = take_within,
		.arg = &opening };
	int ret = 0;

	listening_want_none(&h->entrances);
	for (size_t i = 0; ret == 0 && i < list->count; i++)
		ret = listening_want(&h->entrances, &ops, list->items[i], diag);
	return ret;
}

int http_begin(struct http *h, const struct config *config, struct diag *diag)
{
	list_for_each(&h->entrances, node) {
		struct listening *l = container_of(node, struct listening, node);
		int ret = h->calls.listen_now(h->calls.arg, config, &l->addr, l->fd);

		if (ret < 0) {
			diag_set(diag, NULL, 0, 0, "http: cannot listen on %s: %s", l->text,
				strerror(-ret));
			return ret;
		}
	}
	return 0;
}

static void order_free(struct http_order *order)
{
	http_values_finish(&order->values);
	free(order);
}

static struct http_order *make_order(struct http *h, const struct config *config)
{
	struct http_order *order;
	size_t count = 0;

	list_for_each(&h->entrances, node) count++;
	order = calloc(1, sizeof(*order) + count * sizeof(order->doors[0]));
	if (order != NULL && !http_values_init(&order->values, config)) {
		order_free(order);
		order = NULL;
	}
	return order;
}

/* Sockets that are not wanted any more are the thread's to close. */
void http_commit(struct http *h, const struct config *config)
{
	struct http_order *order = make_order(h, config);

	if (order == NULL) {
		SLOG(ERROR, "http-listen", "error=\"%s\"", "out of memory");
		http_abandon(h);
		return;
	}
	list_for_each_safe(&h->entrances, node) {
		struct listening *l = container_of(node, struct listening, node);

		order->doors[order->count++] = (struct http_order_door){ .fd = l->fd,
			.addr = l->addr,
			.is_wanted = l->is_wanted,
			.keeps_name = listening_keeps_name(l) };
		if (l->is_new)
			SLOG(INFO, "http-listen", "address=%s", l->text);
		l->is_new = false;
		if (l->is_wanted)
			continue;
		SLOG(INFO, "http-listen-end", "address=%s", l->text);
		listening_free(l);
	}
	pthread_mutex_lock(&h->lock);
	list_push_back(&h->orders, &order->node);
	pthread_mutex_unlock(&h->lock);
	wake(h);
}

void http_abandon(struct http *h)
{
	listening_abandon(&h->entrances);
}

void http_each_socket(struct http *h, http_socket_f *f, void *arg)
{
	list_for_each(&h->entrances, node) {
		struct listening *l = container_of(node, struct listening, node);

		/* What is kept is known as inherited. */
		if (!l->is_kept)
			f(arg, l->fd, &l->addr);
	}
}

int http_hand_over(struct http *h)
{
	struct http_order *order = calloc(1, sizeof(*order));
	struct list_node *node;

	if (order == NULL)
		return -ENOMEM;
	order->hands_over = true;
	while ((node = list_first(&h->entrances)) != NULL)
		listening_free(container_of(node, struct listening, node));
	pthread_mutex_lock(&h->lock);
	list_push_back(&h->orders, &order->node);
	pthread_mutex_unlock(&h->lock);
	wake(h);
	return 0;
}

bool http_has_left(const struct http *h)
{
	return atomic_load(&h->has_left);
}

void http_own(struct http *h, const struct config *config)
{
	listening_own(&h->entrances, (int)config->process.listen_backlog,
		config->process.unix_socket_mode);
}

void http_ready(struct http *h)
{
	atomic_store(&h->has_started, true);
}

/* --- doors ------------------------------------------------------------------------------ */

static struct http_door *find_door(struct http *h, int fd)
{
	list_for_each(&h->doors, node) {
		struct http_door *door = container_of(node, struct http_door, node);

		if (door->fd == fd && !door->is_leaving)
			return door;
	}
	return NULL;
}

/* Paths are compared as they were sent: nothing that is served here needs escapes. */
static size_t on_unescape(void *arg, struct MHD_Connection *connection, char *text)
{
	(void)arg;
	(void)connection;
	return strlen(text);
}

/* What the library has to say is about its clients. */
static void on_library_log(void *arg, const char *fmt, va_list args) PRINTF_LIKE(2, 0);

static void on_library_log(void *arg, const char *fmt, va_list args)
{
	char text[256], quoted[300];

	(void)arg;
	(void)vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	SLOG_LIMITED(DEBUG, "http-library", "text=%s",
		slog_quote(quoted, sizeof(quoted), text, strlen(text)));
}

static void door_open(struct http *h, int fd, const struct addr *addr, bool keeps_name)
{
	struct http_door *door = calloc(1, sizeof(*door));

	if (door != NULL) {
		door->http = h;
		door->fd = fd;
		door->addr = *addr;
		door->is_loopback = addr_is_loopback(addr);
		door->keeps_name = keeps_name;
		door->daemon = MHD_start_daemon(
			MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0,
			http_visitor_on_accept, door, http_on_request, h,
			MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
			MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_HEAD_MAX,
			MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL,
			MHD_OPTION_NOTIFY_CONNECTION, http_visitor_on_connection, door,
			MHD_OPTION_URI_LOG_CALLBACK, http_visitor_on_line, NULL,
			MHD_OPTION_NOTIFY_COMPLETED, http_visitor_on_completed, door,
			MHD_OPTION_END);
	}
	if (door == NULL || door->daemon == NULL) {
		SLOG(ERROR, "http-listen", "error=\"%s\"", "the HTTP library does not start");
		addr_listen_end(fd, addr, keeps_name);
		free(door);
		return;
	}
	list_push_back(&h->doors, &door->node);
}

static void door_leave(struct http_door *door)
{
	if (door->is_leaving)
		return;
	door->is_leaving = true;
	(void)MHD_quiesce_daemon(door->daemon);
	addr_listen_end(door->fd, &door->addr, door->keeps_name);
	door->fd = -1;
}

static bool has_visitors(const struct http_door *door)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(door->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info != NULL && info->num_connections > 0;
}

/* False: somebody's view is still on its way, or who was let in last has not asked yet. */
static bool door_close(struct http_door *door)
{
	if (door->waiting > 0 || (clock_now_us() < door->until_us && has_visitors(door)))
		return false;
	list_remove(&door->node);
	MHD_stop_daemon(door->daemon);
	free(door);
	return true;
}

static const struct http_order_door *find_order(const struct http_order *order, int fd)
{
	for (size_t i = 0; i < order->count; i++) {
		if (order->doors[i].fd == fd)
			return &order->doors[i];
	}
	return NULL;
}

static void leave_unwanted(struct http *h, const struct http_order *order)
{
	list_for_each_safe(&h->doors, node) {
		struct http_door *door = container_of(node, struct http_door, node);
		const struct http_order_door *is = find_order(order, door->fd);

		door->keeps_name = door->keeps_name || order->hands_over ||
			(is != NULL && is->keeps_name);
		if (door->is_leaving || (is != NULL && is->is_wanted))
			continue;
		door->until_us = clock_now_us() + LINGER_US;
		door_leave(door);
	}
}

static void carry_out(struct http *h, struct http_order *order)
{
	if (!order->hands_over) {
		http_values_finish(&h->values);
		h->values = order->values;
		order->values = (struct http_values){ .bearer = NULL };
	}
	leave_unwanted(h, order);
	for (size_t i = 0; i < order->count; i++) {
		const struct http_order_door *is = &order->doors[i];

		if (is->is_wanted && find_door(h, is->fd) == NULL)
			door_open(h, is->fd, &is->addr, is->keeps_name);
	}
	if (order->hands_over)
		atomic_store(&h->has_left, true);
	order_free(order);
}

/* True: it is over. */
static bool take_orders(struct http *h)
{
	struct list_node *node;
	struct list now;
	bool is_over;

	list_init(&now);
	pthread_mutex_lock(&h->lock);
	list_splice_back(&now, &h->orders);
	is_over = h->is_over;
	pthread_mutex_unlock(&h->lock);
	while ((node = list_pop_front(&now)) != NULL)
		carry_out(h, container_of(node, struct http_order, node));
	return is_over;
}

/* --- the loop --------------------------------------------------------------------------- */

static int daemon_fd(struct MHD_Daemon *daemon)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);

	return info == NULL ? -1 : info->epoll_fd;
}

/* Until something is to be done.  Deadlines are looked at four times a second; while nobody
 * asks there are none. */
static void wait_for_something(struct http *h)
{
	struct pollfd fds[DOORS_MAX + 1];
	MHD_UNSIGNED_LONG_LONG wish;
	int timeout_ms = list_is_empty(&h->visitors) ? -1 : TICK_MS;
	nfds_t count = 0;
	uint64_t wakes;

	fds[count++] = (struct pollfd){ .fd = h->wake_fd, .events = POLLIN };
	list_for_each(&h->doors, node) {
		struct http_door *door = container_of(node, struct http_door, node);

		if (door->is_leaving && timeout_ms < 0)
			timeout_ms = TICK_MS;
		if (MHD_get_timeout(door->daemon, &wish) == MHD_YES &&
			(timeout_ms < 0 || wish < (MHD_UNSIGNED_LONG_LONG)timeout_ms))
			timeout_ms = wish < TICK_MS ? (int)wish : TICK_MS;
		if (count <= DOORS_MAX)
			fds[count++] = (struct pollfd){ .fd = daemon_fd(door->daemon),
				.events = POLLIN };
	}
	/* An error is a signal at most: everything is looked at all the same. */
	(void)poll(fds, count, timeout_ms);
	while (read(h->wake_fd, &wakes, sizeof(wakes)) > 0)
		;
}

static void run_doors(struct http *h)
{
	list_for_each_safe(&h->doors, node) {
		struct http_door *door = container_of(node, struct http_door, node);

		(void)MHD_run(door->daemon);
		if (door->is_leaving)
			(void)door_close(door);
	}
}

static void *http_main(void *arg)
{
	struct http *h = arg;
	bool is_over = false;

	(void)pthread_setname_np(pthread_self(), "http");
	/* Who looks waits for the data path, where processors are short; on Linux a thread has
	   a niceness of its own (setpriority(2), "C library/kernel differences"). */
	(void)setpriority(PRIO_PROCESS, 0, HTTP_NICENESS);
	while (!is_over || !list_is_empty(&h->doors)) {
		wait_for_something(h);
		is_over = take_orders(h);
		list_for_each(&h->doors, node) {
			if (is_over)
				door_leave(container_of(node, struct http_door, node));
		}
		http_visitors_take_arrived(h);
		http_visitors_look(h, clock_now_us());
		run_doors(h);
	}
	return NULL;
}

int http_start(struct http *h)
{
	int error = pthread_create(&h->thread, NULL, http_main, h);

	h->has_thread = error == 0;
	return -error;
}

void http_stop(struct http *h)
{
	if (h == NULL || !h->has_thread)
		return;
	pthread_mutex_lock(&h->lock);
	h->is_over = true;
	pthread_mutex_unlock(&h->lock);
	wake(h);
	(void)pthread_join(h->thread, NULL);
	h->has_thread = false;
	/* Their sockets were the thread's. */
	list_for_each_safe(&h->entrances, node) {
		struct listening *l = container_of(node, struct listening, node);

		if (!l->is_new)
			listening_free(l);
	}
}

/* Letters that are still under way belong to the console. */
void http_destroy(struct http **slot)
{
	struct http *h = *slot;
	struct list_node *node;

	*slot = NULL;
	if (h == NULL)
		return;
	http_abandon(h);
	while ((node = list_pop_front(&h->orders)) != NULL)
		order_free(container_of(node, struct http_order, node));
	while ((node = list_first(&h->entrances)) != NULL)
		listening_end(container_of(node, struct listening, node));
	http_values_finish(&h->values);
	pthread_mutex_destroy(&h->lock);
	close(h->wake_fd);
	free(h);
}
