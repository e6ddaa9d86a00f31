/* SPDX-License-Identifier: ISC */
/*
 * Sockets that listen.
 *
 * Owns:   nothing; descriptors go to the caller.
 * Thread: any.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/addr.h"

/* A unix socket that answers is asked less often: each time costs its owner a connection. */
enum { BIND_PATIENCE_US = 1000000, BIND_RETRY_MS = 20, BIND_RETRY_UNIX_MS = 200 };

static void set_shared(int fd, bool shares)
{
	int on = shares;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

static int bound(int family, const struct addr *a, bool dual, bool shares)
{
	int on = 1, v6only = !dual;
	int fd, ret;

	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (family != AF_UNIX)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (shares)
		set_shared(fd, true);
	if (family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
	if (bind(fd, &a->sa, a->len) == 0)
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

static int bind_any(uint16_t port, bool shares)
{
	struct addr a6 = { .len = sizeof(a6.in6) }, a4 = { .len = sizeof(a4.in4) };
	int fd;

	a6.in6.sin6_family = AF_INET6;
	a6.in6.sin6_port = htons(port);
	fd = bound(AF_INET6, &a6, true, shares);
	if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)
		return fd;
	a4.in4.sin_family = AF_INET;
	a4.in4.sin_port = htons(port);
	return bound(AF_INET, &a4, false, shares);
}

/* Removes the file of a socket on which nobody listens any more.  Anything
 * else of that name stays, and bind(2) will say so. */
static void remove_stale(const struct addr *a)
{
	struct stat st;
	int fd;

	if (lstat(a->un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, &a->sa, a->len) < 0 && errno == ECONNREFUSED)
		(void)unlink(a->un.sun_path);   /* bind(2) reports what is left */
	close(fd);
}

static int bind_unix(const struct addr *a, unsigned mode)
{
	bool has_file = a->un.sun_path[0] != '\0';
	int fd, ret;

	if (has_file)
		remove_stale(a);
	fd = bound(AF_UNIX, a, false, false);
	if (fd < 0 || !has_file)
		return fd;
	/* Before listen(2), so that nobody gets in with the mode of the umask. */
	if (chmod(a->un.sun_path, (mode_t)mode) == 0)
		return fd;
	ret = -errno;
	(void)unlink(a->un.sun_path);
	close(fd);
	return ret;
}

static int bind_once(const struct addr *a, unsigned unix_mode, bool shares)
{
	switch (a->sa.sa_family) {
	case AF_UNIX:
		return bind_unix(a, unix_mode);
	case AF_UNSPEC:
		return bind_any(addr_port(a), shares);
	default:
		return bound(a->sa.sa_family, a, false, shares);
	}
}

static int bind_patiently(const struct addr *a, unsigned unix_mode, bool shares)
{
	uint64_t until_us = clock_now_us() + BIND_PATIENCE_US;
	int fd;

	/* The kernel takes some milliseconds to drop the listener of a killed
	 * process that had it armed in a ring. */
	for (;;) {
		fd = bind_once(a, unix_mode, shares);
		if (fd != -EADDRINUSE || clock_now_us() >= until_us)
			return fd;
		(void)poll(NULL, 0, addr_is_unix(a) ? BIND_RETRY_UNIX_MS : BIND_RETRY_MS);
	}
}

int addr_listen(const struct addr *a, int backlog, unsigned unix_mode)
{
	int fd = bind_patiently(a, unix_mode, false);
	int ret;

	if (fd < 0 || listen(fd, backlog) == 0)
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

/* The kernel looks at these when another one is bound, and when it begins to listen. */
static void share_all(const int *fds, size_t count, bool shares)
{
	for (size_t i = 0; i < count; i++)
		set_shared(fds[i], shares);
}

int addr_bind_over(const struct addr *a, const int *own, size_t own_count)
{
	int fd;

	share_all(own, own_count, true);
	fd = bind_patiently(a, 0, true);
	share_all(own, own_count, false);
	if (fd >= 0)
		set_shared(fd, false);
	return fd;
}

int addr_listen_over(int fd, int backlog, const int *own, size_t own_count)
{
	int ret;

	share_all(own, own_count, true);
	set_shared(fd, true);
	ret = listen(fd, backlog) == 0 ? 0 : -errno;
	set_shared(fd, false);
	share_all(own, own_count, false);
	return ret;
}

bool addr_is_listening(int fd)
{
	int listens = 0;
	socklen_t len = sizeof(listens);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens != 0;
}

int addr_listen_again(int fd, const struct addr *a, int backlog, unsigned unix_mode)
{
	struct stat st;

	if (listen(fd, backlog) < 0)
		return -errno;
	if (!addr_is_unix(a) || a->un.sun_path[0] == '\0')
		return 0;
	if (stat(a->un.sun_path, &st) < 0)
		return -errno;
	/* Whose it is not may not even say that it stays as it is. */
	if ((st.st_mode & 07777) != unix_mode && chmod(a->un.sun_path, (mode_t)unix_mode) < 0)
		return -errno;
	return 0;
}

bool addr_has_no_file(const struct addr *a)
{
	struct stat st;

	return addr_is_unix(a) && a->un.sun_path[0] != '\0' &&
		lstat(a->un.sun_path, &st) < 0 && errno == ENOENT;
}

void addr_listen_end(int fd, const struct addr *a, bool keeps_name)
{
	/* First the name: once nobody listens, it may be another process's. */
	if (!keeps_name && addr_is_unix(a) && a->un.sun_path[0] != '\0')
		(void)unlink(a->un.sun_path);
	close(fd);
}
