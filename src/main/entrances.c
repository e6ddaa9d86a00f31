/* SPDX-License-Identifier: ISC */
/*
 * Listening sockets.  A reload opens the new ones before anything is changed, so
 * that it can still be refused; those that are gone are closed when every worker
 * has left them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/slog.h"
#include "main/program.h"

/* One order to all workers; freed by the last. */
struct order {
	_Atomic uint32_t left;
	struct route_workload *workload;        /* NULL: leave the socket */
	struct addr addr;
	int fd;
	bool is_kept;
};

struct order_mail {
	struct mail mail;
	struct order *order;
};

static void deliver(struct mail *mail, struct worker *w)
{
	struct order_mail *m = container_of(mail, struct order_mail, mail);
	struct order *order = m->order;
	int ret;

	free(m);
	if (order->workload == NULL) {
		worker_close_door(w, order->fd);
	} else {
		ret = worker_open_door(w, order->workload, order->fd);
		if (ret < 0)
			SLOG(ERROR, "listen", "worker=%u error=\"%s\"", w->index,
				strerror(-ret));
	}
	if (atomic_fetch_sub(&order->left, 1) != 1)
		return;
	if (order->workload == NULL)
		addr_listen_end(order->fd, &order->addr, order->is_kept);
	free(order);
}

static struct entrance *of(struct list_node *node)
{
	return container_of(node, struct entrance, at.node);
}

static void tell_workers(struct program *p, const struct entrance *e,
	struct route_workload *workload)
{
	struct order *order = calloc(1, sizeof(*order));
	struct order_mail *mails[ROUTER_WORKERS_MAX] = { NULL };
	bool ok = order != NULL;

	for (uint32_t i = 0; ok && i < p->thread_count; i++) {
		mails[i] = calloc(1, sizeof(*mails[i]));
		ok = mails[i] != NULL;
	}
	if (!ok) {
		SLOG(ERROR, "listen", "address=%s error=\"out of memory\"", e->at.text);
		for (uint32_t i = 0; i < p->thread_count; i++)
			free(mails[i]);
		free(order);
		return;
	}
	order->left = p->thread_count;
	order->workload = workload;
	order->addr = e->at.addr;
	order->fd = e->at.fd;
	order->is_kept = listening_keeps_name(&e->at);
	for (uint32_t i = 0; i < p->thread_count; i++) {
		mails[i]->mail.deliver = deliver;
		mails[i]->order = order;
		worker_post(p->threads[i].worker, &mails[i]->mail);
	}
}

struct owner {
	uid_t uid;
	gid_t gid;
};

static void give(void *arg, int fd, const struct addr *addr)
{
	const struct owner *to = arg;

	(void)addr;
	/* The kernel lets nobody else open another one over it (SO_REUSEPORT in socket(7)): if it
	 * cannot be given away, that will say so. */
	if (fchown(fd, to->uid, to->gid) < 0)
		return;
}

void entrances_give(struct program *p, uid_t uid, gid_t gid)
{
	struct owner to = { uid, gid };

	list_for_each(&p->entrances, node) {
		struct entrance *e = of(node);

		if (!e->at.is_kept)
			give(&to, e->at.fd, &e->at.addr);
	}
	http_each_socket(p->http, give, &to);
}

/* What opens them, with the configuration that wants them. */
struct opening {
	struct program *program;
	const struct config *config;
};

static int open_socket(void *arg, const struct addr *addr, bool *is_kept, bool *is_lent)
{
	const struct opening *o = arg;

	return entrances_listen(o->program, o->config, addr, is_kept, is_lent);
}

static int take_within(void *arg, const struct addr *wide, struct addr *addr)
{
	const struct opening *o = arg;

	return inherited_take_within(&o->program->inherited, wide, addr);
}

static int open_list(struct program *p, const struct config *config,
	const struct option_list *list, struct diag *diag)
{
	struct opening opening = { p, config };
	const struct listening_ops ops = { .who = "",
		.size = sizeof(struct entrance),
		.open = open_socket,
		.take_within = take_within,
		.arg = &opening };
	int ret = 0;

	for (size_t k = 0; ret == 0 && k < list->count; k++)
		ret = listening_want(&p->entrances, &ops, list->items[k], diag);
	return ret;
}

