/* SPDX-License-Identifier: ISC */
/*
 * How much of each budget a process that has handed over may use: what it has at that time is
 * more than its part, and it goes down with its clients.
 *
 * Who is replaced in turn before those in front of it have given anything back has less than
 * its part, perhaps nothing, and what they give back goes to the newest.  So it asks that one
 * for what its clients wait for, and gets at most half of what there is.  What is given counts
 * as the asker's before it is told, and until it has told of it: what it has said before it
 * heard is old.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "main/handover_priv.h"
#include "main/program.h"

uint32_t handover_units_now(struct route_host *host)
{
	struct monitor *m = &host->monitor;
	uint32_t units;

	pthread_mutex_lock(&m->lock);
	units = m->budget.used > m->budget.limit ? m->budget.used : m->budget.limit;
	pthread_mutex_unlock(&m->lock);
	return units;
}

/* What is not named has none. */
void handover_add_units(struct buf *out, uint32_t units, const char *host)
{
	if (units > 0)
		buf_addf(out, "%u %s\n", units, host);
}

/* --- in the old process: what is too much --------------------------------------------- */

/* What a process that drains still has to do with a host. */
struct demand {
	uint64_t sessions;      /* leases that end when their clients leave, those who wait for one, */
	uint64_t lasting;       /* ... and of both what does not come back, pins included */
	uint64_t clients;       /* of all hosts */
	uint64_t turns;         /* of them, who take turns */
};

static void look_at(struct route_host *host, struct demand *d)
{
	struct monitor *m = &host->monitor;

	d->sessions = d->lasting = 0;
	pthread_mutex_lock(&m->lock);
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		const struct share *s = m->budget.shares[i];
		uint64_t leased = s->used - s->idle - s->closing;

		d->lasting += s->kind == SHARE_LASTING ? leased : s->pinned;
		d->sessions += s->kind == SHARE_LASTING ?
			u64_min(leased + s->waiting, s->max > leased ? s->max : leased) :
			s->pinned;
	}
	pthread_mutex_unlock(&m->lock);
}

/* Who has not logged in yet, or is in the queue of a socket. */
static uint32_t at_the_door(struct program *p)
{
	uint32_t count = entrances_are_left(p) ? 0 : 1;

	for (uint32_t i = 0; i < p->thread_count; i++) {
		const struct worker *w = p->threads[i].worker;

		count += atomic_load(&w->clients_in_state[CLIENT_STARTUP]) +
			atomic_load(&w->clients_in_state[CLIENT_AUTH]);
	}
	return count;
}

static void count_clients(struct program *p, struct demand *d)
{
	d->clients = program_all_clients(p) + (entrances_are_left(p) ? 0 : 1);
	/* They may take turns, and what looks up their secrets does. */
	d->turns = at_the_door(p);
	for (uint32_t i = 0; i < directory_workload_count(p->directory); i++) {
		struct route_workload *w = directory_workload(p->directory, i);

		if (w->mode != ROUTE_SESSION && !w->is_console)
			d->turns += atomic_load(&w->clients);
	}
}

/* What does not come back and half of the rest, then less as clients leave, and not more
 * than there are clients; and, but for what is in use and does not come back, never more
 * than half: those who come find something. */
static uint64_t most_for(uint64_t first, const struct demand *d, uint64_t first_clients)
{
	uint64_t most = 0, rest = first > d->sessions ? first - d->sessions : 0;

	if (first_clients > 0)
		most = rest / 2 * u64_min(d->clients, first_clients) / first_clients;
	most = u64_min(u64_min(most + d->sessions, d->clients), first / 2);
	/* Those who take turns have one to take, and so have those who come. */
	if (d->turns > 0 && most <= d->lasting && first > 1)
		most = u64_min(d->lasting + 1, first - 1);
	/* Whoever is left gets on, if slowly; where there was nothing there is nothing. */
	return most == 0 && d->clients > 0 ? u64_min(first, 1) : most;
}

/* Of a budget that has shrunk since. */
static uint64_t part_of(const struct handover *h, uint32_t i, uint64_t units)
{
	return h->hosts[i].now < h->hosts[i].budget ?
		units * h->hosts[i].now / h->hosts[i].budget :
		units;
}

/* What it would have, of a budget that has grown since, too. */
static uint32_t fair_units(const struct handover *h, uint32_t i)
{
	uint32_t now = h->hosts[i].now, budget = h->hosts[i].budget;

	return h->hosts[i].fair + (now > budget ? now - budget : 0);
}

void handover_begin_units(struct program *p, uint32_t i)
{
	struct handover *h = &p->handover;
	struct route_host *host = directory_host(p->directory, i);
	uint32_t budget = directory_budget(p->directory, host), others = host->part.elsewhere;
	uint32_t units = handover_units_now(host);

	/* More than its budget it has only until the surplus is given back. */
	if (budget > 0)
		units = (uint32_t)u64_min(units, budget > others ? budget - others : 0);
	h->hosts[i].first = units;
	h->hosts[i].most = UINT32_MAX;
	h->hosts[i].budget = h->hosts[i].now = budget;
	h->hosts[i].fair = units + others;
	h->hosts[i].may_lack = others > 0;
}

