/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What ps shows. The kernel reads a process's command line from where the arguments were put at
 * exec; a longer title needs the environment's place behind them, which is moved away first.
 */
#ifndef PROC_TITLE_H
#define PROC_TITLE_H

/* First thing in main: remembers the place, copies arguments and environment away. Returns argv's
 * copy. */
char **title_init(int argc, char **argv);
/* "rushgate: worker 0"; also the short thread name (15 bytes). */
void title_set(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
