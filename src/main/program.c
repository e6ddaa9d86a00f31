/* SPDX-License-Identifier: ISC */
#include "main/program.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/processors.h"
#include "base/slog.h"
#include "main/mock_key.h"
#include "route/resolver.h"
#include "session/server.h"

enum {
	TICK_US = 200000,
	TICK_SOON_US = 10000,           /* while another process follows or goes before */
	REST_US = 999999,               /* while there is nothing to wait for */
	WORKERS_AUTO_MAX = 4,
	BUDGET_PATIENCE_US = 1000000,   /* for PostgreSQL to say how much it has, at the start */
	BUDGET_LOOK_US = 5000
};

/* Asks the main thread to look at its requests. */
#define SIGNAL_REQUEST SIGRTMIN

/* --- workers ----------------------------------------------------------------------------- */

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) < 0)
		;
}

static void *worker_main(void *arg)
{
	struct worker_thread *t = arg;
	char name[16];

	/* As ps and debuggers show it. */
	(void)snprintf(name, sizeof(name), "worker-%u", t->index);
	(void)pthread_setname_np(pthread_self(), name);
	t->result = worker_create(&t->worker, &t->program->router, t->index,
		&t->program->io);
	sem_post(&t->program->started);
	if (t->result == 0)
		t->result = worker_run(t->worker);
	if (t->result < 0) {
		SLOG(ERROR, "worker-failed", "worker=%u error=\"%s\"", t->index,
			strerror(-t->result));
		pthread_kill(t->program->main_thread, SIGNAL_REQUEST);
	}
	if (t->worker != NULL)
		worker_end(t->worker);
	/* The others may still wake this one: its loop goes when all have ended. */
	sem_post(&t->program->ended);
	wait_for(&t->program->may_go);
	if (t->worker != NULL)
		worker_close_loop(t->worker);
	return NULL;
}

static uint32_t worker_count(const struct config *config)
{
	uint32_t usable = processors_usable();

	if (config->process.workers != 0)
		return config->process.workers;
	return usable > WORKERS_AUTO_MAX ? WORKERS_AUTO_MAX : usable;
}

static int start_workers(struct program *p, struct diag *diag)
{
	uint32_t count = worker_count(p->config);
	int failed = 0;

	p->router.worker_count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct worker_thread *t = &p->threads[i];

		*t = (struct worker_thread){ .program = p, .index = i };
		failed = pthread_create(&t->thread, NULL, worker_main, t);
		if (failed != 0)
			break;
		p->thread_count++;
	}
	for (uint32_t i = 0; i < p->thread_count; i++)
		wait_for(&p->started);
	for (uint32_t i = 0; i < p->thread_count; i++) {
		p->router.workers[i] = p->threads[i].worker;
		if (p->threads[i].result < 0)
			failed = -p->threads[i].result;
	}
	if (failed == 0)
		return 0;
	diag_set(diag, NULL, 0, 0, "cannot start %u workers: %s", count, strerror(failed));
	return -failed;
}

/* A letter may lead to another one. */
static void read_last_mail(struct program *p)
{
	bool more = true;

	while (more) {
		more = false;
		for (uint32_t i = 0; i < p->thread_count; i++) {
			if (p->threads[i].worker != NULL)
				more |= worker_read_last_mail(p->threads[i].worker);
		}
	}
}

static void stop_workers(struct program *p)
{
	for (uint32_t i = 0; i < p->thread_count; i++) {
		if (p->threads[i].worker != NULL)
			worker_stop(p->threads[i].worker);
	}
	for (uint32_t i = 0; i < p->thread_count; i++)
		wait_for(&p->ended);
	for (uint32_t i = 0; i < p->thread_count; i++)
		sem_post(&p->may_go);
	for (uint32_t i = 0; i < p->thread_count; i++)
		pthread_join(p->threads[i].thread, NULL);
	read_last_mail(p);
	for (uint32_t i = 0; i < p->thread_count; i++)
		worker_destroy(&p->threads[i].worker);
	if (p->directory == NULL)
		return;
	for (uint32_t i = 0; i < directory_host_count(p->directory); i++)
		server_abort_pooled(directory_host(p->directory, i));
}

/* --- console ------------------------------------------------------------------------------- */

static void free_request(struct reload_request *request)
{
	if (request != NULL && request->value != NULL)
		explicit_bzero(request->value, strlen(request->value));
	if (request != NULL) {
		free(request->name);
		free(request->value);
	}
	free(request);
}

/* To the main thread, which answers and frees it. */
static void post_request(struct program *p, struct reload_request *request,
	console_done_f *done, void *done_arg)
{
	request->done = done;
	request->done_arg = done_arg;
	pthread_mutex_lock(&p->requests_lock);
	list_push_back(&p->requests, &request->node);
	pthread_mutex_unlock(&p->requests_lock);
	pthread_kill(p->main_thread, SIGNAL_REQUEST);
}

