/* SPDX-License-Identifier: ISC */
/*
 * The console: what answers on the virtual databases pgbouncer and pgtandem.
 *
 * Owns:   its own state; sessions and pools are read, never changed but through
 *         commands.
 * Thread: queries run on the worker of the client that asks; console_done_f may
 *         be called by any.
 */
#ifndef ADMIN_CONSOLE_H
#define ADMIN_CONSOLE_H

#include "session/router.h"

struct console;

typedef void console_done_f(void *done_arg, bool ok, const char *text);

/* What main does for the console. */
struct console_calls {
	/* Begins a reload; done comes later, on any thread, exactly once. */
	void (*reload)(void *arg, console_done_f *done, void *done_arg);
	/* The same for one setting, until the next reload. */
	void (*set)(void *arg, const char *name, const char *value, console_done_f *done,
		void *done_arg);
	/* Another process takes over; done as for a reload. */
	void (*restart)(void *arg, console_done_f *done, void *done_arg);
	/* mode: enum router_drain; ROUTER_SERVES means at once. */
	void (*shutdown)(void *arg, int mode);
	void *arg;
};

/* With the configuration of the start.  Returns 0 or -ENOMEM.  The router need not be
 * initialised yet. */
NODISCARD int console_create(struct console **, struct router *,
	const struct console_calls *, const struct config *);
/* Does the program run with that value of a setting that takes effect at a restart only? */
bool console_runs_with(const struct console *, const char *name, const char *value);
void console_destroy(struct console **);

/* Carries out, in a process that drains, what was asked of the one that has taken over:
 * "KILL", "KILL name", "KILL_CLIENT id", "RECONNECT", "RECONNECT name".  A pause is told
 * apart from that.  By main; it comes to pass on the workers. */
void console_order(struct console *, const char *text);
void console_fill_ops(struct console *, struct console_ops *);
/* By main, now and then: the averages of SHOW STATS are of the last whole period.
 * is_logged: a line of the log each time. */
void console_tick(struct console *, uint64_t period_us, bool is_logged);

#endif
