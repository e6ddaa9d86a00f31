/* SPDX-License-Identifier: ISC */
/*
 * PAUSE and RESUME by a signal, as PgBouncer has them.
 */
#include <signal.h>

#include "base/slog.h"
#include "main/program.h"

/* Why it cannot be paused now; NULL: it can. */
static const char *pause_all(struct program *p)
{
	if (atomic_load(&p->router.hands_over))
		return "a restart is under way, or has been";
	if (atomic_load(&p->router.drain) != ROUTER_SERVES)
		return "it is shutting down";
	if (suspend_is_on(&p->router))
		return "it is suspended";
	switch (directory_pause(p->directory, NULL, true)) {
	case ROUTE_HOLD_DONE:
		return NULL;
	case ROUTE_HOLD_NO_MEMORY:
		return "out of memory";
	case ROUTE_HOLD_NO_DATABASE:
	case ROUTE_HOLD_ALREADY:
		break;
	}
	return "it is paused already";
}

static const char *resume_all(struct program *p)
{
	if (atomic_load(&p->router.drain) == ROUTER_DRAINS_SERVERS)
		return "it is shutting down";
	if (atomic_load(&p->router.drain) == ROUTER_HANDED_OVER)
		return "another process has taken over";
	if (suspend_set(&p->router, false) ||
		directory_pause(p->directory, NULL, false) == ROUTE_HOLD_DONE)
		return NULL;
	return "it is neither paused nor suspended";
}

void pause_told(struct program *p, int signal)
{
	bool is_pause = signal == SIGUSR1;
	const char *why = is_pause ? pause_all(p) : resume_all(p);

	if (why != NULL) {
		SLOG(WARN, "signal-ignored", "signal=%s reason=\"%s\"",
			is_pause ? "SIGUSR1" : "SIGUSR2", why);
		return;
	}
	if (is_pause)
		SLOG(INFO, "pause", "signal=SIGUSR1");
	else
		SLOG(INFO, "resume", "signal=SIGUSR2");
	handover_tend(p);
}
