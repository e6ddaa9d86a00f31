/* SPDX-License-Identifier: ISC */
#include "net/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

/* Shorter words of a secret may be words of a sentence. */
enum { HIDDEN_MIN = 4, SLICE_MS = 20 };

/* What a pipe holds of itself, and so what a child has left behind when it has ended. */
enum { DRAIN_MAX = 65536 };

/* As of exit(255): nobody knows how it has ended. */
enum { UNKNOWN_STATUS = 255 << 8 };

struct child {
	pid_t pid;
	int pidfd;                      /* -1: the kernel gives none */
	struct child_pipe out, err;
	uint64_t until_us;
};

/* --- what it printed -------------------------------------------------------------------- */

char *child_line(const char *output, size_t len, const char **why)
{
	char *line;

	*why = NULL;
	if (len > 0 && output[len - 1] == '\n')
		len--;
	if (len > 0 && output[len - 1] == '\r')
		len--;
	if (len == 0)
		*why = "it printed nothing";
	else if (memchr(output, '\n', len) != NULL)
		*why = "it printed more than one line";
	else if (memchr(output, '\0', len) != NULL)
		*why = "it printed a zero byte";
	if (*why != NULL)
		return NULL;
	line = strndup(output, len);
	if (line == NULL)
		*why = "out of memory";
	return line;
}

static void hide(char *text, const char *word, size_t len)
{
	char *at = text;

	while (len >= HIDDEN_MIN && (at = memmem(at, strlen(at), word, len)) != NULL) {
		memset(at, '*', len);
		at += len;
	}
}

void child_hide(char *text, const char *secret, size_t len)
{
	size_t from = 0;

	while (from < len) {
		size_t word = 0;

		while (from + word < len && secret[from + word] > ' ')
			word++;
		hide(text, secret + from, word);
		from += word + 1;
	}
}

/* --- the child -------------------------------------------------------------------------- */

static bool pipe_open(struct child_pipe *end, int *theirs)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return false;
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	end->fd = fds[0];
	*theirs = fds[1];
	return true;
}

static void pipe_close(struct child_pipe *end)
{
	if (end->fd >= 0)
		close(end->fd);
	end->fd = -1;
	if (end->text != NULL)
		explicit_bzero(end->text, end->len);
	free(end->text);
	end->text = NULL;
}

static int add_files(posix_spawn_file_actions_t *files, int out, int err)
{
	int error = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);

	if (error == 0)
		error = posix_spawn_file_actions_adddup2(files, out, 1);
	if (error == 0)
		error = posix_spawn_file_actions_adddup2(files, err, 2);
	/* Ours are O_CLOEXEC; a library's need not be. */
	if (error == 0)
		error = posix_spawn_file_actions_addclosefrom_np(files, 3);
	return error;
}

