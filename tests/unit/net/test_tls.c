/* SPDX-License-Identifier: ISC */
/*
 * The engine by itself: two of them, a client and a server, that hand each other bytes.
 */
#include "net/tls.h"

#include <check.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/certs.h"
#include "net/suites.h"

struct side {
	struct tls *tls;
	struct buf in;                  /* from the other side, not given yet */
	struct buf rest;                /* given, and not used */
	enum tls_result shaken;
};

struct pair {
	struct tls_context *contexts[2];
	struct side sides[2];           /* server, client */
};

static const struct tls_settings plain_server = { .is_server = true };
static const struct tls_settings plain_client = { 0 };

static struct tls_context *context_of(struct tls_settings s)
{
	struct diag diag = { 0 };
	struct tls_context *c;
	char text[1000];

	if (s.is_server && s.cert_file == NULL) {
		s.cert_file = certs_path("server.crt");
		s.key_file = certs_path("server.key");
	}
	c = tls_context_create(&s, &diag);
	ck_assert_msg(c != NULL, "%s", diag_format(&diag, text, sizeof(text)));
	return c;
}

static void pair_open(struct pair *p, const struct tls_settings *server,
	const struct tls_settings *client, const char *name)
{
	*p = (struct pair){ .contexts = { context_of(*server), context_of(*client) } };
	for (int i = 0; i < 2; i++) {
		struct side *side = &p->sides[i];

		side->tls = tls_create(p->contexts[i], i == 1 ? name : NULL);
		ck_assert_ptr_nonnull(side->tls);
		buf_init(&side->in, 0);
		buf_init(&side->rest, 0);
		side->shaken = TLS_MORE;
	}
}

static void pair_close(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		tls_destroy(&p->sides[i].tls);
		buf_finish(&p->sides[i].in);
		buf_finish(&p->sides[i].rest);
		tls_context_unref(p->contexts[i]);
	}
}

/* One step of a handshake with what has arrived, in pieces of so many bytes. */
static void shake_side(struct pair *p, int number, size_t piece)
{
	struct side *side = &p->sides[number];
	struct buf *out = &p->sides[1 - number].in;

	do {
		size_t len = size_min(piece, buf_len(&side->in));

		buf_add(&side->rest, buf_data(&side->in), len);
		buf_consume(&side->in, len);
		if (side->shaken != TLS_MORE)
			return;
		tls_input(side->tls, buf_data(&side->rest), buf_len(&side->rest));
		side->shaken = tls_handshake(side->tls, out);
		buf_consume(&side->rest, buf_len(&side->rest) - tls_input_left(side->tls));
		tls_input(side->tls, NULL, 0);
	} while (buf_len(&side->in) > 0);
}

static void shake_in(struct pair *p, size_t piece)
{
	for (int i = 0; i < 10; i++) {
		shake_side(p, 1, piece);
		shake_side(p, 0, piece);
	}
}

static void shake(struct pair *p)
{
	shake_in(p, SIZE_MAX);
}

/* What the side makes of all that has arrived, in pieces. */
static enum tls_result read_all(struct pair *p, int number, size_t piece, struct buf *to)
{
	struct side *side = &p->sides[number];
	enum tls_result result = TLS_MORE;
	uint8_t data[100];
	size_t len;

	buf_add(&side->rest, buf_data(&side->in), buf_len(&side->in));
	buf_clear(&side->in);
	for (size_t at = 0; at < buf_len(&side->rest); at += piece) {
		tls_input(side->tls, buf_data(&side->rest) + at,
			size_min(piece, buf_len(&side->rest) - at));
		do {
			result = tls_read(side->tls, data, sizeof(data), &len,
				&p->sides[1 - number].in);
			buf_add(to, data, len);
		} while (result == TLS_OK);
	}
	tls_input(side->tls, NULL, 0);
	buf_clear(&side->rest);
	return result;
}

