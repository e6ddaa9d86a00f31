/* SPDX-License-Identifier: ISC */
#include "session/gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/slog.h"
#include "pg/msg_out.h"
#include "session/client_priv.h"

/* How many are looked at for one that is silent. */
enum { SEARCH_MAX = 64, KEY_LEN = 8 };

struct gate_source {
	struct hash_node node;
	uint8_t key[KEY_LEN];           /* IPv4: address and zeros; IPv6: the /64 */
	bool is_v6;
	uint32_t connections;
	uint32_t unproven;
	uint32_t excess;                /* more than there may be, until they are told */
};

struct gate {
	_Atomic uint32_t unproven;
	_Atomic uint32_t max_unproven;
	_Atomic uint32_t max_per_address;
	_Atomic uint32_t max_unproven_per_address;
	pthread_mutex_t lock;           /* of what follows */
	struct hash_table sources;
};

struct gate *gate_create(void)
{
	struct gate *g = calloc(1, sizeof(*g));

	if (g == NULL || hash_table_init(&g->sources, 64) < 0) {
		free(g);
		return NULL;
	}
	pthread_mutex_init(&g->lock, NULL);
	return g;
}

void gate_destroy(struct gate *g)
{
	struct hash_node *node;

	if (g == NULL)
		return;
	while ((node = hash_table_walk(&g->sources, NULL)) != NULL) {
		hash_table_remove(&g->sources, node);
		free(container_of(node, struct gate_source, node));
	}
	hash_table_finish(&g->sources);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

void gate_set_limits(struct gate *g, const struct gate_limits *limits)
{
	atomic_store(&g->max_unproven, limits->unproven);
	atomic_store(&g->max_per_address, limits->per_address);
	atomic_store(&g->max_unproven_per_address, limits->unproven_per_address);
}

uint32_t gate_unproven(const struct gate *g)
{
	return atomic_load(&g->unproven);
}

/* --- addresses -------------------------------------------------------------------------- */

static bool make_key(const struct addr *a, struct gate_source *key)
{
	*key = (struct gate_source){ .is_v6 = a->sa.sa_family == AF_INET6 };
	if (key->is_v6)
		memcpy(key->key, &a->in6.sin6_addr, KEY_LEN);
	else if (a->sa.sa_family == AF_INET)
		memcpy(key->key, &a->in4.sin_addr, sizeof(a->in4.sin_addr));
	else
		return false;
	return true;
}

static uint64_t hash_key(const struct gate_source *key)
{
	return hash_mix(key->is_v6, hash_bytes(key->key, KEY_LEN));
}

/* Under the lock.  NULL: there is none. */
static struct gate_source *find_source(struct gate *g, const struct gate_source *key)
{
	for (struct hash_node *node = hash_table_find(&g->sources, hash_key(key)); node != NULL;
		node = hash_next(node)) {
		struct gate_source *s = container_of(node, struct gate_source, node);

		if (s->is_v6 == key->is_v6 && memcmp(s->key, key->key, KEY_LEN) == 0)
			return s;
	}
	return NULL;
}

/* NULL: out of memory.  spare: made before the lock was taken; NULL when it was used. */
static struct gate_source *find_or_add(struct gate *g, const struct gate_source *key,
	struct gate_source **spare)
{
	struct gate_source *s = find_source(g, key);

	if (s != NULL || *spare == NULL)
		return s;
	s = *spare;
	*spare = NULL;
	*s = *key;
	hash_table_add(&g->sources, &s->node, hash_key(key));
	return s;
}

/* Under the lock. */
static void forget_unused(struct gate *g, struct gate_source *s)
{
	if (s->connections > 0 || s->excess > 0)
		return;
	hash_table_remove(&g->sources, &s->node);
	free(s);
}

/* --- making room ------------------------------------------------------------------------ */

static bool is_silent(const struct client *c, uint64_t now_us)
{
	if (c->state == CLIENT_STARTUP && !stream_tls_is_due(&c->stream))
		return now_us >= c->connected_us + GATE_SILENT_US;
	/* It was told why, and does not go. */
	if (c->state == CLIENT_ENDING)
		return now_us >= c->state_us + GATE_SILENT_US;
	/* Not who waits for us. */
	return c->state == CLIENT_AUTH && c->login->has_auth &&
		!client_auth_waits(&c->login->auth) &&
		now_us >= c->state_us + GATE_UNANSWERED_US;
}

/* What its address has; 0 where it has none.  Under the lock. */
static uint32_t unproven_of(const struct gate_source *s)
{
	return s == NULL ? 0 : s->unproven + s->excess;
}

/* As long as some address has at least two more than the newcomer's, one of the address
 * that has most goes, so that its neighbours have as many places, whatever it does.  Else
 * one that was asked and does not answer, the oldest first; of one address, if of is
 * given. */
static struct client *find_victim(struct worker *w, const struct gate_source *of,
	uint32_t newcomers)
{
	struct client *crowd = NULL, *silent = NULL;
	struct gate *g = w->router->gate;
	uint32_t looks = 0, most = newcomers + 1;

	pthread_mutex_lock(&g->lock);
	list_for_each(&w->unproven, node) {
		struct client *c = container_of(node, struct client_login, in_unproven)->client;

		if (++looks > SEARCH_MAX)
			break;
		if (of != NULL && c->source != of)
			continue;
		if (silent == NULL && is_silent(c, worker_now(w)))
			silent = c;
		if (of != NULL || (c->state != CLIENT_STARTUP && c->state != CLIENT_AUTH) ||
			unproven_of(c->source) <= most)
			continue;
		most = unproven_of(c->source);
		crowd = c;
	}
	pthread_mutex_unlock(&g->lock);
	return crowd != NULL ? crowd : silent;
}

static bool crowd_out(struct worker *w, const struct gate_source *of, uint32_t newcomers)
{
	struct client *c = find_victim(w, of, newcomers);

	if (c == NULL)
		return false;
	if (c->state == CLIENT_ENDING)
		client_linger_over(c);
	else
		client_close(c, CLOSE_CROWDED_OUT);
	return true;
}

/* --- at the door ------------------------------------------------------------------------ */

/* Without a word the client would look for a crash.  It may be that nobody reads this:
 * then so be it. */
static void turn_away(int fd, const char *message)
{
	const struct msg_out_error error = { .severity = "FATAL",
		.sqlstate = "53300",
		.message = message };
	struct buf out;

	buf_init(&out, 0);
	msg_out_error(&out, &error);
	if (buf_ok(&out) &&
		send(fd, buf_data(&out), buf_len(&out), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		SLOG_LIMITED(DEBUG, "client-accept", "error=\"%s\"", strerror(errno));
	buf_finish(&out);
	close(fd);
}

/* What comes from a load balancer, or by a unix socket, has no address to count yet. */
static uint32_t newcomers(struct worker *w, struct route_workload *workload, int fd)
{
	struct gate *g = w->router->gate;
	struct gate_source key;
	struct addr peer;
	uint32_t count;

	if (!sock_peer(fd, &peer))
		return 0;
	addr_unmap(&peer);
	if (directory_is_proxy(w->router->directory, workload, &peer) || !make_key(&peer, &key))
		return 0;
	pthread_mutex_lock(&g->lock);
	count = unproven_of(find_source(g, &key));
	pthread_mutex_unlock(&g->lock);
	return count;
}

static bool has_places(const struct router *r, uint32_t unproven, uint32_t most, uint32_t room)
{
	return (most == 0 || unproven < most) && atomic_load(&r->clients) + unproven < room;
}

bool gate_admit(struct worker *w, struct route_workload *workload, int fd)
{
	struct router *r = w->router;
	uint32_t unproven = gate_unproven(r->gate), most = atomic_load(&r->gate->max_unproven);
	uint32_t room = atomic_load(&r->max_client_conn) + GATE_OVERFLOW;
	uint32_t mine;

	if (has_places(r, unproven, most, room))
		return true;
	mine = newcomers(w, workload, fd);
	if (crowd_out(w, NULL, mine))
		return true;
	/* Who could go is another worker's, who sees to it when it accepts the next. */
	if (mine == 0 && has_places(r, unproven, most == 0 ? 0 : most + GATE_SPARE,
			room + GATE_SPARE))
		return true;
	SLOG_LIMITED(WARN, "client-accept", "workload=%s unauthenticated=%u error=\"too many connections\"",
		workload->name, unproven);
	turn_away(fd, "sorry, too many clients already");
	return false;
}

/* Under the lock. */
static bool has_room(const struct gate *g, const struct gate_source *s)
{
	uint32_t most = atomic_load(&g->max_per_address);
	uint32_t most_unproven = atomic_load(&g->max_unproven_per_address);

	return (most == 0 || s->connections < most) &&
		(most_unproven == 0 || s->unproven < most_unproven);
}

/* Under the lock. */
static enum gate_verdict count(struct client *c, struct gate_source *s, const struct gate *g)
{
	c->source = s;
	if (has_room(g, s)) {
		s->connections++;
		s->unproven++;
		return GATE_WELCOME;
	}
	if (s->excess < GATE_EXCESS_MAX) {
		s->excess++;
		c->login->is_one_too_many = true;
		return GATE_TO_BE_TOLD;
	}
	c->source = NULL;
	return GATE_AWAY;
}

enum gate_verdict gate_count(struct client *c, const struct addr *peer)
{
	struct gate *g = c->worker->router->gate;
	enum gate_verdict verdict = GATE_WELCOME;
	struct gate_source key, *s, *spare;
	bool is_full = false;

	if (!make_key(peer, &key))
		return GATE_WELCOME;
	spare = malloc(sizeof(*spare));
	pthread_mutex_lock(&g->lock);
	s = find_source(g, &key);
	is_full = s != NULL && !has_room(g, s);
	pthread_mutex_unlock(&g->lock);
	/* Its own silent ones go first.  This one is none of its yet. */
	if (is_full)
		(void)crowd_out(c->worker, s, 0);
	pthread_mutex_lock(&g->lock);
	s = find_or_add(g, &key, &spare);
	if (s != NULL)
		verdict = count(c, s, g);
	pthread_mutex_unlock(&g->lock);
	free(spare);
	return verdict;
}

void gate_turn_away(int fd)
{
	turn_away(fd, "too many connections from this address");
}

/* --- clients ---------------------------------------------------------------------------- */

void gate_enter(struct client *c)
{
	struct worker *w = c->worker;

	c->is_unproven = true;
	atomic_fetch_add(&w->router->gate->unproven, 1);
	c->login->client = c;
	list_push_back(&w->unproven, &c->login->in_unproven);
}

void gate_look_on(struct client *c)
{
	c->is_late = true;
	atomic_fetch_add(&c->worker->router->late_consoles, 1);
	atomic_fetch_add(&c->worker->router->late_changes, 1);
}

bool gate_pass(struct client *c)
{
	struct router *r = c->worker->router;
	uint32_t most = atomic_load(&r->max_client_conn) +
		(c->login->is_console ? GATE_OVERFLOW : 0);

	if (atomic_fetch_add(&r->clients, 1) >= most) {
		atomic_fetch_sub(&r->clients, 1);
		return false;
	}
	/* Who looks at what holds it up is not to hold it up, too. */
	if (c->login->is_console && router_is_ending(r) && !c->is_late)
		gate_look_on(c);
	atomic_fetch_sub(&r->gate->unproven, 1);
	c->is_unproven = false;
	list_remove(&c->login->in_unproven);
	if (c->source == NULL)
		return true;
	pthread_mutex_lock(&r->gate->lock);
	c->source->unproven--;
	pthread_mutex_unlock(&r->gate->lock);
	return true;
}

void gate_leave(struct client *c)
{
	struct router *r = c->worker->router;

	if (c->is_unproven)
		list_remove(&c->login->in_unproven);
	if (c->is_late) {
		atomic_fetch_sub(&r->late_consoles, 1);
		atomic_fetch_add(&r->late_changes, 1);
	}
	atomic_fetch_sub(c->is_unproven ? &r->gate->unproven : &r->clients, 1);
	if (c->source == NULL)
		return;
	pthread_mutex_lock(&r->gate->lock);
	if (c->login != NULL && c->login->is_one_too_many) {
		c->source->excess--;
	} else {
		c->source->connections--;
		c->source->unproven -= c->is_unproven;
	}
	forget_unused(r->gate, c->source);
	pthread_mutex_unlock(&r->gate->lock);
	c->source = NULL;
}
