/* SPDX-License-Identifier: ISC */
/*
 * A client and a server of ours, with somebody between them who passes on what they say in
 * pieces, changes it, and adds to it.  The first byte of the input says who: with bit 0 the
 * server gets raw bytes, with bit 1 the client does, with neither both talk to each other;
 * bit 2 is TLS 1.2, bit 3 asks for the client's certificate.  Then come steps: what is done
 * and how much of it.
 */
#include <stdlib.h>
#include <string.h>

#include "net/certs.h"
#include "net/tls.h"

enum { RAW_SERVER = 1, RAW_CLIENT = 2, OLD = 4, CERTIFICATE = 8 };
enum { STEPS_MAX = 400, KEPT_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char secret[] = "nothing of this may come out changed";

static void check(bool holds)
{
	if (!holds)
		abort();
}

struct side {
	struct tls *tls;
	struct buf wire;                /* from the other side, on its way */
	struct buf in;                  /* what has arrived, and was not used */
	struct buf got;
	enum tls_result shaken;
	bool is_over;
};

static struct tls_context *context_of(bool is_server, uint8_t how)
{
	struct tls_settings s = { .is_server = is_server,
		.protocols = how & OLD ? TLS_PROTOCOLS_1_2 : TLS_PROTOCOLS_SECURE };
	struct diag diag = { 0 };
	struct tls_context *c;

	if (is_server || how & CERTIFICATE) {
		s.cert_file = certs_path(is_server ? "server.crt" : "client.crt");
		s.key_file = certs_path(is_server ? "server.key" : "client.key");
	}
	if (how & CERTIFICATE) {
		s.ca_file = certs_path("ca.crt");
		s.verify = is_server ? TLS_VERIFY_CHAIN : TLS_VERIFY_NAME;
	}
	c = tls_context_create(&s, &diag);
	check(c != NULL);
	return c;
}

/* Made once for each way: reading files for each input would be all that is tested. */
static struct tls_context *context_for(bool is_server, uint8_t how)
{
	static struct tls_context *made[2][4];
	struct tls_context **c = &made[is_server][(how & (OLD | CERTIFICATE)) >> 2];

	if (*c == NULL)
		*c = context_of(is_server, how);
	return *c;
}

static void read_some(struct side *side, struct buf *out)
{
	enum tls_result result;
	uint8_t data[64];
	size_t len;

	do {
		result = tls_read(side->tls, data, sizeof(data), &len, out);
		check((result == TLS_OK) == (len > 0));
		buf_add(&side->got, data, len);
	} while (result == TLS_OK);
	side->is_over = result != TLS_MORE;
}

/* Both sides share one, as connections of a thread do. */
static void share_wire(struct tls *tls)
{
	static struct tls_wire *wire;

	if (wire == NULL)
		wire = tls_wire_create();
	check(wire != NULL);
	tls_share_wire(tls, wire);
}

/* len bytes arrive. */
static void arrive(struct side *side, size_t len, struct buf *out)
{
	len = size_min(len, buf_len(&side->wire));
	buf_add(&side->in, buf_data(&side->wire), len);
	buf_consume(&side->wire, len);
	if (side->is_over)
		return;
	tls_input(side->tls, buf_data(&side->in), buf_len(&side->in));
	if (side->shaken == TLS_MORE) {
		side->shaken = tls_handshake(side->tls, out);
		if (side->shaken == TLS_OK)
			share_wire(side->tls);
	}
	if (side->shaken == TLS_OK)
		read_some(side, out);
	else
		side->is_over = side->shaken != TLS_MORE;
	buf_consume(&side->in, buf_len(&side->in) - tls_input_left(side->tls));
	tls_input(side->tls, NULL, 0);
	check(side->is_over || buf_len(&side->in) == 0);
	check(side->is_over || tls_error(side->tls)[0] == '\0');
}

/* What arrived in clear is the beginning of what was sent, again and again. */
static void check_got(const struct side *side)
{
	const uint8_t *got = buf_data(&side->got);

	for (size_t i = 0; i < buf_len(&side->got); i++)
		check(got[i] == (uint8_t)secret[i % (sizeof(secret) - 1)]);
}

static void step(struct side sides[2], uint8_t what, uint8_t how_much)
{
	struct side *side = &sides[what & 1];
	struct buf *out = &sides[1 - (what & 1)].wire;

	switch (what >> 1 & 3) {
	case 0:
		arrive(side, how_much == 255 ? SIZE_MAX : how_much, out);
		break;
	case 1:
		if (side->shaken == TLS_OK && !side->is_over)
			(void)tls_write(side->tls, secret, sizeof(secret) - 1, out);
		break;
	case 2:
		if (buf_len(&side->wire) > how_much)
			((uint8_t *)(uintptr_t)buf_data(&side->wire))[how_much] ^=
				(uint8_t)(1u << (what >> 3 & 7));
		break;
	default:
		if (what & 8)
			buf_add(&side->wire, &how_much, 1);
		else
			buf_consume(&side->wire, size_min(how_much, buf_len(&side->wire)));
		break;
	}
}

static void finish(struct side *side)
{
	tls_end(side->tls, &side->got);
	tls_destroy(&side->tls);
	buf_finish(&side->wire);
	buf_finish(&side->in);
	buf_finish(&side->got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct side sides[2];
	uint8_t how;

	if (size < 1)
		return 0;
	how = data[0];
	for (int i = 0; i < 2; i++) {
		struct side *side = &sides[i];

		*side = (struct side){ .shaken = TLS_MORE };
		side->tls = tls_create(context_for(i == 0, how),
			i == 0 ? NULL : "db.example.com");
		check(side->tls != NULL);
		buf_init(&side->wire, KEPT_MAX);
		buf_init(&side->in, KEPT_MAX);
		buf_init(&side->got, KEPT_MAX);
	}
	if (how & (RAW_SERVER | RAW_CLIENT)) {
		int raw = how & RAW_SERVER ? 0 : 1;

		arrive(&sides[1], 0, &sides[0].wire);
		buf_clear(&sides[raw].wire);
		buf_add(&sides[raw].wire, data + 1, size - 1);
		while (buf_len(&sides[raw].wire) > 0 && !sides[raw].is_over)
			arrive(&sides[raw], 7, &sides[1 - raw].wire);
		/* Nobody has the keys. */
		check(sides[raw].shaken != TLS_OK && buf_len(&sides[raw].got) == 0);
	} else {
		arrive(&sides[1], 0, &sides[0].wire);
		for (size_t at = 1; at + 1 < size && at < 2 * STEPS_MAX; at += 2)
			step(sides, data[at], data[at + 1]);
		check_got(&sides[0]);
		check_got(&sides[1]);
		/* A certificate was asked for: nobody is in without. */
		if (how & CERTIFICATE && sides[0].shaken == TLS_OK)
			check(tls_has_peer(sides[0].tls));
	}
	finish(&sides[0]);
	finish(&sides[1]);
	return 0;
}
