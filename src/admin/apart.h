/* SPDX-License-Identifier: ISC */
/*
 * Views beside the threads that move data: their handlers, and what is left to do behind a
 * tour of the workers, run as chores.
 *
 * Thread: apart_view() on the worker of the client that asks, which goes on there
 *         (console.go_on) when the answer is written.
 */
#ifndef ADMIN_APART_H
#define ADMIN_APART_H

#include "admin/ask.h"

/* ASK_DONE: no thread was to be had, and it has run here. */
enum ask_result apart_view(struct ask *, ask_handler_f *);

#endif
