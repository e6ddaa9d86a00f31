/* SPDX-License-Identifier: ISC */
#include "model.h"

typedef void op_f(struct model *, uint32_t arg);

static void client_leaves(struct model_client *client)
{
	client->place = CLIENT_OUT;
	client->server->client = NULL;
	client->server = NULL;
}

static void on_verdict(struct model *w, struct model_client *client,
	const struct slice *slice, enum lease_verdict verdict)
{
	switch (verdict) {
	case LEASE_VERDICT_HELD:
		model_client_holds(w, client);
		break;
	case LEASE_VERDICT_WAIT:
		client->place = CLIENT_WAITS;
		break;
	case LEASE_VERDICT_FULL:
		if (slice->limits.waiting_max == 0 ||
			slice->waiting < slice->limits.waiting_max)
			model_fail(w, "a queue that is not full refuses");
		break;
	case LEASE_VERDICT_ERROR:
		if (slice->pool->failures == 0 || slice->pool->error.sqlstate[0] == '\0')
			model_fail(w, "refused without an error");
		break;
	}
}

static void op_ask(struct model *w, uint32_t arg)
{
	struct model_client *client = model_client_in(w, CLIENT_OUT, arg);
	struct slice *slice =
		&w->slices[arg / 32 % MODEL_POOLS][arg / 128 % MODEL_SHARES];
	enum lease_verdict verdict;

	if (client == NULL)
		return;
	client->seq = ++w->next_seq;
	w->asked = slice;
	client->lease.state_key = arg / 512 % 3;
	verdict = monitor_request(&w->m, &client->lease, slice, w->now, model_actions(w));
	model_settle(w, verdict == LEASE_VERDICT_WAIT);
	on_verdict(w, client, slice, verdict);
}

static void op_inbox(struct model *w, uint32_t arg)
{
	struct model_client *client;
	struct lease *l;
	bool refused;

	l = monitor_inbox_take(&w->m, arg % MODEL_WORKERS, &refused);
	if (l == NULL)
		return;
	w->has_acted = true;
	client = container_of(l, struct model_client, lease);
	if (client->place != CLIENT_WAITS || l->worker != arg % MODEL_WORKERS)
		model_fail(w, "an inbox has what is not its worker's");
	if (!refused)
		model_client_holds(w, client);
	else
		client->place = CLIENT_OUT;
}

static void returns(struct model *w, struct pool_server *s)
{
	w->returned = s;
	w->owner = s->slice->share;
}

static void server_returns(struct model *w, struct model_server *server)
{
	server->place = PLACE_POOL;
	returns(w, &server->s);
	monitor_return(&w->m, &server->s, w->now, model_actions(w));
	model_settle(w, true);
}

static void op_return(struct model *w, uint32_t arg)
{
	struct model_client *client = model_client_in(w, CLIENT_HOLDS, arg);
	struct model_server *server;

	if (client == NULL)
		return;
	server = client->server;
	server->s.state_key = arg / 32 % 3;
	server->s.last_client = client->lease.client_id;
	client_leaves(client);
	server_returns(w, server);
}

/* A lease that waits for its client, while somebody's floor does not get what it is
 * due: ended, and cleaned or closed. */
static void op_end_stalled(struct model *w, uint32_t arg)
{
	struct model_client *client = model_client_in(w, CLIENT_HOLDS, arg);
	bool wants = monitor_wants_back(&w->m, w->now);
	struct model_server *server;

	if (client == NULL)
		return;
	server = client->server;
	w->ended = &server->s;
	w->owner = server->s.slice->share;
	w->ended_own = client->lease.is_pinned && w->owner->pinned <= w->owner->guaranteed;
	if (!monitor_end_stalled(&w->m, &client->lease, w->now)) {
		w->ended = NULL;
		return;
	}
	w->has_acted = true;
	if (!wants)
		model_fail(w, "a lease is ended that nobody wants back");
	client_leaves(client);
	if (arg / 32 % 2 == 0) {
		server->place = PLACE_CLEANING;
		monitor_cleaning(&w->m, &server->s);
	} else {
		server->place = PLACE_CLOSING;
		monitor_closing(&w->m, &server->s);
	}
}

/* A client keeps its server beyond its transaction. */
static void op_pin(struct model *w, uint32_t arg)
{
	struct model_client *client = model_client_in(w, CLIENT_HOLDS, arg);
	const struct share *share;
	uint32_t max, before;
	bool was_pinned;

	if (client == NULL)
		return;
	w->has_acted = true;
	share = client->lease.slice->share;
	was_pinned = client->lease.is_pinned;
	before = share->pinned;
	if (monitor_pin(&w->m, &client->lease, &max)) {
		if (!was_pinned && (share->pinned > max || max > share->guaranteed))
			model_fail(w, "more leases are pinned than may be");
	} else if (was_pinned || before < max || share->pinned != before) {
		model_fail(w, "a lease is not pinned though it may be");
	}
}

