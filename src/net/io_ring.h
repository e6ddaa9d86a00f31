/* SPDX-License-Identifier: ISC */
/*
 * What the two halves of the io_uring engine share: io_ring.c makes requests,
 * io_uring.c waits for events and hands them out.
 */
#ifndef NET_IO_RING_H
#define NET_IO_RING_H

#include <liburing.h>

#include "net/io_bufs.h"
#include "net/io_priv.h"

enum io_ring_op {
	OP_WAKE,
	OP_RECV_SMALL,
	OP_RECV_LARGE,
	OP_RECV_MULTI,
	OP_WRITABLE,
	OP_ACCEPT,
	OP_CANCEL,
	OP_SEND         /* index in "sends" */
};

enum { IO_RING_SENDS = 128 };

struct io_ring_send {
	struct io_conn *conn;
	const void *data;
	uint32_t len;
	int32_t res;
	bool is_done;                   /* res is there */
	bool is_left;                   /* the kernel has not seen it */
};

struct io_ring {
	struct io io;
	struct io_uring ring;
	struct io_bufs small;
	struct io_bufs large;
	struct list starved;            /* conns whose receive found no buffer */
	struct list suspects;           /* multishot conns, oldest first */
	bool has_no_iowait;
	bool wake_armed;
	uint32_t send_count;            /* of this phase */
	struct io_ring_send sends[IO_RING_SENDS];
};

static inline struct io_ring *io_ring_of(struct io *io)
{
	return container_of(io, struct io_ring, io);
}

/* user_data is operation, generation and slot. */
static inline enum io_ring_op io_ring_op(uint64_t user_data)
{
	return (enum io_ring_op)(user_data >> IO_TAG_BITS);
}

static inline uint64_t io_ring_tag(uint64_t user_data)
{
	return user_data & ((UINT64_C(1) << IO_TAG_BITS) - 1);
}

static inline uint64_t io_ring_user_data(enum io_ring_op op, uint64_t tag)
{
	return ((uint64_t)op << IO_TAG_BITS) | tag;
}

/* For the engine's table. */
void io_ring_flush(struct io *);
bool io_ring_send_later(struct io *, struct io_conn *, const void *data, size_t len);
void io_ring_send_now(struct io *);
void io_ring_detach(struct io *, struct io_conn *);
bool io_ring_may_stay(const struct io_conn *);
void io_ring_forget(struct io *, struct io_conn *);
void io_ring_close_conn(struct io *, struct io_conn *);
void io_ring_stop_listener(struct io *, struct io_listener *);
bool io_ring_retire_listener(struct io *, struct io_listener *);

/* A multishot receive brought data and, as it said, all of it. */
void io_ring_suspect(struct io_ring *, struct io_conn *);

/* Asks the kernel to end every request; false: no room, try again. */
NODISCARD bool io_ring_cancel_all(struct io_ring *);

#endif
