/* SPDX-License-Identifier: ISC */
#include "net/proxy.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum {
	V2_HEADER = 16,
	V2_LOCAL = 0x20,
	V2_PROXY = 0x21,
	V2_TCP4 = 0x11,
	V2_TCP6 = 0x21,
	V2_TCP4_LEN = 12,
	V2_TCP6_LEN = 36
};

static const uint8_t v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* --- version 1: a line of text ---------------------------------------------------------- */

/* Takes a word and the separator behind it; the last one has none. */
static bool take_word(const char **pos, const char *end, char *to, size_t size, bool is_last)
{
	const char *space = memchr(*pos, ' ', (size_t)(end - *pos));
	size_t len;

	if (is_last != (space == NULL))
		return false;
	len = (size_t)((is_last ? end : space) - *pos);
	if (len == 0 || len >= size)
		return false;
	memcpy(to, *pos, len);
	to[len] = '\0';
	*pos += len + !is_last;
	return true;
}

static bool read_port(const char *text, in_port_t *port)
{
	unsigned long value;

	if (strspn(text, "0123456789") != strlen(text) || strlen(text) > 5 ||
		(text[0] == '0' && text[1] != '\0'))
		return false;
	value = strtoul(text, NULL, 10);
	*port = htons((uint16_t)value);
	return value <= UINT16_MAX;
}

static bool read_source(const char *pos, const char *end, int family, struct addr *source)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN], from_port[6], to_port[6];
	struct in6_addr unused;
	in_port_t port, unused_port;
	bool is_v6 = family == AF_INET6;

	if (!take_word(&pos, end, from, sizeof(from), false) ||
		!take_word(&pos, end, to, sizeof(to), false) ||
		!take_word(&pos, end, from_port, sizeof(from_port), false) ||
		!take_word(&pos, end, to_port, sizeof(to_port), true) ||
		!read_port(from_port, &port) || !read_port(to_port, &unused_port) ||
		inet_pton(family, to, &unused) != 1)
		return false;
	*source = (struct addr){ .len = is_v6 ? sizeof(source->in6) : sizeof(source->in4) };
	source->sa.sa_family = (sa_family_t)family;
	if (is_v6)
		source->in6.sin6_port = port;
	else
		source->in4.sin_port = port;
	return inet_pton(family, from,
		       is_v6 ? (void *)&source->in6.sin6_addr : (void *)&source->in4.sin_addr) == 1;
}

static enum proxy_result parse_v1(const char *data, size_t len, struct proxy_header *h)
{
	static const char start[] = "PROXY ";
	const char *end = memchr(data, '\n', size_min(len, PROXY_V1_MAX));
	const char *pos = data + sizeof(start) - 1;

	if (memcmp(data, start, size_min(len, sizeof(start) - 1)) != 0)
		return PROXY_BAD;
	if (end == NULL)
		return len < PROXY_V1_MAX ? PROXY_NEED_MORE : PROXY_BAD;
	h->len = (size_t)(end - data) + 1;
	if (end <= pos || end[-1] != '\r')
		return PROXY_BAD;
	end--;
	if ((size_t)(end - pos) >= 7 && memcmp(pos, "UNKNOWN", 7) == 0)
		return end - pos == 7 || pos[7] == ' ' ? PROXY_OK : PROXY_BAD;
	if (end - pos < 5)
		return PROXY_BAD;
	h->has_source = true;
	if (memcmp(pos, "TCP4 ", 5) == 0)
		return read_source(pos + 5, end, AF_INET, &h->source) ? PROXY_OK : PROXY_BAD;
	if (memcmp(pos, "TCP6 ", 5) == 0)
		return read_source(pos + 5, end, AF_INET6, &h->source) ? PROXY_OK : PROXY_BAD;
	return PROXY_BAD;
}

/* --- version 2: bytes ------------------------------------------------------------------- */

static void take_v2_source(const uint8_t *body, bool is_v6, struct proxy_header *h)
{
	struct addr *a = &h->source;

	h->has_source = true;
	*a = (struct addr){ .len = is_v6 ? sizeof(a->in6) : sizeof(a->in4) };
	if (is_v6) {
		a->in6.sin6_family = AF_INET6;
		memcpy(&a->in6.sin6_addr, body, 16);
		memcpy(&a->in6.sin6_port, body + 32, 2);
	} else {
		a->in4.sin_family = AF_INET;
		memcpy(&a->in4.sin_addr, body, 4);
		memcpy(&a->in4.sin_port, body + 8, 2);
	}
}

static enum proxy_result parse_v2(const uint8_t *data, size_t len, struct proxy_header *h)
{
	size_t body_len;

	if (len < V2_HEADER)
		return PROXY_NEED_MORE;
	body_len = (size_t)data[14] << 8 | data[15];
	if (V2_HEADER + body_len > PROXY_MAX || (data[12] != V2_LOCAL && data[12] != V2_PROXY))
		return PROXY_BAD;
	h->len = V2_HEADER + body_len;
	if (len < h->len)
		return PROXY_NEED_MORE;
	if (data[12] == V2_LOCAL)
		return PROXY_OK;
	if (data[13] == V2_TCP4 && body_len >= V2_TCP4_LEN)
		take_v2_source(data + V2_HEADER, false, h);
	else if (data[13] == V2_TCP6 && body_len >= V2_TCP6_LEN)
		take_v2_source(data + V2_HEADER, true, h);
	else if (data[13] == V2_TCP4 || data[13] == V2_TCP6)
		return PROXY_BAD;
	return PROXY_OK;
}

enum proxy_result proxy_parse(const uint8_t *data, size_t len, struct proxy_header *h)
{
	*h = (struct proxy_header){ .len = 0 };
	if (len == 0)
		return PROXY_NEED_MORE;
	if (data[0] == 'P')
		return parse_v1((const char *)data, len, h);
	if (memcmp(data, v2_signature, size_min(len, sizeof(v2_signature))) != 0)
		return PROXY_BAD;
	return parse_v2(data, len, h);
}
