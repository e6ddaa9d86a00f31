/* SPDX-License-Identifier: ISC */
/*
 * Passwords of the router's own and of databases' users: in the file itself, in files of
 * their own, or told by commands.
 *
 * Owns:   nothing; config_password is part of the config.
 * Thread: any that may wait for files; all but password_read() while the config is made.
 * Limits: PASSWORD_FILE_MAX bytes of a file.
 */
#ifndef CONFIG_PASSWORD_H
#define CONFIG_PASSWORD_H

#include "config/config.h"

enum { PASSWORD_FILE_MAX = 16384 };

struct doc_source;

/* Whether what is given makes sense together.  Returns 0 or -EINVAL. */
NODISCARD int password_verify(const struct config *, const struct doc_source *);

/* Fills in where they come from; no file is opened.  Returns 0 or -ENOMEM. */
NODISCARD int password_take(struct config *);

/* Reads the files and looks at the commands, which are not run.  Returns 0 or -errno. */
NODISCARD int password_load(struct config *, struct diag *);

/* The first line of a file that an option names, into *to (what malloc gave, or as it was
 * where no file is named).  The config may get a warning. */
NODISCARD int password_load_secret(struct config *, const char *option, const char *name,
	char **to, struct diag *);

/* The first line of a file, of which everything is wiped that is not returned. */
NODISCARD int password_read(const char *path, char **to, struct diag *);

void password_finish(struct config_password *);

#endif
