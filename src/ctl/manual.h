/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of rushctl(1) that commands.def and errors.def determine, as roff. docs/rushctl.1 holds
 * it between two marks; a unit test compares, and `rushctl __manual` prints what belongs there.
 */
#ifndef CTL_MANUAL_H
#define CTL_MANUAL_H

#include "base/buf.h"

void manual_commands(struct buf *out);

#endif
