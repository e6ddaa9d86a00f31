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

/* --- at the door ------------------------------------------------------------------------ */

/* Without a word the client would look for a crash.  It may be that nobody reads this:
 * then so be it. */
static void turn_away(int fd)
{
	const struct msg_out_error error = { .severity = "FATAL",
		.sqlstate = "53300",
		.message = "sorry, too many clients already" };
	struct buf out;

	buf_init(&out, 0);
	msg_out_error(&out, &error);
	if (buf_ok(&out) &&
		send(fd, buf_data(&out), buf_len(&out), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		SLOG_LIMITED(DEBUG, "client-accept", "error=\"%s\"", strerror(errno));
	buf_finish(&out);
	close(fd);
}

static bool is_silent(const struct client *c, uint64_t now_us)
{
	if (c->state == CLIENT_STARTUP)
		return now_us >= c->connected_us + GATE_SILENT_US;
	return c->state == CLIENT_AUTH && c->login->has_auth &&
		now_us >= c->state_us + GATE_UNANSWERED_US;
}

/* One that was asked and does not answer makes room, the oldest first. */
static bool crowd_out(struct worker *w)
{
	uint32_t looks = 0;

	list_for_each(&w->unproven, node) {
		struct client_login *login = container_of(node, struct client_login, in_unproven);

		if (++looks > SEARCH_MAX)
			return false;
		if (!is_silent(login->client, worker_now(w)))
			continue;
		client_close(login->client, CLOSE_CROWDED_OUT);
		return true;
	}
	return false;
}

bool gate_admit(struct worker *w, const struct route_workload *workload, int fd)
{
	struct router *r = w->router;
	uint32_t unproven = gate_unproven(r->gate), most = atomic_load(&r->gate->max_unproven);
	uint32_t room = atomic_load(&r->max_client_conn) + GATE_OVERFLOW;

	if ((most == 0 || unproven < most) && atomic_load(&r->clients) + unproven < room)
		return true;
	if (crowd_out(w))
		return true;
	SLOG_LIMITED(WARN, "client-accept", "workload=%s unauthenticated=%u error=\"too many connections\"",
		workload->name, unproven);
	turn_away(fd);
	return false;
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

/* Under the lock. */
static struct gate_source *find_source(struct gate *g, const struct gate_source *key)
{
	uint64_t hash = hash_mix(key->is_v6, hash_bytes(key->key, KEY_LEN));
	struct gate_source *s;

	for (struct hash_node *node = hash_table_find(&g->sources, hash); node != NULL;
		node = hash_next(node)) {
		s = container_of(node, struct gate_source, node);
		if (s->is_v6 == key->is_v6 && memcmp(s->key, key->key, KEY_LEN) == 0)
			return s;
	}
	s = malloc(sizeof(*s));
	if (s == NULL)
		return NULL;
	*s = *key;
	hash_table_add(&g->sources, &s->node, hash);
	return s;
}

/* Under the lock. */
static void forget_unused(struct gate *g, struct gate_source *s)
{
	if (s->connections > 0)
		return;
	hash_table_remove(&g->sources, &s->node);
	free(s);
}

bool gate_count(struct client *c, const struct addr *peer)
{
	struct router *r = c->worker->router;
	uint32_t most = atomic_load(&r->gate->max_per_address);
	uint32_t most_unproven = atomic_load(&r->gate->max_unproven_per_address);
	struct gate_source key, *s;
	bool is_admitted = true;

	if ((most == 0 && most_unproven == 0) || !make_key(peer, &key))
		return true;
	pthread_mutex_lock(&r->gate->lock);
	s = find_source(r->gate, &key);
	if (s != NULL) {
		is_admitted = (most == 0 || s->connections < most) &&
			(most_unproven == 0 || s->unproven < most_unproven);
		s->connections += is_admitted;
		s->unproven += is_admitted;
		c->source = is_admitted ? s : NULL;
		forget_unused(r->gate, s);
	}
	pthread_mutex_unlock(&r->gate->lock);
	return is_admitted;
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

bool gate_pass(struct client *c)
{
	struct router *r = c->worker->router;
	uint32_t most = atomic_load(&r->max_client_conn) +
		(c->login->is_console ? GATE_OVERFLOW : 0);

	if (atomic_fetch_add(&r->clients, 1) >= most) {
		atomic_fetch_sub(&r->clients, 1);
		return false;
	}
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
	atomic_fetch_sub(c->is_unproven ? &r->gate->unproven : &r->clients, 1);
	if (c->source == NULL)
		return;
	pthread_mutex_lock(&r->gate->lock);
	c->source->connections--;
	c->source->unproven -= c->is_unproven;
	forget_unused(r->gate, c->source);
	pthread_mutex_unlock(&r->gate->lock);
	c->source = NULL;
}
