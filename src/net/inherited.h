/* SPDX-License-Identifier: ISC */
/*
 * Listening sockets that somebody else has opened: systemd, or the process that this
 * one takes over from.  Who wants to listen asks here first.
 *
 * Owns:   the descriptors that were not taken, and those that are kept.
 * Thread: main.
 */
#ifndef NET_INHERITED_H
#define NET_INHERITED_H

#include "net/addr.h"

enum { INHERITED_MAX = 320, INHERITED_NAME_SIZE = 64 };

struct inherited_socket {
	struct addr addr;
	int fd;                         /* -1: taken */
	/* Somebody else's, who goes on listening there: it is given away in copies, and a
	 * unix socket's name is not ours to remove. */
	bool is_kept;
	char name[INHERITED_NAME_SIZE]; /* as its owner calls it, or "" */
};

struct inherited {
	struct inherited_socket *list;
	uint32_t count;
};

/* Takes the descriptor over.  Returns 0 or -errno, -EINVAL for what does not listen on a
 * stream; then it is still the caller's. */
NODISCARD int inherited_add(struct inherited *, int fd, const char *name, bool is_kept);
/* Whether it is what who asks for that address wants. */
bool inherited_fits(const struct inherited_socket *, const struct addr *);
/* A descriptor that listens there, which is the caller's from here on, or -1.  *is_kept:
 * its name is not to be removed. */
int inherited_take(struct inherited *, const struct addr *, bool *is_kept);
/* One that nobody keeps and that the wide one covers, which is the caller's from here on, or -1. */
int inherited_take_within(struct inherited *, const struct addr *wide, struct addr *);
/* Closes what nobody took and nobody keeps; removes: with the names of unix sockets. */
void inherited_drop(struct inherited *, bool removes);
void inherited_finish(struct inherited *);

#endif
