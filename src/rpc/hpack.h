/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Header blocks of the calls and answers that we send (HPACK, RFC 7541).
 *
 * nghttp2 runs the connection and reads what comes; of what we send it is given no headers, and the
 * block that it left empty is filled here. Its encoder looks every field up by a hash of its
 * name and Huffman-codes every value, which for the metadata of a call, of which no value comes
 * twice, was a fifth of all that the gateway does for a purchase.
 *
 * The dynamic table only fills: nothing is added once it has 4,096 bytes, so nothing is ever
 * evicted, and the index of an entry is told by how many came after it. That is the table that
 * every peer has until its SETTINGS say otherwise; nghttp2 then writes the change into the next
 * block, and if it is anything but 4,096 again, the peer gets literals from there on.
 *
 *   index   1 ... 61 static | 62 the newest entry ... 61 + n the oldest
 */
#ifndef RPC_HPACK_H
#define RPC_HPACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define HPACK_TABLE_BYTES 4096u
#define HPACK_ENTRIES     64u
#define HPACK_VALUES      24u  /* entries of one name */
#define HPACK_ONCE_BYTES  128u /* a value that does not come again is no longer in an entry */

struct hpack {
    struct buf text; /* names and values of the entries */
    struct {
        uint32_t at; /* in text: the name, behind it the value */
        uint16_t name_n, value_n;
    } entry[HPACK_ENTRIES];
    unsigned n;
    unsigned next;  /* an entry: a block has its fields in the order of the one before, as a rule */
    uint32_t bytes; /* as RFC 7541, 4.1 counts them */
    bool off;       /* the peer's table is another one: no entry is referred to any more */
};

/* {0} begins. */
void hpack_fini(struct hpack *h);

/* Before the fields of a block: what nghttp2 has put in front of them, "" as a rule. */
void hpack_resized(struct hpack *h, struct slice updates);

/* A field that is likely to come again as it is. */
void hpack_again(struct hpack *h, struct buf *out, struct slice name, struct slice value);
/* A field whose value is not: only its name is referred to. Of a name's first one that is short the
 * value is in the table with it, and never referred to. */
void hpack_once(struct hpack *h, struct buf *out, struct slice name, struct slice value);

/* A field of the static table, name and value. */
static inline void hpack_static(struct buf *out, unsigned index)
{
    buf_char(out, (char)(0x80 | index));
}
#define HPACK_METHOD_POST 3u
#define HPACK_SCHEME_HTTP 6u
#define HPACK_STATUS_200  8u

#define HPACK_FRAME_HEAD 9u
#define HPACK_FRAME_MAX  16384u /* what every peer takes */

/* The block as a HEADERS frame of the stream, with CONTINUATION frames behind it where it is long.
 * end_stream: no body follows. */
void hpack_frames(struct buf *out, uint32_t stream, bool end_stream, struct slice block);

#endif
