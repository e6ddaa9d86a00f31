/* SPDX-License-Identifier: ISC */
#include "config/network.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

bool network_parse(const char *text, struct network *net)
{
	const char *slash = strchr(text, '/');
	size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
	char address[INET6_ADDRSTRLEN];
	unsigned long bits;
	bool is_v6;

	*net = (struct network){ .len = 0 };
	if (strcmp(text, "unix") == 0)
		return true;
	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	is_v6 = strchr(address, ':') != NULL;
	net->len = is_v6 ? 16 : 4;
	net->bits = (uint8_t)(net->len * 8);
	if (inet_pton(is_v6 ? AF_INET6 : AF_INET, address, net->address) != 1)
		return false;
	if (slash == NULL)
		return true;
	len = strlen(slash + 1);
	if (len == 0 || len > 3 || strspn(slash + 1, "0123456789") != len)
		return false;
	bits = strtoul(slash + 1, NULL, 10);
	if (bits > net->bits)
		return false;
	net->bits = (uint8_t)bits;
	return true;
}

bool network_has(const struct network *net, const uint8_t *address, size_t len)
{
	size_t whole = net->bits / 8;
	unsigned rest = net->bits % 8u;

	if (len != net->len || memcmp(address, net->address, whole) != 0)
		return false;
	return rest == 0 || ((address[whole] ^ net->address[whole]) >> (8 - rest)) == 0;
}
