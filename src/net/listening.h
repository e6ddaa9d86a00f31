/* SPDX-License-Identifier: ISC */
/*
 * What is listened on: a list of sockets that follows the addresses of a configuration.  What a
 * change wants in addition is opened beside what is there, so that it can still be given up.
 *
 * An entry is the beginning of its owner's structure, which is allocated and freed here.
 *
 * Owns:   the entries and, unless its owner has given them to others, their descriptors.
 * Thread: one.
 */
#ifndef NET_LISTENING_H
#define NET_LISTENING_H

#include "base/diag.h"
#include "base/list.h"
#include "net/addr.h"

struct listening {
	struct list_node node;
	char *text;                     /* as configured */
	struct addr addr;
	int fd;
	bool is_wanted;
	bool is_new;                    /* until the change is done */
	bool is_kept;                   /* systemd's */
	bool is_lent;                   /* another process's, as long as it is not replaced */
	bool has_lost_name;             /* somebody has removed its file */
};

/* A descriptor that listens there, or -errno; whether it is somebody else's, as inherited.h
 * has it: is_kept, or handed over by another process. */
typedef int listening_open_f(void *arg, const struct addr *, bool *is_kept, bool *is_lent);
/* One of another process that the wide one covers, as inherited_take_within(). */
typedef int listening_take_within_f(void *arg, const struct addr *wide, struct addr *);

struct listening_ops {
	const char *who;                /* in front of what is said, with its colon; or "" */
	size_t size;                    /* of the owner's structure */
	listening_open_f *open;
	listening_take_within_f *take_within;
	void *arg;
};

/* A change begins: nothing is wanted any more. */
void listening_want_none(struct list *);
/* One of its addresses, of which there is one already or is one now.  Returns 0, or -errno with
 * diag filled. */
NODISCARD int listening_want(struct list *, const struct listening_ops *, const char *text,
	struct diag *);
/* It has come to nothing: what is new is closed. */
void listening_abandon(struct list *);

/* What has that name is not this one's to remove. */
bool listening_keeps_name(const struct listening *);
/* What another process has handed over is this one's, and becomes as configured. */
void listening_own(struct list *, int backlog, unsigned unix_mode);

/* Nobody listens there any more. */
void listening_end(struct listening *);
/* The same where the descriptor is somebody else's by now. */
void listening_free(struct listening *);

#endif
