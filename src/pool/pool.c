/* SPDX-License-Identifier: ISC */
#include "pool/pool.h"

static const char *const state_show[SERVER_STATE_COUNT] = {
#define SERVER_STATE(name, show, next) [SERVER_##name] = (show),
#include "server_states.def"
#undef SERVER_STATE
};

const char *server_state_show(enum server_state state)
{
	return state_show[state];
}

static const struct {
	const char *word;
	const char *text;
} reasons[WAIT_REASON_COUNT] = {
#define WAIT_REASON(name, word, text) [WAIT_##name] = { (word), (text) },
#include "wait_reasons.def"
#undef WAIT_REASON
};

const char *wait_reason_word(enum wait_reason reason)
{
	return reasons[reason].word;
}

const char *wait_reason_text(enum wait_reason reason)
{
	return reasons[reason].text;
}

bool wait_reason_is_limit(enum wait_reason reason)
{
	switch (reason) {
	case WAIT_POOL:
	case WAIT_DATABASE:
	case WAIT_USER:
	case WAIT_WORKLOAD:
	case WAIT_ELSEWHERE:
	case WAIT_BUDGET:
	case WAIT_FLOORS:
		return true;
	case WAIT_PAUSED:
	case WAIT_CONNECTING:
	case WAIT_CLOSING:
	case WAIT_PASSWORD:
	case WAIT_HOST:
	case WAIT_LOGIN:
	case WAIT_PACING:
	case WAIT_TURN:
	case WAIT_REASON_COUNT:
		return false;
	}
	return false;
}

void slice_init(struct slice *slice, struct pool *pool, struct share *share)
{
	*slice = (struct slice){ .pool = pool, .share = share };
	list_init(&slice->waiters);
	list_node_init(&slice->in_hungry);
}

void pool_init(struct pool *pool, struct monitor *monitor, void *owner)
{
	*pool = (struct pool){ .monitor = monitor, .owner = owner };
	list_node_init(&pool->in_monitor);
	list_init(&pool->idle);
}

void pool_server_init(struct pool_server *s, uint64_t id)
{
	*s = (struct pool_server){ .id = id, .state = SERVER_CONNECTING };
	list_node_init(&s->in_idle);
	list_node_init(&s->in_monitor);
}
