/* SPDX-License-Identifier: ISC */
/*
 * Every order in which workers can do what they do at the same time, on the real
 * monitor and under all rules of the model (model_check.c).
 *
 * A story says what there is and what each client does, in its own order.  What follows
 * from that (a connect ends, PostgreSQL closes its side, a server is clean, a worker
 * looks into its inbox) is due from then on and may happen at any time; nothing happens
 * by itself.  A worker looks only when it was woken, so that a missing wake-up leaves
 * somebody waiting at the end.  All orders are run, depth first, each on from a copy of
 * what was there before it parted from the others.
 *
 * Each worker has a clock of its own; that of worker 0 is the latest.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <check.h>

#include "model.h"
#include "stories.h"
#include "suites.h"

enum {
	STEPS = 64, /* in one order */
	DUE = 32,   /* at the same time */
	NEVER = 255
};

enum due_kind { DUE_PLAYER, DUE_INBOX, DUE_SERVER, DUE_REFUSAL, DUE_POSTPONED, DUE_FETCH };

struct due {
	enum due_kind kind;
	uint32_t who;
	enum model_verb verb;
	char letter;
};

/* All that changes: copied and put back as a whole, at one address. */
static struct scene {
	struct model world;
	uint8_t at[PLAYERS]; /* in the script */
	uint32_t woken;	     /* bit: worker */
	uint32_t refused;
	uint32_t postponed;
	uint32_t depth;
} scene;

static struct scene saved[STEPS];
static struct due path[STEPS];
static const struct story *story;
static unsigned seen;
static uint64_t orders;
static uint64_t orders_with_upkeep; /* without which somebody would have waited on */
static bool is_deaf;		    /* wake-ups do not arrive at other workers */
static const char *deaf_to;	    /* what was found wrong because of that */

/* --- telling ------------------------------------------------------------------- */

static void print_order(void)
{
	fprintf(stderr, "interleavings: %s: order %llu:\n", story->name,
		(unsigned long long)orders);
	for (uint32_t i = 0; i < scene.depth; i++) {
		static const char *const of[] = { "client", "worker", "server",
			"server", "server", "pool" };
		const struct due *due = &path[i];

		if (due->kind == DUE_PLAYER)
			fprintf(stderr, "\tclient %u (worker %u): %c\n", due->who,
				due->who % MODEL_WORKERS, due->letter);
		else
			fprintf(stderr, "\t%s %u: %s\n", of[due->kind], due->who,
				model_verb_name(due->verb));
	}
}

static void on_abort(int number)
{
	print_order();
	(void)signal(number, SIG_DFL);
}

static void wrong(const char *why)
{
	model_fail(&scene.world, why);
}

/* --- doing --------------------------------------------------------------------- */

static uint64_t clock_of(uint32_t worker)
{
	return 1000 * USEC_PER_SEC + scene.depth * story->tick_us -
		worker * story->lag_us;
}

/* An argument that means this client, and has these bits above. */
static uint32_t arg_for(uint32_t client, uint32_t above)
{
	uint32_t arg = above * 32;

	while (arg % MODEL_CLIENTS != client)
		arg++;
	return arg;
}

static struct model_client *client_of(const struct player *p)
{
	return &scene.world.clients[p->client];
}

static void note_withdrawal(const struct lease *l)
{
	if (l->state == LEASE_WAITING) {
		seen |= SEEN_WAITING_WITHDRAWN;
		if (l->slice->coming > 0 && l->slice->waiting == 1)
			seen |= SEEN_IN_VAIN;
	}
	if (l->state == LEASE_GRANTED)
		seen |= SEEN_GRANTED_WITHDRAWN;
}

static void note(uint32_t worker, bool was_granted)
{
	const struct model *w = &scene.world;

	if ((w->todo.wake & ~(UINT64_C(1) << worker)) != 0)
		seen |= SEEN_WOKEN;
	if (was_granted && w->todo.wake != 0)
		seen |= SEEN_PASSED_ON;
	if (w->returned != NULL && w->returned->state == SERVER_LEASED &&
		w->returned->slice->share != w->owner)
		seen |= SEEN_LENT;
	if (w->returned != NULL && w->returned->state == SERVER_CLOSING)
		seen |= SEEN_CLOSED;
	if (w->ended != NULL)
		seen |= SEEN_ENDED;
	for (int i = 0; i < PLAYERS; i++) {
		const struct lease *l = &w->clients[i].lease;

		if (l->state == LEASE_WAITING && l->asked_at_us > w->now)
			seen |= SEEN_AHEAD;
		if (l->state == LEASE_REFUSED)
			seen |= SEEN_REFUSED;
	}
}

