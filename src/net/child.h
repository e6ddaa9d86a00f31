/* SPDX-License-Identifier: ISC */
/*
 * Runs a program and takes what it prints, one line.
 *
 * No shell: the words are the program and its arguments.  It gets PATH and the variables
 * that it is given, nothing else of ours: no descriptor but /dev/null and two pipes, no
 * signal mask, no session.  What it prints may be a secret: all copies are wiped.
 *
 * Owns:   nothing after a call; the child has ended or is killed, what it has left in its
 *         group is killed, and then it is waited for.  By its number: nobody else's child
 *         is touched.
 * Thread: any that may wait; never one that moves data.
 * Limits: timeout_us for all of it; output_max bytes of output, CHILD_ERRORS_MAX bytes at
 *         the end of what it complains.
 */
#ifndef NET_CHILD_H
#define NET_CHILD_H

#include "base/base.h"

enum { CHILD_WHY_MAX = 200, CHILD_ERRORS_MAX = 512, CHILD_ENV_MAX = 8 };

struct child_order {
	char *const *argv;              /* argv[0] with its whole path; NULL at the end */
	char *const *env;               /* NAME=value, beside PATH; NULL at the end */
	uint64_t timeout_us;
	size_t output_max;
};

struct child_answer {
	char *line;                     /* what malloc gave; NULL: it failed */
	char why[CHILD_WHY_MAX];        /* ... for this reason */
	char errors[CHILD_ERRORS_MAX];  /* and said this, without what it printed */
};

/* False: it failed.  line is to be wiped and freed. */
NODISCARD bool child_run(const struct child_order *, struct child_answer *);

/* One of its two pipes, and what came through it. */
struct child_pipe {
	int fd;                         /* -1: at its end */
	char *text;
	size_t len;
	size_t max;
	bool was_cut;                   /* the beginning is not there any more */
};

/* Reads what is there now, but no more than 64 kB: who writes as fast as it is read keeps
 * nobody here.  Of more than there is room for the end is kept (keeps_end), or the answer
 * is -EFBIG.  Returns 0 or an errno, negative. */
NODISCARD int child_drain(struct child_pipe *, bool keeps_end);

/* May this file be run?  NULL, or what is wrong with it. */
const char *child_problem(const char *path);

/* The line that the output is, its one newline taken off; NULL with *why: it is none. */
char *child_line(const char *output, size_t len, const char **why);

/* Overwrites what of the text is the secret, or a word of it. */
void child_hide(char *text, const char *secret, size_t len);

#endif
