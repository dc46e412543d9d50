/* SPDX-License-Identifier: BSD-2-Clause */
/* The slow paths of reading the wire format: long varints, skipping what is unknown. */
#include "transcode/wire.h"

bool wire_varint_slow(struct wire *w, uint64_t *v)
{
    uint64_t out = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (w->p == w->end)
            return false;
        unsigned char c = *w->p++;
        /* The tenth byte has room for one bit. */
        if (shift == 63 && c > 1)
            return false;
        out |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80) {
            *v = out;
            return true;
        }
    }
    return false;
}

static bool skip_plain(struct wire *w, unsigned type)
{
    struct slice bytes;
    uint64_t v;
    uint32_t v32;

    switch (type) {
    case WIRE_VARINT:
        return wire_varint(w, &v);
    case WIRE_FIXED64:
        return wire_fixed64(w, &v);
    case WIRE_LEN:
        return wire_bytes(w, &bytes);
    case WIRE_FIXED32:
        return wire_fixed32(w, &v32);
    default:
        return false;
    }
}

bool wire_skip_slow(struct wire *w, uint32_t number, unsigned type)
{
    uint32_t open[WIRE_GROUP_DEPTH];
    unsigned depth = 0;

    if (type != WIRE_GROUP)
        return skip_plain(w, type);
    open[depth++] = number;
    while (depth > 0) {
        if (!wire_tag(w, &number, &type))
            return false;
        if (type == WIRE_GROUP) {
            if (depth == WIRE_GROUP_DEPTH)
                return false;
            open[depth++] = number;
        } else if (type == WIRE_GROUP_END) {
            if (open[--depth] != number)
                return false;
        } else if (!skip_plain(w, type)) {
            return false;
        }
    }
    return true;
}
