/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The protobuf wire format: varints, tags, fixed-size values, and a cursor that reads them with
 * every bound checked. Nothing here knows what a field means.
 */
#ifndef TRANSCODE_WIRE_H
#define TRANSCODE_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_LEN = 2,
    WIRE_GROUP = 3,
    WIRE_GROUP_END = 4,
    WIRE_FIXED32 = 5,
};

#define WIRE_VARINT_MAX 10
#define WIRE_NUMBER_MAX ((UINT32_C(1) << 29) - 1)
/* Unknown groups may nest so deep before the message counts as broken. */
#define WIRE_GROUP_DEPTH 64

static inline unsigned varint_len(uint64_t v)
{
    unsigned bits = 64u - (unsigned)__builtin_clzll(v | 1);
    return (bits + 6) / 7;
}

/* Writes at most WIRE_VARINT_MAX bytes; returns where the next byte goes. */
static inline char *varint_put(char *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (char)(v | 0x80);
        v >>= 7;
    }
    *p++ = (char)v;
    return p;
}

static inline char *fixed32_put(char *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        *p++ = (char)(v >> (8 * i));
    return p;
}

static inline char *fixed64_put(char *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        *p++ = (char)(v >> (8 * i));
    return p;
}

static inline uint64_t zigzag_put(int64_t v)
{
    return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}

static inline int64_t zigzag_get(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* What is left to read. */
struct wire {
    const unsigned char *p, *end;
};

static inline struct wire wire_of(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    return (struct wire){p, s.n ? p + s.n : p};
}

bool wire_varint_slow(struct wire *w, uint64_t *v);

static inline bool wire_varint(struct wire *w, uint64_t *v)
{
    if (w->p < w->end && *w->p < 0x80) {
        *v = *w->p++;
        return true;
    }
    return wire_varint_slow(w, v);
}

static inline bool wire_fixed32(struct wire *w, uint32_t *v)
{
    if (w->end - w->p < 4)
        return false;
    *v = w->p[0] | (uint32_t)w->p[1] << 8 | (uint32_t)w->p[2] << 16 | (uint32_t)w->p[3] << 24;
    w->p += 4;
    return true;
}

static inline bool wire_fixed64(struct wire *w, uint64_t *v)
{
    uint32_t lo, hi;

    if (!wire_fixed32(w, &lo) || !wire_fixed32(w, &hi))
        return false;
    *v = lo | (uint64_t)hi << 32;
    return true;
}

static inline bool wire_bytes(struct wire *w, struct slice *out)
{
    uint64_t n;

    if (!wire_varint(w, &n) || n > (uint64_t)(w->end - w->p))
        return false;
    *out = slice_of((const char *)w->p, (size_t)n);
    w->p += n;
    return true;
}

static inline bool wire_tag(struct wire *w, uint32_t *number, unsigned *type)
{
    uint64_t tag;

    if (!wire_varint(w, &tag) || tag > UINT32_MAX || tag < 8)
        return false;
    *number = (uint32_t)(tag >> 3);
    *type = tag & 7;
    return true;
}

bool wire_skip_slow(struct wire *w, uint32_t number, unsigned type);

/* Passes over the value of a field whose tag was just read; groups with all they hold. */
static inline bool wire_skip(struct wire *w, uint32_t number, unsigned type)
{
    struct slice bytes;
    uint64_t v;

    if (type == WIRE_LEN)
        return wire_bytes(w, &bytes);
    if (type == WIRE_VARINT)
        return wire_varint(w, &v);
    return wire_skip_slow(w, number, type);
}

#endif
