/* SPDX-License-Identifier: ISC */
/*
 * A short text that its owner writes, and others read for a view without a lock: a
 * version that is odd while it is being written.
 *
 * Thread: one that writes at a time; any that reads.
 * Limits: SHOWN_SIZE - 1 bytes, without the NUL.
 */
#ifndef BASE_SHOWN_H
#define BASE_SHOWN_H

#include <stdatomic.h>
#include <string.h>

#include "base/base.h"

enum { SHOWN_SIZE = 64, SHOWN_WORDS = SHOWN_SIZE / 8, SHOWN_TRIES = 100 };

struct shown {
	_Atomic uint32_t version;
	_Atomic uint64_t words[SHOWN_WORDS];
};

/* What is too long is cut. */
static inline void shown_set(struct shown *s, const char *text)
{
	uint32_t version = atomic_load_explicit(&s->version, memory_order_relaxed);
	char bytes[SHOWN_SIZE] = "";
	uint64_t words[SHOWN_WORDS];

	memcpy(bytes, text, size_min(strlen(text), SHOWN_SIZE - 1));
	memcpy(words, bytes, sizeof(words));
	atomic_store_explicit(&s->version, version + 1, memory_order_relaxed);
	/* Who sees one of these sees that version, or a later one. */
	for (size_t i = 0; i < SHOWN_WORDS; i++)
		atomic_store_explicit(&s->words[i], words[i], memory_order_release);
	atomic_store_explicit(&s->version, version + 2, memory_order_release);
}

/* "" where it is written again and again just then. */
static inline void shown_get(const struct shown *s, char to[SHOWN_SIZE])
{
	uint64_t words[SHOWN_WORDS];

	for (int i = 0; i < SHOWN_TRIES; i++) {
		uint32_t version = atomic_load_explicit(&s->version, memory_order_acquire);

		for (size_t j = 0; j < SHOWN_WORDS; j++)
			words[j] = atomic_load_explicit(&s->words[j], memory_order_acquire);
		if (version % 2 != 0 ||
			atomic_load_explicit(&s->version, memory_order_relaxed) != version)
			continue;
		memcpy(to, words, SHOWN_SIZE);
		return;
	}
	to[0] = '\0';
}

#endif
