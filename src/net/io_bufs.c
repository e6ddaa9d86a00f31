/* SPDX-License-Identifier: ISC */
#include "net/io_bufs.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

static size_t ring_bytes(const struct io_bufs *b)
{
	return b->count * sizeof(struct io_uring_buf);
}

static size_t memory_bytes(const struct io_bufs *b)
{
	return (size_t)b->count * b->size;
}

static void *map(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	/* One byte received must not cost two megabytes. */
	(void)madvise(memory, bytes, MADV_NOHUGEPAGE);
	return memory;
}

void io_bufs_close(struct io_bufs *b)
{
	if (b->ring != NULL)
		munmap(b->ring, ring_bytes(b));
	if (b->memory != NULL)
		munmap(b->memory, memory_bytes(b));
	free(b->idle);
	*b = (struct io_bufs){ 0 };
}

int io_bufs_open(struct io_bufs *b, struct io_uring *uring, uint16_t group,
	uint32_t count, uint32_t size, uint32_t window)
{
	struct io_uring_buf_reg reg = { .ring_entries = count, .bgid = group };
	int ret;

	assert(count > 0 && count <= 32768 && (count & (count - 1)) == 0);
	*b = (struct io_bufs){ .count = count, .size = size, .group = group };
	b->window = window < count ? window : count;
	b->ring = map(ring_bytes(b));
	b->memory = map(memory_bytes(b));
	b->idle = calloc(count, sizeof(*b->idle));
	if (b->ring == NULL || b->memory == NULL || b->idle == NULL) {
		io_bufs_close(b);
		return -ENOMEM;
	}
	reg.ring_addr = (uint64_t)(uintptr_t)b->ring;
	ret = io_uring_register_buf_ring(uring, &reg, 0);
	if (ret < 0) {
		io_bufs_close(b);
		return ret;
	}
	io_uring_buf_ring_init(b->ring);
	while (b->idle_count < count) {
		b->idle[b->idle_count] = (uint16_t)(count - 1 - b->idle_count);
		b->idle_count++;
	}
	io_bufs_offer(b);
	return 0;
}

uint8_t *io_bufs_take(struct io_bufs *b, uint16_t id)
{
	assert(id < b->count);
	assert(b->offered > 0);
	b->offered--;
	return b->memory + (size_t)id * b->size;
}

void io_bufs_put(struct io_bufs *b, uint16_t id)
{
	assert(b->idle_count < b->count);
	b->idle[b->idle_count++] = id;
}

void io_bufs_starved(struct io_bufs *b)
{
	b->starved = true;
}

void io_bufs_offer(struct io_bufs *b)
{
	int mask = io_uring_buf_ring_mask(b->count);
	int added = 0;

	if (b->starved && b->window < b->count)
		b->window *= 2;
	b->starved = false;
	while (b->offered < b->window && b->idle_count > 0) {
		uint16_t id = b->idle[--b->idle_count];

		io_uring_buf_ring_add(b->ring, b->memory + (size_t)id * b->size, b->size,
			id, mask, added++);
		b->offered++;
	}
	if (added > 0)
		io_uring_buf_ring_advance(b->ring, added);
}