static void lower(struct program *p, uint32_t i, struct demand *d)
{
	struct handover *h = &p->handover;
	struct route_host *host = directory_host(p->directory, i);
	struct host_part part = host->part;
	uint64_t most, free;

	look_at(host, d);
	most = most_for(part_of(h, i, h->hosts[i].first), d, h->first_clients);
	if (most < h->hosts[i].most)
		h->hosts[i].most = (uint32_t)most;
	/* What those before it have is theirs still. */
	part.most = part.lasting = h->hosts[i].most;
	if (d->turns > 0 && part.most > 1)
		part.lasting--;
	free = d->turns > 1 ? part.lasting : part.most;
	part.pins = free > d->lasting ? (uint32_t)(free - d->lasting) : 0;
	if (memcmp(&part, &host->part, sizeof(part)) == 0)
		return;
	directory_share_budget(p->directory, host, &part);
	handover_tend(p);
}

void handover_take_budgets(struct program *p, const struct handover_message *m)
{
	struct handover *h = &p->handover;
	struct handover_units budgets;

	handover_read_units(m->text + 1, &budgets);
	for (uint32_t i = 0; i < directory_host_count(p->directory); i++) {
		uint32_t now = handover_units_of(&budgets,
			directory_host(p->directory, i)->name);

		/* What is not named is not the new one's any more, or not known to it yet. */
		if (now == 0)
			continue;
		/* Nobody had told yet what it is. */
		if (h->hosts[i].budget == 0)
			h->hosts[i].budget = now;
		h->hosts[i].now = now;
		/* What a smaller one takes away it asks for when it has grown again. */
		h->hosts[i].may_lack = h->hosts[i].may_lack || now != h->hosts[i].budget;
	}
}

void handover_lower(struct program *p)
{
	struct demand d;

	count_clients(p, &d);
	for (uint32_t i = 0; i < directory_host_count(p->directory); i++)
		lower(p, i, &d);
}

/* --- ... and what is lacking ----------------------------------------------------------- */

/* Servers that clients have, and those that clients wait for. */
static uint32_t needed(struct monitor *m)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		const struct share *s = m->budget.shares[i];

		sum += s->used - s->idle - s->closing + s->waiting;
	}
	return sum;
}

/* What is lacking of what it would have had. */
static uint32_t wanted(struct program *p, uint32_t i)
{
	const struct handover *h = &p->handover;
	struct route_host *host = directory_host(p->directory, i);
	struct monitor *m = &host->monitor;
	uint64_t most;
	uint32_t units;
	struct demand d;
	bool waits;

	if (!h->hosts[i].may_lack)
		return 0;
	count_clients(p, &d);
	look_at(host, &d);
	most = most_for(part_of(h, i, fair_units(h, i)), &d, h->first_clients);
	units = handover_units_now(host);
	pthread_mutex_lock(&m->lock);
	most = u64_min(most, needed(m));
	waits = m->waiting > 0;
	pthread_mutex_unlock(&m->lock);
	return waits && most > units ? (uint32_t)(most - units) : 0;
}

/* What cannot be sent is said the next time. */
void handover_ask(struct program *p)
{
	struct handover *h = &p->handover;
	uint32_t count = directory_host_count(p->directory), wants[DIRECTORY_HOSTS_MAX];
	bool changed = false;
	struct buf out;

	buf_init(&out, 0);
	buf_add_str(&out, "W");
	for (uint32_t i = 0; i < count; i++) {
		wants[i] = wanted(p, i);
		changed = changed || wants[i] != h->hosts[i].asked;
		handover_add_units(&out, wants[i], directory_host(p->directory, i)->name);
	}
	changed = changed && buf_ok(&out) &&
		handover_send(h->fd, (const char *)buf_data(&out), buf_len(&out), NULL, 0) == 0;
	for (uint32_t i = 0; changed && i < count; i++)
		h->hosts[i].asked = wants[i];
	buf_finish(&out);
}

void handover_given(struct program *p, const struct handover_message *m)
{
	struct handover *h = &p->handover;
	struct handover_units given;

	handover_read_units(m->text + 1, &given);
	for (uint32_t i = 0; i < directory_host_count(p->directory); i++) {
		struct route_host *host = directory_host(p->directory, i);
		uint32_t units = handover_units_of(&given, host->name);
		struct host_part part = { .elsewhere = 0 };

		if (units == 0)
			continue;
		h->hosts[i].first = fair_units(h, i);
		h->hosts[i].most = handover_units_now(host) + units;
		/* The new process has seen to it that there is as much. */
		part.most = part.lasting = h->hosts[i].most;
		directory_share_budget(p->directory, host, &part);
		handover_tend(p);
	}
	/* All of it is asked for anew: the new process forgets it when it hears of this. */
	for (uint32_t i = 0; i < DIRECTORY_HOSTS_MAX; i++)
		h->hosts[i].asked = 0;
	h->owes_taken = true;
}

/* --- in the new process --------------------------------------------------------------- */

