/* SPDX-License-Identifier: ISC */
/*
 * Asks the system (PAM) whether a password is somebody's, and whether they may come in.
 *
 * Thread: any that may wait; never one that moves data.  Each call has a handle of its
 *         own; modules run in several threads at once.
 * Limits: none in time but those of the modules.  The pause that some want behind a wrong
 *         password is not made: it would keep others waiting.
 * Source: CheckPAMAuth() in auth.c of PostgreSQL; pam(3).
 */
#ifndef NET_PAM_H
#define NET_PAM_H

#include "base/base.h"

enum { PAM_WHY_MAX = 256 };

enum pam_verdict { PAM_IS_RIGHT, PAM_IS_WRONG, PAM_CANNOT_TELL };

/* Whether this build has it. */
bool pam_is_there(void);

/* host: where the client comes from.  why: for the log. */
enum pam_verdict pam_verify(const char *service, const char *user, const char *password,
	const char *host, char why[PAM_WHY_MAX]);

#endif
