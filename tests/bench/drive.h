/* SPDX-License-Identifier: ISC */
/*
 * What the parts of the load generator share: see drive.c for what it does.
 */
#ifndef BENCH_DRIVE_H
#define BENCH_DRIVE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	GROUPS_MAX = 8,
	STATEMENTS_MAX = 16,
	KEYS_MAX = 9,
	BODY_MAX = 1024,	   /* of the messages that are read, not skipped */
	SCRATCH_SIZE = 256 * 1024, /* one read of bulk data */
	HISTOGRAM_SUB = 64,
	HISTOGRAM_SIZE = 64 * HISTOGRAM_SUB
};

#define NS_PER_S INT64_C(1000000000)

/* Nanoseconds in buckets whose width is 1/64 of their value or less. */
struct histogram {
	uint64_t count;
	uint64_t sum;
	uint64_t max;
	uint64_t buckets[HISTOGRAM_SIZE];
};

enum kind { KIND_SIMPLE, KIND_EXTENDED, KIND_PREPARED, KIND_PIPELINE };

enum state {
	CLIENT_AWAY,
	CLIENT_TLS_REPLY,
	CLIENT_HANDSHAKE,
	CLIENT_LOGIN,
	CLIENT_PREPARE,
	CLIENT_READY,
	CLIENT_BUSY
};

struct group {
	uint32_t index;
	const char *host; /* a directory of a unix socket if it begins with a slash */
	uint16_t port;
	const char *user;
	const char *database;
	const char *password;
	bool is_tls;
	uint32_t count;
	enum kind kind;
	uint32_t depth;	      /* of a pipeline */
	double pace;	      /* transactions per second and client */
	bool is_burst;	      /* paced, all in one moment */
	double rate;	      /* of all clients of the group */
	bool is_reconnecting; /* each transaction on a connection of its own */
	bool is_idle;
	uint64_t copy_bytes; /* what a CopyInResponse is answered with */
	double read_rate;    /* bytes a second that a client takes; 0: all there are */
	uint64_t keys[KEYS_MAX];
	uint32_t key_count;
	const char *statements[STATEMENTS_MAX];
	uint32_t statement_count;

	struct client *clients;
	uint32_t ready;
	uint64_t ended; /* in the window, whenever they began */
	uint32_t unanswered;
	uint64_t bytes;
	struct histogram histogram;

	/* Open loop and pace: arrivals are at fixed or random times, whoever is late. */
	double next_ns;
	uint64_t arrivals;
	int64_t *backlog; /* a ring of arrivals that nobody is free for */
	size_t backlog_at, backlog_count, backlog_room;
	struct client *free_list;
};

struct client {
	struct group *group;
	struct client *next_free;
	uint32_t index;
	enum state state;
	int fd;
	SSL *ssl;
	uint32_t statement;
	uint32_t parses; /* left to be sent before the first transaction */
	uint64_t key[KEYS_MAX];
	uint64_t dice;
	uint64_t due, done; /* of a paced client: arrivals and answers */
	int64_t since_ns;   /* sent, or what it should have been */
	int64_t read_until_ns; /* of a slow one: what it has read lasts until then */
	int64_t reads_at_ns; /* of a slow one that does not read before; 0: it reads */

	uint8_t head[5];
	uint32_t head_used;
	uint32_t left;
	uint8_t *body; /* while a message is read that matters */
	uint32_t body_used;
	struct scram *scram;
};

/* drive.c: what a connection tells. */
void drive_on_ready(struct client *c);
int64_t drive_now_ns(void);
void drive_fail(const char *what) __attribute__((noreturn));
void drive_refuse(const char *what) __attribute__((noreturn));

/* drive_conn.c */
void conn_init(int epoll_fd);
void conn_open(struct client *c);
void conn_close(struct client *c);
void conn_send(struct client *c, const void *data, size_t size);
void conn_on_event(struct client *c);
/* Lets those read whose time has come.  Returns when the next one's is, or the end. */
int64_t conn_read_slowly(struct group *g, int64_t now, int64_t end);

/* drive_messages.c: the messages of one step of a transaction are sent. */
void messages_startup(struct client *c);
void messages_prepare(struct client *c);
void messages_statement(struct client *c);
void messages_copy(struct client *c);

/* drive_scram.c: SCRAM-SHA-256 (RFC 5802, RFC 7677), the client's side. */
void scram_on_request(struct client *c, uint32_t code, const uint8_t *body, size_t size);
void scram_forget(struct client *c);

/* drive_histogram.c */
void histogram_add(struct histogram *h, int64_t ns);
double histogram_percentile_us(const struct histogram *h, double part);

#endif
