/* SPDX-License-Identifier: ISC */
#include "base/suites.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum { ENTRIES = 5000 };

struct entry {
	struct hash_node node;
	uint32_t key;
	uint32_t seen;
};

static struct entry *find(const struct hash_table *t, uint32_t key)
{
	struct hash_node *node = hash_table_find(t, hash_bytes(&key, sizeof(key)));

	for (; node != NULL; node = hash_next(node)) {
		struct entry *e = container_of(node, struct entry, node);

		if (e->key == key)
			return e;
	}
	return NULL;
}

static struct entry *fill(struct hash_table *t)
{
	struct entry *all = calloc(ENTRIES, sizeof(*all));

	ck_assert_int_eq(hash_table_init(t, 0), 0);
	for (uint32_t i = 0; i < ENTRIES; i++) {
		all[i].key = i;
		hash_table_add(t, &all[i].node, hash_bytes(&i, sizeof(i)));
	}
	return all;
}

START_TEST(finds_everything_after_growing)
{
	struct hash_table t;
	struct entry *all = fill(&t);

	ck_assert_uint_eq(t.count, ENTRIES);
	ck_assert_uint_ge(t.mask, ENTRIES / 2);
	for (uint32_t i = 0; i < ENTRIES; i++)
		ck_assert_ptr_eq(find(&t, i), &all[i]);
	ck_assert_ptr_null(find(&t, ENTRIES));
	hash_table_finish(&t);
	free(all);
}
END_TEST

START_TEST(finds_the_rest_after_removing)
{
	struct hash_table t;
	struct entry *all = fill(&t);

	for (uint32_t i = 0; i < ENTRIES; i += 2)
		hash_table_remove(&t, &all[i].node);
	ck_assert_uint_eq(t.count, ENTRIES / 2);
	for (uint32_t i = 0; i < ENTRIES; i++)
		ck_assert_ptr_eq(find(&t, i), i % 2 == 0 ? NULL : &all[i]);
	hash_table_finish(&t);
	free(all);
}
END_TEST

START_TEST(walks_over_every_node_once)
{
	struct hash_table t;
	struct entry *all = fill(&t);
	uint32_t count = 0;

	for (struct hash_node *n = hash_table_walk(&t, NULL); n != NULL;
		n = hash_table_walk(&t, n)) {
		container_of(n, struct entry, node)->seen++;
		count++;
	}
	ck_assert_uint_eq(count, ENTRIES);
	for (uint32_t i = 0; i < ENTRIES; i++)
		ck_assert_uint_eq(all[i].seen, 1);
	hash_table_finish(&t);
	free(all);
}
END_TEST

/* Two keys with one hash are two entries. */
START_TEST(keeps_equal_hashes_apart)
{
	struct hash_node a, b, c;
	struct hash_table t;
	struct hash_node *found;
	int seen = 0;

	ck_assert_int_eq(hash_table_init(&t, 4), 0);
	hash_table_add(&t, &a, 7);
	hash_table_add(&t, &b, 7);
	hash_table_add(&t, &c, 7 + 8); /* The same bucket, another hash. */
	for (found = hash_table_find(&t, 7); found != NULL; found = hash_next(found)) {
		ck_assert_ptr_ne(found, &c);
		seen++;
	}
	ck_assert_int_eq(seen, 2);
	hash_table_remove(&t, &a);
	ck_assert_ptr_eq(hash_table_find(&t, 7), &b);
	ck_assert_ptr_null(hash_next(&b));
	hash_table_finish(&t);
}
END_TEST

START_TEST(depends_on_every_byte_and_the_length)
{
	uint8_t data[40];
	uint64_t whole;

	memset(data, 0, sizeof(data));
	whole = hash_bytes(data, (size_t)_i);
	ck_assert_uint_eq(whole, hash_bytes(data, (size_t)_i));
	ck_assert_uint_ne(whole, hash_bytes(data, (size_t)_i + 1));
	for (int i = 0; i < _i; i++) {
		data[i] = 1;
		ck_assert_uint_ne(whole, hash_bytes(data, (size_t)_i));
		data[i] = 0;
	}
}
END_TEST

Suite *hash_suite(void)
{
	Suite *s = suite_create("base/hash");
	TCase *tc = tcase_create("hash");

	tcase_add_test(tc, finds_everything_after_growing);
	tcase_add_test(tc, finds_the_rest_after_removing);
	tcase_add_test(tc, walks_over_every_node_once);
	tcase_add_test(tc, keeps_equal_hashes_apart);
	tcase_add_loop_test(tc, depends_on_every_byte_and_the_length, 0, 39);
	suite_add_tcase(s, tc);
	return s;
}
