/* SPDX-License-Identifier: ISC */
#include "base/slog_queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

/* In a buffer each line has this in front. */
struct head {
	size_t all;                     /* with this, and what aligns the next one */
	size_t len;
	int kind;
	enum slog_level level;
	const char *event;
};

struct buffer {
	_Atomic size_t used;
	_Alignas(struct head) char bytes[SLOG_QUEUE_SIZE];
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t has_lines;
	pthread_cond_t is_empty;
	pthread_t thread;
	slog_queue_write_f *write;
	bool is_on;
	bool is_over;
	bool is_writing;
	uint64_t untold;                /* lost, and not said yet */
	struct buffer *fills;
	struct buffer *drains;
	_Atomic size_t drained;         /* bytes of that buffer */
	_Atomic uint64_t lost;
} queue = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.has_lines = PTHREAD_COND_INITIALIZER,
	.is_empty = PTHREAD_COND_INITIALIZER,
};

static struct buffer buffers[2];

static void line_at(struct buffer *b, size_t at, struct head *head,
	struct slog_queue_line *line)
{
	memcpy(head, b->bytes + at, sizeof(*head));
	*line = (struct slog_queue_line){ .kind = head->kind,
		.level = head->level,
		.event = head->event,
		.text = b->bytes + at + sizeof(*head),
		.len = head->len };
}

/* --- the thread ------------------------------------------------------------------------ */

/* How many could not be written; *written: how many could. */
static uint64_t write_all(struct buffer *b, uint64_t *written)
{
	uint64_t failed = 0;

	*written = 0;
	for (size_t at = 0; at < atomic_load(&b->used);) {
		struct slog_queue_line line;
		struct head head;

		line_at(b, at, &head, &line);
		if (queue.write(&line))
			++*written;
		else
			failed++;
		at += head.all;
		atomic_store(&queue.drained, at);
	}
	return failed;
}

static void swap(void)
{
	struct buffer *b = queue.fills;

	queue.fills = queue.drains;
	queue.drains = b;
	atomic_store(&queue.drained, 0);
}

static void *run(void *arg)
{
	(void)arg;
	(void)pthread_setname_np(pthread_self(), "log");
	pthread_mutex_lock(&queue.lock);
	for (;;) {
		uint64_t failed, written, untold;

		while (atomic_load(&queue.fills->used) == 0 && !queue.is_over) {
			pthread_cond_broadcast(&queue.is_empty);
			pthread_cond_wait(&queue.has_lines, &queue.lock);
		}
		if (atomic_load(&queue.fills->used) == 0)
			break;
		swap();
		queue.is_writing = true;
		pthread_mutex_unlock(&queue.lock);
		failed = write_all(queue.drains, &written);
		atomic_fetch_add(&queue.lost, failed);
		pthread_mutex_lock(&queue.lock);
		atomic_store(&queue.drains->used, 0);
		queue.is_writing = false;
		queue.untold += failed;
		/* Where nothing can be written this cannot, either. */
		untold = written > 0 ? queue.untold : 0;
		queue.untold -= untold;
		if (untold == 0)
			continue;
		pthread_mutex_unlock(&queue.lock);
		SLOG(WARN, "log-lost", "lines=%lu", (unsigned long)untold);
		pthread_mutex_lock(&queue.lock);
	}
	pthread_cond_broadcast(&queue.is_empty);
	pthread_mutex_unlock(&queue.lock);
	return NULL;
}

/* --- any thread ------------------------------------------------------------------------ */

bool slog_queue_put(const struct slog_queue_line *line)
{
	struct head head = { .len = line->len,
		.kind = line->kind,
		.level = line->level,
		.event = line->event };
	struct buffer *b;
	size_t used;
	bool is_on;

	head.all = (sizeof(head) + line->len + _Alignof(struct head) - 1) /
		_Alignof(struct head) * _Alignof(struct head);
	pthread_mutex_lock(&queue.lock);
	is_on = queue.is_on;
	b = queue.fills;
	used = is_on ? atomic_load(&b->used) : 0;
	if (is_on && used + head.all > SLOG_QUEUE_SIZE) {
		queue.untold++;
		atomic_fetch_add(&queue.lost, 1);
	} else if (is_on) {
		memcpy(b->bytes + used, &head, sizeof(head));
		memcpy(b->bytes + used + sizeof(head), line->text, line->len);
		atomic_store(&b->used, used + head.all);
		if (used == 0)
			pthread_cond_signal(&queue.has_lines);
	}
	pthread_mutex_unlock(&queue.lock);
	return is_on;
}

uint64_t slog_queue_lost(void)
{
	return atomic_load(&queue.lost);
}

/* --- main -------------------------------------------------------------------------------- */

int slog_queue_start(slog_queue_write_f *write)
{
	int error;

	queue.write = write;
	queue.fills = &buffers[0];
	queue.drains = &buffers[1];
	queue.is_over = false;
	error = pthread_create(&queue.thread, NULL, run, NULL);
	pthread_mutex_lock(&queue.lock);
	queue.is_on = error == 0;
	pthread_mutex_unlock(&queue.lock);
	return -error;
}

static bool wait_until_empty(uint64_t patience_us)
{
	struct timespec until;
	int error = 0;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += (time_t)(patience_us / USEC_PER_SEC);
	until.tv_nsec += (long)(patience_us % USEC_PER_SEC * 1000);
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (error == 0 && (queue.is_writing || atomic_load(&queue.fills->used) > 0))
		error = pthread_cond_timedwait(&queue.is_empty, &queue.lock, &until);
	return error == 0;
}

bool slog_queue_drain(uint64_t patience_us)
{
	bool ok = true;

	pthread_mutex_lock(&queue.lock);
	if (queue.is_on)
		ok = wait_until_empty(patience_us);
	pthread_mutex_unlock(&queue.lock);
	return ok;
}

bool slog_queue_stop(uint64_t patience_us)
{
	bool was_on, ok = true;

	pthread_mutex_lock(&queue.lock);
	was_on = queue.is_on;
	if (was_on)
		ok = wait_until_empty(patience_us);
	queue.is_on = false;
	queue.is_over = true;
	pthread_cond_signal(&queue.has_lines);
	pthread_mutex_unlock(&queue.lock);
	if (!was_on)
		return true;
	if (ok)
		(void)pthread_join(queue.thread, NULL);
	else
		(void)pthread_detach(queue.thread);
	return ok;
}

static void each_from(struct buffer *b, size_t at, void (*f)(const struct slog_queue_line *))
{
	size_t used = atomic_load(&b->used);

	while (at + sizeof(struct head) <= used) {
		struct slog_queue_line line;
		struct head head;

		line_at(b, at, &head, &line);
		f(&line);
		at += head.all;
	}
}

void slog_queue_each_left(void (*f)(const struct slog_queue_line *))
{
	if (queue.fills == NULL)
		return;
	each_from(queue.drains, atomic_load(&queue.drained), f);
	each_from(queue.fills, 0, f);
}
