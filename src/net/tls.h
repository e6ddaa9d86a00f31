/* SPDX-License-Identifier: ISC */
/*
 * TLS as a machine without a socket: ciphertext in, plain text and ciphertext
 * out.  net/stream.c puts it between a socket and the owner of a stream.
 *
 * A context is what many connections share: keys, certificates, what is allowed.
 * It never changes; a reload makes a new one, and connections that began with
 * the old one keep it.
 *
 * Owns:   a context and a connection their OpenSSL objects.  A connection does
 *         not own the bytes it is given, nor the buffer it writes to.
 * Thread: a context any; a connection one at a time.
 * Limits: an idle connection holds no record buffers (SSL_MODE_RELEASE_BUFFERS):
 *         about 14 kB.  A record has at most 16 kB.
 * Source: RFC 5246, RFC 8446; RFC 5929 for tls-server-end-point; PostgreSQL's
 *         be-secure-openssl.c and documentation, 55.2.12 (ALPN "postgresql").
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/buf.h"
#include "base/diag.h"

enum { TLS_BINDING_MAX = 64, TLS_NAME_MAX = 256, TLS_DN_MAX = 512 };

enum tls_verify {
	TLS_VERIFY_NOTHING,     /* as a server: no certificate is asked for */
	TLS_VERIFY_IF_GIVEN,    /* as a server: one that is shown must be good */
	TLS_VERIFY_CHAIN,       /* there must be one, of the CA */
	TLS_VERIFY_NAME         /* as a client: and it must be the server's name */
};

enum tls_protocols { TLS_PROTOCOLS_SECURE, TLS_PROTOCOLS_1_2, TLS_PROTOCOLS_1_3 };

/* Text is "" or NULL where it is unset. */
struct tls_settings {
	bool is_server;
	enum tls_verify verify;
	enum tls_protocols protocols;
	const char *key_file;
	const char *cert_file;          /* with the chain behind it */
	const char *ca_file;            /* "system": the CAs of the system */
	const char *crl_file;
	const char *ciphers;            /* of TLS 1.2, as ciphers(1) has them */
	const char *ciphersuites;       /* of TLS 1.3 */
	const char *groups;             /* of the key exchange; "auto": the library's */
	/* As a server: further certificates, and a key for each of them. */
	char *const *sni_key_files, *const *sni_cert_files;
	size_t sni_count;
};

struct tls;
struct tls_context;

/* Reads the files.  NULL with diag filled: which file, and what is wrong with it.  As a
 * server it shows a client that asks for a name (SNI, RFC 6066 section 3) the first of its
 * certificates that has it, and else the one of cert_file. */
struct tls_context *tls_context_create(const struct tls_settings *, struct diag *);
struct tls_context *tls_context_ref(struct tls_context *);
void tls_context_unref(struct tls_context *);   /* accepts NULL */

/* When its own certificate ends, the first of them, in seconds since 1970; 0: it has none,
 * or that says nothing of use. */
uint64_t tls_context_expires(const struct tls_context *);
/* The subject of that certificate, as RFC 2253 writes it, cut to fit; "": none. */
const char *tls_context_subject(const struct tls_context *, char to[TLS_DN_MAX]);

enum tls_result {
	TLS_OK,
	TLS_MORE,               /* all input is used up; more is needed */
	TLS_COSTLY,             /* what comes next costs a lot: see tls_park() */
	TLS_CLOSED,             /* the peer has said that nothing follows */
	TLS_FAILED              /* tls_error() says why; the connection is of no use */
};

/* As a client: name is the server's (or its address), for SNI and TLS_VERIFY_NAME;
 * NULL where it has none.  NULL: out of memory, or no certificate can have this
 * name. */
struct tls *tls_create(struct tls_context *, const char *name);
void tls_destroy(struct tls **);                /* accepts NULL */

/* What OpenSSL reads from and writes to (a BIO: 0.2 kB).  A connection has its own until it
 * shares one with others of its thread, which is not before its handshake is over: from then
 * on it is that thread's, until it shares another's.  Those who share it keep it. */
struct tls_wire;

struct tls_wire *tls_wire_create(void);         /* NULL: out of memory */
void tls_wire_unref(struct tls_wire *);         /* any thread; accepts NULL */
void tls_share_wire(struct tls *, struct tls_wire *);

/* Bytes of the peer's, for what is called next; they must stay until it has answered
 * TLS_MORE, or tls_input() is called again.  What was not used of those before is
 * forgotten. */
void tls_input(struct tls *, const uint8_t *data, size_t len);
/* Of those, what was not used. */
size_t tls_input_left(const struct tls *);

/* tls_handshake() answers TLS_COSTLY where it would use a key that takes long, and goes on
 * there when it is called again without; by another thread, if that is easier. */
enum tls_park {
	TLS_PARKS_NOTHING,
	TLS_PARKS_SLOW,         /* keys of which tls_key_is_slow() */
	TLS_PARKS_ALL
};

void tls_park(struct tls *, enum tls_park);

/* One signature with the context's key takes more than half of what the rest of a
 * handshake does: all but P-256 and Ed25519.  (OpenSSL 3.0 on 2 GHz: P-256 0.03 ms, RSA
 * 2048 0.7 ms, P-384 1 ms, RSA 4096 5 ms.)  False without a key. */
bool tls_key_is_slow(const struct tls *);

/* Nothing is to be had of it any more, for this reason, if there is no other yet. */
void tls_fail(struct tls *, const char *why);

/* Each appends to out what is to be sent to the peer, also when it fails (an alert).
 * TLS_OK: the handshake is over. */
enum tls_result tls_handshake(struct tls *, struct buf *out);
/* TLS_OK: *len bytes, more than none, are in to. */
enum tls_result tls_read(struct tls *, uint8_t *to, size_t size, size_t *len,
	struct buf *out);
/* TLS_OK: all of data is in out, as one record for each 16 kB. */
enum tls_result tls_write(struct tls *, const void *data, size_t len, struct buf *out);
/* What comes in is wiped in the library's own buffers, too, once it was read. */
void tls_set_secret(struct tls *, bool);
/* Says that nothing follows. */
void tls_end(struct tls *, struct buf *out);

/* Why it failed, in a sentence for the log, without data of the peer's. */
const char *tls_error(const struct tls *);

/* --- what was agreed upon; after the handshake ------------------------------------ */

const char *tls_protocol(const struct tls *);           /* "TLSv1.3" */
const char *tls_cipher(const struct tls *);             /* "TLS_AES_256_GCM_SHA384" */
bool tls_is_resumed(const struct tls *);
bool tls_has_alpn(const struct tls *);                  /* "postgresql" was chosen */

/* The peer has shown a certificate, which was verified (see tls_verify). */
bool tls_has_peer(const struct tls *);

/* Its subject: the common name, and all of it as RFC 2253 writes it.  False: there is
 * none, or it does not fit, or has a zero byte in it. */
NODISCARD bool tls_peer_name(const struct tls *, char *to, size_t size);
NODISCARD bool tls_peer_dn(const struct tls *, char *to, size_t size);

/* The channel binding tls-server-end-point: a hash of the certificate that the server
 * has shown in this handshake, ours where we are the server.  Returns its length, 0
 * where the certificate defines none (Ed25519). */
size_t tls_binding(const struct tls *, uint8_t to[TLS_BINDING_MAX]);

#endif
