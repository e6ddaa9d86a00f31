/* SPDX-License-Identifier: ISC */
/*
 * Names of certificates: which of several has the name that a client connects to.
 *
 * Owns:   copies of the names.
 * Thread: one while they are added, any afterwards.
 * Limits: a name has 255 bytes at most; what is longer is nobody's.
 * Source: RFC 6066, section 3; RFC 6125, 6.4.3 for wildcards, which stand for the first
 *         label and all of it, as with libpq.
 */
#ifndef NET_TLS_HOSTS_H
#define NET_TLS_HOSTS_H

#include <openssl/x509.h>

#include "base/hash.h"

struct tls_hosts {
	struct hash_table table;
};

/* Returns 0 or -ENOMEM. */
NODISCARD int tls_hosts_init(struct tls_hosts *);
void tls_hosts_finish(struct tls_hosts *);

/* Those of a certificate: what subjectAltName has of DNS names, else the common names.
 * Names that were added before stay those of that one.  Returns how many the certificate
 * has, or -ENOMEM. */
NODISCARD int tls_hosts_add(struct tls_hosts *, X509 *, size_t which);

/* The first of the certificates that have it; SIZE_MAX: none has. */
size_t tls_hosts_find(const struct tls_hosts *, const char *name);

#endif
