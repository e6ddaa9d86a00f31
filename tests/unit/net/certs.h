/* SPDX-License-Identifier: ISC */
/*
 * Throw-away certificates in a directory that is removed when the process ends.
 *
 * The authority "ca" has signed: "server" (DNS:db.example.com, IP:127.0.0.1), "client"
 * (CN=alice), "expired" and "revoked" (DNS:db.example.com), which is in ca.crl.
 * "slow" is as "server", with a key that takes longer (P-384).  "stranger" is another authority.  Each has NAME.crt and NAME.key.
 */
#ifndef TESTS_NET_CERTS_H
#define TESTS_NET_CERTS_H

/* Path of such a file; valid until the sixth call from here. */
const char *certs_path(const char *file);

#endif
