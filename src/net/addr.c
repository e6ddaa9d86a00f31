/* SPDX-License-Identifier: ISC */
/*
 * Text to socket addresses and back, and the system calls that make connecting
 * sockets; addr_listen.c has those that listen.
 *
 * Owns:   nothing; descriptors go to the caller.
 * Thread: any.
 */
#include "net/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char unix_file[] = "/.s.PGSQL.";

/* --- text ------------------------------------------------------------------- */

static bool parse_port(const char *text, uint16_t *port)
{
	uint32_t value = 0;

	if (*text == '\0' || strlen(text) > 5)
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (uint32_t)(*text - '0');
	}
	if (value == 0 || value > UINT16_MAX)
		return false;
	*port = (uint16_t)value;
	return true;
}

static void set_in4(struct addr *a, struct in_addr ip, uint16_t port)
{
	*a = (struct addr){ .len = sizeof(a->in4) };
	a->in4.sin_family = AF_INET;
	a->in4.sin_addr = ip;
	a->in4.sin_port = htons(port);
}

static void set_in6(struct addr *a, struct in6_addr ip, uint16_t port)
{
	*a = (struct addr){ .len = sizeof(a->in6) };
	a->in6.sin6_family = AF_INET6;
	a->in6.sin6_addr = ip;
	a->in6.sin6_port = htons(port);
}

/* The socket that PostgreSQL would have in that directory.  '@' at the start
 * means the abstract name space, as in libpq. */
static int set_unix(struct addr *a, const char *dir, uint16_t port)
{
	char path[sizeof(a->un.sun_path)];
	int len = snprintf(path, sizeof(path), "%s%s%u", dir, unix_file, port);

	if (len < 0 || (size_t)len >= sizeof(path))
		return -ENAMETOOLONG;
	*a = (struct addr){ 0 };
	a->un.sun_family = AF_UNIX;
	memcpy(a->un.sun_path, path, (size_t)len);
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len);
	if (path[0] == '@')
		a->un.sun_path[0] = '\0';
	else
		a->len++;
	return 0;
}

/* "*" has a family of its own until it is listened on: which of IPv6 and IPv4
 * there is shows only then, and "[::]" is another wish than "*". */
static void set_any(struct addr *a, uint16_t port)
{
	set_in4(a, (struct in_addr){ INADDR_ANY }, port);
	a->in4.sin_family = AF_UNSPEC;
}

static int parse_ip(struct addr *a, const char *host, uint16_t port)
{
	struct in6_addr ip6;
	struct in_addr ip4;
	size_t len = strlen(host);
	char inner[INET6_ADDRSTRLEN];

	if (strcmp(host, "*") == 0) {
		set_any(a, port);
		return 0;
	}
	if (inet_pton(AF_INET, host, &ip4) == 1) {
		set_in4(a, ip4, port);
		return 0;
	}
	if (len < 3 || host[0] != '[' || host[len - 1] != ']' || len - 2 >= sizeof(inner))
		return -EINVAL;
	memcpy(inner, host + 1, len - 2);
	inner[len - 2] = '\0';
	if (inet_pton(AF_INET6, inner, &ip6) != 1)
		return -EINVAL;
	set_in6(a, ip6, port);
	return 0;
}

static int refuse(char *why, size_t why_size, const char *text)
{
	snprintf(why, why_size, "%s", text);
	return -EINVAL;
}

int addr_parse_listen(const char *text, struct addr *a, char *why, size_t why_size)
{
	const char *colon = strrchr(text, ':');
	char host[ADDR_TEXT_MAX];
	uint16_t port;
	size_t len;

	if (colon == NULL || !parse_port(colon + 1, &port))
		return refuse(why, why_size,
			"must end with a colon and a port from 1 to 65535");
	len = (size_t)(colon - text);
	if (len >= sizeof(host))
		return refuse(why, why_size, "is too long");
	memcpy(host, text, len);
	host[len] = '\0';
	if (strncmp(host, "unix:", 5) == 0) {
		if (host[5] != '/')
			return refuse(why, why_size,
				"must name a directory that starts with '/' after unix:");
		while (len > strlen("unix:/") && host[len - 1] == '/')
			host[--len] = '\0';
		if (set_unix(a, host + 5, port) < 0)
			return refuse(why, why_size,
				"names a directory whose path is too long for a socket");
		return 0;
	}
	if (parse_ip(a, host, port) < 0)
		return refuse(why, why_size,
			"must be an IPv4 address, an IPv6 address in brackets, * for all "
			"addresses, or unix:/directory, then :port");
	addr_unmap(a);
	return 0;
}