static void check_passes(struct pair *p, int from, size_t piece)
{
	static const char text[] = "a text that is longer than the hundred bytes that are read "
				   "at a time, so that a record is read in several calls";
	struct buf got;

	buf_init(&got, 0);
	ck_assert_int_eq(tls_write(p->sides[from].tls, text, sizeof(text),
		&p->sides[1 - from].in), TLS_OK);
	ck_assert_int_eq(tls_write(p->sides[from].tls, "!", 1, &p->sides[1 - from].in), TLS_OK);
	ck_assert_int_eq(read_all(p, 1 - from, piece, &got), TLS_MORE);
	ck_assert_uint_eq(buf_len(&got), sizeof(text) + 1);
	ck_assert_mem_eq(buf_data(&got), text, sizeof(text));
	buf_finish(&got);
}

static void check_agreed(struct pair *p)
{
	ck_assert_msg(p->sides[0].shaken == TLS_OK, "%s", tls_error(p->sides[0].tls));
	ck_assert_msg(p->sides[1].shaken == TLS_OK, "%s", tls_error(p->sides[1].tls));
}

START_TEST(cut_anywhere)
{
	enum tls_protocols protocols = _i == 0 ? TLS_PROTOCOLS_1_2 : TLS_PROTOCOLS_1_3;
	struct tls_settings server = plain_server, client = plain_client;

	server.protocols = protocols;
	client.protocols = protocols;
	for (size_t piece = 1; piece < 400; piece = piece < 20 ? piece + 1 : piece * 2) {
		struct pair p;

		pair_open(&p, &server, &client, "db.example.com");
		shake_in(&p, piece);
		check_agreed(&p);
		ck_assert_str_eq(tls_protocol(p.sides[0].tls), _i == 0 ? "TLSv1.2" : "TLSv1.3");
		ck_assert_str_eq(tls_cipher(p.sides[0].tls), tls_cipher(p.sides[1].tls));
		ck_assert(tls_has_alpn(p.sides[0].tls) && tls_has_alpn(p.sides[1].tls));
		check_passes(&p, 0, piece);
		check_passes(&p, 1, piece);
		pair_close(&p);
	}
}
END_TEST

START_TEST(says_that_nothing_follows)
{
	struct pair p;
	struct buf got;

	pair_open(&p, &plain_server, &plain_client, NULL);
	shake(&p);
	check_agreed(&p);
	buf_init(&got, 0);
	ck_assert_int_eq(tls_write(p.sides[0].tls, "end", 3, &p.sides[1].in), TLS_OK);
	tls_end(p.sides[0].tls, &p.sides[1].in);
	ck_assert_int_eq(read_all(&p, 1, 7, &got), TLS_CLOSED);
	ck_assert_uint_eq(buf_len(&got), 3);
	buf_finish(&got);
	pair_close(&p);
}
END_TEST

/* Each byte that is changed on its way is found out, and none of what was in its record
 * is given. */
START_TEST(changed_bytes_are_found)
{
	for (size_t at = 0; at < 60; at++) {
		struct pair p;
		struct buf got;

		pair_open(&p, &plain_server, &plain_client, NULL);
		shake(&p);
		buf_init(&got, 0);
		/* Tickets have been sent meanwhile. */
		(void)read_all(&p, 1, SIZE_MAX, &got);
		ck_assert_int_eq(tls_write(p.sides[0].tls, "0123456789012345678901234567890123456789",
			40, &p.sides[1].in), TLS_OK);
		ck_assert_uint_gt(buf_len(&p.sides[1].in), 60);
		buf_data(&p.sides[1].in)[at] ^= 1;
		/* A length that grew is waited for. */
		if (read_all(&p, 1, SIZE_MAX, &got) != TLS_FAILED)
			ck_assert_uint_le(at, 4);
		ck_assert_uint_eq(buf_len(&got), 0);
		buf_finish(&got);
		pair_close(&p);
	}
}
END_TEST

