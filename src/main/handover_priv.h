/* SPDX-License-Identifier: ISC */
/*
 * What handover.c, messages and the new process's side, and handover_give.c, the old
 * one's, share.
 */
#ifndef MAIN_HANDOVER_PRIV_H
#define MAIN_HANDOVER_PRIV_H

#include "base/buf.h"
#include "main/handover.h"

enum {
	/* "number host\n" of each host, the longest of which still fit. */
	HANDOVER_UNITS_MAX = DIRECTORY_HOSTS_MAX * (CONFIG_NAME_MAX + 12) + 2,
	/* Of databases that are held there may be any number; so many bytes are enough. */
	HANDOVER_TEXT_MAX = HANDOVER_UNITS_MAX > 65536 ? HANDOVER_UNITS_MAX : 65536,
	HANDOVER_FDS_MAX = 64,
	HANDOVER_FD = 3
};

#define HANDOVER_VARIABLE "PGTANDEM_HANDOVER"

struct handover_message {
	size_t len;
	size_t fd_count;
	int fds[HANDOVER_FDS_MAX];      /* the reader's to close */
	char text[HANDOVER_TEXT_MAX];
};

/* Returns 0 or -errno. */
NODISCARD int handover_send(int fd, const char *text, size_t len, const int *fds,
	size_t count);
/* 1: a message; 0: none now; -errno, -EMSGSIZE for one that is not all there. */
NODISCARD int handover_read(int fd, struct handover_message *);

/* Any thread: to all before; how many were told. */
uint32_t handover_tell_before(struct handover *, const char *text, size_t len);
/* The socket of the one that follows, which has all; -1: there is none any more. */
void handover_set_newer(struct handover *, int fd);
/* handover_spawn.c: the program that is there now, which finds fd as HANDOVER_FD.  Returns 0 or
 * -errno. */
NODISCARD int handover_spawn(struct program *, int fd);
/* Where a host is, as the file says; 0: nowhere. */
uint32_t handover_place_key(const struct program *, const struct route_host *);
/* Looks at what those before have to say. */
void handover_hear(struct program *);
void handover_close_before(struct program *);
/* handover_hold.c: what is paused or disabled.  send: to the new process; -EMSGSIZE if that
 * is too much.  tell: to those before, where it has changed. */
NODISCARD int handover_send_holds(struct program *);
/* Whether they can be told at all. */
bool handover_holds_fit(struct program *);
void handover_take_holds(struct program *, const struct handover_message *);
void handover_tell_holds(struct program *);
void handover_say_quiet(struct program *);
void handover_hear_quiet(struct handover_before *, const struct handover_message *);
/* The new process tells of a cancel request, of a command. */
void handover_cancelled(struct program *, const struct handover_message *);
void handover_ordered(struct program *, const struct handover_message *);
/* handover_units.c.  What is in use, or may yet be. */
uint32_t handover_units_now(struct route_host *);
/* Lines of "number host". */
void handover_add_units(struct buf *, uint32_t units, const char *host);
void handover_read_units(const char *text, struct handover_units *);
uint32_t handover_units_of(const struct handover_units *, const char *host);
/* It hands over: what this process may have of a host from here on goes by what it has now. */
void handover_begin_units(struct program *, uint32_t host);
/* After it has handed over this process gives back what it has too much of, ... */
void handover_lower(struct program *);
/* ... or asks for what its clients wait for; given: what it gets. */
void handover_ask(struct program *);
void handover_given(struct program *, const struct handover_message *);
/* Both processes' part of a budget that has shrunk: the new one tells, the old one has less. */
void handover_tell_budgets(struct program *);
void handover_take_budgets(struct program *, const struct handover_message *);
/* The new process hears that; what the process between has given; and that it was taken. */
void handover_hear_asked(struct handover_before *, const char *text);
void handover_hear_given(struct handover_before *, const char *text);
void handover_hear_taken(struct handover_before *);
/* Now and then: gives. */
void handover_give_asked(struct program *);
/* So that a client's id is one client's, whichever process has it. */
NODISCARD int handover_send_ids(struct program *);

#endif
