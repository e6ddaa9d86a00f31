/* SPDX-License-Identifier: ISC */
/*
 * How another process of the program is started: with one end of a socket, and without what is
 * about this process alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "main/handover_priv.h"
#include "main/program.h"

enum { ENVIRONMENT_MAX = 1024 };

extern char **environ;

/* What is about this process alone does not go on: sd_listen_fds(3), and with the other
 * process's id the watchdog would not be fed (sd_watchdog_enabled(3)). */
static bool is_for_it(const char *variable)
{
	static const char *const not[] = { "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=",
		"LISTEN_PIDFDID=", "WATCHDOG_PID=", HANDOVER_VARIABLE "=", FIRST_VARIABLE "=" };

	for (size_t i = 0; i < COUNT_OF(not); i++) {
		if (strncmp(variable, not[i], strlen(not[i])) == 0)
			return false;
	}
	return true;
}

/* Nothing that locks: other threads may have held that when this process was made. */
static void tell_why(const char *program, int error)
{
	const char *why = strerrordesc_np(error);
	char text[PATH_MAX + 128] = "Ecannot start ", *end;

	end = stpncpy(text + strlen(text), program, PATH_MAX);
	end = stpcpy(end, ": ");
	end = stpncpy(end, why == NULL ? "unknown error" : why, 64);
	(void)send(HANDOVER_FD, text, (size_t)(end - text), MSG_NOSIGNAL);
}

/* systemd is to be told at once when it ends, and kills a main process that is no child of
 * its own right behind its SIGTERM: so it is this one's brother.  Returns its id or -errno. */
static pid_t spawn_brother(const struct program *p, int fd, char **arguments, char **environment)
{
	sigset_t none;
	pid_t pid;

	sigemptyset(&none);
	if (access(p->exe, X_OK) < 0)
		return -errno;
	/* There are threads: until it is another program nothing but system calls. */
	pid = (pid_t)syscall(SYS_clone, (unsigned long)CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
	if (pid != 0)
		return pid < 0 ? -errno : pid;
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if ((fd == HANDOVER_FD ? fcntl(fd, F_SETFD, 0) : dup2(fd, HANDOVER_FD)) >= 0)
		(void)execve(p->exe, arguments, environment);
	tell_why(p->exe, errno);
	_exit(EXIT_FAILURE);
}

static pid_t spawn_child(const struct program *p, int fd, char **arguments, char **environment)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t how;
	sigset_t none, defaults;
	pid_t pid;
	int error;

	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&how);
	(void)posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	(void)posix_spawnattr_setsigmask(&how, &none);
	(void)posix_spawnattr_setsigdefault(&how, &defaults);
	error = posix_spawn_file_actions_adddup2(&files, fd, HANDOVER_FD);
	if (error == 0)
		error = posix_spawn(&pid, p->exe, &files, &how, arguments, environment);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&how);
	return error == 0 ? pid : -error;
}

int handover_spawn(struct program *p, int fd)
{
	char variable[] = HANDOVER_VARIABLE "=3", option[] = "--config";
	char first[] = FIRST_VARIABLE "=1";
	char *arguments[] = { p->exe, option, (char *)(uintptr_t)p->path, NULL };
	char *environment[ENVIRONMENT_MAX];
	size_t count = 0;
	pid_t pid = -EINVAL;

	for (char **at = environ; *at != NULL && count < ENVIRONMENT_MAX - 3; at++) {
		if (is_for_it(*at))
			environment[count++] = *at;
	}
	environment[count++] = variable;
	if (first_is_there())
		environment[count++] = first;
	environment[count] = NULL;
	if (notify_is_heard())
		pid = spawn_brother(p, fd, arguments, environment);
	/* Process 1 has no brothers. */
	if (pid == -EINVAL)
		pid = spawn_child(p, fd, arguments, environment);
	p->handover.pid = pid > 0 ? pid : 0;
	return pid > 0 ? 0 : (int)pid;
}