static void call_set(void *arg, const char *name, const char *value, console_done_f *done,
	void *done_arg)
{
	struct program *p = arg;
	struct reload_request *request = calloc(1, sizeof(*request));

	if (request != NULL && name != NULL) {
		request->name = strdup(name);
		request->value = strdup(value);
	}
	if (request == NULL ||
		(name != NULL && (request->name == NULL || request->value == NULL))) {
		free_request(request);
		done(done_arg, false, "out of memory");
		return;
	}
	post_request(p, request, done, done_arg);
}

static void call_reload(void *arg, console_done_f *done, void *done_arg)
{
	call_set(arg, NULL, NULL, done, done_arg);
}

static void call_restart(void *arg, console_done_f *done, void *done_arg)
{
	struct program *p = arg;
	struct reload_request *request = calloc(1, sizeof(*request));

	if (request == NULL) {
		done(done_arg, false, "out of memory");
		return;
	}
	request->is_restart = true;
	post_request(p, request, done, done_arg);
}

static void call_shutdown(void *arg, int mode)
{
	static const int signals[] = {
		[ROUTER_SERVES] = SIGQUIT,
		[ROUTER_DRAINS_SERVERS] = SIGINT,
		[ROUTER_DRAINS_CLIENTS] = SIGTERM,
	};
	struct program *p = arg;

	atomic_store(&p->shutdown_mode, signals[mode]);
	pthread_kill(p->main_thread, SIGNAL_REQUEST);
}

static void answer_requests(struct program *p)
{
	struct list now;
	struct list_node *node;

	list_init(&now);
	pthread_mutex_lock(&p->requests_lock);
	list_splice_back(&now, &p->requests);
	pthread_mutex_unlock(&p->requests_lock);
	while ((node = list_pop_front(&now)) != NULL) {
		struct reload_request *request =
			container_of(node, struct reload_request, node);
		char text[PROGRAM_TEXT_MAX];
		bool ok;

		if (request->is_restart) {
			handover_begin(p, request->done, request->done_arg);
			free_request(request);
			continue;
		}
		ok = request->name == NULL ?
			program_reload(p, text, sizeof(text)) :
			program_set(p, request->name, request->value, text, sizeof(text));

		request->done(request->done_arg, ok, text);
		free_request(request);
	}
}

/* --- setting up ------------------------------------------------------------------------------- */

static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGQUIT);
	sigaddset(set, SIGUSR1);
	sigaddset(set, SIGUSR2);
	sigaddset(set, SIGNAL_REQUEST);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	/* Who has started us may have ignored it: then nobody could wait for a child. */
	(void)signal(SIGCHLD, SIG_DFL);
}

/* For tests and measurements: what docs/kernels.md has of kernels before 6.10. */
#define RECEIVE_VARIABLE "PGTANDEM_IO_RECEIVE"

static int choose_engine(struct program *p, struct diag *diag)
{
	static const enum io_backend backends[] = {
		[CONFIG_IO_AUTO] = IO_BACKEND_AUTO,
		[CONFIG_IO_URING] = IO_BACKEND_URING,
		[CONFIG_IO_EPOLL] = IO_BACKEND_EPOLL,
	};
	const char *receive = getenv(RECEIVE_VARIABLE);
	bool is_legacy = receive != NULL && strcmp(receive, "single") == 0;
	char why[512];
	int ret = io_probe(backends[p->config->process.io_backend], why, sizeof(why));

	if (ret < 0) {
		diag_set(diag, NULL, 0, 0, "process.io_backend: io_uring: %s", why);
		return ret;
	}
	p->io = (struct io_options){ .backend = (enum io_backend)ret, .legacy = is_legacy };
	if (why[0] != '\0')
		SLOG(WARN, "io-backend", "engine=epoll reason=\"%s\"", why);
	else
		SLOG(INFO, "io-backend", "engine=%s%s",
			ret == IO_BACKEND_EPOLL ? "epoll" : "io_uring",
			ret != IO_BACKEND_EPOLL && is_legacy ? " receive=single" : "");
	return 0;
}

/* The configuration, the log it asks for, and what the machine must allow. */
static int set_up_config(struct program *p, struct diag *diag)
{
	struct log_next log;
	int ret;

	p->config = config_load(p->path, diag);
	if (p->config == NULL)
		return -EINVAL;
	ret = log_open(p->config, &log, diag);
	if (ret < 0)
		return ret;
	log_commit(p->config, &log);
	ret = log_start();
	if (ret < 0)
		return ret;
	slog_set_level(p->config->log.level);
	ret = limits_apply(p->config, worker_count(p->config), diag);
	if (ret == 0)
		ret = choose_engine(p, diag);
	return ret;
}

