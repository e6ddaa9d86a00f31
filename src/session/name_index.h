/* SPDX-License-Identifier: ISC */
/*
 * Which of several names of settings is this?  Case does not count, as everywhere with
 * them.  They are told apart by a keyed hash (base/hash.h) alone.
 *
 * Owns:   its places, 16 bytes for each name and as much again.
 * Thread: one.
 */
#ifndef SESSION_NAME_INDEX_H
#define SESSION_NAME_INDEX_H

#include "base/base.h"

#define NAME_INDEX_NONE UINT32_MAX

struct name_index {
	struct name_place *places;
	uint32_t size;                  /* a power of two */
	uint32_t count;
};

/* The name gets the number that is next, from 0 on; it is not there yet.  False without
 * memory. */
NODISCARD bool name_index_add(struct name_index *, const char *name);
/* Its number, or NAME_INDEX_NONE. */
uint32_t name_index_find(const struct name_index *, const char *name);
void name_index_finish(struct name_index *);

#endif
