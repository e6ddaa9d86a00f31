/* SPDX-License-Identifier: ISC */
/*
 * The messages of a client: StartupMessage, Query, and those of the extended protocol in
 * the order in which libpq sends them.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drive.h"

enum { COPY_ROW = 8192 };

/* What is put together here is sent at once: one is enough for all. */
static uint8_t out[64 * 1024];
static size_t out_size;

static void put(const void *data, size_t size)
{
	if (size > sizeof(out) - out_size)
		drive_refuse("messages that are too long");
	memcpy(out + out_size, data, size);
	out_size += size;
}

static void put16(uint32_t value)
{
	uint16_t word = htons((uint16_t)value);

	put(&word, 2);
}

static void put32(uint32_t value)
{
	uint32_t word = htonl(value);

	put(&word, 4);
}

static void put_text(const char *text)
{
	put(text, strlen(text) + 1);
}

static size_t begin(char type)
{
	put(&type, 1);
	put32(0);
	return out_size - 4;
}

static void end(size_t at)
{
	uint32_t word = htonl((uint32_t)(out_size - at));

	memcpy(out + at, &word, 4);
}

static void flush(struct client *c)
{
	conn_send(c, out, out_size);
	out_size = 0;
}

void messages_startup(struct client *c)
{
	uint32_t word;

	put32(0);
	put32(196608);
	put_text("user");
	put_text(c->group->user);
	put_text("database");
	put_text(c->group->database);
	put("", 1);
	word = htonl((uint32_t)out_size);
	memcpy(out, &word, 4);
	flush(c);
}

/* $1 to $9 in the text are this transaction's keys. */
static void put_query(const struct client *c, const char *sql)
{
	size_t at = begin('Q');
	char digits[24];

	for (; *sql != '\0'; sql++) {
		uint32_t which = *sql == '$' ? (uint32_t)(sql[1] - '1') : KEYS_MAX;

		if (which >= c->group->key_count) {
			put(sql, 1);
			continue;
		}
		put(digits,
			(size_t)snprintf(
				digits, sizeof(digits), "%" PRIu64, c->key[which]));
		sql++;
	}
	put("", 1);
	end(at);
}

static void put_parse(const char *name, const char *sql)
{
	size_t at = begin('P');

	put_text(name);
	put_text(sql);
	put16(0);
	end(at);
}

/* As libpq does: Bind, Describe of the portal, Execute. */
static void put_execute(const struct client *c, const char *name, const char *sql)
{
	char digits[24];
	int size = snprintf(digits, sizeof(digits), "%" PRIu64, c->key[0]);
	bool has_key = strstr(sql, "$1") != NULL;
	size_t at = begin('B');

	put_text("");
	put_text(name);
	put16(0);
	put16(has_key ? 1 : 0);
	if (has_key) {
		put32((uint32_t)size);
		put(digits, (size_t)size);
	}
	put16(0);
	end(at);
	at = begin('D');
	put("P", 1);
	put_text("");
	end(at);
	at = begin('E');
	put_text("");
	put32(0);
	end(at);
}

static void put_sync(void)
{
	end(begin('S'));
}

static const char *name_of(uint32_t statement)
{
	static char name[16];

	(void)snprintf(name, sizeof(name), "s%" PRIu32, statement);
	return name;
}

void messages_prepare(struct client *c)
{
	uint32_t which = c->group->statement_count - c->parses;

	put_parse(name_of(which), c->group->statements[which]);
	put_sync();
	flush(c);
}

void messages_statement(struct client *c)
{
	const struct group *g = c->group;
	const char *sql = g->statements[c->statement];

	switch (g->kind) {
	case KIND_SIMPLE:
		put_query(c, sql);
		break;
	case KIND_PREPARED:
		put_execute(c, name_of(c->statement), sql);
		put_sync();
		break;
	case KIND_EXTENDED:
	case KIND_PIPELINE:
		for (uint32_t i = 0; i < g->depth; i++) {
			put_parse("", sql);
			put_execute(c, "", sql);
		}
		put_sync();
		break;
	}
	flush(c);
}

/* Rows of 8 kB, each a CopyData of its own, as COPY ... TO would send them. */
void messages_copy(struct client *c)
{
	static char row[COPY_ROW];
	uint64_t left = c->group->copy_bytes;
	size_t at;

	memset(row, 'x', sizeof(row));
	row[COPY_ROW - 1] = '\n';
	while (left > 0) {
		at = begin('d');
		put(row, COPY_ROW);
		end(at);
		c->group->bytes += COPY_ROW;
		left -= left < COPY_ROW ? left : COPY_ROW;
		if (sizeof(out) - out_size < COPY_ROW + 5)
			flush(c);
	}
	end(begin('c'));
	flush(c);
}