static void op_pin_found(struct model *w, uint32_t arg)
{
	struct model_client *client = model_client_in(w, CLIENT_HOLDS, arg);

	if (client == NULL)
		return;
	w->has_acted = true;
	monitor_pin_found(&w->m, &client->lease);
	if (!client->lease.is_pinned)
		model_fail(w, "what was found is not pinned");
}

static void op_unpin(struct model *w, uint32_t arg)
{
	struct model_client *client = model_client_in(w, CLIENT_HOLDS, arg);

	if (client == NULL)
		return;
	w->has_acted = true;
	monitor_unpin(&w->m, &client->lease);
	if (client->lease.is_pinned)
		model_fail(w, "a lease stays pinned");
}

static void op_return_dirty(struct model *w, uint32_t arg)
{
	struct model_client *client = model_client_in(w, CLIENT_HOLDS, arg);

	if (client == NULL)
		return;
	w->has_acted = true;
	client->server->place = PLACE_CLEANING;
	monitor_cleaning(&w->m, &client->server->s);
	client_leaves(client);
}

static void op_cleaned(struct model *w, uint32_t arg)
{
	struct model_server *server = model_server_in(w, PLACE_CLEANING, arg);

	if (server != NULL)
		server_returns(w, server);
}

static void server_closes(struct model *w, struct model_server *server)
{
	if (server == NULL)
		return;
	w->has_acted = true;
	if (server->place == PLACE_CONNECTING)
		w->must_choose = true;
	server->place = PLACE_CLOSING;
	monitor_closing(&w->m, &server->s);
}

static void op_clean_failed(struct model *w, uint32_t arg)
{
	server_closes(w, model_server_in(w, PLACE_CLEANING, arg));
}

static void op_withdraw(struct model *w, uint32_t arg)
{
	struct model_client *client = model_client_in(w, CLIENT_WAITS, arg);

	if (client == NULL)
		return;
	if (client->lease.state == LEASE_GRANTED)
		returns(w, client->lease.server);
	client->place = CLIENT_OUT;
	monitor_withdraw(&w->m, &client->lease, w->now, model_actions(w));
	model_settle(w, w->returned != NULL);
}

static bool next_open(struct model *w, uint32_t arg, struct monitor_action *open)
{
	uint32_t at;

	if (w->open_count == 0)
		return false;
	at = arg % w->open_count;
	*open = w->opens[at];
	w->opens[at] = w->opens[--w->open_count];
	return true;
}

static void op_open(struct model *w, uint32_t arg)
{
	struct monitor_action open;
	struct model_server *server;

	if (!next_open(w, arg, &open))
		return;
	server = model_server_in(w, PLACE_FREE, 0);
	if (server == NULL) {
		model_fail(w, "more servers than the budget has");
		return;
	}
	w->has_acted = true;
	pool_server_init(&server->s, 0);
	server->place = PLACE_CONNECTING;
	monitor_connecting(&w->m, &server->s, open.slice, &open.unit);
}

static void op_open_failed(struct model *w, uint32_t arg)
{
	struct monitor_action open;

	if (!next_open(w, arg, &open))
		return;
	monitor_open_failed(&w->m, open.slice, &open.unit, w->now, model_actions(w));
	model_settle(w, true);
}

static void op_ready(struct model *w, uint32_t arg)
{
	struct model_server *server = model_server_in(w, PLACE_CONNECTING, arg);

	if (server == NULL)
		return;
	server->place = PLACE_POOL;
	returns(w, &server->s);
	monitor_ready(&w->m, &server->s, w->now, model_actions(w));
	model_settle(w, true);
}

/* There is no password for it yet. */
static void op_postpone(struct model *w, uint32_t arg)
{
	struct model_server *server = model_server_in(w, PLACE_CONNECTING, arg);

	if (server == NULL)
		return;
	server->place = PLACE_FREE;
	w->fetches[server->s.slice->pool - w->pools]++;
	monitor_postponed(&w->m, &server->s, w->now, model_actions(w));
	model_settle(w, true);
}

static void fetch_ends(struct model *w, uint32_t arg, const struct pool_error *error)
{
	for (uint32_t i = 0; i < MODEL_POOLS; i++) {
		uint32_t at = (arg + i) % MODEL_POOLS;

		if (w->fetches[at] == 0)
			continue;
		w->fetches[at]--;
		monitor_fetched(&w->m, &w->pools[at], error, w->now, model_actions(w));
		model_settle(w, true);
		return;
	}
}

static void op_fetched(struct model *w, uint32_t arg)
{
	fetch_ends(w, arg, NULL);
}

static void op_fetch_failed(struct model *w, uint32_t arg)
{
	fetch_ends(w, arg, &(struct pool_error){ .sqlstate = "28000" });
}

static void connect_fails(struct model *w, uint32_t arg, enum connect_failure failure,
	const struct pool_error *error)
{
	struct model_server *server = model_server_in(w, PLACE_CONNECTING, arg);

	if (server == NULL)
		return;
	server->place = PLACE_CLOSING;
	monitor_connect_failed(
		&w->m, &server->s, failure, error, w->now, model_actions(w));
	model_settle(w, true);
}

