/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Phase closed: refuses from memory what the service has just refused to somebody who asked for the
 * same, and said by a hint (rushgate-gate, docs/api.md) that it holds for everybody.
 *
 * "The same" is what the encoded message says in the fields that the route names (closed_by), sent
 * to the same method of the same upstream, by somebody who is known or by somebody who is not. The
 * body has been transcoded by then, so a body that is no request gets its 400 as ever and there is
 * no second opinion about what it says; the message is what the call will send if there is one.
 *
 * Only a request with an Idempotency-Key is refused here, and only when this host has not passed
 * the key on before (table/sent.h): a buyer who bought and lost the answer must hear of his order.
 *
 * The answer is the one that the service gave. It ends with the hint's time, or when somebody who
 * got past it, with a known key, succeeds.
 */
#include "base/clock.h"
#include "base/hash.h"
#include "gate/explain_note.h"
#include "gate/request.h"
#include "table/closed.h"
#include "table/sent.h"

#define TTL_MAX_NS (10 * NS_PER_S)
#define KEY_MAX    200

/* --- the hint --- */

struct hint {
    struct slice key;
    uint64_t ttl_ns;
};

static bool is_word(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
              s.p[i] == '-'))
            return false;
    return s.n > 0 && s.n <= 64;
}

static bool is_visible(struct slice s, size_t max)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return false;
    return s.n > 0 && s.n <= max;
}

/* The part before the next ';', without blanks around; *rest goes on behind it. */
static struct slice next_part(struct slice *rest)
{
    size_t n = slice_find(*rest, ';');
    struct slice part = slice_trim(slice_of(rest->p, n));

    n += n < rest->n;
    *rest = slice_of(rest->p + n, rest->n - n);
    return part;
}

/* "WORD; key=KEY; ttl=MS", parameters in any order, unknown ones passed over. */
static bool hint_read(struct slice text, struct hint *h)
{
    uint64_t ms = 0;
    bool ok = is_word(next_part(&text)), timed = false;

    *h = (struct hint){SLICE_NONE, 0};
    while (ok && text.n > 0) {
        struct slice part = next_part(&text);
        if (slice_starts(part, SLICE_LIT("key=")) && h->key.n == 0) {
            h->key = slice_of(part.p + 4, part.n - 4);
            ok = is_visible(h->key, KEY_MAX);
        } else if (slice_starts(part, SLICE_LIT("ttl=")) && !timed) {
            ok = timed = slice_to_u64(slice_of(part.p + 4, part.n - 4), &ms);
        } else {
            ok = part.n > 0 && !slice_starts(part, SLICE_LIT("key=")) &&
                 !slice_starts(part, SLICE_LIT("ttl="));
        }
    }
    h->ttl_ns = ms < TTL_MAX_NS / NS_PER_MS ? ms * NS_PER_MS : TTL_MAX_NS;
    return ok && timed && h->key.n > 0;
}

/* --- what is asked for --- */

static bool takes_part(const struct gate_request *q)
{
    return q->route->closed_n > 0 && q->idempotency_key.n > 0 && q->gate->ctx.closed != NULL &&
           q->upstream != NULL && q->upstream->protocol == CONF_GRPC;
}

/* 0: none. */
static uint64_t fingerprint_anew(const struct gate_request *q)
{
    uint64_t seed = q->gate->ctx.sent->seed + (q->identity.n > 0), fp;

    seed = hash64(slice_str(q->upstream->name), seed);
    seed = hash64(q->info->rpc_path, seed);
    if (!schema_hash_fields(q->message, q->route->closed_field, q->route->closed_n, seed, &fp))
        return 0;
    return fp;
}

static uint64_t fingerprint_of(const struct gate_request *q)
{
    struct message_slot *kept = q->kept;
    uint64_t *known;

    if (kept == NULL)
        return fingerprint_anew(q);
    if (kept->upstream != q->upstream) { /* an arm of a split may have changed it */
        kept->upstream = q->upstream;
        kept->closed[0] = kept->closed[1] = 0;
    }
    known = &kept->closed[q->identity.n > 0];
    if (*known == 0)
        *known = fingerprint_anew(q);
    return *known;
}

static void count(const struct gate_request *q, unsigned counter)
{
    metric_add(&q->gate->ctx.metrics->counter[counter], 1);
}

/* --- what the service says --- */

void closed_learn(struct gate_request *q, struct slice hint, const struct refusal *why)
{
    uint64_t now_ns = loop_now(q->gate->ctx.loop);
    struct closed_answer a = {
        .status = why->status,
        .retry_after_s = why->retry_after_s,
        .reason = slice_str(why->reason),
        .detail = why->detail,
        .members = why->members,
        .upstream = slice_str(q->upstream->name),
    };
    struct hint h;

    if (q->closed == 0 || hint.n == 0)
        return;
    if (!hint_read(hint, &h)) {
        count(q, METRIC_closed_ignored);
        return;
    }
    a.key = h.key;
    if (closed_put(q->gate->ctx.closed, q->closed, &a, now_ns, now_ns + h.ttl_ns))
        count(q, METRIC_closed_hints);
    else
        count(q, METRIC_closed_ignored);
}

void closed_opened(struct gate_request *q)
{
    if (q->closed != 0)
        closed_drop(q->gate->ctx.closed, q->closed);
}

void closed_sent(const struct gate_request *q)
{
    const struct gate_context *ctx = &q->gate->ctx;

    if (q->idempotency_key.n > 0 && ctx->sent != NULL)
        sent_add(ctx->sent, q->key_hash, loop_now(ctx->loop));
}

/* --- the phase --- */

static enum phase_verdict refuse(struct gate_request *q, const struct closed_answer *a)
{
    struct refusal why = {
        .status = a->status,
        .detail = a->detail,
        .members = a->members,
        .retry_after_s = a->retry_after_s,
    };

    why.reason = arena_dup(&q->http->arena, a->reason).p;
    if (why.reason == NULL)
        return gate_refuse(q, 503, "out-of-memory", SLICE_NONE);
    q->arm_reached = true; /* it is what the arm answers */
    return gate_refuse_with(q, &why);
}

enum phase_verdict phase_closed(struct gate_request *q)
{
    const struct gate_context *ctx = &q->gate->ctx;
    uint64_t now_ns = loop_now(ctx->loop);
    struct closed_kept *kept;
    enum phase_verdict v;

    if (!takes_part(q) || (q->explain != NULL && explain_body_unknown(q)))
        return PHASE_NEXT;
    v = call_rpc_encode(q);
    if (v != PHASE_NEXT)
        return v;
    q->closed = fingerprint_of(q);
    kept = &q->gate->closed[q->closed % CLOSED_KEPT];
    if (q->closed == 0 || !closed_get_kept(ctx->closed, q->closed, now_ns, kept) ||
        !sent_is_complete(ctx->sent, now_ns))
        return PHASE_NEXT;
    if (sent_has(ctx->sent, q->key_hash, now_ns)) {
        count(q, METRIC_closed_passed);
        return PHASE_NEXT;
    }
    count(q, METRIC_closed_refused);
    return refuse(q, &kept->answer);
}
