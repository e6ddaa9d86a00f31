/* SPDX-License-Identifier: ISC */
/*
 * The key that the salts of mock exchanges are made from, over the end of the process:
 * from a file, else from the process that this one takes the place of, else a new one.
 *
 * It is random and of nothing else: made from the secrets that the router has, a salt that
 * anybody may ask for would let passwords be guessed at home.
 *
 * Thread: main, before there are others.
 */
#ifndef MAIN_MOCK_KEY_H
#define MAIN_MOCK_KEY_H

#include "base/diag.h"

struct program;

/* After router_init(), as the user that the process stays.  Returns 0, or -errno with
 * diag filled: auth_mock_key_file can be neither read nor made. */
NODISCARD int mock_key_set_up(struct program *, struct diag *);

#endif
