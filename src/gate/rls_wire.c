/* SPDX-License-Identifier: BSD-2-Clause */
#include "gate/rls_wire.h"

#include "base/clock.h"
#include "transcode/wire.h"

/* --- reading --- */

static const char malformed[] = "the message is malformed";

static bool entry_read(struct slice message, struct rls_entry *e)
{
    struct wire w = wire_of(message);
    uint32_t number;
    unsigned type;

    *e = (struct rls_entry){0};
    while (w.p < w.end) {
        bool ok = wire_tag(&w, &number, &type);
        if (ok && type == WIRE_LEN && (number == 1 || number == 2))
            ok = wire_bytes(&w, number == 1 ? &e->key : &e->value);
        else
            ok = ok && wire_skip(&w, number, type);
        if (!ok)
            return false;
    }
    return true;
}

/* google.protobuf.UInt64Value. */
static bool value_read(struct slice message, uint64_t *out)
{
    struct wire w = wire_of(message);
    uint32_t number;
    unsigned type;

    *out = 0;
    while (w.p < w.end)
        if (!wire_tag(&w, &number, &type) ||
            !(number == 1 && type == WIRE_VARINT ? wire_varint(&w, out)
                                                 : wire_skip(&w, number, type)))
            return false;
    return true;
}

/* A descriptor on its way. */
struct descriptor_state {
    struct rls_descriptor *d;
    bool hits_set;
    uint64_t negative;
};

static const char *descriptor_field(struct wire *w, uint32_t number, unsigned type,
                                    struct descriptor_state *s)
{
    struct slice part;

    if (number == 4 && type == WIRE_VARINT)
        return wire_varint(w, &s->negative) ? NULL : malformed;
    if (type != WIRE_LEN || (number != 1 && number != 3))
        return wire_skip(w, number, type) ? NULL : malformed;
    if (!wire_bytes(w, &part))
        return malformed;
    if (number == 3) {
        s->hits_set = true;
        return value_read(part, &s->d->hits) ? NULL : malformed;
    }
    if (s->d->n == RLS_ENTRIES)
        return "a descriptor has more than 16 entries";
    return entry_read(part, &s->d->entry[s->d->n++]) ? NULL : malformed;
}

/* Without hits of its own it gets UINT64_MAX: those of the request, which may come later. */
static const char *descriptor_read(struct slice message, struct rls_descriptor *d)
{
    struct descriptor_state s = {.d = d};
    struct wire w = wire_of(message);
    const char *why = NULL;
    uint32_t number;
    unsigned type;

    d->n = 0;
    d->hits = UINT64_MAX;
    while (w.p < w.end && why == NULL)
        why = wire_tag(&w, &number, &type) ? descriptor_field(&w, number, type, &s) : malformed;
    if (why != NULL)
        return why;
    if (d->n == 0)
        return "a descriptor has no entries";
    if (s.negative != 0)
        d->hits = 0;
    else if (s.hits_set && d->hits > UINT32_MAX)
        return "hits_addend of a descriptor is too large";
    return NULL;
}

static const char *request_field(struct wire *w, uint32_t number, unsigned type,
                                 struct rls_request *r, uint64_t *hits)
{
    struct slice part;

    if (number == 3 && type == WIRE_VARINT)
        return wire_varint(w, hits) ? NULL : malformed;
    if (type != WIRE_LEN || (number != 1 && number != 2))
        return wire_skip(w, number, type) ? NULL : malformed;
    if (!wire_bytes(w, number == 1 ? &r->domain : &part))
        return malformed;
    if (number == 1)
        return NULL;
    if (r->n == RLS_DESCRIPTORS)
        return "more than 16 descriptors";
    return descriptor_read(part, &r->descriptor[r->n++]);
}

const char *rls_request_read(struct slice message, struct rls_request *r)
{
    struct wire w = wire_of(message);
    const char *why = NULL;
    uint64_t hits = 0;
    uint32_t number;
    unsigned type;

    r->domain = SLICE_NONE;
    r->n = 0;
    while (w.p < w.end && why == NULL)
        why = wire_tag(&w, &number, &type) ? request_field(&w, number, type, r, &hits) : malformed;
    if (why != NULL)
        return why;
    if (r->domain.n == 0)
        return "the domain is empty";
    if (r->n == 0)
        return "there are no descriptors";
    hits = (uint32_t)hits == 0 ? 1 : (uint32_t)hits;
    for (unsigned i = 0; i < r->n; i++)
        if (r->descriptor[i].hits == UINT64_MAX)
            r->descriptor[i].hits = hits;
    return NULL;
}

