/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The access ring. A record is a fixed part, then its strings one after the other, padded to 8
 * bytes:
 *
 *   | mark, bytes | times, numbers, peer | length of each string | strings ... | pad |
 *
 * Positions count bytes for ever; modulo RING_BYTES they are places in data, and a record may wrap
 * around the end. The consumer believes nothing: the producer may have a bug, or not be ours.
 */
#include "metric/access_ring.h"

#include <string.h>

#define RECORD_MARK UINT32_C(0x31636552) /* "Rec1" */
#define RING_MASK   ((uint64_t)RING_BYTES - 1)
#define STRINGS     8u

_Static_assert((RING_BYTES & (RING_BYTES - 1)) == 0, "a power of two");

/* Longest a string may be in the ring; longer ones are cut. */
enum { ROUTE_MAX = 64, REASON_MAX = 64, TARGET_MAX = 512, IDENTITY_MAX = 256, ID_MAX = 128 };
enum { TRACE_MAX = 32, AGENT_MAX = 128, ARM_MAX = 64 };
static const uint16_t string_max[STRINGS] = {ROUTE_MAX, REASON_MAX, TARGET_MAX, IDENTITY_MAX,
                                             ID_MAX,    TRACE_MAX,  AGENT_MAX,  ARM_MAX};
#define STRINGS_BYTES                                                                              \
    (ROUTE_MAX + REASON_MAX + TARGET_MAX + IDENTITY_MAX + ID_MAX + TRACE_MAX + AGENT_MAX + ARM_MAX)
_Static_assert(STRINGS_BYTES <= ACCESS_SCRATCH_BYTES, "the consumer's scratch holds all strings");

struct wire {
    uint32_t mark, bytes; /* bytes: of the whole record, a multiple of 8 */
    uint64_t real_ns, duration_ns, upstream_ns, bytes_in, bytes_out, generation;
    uint8_t peer[16];
    uint16_t peer_port, status;
    uint8_t method, minor;
    uint16_t len[STRINGS];
    uint8_t pad[2];
};
_Static_assert(sizeof(struct wire) == 96, "no hidden padding");

static uint32_t record_bytes(uint32_t strings)
{
    return ((uint32_t)sizeof(struct wire) + strings + 7) & ~7u;
}

/* Copies n bytes to position pos; returns the position behind them. */
static uint64_t copy_in(struct access_ring *r, uint64_t pos, const void *p, size_t n)
{
    size_t at = pos & RING_MASK, first = RING_BYTES - at;

    if (n <= first) {
        memcpy(r->data + at, p, n);
    } else {
        memcpy(r->data + at, p, first);
        memcpy(r->data, (const char *)p + first, n - first);
    }
    return pos + n;
}

static void copy_out(const struct access_ring *r, uint64_t pos, void *p, size_t n)
{
    size_t at = pos & RING_MASK, first = RING_BYTES - at;

    if (n <= first) {
        memcpy(p, r->data + at, n);
    } else {
        memcpy(p, r->data + at, first);
        memcpy((char *)p + first, r->data, n - first);
    }
}

static void to_wire(struct wire *w, const struct access_record *rec, struct slice strings[STRINGS])
{
    uint32_t total = 0;

    *w = (struct wire){.mark = RECORD_MARK,
                       .real_ns = rec->real_ns,
                       .duration_ns = rec->duration_ns,
                       .upstream_ns = rec->upstream_ns,
                       .bytes_in = rec->bytes_in,
                       .bytes_out = rec->bytes_out,
                       .generation = rec->generation,
                       .peer_port = rec->peer_port,
                       .status = rec->status,
                       .method = rec->method,
                       .minor = rec->minor};
    memcpy(w->peer, rec->peer, sizeof w->peer);
    strings[0] = rec->route;
    strings[1] = rec->reason;
    strings[2] = rec->target;
    strings[3] = rec->identity;
    strings[4] = rec->request_id;
    strings[5] = rec->trace_id;
    strings[6] = rec->user_agent;
    strings[7] = rec->arm;
    for (unsigned i = 0; i < STRINGS; i++) {
        w->len[i] = strings[i].n < string_max[i] ? (uint16_t)strings[i].n : string_max[i];
        total += w->len[i];
    }
    w->bytes = record_bytes(total);
}

bool access_ring_put(struct access_ring *r, const struct access_record *rec)
{
    /* Only this process writes head. The acquire load pairs with the consumer's release of tail:
     * what it has read may be overwritten. */
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    uint64_t used = head - atomic_load_explicit(&r->tail, memory_order_acquire);
    struct slice strings[STRINGS];
    struct wire w;
    uint64_t pos;

    to_wire(&w, rec, strings);
    if (used > RING_BYTES || RING_BYTES - used < w.bytes)
        return false;
    pos = copy_in(r, head, &w, sizeof w);
    for (unsigned i = 0; i < STRINGS; i++)
        if (w.len[i] > 0)
            pos = copy_in(r, pos, strings[i].p, w.len[i]);
    /* The record becomes visible; pairs with the acquire load in access_ring_take. */
    atomic_store_explicit(&r->head, head + w.bytes, memory_order_release);
    return true;
}

/* Reads and checks the fixed part of the record at tail, of which `there` bytes exist. */
static bool wire_valid(const struct wire *w, uint64_t there)
{
    uint32_t total = 0;

    if (w->mark != RECORD_MARK || w->bytes > there)
        return false;
    for (unsigned i = 0; i < STRINGS; i++) {
        if (w->len[i] > string_max[i])
            return false;
        total += w->len[i];
    }
    return w->bytes == record_bytes(total);
}

static void from_wire(struct access_record *rec, const struct wire *w, const char *scratch)
{
    struct slice *const strings[STRINGS] = {&rec->route,      &rec->reason,     &rec->target,
                                            &rec->identity,   &rec->request_id, &rec->trace_id,
                                            &rec->user_agent, &rec->arm};

    rec->real_ns = w->real_ns;
    rec->duration_ns = w->duration_ns;
    rec->upstream_ns = w->upstream_ns;
    rec->bytes_in = w->bytes_in;
    rec->bytes_out = w->bytes_out;
    rec->generation = w->generation;
    memcpy(rec->peer, w->peer, sizeof rec->peer);
    rec->peer_port = w->peer_port;
    rec->status = w->status;
    rec->method = w->method;
    rec->minor = w->minor;
    for (unsigned i = 0; i < STRINGS; i++) {
        *strings[i] = slice_of(scratch, w->len[i]);
        scratch += w->len[i];
    }
}

bool access_ring_take(struct access_ring *r, struct access_record *rec, char *scratch,
                      uint64_t *bad)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    /* Pairs with the release store in access_ring_put: the record's bytes are there. */
    uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    uint64_t there = head - tail;
    struct wire w;
    size_t strings = 0;

    if (there == 0)
        return false;
    if (there >= sizeof w && there <= RING_BYTES)
        copy_out(r, tail, &w, sizeof w);
    else
        w.mark = 0;
    if (w.mark == 0 || !wire_valid(&w, there)) {
        (*bad)++;
        /* As below, of bytes that nobody wants. */
        atomic_store_explicit(&r->tail, head, memory_order_release);
        return false;
    }
    for (unsigned i = 0; i < STRINGS; i++)
        strings += w.len[i];
    copy_out(r, tail + sizeof w, scratch, strings);
    from_wire(rec, &w, scratch);
    /* The bytes are ours now; pairs with the acquire load in access_ring_put. */
    atomic_store_explicit(&r->tail, tail + w.bytes, memory_order_release);
    return true;
}
