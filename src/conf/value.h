/* SPDX-License-Identifier: BSD-2-Clause */
/* One scalar: `${VAR}` replaced, read by the type of its setting, written back. */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include "conf/compiled.h"
#include "conf/schema.h"

struct value {
    int64_t num;           /* of numbers, booleans (0, 1), words (their index) */
    struct conf_cidr cidr; /* T_CIDR */
    uint64_t period_ns;    /* T_RATE: num tokens in this time */
    const char *name; /* T_KEY: NAME or VAR, the rest of the text that was parsed (which ends in a
                         NUL, as texts of files do); NULL: none */
    size_t at;        /* after a failure: the byte it is about */
};

/* Appends text with its variables replaced. False with a message in why, *at the byte it is about.
 */
bool value_expand(struct slice text, struct buf *out, size_t *at, struct buf *why);

/* Reads a scalar of a setting (an element, when it is a list). False with a message in why. */
bool value_parse(enum setting_id id, struct slice text, struct value *out, struct buf *why);

/* A number the way a file would have it: "64k", "1500ms". */
void value_format(int type, int64_t num, struct buf *out);

/* "between 256 and 64k" */
void value_format_range(enum setting_id id, struct buf *out);

/* "host:port" or "[v6]:port" into its parts, brackets removed. */
bool value_host_port(struct slice text, struct slice *host, uint16_t *port);

#endif
