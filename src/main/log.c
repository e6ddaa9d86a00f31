/* SPDX-License-Identifier: ISC */
/*
 * Where the log goes: standard error, a file, syslog or journald.
 *
 * Lines are put into a queue, which a thread of its own writes (base/slog_queue.h).  A
 * destination is never closed under it: the file's descriptor keeps its number and gets
 * another file.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#ifdef HAVE_LIBSYSTEMD
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>
#endif

#include "base/clock.h"
#include "base/slog_line.h"
#include "base/slog_queue.h"
#include "main/program.h"

enum {
	IDENT_SIZE = 64,
	FIELDS_MAX = 48,
	FILE_MODE = 0640,
	LEVEL_MAX = 8,
	PATIENCE_US = 1000000           /* with what does not take what is written */
};

/* Of a line in the queue. */
enum destination { TO_STDERR, TO_FILE, TO_SYSLOG, TO_SYSLOG_JSON, TO_JOURNALD };

/* Read by all threads.  Constant once it is open, but for the file behind it. */
static _Atomic int file_fd = -1;
static _Atomic int is_json;
static _Atomic int facility = LOG_DAEMON;
/* Standard error is a stream to journald.  Constant. */
static bool is_journal;
/* syslog(3) keeps the pointer.  Set once, before anybody else reads it. */
static char ident[IDENT_SIZE];

static const int priorities[SLOG_LEVEL_COUNT] = {
	[SLOG_ERROR] = LOG_ERR,
	[SLOG_WARN] = LOG_WARNING,
	[SLOG_INFO] = LOG_INFO,
	[SLOG_DEBUG] = LOG_DEBUG,
};

/* --- lines --------------------------------------------------------------------------- */

/* On the log's thread, or where there is none, on any. */
static bool write_bytes(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			struct pollfd writable = { .fd = fd, .events = POLLOUT };

			(void)poll(&writable, 1, -1);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return true;
}

static bool write_syslog(const struct slog_queue_line *l)
{
	int priority = atomic_load(&facility) | priorities[l->level];

	/* It has a time of its own. */
	if (l->kind == TO_SYSLOG_JSON)
		syslog(priority, "%.*s", (int)l->len, l->text);
	else
		syslog(priority, "%s %.*s", l->event, (int)l->len, l->text);
	return true;
}

static bool write_journald(const struct slog_queue_line *);

static bool write_one(const struct slog_queue_line *l)
{
	switch ((enum destination)l->kind) {
	case TO_STDERR:
		return write_bytes(STDERR_FILENO, l->text, l->len);
	case TO_FILE:
		return write_bytes(atomic_load(&file_fd), l->text, l->len);
	case TO_SYSLOG:
	case TO_SYSLOG_JSON:
		return write_syslog(l);
	case TO_JOURNALD:
		return write_journald(l);
	}
	return false;
}

static void put(enum destination to, enum slog_level level, const char *event, const char *text,
	size_t len)
{
	const struct slog_queue_line line = {
		.kind = (int)to, .level = level, .event = event, .text = text, .len = len
	};

	/* Without a thread there is nobody to tell when it fails. */
	if (!slog_queue_put(&line))
		(void)write_one(&line);
}

static void put_line(enum destination to, enum slog_level level, const char *event,
	const char *body)
{
	char line[LEVEL_MAX + SLOG_JSON_MAX];
	char *text = line;

	/* journald takes the level from there, and does not keep it: sd-daemon(3). */
	if (to == TO_STDERR && is_journal)
		text += snprintf(line, LEVEL_MAX, "<%d>", priorities[level]);
	text += atomic_load(&is_json)
		? slog_line_json(text, SLOG_JSON_MAX, clock_wall_us(), level, event, body)
		: slog_line_text(text, SLOG_LINE_MAX, clock_wall_us(), level, event, body);
	put(to, level, event, line, (size_t)(text - line));
}

static void to_stderr(enum slog_level level, const char *event, const char *body)
{
	put_line(TO_STDERR, level, event, body);
}

static void to_file(enum slog_level level, const char *event, const char *body)
{
	put_line(TO_FILE, level, event, body);
}

static void to_syslog(enum slog_level level, const char *event, const char *body)
{
	char line[SLOG_JSON_MAX];

	if (atomic_load(&is_json)) {
		size_t len = slog_line_json(
			line, sizeof(line), clock_wall_us(), level, event, body);

		put(TO_SYSLOG_JSON, level, event, line, len - 1);
	} else {
		put(TO_SYSLOG, level, event, body, strlen(body));
	}
}

