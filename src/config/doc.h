/* SPDX-License-Identifier: ISC */
/*
 * A YAML file as a small tree in which every node knows its line and column.
 *
 * Less than YAML, on purpose: one document; keys are plain words; no anchors,
 * aliases, tags or merge keys; a key stands once.
 *
 * Owns:   its nodes and their text, wiped when freed, as they may be secrets.
 * Thread: one.
 * Limits: DOC_FILE_MAX bytes, DOC_DEPTH_MAX levels, DOC_NODE_MAX nodes.
 */
#ifndef CONFIG_DOC_H
#define CONFIG_DOC_H

#include "base/base.h"

enum { DOC_FILE_MAX = 16 << 20, DOC_DEPTH_MAX = 16, DOC_NODE_MAX = 500000 };

struct diag;

/* Where a tree came from, for those who find something wrong in it. */
struct doc_source {
	const struct doc_node *root;
	const char *file;
	struct diag *diag;
};

enum doc_kind { DOC_NULL, DOC_SCALAR, DOC_LIST, DOC_MAP };

struct doc_node {
	enum doc_kind kind;
	bool is_quoted;                 /* of a SCALAR */
	uint32_t line;                  /* 1-based */
	uint32_t column;
	char *key;                      /* in a MAP: its key, else NULL */
	uint32_t key_line;
	uint32_t key_column;
	char *text;                     /* of a SCALAR; of a plain NULL too */
	size_t len;
	struct doc_node *first;         /* children, in the order of the file */
	struct doc_node *next;          /* sibling */
	size_t count;                   /* of children */
};

/* Reads text; file is for messages.  An empty text gives a NULL node.  Returns
 * NULL with diag filled on error. */
struct doc_node *doc_parse(const char *text, size_t len, const char *file,
	struct diag *);

/* Reads a whole regular file of at most max bytes, which not everybody may write to, into *text, which the caller wipes and
 * frees with doc_free_text().  Returns 0 or -errno with diag filled. */
NODISCARD int doc_read_file(const char *path, size_t max, char **text, size_t *len,
	struct diag *);
void doc_free_text(char *text, size_t len);

/* Whether everybody on this machine may read the file. */
bool doc_is_public(const char *path);

/* Whether everybody may change it: what it says then says nothing. */
bool doc_is_everybodys(const char *path);

/* The child of a MAP with that key, or NULL. */
struct doc_node *doc_get(const struct doc_node *, const char *key);

/* The same along a path of keys that ends with NULL; where a key is missing, the
 * last node that was there. */
const struct doc_node *doc_reach(const struct doc_node *, ...)
	__attribute__((sentinel));

/* Fills the source's diag with the place of a node's value, or of its key, or of
 * nothing when it is NULL.  Both return -EINVAL. */
int doc_fail(const struct doc_source *, const struct doc_node *, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
int doc_fail_key(const struct doc_source *, const struct doc_node *, const char *fmt,
	...) PRINTF_LIKE(3, 4);

const char *doc_kind_name(const struct doc_node *);     /* "a list", "a text", ... */

void doc_free(struct doc_node *);

#endif