int entrances_open(struct program *p, const struct config *config, struct diag *diag)
{
	int ret = 0;

	listening_want_none(&p->entrances);
	for (size_t i = 0; ret == 0 && i < config->workload_count; i++)
		ret = open_list(p, config, &config->workloads[i].options.listen, diag);
	return ret == 0 ? open_list(p, config, &config->admin.listen, diag) : ret;
}

int entrances_begin(struct program *p, const struct config *config, struct diag *diag)
{
	list_for_each(&p->entrances, node) {
		struct entrance *e = of(node);
		int ret = entrances_listen_now(p, config, &e->at.addr, e->at.fd);

		if (ret < 0) {
			diag_set(diag, NULL, 0, 0, "cannot listen on %s: %s", e->at.text,
				strerror(-ret));
			return ret;
		}
	}
	return http_begin(p->http, config, diag);
}

static bool list_has(const struct option_list *list, const struct addr *addr)
{
	for (size_t k = 0; k < list->count; k++) {
		struct addr each;
		char why[128];

		if (addr_parse_listen(list->items[k], &each, why, sizeof(why)) == 0 &&
			(addr_equal(&each, addr) || addr_covers(&each, addr)))
			return true;
	}
	return false;
}

/* Which workload an address, or what it is within, belongs to now. */
static struct route_workload *owner(struct program *p, const struct addr *addr)
{
	const struct config *config = p->config;

	for (size_t i = 0; i < config->workload_count; i++) {
		if (list_has(&config->workloads[i].options.listen, addr))
			return directory_current_workload(p->directory,
				config->workloads[i].name);
	}
	return list_has(&config->admin.listen, addr) ? directory_console(p->directory) : NULL;
}

void entrances_commit(struct program *p)
{
	list_for_each_safe(&p->entrances, node) {
		struct entrance *e = of(node);
		struct route_workload *workload = owner(p, &e->at.addr);

		e->at.is_new = false;
		if (e->at.is_wanted && workload == e->workload)
			continue;
		if (e->at.is_wanted && workload != NULL) {
			SLOG(INFO, "listen", "address=%s workload=%s pool_mode=%s", e->at.text,
				workload->name, route_mode_name(workload->mode));
			e->workload = workload;
			tell_workers(p, e, workload);
			continue;
		}
		SLOG(INFO, "listen-end", "address=%s", e->at.text);
		tell_workers(p, e, NULL);
		listening_free(&e->at);
	}
}

void entrances_abandon(struct program *p)
{
	listening_abandon(&p->entrances);
}

static bool is_any(const struct entrance *e)
{
	(void)e;
	return true;
}

/* Who asks for anything but the console is told that there is nothing else any more
 * (client_startup.c).  On a unix socket of systemd's others wait for the next process. */
static bool is_for_console(const struct entrance *e)
{
	return e->workload != NULL && !e->at.is_lent &&
		(e->workload->is_console || (addr_is_unix(&e->at.addr) && !e->at.is_kept));
}

static bool is_not_for_console(const struct entrance *e)
{
	return !is_for_console(e);
}

static bool is_own_for_others(const struct entrance *e)
{
	return !e->at.is_kept && !is_for_console(e);
}

static bool is_kept_for_others(const struct entrance *e)
{
	return e->at.is_kept && !is_for_console(e);
}

/* Sockets are left by the workers. */
static void close_those(struct program *p, bool is_one(const struct entrance *))
{
	list_for_each_safe(&p->entrances, node) {
		struct entrance *e = of(node);

		if (!is_one(e))
			continue;
		tell_workers(p, e, NULL);
		listening_free(&e->at);
	}
}

void entrances_close(struct program *p)
{
	close_those(p, is_any);
}

void entrances_leave_to_console(struct program *p)
{
	close_those(p, is_not_for_console);
}

/* --- handing over ---------------------------------------------------------------------- */

struct retirement {
	struct mail mail;
	struct program *program;
	bool only_kept;
};

static void deliver_retirement(struct mail *mail, struct worker *w)
{
	struct retirement *r = container_of(mail, struct retirement, mail);

	list_for_each(&r->program->entrances, node) {
		struct entrance *e = of(node);

		if (r->only_kept && is_for_console(e))
			worker_leave_door_to_console(w, e->at.fd);
		else
			worker_retire_door(w, e->at.fd);
	}
	atomic_fetch_sub(&r->program->retiring, 1);
	free(r);
}

