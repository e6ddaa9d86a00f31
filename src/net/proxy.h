/* SPDX-License-Identifier: ISC */
/*
 * The PROXY protocol, versions 1 and 2: what a load balancer writes in front of the first
 * byte of a connection, to tell whose it is.
 *
 * Thread: any; pure.
 * Limits: PROXY_MAX bytes; a longer header is bad.
 * Source: haproxy.org/download/2.8/doc/proxy-protocol.txt, sections 2.1 and 2.2.
 *         Extensions (TLVs) are passed over, unix addresses count as unknown.
 */
#ifndef NET_PROXY_H
#define NET_PROXY_H

#include "net/addr.h"

enum { PROXY_V1_MAX = 107, PROXY_MAX = 1024 };

enum proxy_result {
	PROXY_NEED_MORE,
	PROXY_BAD,              /* none, or malformed: the connection is to be closed */
	PROXY_OK
};

struct proxy_header {
	size_t len;                     /* of the header */
	bool has_source;                /* false: the balancer's own connection, or unknown */
	struct addr source;
};

/* Looks at the first len bytes of a connection. */
NODISCARD enum proxy_result proxy_parse(const uint8_t *data, size_t len,
	struct proxy_header *);

#endif
