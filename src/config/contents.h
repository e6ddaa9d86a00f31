/* SPDX-License-Identifier: ISC */
/*
 * What is in the files that options name and others than config/ read (keys, certificates),
 * or that are read once only (passwords): so much of it that a reload can tell a change.
 *
 * Owns:   hashes, and what certificates say; no text of a file.
 * Thread: one, while the config is made; constant then.
 * Limits: a file of more than CONTENTS_FILE_MAX bytes counts as one that is not there.
 */
#ifndef CONFIG_CONTENTS_H
#define CONFIG_CONTENTS_H

#include "config/option.h"

enum { CONTENTS_FILE_MAX = 64 << 20 };

struct config;
struct contents;

struct contents_file {
	char *path;                     /* "hosts.main.server_tls_cert_file" */
	uint64_t hash;
	char *text;                     /* of a certificate: whose it is, and until when; else NULL */
};

/* Of all files that the config names, once it is whole.  Returns 0 or -ENOMEM. */
NODISCARD int contents_read(struct config *);

/* By the path of the option; NULL: it names none, or one that is not read here. */
const struct contents_file *contents_find(const struct contents *, const char *path);

void contents_destroy(struct contents **);

#endif
