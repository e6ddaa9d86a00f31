/* SPDX-License-Identifier: ISC */
#include "net/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_listening(int fd)
{
	int type = 0, listens = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
		return false;
	len = sizeof(listens);
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens != 0;
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

	if (!is_listening(fd) || !sock_local(fd, &addr))
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

int inherited_take(struct inherited *in, const struct addr *addr, bool *is_kept)
{
	for (uint32_t i = 0; i < in->count; i++) {
		struct inherited_socket *s = &in->list[i];
		int fd = s->fd;

		if (fd < 0 || !addr_equal(&s->addr, addr))
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
