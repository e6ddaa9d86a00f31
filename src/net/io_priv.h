/* SPDX-License-Identifier: ISC */
/*
 * What io.c shares with its two engines, io_uring.c and io_epoll.c.
 *
 * The functions of io.h note wishes (IO_RX_ON, IO_TX_WANT, ...) in the conn and
 * put it on the wish list.  Before the loop waits, the engine makes the kernel
 * do what is wished for, so a wish that is taken back in the same turn costs
 * nothing, and a full submission queue only means "next turn".
 *
 * An event names slot and generation.  It finds its owner through the table, and
 * so does everyone who goes on after a callback: the owner may be gone by then.
 */
#ifndef NET_IO_PRIV_H
#define NET_IO_PRIV_H

#include <stdatomic.h>

#include "net/io.h"

enum io_conn_flags {
	IO_RX_ON = 1 << 0,              /* wished */
	IO_TX_WANT = 1 << 1,
	IO_QUIESCING = 1 << 2,
	IO_MULTISHOT = 1 << 3,
	IO_ENDED = 1 << 4,              /* on_end() was called */
	IO_END_PENDING = 1 << 5,        /* end seen while rx was off */
	IO_RX_LARGE = 1 << 6,           /* reads fill small buffers */

	IO_RX_ARMED = 1 << 7,           /* io_uring: the kernel holds a request */
	IO_RX_MULTI = 1 << 8,           /* ... which is multishot */
	IO_RX_CANCEL = 1 << 9,          /* ... which was asked to stop */
	IO_RX_MORE = 1 << 10,           /* the last receive left bytes behind */
	IO_TX_ARMED = 1 << 11,
	IO_TX_CANCEL = 1 << 12,

	IO_RX_IS_LARGE = 1 << 13,       /* armed with a large buffer */

	IO_KIND_KNOWN = 1 << 14,        /* the kernel was asked for the family */
	IO_KIND_TCP = 1 << 15,

	IO_RX_STALE = 1 << 16,          /* ... and the receive missed an end */

	IO_EPOLL_IN = 1 << 17,          /* epoll: registered for */
	IO_EPOLL_OUT = 1 << 18,

	IO_SPOILT = 1 << 19             /* something has arrived while it was detached */
};

enum io_listener_flags {
	IO_LISTENER_ARMED = 1 << 0,
	IO_LISTENER_FAILING = 1 << 1,   /* said so in the log */
	IO_LISTENER_RETIRED = 1 << 2
};

/* PARKED: of a conn that is detached and comes back. */
enum io_slot_kind { IO_SLOT_FREE, IO_SLOT_CONN, IO_SLOT_LISTENER, IO_SLOT_PARKED };

enum { IO_GEN_BITS = 24, IO_GEN_MASK = (1 << IO_GEN_BITS) - 1, IO_TAG_BITS = 56 };

struct io_slot {
	void *owner;
	uint32_t gen : IO_GEN_BITS;
	uint32_t kind : 8;
	uint32_t next_free;
};

struct io_engine {
	const char *name;
	/* Allocates the engine's struct, whose first member is the struct io. */
	int (*open)(struct io **, const struct io_options *);
	void (*close)(struct io *);
	/* Turns wishes into requests. */
	void (*flush)(struct io *);
	/* Waits at most wait_us; 0: looks only; UINT64_MAX: no limit. */
	int (*wait)(struct io *, uint64_t wait_us);
	void (*dispatch)(struct io *);
	/* Is there something to be dispatched?  NULL: not before a wait. */
	bool (*has_ready)(const struct io *);
	/* Sends together; NULL where that gains nothing.  False: no room for one more.
	 * All have been answered when the second returns. */
	bool (*send_later)(struct io *, struct io_conn *, const void *data, size_t len);
	void (*send_now)(struct io *);
	/* The descriptor goes: with the conn still attached and quiet, or to be
	 * closed by this call. */
	void (*detach)(struct io *, struct io_conn *);
	/* Detached it may keep what is armed; then it does not come back. */
	bool (*may_stay)(const struct io_conn *);
	void (*forget)(struct io *, struct io_conn *);
	void (*close_conn)(struct io *, struct io_conn *);
	void (*stop_listener)(struct io *, struct io_listener *);
	/* False: an accept is still under way, and io_accepted() will come. */
	bool (*retire_listener)(struct io *, struct io_listener *);
};

enum io_wake_state { IO_AWAKE, IO_ASLEEP, IO_NOTIFIED };

struct io {
	const struct io_engine *engine;
	void (*on_wake)(struct io *, void *arg);
	void *arg;
	uint64_t now_us;
	uint64_t due_us;                /* flush() has something to do then */
	bool is_alone;
	bool is_single;                 /* a request for each receive, none is multishot */
	int wake_fd;
	_Atomic int wake_state;
	struct list run;                /* tasks */
	struct list flush;
	struct list wishes;             /* conns */
	struct list reports;
	struct list listener_wishes;    /* to be armed */
	struct list listener_waits;     /* backing off, oldest first */
	struct io_slot *slots;
	uint32_t slot_count;
	uint32_t slot_free;             /* UINT32_MAX: none */
	struct io_stats stats;
};

extern const struct io_engine io_uring_engine;
extern const struct io_engine io_epoll_engine;

/* For the engines' open(): all but the slots, and undoing it. */
NODISCARD int io_setup(struct io *, const struct io_engine *, const struct io_options *);
void io_teardown(struct io *);

/* Slot and generation in one number of IO_TAG_BITS. */
static inline uint64_t io_tag(uint32_t slot, uint32_t gen)
{
	return ((uint64_t)gen << 32) | slot;
}

static inline uint64_t io_conn_tag(const struct io_conn *c)
{
	return io_tag(c->slot, c->gen);
}

static inline uint64_t io_listener_tag(const struct io_listener *l)
{
	return io_tag(l->slot, l->gen);
}

/* Who owns the slot if the generation still is that of the tag, else NULL. */
static inline void *io_find(const struct io *io, uint64_t tag, enum io_slot_kind kind)
{
	uint32_t slot = (uint32_t)tag;
	const struct io_slot *s;

	if (slot >= io->slot_count)
		return NULL;
	s = &io->slots[slot];
	if (s->kind != kind || s->gen != ((tag >> 32) & IO_GEN_MASK))
		return NULL;
	return s->owner;
}

static inline void io_clear(struct io_conn *c, uint32_t flags)
{
	c->flags &= ~flags;
}

/* Something has arrived for nobody.  Returns who was to come back, or NULL. */
static inline struct io_conn *io_spoil(const struct io *io, uint64_t tag)
{
	struct io_conn *c = io_find(io, tag, IO_SLOT_PARKED);

	if (c != NULL)
		c->flags |= IO_SPOILT;
	return c;
}

static inline void io_wish(struct io *io, struct io_conn *c)
{
	if (!list_is_linked(&c->wish))
		list_push_back(&io->wishes, &c->wish);
}

/* What the engines report.  All but io_accepted() may free the conn. */
void io_ended(struct io *, struct io_conn *, int error);
void io_quiet_check(struct io *, struct io_conn *);

/* fd, or -errno; arranges for the next one. */
void io_accepted(struct io *, struct io_listener *, int fd);

#endif
