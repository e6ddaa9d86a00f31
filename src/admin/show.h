/* SPDX-License-Identifier: ISC */
/*
 * The views of the console (include/views.def).
 *
 * A view copies what it shows, outside of the monitors' locks makes rows out of
 * it, and adds them to the answer.
 *
 * Thread: the worker of the client that asks; parts that belong to other workers
 *         are gathered by ask_tour().
 */
#ifndef ADMIN_SHOW_H
#define ADMIN_SHOW_H

#include "admin/ask.h"

struct config_host;
struct config_place;
struct route_host;

struct view {
	const char *word;
	unsigned rights;                /* any of ROUTE_ADMIN, ROUTE_STATS */
	ask_handler_f *handler;
	const struct table *table;      /* without columns: it has no rows */
	const char *help;
};

extern const struct view show_views[];
extern const size_t show_view_count;

/* Some share a table, which is then declared twice. */
#define VIEW(word, who, handler, columns, help)                                          \
	ask_handler_f handler;                                                           \
	extern const struct table columns;
#include "views.def"
#undef VIEW

/* A setting that drivers ask for or set: what it is, or NULL. */
const char *show_faked(const char *setting);

/* Adds a name to a list "a, b" in a fixed array, once; what does not fit ends in
 * dots. */
void show_list_add(char *list, size_t size, const char *name);

/* Of the places of a host the one where it is now. */
const struct config_place *show_place(const struct config_host *, struct route_host *);

/* 0 where since is 0 (never) or not over yet. */
static inline uint64_t show_elapsed_us(uint64_t since_us, uint64_t now_us)
{
	return since_us != 0 && now_us > since_us ? now_us - since_us : 0;
}

/* Is this its id, or its ptr, in SHOW CLIENTS? */
bool show_is_client(const struct client *, uint64_t number);

/* The end of an answer of rows. */
void show_end(struct ask *);

#endif
