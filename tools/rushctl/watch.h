/* SPDX-License-Identifier: BSD-2-Clause */
/* --watch: the same question again and again, with rates from two answers. */
#ifndef RUSHCTL_WATCH_H
#define RUSHCTL_WATCH_H

#include "options.h"

/* Until it fails; returns the exit status. */
int watch_run(const struct options *o, const char *path);

#endif
