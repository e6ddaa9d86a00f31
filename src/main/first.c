/* SPDX-License-Identifier: ISC */
/*
 * As process 1 of a container: when that ends, the kernel ends all others.  So once another
 * process has taken over (RESTART) and its own clients have left, it stays, passes on what
 * it is told by signals, and ends with the last of those that followed.
 *
 * Who follows it and has been followed in turn passes them on, too.  What then has no
 * parent any more is process 1's child.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/slog.h"
#include "main/program.h"

static bool is_first(void)
{
	return getpid() == 1;
}

bool first_is_there(void)
{
	return is_first() || getenv(FIRST_VARIABLE) != NULL;
}

/* proc(5): without the file, of the oldest kernels, nobody but the direct one is told. */
static bool tell_children(int signal)
{
	FILE *file = fopen("/proc/self/task/1/children", "re");
	int pid;

	if (file == NULL)
		return false;
	while (fscanf(file, "%d", &pid) == 1)
		(void)kill(pid, signal);
	(void)fclose(file);
	return true;
}

void first_pass_on(struct program *p, int signal)
{
	if (p->handover.phase != HANDOVER_DONE || !first_is_there() ||
		(is_first() && tell_children(signal)))
		return;
	if (p->handover.pid != 0)
		(void)kill((pid_t)p->handover.pid, signal);
}

int first_stay(const sigset_t *signals, int code)
{
	sigset_t set = *signals;
	int status = 0;
	pid_t pid;

	if (!is_first())
		return code;
	sigaddset(&set, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (;;) {
		int signal;

		while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
			code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		if (pid < 0 && errno == ECHILD)
			return code;
		signal = sigwaitinfo(&set, NULL);
		if (signal > 0 && signal != SIGCHLD)
			(void)tell_children(signal);
	}
}