/* --- looking up ------------------------------------------------------------- */

static int resolve_error(int code, int error)
{
	switch (code) {
	case EAI_AGAIN:
		return -EAGAIN;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_NONAME:
		return -ENOENT;
	case EAI_SYSTEM:
		return error == 0 ? -EIO : -error;
	default:
		return -EHOSTUNREACH;
	}
}

static int resolve_name(const char *host, uint16_t port, struct addr *to, size_t max,
	char *why, size_t why_size)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *found;
	char service[8];
	size_t count = 0;
	int code, error;

	snprintf(service, sizeof(service), "%u", port);
	code = getaddrinfo(host, service, &hints, &found);
	error = errno;
	if (code != 0) {
		snprintf(why, why_size, "cannot look up host \"%s\": %s", host,
			code == EAI_SYSTEM ? strerror(error) : gai_strerror(code));
		return resolve_error(code, error);
	}
	for (struct addrinfo *ai = found; ai != NULL && count < max; ai = ai->ai_next) {
		if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
			continue;
		to[count] = (struct addr){ .len = ai->ai_addrlen };
		memcpy(&to[count].ss, ai->ai_addr, ai->ai_addrlen);
		count++;
	}
	freeaddrinfo(found);
	if (count > 0)
		return (int)count;
	snprintf(why, why_size, "host \"%s\" has no IPv4 or IPv6 address", host);
	return -ENOENT;
}

int addr_resolve(const char *host, uint16_t port, struct addr *to, size_t max, char *why,
	size_t why_size)
{
	if (max == 0)
		return -EINVAL;
	if (why_size > 0)
		why[0] = '\0';
	if (host[0] != '/' && host[0] != '@') {
		if (parse_ip(to, host, port) == 0 && to->sa.sa_family != AF_UNSPEC)
			return 1;
		/* Which glibc would take for "any address". */
		if (*host == '\0' || strcmp(host, "*") == 0) {
			snprintf(why, why_size, "\"%s\" is no host to connect to", host);
			return -EINVAL;
		}
		return resolve_name(host, port, to, max, why, why_size);
	}
	if (set_unix(to, host, port) == 0)
		return 1;
	snprintf(why, why_size, "path of unix socket in \"%s\" is too long", host);
	return -ENAMETOOLONG;
}

/* --- questions and names ---------------------------------------------------- */

static size_t unix_path_len(const struct addr *a)
{
	size_t len = a->len - offsetof(struct sockaddr_un, sun_path);

	if (a->len <= offsetof(struct sockaddr_un, sun_path))
		return 0;
	return a->un.sun_path[0] == '\0' ? len : strnlen(a->un.sun_path, len);
}

bool addr_is_unix(const struct addr *a)
{
	return a->sa.sa_family == AF_UNIX;
}

bool addr_is_loopback(const struct addr *a)
{
	if (a->sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
	return a->sa.sa_family == AF_INET && ntohl(a->in4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	switch (a->sa.sa_family) {
	case AF_UNIX:
		return unix_path_len(a) == unix_path_len(b) &&
			memcmp(a->un.sun_path, b->un.sun_path, unix_path_len(a)) == 0;
	case AF_INET6:
		return a->in6.sin6_port == b->in6.sin6_port &&
			a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
			memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) == 0;
	default:
		return a->in4.sin_port == b->in4.sin_port &&
			a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
	}
}

bool addr_is_any(const struct addr *a, int family)
{
	if (a->sa.sa_family != family)
		return false;
	return family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr) :
				    a->in4.sin_addr.s_addr == htonl(INADDR_ANY);
}

bool addr_covers(const struct addr *wide, const struct addr *narrow)
{
	int family = narrow->sa.sa_family;

	if (addr_is_unix(wide) || addr_is_unix(narrow) || addr_port(wide) != addr_port(narrow))
		return false;
	if (wide->sa.sa_family == AF_UNSPEC)
		return family != AF_UNSPEC;
	return addr_is_any(wide, family) && !addr_is_any(narrow, family);
}

uint16_t addr_port(const struct addr *a)
{
	if (a->sa.sa_family == AF_UNIX)
		return 0;
	return ntohs(a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in4.sin_port);
}

