/* SPDX-License-Identifier: ISC */
/*
 * Lines of the log on their way: whoever writes one puts it here and goes on, and a thread
 * writes them, in this order.  What is behind it (a full disk, a pipe that nobody reads, a
 * daemon) makes nobody else wait.
 *
 * Owns:   the thread, and two buffers: one fills while the other is written.
 * Thread: slog_queue_put() and slog_queue_lost() any; the rest main.
 * Limits: SLOG_QUEUE_SIZE bytes; what finds no room, or cannot be written, is lost, is
 *         counted, and the next line that can be written is followed by one that says so.
 */
#ifndef BASE_SLOG_QUEUE_H
#define BASE_SLOG_QUEUE_H

#include "base/slog.h"

enum { SLOG_QUEUE_SIZE = 1024 * 1024 };

struct slog_queue_line {
	int kind;                       /* the writer's business */
	enum slog_level level;
	const char *event;              /* lives for ever */
	const char *text;
	size_t len;
};

/* On the queue's thread; may block.  False: it could not be written. */
typedef bool slog_queue_write_f(const struct slog_queue_line *);

/* Returns 0 or -errno. */
NODISCARD int slog_queue_start(slog_queue_write_f *);

/* Copies it.  False: there is no queue, and nothing was done. */
bool slog_queue_put(const struct slog_queue_line *);

/* Waits until all is written, but not for ever.  False: it is not. */
bool slog_queue_drain(uint64_t patience_us);

/* The same, and ends the thread if it is not held up.  False: it still is; then what is
 * left is lost. */
bool slog_queue_stop(uint64_t patience_us);

/* Lines since the start. */
uint64_t slog_queue_lost(void);

/* What has not been written, for a process that crashes: no lock is taken, and f is to do
 * what a signal handler may. */
void slog_queue_each_left(void (*f)(const struct slog_queue_line *));

#endif
