/* SPDX-License-Identifier: ISC */
#include "config/place.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "config/listen.h"
#include "config/value.h"

enum { WHY_MAX = 200 };

static const char forms[] = "forms are db.example.com, db.example.com:5432, 10.0.0.1:5432, "
			    "[::1]:5432 and /var/run/postgresql";

static bool refuse(char *why, size_t why_size, const char *text, const char *what)
{
	(void)snprintf(why, why_size, "\"%.60s\" %s; %s", text, what, forms);
	return false;
}

/* "::1", also with the interface of a link-local one, "fe80::1%eth0". */
static bool is_ipv6(const char *text)
{
	size_t len = strcspn(text, "%");
	char plain[INET6_ADDRSTRLEN];
	uint8_t bytes[16];

	if (len >= sizeof(plain) || (text[len] == '%' && text[len + 1] == '\0'))
		return false;
	memcpy(plain, text, len);
	plain[len] = '\0';
	return inet_pton(AF_INET6, plain, bytes) == 1;
}

static bool copy_host(struct config_place *to, const char *host, size_t len)
{
	if (len == 0 || len > PLACE_HOST_MAX)
		return false;
	memcpy(to->host, host, len);
	to->host[len] = '\0';
	return true;
}

/* What comes after the colon; nothing where there is none. */
static bool read_port(const char *text, struct config_place *to)
{
	char why[WHY_MAX];
	uint64_t port;

	if (!value_read_number(text, &port, why, sizeof(why)) || port < 1 ||
		port > UINT16_MAX)
		return false;
	to->port = (uint16_t)port;
	return true;
}

static bool parse_unix(const char *text, struct config_place *to, char *why, size_t why_size)
{
	size_t len = strlen(text);

	if (len > LISTEN_DIR_MAX) {
		(void)snprintf(why, why_size,
			"the directory of a unix socket has at most %d bytes, this one "
			"%zu",
			LISTEN_DIR_MAX, len);
		return false;
	}
	return copy_host(to, text, len);
}

static bool parse_bracketed(const char *text, struct config_place *to, char *why,
	size_t why_size)
{
	const char *end = strchr(text, ']');

	if (end == NULL || !copy_host(to, text + 1, (size_t)(end - text) - 1) ||
		!is_ipv6(to->host))
		return refuse(why, why_size, text, "has no IPv6 address in its brackets");
	if (end[1] == '\0')
		return true;
	if (end[1] != ':' || !read_port(end + 2, to))
		return refuse(why, why_size, text,
			"has no port from 1 to 65535 behind its brackets");
	return true;
}

static bool parse_name(const char *text, struct config_place *to, char *why, size_t why_size)
{
	size_t len = strcspn(text, ":");

	if (!copy_host(to, text, len))
		return refuse(why, why_size, text, len == 0 ?
			"has no name or address" : "is longer than 255 bytes");
	for (const char *at = to->host; *at != '\0'; at++) {
		if ((unsigned char)*at <= ' ' || *at == 0x7f ||
			strchr("/\\[]*@,;\"'", *at) != NULL)
			return refuse(why, why_size, text,
				"is no name or address of a machine");
	}
	if (text[len] == ':' && !read_port(text + len + 1, to))
		return refuse(why, why_size, text,
			"has no port from 1 to 65535 behind its colon");
	return true;
}

bool place_parse(const char *text, uint16_t port, struct config_place *to, char *why,
	size_t why_size)
{
	const char *colon = strchr(text, ':');

	*to = (struct config_place){ .port = port };
	if (text[0] == '/' || text[0] == '@')
		return parse_unix(text, to, why, why_size);
	if (text[0] == '[')
		return parse_bracketed(text, to, why, why_size);
	if (colon == NULL || strchr(colon + 1, ':') == NULL)
		return parse_name(text, to, why, why_size);
	if (is_ipv6(text))
		return copy_host(to, text, strlen(text));
	return refuse(why, why_size, text,
		"is no IPv6 address; with a port it is written in brackets");
}

bool place_same(const struct config_place *a, const struct config_place *b)
{
	/* Names do not care for case, directories do. */
	return a->port == b->port &&
		(place_is_unix(a) ? strcmp(a->host, b->host) :
				       strcasecmp(a->host, b->host)) == 0;
}

/* FNV-1a: the same in every process, which hash_bytes() is not. */
uint32_t place_key(const struct config_place *places, size_t count)
{
	uint32_t key = 2166136261U;
	char text[sizeof(places->host) + 16];

	for (size_t i = 0; i < count; i++) {
		(void)snprintf(text, sizeof(text), "%s:%u ", places[i].host, places[i].port);
		for (const char *at = text; *at != '\0'; at++)
			key = (key ^ (uint8_t)*at) * 16777619U;
	}
	return key | 1;
}

bool place_is_unix(const struct config_place *e)
{
	return e->host[0] == '/' || e->host[0] == '@';
}

bool place_is_name(const struct config_place *e)
{
	struct in_addr in4;

	return !place_is_unix(e) && strchr(e->host, ':') == NULL &&
		inet_pton(AF_INET, e->host, &in4) != 1;
}
