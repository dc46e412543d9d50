/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Request ids and W3C Trace Context (https://www.w3.org/TR/trace-context/): passed on when
 * well-formed, started otherwise. The ids need to be unique, not secret.
 */
#include "base/buf.h"
#include "base/hash.h"
#include "gate/request.h"

#define REQUEST_ID_MAX  128
#define TRACEPARENT_LEN 55 /* 00-<32 hex>-<16 hex>-<2 hex> */

/* Lower-case hex, not all zero. */
static bool is_id(const char *p, size_t n)
{
    bool zero = true;

    for (size_t i = 0; i < n; i++) {
        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
            return false;
        zero &= p[i] == '0';
    }
    return !zero;
}

static bool is_hex2(const char *p)
{
    return is_id(p, 2) || (p[0] == '0' && p[1] == '0');
}

/* Version 00, or a later one that starts alike; ff is forbidden. */
static bool traceparent_ok(struct slice t)
{
    if (t.n < TRACEPARENT_LEN || !is_hex2(t.p) || (t.p[0] == 'f' && t.p[1] == 'f'))
        return false;
    if (t.n > TRACEPARENT_LEN && (slice_starts(t, SLICE_LIT("00")) || t.p[TRACEPARENT_LEN] != '-'))
        return false;
    return t.p[2] == '-' && is_id(t.p + 3, 32) && t.p[35] == '-' && is_id(t.p + 36, 16) &&
           t.p[52] == '-' && is_hex2(t.p + 53);
}

static bool request_id_ok(struct slice id)
{
    if (id.n == 0 || id.n > REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < id.n; i++)
        if (id.p[i] <= ' ' || id.p[i] > '~' || id.p[i] == '"' || id.p[i] == '\\')
            return false;
    return true;
}

static struct slice traceparent_new(struct gate_request *q)
{
    uint64_t *rng = &q->gate->ctx.loop->rng;
    char *p = arena_alloc(&q->http->arena, TRACEPARENT_LEN);

    if (p == NULL)
        return SLICE_NONE;
    memcpy(p, "00-", 3);
    fmt_hex16(p + 3, random_next(rng));
    fmt_hex16(p + 19, random_next(rng) | 1);
    p[35] = '-';
    fmt_hex16(p + 36, random_next(rng) | 1);
    memcpy(p + 52, "-00", 3); /* not sampled: nobody recorded a span */
    return slice_of(p, TRACEPARENT_LEN);
}

static struct slice request_id_new(struct gate_request *q)
{
    char *p = arena_alloc(&q->http->arena, 16);

    if (p == NULL)
        return SLICE_NONE;
    fmt_hex16(p, random_next(&q->gate->ctx.loop->rng));
    return slice_of(p, 16);
}

bool trace_start(struct gate_request *q)
{
    q->request_id = request_id_ok(q->h_request_id) ? q->h_request_id : request_id_new(q);
    return q->request_id.n > 0;
}

struct slice trace_parent(struct gate_request *q)
{
    if (q->traceparent.n == 0)
        q->traceparent = traceparent_ok(q->h_traceparent) ? q->h_traceparent : traceparent_new(q);
    return q->traceparent;
}

struct slice trace_id(struct gate_request *q)
{
    struct slice parent = trace_parent(q);

    return parent.n >= 35 ? slice_of(parent.p + 3, 32) : SLICE_NONE;
}
