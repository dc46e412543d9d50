/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runtime changes: values that stand over those of the files until they expire or are reverted. A
 * configuration with them is derived from one that was loaded, out of the same bytes and addresses;
 * nothing is read again.
 *
 *   the file says                 rate: 10/s
 *   runtime change 3 says         limits.per_buyer.rate = 8/10s      in force
 *   derived without change 3      10/s                               as if it had never been
 *
 * What may be changed so is what a reload applies: scalars, and lists of scalars as a whole.
 */
#ifndef CONF_OVERLAY_H
#define CONF_OVERLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct conf;

struct conf_runtime_value {
    uint32_t id;            /* its name in messages: "runtime change 3" */
    const char *path;       /* as `show config` prints it: "limits.per_buyer.rate" */
    const char *value;      /* as a file has it, but without variables; lists as "a, b" */
    uint64_t until_real_ns; /* only for `show config --origin`; 0: until reverted */
};

struct conf_overlay {
    const struct conf_runtime_value *all; /* no two of one path */
    unsigned n;
};

/*
 * The configuration that base was loaded as, with these changes over it and no others (NULL: none).
 * NULL with errors as conf_load has them, whose place is "runtime change ID" where one of these is
 * wrong.
 */
struct conf *conf_derive(const struct conf *base, const struct conf_overlay *overlay,
                         struct buf *errors) __attribute__((warn_unused_result));

enum conf_changeable {
    CONF_CHANGEABLE,
    CONF_NO_SETTING, /* there is none of that path */
    CONF_FIXED,      /* there is, but only the file can change it */
};

/* Whether a runtime change may set it; else a message in why and perhaps advice in hint. */
enum conf_changeable conf_changeable(const struct conf *c, const char *path, struct buf *why,
                                     struct buf *hint);

/* Appends the value in force as `show config` prints it. False: there is no such setting. */
bool conf_value(const struct conf *c, const char *path, struct buf *out);

#endif
