/* SPDX-License-Identifier: ISC */
/*
 * Intrusive chained hash table that grows, and keyed hashing for names that
 * come from the network (SipHash-1-3, key chosen at start, so that nobody can
 * aim at one bucket).
 *
 * Owns:   its buckets; nodes are embedded in what they index.
 * Thread: one, or under the owner's lock.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/base.h"

struct hash_node {
	struct hash_node *next;
	uint64_t hash;
};

struct hash_table {
	struct hash_node **buckets;
	size_t mask;
	size_t count;
};

/* Returns 0 or -ENOMEM. */
NODISCARD int hash_table_init(struct hash_table *, size_t buckets_min);
void hash_table_finish(struct hash_table *);    /* nodes stay the caller's */

/* Never fails: when growing is impossible chains become longer. */
void hash_table_add(struct hash_table *, struct hash_node *, uint64_t hash);
void hash_table_remove(struct hash_table *, struct hash_node *);

/* First node with that hash, or NULL; hash_next() gives the others.  The
 * caller compares the keys. */
struct hash_node *hash_table_find(const struct hash_table *, uint64_t hash);
struct hash_node *hash_next(const struct hash_node *);

/* Every node, in no order; start with NULL. */
struct hash_node *hash_table_walk(const struct hash_table *, const struct hash_node *);

uint64_t hash_bytes(const void *data, size_t len);
uint64_t hash_mix(uint64_t a, uint64_t b);

#endif
