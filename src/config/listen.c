/* SPDX-License-Identifier: ISC */
#include "config/listen.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "config/value.h"

enum { HOST_MAX = 108, WHY_MAX = 200 };

static const char forms[] = "forms are 127.0.0.1:6432, [::1]:6432, *:6432 and "
			    "unix:/run/pgtandem:6432";

static bool parse_unix(const char *dir, struct listen_address *to, char *why,
	size_t why_size)
{
	size_t len = strlen(dir);

	to->kind = LISTEN_UNIX;
	if (dir[0] != '/') {
		(void)snprintf(why, why_size,
			"a unix socket needs a directory that begins with a slash: "
			"unix:/run/pgtandem:6432");
		return false;
	}
	while (len > 1 && dir[len - 1] == '/')
		len--;
	if (len > LISTEN_DIR_MAX) {
		(void)snprintf(why, why_size,
			"the directory of a unix socket has at most %d bytes, this one "
			"%zu",
			LISTEN_DIR_MAX, len);
		return false;
	}
	memcpy(to->dir, dir, len);
	return true;
}

static bool parse_host(char *host, struct listen_address *to)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	size_t len = strlen(host);

	if (strcmp(host, "*") == 0) {
		to->kind = LISTEN_ANY;
		return true;
	}
	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		to->kind = LISTEN_IPV6;
		if (inet_pton(AF_INET6, host + 1, to->bytes) != 1)
			return false;
		if (memcmp(to->bytes, mapped, sizeof(mapped)) == 0) {
			to->kind = LISTEN_IPV4;
			memmove(to->bytes, to->bytes + sizeof(mapped), 4);
			memset(to->bytes + 4, 0, sizeof(to->bytes) - 4);
		}
		return true;
	}
	to->kind = LISTEN_IPV4;
	return inet_pton(AF_INET, host, to->bytes) == 1;
}

bool listen_parse(const char *text, struct listen_address *to, char *why, size_t why_size)
{
	const char *colon = strrchr(text, ':');
	char host[HOST_MAX + 1], why_port[WHY_MAX];
	uint64_t port;
	size_t len;

	memset(to, 0, sizeof(*to));
	if (colon == NULL || strspn(text, "0123456789") == strlen(text)) {
		(void)snprintf(why, why_size,
			"\"%.60s\" is not an address with a port; %s", text, forms);
		return false;
	}
	if (!value_read_number(colon + 1, &port, why_port, sizeof(why_port)) ||
		port < 1 || port > UINT16_MAX) {
		(void)snprintf(why, why_size,
			"the port in \"%.60s\" is not a number from 1 to 65535; %s",
			text, forms);
		return false;
	}
	to->port = (uint16_t)port;
	len = (size_t)(colon - text);
	if (len > HOST_MAX) {
		(void)snprintf(
			why, why_size, "\"%.60s...\" is too long; %s", text, forms);
		return false;
	}
	memcpy(host, text, len);
	host[len] = '\0';
	if (strncmp(host, "unix:", 5) == 0)
		return parse_unix(host + 5, to, why, why_size);
	if (parse_host(host, to))
		return true;
	(void)snprintf(why, why_size,
		"\"%.60s\" has no address of this machine (names are not looked up); %s",
		text, forms);
	return false;
}

static bool is_wildcard(const struct listen_address *a)
{
	static const uint8_t zero[sizeof(a->bytes)];

	return a->kind == LISTEN_ANY ||
		(a->kind != LISTEN_UNIX && memcmp(a->bytes, zero, sizeof(zero)) == 0);
}

bool listen_is_local(const struct listen_address *a)
{
	static const uint8_t loopback6[sizeof(a->bytes)] = { [15] = 1 };

	switch (a->kind) {
	case LISTEN_UNIX:
		return true;
	case LISTEN_IPV4:
		return a->bytes[0] == 127;
	case LISTEN_IPV6:
		return memcmp(a->bytes, loopback6, sizeof(loopback6)) == 0;
	case LISTEN_ANY:
		return false;
	}
	return false;
}

bool listen_clash(const struct listen_address *a, const struct listen_address *b)
{
	if (a->port != b->port || (a->kind == LISTEN_UNIX) != (b->kind == LISTEN_UNIX))
		return false;
	if (a->kind == LISTEN_UNIX)
		return strcmp(a->dir, b->dir) == 0;
	if (a->kind == LISTEN_ANY || b->kind == LISTEN_ANY)
		return true;
	return a->kind == b->kind && (is_wildcard(a) || is_wildcard(b) ||
		memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0);
}
