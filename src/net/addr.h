/* SPDX-License-Identifier: ISC */
/*
 * Socket addresses: parsing, printing, listening and connecting.
 *
 * Thread: any; nothing here has state, nothing here blocks but addr_resolve().
 */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>

#include "base/base.h"

enum { ADDR_TEXT_MAX = 128 };

struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_storage ss;
	};
	socklen_t len;
};

/* "a.b.c.d:port", "[v6]:port", "*:port" (all addresses, IPv6 with IPv4) or
 * "unix:/dir:port", which is /dir/.s.PGSQL.port.  No name look-up.  Returns 0
 * or -EINVAL; why then says what would be right. */
NODISCARD int addr_parse_listen(const char *text, struct addr *, char *why,
	size_t why_size);

/* A host as in a connection string: an IP address, a name (looked up: this may
 * block), or a directory that starts with '/' or '@' (a unix socket).  Fills at
 * most max addresses, in the resolver's order, and returns how many, or
 * -errno with a sentence in why. */
NODISCARD int addr_resolve(const char *host, uint16_t port, struct addr *, size_t max,
	char *why, size_t why_size);

bool addr_equal(const struct addr *, const struct addr *);
bool addr_is_unix(const struct addr *);
bool addr_is_loopback(const struct addr *);
bool addr_is_any(const struct addr *, int family);      /* AF_UNSPEC: "*" */
/* Whether who connects to the narrow one gets to a socket of the wide one if there is no other. */
bool addr_covers(const struct addr *wide, const struct addr *narrow);
uint16_t addr_port(const struct addr *);        /* 0 for unix sockets */

/* An IPv4 address within IPv6, as a socket for both gives it, becomes what it is. */
void addr_unmap(struct addr *);

/* The host part ("127.0.0.1", "unix"), and the whole ("127.0.0.1:6432",
 * "[::1]:6432", "unix:/tmp:6432").  Both return to. */
const char *addr_host_text(const struct addr *, char *to, size_t size);
const char *addr_text(const struct addr *, char *to, size_t size);

/* TCP settings for one socket; 0 leaves the system's. */
struct sock_tcp {
	bool keepalive;
	uint32_t keepidle_s;
	uint32_t keepintvl_s;
	uint32_t keepcnt;
	uint32_t user_timeout_ms;
	uint32_t socket_buffer;
};

/* A bound, listening, non-blocking descriptor, or -errno.  Waits up to a second
 * for an address that a dying process still holds.  A unix socket left by a
 * process that is gone is replaced, one that still answers is not
 * (-EADDRINUSE). */
NODISCARD int addr_listen(const struct addr *, int backlog, unsigned unix_mode);
/* The same over sockets of this process that would be in the way: "*" over 127.0.0.1 of the same
 * port, for one.  Once it listens, who connects gets to the narrower of both: so that is another
 * step, which returns 0 or -errno. */
NODISCARD int addr_bind_over(const struct addr *, const int *own, size_t own_count);
NODISCARD int addr_listen_over(int fd, int backlog, const int *own, size_t own_count);
bool addr_is_listening(int fd);
/* The same settings for one that another process has opened.  Returns 0 or -errno: what
 * could not be set is as it was. */
NODISCARD int addr_listen_again(int fd, const struct addr *, int backlog, unsigned unix_mode);
/* Closes it; keeps_name: that of a unix socket is somebody else's. */
void addr_listen_end(int fd, const struct addr *, bool keeps_name);
/* A unix socket whose name somebody has removed: nobody finds it any more. */
bool addr_has_no_file(const struct addr *);

/* A non-blocking descriptor on which connect(2) was called, or -errno.
 * *in_progress tells whether its end must be awaited. */
NODISCARD int addr_connect(const struct addr *, const struct sock_tcp *,
	bool *in_progress);

/* TCP_NODELAY and the settings above; not for unix sockets. */
void sock_tune(int fd, const struct sock_tcp *);
int sock_error(int fd);                         /* SO_ERROR as 0 or -errno */
/* Also of a connection that the peer has reset. */
bool sock_peer(int fd, struct addr *);
bool sock_local(int fd, struct addr *);

/* For an idle connection: true when the peer closed it or sent something that
 * nobody asked for.  One recv(MSG_PEEK). */
bool sock_is_stale(int fd);

#endif
