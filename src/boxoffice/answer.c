/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answers, as the metadata contract of docs/api.md has them. A refusal carries its HTTP status, its
 * word, members for the problem document, and where it lets the gateway refuse by itself for a
 * while, a hint.
 */
#include <stdio.h>

#include "base/clock.h"
#include "boxoffice/service_part.h"
#include "boxoffice.pb-c.h"
#include "rpc/status.h"

#define HINT_TTL_MS 1000
#define META_MAX    6u

static const struct {
    struct slice word, message, http, retry;
    int grpc;
} reasons[REASON_COUNT] = {
#define REASON(name, word, grpc, http, retry, message)                                             \
    [REASON_##name] = {SLICE_LIT(word), SLICE_LIT(message), SLICE_LIT(#http), SLICE_LIT(#retry),   \
                       RPC_##grpc},
#include "boxoffice/core/reasons.def"
#undef REASON
};

struct slice service_reason_word(enum reason r)
{
    return reasons[r].word;
}

struct metas {
    struct rpc_meta at[META_MAX];
    unsigned n;
    char hint[2 * EVENT_SLUG_MAX + 64];
};

static void add(struct metas *m, struct slice name, struct slice value)
{
    m->at[m->n++] = (struct rpc_meta){name, value};
}

/* Tells the gateway to refuse by itself: an item that is sold out, an event that is paused. */
static void add_hint(struct metas *m, const char *what, const struct sale_event *e,
                     const struct item *it)
{
    int n = snprintf(m->hint, sizeof m->hint, "%s; key=%s%s%s; ttl=%d", what, e->slug.p,
                     it ? "/" : "", it ? it->slug.p : "", HINT_TTL_MS);
    add(m, SLICE_LIT("rushgate-gate"), slice_of(m->hint, (size_t)n));
}

static void reply_payload(struct service *s, struct rpc_server_call *call,
                          const struct metas *metas)
{
    rpc_server_reply(s->rpc, call, RPC_OK, SLICE_NONE, buf_view(&s->payload), metas->at, metas->n);
}

static void answer_packed(struct service *s, struct rpc_server_call *call,
                          const ProtobufCMessage *m, const struct metas *metas)
{
    size_t n;

    if (m == NULL) {
        answer_refusal(s, call, REASON_OVERLOADED, NULL);
        return;
    }
    n = protobuf_c_message_get_packed_size(m);
    buf_clear(&s->payload);
    if (!buf_reserve(&s->payload, n)) {
        answer_refusal(s, call, REASON_OVERLOADED, NULL);
        return;
    }
    s->payload.n = protobuf_c_message_pack(m, (uint8_t *)s->payload.p);
    reply_payload(s, call, metas);
}

void answer_message(struct service *s, struct rpc_server_call *call, const ProtobufCMessage *m)
{
    struct metas metas;

    metas.n = 0;
    answer_packed(s, call, m, &metas);
}

void answer_payload(struct service *s, struct rpc_server_call *call)
{
    struct metas metas;

    metas.n = 0;
    reply_payload(s, call, &metas);
}

void answer_order(struct service *s, struct rpc_server_call *call, uint32_t id, enum reason how)
{
    const struct order *o = order_get(&s->sale->orders, id);
    const struct item *it = o == NULL ? NULL : s->sale->items[o->item];
    struct metas metas;

    metas.n = 0;
    if (how != REASON_DONE)
        add(&metas, SLICE_LIT("rushgate-http-status"), reasons[how].http);
    if (how == REASON_REPLAYED)
        add(&metas, SLICE_LIT("rushgate-replayed"), SLICE_LIT("true"));
    if (how == REASON_CREATED && it != NULL && item_free_shown(it) == 0)
        add_hint(&metas, "sold-out", it->event, it);
    buf_clear(&s->payload);
    if (message_order(s, id, clock_real_ns(), &s->payload))
        reply_payload(s, call, &metas);
    else
        answer_refusal(s, call, REASON_OVERLOADED, NULL);
}

void answer_event(struct service *s, struct rpc_server_call *call, const struct sale_event *e,
                  enum reason how)
{
    Rushgate__Boxoffice__V1__Event *m = message_event(s, e);
    struct metas metas;

    metas.n = 0;
    if (how != REASON_DONE)
        add(&metas, SLICE_LIT("rushgate-http-status"), reasons[how].http);
    answer_packed(s, call, m ? &m->base : NULL, &metas);
}

/* Members of the problem document that tell more than the reason's word. */
static void put_problem(struct buf *b, enum reason why, const struct decision *d)
{
    char when[CLOCK_ISO_MAX];

    buf_clear(b);
    if (d == NULL)
        return;
    if (why == REASON_SOLD_OUT) {
        buf_printf(b, "{\"available_number\":%u}", d->available);
    } else if (why == REASON_LIMIT) {
        buf_printf(b, "{\"limit\":%u,\"used\":%u}", d->limit, d->used);
    } else if (why == REASON_NOT_STARTED) {
        clock_iso8601(d->event->presale_start_ns, 0, when);
        buf_printf(b, "{\"presale_start\":\"%s\"}", when);
    }
}

static void refuse(struct service *s, struct rpc_server_call *call, enum reason why,
                   struct slice message, const struct decision *d)
{
    struct metas metas;

    metas.n = 0;
    add(&metas, SLICE_LIT("rushgate-http-status"), reasons[why].http);
    add(&metas, SLICE_LIT("rushgate-reason"), reasons[why].word);
    if (reasons[why].retry.p[0] != '0')
        add(&metas, SLICE_LIT("retry-after"), reasons[why].retry);
    if (s->problem.n > 0)
        add(&metas, SLICE_LIT("rushgate-problem"), buf_view(&s->problem));
    if (why == REASON_SOLD_OUT && d != NULL && d->available == 0)
        add_hint(&metas, "sold-out", d->event, d->item);
    else if (why == REASON_PAUSED && d != NULL)
        add_hint(&metas, "paused", d->event, NULL);
    rpc_server_reply(s->rpc, call, reasons[why].grpc, message, SLICE_NONE, metas.at, metas.n);
}

void answer_refusal(struct service *s, struct rpc_server_call *call, enum reason why,
                    const struct decision *d)
{
    put_problem(&s->problem, why, d);
    refuse(s, call, why, reasons[why].message, d);
}

void answer_not_found(struct service *s, struct rpc_server_call *call, const char *what)
{
    char message[32];
    int n = snprintf(message, sizeof message, "no such %s", what);

    buf_clear(&s->problem);
    refuse(s, call, REASON_NOT_FOUND, slice_of(message, (size_t)n), NULL);
}

void answer_invalid(struct service *s, struct rpc_server_call *call, const char *field,
                    const char *message)
{
    char both[512];
    int n = snprintf(both, sizeof both, "%s%s%s", field, field[0] ? " " : "", message);

    buf_clear(&s->problem);
    buf_str(&s->problem, "{\"errors\":[{\"path\":");
    buf_json(&s->problem, slice_str(field));
    buf_str(&s->problem, ",\"message\":");
    buf_json(&s->problem, slice_str(message));
    buf_str(&s->problem, "}]}");
    refuse(s, call, REASON_INVALID, slice_of(both, (size_t)n), NULL);
}

void answer_op(struct service *s, const struct op *op)
{
    struct rpc_server_call *call = op->user;

    switch ((enum op_kind)op->kind) {
    case OP_CREATE:
        s->stats.outcomes[REASON_CREATED]++;
        answer_order(s, call, op->order, REASON_CREATED);
        break;
    case OP_CONFIRM:
    case OP_RETAKE:
    case OP_CANCEL:
    case OP_EXPIRE:
        answer_order(s, call, op->order, REASON_DONE);
        break;
    case OP_EVENT:
        answer_event(s, call, op->event, REASON_CREATED);
        break;
    case OP_STATE:
        answer_event(s, call, op->event, REASON_DONE);
        break;
    }
}

void answer_other(struct service *s, struct rpc_server_call *call, enum reason why,
                  const struct decision *d)
{
    if (why == REASON_LATER)
        return;
    if (why != REASON_AGAIN)
        answer_refusal(s, call, why, d);
    else if (s->open == NULL || !batch_wait(s->open, call))
        answer_refusal(s, call, s->open == NULL ? REASON_STORE : REASON_OVERLOADED, d);
}
