/* SPDX-License-Identifier: ISC */
/*
 * What the command line can ask for.  Apart from the rest, because getopt.h and
 * config/option.h both have a struct option.
 */
#ifndef MAIN_COMMANDS_H
#define MAIN_COMMANDS_H

/* Each returns the exit status. */
int command_run(const char *path);
int command_check(const char *path);
int command_import(char *const *paths, int count);
int command_dump(const char *what);     /* -1: there is no such thing */
/* pgtandemctl, of the folder in which this program is, else of PATH; argv[0] is any word.
 * Returns only where it is not there. */
int command_ctl(char **argv);

const char *command_default_path(void);

#endif