#ifdef HAVE_LIBSYSTEMD
struct fields {
	struct iovec list[FIELDS_MAX];
	char text[SLOG_JSON_MAX];
	size_t used;
	int count;
};

static void add_field(struct fields *f, const char *name, const char *value, size_t len)
{
	size_t name_len = strlen(name), all = name_len + 1 + len;
	char *to = f->text + f->used;

	if (f->count == FIELDS_MAX || f->used + all > sizeof(f->text))
		return;
	memcpy(to, name, name_len);
	to[name_len] = '=';
	memcpy(to + name_len + 1, value, len);
	f->list[f->count++] = (struct iovec){ .iov_base = to, .iov_len = all };
	f->used += all;
}

/* Names are of capitals, digits and '_': systemd.journal-fields(7). */
static void field_name(char *to, size_t size, const char *key)
{
	(void)snprintf(to, size, "PGTANDEM_%s", key);
	for (char *c = to; *c != '\0'; c++) {
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
		else if (!(*c >= 'A' && *c <= 'Z') && !(*c >= '0' && *c <= '9'))
			*c = '_';
	}
}

static bool write_journald(const struct slog_queue_line *l)
{
	char message[SLOG_LINE_MAX + 64], name[64], key[48], value[SLOG_LINE_MAX];
	char body[SLOG_LINE_MAX];
	const char *at = body;
	struct fields f = { .count = 0 };
	bool is_quoted;
	size_t len;
	int n;

	(void)snprintf(body, sizeof(body), "%.*s", (int)l->len, l->text);
	n = snprintf(message, sizeof(message), "%s %s", l->event, body);
	add_field(&f, "MESSAGE", message, size_min((size_t)n, sizeof(message) - 1));
	n = snprintf(value, sizeof(value), "%d", priorities[l->level]);
	add_field(&f, "PRIORITY", value, (size_t)n);
	add_field(&f, "SYSLOG_IDENTIFIER", ident, strlen(ident));
	add_field(&f, "PGTANDEM_EVENT", l->event, strlen(l->event));
	while (slog_line_next(
		&at, key, sizeof(key), value, sizeof(value), &len, &is_quoted)) {
		field_name(name, sizeof(name), key);
		add_field(&f, name, value, len);
	}
	return sd_journal_sendv(f.list, f.count) >= 0;
}

static void to_journald(enum slog_level level, const char *event, const char *body)
{
	put(TO_JOURNALD, level, event, body, strlen(body));
}
#else
static bool write_journald(const struct slog_queue_line *l)
{
	(void)l;
	return false;
}
#endif

/* --- a crash ----------------------------------------------------------------------------- */

/* What a signal handler may do: to standard error where it is not a file. */
static void write_last(const struct slog_queue_line *l)
{
	int fd = l->kind == TO_FILE ? atomic_load(&file_fd) : STDERR_FILENO;

	if (write(fd, l->text, l->len) < 0)
		return;
	if (l->kind != TO_FILE && l->kind != TO_STDERR && write(fd, "\n", 1) < 0)
		return;
}

static void on_crash(int signal)
{
	slog_queue_each_left(write_last);
	(void)raise(signal);
}

