/* SPDX-License-Identifier: ISC */
/*
 * Where a PostgreSQL is, as hosts.NAME.host says it; nothing is looked up here.
 *
 * Thread: any; nothing here has state.
 */
#ifndef CONFIG_PLACE_H
#define CONFIG_PLACE_H

#include "base/base.h"

enum { PLACE_HOST_MAX = 255 };

struct config_place {
	char host[PLACE_HOST_MAX + 1];       /* without brackets and port */
	uint16_t port;
};

/* name, addr, name:port, [v6], [v6]:port, v6, or a directory that begins with '/'
 * (or '@': the abstract name space).  port: where the text has none.  Returns false
 * with a sentence in why. */
NODISCARD bool place_parse(const char *, uint16_t port, struct config_place *, char *why,
	size_t why_size);

bool place_same(const struct config_place *, const struct config_place *);

/* Of all of them, never 0.  Others, in another order or spelled in another way have another,
 * but for chance. */
uint32_t place_key(const struct config_place *, size_t count);

/* A unix socket's directory. */
bool place_is_unix(const struct config_place *);

/* A name, which only a name service knows the address of. */
bool place_is_name(const struct config_place *);

#endif