/* --- writing --- */

/* Submessages are written behind their length, which is one byte where they are short. */
struct piece {
    char bytes[128];
    char *p;
};

static void piece_init(struct piece *m)
{
    m->p = m->bytes;
}

/* proto3: a zero is not written. */
static void put_number(struct piece *m, unsigned field, uint64_t v)
{
    if (v == 0)
        return;
    *m->p++ = (char)(field << 3 | WIRE_VARINT);
    m->p = varint_put(m->p, v);
}

static void put_bytes(struct piece *m, unsigned field, struct slice s)
{
    if (s.n > 48)
        s.n = 48; /* names are not longer (schema.def) */
    *m->p++ = (char)(field << 3 | WIRE_LEN);
    m->p = varint_put(m->p, s.n);
    memcpy(m->p, s.p, s.n);
    m->p += s.n;
}

static struct slice piece_view(const struct piece *m)
{
    return slice_of(m->bytes, (size_t)(m->p - m->bytes));
}

static void append(struct buf *out, unsigned field, const struct piece *m)
{
    char head[1 + WIRE_VARINT_MAX], *end;

    head[0] = (char)(field << 3 | WIRE_LEN);
    end = varint_put(head + 1, (uint64_t)(m->p - m->bytes));
    buf_add(out, head, (size_t)(end - head));
    buf_slice(out, piece_view(m));
}

/* The shortest unit in which the rate is a whole number, else the shortest with at least one. */
static void put_rate(struct piece *m, uint64_t tokens, uint64_t period_ns)
{
    static const uint64_t seconds[] = {1, 60, 3600, 86400, 30 * 86400, 365 * 86400};
    unsigned least = 0;

    for (unsigned unit = 1; unit <= 6; unit++) {
        unsigned __int128 n = (unsigned __int128)tokens * seconds[unit - 1] * NS_PER_S;
        if (n >= period_ns && least == 0)
            least = unit;
        if (n >= period_ns && n % period_ns == 0 && n / period_ns <= UINT32_MAX) {
            least = unit;
            break;
        }
    }
    if (least == 0)
        return;
    put_number(m, 1,
               (uint64_t)((unsigned __int128)tokens * seconds[least - 1] * NS_PER_S / period_ns));
    put_number(m, 2, least);
}

static void put_limit(struct piece *m, const struct rls_status *s)
{
    struct piece limit, reset;

    piece_init(&limit);
    put_rate(&limit, s->tokens, s->period_ns);
    put_bytes(&limit, 3, s->limit);
    *m->p++ = 2 << 3 | WIRE_LEN;
    m->p = varint_put(m->p, piece_view(&limit).n);
    memcpy(m->p, limit.bytes, piece_view(&limit).n);
    m->p += piece_view(&limit).n;
    put_number(m, 3, s->remaining < UINT32_MAX ? s->remaining : UINT32_MAX);
    piece_init(&reset);
    put_number(&reset, 1, s->reset_ns / NS_PER_S);
    put_number(&reset, 2, s->reset_ns % NS_PER_S);
    put_bytes(m, 4, piece_view(&reset));
}

void rls_response_write(enum rls_code overall, const struct rls_status *status, unsigned n,
                        uint32_t retry_after_s, struct buf *out)
{
    struct piece m;
    char digits[24];

    buf_clear(out);
    piece_init(&m);
    put_number(&m, 1, overall);
    buf_slice(out, piece_view(&m));
    for (unsigned i = 0; i < n; i++) {
        piece_init(&m);
        put_number(&m, 1, status[i].code);
        if (status[i].limit.n > 0)
            put_limit(&m, &status[i]);
        append(out, 2, &m);
    }
    if (retry_after_s == 0)
        return;
    piece_init(&m);
    put_bytes(&m, 1, SLICE_LIT("retry-after"));
    put_bytes(&m, 2, slice_of(digits, fmt_u64(digits, retry_after_s)));
    append(out, 3, &m);
}