/* All that is listened on, by workers and by HTTP; then privileges are given up. */
static int set_up_entrances(struct program *p, struct diag *diag)
{
	const struct console_calls calls = { .reload = call_reload,
		.set = call_set,
		.restart = call_restart,
		.shutdown = call_shutdown,
		.arg = p };
	struct http_calls http_calls;
	int ret;

	entrances_fill_calls(p, &http_calls);
	handover_know_limits(p);
	handover_share(p);
	ret = entrances_check_inherited(p, diag);
	if (ret == 0)
		ret = entrances_open(p, p->config, diag);
	if (ret == 0)
		ret = console_create(&p->console, &p->router, &calls, p->config);
	if (ret == 0)
		ret = http_create(&p->http, p->console, &p->router,
			p->io.backend == IO_BACKEND_EPOLL ? "epoll" : "io_uring",
			&http_calls);
	if (ret == 0)
		ret = http_open(p->http, p->config, diag);
	/* Until it has taken over the file is the other process's. */
	if (ret == 0 && !handover_is_heir(p))
		ret = limits_pid_file(p->config->process.pid_file, p->config->process.user,
			&p->pid_file, diag);
	if (ret == 0)
		ret = limits_become(p, diag);
	/* After that, which sets it anew. */
	if (ret == 0)
		limits_set_dumpable(p->config->process.core_dumps);
	return ret;
}

static int set_up_router(struct program *p, struct diag *diag)
{
	struct console_ops ops;
	int ret;

	console_fill_ops(p->console, &ops);
	ret = router_init(&p->router, p->directory, &ops,
		PGTANDEM_VERSION "/pgtandem");
	atomic_store(&p->router.quiet_elsewhere, handover_is_heir(p) ? 0 : UINT64_MAX);
	p->router.cancel_elsewhere = handover_cancel;
	p->router.order_elsewhere = handover_order;
	p->router.cancel_arg = p;
	if (ret == 0)
		ret = mock_key_set_up(p, diag);
	return ret;
}

static int set_up(struct program *p, struct diag *diag)
{
	int ret;

	/* First of all: where another process waits for this one it is told what fails. */
	ret = handover_receive(p, diag);
	if (ret == 0)
		ret = notify_take_sockets(&p->inherited, diag);
	if (ret == 0)
		ret = set_up_config(p, diag);
	if (ret == 0)
		ret = directory_create(&p->directory, p->config, worker_count(p->config),
			&router_directory_hooks, diag);
	if (ret == 0)
		ret = set_up_entrances(p, diag);
	if (ret == 0)
		ret = set_up_router(p, diag);
	if (ret < 0)
		return ret;
	program_apply_log(p);
	return start_workers(p, diag);
}

/* --- running -------------------------------------------------------------------------------------- */

/* True: stop now. */
static bool on_signal(struct program *p, int signal)
{
	char text[DIAG_TEXT_MAX + DIAG_FILE_MAX];

	if (signal == SIGNAL_REQUEST) {
		answer_requests(p);
		signal = atomic_exchange(&p->shutdown_mode, 0);
		drain_asked(p, signal == SIGQUIT ? 0 : signal);
		return signal == SIGQUIT;
	}
	if (signal != 0)
		first_pass_on(p, signal);
	switch (signal) {
	case SIGHUP:
		if (p->handover.phase != HANDOVER_NONE)
			program_reopen_log(p);
		if (p->handover.phase != HANDOVER_DONE)
			(void)program_reload(p, text, sizeof(text));
		return false;
	case SIGQUIT:
		return true;
	case SIGUSR1:
	case SIGUSR2:
		pause_told(p, signal);
		return false;
	case SIGTERM:
	case SIGINT:
		return drain_told(p, signal);
	default:
		return false;
	}
}

static bool workers_are_well(const struct program *p)
{
	for (uint32_t i = 0; i < p->thread_count; i++) {
		if (p->threads[i].result < 0)
			return false;
	}
	return true;
}

/* Is more configured than PostgreSQL has?  A host that does not answer at once is told
 * of when it does: being down must not keep the router from starting. */
static int check_budgets(struct program *p, struct diag *diag)
{
	const struct timespec pause = { .tv_nsec = BUDGET_LOOK_US * 1000 };
	uint64_t until_us = clock_now_us() + BUDGET_PATIENCE_US;
	int ret;

	while ((ret = directory_check_budgets(p->directory, diag)) == -EAGAIN &&
		clock_now_us() < until_us)
		(void)nanosleep(&pause, NULL);
	return ret == -EAGAIN ? 0 : ret;
}

/* Requests come with a signal; is anything else to be seen or told soon? */
static bool is_busy(const struct program *p)
{
	return atomic_load(&p->router.drain) != ROUTER_SERVES ||
		resolver_is_busy(p->resolver) || notify_is_heard();
}