START_TEST(plain_text_is_no_handshake)
{
	static const char text[] = "Q\0\0\0\x0dSELECT 1";
	struct buf out;
	struct pair p;

	pair_open(&p, &plain_server, &plain_client, NULL);
	buf_init(&out, 0);
	tls_input(p.sides[0].tls, (const uint8_t *)text, sizeof(text));
	ck_assert_int_eq(tls_handshake(p.sides[0].tls, &out), TLS_FAILED);
	ck_assert_str_ne(tls_error(p.sides[0].tls), "");
	/* And it stays so. */
	ck_assert_int_eq(tls_handshake(p.sides[0].tls, &out), TLS_FAILED);
	ck_assert_int_eq(tls_write(p.sides[0].tls, "x", 1, &out), TLS_FAILED);
	buf_finish(&out);
	pair_close(&p);
}
END_TEST

/* --- certificates ---------------------------------------------------------------------- */

static const struct {
	const char *cert;
	const char *ca;
	const char *crl;
	const char *name;
	enum tls_verify verify;
	const char *error;              /* the client's; NULL: it is good */
} verified[] = {
	{ "server", "ca.crt", "", "db.example.com", TLS_VERIFY_NAME, NULL },
	{ "server", "ca.crt", "ca.crl", "127.0.0.1", TLS_VERIFY_NAME, NULL },
	{ "server", "ca.crt", "", "other.example.com", TLS_VERIFY_CHAIN, NULL },
	{ "server", "", "", "other.example.com", TLS_VERIFY_NOTHING, NULL },
	{ "server", "ca.crt", "", "other.example.com", TLS_VERIFY_NAME, "hostname mismatch" },
	{ "server", "ca.crt", "", "127.0.0.2", TLS_VERIFY_NAME, "IP address mismatch" },
	{ "server", "stranger.crt", "", NULL, TLS_VERIFY_CHAIN,
		"unable to get local issuer certificate" },
	{ "expired", "ca.crt", "", NULL, TLS_VERIFY_CHAIN, "certificate has expired" },
	{ "revoked", "ca.crt", "ca.crl", NULL, TLS_VERIFY_CHAIN, "certificate revoked" },
	{ "revoked", "ca.crt", "", NULL, TLS_VERIFY_CHAIN, NULL },
};

START_TEST(certificates_of_servers)
{
	struct tls_settings server = plain_server, client = plain_client;
	char cert[300], key[300], ca[300], crl[300];
	struct pair p;

	(void)snprintf(cert, sizeof(cert), "%s.crt", certs_path(verified[_i].cert));
	(void)snprintf(key, sizeof(key), "%s.key", certs_path(verified[_i].cert));
	(void)snprintf(ca, sizeof(ca), "%s", certs_path(verified[_i].ca));
	(void)snprintf(crl, sizeof(crl), "%s", certs_path(verified[_i].crl));
	server.cert_file = cert;
	server.key_file = key;
	client.verify = verified[_i].verify;
	if (verified[_i].ca[0] != '\0')
		client.ca_file = ca;
	if (verified[_i].crl[0] != '\0')
		client.crl_file = crl;
	pair_open(&p, &server, &client, verified[_i].name);
	shake(&p);
	if (verified[_i].error == NULL) {
		check_agreed(&p);
		check_passes(&p, 0, SIZE_MAX);
		check_passes(&p, 1, SIZE_MAX);
	} else {
		ck_assert_int_eq(p.sides[1].shaken, TLS_FAILED);
		ck_assert_str_eq(tls_error(p.sides[1].tls), verified[_i].error);
		/* The alert has told the server. */
		(void)read_all(&p, 0, SIZE_MAX, &p.sides[0].rest);
		ck_assert_str_ne(tls_error(p.sides[0].tls), "");
	}
	pair_close(&p);
}
END_TEST

static void open_with_client(struct pair *p, enum tls_verify verify, bool shows)
{
	struct tls_settings server = plain_server, client = plain_client;
	static char ca[300], cert[300], key[300];

	(void)snprintf(ca, sizeof(ca), "%s", certs_path("ca.crt"));
	(void)snprintf(cert, sizeof(cert), "%s", certs_path("client.crt"));
	(void)snprintf(key, sizeof(key), "%s", certs_path("client.key"));
	server.verify = verify;
	server.ca_file = ca;
	if (shows) {
		client.cert_file = cert;
		client.key_file = key;
	}
	pair_open(p, &server, &client, NULL);
	shake(p);
}

