/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of rushctl(1) that commands.def, columns.def and errors.def determine, as roff.
 * docs/rushctl.1 holds it between two marks; a unit test compares, and `rushctl __manual` prints
 * what belongs there.
 */
#ifndef CTL_MANUAL_H
#define CTL_MANUAL_H

#include "base/buf.h"
#include "ctl/commands.h"

void manual_commands(struct buf *out);

/* The table that a command shows: "workers"; NULL: none. */
const char *manual_view(enum ctl_command_id id);
/* Every column of a table; `when` is "" or says when it is there: " (with --watch)". */
typedef void manual_column_fn(void *arg, const char *heading, const char *field, const char *help,
                              const char *when);
void manual_legend(const char *view, manual_column_fn *each, void *arg);

#endif
