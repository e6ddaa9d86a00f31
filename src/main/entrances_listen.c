/* SPDX-License-Identifier: ISC */
/*
 * Making sockets listen, where others may be in their way.  What is bound over another one
 * begins to listen in another step: who connects gets to the narrower, and must not where that
 * may yet be given up.
 */
#include <unistd.h>

#include "config/listen.h"
#include "main/program.h"

/* Those of one listen, whose wide one they were, and a few. */
enum { RIVALS_MAX = 128 };

/* The sockets that are in the way of a new one: this process's, or of the one that it takes
 * over from.  The file has no two that clash. */
struct rivals {
	struct listen_address mine;
	int fds[RIVALS_MAX];
	size_t count;
};

static bool read_address(const struct addr *addr, struct listen_address *to)
{
	char text[ADDR_TEXT_MAX], why[128];

	return listen_parse(addr_text(addr, text, sizeof(text)), to, why, sizeof(why));
}

static void add_rival(void *arg, int fd, const struct addr *addr)
{
	struct rivals *r = arg;
	struct listen_address other;

	if (r->count < RIVALS_MAX && read_address(addr, &other) && listen_clash(&r->mine, &other))
		r->fds[r->count++] = fd;
}

/* systemd goes on listening: its sockets would stay in the way. */
static void find_rivals(struct program *p, const struct addr *addr, struct rivals *r)
{
	r->count = 0;
	if (addr_is_unix(addr) || !read_address(addr, &r->mine))
		return;
	list_for_each(&p->entrances, node) {
		struct listening *l = container_of(node, struct listening, node);

		if (!l->is_kept)
			add_rival(r, l->fd, &l->addr);
	}
	for (uint32_t i = 0; i < p->inherited.count; i++) {
		const struct inherited_socket *s = &p->inherited.list[i];

		if (s->fd >= 0 && !s->is_kept)
			add_rival(r, s->fd, &s->addr);
	}
	if (p->http != NULL)
		http_each_socket(p->http, add_rival, r);
}

int entrances_listen(void *arg, const struct config *config, const struct addr *addr,
	bool *is_kept, bool *is_lent)
{
	struct program *p = arg;
	int fd = inherited_take(&p->inherited, addr, is_kept);
	int backlog = (int)config->process.listen_backlog, again = -1;
	struct rivals rivals;

	*is_lent = fd >= 0 && !*is_kept;
	if (*is_lent && addr_has_no_file(addr))
		again = addr_listen(addr, backlog, config->process.unix_socket_mode);
	if (again >= 0) {
		close(fd);
		*is_lent = false;
		return again;
	}
	if (fd >= 0)
		return fd;
	find_rivals(p, addr, &rivals);
	if (rivals.count > 0)
		return addr_bind_over(addr, rivals.fds, rivals.count);
	return addr_listen(addr, backlog, config->process.unix_socket_mode);
}

int entrances_listen_now(void *arg, const struct config *config, const struct addr *addr, int fd)
{
	struct rivals rivals;

	if (addr_is_listening(fd))
		return 0;
	find_rivals(arg, addr, &rivals);
	return addr_listen_over(fd, (int)config->process.listen_backlog, rivals.fds,
		rivals.count);
}

static int take_within(void *arg, const struct addr *wide, struct addr *addr)
{
	struct program *p = arg;

	return inherited_take_within(&p->inherited, wide, addr);
}

void entrances_fill_calls(struct program *p, struct http_calls *to)
{
	*to = (struct http_calls){ .listen = entrances_listen,
		.listen_now = entrances_listen_now,
		.take_within = take_within,
		.arg = p };
}
