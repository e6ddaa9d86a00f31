/* SPDX-License-Identifier: ISC */
/*
 * The end of the process, in peace: who is told of it, and when it has come.
 */
#include <signal.h>

#include "base/clock.h"
#include "base/slog.h"
#include "main/program.h"

enum { DRAIN_TICK_US = 200000 };

void program_begin_drain(struct program *p, enum router_drain drain)
{
	bool has_handed_over = p->handover.phase == HANDOVER_DONE;

	/* Nobody is to follow where all is to end. */
	if (!has_handed_over)
		handover_stop_successor(p);
	SLOG(INFO, "drain", "waits_for=%s",
		drain == ROUTER_DRAINS_SERVERS ? "servers" : "clients");
	atomic_store(&p->router.lets_in,
		drain == ROUTER_DRAINS_CLIENTS && entrances_have_kept(p));
	atomic_store(&p->router.drain, (int)drain);
	/* Nobody could come to an end. */
	(void)suspend_set(&p->router, false);
	/* What is given back is not needed any more: PgBouncer's PAUSE. */
	if (drain == ROUTER_DRAINS_SERVERS &&
		directory_pause(p->directory, NULL, true) == ROUTE_HOLD_DONE)
		handover_tend(p);
	/* Who asks for more asks for no more time. */
	if (p->drain_since_us == 0)
		p->drain_since_us = clock_now_us();
	program_tell_workers(p);
	/* Or the workers are leaving already. */
	if (has_handed_over || p->leaves_kept)
		return;
	if (atomic_load(&p->router.lets_in))
		p->leaves_kept = entrances_leave_kept(p);
	else
		entrances_leave_to_console(p);
	notify_stopping();
}

void drain_tick(struct program *p)
{
	uint64_t now = clock_now_us();

	if (p->drain_since_us == 0 || now - p->drain_told_us < DRAIN_TICK_US)
		return;
	p->drain_told_us = now;
	program_tell_workers(p);
}

uint32_t program_all_clients(const struct program *p)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < p->thread_count; i++)
		count += atomic_load(&p->threads[i].worker->client_count);
	return count;
}

static uint32_t consoles(const struct program *p)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < p->thread_count; i++)
		count += atomic_load(&p->threads[i].worker->clients_in_state[CLIENT_ADMIN]);
	return count;
}

/* A pause is the console's to end; when that is empty nobody can come in to do it. */
static void end_pauses(struct program *p)
{
	if (consoles(p) == 0 && directory_resume_all(p->directory))
		handover_tend(p);
}

static void count_leased(const struct pool_server *s, void *arg)
{
	uint32_t *count = arg;

	if (s->state == SERVER_LEASED || s->state == SERVER_CLEANING)
		++*count;
}

static uint32_t proven_clients(const struct program *p)
{
	return atomic_load(&p->router.clients);
}

/* Without those who look on, who come and go while they are counted. */
static uint32_t but_lookers(const struct program *p, uint32_t (*count)(const struct program *))
{
	uint32_t changes, lookers, all;

	do {
		changes = atomic_load(&p->router.late_changes);
		lookers = atomic_load(&p->router.late_consoles);
		all = count(p);
	} while (changes != atomic_load(&p->router.late_changes));
	return all > lookers ? all - lookers : 0;
}

/* Where systemd listens nobody is to notice that the process is another one: who has been
 * let in is served, though it may not have logged in yet. */
static uint32_t count_clients(struct program *p)
{
	if (!atomic_load(&p->router.lets_in))
		return but_lookers(p, proven_clients);
	return but_lookers(p, program_all_clients);
}

/* False: not yet. */
static bool has_left_kept(struct program *p)
{
	if (p->leaves_kept && !entrances_are_left(p))
		return false;
	if (p->leaves_kept)
		entrances_close_kept(p);
	p->leaves_kept = false;
	return true;
}

/* As the setting is now: it may have been changed since it began. */
static bool has_timed_out(const struct program *p)
{
	uint64_t limit = p->config->process.drain_timeout_us;

	return limit != 0 && clock_now_us() - p->drain_since_us >= limit;
}

bool drain_is_over(struct program *p)
{
	uint32_t count = 0;

	switch ((enum router_drain)atomic_load(&p->router.drain)) {
	case ROUTER_SERVES:
		return false;
	case ROUTER_DRAINS_CLIENTS:
		end_pauses(p);
		count = has_left_kept(p) ? count_clients(p) : 1;
		break;
	case ROUTER_HANDED_OVER:
		/* systemd starts the unit again when the main process has died, but not before
		 * all others have ended: until then nobody would be served. */
		if (p->is_told && p->handover.fd < 0 && notify_is_heard())
			return true;
		/* Its console was the other process's, which has ended. */
		if (p->handover.fd < 0 && directory_resume_all(p->directory))
			handover_tend(p);
		count = entrances_are_left(p) ? program_all_clients(p) : 1;
		/* Whoever looks on, as an exporter, keeps nothing here. */
		if (entrances_are_left(p) && count > 0 && count == consoles(p))
			atomic_store(&p->router.is_empty, true);
		/* Once it is gone all of the budget is the other process's. */
		if (count == 0)
			count = handover_units(p);
		break;
	case ROUTER_DRAINS_SERVERS:
		count = has_left_kept(p) ? 0 : 1;
		for (uint32_t i = 0; i < directory_host_count(p->directory); i++)
			monitor_each_server(&directory_host(p->directory, i)->monitor,
				count_leased, &count);
		break;
	}
	/* With the process that it knows as the main one systemd ends all others of the unit, and
	 * those before this one still have clients; a second SIGTERM would end them at once. */
	if (notify_is_heard())
		count += p->handover.before_count;
	return count == 0 || has_timed_out(p);
}

/* What has handed over drains already: the first SIGTERM, which may be for a whole group
 * of processes, says nothing new to it. */
bool drain_told(struct program *p, int signal)
{
	int drain = atomic_load(&p->router.drain);

	if (drain == ROUTER_SERVES || (drain == ROUTER_HANDED_OVER && signal == SIGINT)) {
		program_begin_drain(p, signal == SIGTERM ? ROUTER_DRAINS_CLIENTS :
						   ROUTER_DRAINS_SERVERS);
		return false;
	}
	if (drain == ROUTER_HANDED_OVER && !p->is_told) {
		p->is_told = true;
		SLOG(INFO, "drain", "waits_for=clients");
		return false;
	}
	return true;
}

void drain_asked(struct program *p, int signal)
{
	if (signal == SIGINT && atomic_load(&p->router.drain) == ROUTER_DRAINS_CLIENTS)
		program_begin_drain(p, ROUTER_DRAINS_SERVERS);
	else if (signal != 0)
		(void)drain_told(p, signal);
}