START_TEST(certificates_of_clients)
{
	char text[TLS_DN_MAX];
	struct pair p;

	open_with_client(&p, TLS_VERIFY_CHAIN, true);
	check_agreed(&p);
	ck_assert(tls_has_peer(p.sides[0].tls));
	ck_assert(tls_peer_name(p.sides[0].tls, text, sizeof(text)));
	ck_assert_str_eq(text, "alice");
	ck_assert(!tls_peer_name(p.sides[0].tls, text, 5));
	ck_assert(tls_peer_dn(p.sides[0].tls, text, sizeof(text)));
	ck_assert_str_eq(text, "CN=alice,O=Tests\\, Inc.");
	ck_assert(!tls_peer_dn(p.sides[0].tls, text, 10));
	/* The client did not verify: what it was shown proves nothing. */
	ck_assert(!tls_has_peer(p.sides[1].tls));
	pair_close(&p);

	open_with_client(&p, TLS_VERIFY_IF_GIVEN, false);
	check_agreed(&p);
	ck_assert(!tls_has_peer(p.sides[0].tls));
	ck_assert(!tls_peer_name(p.sides[0].tls, text, sizeof(text)));
	ck_assert(!tls_peer_dn(p.sides[0].tls, text, sizeof(text)));
	pair_close(&p);

	open_with_client(&p, TLS_VERIFY_CHAIN, false);
	ck_assert_int_eq(p.sides[0].shaken, TLS_FAILED);
	ck_assert_str_eq(tls_error(p.sides[0].tls), "peer did not return a certificate");
	pair_close(&p);
}
END_TEST

/* Both ends come to the same hash, which is the one of the file. */
START_TEST(channel_binding)
{
	uint8_t ends[2][TLS_BINDING_MAX], hash[EVP_MAX_MD_SIZE];
	FILE *f = fopen(certs_path("server.crt"), "r");
	unsigned hash_len;
	struct pair p;
	X509 *cert;

	ck_assert_ptr_nonnull(f);
	cert = PEM_read_X509(f, NULL, NULL, NULL);
	(void)fclose(f);
	ck_assert_int_eq(X509_digest(cert, EVP_sha256(), hash, &hash_len), 1);
	X509_free(cert);
	pair_open(&p, &plain_server, &plain_client, NULL);
	shake(&p);
	check_agreed(&p);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(tls_binding(p.sides[i].tls, ends[i]), hash_len);
		ck_assert_mem_eq(ends[i], hash, hash_len);
	}
	pair_close(&p);
}
END_TEST

/* --- contexts ------------------------------------------------------------------------------ */

static const struct {
	const char *cert, *key, *ca, *crl, *ciphers, *suites;
	const char *file;
	const char *text;
} broken[] = {
	{ "missing.crt", "server.key", "", "", "", "", "missing.crt", "No such file" },
	{ "server.crt", "missing.key", "", "", "", "", "missing.key", "No such file" },
	{ "server.crt", "client.key", "", "", "", "", "client.key", "key values mismatch" },
	{ "server.key", "server.key", "", "", "", "", "server.key", "no start line" },
	{ "server.crt", "server.crt", "", "", "", "", "server.crt", "no private key" },
	{ "server.crt", "server.key", "server.key", "", "", "", "server.key",
		"holds no certificates of CAs" },
	{ "server.crt", "server.key", "ca.crt", "missing.crl", "", "", "missing.crl",
		"holds no list of revoked" },
	{ "server.crt", "server.key", "", "", "NOSUCH", "", "", "no cipher match" },
	{ "server.crt", "server.key", "", "", "", "NOSUCH", "", "TLS 1.3" },
	{ "", "", "", "", "", "", "", "a certificate and a key are needed" },
};

static const char *path_or_nothing(const char *file, char *to, size_t size)
{
	(void)snprintf(to, size, "%s", file[0] == '\0' ? "" : certs_path(file));
	return to;
}

