/* SPDX-License-Identifier: ISC */
/*
 * The handlers of include/commands.def: those of hold.c and control.c, and what
 * console.c does itself.
 *
 * Thread: the worker of the client that asks.
 */
#ifndef ADMIN_COMMANDS_H
#define ADMIN_COMMANDS_H

#include "admin/ask.h"

/* Some words share a handler, which is then declared twice. */
#define COMMAND(word, arguments, who, handler, help) ask_handler_f handler;
#include "commands.def"
#undef COMMAND

/* RESTART, and whatever else would hold in this process alone: refused while another one
 * takes over or after it has, and at the end.  True: it is said. */
bool hold_is_over(struct ask *);

#endif