static int wait_for_the_end(struct program *p, const sigset_t *set)
{
	struct timespec tick = { .tv_nsec = TICK_US * 1000 };
	bool is_soon;

	p->resolver = resolver_create(clock_now_us() + USEC_PER_SEC);
	if (p->resolver == NULL)
		return -ENOMEM;
	for (;;) {
		int signal = sigtimedwait(set, NULL, &tick);

		if (signal > 0 && on_signal(p, signal))
			return 0;
		if (drain_is_over(p))
			return 0;
		if (!workers_are_well(p))
			return -EIO;
		is_soon = handover_tick(p);
		drain_tick(p);
		notify_tick(p);
		console_tick(p->console, p->config->log.stats_period_us, p->config->log.log_stats);
		resolver_tick(p->resolver, p->directory, clock_now_us());
		tick.tv_nsec = 1000 *
			(is_soon ? TICK_SOON_US : is_busy(p) ? TICK_US : REST_US);
	}
}

static void tear_down(struct program *p)
{
	struct list_node *node;

	if (p->handover.phase == HANDOVER_STARTING)
		handover_stop_successor(p);
	resolver_destroy(&p->resolver);
	http_stop(p->http);
	stop_workers(p);
	while ((node = list_first(&p->entrances)) != NULL)
		listening_end(container_of(node, struct listening, node));
	while ((node = list_pop_front(&p->requests)) != NULL)
		free_request(container_of(node, struct reload_request, node));
	if (p->router.directory != NULL)
		router_finish(&p->router);
	if (p->pid_file != NULL)
		limits_remove_pid_file(p->pid_file);
	free(p->pid_file);
	http_destroy(&p->http);
	console_destroy(&p->console);
	directory_destroy(&p->directory);
	config_unref(p->config);
	handover_finish(p);
	inherited_finish(&p->inherited);
	overlay_finish(&p->overlay);
	sem_destroy(&p->started);
	sem_destroy(&p->ended);
	sem_destroy(&p->may_go);
	pthread_mutex_destroy(&p->requests_lock);
}

/* As it is called now: what is there when it comes to a restart may be a newer one. */
static void find_program(struct program *p)
{
	ssize_t len = readlink("/proc/self/exe", p->exe, sizeof(p->exe) - 1);

	p->exe[len < 0 ? 0 : len] = '\0';
}

static int open_http(struct program *p)
{
	http_commit(p->http, p->config);
	return http_start(p->http);
}

static int take_over(struct program *p, struct diag *diag)
{
	struct diag why;
	int ret = handover_take(p, diag);

	if (ret < 0)
		return ret;
	http_own(p->http, p->config);
	http_ready(p->http);
	ret = open_http(p);
	if (ret < 0)
		return ret;
	diag_clear(&why);
	if (limits_pid_file(p->config->process.pid_file, p->config->process.user, &p->pid_file,
		    &why) < 0)
		SLOG(ERROR, "pid-file", "error=\"%s\"", why.text);
	return 0;
}

int program_run(struct program *p, const char *path)
{
	char text[DIAG_TEXT_MAX + DIAG_FILE_MAX];
	struct diag diag;
	sigset_t set;
	int ret;

	memset(p, 0, sizeof(*p));
	p->path = path;
	p->main_thread = pthread_self();
	handover_init(p);
	find_program(p);
	list_init(&p->entrances);
	list_init(&p->requests);
	pthread_mutex_init(&p->requests_lock, NULL);
	sem_init(&p->started, 0, 0);
	sem_init(&p->ended, 0, 0);
	sem_init(&p->may_go, 0, 0);
	block_signals(&set);
	diag_clear(&diag);
	log_begin();
	ret = set_up(p, &diag);
	/* Where another one serves that answers until it is this one's turn. */
	if (ret == 0 && !handover_is_heir(p))
		ret = open_http(p);
	if (ret == 0)
		ret = check_budgets(p, &diag);
	if (ret == 0 && handover_is_heir(p))
		ret = take_over(p, &diag);
	if (ret == 0) {
		entrances_commit(p);
		http_ready(p->http);
		notify_ready(p);
		SLOG(INFO, "start", "version=%s workers=%u config=%s", PGTANDEM_VERSION,
			p->thread_count, path);
		ret = wait_for_the_end(p, &set);
		SLOG(INFO, "stop", "clients=%u", atomic_load(&p->router.clients));
	} else {
		SLOG(ERROR, "start-failed", "error=\"%s\"",
			diag_format(&diag, text, sizeof(text)));
		handover_give_up(p, text);
		/* Who starts it looks there. */
		if (p->config != NULL && p->config->log.destination != CONFIG_LOG_STDERR)
			(void)fprintf(stderr, "pgtandem: %s\n", text);
	}
	tear_down(p);
	log_end();
	ret = ret == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	return p->handover.phase == HANDOVER_DONE ? first_stay(&set, ret) : ret;
}
