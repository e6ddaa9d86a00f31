/* SPDX-License-Identifier: ISC */
/*
 * The tables of the console as parts of pgtandem-console(7).
 *
 * Owns:   nothing.
 * Thread: any.
 */
#ifndef ADMIN_MANUAL_H
#define ADMIN_MANUAL_H

#include <stdio.h>

/* Two sections: who may do what, and the columns of each view; as text of mdoc(7). */
void manual_write(FILE *);

#endif
