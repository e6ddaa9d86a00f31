/* SPDX-License-Identifier: ISC */
#include "session/advice.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	struct hash_node node;
	struct list_node in_recent;
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

static void drop(struct advice *a, struct entry *e)
{
	hash_table_remove(&a->table, &e->node);
	list_remove(&e->in_recent);
	free(e);
}

void advice_finish(struct advice *a)
{
	struct list_node *node;

	while ((node = list_first(&a->recent)) != NULL)
		drop(a, container_of(node, struct entry, in_recent));
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

static struct entry *find(struct advice *a, const struct advice_key *key)
{
	uint64_t hash = hash_bytes(key, sizeof(*key));
	struct entry *e;

	for (struct hash_node *node = hash_table_find(&a->table, hash); node != NULL;
		node = hash_next(node)) {
		e = container_of(node, struct entry, node);
		if (memcmp(&e->is.key, key, sizeof(*key)) == 0)
			return e;
	}
	if (a->table.count >= ADVICE_ENTRIES_MAX)
		drop(a, container_of(list_last(&a->recent), struct entry, in_recent));
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
	struct entry *e;

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

size_t advice_copy(struct advice *a, struct advice_entry *out, size_t most)
{
	size_t count = 0;

	pthread_mutex_lock(&a->lock);
	list_for_each(&a->recent, node) {
		if (count == most)
			break;
		out[count++] = container_of(node, struct entry, in_recent)->is;
	}
	pthread_mutex_unlock(&a->lock);
	return count;
}
