/* SPDX-License-Identifier: ISC */
#include "session/advice.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct advice_hold {
	struct hash_node node;
	struct list_node in_recent;
	uint32_t refs;                  /* clients that keep a server */
	struct advice_entry is;
};

int advice_init(struct advice *a)
{
	list_init(&a->recent);
	if (hash_table_init(&a->table, 64) < 0)
		return -ENOMEM;
	pthread_mutex_init(&a->lock, NULL);
	return 0;
}

static void drop(struct advice *a, struct advice_hold *e)
{
	hash_table_remove(&a->table, &e->node);
	list_remove(&e->in_recent);
	free(e);
}

void advice_finish(struct advice *a)
{
	struct list_node *node;

	while ((node = list_first(&a->recent)) != NULL)
		drop(a, container_of(node, struct advice_hold, in_recent));
	hash_table_finish(&a->table);
	pthread_mutex_destroy(&a->lock);
}

static void name(char to[ADVICE_NAME_SIZE], const char *from)
{
	(void)snprintf(to, ADVICE_NAME_SIZE, "%s", from == NULL ? "" : from);
}

void advice_key_make(struct advice_key *key, const char *workload, const char *database,
	const char *user, const char *application)
{
	/* It is compared as a whole. */
	memset(key, 0, sizeof(*key));
	name(key->workload, workload);
	name(key->database, database);
	name(key->user, user);
	name(key->application, application);
}

/* Whom nobody needs, seen longest ago. */
static void make_room(struct advice *a)
{
	for (struct list_node *node = a->recent.head.prev; node != &a->recent.head;
		node = node->prev) {
		struct advice_hold *e = container_of(node, struct advice_hold, in_recent);

		if (e->refs == 0) {
			drop(a, e);
			return;
		}
	}
}

static struct advice_hold *find(struct advice *a, const struct advice_key *key)
{
	uint64_t hash = hash_bytes(key, sizeof(*key));
	struct advice_hold *e;

	for (struct hash_node *node = hash_table_find(&a->table, hash); node != NULL;
		node = hash_next(node)) {
		e = container_of(node, struct advice_hold, node);
		if (memcmp(&e->is.key, key, sizeof(*key)) == 0)
			return e;
	}
	if (a->table.count >= ADVICE_ENTRIES_MAX)
		make_room(a);
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return NULL;
	e->is.key = *key;
	hash_table_add(&a->table, &e->node, hash);
	list_push_front(&a->recent, &e->in_recent);
	return e;
}

void advice_note(struct advice *a, const struct advice_key *key, uint32_t kinds,
	enum advice_what what, uint64_t wall_us)
{
	struct advice_hold *e;

	pthread_mutex_lock(&a->lock);
	e = find(a, key);
	for (unsigned i = 0; e != NULL && i < ROUTE_KIND_COUNT; i++) {
		if ((kinds & (1u << i)) == 0)
			continue;
		e->is.uses[i].times[what]++;
		e->is.uses[i].last_wall_us = wall_us;
	}
	if (e != NULL) {
		list_remove(&e->in_recent);
		list_push_front(&a->recent, &e->in_recent);
	}
	pthread_mutex_unlock(&a->lock);
}

struct advice_hold *advice_hold(struct advice *a, const struct advice_key *key)
{
	struct advice_hold *e;

	pthread_mutex_lock(&a->lock);
	e = find(a, key);
	if (e != NULL)
		e->refs++;
	pthread_mutex_unlock(&a->lock);
	return e;
}

uint64_t advice_held_us(const struct advice_use *use, uint64_t now_us)
{
	/* The clocks of two workers differ by a turn. */
	uint64_t since_us = now_us > use->as_of_us ? now_us - use->as_of_us : 0;

	return use->held_us + use->held * since_us;
}

void advice_held(struct advice *a, struct advice_hold *e, uint32_t kinds, int change,
	uint64_t now_us)
{
	if (e == NULL)
		return;
	pthread_mutex_lock(&a->lock);
	for (unsigned i = 0; i < ROUTE_PIN_COUNT; i++) {
		struct advice_use *use = &e->is.uses[i];

		/* Without memory, nobody has counted it. */
		if ((kinds & (1u << i)) == 0 || (change < 0 && use->held == 0))
			continue;
		use->held_us = advice_held_us(use, now_us);
		use->as_of_us = now_us;
		use->held = (uint32_t)((int)use->held + change);
	}
	pthread_mutex_unlock(&a->lock);
}

void advice_release(struct advice *a, struct advice_hold *e)
{
	if (e == NULL)
		return;
	pthread_mutex_lock(&a->lock);
	e->refs--;
	if (e->refs == 0 && a->table.count > ADVICE_ENTRIES_MAX)
		drop(a, e);
	pthread_mutex_unlock(&a->lock);
}

size_t advice_copy(struct advice *a, struct advice_entry *out, size_t most)
{
	size_t count = 0;

	pthread_mutex_lock(&a->lock);
	list_for_each(&a->recent, node) {
		if (count == most)
			break;
		out[count++] = container_of(node, struct advice_hold, in_recent)->is;
	}
	pthread_mutex_unlock(&a->lock);
	return count;
}
