/* SPDX-License-Identifier: ISC */
/*
 * Telling systemd how it goes: sd_notify(3).  Where nobody asked for it (no
 * NOTIFY_SOCKET), all of it does nothing.
 *
 * The watchdog is fed only when a letter has gone through all workers: a process of
 * which a thread hangs is not alive.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "base/clock.h"
#include "main/program.h"

#ifdef HAVE_LIBSYSTEMD

enum { STATUS_US = 1000000 };

static struct {
	struct mail mail;
	_Atomic bool is_back;
	bool is_under_way;
	uint64_t every_us;              /* 0: nobody watches */
	uint64_t next_us;
	uint64_t status_us;
} watch;

static void deliver(struct mail *mail, struct worker *w)
{
	const struct router *r = w->router;

	if (w->index + 1 < r->worker_count)
		worker_post(r->workers[w->index + 1], mail);
	else
		atomic_store(&watch.is_back, true);
}

static void feed_watchdog(struct program *p, uint64_t now_us)
{
	if (watch.is_under_way && atomic_exchange(&watch.is_back, false)) {
		watch.is_under_way = false;
		(void)sd_notify(0, "WATCHDOG=1");
	}
	if (watch.every_us == 0 || watch.is_under_way || now_us < watch.next_us)
		return;
	watch.is_under_way = true;
	watch.next_us = now_us + watch.every_us;
	watch.mail.deliver = deliver;
	worker_post(p->router.workers[0], &watch.mail);
}

/* What somebody may have forgotten; "": nothing. */
static const char *held(const struct program *p)
{
	struct route_holds holds;

	if (suspend_is_on(&p->router))
		return "; suspended, RESUME ends that";
	directory_holds_count(p->directory, &holds);
	return holds.paused > 0 ? "; paused, see SHOW DATABASES" : "";
}

static void tell_status(const struct program *p)
{
	uint32_t used = 0, limit = 0;

	for (uint32_t i = 0; i < directory_host_count(p->directory); i++) {
		struct monitor *m = &directory_host(p->directory, i)->monitor;

		pthread_mutex_lock(&m->lock);
		used += m->budget.used;
		limit += m->budget.limit;
		pthread_mutex_unlock(&m->lock);
	}
	(void)sd_notifyf(0, "STATUS=%s: %u clients, %u of %u server connections%s%s",
		atomic_load(&p->router.drain) == ROUTER_SERVES ? "serving" : "draining",
		atomic_load(&p->router.clients), used, limit, held(p),
		atomic_load(&p->router.is_reload_refused) ? "; the last reload was refused, see the log" : "");
}

bool notify_is_heard(void)
{
	return getenv("NOTIFY_SOCKET") != NULL;
}

void notify_ready(struct program *p)
{
	uint64_t watchdog_us = 0;

	/* Twice as often as it has to be, and once more for the way around. */
	if (sd_watchdog_enabled(0, &watchdog_us) > 0)
		watch.every_us = watchdog_us / 3;
	/* The unit is ready, and listens to the old process until that has said otherwise
	 * (MAINPID): what it hears of this one before is a warning in its log. */
	if (handover_is_heir(p)) {
		watch.next_us = clock_now_us() + watch.every_us;
		watch.status_us = clock_now_us() + STATUS_US;
		return;
	}
	tell_status(p);
	(void)sd_notify(0, "READY=1");
}

/* systemd waits for the READY that follows: sd_notify(3), Type=notify-reload. */
void notify_reloading(void)
{
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lu",
		(unsigned long)clock_now_us());
}

void notify_reloaded(struct program *p)
{
	tell_status(p);
	(void)sd_notify(0, "READY=1");
}

void notify_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1");
}

/* From here on it is the other that is listened to. */
void notify_successor(long pid)
{
	(void)sd_notifyf(0, "MAINPID=%ld", pid);
}

int notify_take_sockets(struct inherited *in, struct diag *diag)
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(1, &names);
	int ret = 0;

	for (int i = 0; i < count; i++) {
		ret = inherited_add(in, SD_LISTEN_FDS_START + i, names[i], true);
		if (ret < 0)
			break;
	}
	if (ret == -EINVAL)
		diag_set(diag, NULL, 0, 0,
			"a socket of systemd is none that listens on a stream: ListenStream= it must be, with Accept=no");
	else if (ret < 0 || count < 0)
		diag_set(diag, NULL, 0, 0, "cannot take the sockets of systemd: %s",
			strerror(ret < 0 ? -ret : -count));
	for (int i = 0; i < count; i++)
		free(names[i]);
	free(names);
	return count < 0 ? count : ret;
}

void notify_tick(struct program *p)
{
	uint64_t now_us = clock_now_us();

	/* Who has handed over is not listened to any more. */
	if (!notify_is_heard() || p->handover.phase == HANDOVER_DONE)
		return;
	feed_watchdog(p, now_us);
	if (now_us < watch.status_us)
		return;
	watch.status_us = now_us + STATUS_US;
	tell_status(p);
}

#else

bool notify_is_heard(void)
{
	return false;
}

void notify_ready(struct program *p)
{
	(void)p;
}

void notify_reloading(void)
{
}

void notify_reloaded(struct program *p)
{
	(void)p;
}

void notify_stopping(void)
{
}

void notify_successor(long pid)
{
	(void)pid;
}

int notify_take_sockets(struct inherited *in, struct diag *diag)
{
	(void)in;
	(void)diag;
	return 0;
}

void notify_tick(struct program *p)
{
	(void)p;
}

#endif
