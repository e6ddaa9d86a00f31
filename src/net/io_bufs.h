/* SPDX-License-Identifier: ISC */
/*
 * Receive buffers of one size that the kernel picks from (a provided buffer
 * ring, IORING_REGISTER_PBUF_RING).
 *
 * The ring hands out in the order in which buffers were put in, so of a full
 * ring every buffer would be used in turn and the memory of all of them be
 * touched.  Only a window of them is offered therefore, the last ones used
 * first; it doubles after a turn in which a receive has found it empty.
 *
 * Owns:   the ring and the buffers, both mapped memory.  None of it is pinned
 *         but the ring's own pages.
 * Thread: the worker's.
 * Limits: count buffers, at most 32768, a power of two.
 */
#ifndef NET_IO_BUFS_H
#define NET_IO_BUFS_H

#include <liburing.h>

#include "base/base.h"

struct io_bufs {
	struct io_uring_buf_ring *ring;
	uint8_t *memory;
	uint16_t *idle;                 /* ids that are not offered, a stack */
	uint32_t idle_count;
	uint32_t count;
	uint32_t size;
	uint32_t offered;               /* in the ring, not seen back yet */
	uint32_t window;                /* most to be offered */
	bool starved;                   /* in this turn */
	uint16_t group;
};

/* Returns 0 or -errno; on failure there is nothing to close. */
NODISCARD int io_bufs_open(struct io_bufs *, struct io_uring *, uint16_t group,
	uint32_t count, uint32_t size, uint32_t window);
void io_bufs_close(struct io_bufs *);   /* after the ring is gone */

/* The buffer of an event that has one, and giving it back. */
uint8_t *io_bufs_take(struct io_bufs *, uint16_t id);
void io_bufs_put(struct io_bufs *, uint16_t id);

/* A receive found no buffer. */
void io_bufs_starved(struct io_bufs *);

/* Once a turn: offers as many as the window allows. */
void io_bufs_offer(struct io_bufs *);

#endif
