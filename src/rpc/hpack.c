/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/hpack.h"

#include <nghttp2/nghttp2.h>

#define STATIC_ENTRIES 61u
#define ENTRY_OVERHEAD 32u /* RFC 7541, 4.1 */

/* First bytes of the representations (RFC 7541, 6), and how many bits of an index they hold. */
enum { INDEXED = 0x80, INDEXED_BITS = 7 };
enum { ADDED = 0x40, ADDED_BITS = 6 };
enum { NEVER = 0x10, NEVER_BITS = 4 };

void hpack_fini(struct hpack *h)
{
    buf_free(&h->text);
    *h = (struct hpack){0};
}

void hpack_resized(struct hpack *h, struct slice updates)
{
    static const struct slice same = {"\x3f\xe1\x1f", 3}; /* a size of 4,096 (RFC 7541, 6.3) */

    if (updates.n > 0 && !slice_eq(updates, same))
        h->off = true;
}

#define INT_MAX_BYTES 11u

/* RFC 7541, 5.1. Returns where the next byte goes. */
static inline char *put_int(char *p, unsigned first, unsigned bits, size_t v)
{
    unsigned max = (1u << bits) - 1;

    if (v < max) {
        *p++ = (char)(first | v);
        return p;
    }
    *p++ = (char)(first | max);
    for (v -= max; v >= 0x80; v >>= 7)
        *p++ = (char)(v | 0x80);
    *p++ = (char)v;
    return p;
}

/* As it is, not Huffman-coded: what that saves in bytes both sides pay for in time. */
static inline char *put_string(char *p, struct slice s)
{
    p = put_int(p, 0, 7, s.n);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return p + s.n;
}

/* Names of ours that the static table has; 0: it does not. */
static unsigned static_name(struct slice name)
{
    static const struct {
        struct slice name;
        unsigned index;
    } known[] = {{{":authority", 10}, 1},
                 {{":path", 5}, 4},
                 {{":status", 7}, 8},
                 {{"content-type", 12}, 31}};

    for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++)
        if (slice_eq(name, known[i].name))
            return known[i].index;
    return 0;
}

static unsigned index_of(const struct hpack *h, unsigned entry)
{
    return STATIC_ENTRIES + h->n - entry;
}

static bool has_name(const struct hpack *h, unsigned i, struct slice name)
{
    return h->entry[i].name_n == name.n && memcmp(h->text.p + h->entry[i].at, name.p, name.n) == 0;
}

static bool has_value(const struct hpack *h, unsigned i, struct slice value)
{
    const char *at = h->text.p + h->entry[i].at + h->entry[i].name_n;

    return h->entry[i].value_n == value.n && (value.n == 0 || memcmp(at, value.p, value.n) == 0);
}

static void put_literal(struct buf *out, unsigned first, unsigned bits, unsigned name_index,
                        struct slice name, struct slice value)
{
    char *p;

    if (!buf_reserve(out, 3 * INT_MAX_BYTES + name.n + value.n))
        return;
    p = put_int(out->p + out->n, first, bits, name_index);
    if (name_index == 0)
        p = put_string(p, name);
    p = put_string(p, value);
    out->n = (size_t)(p - out->p);
}

/* Writes the index of an entry that is the whole field. */
static void put_entry(struct hpack *h, struct buf *out, unsigned i)
{
    h->next = i + 1;
    if (buf_reserve(out, INT_MAX_BYTES))
        out->n = (size_t)(put_int(out->p + out->n, INDEXED, INDEXED_BITS, index_of(h, i)) - out->p);
}

static bool is_next(const struct hpack *h, struct slice name)
{
    return h->next < h->n && !h->off && has_name(h, h->next, name);
}

static bool add_entry(struct hpack *h, struct slice name, struct slice value)
{
    size_t bytes = name.n + value.n + ENTRY_OVERHEAD;

    if (h->off || h->n == HPACK_ENTRIES || bytes > HPACK_TABLE_BYTES - h->bytes ||
        !buf_reserve(&h->text, name.n + value.n))
        return false;
    h->entry[h->n].at = (uint32_t)h->text.n;
    h->entry[h->n].name_n = (uint16_t)name.n;
    h->entry[h->n].value_n = (uint16_t)value.n;
    buf_slice(&h->text, name);
    buf_slice(&h->text, value);
    h->bytes += (uint32_t)bytes;
    h->next = ++h->n;
    return true;
}

/* Into the table if there is room. name_index is as it was before. */
static void put_new(struct hpack *h, struct buf *out, unsigned name_index, struct slice name,
                    struct slice value)
{
    if (name_index == 0)
        name_index = static_name(name);
    if (add_entry(h, name, value))
        put_literal(out, ADDED, ADDED_BITS, name_index, name, value);
    else
        put_literal(out, NEVER, NEVER_BITS, name_index, name, value);
}

void hpack_again(struct hpack *h, struct buf *out, struct slice name, struct slice value)
{
    unsigned index = 0, values = 0;

    if (is_next(h, name) && has_value(h, h->next, value)) {
        put_entry(h, out, h->next);
        return;
    }
    for (unsigned i = 0; i < h->n && !h->off; i++) {
        if (!has_name(h, i, name))
            continue;
        index = index_of(h, i);
        if (has_value(h, i, value)) {
            put_entry(h, out, i);
            return;
        }
        values++;
    }
    if (values < HPACK_VALUES)
        put_new(h, out, index, name, value);
    else
        put_literal(out, NEVER, NEVER_BITS, index, name, value);
}

void hpack_once(struct hpack *h, struct buf *out, struct slice name, struct slice value)
{
    for (unsigned i = is_next(h, name) ? h->next : 0; i < h->n && !h->off; i++)
        if (has_name(h, i, name)) {
            h->next = i + 1;
            put_literal(out, NEVER, NEVER_BITS, index_of(h, i), name, value);
            return;
        }
    /* The entry is there for its name; a client's long value would fill the table for good. */
    if (value.n <= HPACK_ONCE_BYTES)
        put_new(h, out, 0, name, value);
    else
        put_literal(out, NEVER, NEVER_BITS, static_name(name), name, value);
}

static void put_frame(struct buf *out, unsigned type, unsigned flags, uint32_t stream,
                      struct slice part)
{
    const char head[HPACK_FRAME_HEAD] = {
        (char)(part.n >> 16), (char)(part.n >> 8),  (char)part.n,        (char)type,   (char)flags,
        (char)(stream >> 24), (char)(stream >> 16), (char)(stream >> 8), (char)stream,
    };

    buf_add(out, head, sizeof head);
    buf_slice(out, part);
}

void hpack_frames(struct buf *out, uint32_t stream, bool end_stream, struct slice block)
{
    unsigned type = NGHTTP2_HEADERS, flags = end_stream ? NGHTTP2_FLAG_END_STREAM : 0;

    while (block.n > HPACK_FRAME_MAX) {
        put_frame(out, type, flags, stream, slice_of(block.p, HPACK_FRAME_MAX));
        block = slice_of(block.p + HPACK_FRAME_MAX, block.n - HPACK_FRAME_MAX);
        type = NGHTTP2_CONTINUATION;
        flags = 0;
    }
    put_frame(out, type, flags | NGHTTP2_FLAG_END_HEADERS, stream, block);
}