/* Nobody is woken in vain, but perhaps the one who is awake. */
static void check_wake(uint32_t worker)
{
	const struct model *w = &scene.world;

	for (uint32_t i = 0; i < MODEL_WORKERS; i++) {
		if (i != worker && (w->todo.wake >> i & 1) != 0 &&
			list_is_empty(&w->m.inbox[i]))
			wrong("woken in vain");
	}
}

/* Where no floors count a unit goes to another pool, past those who wait in its own, only
 * for who has waited long enough by the clock of the worker that gives it away. */
static void check_switch(void)
{
	const struct model *w = &scene.world;
	const struct slice *to = w->returned == NULL ? NULL : w->returned->promised_to;
	const struct lease *oldest;

	if (to == NULL || to->share->guaranteed > 0 ||
		w->returned->slice->pool->waiting == 0)
		return;
	oldest = container_of(list_first(&to->waiters), struct lease, in_slice);
	if (w->now < oldest->asked_at_us + MONITOR_SWITCH_AFTER_US)
		wrong("a unit goes to another pool too soon");
}

/* One operation of a worker, and what session/ does at once because of it. */
static void operate(uint32_t worker, enum model_verb verb, uint32_t arg)
{
	struct model_op op = { verb, arg };
	struct model *w = &scene.world;
	bool was_granted =
		verb == MODEL_WITHDRAW && w->clients[arg].lease.state == LEASE_GRANTED;

	w->now = clock_of(worker);
	w->todo = (struct monitor_actions){ 0 };
	if (verb == MODEL_WITHDRAW)
		note_withdrawal(&w->clients[arg].lease);
	(void)model_step(w, &op);
	note(worker, was_granted);
	check_wake(worker);
	check_switch();
	scene.woken |= (uint32_t)w->todo.wake;
	if (is_deaf)
		scene.woken &= UINT32_C(1) << worker;
	op.verb = MODEL_OPEN;
	op.arg = 0;
	while (w->error == NULL && w->open_count > 0)
		(void)model_step(w, &op);
}

static void take_inbox(uint32_t worker)
{
	scene.woken &= ~(UINT32_C(1) << worker);
	do {
		operate(worker, MODEL_INBOX, worker);
	} while (scene.world.error == NULL && scene.world.has_acted);
}

static void leave(const struct player *p)
{
	const struct model_client *client = client_of(p);

	if (client->place == CLIENT_HOLDS)
		operate(p->client % MODEL_WORKERS, MODEL_RETURN, p->client);
	else if (client->place == CLIENT_WAITS)
		operate(p->client % MODEL_WORKERS, MODEL_WITHDRAW, p->client);
}

static uint32_t server_of(const struct player *p)
{
	return (uint32_t)(client_of(p)->server - scene.world.servers);
}

static void play(const struct player *p, uint8_t *at)
{
	uint32_t worker = p->client % MODEL_WORKERS;

	switch (p->script[(*at)++]) {
	case 'a':
		operate(worker, MODEL_ASK,
			arg_for(p->client, (uint32_t)(p->pool + 4 * p->share)));
		break;
	case 'r':
		operate(worker, MODEL_RETURN, p->client);
		break;
	case 'd':
		operate(worker, MODEL_RETURN_DIRTY, p->client);
		break;
	case 'c':
		operate(worker, MODEL_CLOSE, 1 + 8 * server_of(p));
		break;
	case 'l':
		leave(p);
		break;
	case 's':
		operate(worker, MODEL_END_STALLED, p->client);
		/* Its client has been sent away: there is nothing to return. */
		if (client_of(p)->place == CLIENT_OUT)
			*at = NEVER;
		break;
	case 'u':
		operate(worker, MODEL_UPKEEP, 0);
		break;
	case 'k':
		operate(worker, MODEL_TAKE_IDLE, 6);
		break;
	}
}

static void do_due(const struct due *due)
{
	switch (due->kind) {
	case DUE_PLAYER:
		for (int i = 0; i < PLAYERS; i++) {
			const struct player *p = &story->players[i];

			if (p->script != NULL && p->client == due->who)
				play(p, &scene.at[i]);
		}
		break;
	case DUE_INBOX:
		take_inbox(due->who);
		break;
	case DUE_REFUSAL:
		scene.refused++;
		operate(0, due->verb, due->who);
		break;
	case DUE_POSTPONED:
		scene.postponed++;
		operate(due->who % MODEL_WORKERS, due->verb, due->who);
		if (scene.world.m.waiting > 1)
			seen |= SEEN_POSTPONED;
		break;
	case DUE_FETCH:
		operate(0, due->verb, due->who);
		break;
	case DUE_SERVER:
		operate(due->who % MODEL_WORKERS, due->verb, due->who);
		break;
	}
}

/* --- what is due --------------------------------------------------------------- */

static char letter_of(int player)
{
	const char *script = story->players[player].script;

	return script == NULL || scene.at[player] == NEVER ? '\0'
							   : script[scene.at[player]];
}