/* The list does not change until entrances_are_left(). */
static int retire(struct program *p, bool only_kept)
{
	struct retirement *letters[ROUTER_WORKERS_MAX] = { NULL };
	bool ok = true;

	for (uint32_t i = 0; ok && i < p->thread_count; i++) {
		letters[i] = calloc(1, sizeof(*letters[i]));
		ok = letters[i] != NULL;
	}
	for (uint32_t i = 0; !ok && i < p->thread_count; i++)
		free(letters[i]);
	if (!ok)
		return -ENOMEM;
	atomic_store(&p->retiring, p->thread_count);
	for (uint32_t i = 0; i < p->thread_count; i++) {
		letters[i]->mail.deliver = deliver_retirement;
		letters[i]->program = p;
		letters[i]->only_kept = only_kept;
		worker_post(p->threads[i].worker, &letters[i]->mail);
	}
	return 0;
}

int entrances_hand_over(struct program *p)
{
	int ret = retire(p, false);

	if (ret < 0)
		return ret;
	/* Their names are the other process's from here on. */
	list_for_each(&p->entrances, node)
		of(node)->at.is_lent = true;
	return 0;
}

bool entrances_have_kept(const struct program *p)
{
	list_for_each(&p->entrances, node) {
		if (of(node)->at.is_kept)
			return true;
	}
	return false;
}

bool entrances_leave_kept(struct program *p)
{
	close_those(p, is_own_for_others);
	if (retire(p, true) == 0)
		return true;
	entrances_close_kept(p);
	return false;
}

void entrances_close_kept(struct program *p)
{
	close_those(p, is_kept_for_others);
}

bool entrances_are_left(struct program *p)
{
	if (atomic_load(&p->retiring) > 0)
		return false;
	for (uint32_t i = 0; i < p->thread_count; i++) {
		if (atomic_load(&p->threads[i].worker->doors_left) > 0)
			return false;
	}
	return true;
}

void entrances_own(struct program *p)
{
	const struct process_options *o = &p->config->process;

	listening_own(&p->entrances, (int)o->listen_backlog, o->unix_socket_mode);
}

/* --- systemd's --------------------------------------------------------------------------- */

static const struct option_list *list_of(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->workload_count; i++) {
		if (strcmp(config->workloads[i].name, name) == 0)
			return &config->workloads[i].options.listen;
	}
	if (strcmp(name, "admin") == 0)
		return &config->admin.listen;
	return strcmp(name, "http") == 0 ? &config->http.listen : NULL;
}

static bool list_wants(const struct option_list *list, const struct inherited_socket *s)
{
	for (size_t k = 0; k < list->count; k++) {
		struct addr each;
		char why[128];

		if (addr_parse_listen(list->items[k], &each, why, sizeof(why)) == 0 &&
			inherited_fits(s, &each))
			return true;
	}
	return false;
}

static bool is_wanted(const struct config *config, const struct inherited_socket *s)
{
	for (size_t i = 0; i < config->workload_count; i++) {
		if (list_wants(&config->workloads[i].options.listen, s))
			return true;
	}
	return list_wants(&config->admin.listen, s) || list_wants(&config->http.listen, s);
}

int entrances_check_inherited(const struct program *p, struct diag *diag)
{
	for (uint32_t i = 0; i < p->inherited.count; i++) {
		const struct inherited_socket *s = &p->inherited.list[i];
		const struct option_list *list = list_of(p->config, s->name);
		char text[ADDR_TEXT_MAX];

		if (!s->is_kept)
			continue;
		(void)addr_text(&s->addr, text, sizeof(text));
		if (list != NULL && !list_wants(list, s)) {
			diag_set(diag, NULL, 0, 0,
				"the socket of systemd that is named %s is %s, which %s.listen does not have",
				s->name, text, s->name);
			return -EINVAL;
		}
		if (!is_wanted(p->config, s))
			SLOG(WARN, "socket-unused",
				"address=%s name=\"%s\" text=\"systemd listens there, and no listen asks for it: whoever connects waits in vain\"",
				text, s->name);
	}
	return 0;
}
