/* SPDX-License-Identifier: ISC */
/*
 * What tls.c, tls_context.c and tls_subject.c share.
 */
#ifndef NET_TLS_PRIV_H
#define NET_TLS_PRIV_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "net/tls.h"
#include "net/tls_hosts.h"

/* A certificate and its key, with all that the others of the context have, too. */
struct tls_own {
	SSL_CTX *ssl;
	bool key_is_slow;
};

struct tls_context {
	_Atomic uint32_t refs;
	struct tls_own own;
	struct tls_own *sni;    /* for who asks for a name */
	size_t sni_count;
	struct tls_hosts hosts; /* of all of them: 0 is own's, 1 the first of sni's */
	BIO_METHOD *bio;        /* of tls.c, for handshakes */
	bool is_server;
	bool wants_name;        /* TLS_VERIFY_NAME */
};

/* NULL: out of memory. */
BIO_METHOD *tls_bio_method(void);

/* OpenSSL is about to use the context's key; answers that it is to wait for that.  Not for
 * a session that is resumed. */
int tls_about_to_sign(SSL *, void *arg);

/* What the crypto library says was wrong, "" when it says nothing.  Empties its
 * queue. */
const char *tls_library_error(char *to, size_t size);

/* The subject of a certificate: see tls_peer_name() and tls_peer_dn(). */
NODISCARD bool tls_subject_name(X509 *, char *to, size_t size);
NODISCARD bool tls_subject_dn(X509 *, char *to, size_t size);

/* Whether the names of a server's certificate are what they seem: no zero byte in any, and
 * one common name, where that counts (no name of a host stands beside it).  At a zero byte
 * libpq gives up, of common names it takes the first (fe-secure-common.c); OpenSSL goes on,
 * and takes any. */
NODISCARD bool tls_names_are_clear(X509 *);

#endif