static bool may_play(int player)
{
	const struct model_client *client = client_of(&story->players[player]);

	switch (letter_of(player)) {
	case '\0':
		return false;
	case 'r':
	case 'd':
	case 'c':
	case 's':
		return client->place == CLIENT_HOLDS;
	case 'a':
		return client->place == CLIENT_OUT;
	default:
		return true;
	}
}

static bool server_is_due(enum server_place place, enum model_verb *verb)
{
	switch (place) {
	case PLACE_CONNECTING:
		*verb = MODEL_READY;
		return true;
	case PLACE_CLEANING:
		*verb = MODEL_CLEANED;
		return true;
	case PLACE_CHECKING:
		*verb = MODEL_CHECK_GOOD;
		return true;
	case PLACE_CLOSING:
		*verb = MODEL_GONE;
		return true;
	case PLACE_FREE:
	case PLACE_POOL:
	case PLACE_CLIENT:
		return false;
	}
	return false;
}

static uint32_t find_due(struct due *due)
{
	const struct model *w = &scene.world;
	uint32_t count = 0;

	for (int i = 0; i < PLAYERS; i++) {
		if (may_play(i))
			due[count++] = (struct due){ .kind = DUE_PLAYER,
				.who = story->players[i].client,
				.letter = letter_of(i) };
	}
	for (uint32_t i = 0; i < MODEL_WORKERS; i++) {
		if ((scene.woken >> i & 1) != 0)
			due[count++] = (struct due){ DUE_INBOX, i, MODEL_INBOX, 0 };
	}
	for (uint32_t i = 0; i < MODEL_SERVERS && count + 2 < DUE; i++) {
		enum model_verb verb;

		if (!server_is_due(w->servers[i].place, &verb))
			continue;
		due[count++] = (struct due){ DUE_SERVER, i, verb, 0 };
		if (verb == MODEL_READY && scene.refused < story->refused)
			due[count++] =
				(struct due){ DUE_REFUSAL, i, MODEL_FAIL_LOGIN, 0 };
		if (verb == MODEL_READY && scene.postponed < story->postponed)
			due[count++] =
				(struct due){ DUE_POSTPONED, i, MODEL_POSTPONE, 0 };
	}
	for (uint32_t i = 0; i < MODEL_POOLS && count < DUE; i++) {
		if (w->fetches[i] > 0)
			due[count++] = (struct due){ DUE_FETCH, i, MODEL_FETCHED, 0 };
	}
	return count;
}

/* --- all orders ---------------------------------------------------------------- */

/* Time goes by, and with it upkeep. */
static void wait_for_upkeep(int seconds)
{
	struct due due[DUE];
	uint32_t depth = scene.depth;

	for (int i = 0; i < seconds && scene.world.error == NULL; i++) {
		scene.depth += (uint32_t)(USEC_PER_SEC / story->tick_us);
		operate(0, MODEL_UPKEEP, 0);
		while (scene.world.error == NULL && find_due(due) > 0)
			do_due(&due[0]);
	}
	scene.depth = depth;
}

/* Nothing is due any more. */
static void check_rest(void)
{
	const struct model *w = &scene.world;
	uint32_t held = 0;

	/* After a login was refused the next one is tried in a while. */
	if (scene.refused > 0)
		wait_for_upkeep(8);
	/* An idle server may be kept for whoever used it a moment ago. */
	if (w->m.waiting > 0 && w->m.idle > 0) {
		orders_with_upkeep++;
		wait_for_upkeep(1);
	}
	for (int i = 0; i < PLAYERS; i++) {
		const struct player *p = &story->players[i];

		if (p->script == NULL)
			continue;
		held += client_of(p)->place == CLIENT_HOLDS;
		if (client_of(p)->place == CLIENT_WAITS)
			wrong("somebody waits for ever");
		else if (letter_of(i) != '\0' && scene.refused == 0)
			wrong("somebody is stuck");
	}
	if (w->m.waiting != 0 || w->m.connecting != 0 || w->m.closing != 0)
		wrong("something is under way though nothing is due");
	if (w->m.budget.used != w->m.idle + held)
		wrong("a server is neither idle nor held");
	for (int i = 0; i < MODEL_POOLS * MODEL_SHARES; i++) {
		if (w->slices[i / MODEL_SHARES][i % MODEL_SHARES].coming != 0)
			wrong("a promise is left over");
	}
}

/* True: go on. */
static bool is_right(void)
{
	if (scene.world.error == NULL)
		return true;
	if (is_deaf) {
		deaf_to = scene.world.error;
		return false;
	}
	print_order();
	ck_abort_msg("%s: %s", story->name, scene.world.error);
	return false;
}