/* Where nobody else (a sanitizer) looks at it. */
static void watch_for_crashes(void)
{
	static const int crashes[] = { SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	struct sigaction now, mine = { .sa_handler = on_crash,
		.sa_flags = (int)(SA_RESETHAND | SA_NODEFER) };

	for (size_t i = 0; i < COUNT_OF(crashes); i++) {
		if (sigaction(crashes[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL)
			(void)sigaction(crashes[i], &mine, NULL);
	}
}

/* --- going over ------------------------------------------------------------------------ */

/* JOURNAL_STREAM is inherited, and may be of another stream: systemd.exec(5). */
static bool is_stream_of_journal(int fd)
{
	const char *text = getenv("JOURNAL_STREAM");
	char mine[64];
	struct stat st;

	if (text == NULL || fstat(fd, &st) < 0)
		return false;
	(void)snprintf(mine, sizeof(mine), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(text, mine) == 0;
}

void log_begin(void)
{
	is_journal = is_stream_of_journal(STDERR_FILENO);
	slog_set_sink(to_stderr);
}

/* Nobody is waited for: a pipe wants a reader at once.  What is then written to one that is full
 * waits in write_bytes(); a regular file does not know O_NONBLOCK.  Returns the descriptor or
 * -errno, -ENXIO only for a pipe. */
static int open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		FILE_MODE), ret;
	struct stat st;

	if (fd < 0) {
		ret = errno;
		if (ret == ENXIO && (stat(path, &st) < 0 || !S_ISFIFO(st.st_mode)))
			ret = EINVAL;
		return -ret;
	}
	ret = fstat(fd, &st) < 0 ? -errno : 0;
	if (ret == 0 && !S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode) && !S_ISFIFO(st.st_mode))
		ret = -EINVAL;
	if (ret == 0)
		return fd;
	close(fd);
	return ret;
}

int log_open(const struct config *config, struct log_next *next, struct diag *diag)
{
	int ret;

	next->fd = -1;
#ifndef HAVE_LIBSYSTEMD
	if (config->log.destination == CONFIG_LOG_JOURNALD) {
		diag_set(diag, NULL, 0, 0,
			"log.destination: this program was built without libsystemd");
		return -ENOTSUP;
	}
#endif
	if (config->log.destination != CONFIG_LOG_FILE)
		return 0;
	ret = open_file(config->log.file);
	if (ret >= 0) {
		next->fd = ret;
		return 0;
	}
	diag_set(diag, NULL, 0, 0, "log.file: %s: %s", config->log.file,
		ret == -ENXIO ? "nobody reads from this pipe"
		: ret == -EINVAL ? "neither a file nor a pipe or terminal" : strerror(-ret));
	return -EIO;
}

void log_give(uid_t uid, gid_t gid)
{
	int fd = atomic_load(&file_fd);

	/* If it cannot be given away, opening it again will say so. */
	if (fd >= 0 && fchown(fd, uid, gid) < 0)
		return;
}

static void set_file(int fd)
{
	int now = atomic_load(&file_fd);

	if (now < 0) {
		atomic_store(&file_fd, fd);
		return;
	}
	/* At once for all: who writes meanwhile writes to the one or the other. */
	(void)dup3(fd, now, O_CLOEXEC);
	close(fd);
}

static void set_syslog(const struct config *config)
{
	static const int facilities[] = {
		[CONFIG_FACILITY_DAEMON] = LOG_DAEMON,
		[CONFIG_FACILITY_USER] = LOG_USER,
		[CONFIG_FACILITY_AUTHPRIV] = LOG_AUTHPRIV,
		[CONFIG_FACILITY_LOCAL0] = LOG_LOCAL0,
		[CONFIG_FACILITY_LOCAL1] = LOG_LOCAL1,
		[CONFIG_FACILITY_LOCAL2] = LOG_LOCAL2,
		[CONFIG_FACILITY_LOCAL3] = LOG_LOCAL3,
		[CONFIG_FACILITY_LOCAL4] = LOG_LOCAL4,
		[CONFIG_FACILITY_LOCAL5] = LOG_LOCAL5,
		[CONFIG_FACILITY_LOCAL6] = LOG_LOCAL6,
		[CONFIG_FACILITY_LOCAL7] = LOG_LOCAL7,
	};

	atomic_store(&facility, facilities[config->log.syslog_facility]);
	if (ident[0] != '\0')
		return;
	(void)snprintf(ident, sizeof(ident), "%s", config->log.syslog_ident);
	openlog(ident, LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

void log_commit(const struct config *config, struct log_next *next)
{
	/* What was written before goes where it was to go. */
	(void)slog_queue_drain(PATIENCE_US);
	atomic_store(&is_json, config->log.format == CONFIG_LOG_JSON);
	switch (config->log.destination) {
	case CONFIG_LOG_STDERR:
		slog_set_sink(to_stderr);
		return;
	case CONFIG_LOG_FILE:
		set_file(next->fd);
		slog_set_sink(to_file);
		return;
	case CONFIG_LOG_SYSLOG:
		set_syslog(config);
		slog_set_sink(to_syslog);
		return;
	case CONFIG_LOG_JOURNALD:
#ifdef HAVE_LIBSYSTEMD
		set_syslog(config);
		slog_set_sink(to_journald);
#endif
		return;
	}
}

void log_abandon(struct log_next *next)
{
	if (next->fd >= 0)
		close(next->fd);
	next->fd = -1;
}

int log_start(void)
{
	watch_for_crashes();
	return slog_queue_start(write_one);
}

void log_end(void)
{
	int fd;

	/* Whatever holds it up, the process is to end. */
	if (!slog_queue_stop(PATIENCE_US))
		return;
	fd = atomic_exchange(&file_fd, -1);
	slog_set_sink(NULL);
	if (fd >= 0)
		close(fd);
}