START_TEST(files_that_will_not_do)
{
	char cert[300], key[300], ca[300], crl[300];
	const struct tls_settings s = {
		.is_server = true,
		.verify = broken[_i].ca[0] == '\0' ? TLS_VERIFY_NOTHING : TLS_VERIFY_CHAIN,
		.cert_file = path_or_nothing(broken[_i].cert, cert, sizeof(cert)),
		.key_file = path_or_nothing(broken[_i].key, key, sizeof(key)),
		.ca_file = path_or_nothing(broken[_i].ca, ca, sizeof(ca)),
		.crl_file = path_or_nothing(broken[_i].crl, crl, sizeof(crl)),
		.ciphers = broken[_i].ciphers,
		.ciphersuites = broken[_i].suites,
	};
	struct diag diag = { 0 };
	char text[1000];

	ck_assert_ptr_null(tls_context_create(&s, &diag));
	diag_format(&diag, text, sizeof(text));
	ck_assert_msg(strstr(text, broken[_i].file) != NULL, "%s", text);
	/* Words of the crypto library's differ from version to version. */
	if (strcmp(broken[_i].text, "no private key") != 0)
		ck_assert_msg(strcasestr(text, broken[_i].text) != NULL, "%s", text);
}
END_TEST

/* A connection keeps its context, whatever becomes of it. */
START_TEST(context_lives_with_its_connections)
{
	struct pair p;

	pair_open(&p, &plain_server, &plain_client, NULL);
	for (int i = 0; i < 2; i++) {
		tls_context_unref(p.contexts[i]);
		p.contexts[i] = NULL;
	}
	shake(&p);
	check_agreed(&p);
	check_passes(&p, 0, 1);
	pair_close(&p);
}
END_TEST

static void share(struct pair *p, struct tls_wire *wire)
{
	for (int i = 0; i < 2; i++)
		tls_share_wire(p->sides[i].tls, wire);
}

/* Each is given what was sent to it, and goes from one thread's wire to another's. */
START_TEST(wires_are_shared)
{
	struct tls_wire *wires[2] = { tls_wire_create(), tls_wire_create() };
	struct tls_settings client = plain_client;
	struct pair p[2];

	client.protocols = _i == 0 ? TLS_PROTOCOLS_1_2 : TLS_PROTOCOLS_1_3;
	for (int i = 0; i < 2; i++) {
		ck_assert_ptr_nonnull(wires[i]);
		pair_open(&p[i], &plain_server, &client, NULL);
		shake(&p[i]);
		check_agreed(&p[i]);
		share(&p[i], wires[0]);
	}
	for (int i = 0; i < 4; i++) {
		check_passes(&p[i % 2], 0, 1);
		check_passes(&p[1 - i % 2], 1, SIZE_MAX);
		share(&p[i % 2], wires[i / 2]);
	}
	/* They keep it, whoever has made it. */
	for (int i = 0; i < 2; i++)
		tls_wire_unref(wires[i]);
	pair_close(&p[0]);
	check_passes(&p[1], 0, 7);
	pair_close(&p[1]);
}
END_TEST

Suite *tls_suite(void)
{
	Suite *suite = suite_create("tls");
	TCase *tc = tcase_create("tls");

	tcase_add_loop_test(tc, cut_anywhere, 0, 2);
	tcase_add_test(tc, says_that_nothing_follows);
	tcase_add_test(tc, changed_bytes_are_found);
	tcase_add_test(tc, plain_text_is_no_handshake);
	tcase_add_loop_test(tc, certificates_of_servers, 0,
		sizeof(verified) / sizeof(verified[0]));
	tcase_add_test(tc, certificates_of_clients);
	tcase_add_test(tc, channel_binding);
	tcase_add_loop_test(tc, files_that_will_not_do, 0, sizeof(broken) / sizeof(broken[0]));
	tcase_add_test(tc, context_lives_with_its_connections);
	tcase_add_loop_test(tc, wires_are_shared, 0, 2);
	suite_add_tcase(suite, tc);
	return suite;
}
