/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes a value into the file that a setting comes from, leaving everything else in it as it is:
 * comments, order, layout. A value that is there is replaced in its place; one that is not gets a
 * line beside its neighbours.
 *
 * Nothing is written unless the result, loaded, is what the running configuration would be with the
 * value, and nothing else. The file is replaced as a whole, with its owner and mode.
 */
#ifndef CONF_SAVE_H
#define CONF_SAVE_H

#include "base/buf.h"

struct conf;

/*
 * base: as it was loaded, without runtime changes. Returns the configuration of the files as they
 * are now, *where being "FILE:LINE"; NULL with a message in why and perhaps in hint what to write
 * by hand. Blocks for a write and an fsync.
 */
struct conf *conf_save(const struct conf *base, const char *path, const char *value,
                       struct buf *where, struct buf *why, struct buf *hint)
    __attribute__((warn_unused_result));

#endif