/* Returns 0 or an errno. */
static int spawn(const struct child_order *order, char *const *env, int out, int err, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t how;
	sigset_t none, defaults;
	int error;

	/* Neither can fail in glibc. */
	(void)posix_spawn_file_actions_init(&files);
	(void)posix_spawnattr_init(&how);
	sigemptyset(&none);
	sigfillset(&defaults);
	/* A session of its own: no terminal, and a group that can be killed. */
	(void)posix_spawnattr_setflags(&how,
		POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	(void)posix_spawnattr_setsigmask(&how, &none);
	(void)posix_spawnattr_setsigdefault(&how, &defaults);
	error = add_files(&files, out, err);
	if (error == 0)
		error = posix_spawn(pid, order->argv[0], &files, &how, order->argv, env);
	(void)posix_spawnattr_destroy(&how);
	(void)posix_spawn_file_actions_destroy(&files);
	return error;
}

/* PATH and what is given.  *path: what malloc gave. */
static bool make_env(const struct child_order *order, char *env[CHILD_ENV_MAX + 2], char **path)
{
	const char *ours = getenv("PATH");
	size_t count = 0;

	if (asprintf(path, "PATH=%s", ours == NULL ? "/usr/local/bin:/usr/bin:/bin" : ours) < 0) {
		*path = NULL;
		return false;
	}
	env[count++] = *path;
	for (size_t i = 0; order->env != NULL && order->env[i] != NULL && i < CHILD_ENV_MAX; i++)
		env[count++] = order->env[i];
	env[count] = NULL;
	return true;
}

static int start(const struct child_order *order, struct child *c)
{
	char *env[CHILD_ENV_MAX + 2], *path;
	int out = -1, err = -1, error;

	if (!make_env(order, env, &path))
		return ENOMEM;
	error = pipe_open(&c->out, &out) && pipe_open(&c->err, &err) ? 0 : errno;
	if (error == 0)
		error = spawn(order, env, out, err, &c->pid);
	if (out >= 0)
		close(out);
	if (err >= 0)
		close(err);
	free(path);
	if (error == 0)
		c->pidfd = pidfd_open(c->pid, 0);
	return error;
}

/* --- listening to it -------------------------------------------------------------------- */

/* Of more than there is room for the end is kept: keeps_end, or -EFBIG. */
static int store(struct child_pipe *end, const char *data, size_t len, bool keeps_end)
{
	size_t room = end->max - end->len, drop;

	if (len > room && !keeps_end)
		return -EFBIG;
	end->was_cut = end->was_cut || len > room;
	if (len > end->max) {
		data += len - end->max;
		len = end->max;
	}
	if (len > room) {
		drop = len - room;
		memmove(end->text, end->text + drop, end->len - drop);
		end->len -= drop;
	}
	memcpy(end->text + end->len, data, len);
	end->len += len;
	return 0;
}

int child_drain(struct child_pipe *end, bool keeps_end)
{
	size_t most = DRAIN_MAX;
	char data[4096];
	ssize_t n = -1;
	int ret = 0;

	while (ret == 0 && end->fd >= 0 && most > 0) {
		n = read(end->fd, data, size_min(sizeof(data), most));
		if (n == 0 || (n < 0 && errno == EAGAIN))
			break;
		if (n > 0) {
			ret = store(end, data, (size_t)n, keeps_end);
			most -= (size_t)n;
		} else if (errno != EINTR) {
			ret = -errno;
		}
	}
	if (ret == 0 && end->fd >= 0 && n == 0) {
		close(end->fd);
		end->fd = -1;
	}
	explicit_bzero(data, sizeof(data));
	return ret;
}

/* Its number stays its own: it is not buried yet. */
static bool has_ended(const struct child *c)
{
	siginfo_t info = { .si_pid = 0 };

	if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
		return info.si_pid != 0;
	/* Children of who ignores SIGCHLD bury themselves. */
	return errno == ECHILD;
}

/* Nobody else may have its number. */
static bool is_ours(const struct child *c)
{
	siginfo_t info;

	return waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* Until it has ended: who has got its pipes from it may keep them open. */
static int listen_to(struct child *c)
{
	int ret = 0;

	while (ret == 0) {
		struct pollfd fds[] = { { .fd = c->out.fd, .events = POLLIN },
			{ .fd = c->err.fd, .events = POLLIN },
			{ .fd = c->pidfd, .events = POLLIN } };
		uint64_t now = clock_now_us(), left;
		bool is_over;

		if (now >= c->until_us)
			return -ETIMEDOUT;
		left = (c->until_us - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
		if (c->pidfd < 0)
			left = u64_min(left, SLICE_MS);
		if (poll(fds, COUNT_OF(fds), (int)u64_min(left, INT32_MAX)) < 0 && errno != EINTR)
			return -errno;
		/* Whatever it wrote was there before it ended. */
		is_over = has_ended(c);
		ret = child_drain(&c->out, false);
		if (ret == 0)
			ret = child_drain(&c->err, true);
		if (is_over)
			break;
	}
	return ret;
}

/* Its group goes with it, also what it has left running. */
static int collect(struct child *c)
{
	int status;
	pid_t pid;

	if (is_ours(c))
		(void)kill(-c->pid, SIGKILL);
	do
		pid = waitpid(c->pid, &status, 0);
	while (pid < 0 && errno == EINTR);
	if (pid < 0)
		status = UNKNOWN_STATUS;
	if (c->pidfd >= 0)
		close(c->pidfd);
	return status;
}

static void say_status(struct child_answer *answer, int status)
{
	if (WIFSIGNALED(status))
		(void)snprintf(answer->why, sizeof(answer->why), "it was ended by signal %d",
			WTERMSIG(status));
	else
		(void)snprintf(answer->why, sizeof(answer->why), "it ended with code %d",
			WEXITSTATUS(status));
}

static void say_error(struct child_answer *answer, int error)
{
	const char *what = error == ETIMEDOUT ? "it did not end in time" :
		error == EFBIG ? "it printed more than a password can be" : strerror(error);

	(void)snprintf(answer->why, sizeof(answer->why), "%s", what);
}

static void take_answer(struct child *c, struct child_answer *answer, int error, int status)
{
	const char *why = NULL;

	memcpy(answer->errors, c->err.text, c->err.len);
	answer->errors[c->err.len] = '\0';
	/* What is cut may be the end of a secret. */
	if (c->err.was_cut)
		memset(answer->errors, '*', strcspn(answer->errors, " \n"));
	child_hide(answer->errors, c->out.text, c->out.len);
	if (error != 0)
		say_error(answer, error);
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		say_status(answer, status);
	else
		answer->line = child_line(c->out.text, c->out.len, &why);
	if (why != NULL)
		(void)snprintf(answer->why, sizeof(answer->why), "%s", why);
}

bool child_run(const struct child_order *order, struct child_answer *answer)
{
	struct child c = { .pidfd = -1, .out = { .fd = -1, .max = order->output_max },
		.err = { .fd = -1, .max = CHILD_ERRORS_MAX - 1 },
		.until_us = clock_now_us() + order->timeout_us };
	int error = ENOMEM, status;

	*answer = (struct child_answer){ .line = NULL };
	c.out.text = calloc(1, order->output_max);
	c.err.text = calloc(1, CHILD_ERRORS_MAX);
	if (c.out.text != NULL && c.err.text != NULL)
		error = start(order, &c);
	if (error != 0) {
		say_error(answer, error);
	} else {
		error = -listen_to(&c);
		status = collect(&c);
		take_answer(&c, answer, error, status);
	}
	pipe_close(&c.out);
	pipe_close(&c.err);
	return answer->line != NULL;
}

const char *child_problem(const char *path)
{
	struct stat st;

	if (path[0] != '/')
		return "the program is named with its whole path";
	if (stat(path, &st) < 0)
		return strerrordesc_np(errno);
	if (!S_ISREG(st.st_mode))
		return "it is no file";
	if ((st.st_mode & S_IWOTH) != 0)
		return "everybody may change it; chmod o-w would stop that";
	if (access(path, X_OK) < 0)
		return "it cannot be run";
	return NULL;
}
