/* SPDX-License-Identifier: ISC */
#include "base/hash.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"

static uint64_t hash_key[2];
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void hash_key_make(void)
{
	rand_bytes(hash_key, sizeof(hash_key));
}

int hash_table_init(struct hash_table *t, size_t buckets_min)
{
	size_t count = 8;

	while (count < buckets_min)
		count *= 2;
	t->buckets = calloc(count, sizeof(struct hash_node *));
	if (t->buckets == NULL)
		return -ENOMEM;
	t->mask = count - 1;
	t->count = 0;
	return 0;
}

void hash_table_finish(struct hash_table *t)
{
	free(t->buckets);
	t->buckets = NULL;
	t->mask = 0;
	t->count = 0;
}

static void hash_table_grow(struct hash_table *t)
{
	size_t count = (t->mask + 1) * 2;
	struct hash_node **buckets = calloc(count, sizeof(struct hash_node *));

	if (buckets == NULL)
		return;
	for (size_t i = 0; i <= t->mask; i++) {
		struct hash_node *node = t->buckets[i];

		while (node != NULL) {
			struct hash_node *next = node->next;
			struct hash_node **to = &buckets[node->hash & (count - 1)];

			node->next = *to;
			*to = node;
			node = next;
		}
	}
	free(t->buckets);
	t->buckets = buckets;
	t->mask = count - 1;
}

void hash_table_add(struct hash_table *t, struct hash_node *node, uint64_t hash)
{
	struct hash_node **to;

	if (t->count > t->mask)
		hash_table_grow(t);
	to = &t->buckets[hash & t->mask];
	node->hash = hash;
	node->next = *to;
	*to = node;
	t->count++;
}

void hash_table_remove(struct hash_table *t, struct hash_node *node)
{
	struct hash_node **link = &t->buckets[node->hash & t->mask];

	while (*link != node)
		link = &(*link)->next;
	*link = node->next;
	node->next = NULL;
	t->count--;
}

static struct hash_node *chain_find(struct hash_node *node, uint64_t hash)
{
	while (node != NULL && node->hash != hash)
		node = node->next;
	return node;
}

struct hash_node *hash_table_find(const struct hash_table *t, uint64_t hash)
{
	return chain_find(t->buckets[hash & t->mask], hash);
}

struct hash_node *hash_next(const struct hash_node *node)
{
	return chain_find(node->next, node->hash);
}

struct hash_node *hash_table_walk(const struct hash_table *t,
	const struct hash_node *after)
{
	size_t i = 0;

	if (after != NULL) {
		if (after->next != NULL)
			return after->next;
		i = (after->hash & t->mask) + 1;
	}
	for (; i <= t->mask; i++) {
		if (t->buckets[i] != NULL)
			return t->buckets[i];
	}
	return NULL;
}

static inline uint64_t rotl(uint64_t x, int by)
{
	return (x << by) | (x >> (64 - by));
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

uint64_t hash_bytes(const void *data, size_t len)
{
	const uint8_t *pos = data;
	uint64_t v[4], word, last = (uint64_t)len << 56;
	size_t left = len;

	pthread_once(&hash_key_once, hash_key_make);
	v[0] = hash_key[0] ^ UINT64_C(0x736f6d6570736575);
	v[1] = hash_key[1] ^ UINT64_C(0x646f72616e646f6d);
	v[2] = hash_key[0] ^ UINT64_C(0x6c7967656e657261);
	v[3] = hash_key[1] ^ UINT64_C(0x7465646279746573);

	for (; left >= 8; left -= 8, pos += 8) {
		memcpy(&word, pos, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)pos[i] << (8 * i);
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_mix(uint64_t a, uint64_t b)
{
	uint64_t pair[2] = { a, b };

	return hash_bytes(pair, sizeof(pair));
}
