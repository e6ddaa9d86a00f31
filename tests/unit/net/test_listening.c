/* SPDX-License-Identifier: ISC */
#include "net/listening.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/suites.h"

/* Somebody's who listens, with a directory for unix sockets. */
struct owner {
	struct list all;
	char directory[32];
	char text[80];                  /* an address in it */
	char path[80];
};

struct entry {
	struct listening at;
	int more;
};

static int open_socket(void *arg, const struct addr *addr, bool *is_kept, bool *is_lent)
{
	(void)arg;
	*is_kept = *is_lent = false;
	return addr_listen(addr, 8, 0777);
}

static int take_within(void *arg, const struct addr *wide, struct addr *addr)
{
	(void)arg;
	(void)wide;
	(void)addr;
	return -1;
}

static const struct listening_ops ops = { .who = "",
	.size = sizeof(struct entry),
	.open = open_socket,
	.take_within = take_within };

static void owner_init(struct owner *o)
{
	*o = (struct owner){ .directory = "/tmp/pgtandem.XXXXXX" };
	list_init(&o->all);
	ck_assert_ptr_nonnull(mkdtemp(o->directory));
	(void)snprintf(o->text, sizeof(o->text), "unix:%s:6432", o->directory);
	(void)snprintf(o->path, sizeof(o->path), "%s/.s.PGSQL.6432", o->directory);
}

static void owner_finish(struct owner *o)
{
	struct list_node *node;

	while ((node = list_first(&o->all)) != NULL)
		listening_end(container_of(node, struct listening, node));
	ck_assert_int_eq(rmdir(o->directory), 0);
}

static void want(struct owner *o)
{
	struct diag diag;

	diag_clear(&diag);
	listening_want_none(&o->all);
	ck_assert_int_eq(listening_want(&o->all, &ops, o->text, &diag), 0);
}

/* What a change that succeeds leaves. */
static void commit(struct owner *o)
{
	list_for_each_safe(&o->all, node) {
		struct listening *l = container_of(node, struct listening, node);

		l->is_new = false;
		if (!l->is_wanted)
			listening_end(l);
	}
}

static size_t count(const struct owner *o)
{
	size_t n = 0;

	list_for_each(&o->all, node) n++;
	return n;
}

START_TEST(what_is_there_is_not_opened_again)
{
	struct stat before, after;
	struct owner o;

	owner_init(&o);
	want(&o);
	commit(&o);
	ck_assert_int_eq(stat(o.path, &before), 0);
	want(&o);
	commit(&o);
	ck_assert_int_eq(stat(o.path, &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	ck_assert_uint_eq(count(&o), 1);
	listening_want_none(&o.all);
	commit(&o);
	ck_assert_int_eq(access(o.path, F_OK), -1);
	owner_finish(&o);
}
END_TEST

START_TEST(what_comes_to_nothing_leaves_what_was)
{
	struct owner o;

	owner_init(&o);
	want(&o);
	listening_abandon(&o.all);
	ck_assert_uint_eq(count(&o), 0);
	ck_assert_int_eq(access(o.path, F_OK), -1);
	want(&o);
	commit(&o);
	want(&o);
	listening_abandon(&o.all);
	ck_assert_uint_eq(count(&o), 1);
	ck_assert_int_eq(access(o.path, F_OK), 0);
	owner_finish(&o);
}
END_TEST

START_TEST(a_name_that_was_removed_is_made_again)
{
	struct owner o;

	owner_init(&o);
	want(&o);
	commit(&o);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(unlink(o.path), 0);
		want(&o);
		ck_assert_uint_eq(count(&o), 2);
		/* First for a change that fails. */
		if (i == 0) {
			listening_abandon(&o.all);
			ck_assert_int_eq(access(o.path, F_OK), -1);
			want(&o);
		}
		commit(&o);
		ck_assert_uint_eq(count(&o), 1);
		ck_assert_int_eq(access(o.path, F_OK), 0);
	}
	owner_finish(&o);
}
END_TEST

START_TEST(what_cannot_be_is_said)
{
	struct diag diag;
	struct owner o;

	owner_init(&o);
	diag_clear(&diag);
	ck_assert_int_eq(listening_want(&o.all, &ops, "nonsense", &diag), -EINVAL);
	ck_assert_str_ne(diag.text, "");
	diag_clear(&diag);
	ck_assert_int_lt(listening_want(&o.all, &ops, "unix:/no/such/directory:1", &diag), 0);
	ck_assert_str_eq(diag.text,
		"cannot listen on unix:/no/such/directory:1: No such file or directory");
	ck_assert_uint_eq(count(&o), 0);
	owner_finish(&o);
}
END_TEST

Suite *listening_suite(void)
{
	Suite *s = suite_create("net/listening");
	TCase *tc = tcase_create("listening");

	tcase_add_test(tc, what_is_there_is_not_opened_again);
	tcase_add_test(tc, what_comes_to_nothing_leaves_what_was);
	tcase_add_test(tc, a_name_that_was_removed_is_made_again);
	tcase_add_test(tc, what_cannot_be_is_said);
	suite_add_tcase(s, tc);
	return s;
}
