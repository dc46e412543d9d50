/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Printing a reply: what pb_to_json.c, scalar_out.c and known_out.c share. Every function returns
 * false when the bytes are not a valid message; what was written until then is dropped by
 * transcode_reply.
 */
#ifndef TRANSCODE_DECODE_H
#define TRANSCODE_DECODE_H

#include "base/buf.h"
#include "transcode/schema.h"
#include "transcode/schema_layout.h"
#include "transcode/wire.h"

/* protobuf's own limit for messages within messages. */
#define REPLY_DEPTH_MAX 100

struct printer {
    const struct schema_root *root;
    struct buf *out;
};

/* One value as read from the wire: bits, or bytes for WIRE_LEN. */
struct wire_value {
    uint64_t bits;
    struct slice bytes;
};

/* The value behind a tag of that type; groups have none. */
static inline bool wire_value(struct wire *w, unsigned type, struct wire_value *v)
{
    uint32_t v32;

    if (type == WIRE_LEN)
        return wire_bytes(w, &v->bytes);
    if (type == WIRE_VARINT)
        return wire_varint(w, &v->bits);
    if (type == WIRE_FIXED64)
        return wire_fixed64(w, &v->bits);
    if (type != WIRE_FIXED32 || !wire_fixed32(w, &v32))
        return false;
    v->bits = v32;
    return true;
}

/* Fields 1 and 2 of a small message, the last of each; zero where one is missing. */
bool wire_pair(struct slice bytes, unsigned type_one, unsigned type_two, struct wire_value *one,
               struct wire_value *two);

/* scalar_out.c: anything but a message. */
bool print_scalar(struct printer *d, const struct schema_field *f, const struct wire_value *v);
bool print_string(struct buf *out, struct slice s);
/* As a member name: always in quotes. */
bool print_map_key(struct printer *d, const struct schema_field *f, const struct wire_value *v);

/* pb_to_json.c */
bool print_object(struct printer *d, const struct schema_msg *m, struct slice bytes,
                  unsigned depth);
/* The members without braces; each one starts with a comma unless *first. */
bool print_members(struct printer *d, const struct schema_msg *m, struct slice bytes,
                   unsigned depth, bool *first);
/* All entries of a map field in bytes, which are not checked yet, with braces. */
bool print_map(struct printer *d, const struct schema_field *f, struct slice bytes, unsigned depth);

/* known_out.c */
bool print_known(struct printer *d, const struct schema_msg *m, struct slice bytes, unsigned depth);

#endif