static void op_fail_host(struct model *w, uint32_t arg)
{
	connect_fails(
		w, arg, CONNECT_FAILED_HOST, &(struct pool_error){ .sqlstate = "08006" });
}

static void op_fail_login(struct model *w, uint32_t arg)
{
	connect_fails(w, arg, CONNECT_FAILED_LOGIN,
		&(struct pool_error){ .sqlstate = "28P01" });
}

static void server_is_gone(struct model *w, struct model_server *server)
{
	if (server == NULL)
		return;
	if (server->client != NULL)
		client_leaves(server->client);
	server->place = PLACE_FREE;
	monitor_gone(&w->m, &server->s, w->now, model_actions(w));
	model_settle(w, true);
}

/* The connection breaks, wherever a worker has it. */
static void op_lost(struct model *w, uint32_t arg)
{
	static const enum server_place where[] = { PLACE_CONNECTING, PLACE_CLIENT,
		PLACE_CLEANING, PLACE_CHECKING };

	server_is_gone(w, model_server_in(w, where[arg % COUNT_OF(where)], arg / 8));
}

static void op_close(struct model *w, uint32_t arg)
{
	static const enum server_place where[] = { PLACE_CONNECTING, PLACE_CLIENT,
		PLACE_CLIENT, PLACE_CLIENT };
	struct model_server *server;

	server = model_server_in(w, where[arg % COUNT_OF(where)], arg / 8);
	if (server != NULL && server->client != NULL)
		client_leaves(server->client);
	server_closes(w, server);
}

static void op_gone(struct model *w, uint32_t arg)
{
	server_is_gone(w, model_server_in(w, PLACE_CLOSING, arg));
}

static void op_take_idle(struct model *w, uint32_t arg)
{
	struct pool_server *taken[4];
	uint64_t min_idle_us = arg % 2 * 10 * USEC_PER_MSEC;
	uint32_t count;

	count = monitor_take_idle(&w->m, w->now, min_idle_us, taken, 1 + arg / 2 % 4);
	w->has_acted = count > 0;
	for (uint32_t i = 0; i < count; i++) {
		struct model_server *server =
			container_of(taken[i], struct model_server, s);

		if (server->place != PLACE_POOL || server->s.state != SERVER_CHECKING)
			model_fail(w, "took a server to check that was not idle");
		server->place = PLACE_CHECKING;
	}
}

static void op_check_good(struct model *w, uint32_t arg)
{
	struct model_server *server = model_server_in(w, PLACE_CHECKING, arg);

	if (server != NULL)
		server_returns(w, server);
}

static void op_check_bad(struct model *w, uint32_t arg)
{
	server_closes(w, model_server_in(w, PLACE_CHECKING, arg));
}

static void op_tick(struct model *w, uint32_t arg)
{
	static const uint32_t most_us[] = { 10, 1000, 30000, 30000, 300000, 3000000 };

	w->now += 1 + arg / 8 % most_us[arg % COUNT_OF(most_us)];
}

static void op_upkeep(struct model *w, uint32_t arg)
{
	(void)arg;
	model_upkeep(w);
}

static void op_configure(struct model *w, uint32_t arg)
{
	model_configure(w, arg);
}

static void op_retire(struct model *w, uint32_t arg)
{
	monitor_retire(&w->m, arg % 8 == 0 ? NULL : &w->pools[arg / 8 % MODEL_POOLS]);
	model_upkeep(w);
}

/* Most are resumed soon: the stories are about what goes on meanwhile. */
static void op_pause(struct model *w, uint32_t arg)
{
	struct pool *pool = &w->pools[arg / 4 % MODEL_POOLS];

	monitor_pool_pause(&w->m, pool, !pool->is_paused && arg % 4 == 1);
	w->has_acted = true;
	/* What is idle may be asked for before anybody has closed it. */
	if (!pool->is_paused || arg / 32 % 2 == 0)
		model_upkeep(w);
}

static const struct {
	const char *name;
	op_f *run;
	uint32_t weight;
} ops[MODEL_VERB_COUNT] = {
#define MODEL_OP(name, run, weight) [MODEL_##name] = { #name, run, weight },
#include "model_ops.def"
#undef MODEL_OP
};

struct model_op model_op_random(struct rand_small *r)
{
	uint64_t sum = 0, at;
	enum model_verb verb = 0;

	for (size_t i = 0; i < COUNT_OF(ops); i++)
		sum += ops[i].weight;
	at = rand_small_below(r, sum);
	while (at >= ops[verb].weight)
		at -= ops[verb++].weight;
	return (struct model_op){ verb, (uint32_t)(rand_small_next(r) >> 33) };
}

const char *model_verb_name(enum model_verb verb)
{
	return ops[verb].name;
}

bool model_step(struct model *w, const struct model_op *op)
{
	w->has_acted = false;
	model_remember(w);
	ops[op->verb].run(w, op->arg);
	if (w->error == NULL && w->has_acted)
		model_check(w);
	return w->error == NULL;
}