static void explore(void)
{
	struct due due[DUE];
	uint32_t count = find_due(due), depth = scene.depth;

	if (count == 0) {
		orders++;
		check_rest();
		(void)is_right();
		return;
	}
	ck_assert_msg(depth + 1 < STEPS, "%s: too long", story->name);
	if (count > 1)
		saved[depth] = scene;
	for (uint32_t i = 0; i < count && deaf_to == NULL; i++) {
		if (i > 0)
			scene = saved[depth];
		path[depth] = due[i];
		scene.depth = depth + 1;
		do_due(&due[i]);
		if (is_right())
			explore();
	}
}

/* --- setting out --------------------------------------------------------------- */

static void set_limits(void)
{
	const struct monitor_limits limits = { .budget = story->budget,
		.connecting_max = story->connecting_max == 0 ? 16 : story->connecting_max,
		.retry_us = 100 * USEC_PER_MSEC,
		.reclaim_grace_us = story->grace_us };
	static const struct slice_limits none;
	struct model *w = &scene.world;

	monitor_set_limits(&w->m, &limits);
	for (int i = 0; i < MODEL_SHARES; i++)
		monitor_share_set(&w->m, &w->shares[i], w->shares[i].kind,
			i < 2 ? story->floors[i] : 0, i < 2 ? story->max[i] : 0, 1);
	for (int i = 0; i < MODEL_QUOTAS; i++)
		monitor_quota_set(&w->m, &w->quotas[i], 0);
	for (int i = 0; i < MODEL_POOLS * MODEL_SHARES; i++)
		monitor_slice_set_limits(
			&w->m, &w->slices[i / MODEL_SHARES][i % MODEL_SHARES], &none);
}

/* The first thing that is due, until nothing is. */
static void come_to_rest(void)
{
	struct due due[DUE];

	while (scene.world.error == NULL && find_due(due) > 0)
		do_due(&due[0]);
}

/* Those who hold a server, and those who have left one idle. */
static void set_out(void)
{
	static const struct story nobody = { .name = "", .tick_us = 1 };
	const struct story *one = story;
	struct story before = nobody;

	scene = (struct scene){ 0 };
	model_begin(&scene.world, 1);
	set_limits();
	for (uint32_t i = 0; i < one->idle; i++)
		before.players[i] =
			(struct player){ MODEL_CLIENTS - 1 - i, 0, WEB, false, "a" };
	story = &before;
	come_to_rest();
	for (uint32_t i = 0; i < one->idle; i++)
		operate(0, MODEL_RETURN, MODEL_CLIENTS - 1 - i);
	for (int i = 0; i < PLAYERS; i++) {
		const struct player *p = &one->players[i];

		before = nobody;
		before.players[0] = *p;
		before.players[0].script = "a";
		scene.at[0] = 0;
		if (p->holds)
			come_to_rest();
	}
	story = one;
	memset(scene.at, 0, sizeof(scene.at));
	/* Nobody switches pools for what was opened just now. */
	scene.depth = 0;
	for (int i = 0; i < MODEL_SERVERS; i++)
		scene.world.servers[i].s.connected_at_us = 1;
	ck_assert_msg(
		scene.world.error == NULL, "%s: %s", story->name, scene.world.error);
}

static void tell(const struct story *one, bool deaf)
{
	story = one;
	orders = 0;
	orders_with_upkeep = 0;
	seen = 0;
	deaf_to = NULL;
	set_out();
	is_deaf = deaf;
	explore();
	is_deaf = false;
	model_end(&scene.world);
}

/* --- the tests ----------------------------------------------------------------- */

/* It would take minutes, and in one thread there is nothing for it to see. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define WITH_TSAN true
#else
#define WITH_TSAN false
#endif

START_TEST(rules_hold_in_every_order)
{
	void (*old)(int) = signal(SIGABRT, on_abort);

	tell(&stories[_i], false);
	(void)signal(SIGABRT, old);
	printf("interleavings: %s: %llu orders, %llu that wait for upkeep\n", story->name,
		(unsigned long long)orders, (unsigned long long)orders_with_upkeep);
	ck_assert_msg((story->must_see & ~seen) == 0, "%s: never happened: 0x%x",
		story->name, story->must_see & ~seen);
}
END_TEST

/* The check can fail: if workers do not wake each other there is an order that leaves
 * somebody behind. */
START_TEST(missing_wake_up_is_found)
{
	tell(&stories[_i], true);
	ck_assert_ptr_nonnull(deaf_to);
}
END_TEST

Suite *interleavings_suite(void)
{
	Suite *s = suite_create("pool/interleavings");
	TCase *tc = tcase_create("orders");

	tcase_set_timeout(tc, 120);
	if (!WITH_TSAN)
		tcase_add_loop_test(tc, rules_hold_in_every_order, 0, (int)stories_count);
	tcase_add_loop_test(tc, missing_wake_up_is_found, 0, (int)stories_count);
	suite_add_tcase(s, tc);
	return s;
}
