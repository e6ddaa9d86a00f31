/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/diag.h"
#include "config/doc.h"

Suite *doc_suite(void);

static struct doc_node *parse(const char *text, struct diag *diag)
{
	return doc_parse(text, strlen(text), "test.yaml", diag);
}

START_TEST(knows_where_everything_is)
{
	struct diag diag = { 0 };
	struct doc_node *root = parse("a:\n  b: [ x, 'y' ]\n  c:\nd: \"~\"\n", &diag);
	const struct doc_node *b = doc_reach(root, "a", "b", NULL);
	const struct doc_node *c = doc_reach(root, "a", "c", NULL);
	const struct doc_node *d = doc_get(root, "d");

	ck_assert_int_eq(root->kind, DOC_MAP);
	ck_assert_uint_eq(root->count, 2);
	ck_assert_int_eq(b->kind, DOC_LIST);
	ck_assert_uint_eq(b->count, 2);
	ck_assert_uint_eq(b->key_line, 2);
	ck_assert_uint_eq(b->key_column, 3);
	ck_assert_uint_eq(b->column, 6);
	ck_assert(!b->first->is_quoted && b->first->next->is_quoted);
	ck_assert_uint_eq(b->first->next->column, 11);
	ck_assert_int_eq(c->kind, DOC_NULL);
	ck_assert_int_eq(d->kind, DOC_SCALAR);
	ck_assert_str_eq(d->text, "~");
	ck_assert_ptr_null(doc_get(root, "b"));
	ck_assert_ptr_eq(doc_reach(root, "a", "zebra", "b", NULL), doc_get(root, "a"));
	doc_free(root);
}
END_TEST

START_TEST(keeps_text_as_it_is_written)
{
	static const char *const texts[][2] = {
		{ "0755", "0755" },
		{ "yes", "yes" },
		{ "1:30", "1:30" },
		{ "\xef\xbb\xbf" "bom", "bom" },
		{ "'it''s'", "it's" },
		{ "\"a\\tb\"", "a\tb" },
		{ "|\n  one\n  two\n", "one\ntwo\n" },
		{ "\xc3\xa4", "\xc3\xa4" },
	};

	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct diag diag = { 0 };
		struct doc_node *node = parse(texts[i][0], &diag);

		ck_assert_msg(node != NULL, "%s: %s", texts[i][0], diag.text);
		ck_assert_str_eq(node->text, texts[i][1]);
		doc_free(node);
	}
}
END_TEST

START_TEST(counts_columns_in_characters)
{
	struct diag diag = { 0 };

	ck_assert_ptr_null(parse("\xc3\xa4\xc3\xb6: *x\n", &diag));
	ck_assert_uint_eq(diag.column, 5);
}
END_TEST

START_TEST(stops_at_the_limit_of_nodes)
{
	size_t len = 2 * (size_t)(DOC_NODE_MAX + 2) + 1;
	char *text = malloc(len);
	struct diag diag = { 0 };

	for (size_t i = 0; i + 1 < len; i += 2)
		memcpy(text + i, "a,", 2);
	text[0] = '[';
	text[1] = 'a';
	text[len - 1] = ']';
	text[2] = ',';
	text[3] = 'a';
	ck_assert_ptr_null(doc_parse(text, len, "test.yaml", &diag));
	ck_assert_str_eq(diag.text, "the file has more than 500000 values");
	free(text);
}
END_TEST

START_TEST(finds_a_double_among_many_keys)
{
	char *text = NULL;
	size_t len = 0;
	struct diag diag = { 0 };
	FILE *out = open_memstream(&text, &len);

	for (int i = 0; i < 50000; i++)
		fprintf(out, "key%d: 1\n", i);
	fputs("key777: 1\n", out);
	fclose(out);
	ck_assert_ptr_null(doc_parse(text, len, "test.yaml", &diag));
	ck_assert_str_eq(diag.text,
		"\"key777\" stands here a second time; the first is on line 778");
	ck_assert_uint_eq(diag.line, 50001);
	free(text);
}
END_TEST

START_TEST(reads_a_file_up_to_its_limit)
{
	char path[] = "/tmp/pgtandem-doc-XXXXXX", *text;
	struct diag diag = { 0 };
	char block[40000];
	size_t len;
	int fd = mkstemp(path);

	memset(block, 'x', sizeof(block));
	ck_assert_int_eq(write(fd, block, sizeof(block)), sizeof(block));
	close(fd);
	ck_assert_int_eq(doc_read_file(path, sizeof(block), &text, &len, &diag), 0);
	ck_assert_uint_eq(len, sizeof(block));
	ck_assert_int_eq(memcmp(text, block, len), 0);
	doc_free_text(text, len);
	ck_assert_int_eq(
		doc_read_file(path, sizeof(block) - 1, &text, &len, &diag), -EFBIG);
	ck_assert_str_eq(diag.text, "longer than 39999 bytes");
	unlink(path);
}
END_TEST

START_TEST(tells_why_a_file_cannot_be_read)
{
	struct diag diag = { 0 }, other = { 0 };
	char *text;
	size_t len;

	ck_assert_int_eq(doc_read_file("/nowhere", 10, &text, &len, &diag), -ENOENT);
	ck_assert_str_eq(diag.text, "cannot open: No such file or directory");
	ck_assert_int_eq(doc_read_file("/", 10, &text, &len, &other), -EISDIR);
	ck_assert_str_eq(other.text, "cannot read: Is a directory");
}
END_TEST

/* One that nobody writes to would be waited for, for ever. */
START_TEST(reads_no_pipe)
{
	char path[] = "/tmp/pgtandem-doc-XXXXXX", *text;
	struct diag diag = { 0 };
	size_t len;
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(doc_read_file(path, 10, &text, &len, &diag), -ENOTSUP);
	ck_assert_str_eq(diag.text, "is not a regular file");
	unlink(path);
}
END_TEST

Suite *doc_suite(void)
{
	Suite *s = suite_create("config/doc");
	TCase *tc = tcase_create("parse");

	tcase_add_test(tc, knows_where_everything_is);
	tcase_add_test(tc, keeps_text_as_it_is_written);
	tcase_add_test(tc, counts_columns_in_characters);
	tcase_add_test(tc, stops_at_the_limit_of_nodes);
	tcase_add_test(tc, finds_a_double_among_many_keys);
	tcase_add_test(tc, reads_a_file_up_to_its_limit);
	tcase_add_test(tc, tells_why_a_file_cannot_be_read);
	tcase_add_test(tc, reads_no_pipe);
	suite_add_tcase(s, tc);
	return s;
}
