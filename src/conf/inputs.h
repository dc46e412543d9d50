/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a configuration was read from: the bytes of its files and descriptor sets, and what patterns
 * of `include` found. Each is read once; what was read stays, so that a configuration can be made
 * again (with runtime changes, without one that has expired) from what was checked then, whatever
 * somebody is typing into the files now.
 *
 * Shared by reference: one process, one thread.
 */
#ifndef CONF_INPUTS_H
#define CONF_INPUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/slice.h"

struct input {
    char *name;  /* path as it was asked for, or pattern; owned */
    char *bytes; /* content; of a pattern: paths, each with its NUL. Owned; a NUL behind n */
    size_t n;
    dev_t dev; /* of a file */
    ino_t ino;
    bool list; /* of a pattern */
    struct input *next;
};

struct inputs;

struct inputs *inputs_new(void);
struct inputs *inputs_get(struct inputs *in);
void inputs_put(struct inputs **in);
/* A copy in which a file that was read has this content instead. */
struct inputs *inputs_with(const struct inputs *in, const char *path, struct slice content);

/* The whole of a regular file: as it was at the first call. NULL with errno. Borrowed. */
const struct input *input_file(struct inputs *all, const char *path);
/* Paths that match a pattern, sorted. NULL: it cannot be listed. Borrowed. */
const struct input *input_list(struct inputs *all, const char *pattern);
/* A copy of the bytes with a NUL behind them; to be freed. */
char *input_copy(const struct input *in);

#endif
