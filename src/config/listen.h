/* SPDX-License-Identifier: ISC */
/*
 * Listen addresses, as far as the configuration has to know them: whether one is
 * well formed, and whether two are the same.
 *
 * Thread: any; nothing here has state.
 */
#ifndef CONFIG_LISTEN_H
#define CONFIG_LISTEN_H

#include "base/base.h"

enum { LISTEN_DIR_MAX = 92 };   /* with "/.s.PGSQL.65535" it fills sun_path */

enum listen_kind { LISTEN_ANY, LISTEN_IPV4, LISTEN_IPV6, LISTEN_UNIX };

struct listen_address {
	enum listen_kind kind;
	uint16_t port;
	uint8_t bytes[16];              /* of IPV4 and IPV6 */
	char dir[LISTEN_DIR_MAX + 1];   /* of UNIX */
};

/* addr:port, [v6]:port, *:port or unix:/dir:port.  Returns false with a sentence in
 * why. */
NODISCARD bool listen_parse(const char *, struct listen_address *, char *why,
	size_t why_size);

/* Whether only this machine reaches it. */
bool listen_is_local(const struct listen_address *);

/* Whether both cannot be listened on at once: they are the same, or one is a wildcard of the
 * other's family, as "*" is of both.  An IPv4 address within IPv6 is an IPv4 address. */
bool listen_clash(const struct listen_address *, const struct listen_address *);

#endif
