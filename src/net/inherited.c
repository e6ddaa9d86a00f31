/* SPDX-License-Identifier: ISC */
#include "net/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_stream(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

/* As addr_parse_listen() has it, for which "*" is both families. */
static bool listens_at(int fd, struct addr *a)
{
	int is_v6_only = 1;
	socklen_t len = sizeof(is_v6_only);
	char text[16], why[128];

	if (!sock_local(fd, a))
		return false;
	if (!addr_is_any(a, AF_INET6) ||
		getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &is_v6_only, &len) < 0 || is_v6_only != 0)
		return true;
	(void)snprintf(text, sizeof(text), "*:%u", addr_port(a));
	return addr_parse_listen(text, a, why, sizeof(why)) == 0;
}

static bool set_flags(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
		fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

int inherited_add(struct inherited *in, int fd, const char *name, bool is_kept)
{
	struct inherited_socket *list, *s;
	struct addr addr;

	if (!is_stream(fd) || !addr_is_listening(fd) || !listens_at(fd, &addr))
		return -EINVAL;
	if (in->count == INHERITED_MAX)
		return -ENFILE;
	if (!set_flags(fd))
		return -errno;
	list = realloc(in->list, (in->count + 1) * sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	in->list = list;
	s = &in->list[in->count++];
	*s = (struct inherited_socket){ .addr = addr, .fd = fd, .is_kept = is_kept };
	(void)snprintf(s->name, sizeof(s->name), "%s", name);
	return 0;
}

static bool has_ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

bool inherited_fits(const struct inherited_socket *s, const struct addr *addr)
{
	if (addr_equal(&s->addr, addr))
		return true;
	if (addr_port(&s->addr) != addr_port(addr))
		return false;
	/* Whether that is for IPv4, too, is said there: BindIPv6Only= of systemd.socket(5). */
	if (s->is_kept && addr_is_any(addr, AF_INET6))
		return addr_is_any(&s->addr, AF_UNSPEC);
	return addr_is_any(addr, AF_UNSPEC) && addr_is_any(&s->addr, AF_INET) && !has_ipv6();
}

int inherited_take(struct inherited *in, const struct addr *addr, bool *is_kept)
{
	for (uint32_t i = 0; i < in->count; i++) {
		struct inherited_socket *s = &in->list[i];
		int fd = s->fd;

		if (fd < 0 || !inherited_fits(s, addr))
			continue;
		*is_kept = s->is_kept;
		if (s->is_kept)
			return fcntl(fd, F_DUPFD_CLOEXEC, 0);
		s->fd = -1;
		return fd;
	}
	*is_kept = false;
	return -1;
}

int inherited_take_within(struct inherited *in, const struct addr *wide, struct addr *addr)
{
	for (uint32_t i = 0; i < in->count; i++) {
		struct inherited_socket *s = &in->list[i];
		int fd = s->fd;

		if (fd < 0 || s->is_kept || !addr_covers(wide, &s->addr))
			continue;
		*addr = s->addr;
		s->fd = -1;
		return fd;
	}
	return -1;
}

static void drop(struct inherited_socket *s, bool removes)
{
	if (s->fd < 0)
		return;
	addr_listen_end(s->fd, &s->addr, !removes || s->is_kept);
	s->fd = -1;
}

void inherited_drop(struct inherited *in, bool removes)
{
	for (uint32_t i = 0; i < in->count; i++) {
		if (!in->list[i].is_kept)
			drop(&in->list[i], removes);
	}
}

void inherited_finish(struct inherited *in)
{
	for (uint32_t i = 0; i < in->count; i++)
		drop(&in->list[i], false);
	free(in->list);
	*in = (struct inherited){ .count = 0 };
}
