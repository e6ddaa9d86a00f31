/* SPDX-License-Identifier: ISC */
/*
 * Networks in options: "10.0.0.0/8", "fd00::/8", an address, or "unix" for unix sockets.
 *
 * Thread: any; pure.
 */
#ifndef CONFIG_NETWORK_H
#define CONFIG_NETWORK_H

#include "base/base.h"

struct network {
	uint8_t address[16];
	uint8_t len;                    /* 4, 16, or 0: unix sockets */
	uint8_t bits;
};

NODISCARD bool network_parse(const char *text, struct network *);

/* len 0: a unix socket. */
bool network_has(const struct network *, const uint8_t *address, size_t len);

#endif
