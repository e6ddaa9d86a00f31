/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "base/hash.h"
#include "suites.h"

enum { ENTRIES = 1000 };

struct entry {
	struct hash_node node;
	bool is_in;
	bool is_seen;
};

static struct entry entries[ENTRIES];
static struct hash_table table;

static void begin(void)
{
	memset(entries, 0, sizeof(entries));
	ck_assert_int_eq(hash_table_init(&table, 1), 0);
}

static void end(void)
{
	hash_table_finish(&table);
}

static bool is_found(const struct entry *entry, uint64_t hash)
{
	struct hash_node *node = hash_table_find(&table, hash);

	while (node != NULL && node != &entry->node)
		node = hash_next(node);
	return node != NULL;
}

START_TEST(finds_what_was_added_and_not_removed)
{
	for (uint64_t i = 0; i < ENTRIES; i++)
		hash_table_add(&table, &entries[i].node, hash_mix(i, 0));
	ck_assert_uint_eq(table.count, ENTRIES);
	for (uint64_t i = 0; i < ENTRIES; i += 3)
		hash_table_remove(&table, &entries[i].node);
	for (uint64_t i = 0; i < ENTRIES; i++)
		ck_assert(is_found(&entries[i], hash_mix(i, 0)) == (i % 3 != 0));
	ck_assert_ptr_null(hash_table_find(&table, hash_mix(0, 1)));
}
END_TEST

START_TEST(gives_all_nodes_of_one_hash_and_no_others)
{
	int count = 0;

	/* 5 and 13 share a bucket of the smallest table. */
	for (int i = 0; i < 4; i++)
		hash_table_add(&table, &entries[i].node, i % 2 == 0 ? 5 : 13);
	for (struct hash_node *n = hash_table_find(&table, 5); n != NULL;
		n = hash_next(n)) {
		ck_assert_uint_eq(n->hash, 5);
		count++;
	}
	ck_assert_int_eq(count, 2);
}
END_TEST

START_TEST(walk_visits_each_node_once)
{
	struct hash_node *node = NULL;
	size_t count = 0;

	ck_assert_ptr_null(hash_table_walk(&table, NULL));
	for (uint64_t i = 0; i < ENTRIES; i++)
		hash_table_add(&table, &entries[i].node, hash_mix(i / 2, 7));
	while ((node = hash_table_walk(&table, node)) != NULL) {
		struct entry *entry = container_of(node, struct entry, node);

		ck_assert(!entry->is_seen);
		entry->is_seen = true;
		count++;
	}
	ck_assert_uint_eq(count, ENTRIES);
}
END_TEST

START_TEST(grows_with_what_is_in_it)
{
	for (uint64_t i = 0; i < ENTRIES; i++)
		hash_table_add(&table, &entries[i].node, i);
	ck_assert_uint_ge(table.mask + 1, ENTRIES);
	ck_assert_uint_eq((table.mask + 1) & table.mask, 0);
}
END_TEST

/* Each length of a text, and each bit of it, counts. */
START_TEST(hash_depends_on_every_byte_and_on_the_length)
{
	uint8_t text[40] = { 0 };
	uint64_t plain[41];

	for (size_t len = 0; len <= 40; len++) {
		plain[len] = hash_bytes(text, len);
		ck_assert_uint_eq(plain[len], hash_bytes(text, len));
		for (size_t other = 0; other < len; other++)
			ck_assert_uint_ne(plain[len], plain[other]);
		for (size_t bit = 0; bit < len * 8; bit++) {
			text[bit / 8] ^= (uint8_t)(1u << (bit % 8));
			ck_assert_uint_ne(hash_bytes(text, len), plain[len]);
			text[bit / 8] = 0;
		}
	}
	ck_assert_uint_ne(hash_mix(1, 2), hash_mix(2, 1));
}
END_TEST

Suite *hash_suite(void)
{
	Suite *s = suite_create("base/hash");
	TCase *tc = tcase_create("hash");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, finds_what_was_added_and_not_removed);
	tcase_add_test(tc, gives_all_nodes_of_one_hash_and_no_others);
	tcase_add_test(tc, walk_visits_each_node_once);
	tcase_add_test(tc, grows_with_what_is_in_it);
	tcase_add_test(tc, hash_depends_on_every_byte_and_on_the_length);
	suite_add_tcase(s, tc);
	return s;
}
