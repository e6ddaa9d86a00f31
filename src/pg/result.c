/* SPDX-License-Identifier: ISC */
#include "pg/result.h"

#include <string.h>

/* What comes after the words of a tag. */
enum tail {
	TAIL_NOTHING,
	TAIL_COUNTS,            /* " 3", " 0 5" */
	TAIL_ANY                /* " TABLE", " MATERIALIZED VIEW" */
};

/* The frequent ones first. */
static const struct {
	const char *text;
	enum tail tail;
	enum result_tag tag;
} tags[] = {
	{ "SELECT", TAIL_COUNTS, RESULT_SELECT },
	{ "INSERT", TAIL_COUNTS, RESULT_INSERT },
	{ "UPDATE", TAIL_COUNTS, RESULT_UPDATE },
	{ "BEGIN", TAIL_NOTHING, RESULT_BEGIN },
	{ "COMMIT", TAIL_NOTHING, RESULT_COMMIT },
	{ "SET", TAIL_NOTHING, RESULT_SET },
	{ "DELETE", TAIL_COUNTS, RESULT_DELETE },
	{ "ROLLBACK", TAIL_NOTHING, RESULT_ROLLBACK },
	{ "START TRANSACTION", TAIL_NOTHING, RESULT_BEGIN },
	{ "FETCH", TAIL_COUNTS, RESULT_FETCH },
	{ "COPY", TAIL_COUNTS, RESULT_COPY },
	{ "COPY", TAIL_NOTHING, RESULT_COPY },
	{ "MERGE", TAIL_COUNTS, RESULT_MERGE },
	{ "MOVE", TAIL_COUNTS, RESULT_MOVE },
	{ "SHOW", TAIL_NOTHING, RESULT_SHOW },
	{ "EXPLAIN", TAIL_NOTHING, RESULT_EXPLAIN },
	{ "SAVEPOINT", TAIL_NOTHING, RESULT_SAVEPOINT },
	{ "RELEASE", TAIL_NOTHING, RESULT_RELEASE },
	{ "PREPARE TRANSACTION", TAIL_NOTHING, RESULT_PREPARE_TRANSACTION },
	{ "COMMIT PREPARED", TAIL_NOTHING, RESULT_COMMIT_PREPARED },
	{ "ROLLBACK PREPARED", TAIL_NOTHING, RESULT_ROLLBACK_PREPARED },
	{ "SET CONSTRAINTS", TAIL_NOTHING, RESULT_SET_CONSTRAINTS },
	{ "RESET", TAIL_NOTHING, RESULT_RESET },
	{ "DISCARD ALL", TAIL_NOTHING, RESULT_DISCARD_ALL },
	{ "DISCARD", TAIL_ANY, RESULT_DISCARD },
	{ "LISTEN", TAIL_NOTHING, RESULT_LISTEN },
	{ "UNLISTEN", TAIL_NOTHING, RESULT_UNLISTEN },
	{ "NOTIFY", TAIL_NOTHING, RESULT_NOTIFY },
	{ "DECLARE CURSOR", TAIL_NOTHING, RESULT_DECLARE },
	{ "CLOSE CURSOR ALL", TAIL_NOTHING, RESULT_CLOSE_ALL },
	{ "CLOSE CURSOR", TAIL_NOTHING, RESULT_CLOSE },
	{ "PREPARE", TAIL_NOTHING, RESULT_PREPARE },
	{ "DEALLOCATE ALL", TAIL_NOTHING, RESULT_DEALLOCATE_ALL },
	{ "DEALLOCATE", TAIL_NOTHING, RESULT_DEALLOCATE },
	{ "LOAD", TAIL_NOTHING, RESULT_LOAD },
	{ "LOCK TABLE", TAIL_NOTHING, RESULT_LOCK },
	{ "DO", TAIL_NOTHING, RESULT_DO },
	{ "CALL", TAIL_NOTHING, RESULT_CALL },
	{ "CREATE", TAIL_ANY, RESULT_CREATE },
	{ "ALTER", TAIL_ANY, RESULT_ALTER },
	{ "DROP", TAIL_ANY, RESULT_DROP },
};

static size_t tag_len(const uint8_t *body, size_t len)
{
	const uint8_t *nul = len == 0 ? NULL : memchr(body, 0, len);

	return nul == NULL ? len : (size_t)(nul - body);
}

static bool is_counts(const uint8_t *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((text[i] < '0' || text[i] > '9') && text[i] != ' ')
			return false;
	}
	return len > 0;
}

static bool has_tail(enum tail tail, const uint8_t *text, size_t len)
{
	switch (tail) {
	case TAIL_NOTHING:
		return len == 0;
	case TAIL_COUNTS:
		return len > 1 && text[0] == ' ' && is_counts(text + 1, len - 1);
	case TAIL_ANY:
		return len > 1 && text[0] == ' ';
	}
	return false;
}

enum result_tag result_classify(const uint8_t *body, size_t len)
{
	len = tag_len(body, len);
	for (size_t i = 0; len > 0 && i < COUNT_OF(tags); i++) {
		size_t words;

		if (body[0] != (uint8_t)tags[i].text[0])
			continue;
		words = strlen(tags[i].text);
		if (len >= words && memcmp(body, tags[i].text, words) == 0 &&
			has_tail(tags[i].tail, body + words, len - words))
			return tags[i].tag;
	}
	return RESULT_OTHER;
}

uint64_t result_rows(const uint8_t *body, size_t len)
{
	uint64_t rows = 0;
	size_t from;

	len = tag_len(body, len);
	for (from = len; from > 0; from--) {
		if (body[from - 1] < '0' || body[from - 1] > '9')
			break;
	}
	if (from == 0 || body[from - 1] != ' ')
		return 0;
	for (size_t i = from; i < len; i++) {
		if (__builtin_mul_overflow(rows, 10, &rows) ||
			__builtin_add_overflow(rows, body[i] - '0', &rows))
			return 0;
	}
	return rows;
}