void addr_unmap(struct addr *a)
{
	struct in_addr ip;

	if (a->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
		return;
	memcpy(&ip, &a->in6.sin6_addr.s6_addr[12], sizeof(ip));
	set_in4(a, ip, ntohs(a->in6.sin6_port));
}

const char *addr_host_text(const struct addr *a, char *to, size_t size)
{
	char text[INET6_ADDRSTRLEN];

	switch (a->sa.sa_family) {
	case AF_UNIX:
		snprintf(to, size, "unix");
		break;
	case AF_INET:
		inet_ntop(AF_INET, &a->in4.sin_addr, text, sizeof(text));
		snprintf(to, size, "%s", text);
		break;
	case AF_INET6:
		inet_ntop(AF_INET6, &a->in6.sin6_addr, text, sizeof(text));
		snprintf(to, size, "%s", text);
		break;
	default:
		snprintf(to, size, "*");
	}
	return to;
}

/* A peer of a unix socket has no name: "unix:". */
static void unix_text(const struct addr *a, char *to, size_t size)
{
	char path[sizeof(a->un.sun_path) + 1];
	size_t len = unix_path_len(a);
	char *file;

	memcpy(path, a->un.sun_path, len);
	path[len] = '\0';
	if (len > 0 && path[0] == '\0')
		path[0] = '@';
	file = strstr(path, unix_file);
	if (file == NULL) {
		snprintf(to, size, "unix:%s", path);
		return;
	}
	*file = '\0';
	snprintf(to, size, "unix:%s:%s", path, file + strlen(unix_file));
}

const char *addr_text(const struct addr *a, char *to, size_t size)
{
	char host[INET6_ADDRSTRLEN];

	if (a->sa.sa_family == AF_UNIX) {
		unix_text(a, to, size);
		return to;
	}
	addr_host_text(a, host, sizeof(host));
	snprintf(to, size, a->sa.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host,
		addr_port(a));
	return to;
}

/* --- connecting, and open sockets ------------------------------------------- */

int addr_connect(const struct addr *a, const struct sock_tcp *tcp, bool *in_progress)
{
	int fd, ret;

	*in_progress = false;
	fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!addr_is_unix(a))
		sock_tune(fd, tcp);
	if (connect(fd, &a->sa, a->len) == 0)
		return fd;
	ret = -errno;
	if (ret == -EINPROGRESS || ret == -EINTR) {
		*in_progress = true;
		return fd;
	}
	close(fd);
	return ret;
}

static void set_option(int fd, int level, int name, uint32_t value)
{
	int number = value > INT32_MAX ? INT32_MAX : (int)value;

	/* An option that this kernel lacks is no reason to refuse a peer. */
	if (value != 0)
		(void)setsockopt(fd, level, name, &number, sizeof(number));
}

void sock_tune(int fd, const struct sock_tcp *tcp)
{
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (tcp == NULL)
		return;
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, tcp->keepalive);
	if (tcp->keepalive) {
		set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, tcp->keepidle_s);
		set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, tcp->keepintvl_s);
		set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, tcp->keepcnt);
	}
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, tcp->user_timeout_ms);
	set_option(fd, SOL_SOCKET, SO_SNDBUF, tcp->socket_buffer);
	set_option(fd, SOL_SOCKET, SO_RCVBUF, tcp->socket_buffer);
}

int sock_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	return -error;
}

/* getpeername(2) knows nobody any more once the peer has reset the connection;
 * SO_PEERNAME does for as long as there is the socket (inet_getname() in af_inet.c), if it
 * is asked for no more than there is. */
static bool peer_of_reset(int fd, struct addr *a)
{
	struct addr own = { .len = sizeof(own.ss) };

	/* Of the same kind as its own. */
	if (getsockname(fd, &own.sa, &own.len) < 0)
		return false;
	a->len = own.sa.sa_family == AF_UNIX ? sizeof(own.sa.sa_family) : own.len;
	return getsockopt(fd, SOL_SOCKET, SO_PEERNAME, &a->ss, &a->len) == 0;
}

bool sock_peer(int fd, struct addr *a)
{
	*a = (struct addr){ .len = sizeof(a->ss) };
	if (getpeername(fd, &a->sa, &a->len) < 0 && !peer_of_reset(fd, a))
		return false;
	addr_unmap(a);
	return true;
}

bool sock_local(int fd, struct addr *a)
{
	*a = (struct addr){ .len = sizeof(a->ss) };
	if (getsockname(fd, &a->sa, &a->len) < 0)
		return false;
	addr_unmap(a);
	return true;
}

bool sock_is_stale(int fd)
{
	uint8_t byte;
	ssize_t n;

	do
		n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}
