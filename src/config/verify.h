/* SPDX-License-Identifier: ISC */
/*
 * What has to fit together in a configuration: names that are referred to exist,
 * addresses are listened on once, limits do not contradict each other.  Fills in
 * what the file leaves to us (the database "*", the only host).
 *
 * Thread: one.
 */
#ifndef CONFIG_VERIFY_H
#define CONFIG_VERIFY_H

#include "base/base.h"

struct config;
struct diag;
struct doc_source;

/* After build_config().  Returns 0 or a negative error with the source's diag
 * filled. */
NODISCARD int verify_config(struct config *, const struct doc_source *);

/* verify_tls.c: which options of TLS need which others; part of verify_config().  And
 * whether the files that they name can be read. */
NODISCARD int verify_tls(struct config *, const struct doc_source *);
NODISCARD int verify_tls_files(struct config *, struct diag *);

/* Warns of rules for clients with TLS, or of auth_type cert, where no workload has what that
 * needs, and of passwords that go to a directory in clear.  After verify_tls().  Returns 0 or -ENOMEM. */
NODISCARD int verify_tls_rules(struct config *);

/* What is allowed but cannot be meant becomes warnings of the config.  After
 * share_compute(); answers like verify_config(). */
NODISCARD int verify_meaning(struct config *, const struct doc_source *);

/* Adds a sentence to the warnings of a config.  Returns 0 or -ENOMEM. */
NODISCARD int verify_warn(struct config *, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
