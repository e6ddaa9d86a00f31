/* SPDX-License-Identifier: ISC */
/*
 * What tls.c, tls_context.c and tls_subject.c share.
 */
#ifndef NET_TLS_PRIV_H
#define NET_TLS_PRIV_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "net/tls.h"

struct tls_context {
	_Atomic uint32_t refs;
	SSL_CTX *ssl;
	BIO_METHOD *bio;        /* of tls.c */
	bool is_server;
	bool wants_name;        /* TLS_VERIFY_NAME */
};

/* NULL: out of memory. */
BIO_METHOD *tls_bio_method(void);

/* What the crypto library says was wrong, "" when it says nothing.  Empties its
 * queue. */
const char *tls_library_error(char *to, size_t size);

/* The subject of a certificate: see tls_peer_name() and tls_peer_dn(). */
NODISCARD bool tls_subject_name(X509 *, char *to, size_t size);
NODISCARD bool tls_subject_dn(X509 *, char *to, size_t size);

#endif