void handover_hear_asked(struct handover_before *b, const char *text)
{
	handover_read_units(text, &b->asked);
}

void handover_hear_given(struct handover_before *b, const char *text)
{
	struct handover_units given;

	handover_read_units(text, &given);
	if (given.count == 0)
		return;
	b->given = given.list[0].units;
	(void)snprintf(b->given_host, sizeof(b->given_host), "%s", given.list[0].host);
	b->is_told = true;
}

void handover_hear_taken(struct handover_before *b)
{
	struct handover_units *units = &b->units;
	uint32_t i = 0;

	if (b->given == 0)
		return;
	while (i < units->count && strcmp(units->list[i].host, b->given_host) != 0)
		i++;
	if (i == units->count && i < DIRECTORY_HOSTS_MAX) {
		(void)snprintf(units->list[i].host, HANDOVER_NAME_SIZE, "%s", b->given_host);
		units->list[units->count++].units = 0;
	}
	if (i < units->count)
		units->list[i].units += b->given;
	b->given = 0;
	/* It says what it still lacks, of each host. */
	b->asked.count = 0;
}

void handover_tell_budgets(struct program *p)
{
	struct handover *h = &p->handover;
	struct buf out;

	if (h->before_count == 0)
		return;
	buf_init(&out, 0);
	buf_add_str(&out, "N");
	for (uint32_t i = 0; i < directory_host_count(p->directory); i++) {
		struct route_host *host = directory_host(p->directory, i);

		handover_add_units(&out, directory_budget(p->directory, host), host->name);
	}
	buf_add_u8(&out, 0);
	if (buf_ok(&out) &&
		(h->budgets == NULL || strcmp(h->budgets, (char *)buf_data(&out)) != 0)) {
		free(h->budgets);
		/* Else it is told again, with the next look. */
		h->budgets = handover_tell_before(h, (const char *)buf_data(&out),
				     buf_len(&out) - 1) == h->before_count ?
			strdup((char *)buf_data(&out)) :
			NULL;
	}
	buf_finish(&out);
}

/* How much of what was asked for there is: half of all at most. */
static uint32_t may_give(struct route_host *host, uint32_t asked, bool at_once)
{
	struct monitor *m = &host->monitor;
	uint32_t in_use = 0, limit;

	pthread_mutex_lock(&m->lock);
	limit = m->budget.limit;
	for (uint32_t i = 0; i < m->budget.share_count; i++)
		in_use += m->budget.shares[i]->used - m->budget.shares[i]->idle;
	pthread_mutex_unlock(&m->lock);
	asked = (uint32_t)u64_min(asked, limit / 2);
	if (at_once)
		asked = (uint32_t)u64_min(asked, limit > in_use ? limit - in_use : 0);
	return asked;
}

/* Sets aside what somebody is given.  False: there is nothing. */
static bool choose(struct program *p, struct handover_before *b, bool at_once)
{
	for (uint32_t i = 0; i < directory_host_count(p->directory); i++) {
		struct route_host *host = directory_host(p->directory, i);
		uint32_t asked = handover_units_of(&b->asked, host->name);
		uint32_t units = may_give(host, asked, at_once);

		if (units == 0)
			continue;
		b->given = units;
		(void)snprintf(b->given_host, sizeof(b->given_host), "%s", host->name);
		b->is_told = false;
		handover_share(p);
		handover_tend(p);
		return true;
	}
	return false;
}

/* Is what was set aside not in use any more? */
static bool is_free(struct route_host *host)
{
	struct monitor *m = &host->monitor;
	bool is_free;

	pthread_mutex_lock(&m->lock);
	is_free = m->budget.used <= m->budget.limit;
	pthread_mutex_unlock(&m->lock);
	return is_free;
}

/* Nobody waits for it any more, or the budget has shrunk, and it is no part of that. */
static bool is_void(struct program *p, const struct handover_before *b, struct route_host *host)
{
	return handover_units_of(&b->asked, b->given_host) == 0 ||
		(host != NULL && !directory_budget_covers(p->directory, host));
}

static void give(struct program *p, struct handover_before *b)
{
	struct route_host *host = directory_find_host(p->directory, b->given_host);
	char text[HANDOVER_NAME_SIZE + 16];
	int len = snprintf(text, sizeof(text), "Y%u %s\n", b->given, b->given_host);

	if (is_void(p, b, host)) {
		b->given = 0;
		handover_share(p);
		handover_tend(p);
	} else if (host == NULL || is_free(host)) {
		b->is_told = handover_send(b->fd, text, (size_t)len, NULL, 0) == 0;
	} else {
		/* Of another host there may be some. */
		(void)choose(p, b, true);
	}
}

void handover_give_asked(struct program *p)
{
	struct handover *h = &p->handover;

	for (uint32_t i = 0; i < h->before_count; i++) {
		struct handover_before *b = h->before[i];

		if (b->given == 0 && b->asked.count > 0 && !choose(p, b, true))
			(void)choose(p, b, false);
		if (b->given > 0 && !b->is_told)
			give(p, b);
	}
}
