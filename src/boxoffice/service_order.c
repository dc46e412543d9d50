/* SPDX-License-Identifier: BSD-2-Clause */
/* Orders: what buyers call. */
#include <stdlib.h>

#include "base/clock.h"
#include "boxoffice/service_part.h"
#include "boxoffice.pb-c.h"

#define PAGE_DEFAULT 50
#define PAGE_MAX     1000

/* 1 to max bytes of visible ASCII. */
static bool is_token(struct slice v, size_t max)
{
    if (v.n == 0 || v.n > max)
        return false;
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] <= ' ' || v.p[i] > '~')
            return false;
    return true;
}

/* The buyer the gateway vouches for; SLICE_NONE when nobody, or nobody that could be one. */
static struct slice buyer_of(const struct rpc_server_call *call)
{
    struct slice v = rpc_server_meta(call, "rushgate-buyer");
    return is_token(v, BUYER_MAX) ? v : SLICE_NONE;
}

static bool is_given(const Rushgate__Boxoffice__V1__CreateOrderRequest *m)
{
    return m->quantity_given_case ==
           RUSHGATE__BOXOFFICE__V1__CREATE_ORDER_REQUEST__QUANTITY_GIVEN_QUANTITY;
}

static void order_decide(struct service *s, struct rpc_server_call *call,
                         const Rushgate__Boxoffice__V1__CreateOrderRequest *m, struct slice buyer,
                         struct slice key)
{
    struct order_request r = {.event = slice_str(m->event),
                              .item = slice_str(m->item),
                              .buyer = buyer,
                              .key = key,
                              .quantity = is_given(m) ? m->quantity : 1,
                              .user = call};
    struct decision d;
    enum reason why = sale_order(s->sale, clock_real_ns(), &r, &d);

    if (why < REASON_COUNT)
        s->stats.outcomes[why]++;
    if (why == REASON_REPLAYED)
        answer_order(s, call, d.order, why);
    else if (why == REASON_INVALID)
        answer_invalid(s, call, "quantity", "must be 1 to 100");
    else if (why == REASON_NOT_FOUND)
        answer_not_found(s, call, d.event == NULL ? "event" : "item");
    else
        answer_other(s, call, why, &d);
}

/* The name of a field that must not be empty, and is. NULL: none. */
static const char *missing_field(const Rushgate__Boxoffice__V1__CreateOrderRequest *m)
{
    return m->event[0] == '\0' ? "event" : m->item[0] == '\0' ? "item" : NULL;
}

static void order_refuse(struct service *s, struct rpc_server_call *call, enum reason why)
{
    s->stats.outcomes[why]++;
    answer_refusal(s, call, why, NULL);
}

/* What is wrong with who calls and with which key; DONE when nothing is. */
static enum reason credentials(const struct service *s, const struct rpc_server_call *call,
                               struct slice buyer, struct slice key)
{
    if (buyer.n == 0)
        return REASON_IDENTITY;
    if (!is_token(buyer, BUYER_MAX))
        return REASON_IDENTITY_INVALID;
    if (key.n == 0)
        return REASON_KEY_MISSING;
    if (!is_token(key, ORDER_KEY_MAX))
        return REASON_KEY_INVALID;
    if (call->deadline_ns != 0 && call->deadline_ns <= loop_now(s->loop))
        return REASON_DEADLINE;
    return REASON_DONE;
}

/* A text of less than 128 bytes, without a NUL; none when another tag is there. The bytes behind
 * it, or NULL. */
static const char *take_text(struct arena *arena, const char *p, const char *end, char tag,
                             char **text)
{
    struct slice s;

    if (end - p < 2 || p[0] != tag)
        return p;
    s = slice_of(p + 2, (unsigned char)p[1]);
    if (s.n >= 128 || s.n > (size_t)(end - s.p) || slice_find(s, '\0') < s.n)
        return NULL;
    *text = (char *)(uintptr_t)arena_dup(arena, s).p;
    return *text == NULL ? NULL : s.p + s.n;
}

/*
 * The request as encoders write it, small: event, item and quantity, rising, at most once each, and
 * nothing else. NULL for any other.
 */
const void *read_create_order(struct arena *arena, struct slice message)
{
    enum { EVENT_TAG = 1 << 3 | 2, ITEM_TAG = 2 << 3 | 2, QUANTITY_TAG = 3 << 3 };
    Rushgate__Boxoffice__V1__CreateOrderRequest *m = arena_alloc(arena, sizeof *m);
    const char *p = message.p, *end = p + message.n;

    if (m == NULL || message.n == 0)
        return NULL;
    rushgate__boxoffice__v1__create_order_request__init(m);
    if ((p = take_text(arena, p, end, EVENT_TAG, &m->event)) == NULL ||
        (p = take_text(arena, p, end, ITEM_TAG, &m->item)) == NULL)
        return NULL;
    if (end - p == 2 && p[0] == QUANTITY_TAG && (unsigned char)p[1] < 128) {
        m->quantity_given_case =
            RUSHGATE__BOXOFFICE__V1__CREATE_ORDER_REQUEST__QUANTITY_GIVEN_QUANTITY;
        m->quantity = p[1];
        p = end;
    }
    return p == end ? m : NULL;
}

void on_create_order(struct service *s, struct rpc_server_call *call, const void *request)
{
    struct slice buyer = rpc_server_meta(call, "rushgate-buyer");
    struct slice key = rpc_server_meta(call, "idempotency-key");
    enum reason why = credentials(s, call, buyer, key);
    const char *missing = missing_field(request);

    if (why != REASON_DONE) {
        order_refuse(s, call, why);
    } else if (missing != NULL) {
        s->stats.outcomes[REASON_INVALID]++;
        answer_invalid(s, call, missing, "is required");
    } else {
        order_decide(s, call, request, buyer, key);
    }
}

/* What came of an order that was asked for by its code. */
static void answer_asked(struct service *s, struct rpc_server_call *call, enum reason why,
                         const struct decision *d)
{
    if (why == REASON_DONE)
        answer_order(s, call, d->order, why);
    else if (why == REASON_NOT_FOUND)
        answer_not_found(s, call, d->event == NULL ? "event" : "order");
    else
        answer_other(s, call, why, d);
}

void on_get_order(struct service *s, struct rpc_server_call *call, const void *request)
{
    const Rushgate__Boxoffice__V1__GetOrderRequest *m = request;
    struct order_ref r = {slice_str(m->event), slice_str(m->code), buyer_of(call),
                          slice_str(m->secret), call};
    struct decision d;
    enum reason why = sale_find(s->sale, clock_real_ns(), &r, &d);

    answer_asked(s, call, why, &d);
}

typedef enum reason order_action(struct sale *s, const struct order_ref *r, struct decision *d);

static void act(struct service *s, struct rpc_server_call *call,
                const Rushgate__Boxoffice__V1__OrderActionRequest *m, order_action *action)
{
    struct order_ref r = {slice_str(m->event), slice_str(m->code), buyer_of(call),
                          slice_str(m->secret), call};
    struct decision d;
    enum reason why = action(s->sale, &r, &d);

    answer_asked(s, call, why, &d);
}

void on_confirm_order(struct service *s, struct rpc_server_call *call, const void *request)
{
    act(s, call, request, sale_confirm);
}

void on_cancel_order(struct service *s, struct rpc_server_call *call, const void *request)
{
    act(s, call, request, sale_cancel);
}

/* Where a page begins: the token is the code of its first order. 0: at no order of this buyer. */
static uint32_t page_start(const struct service *s, const struct buyer *b, struct slice token,
                           uint32_t buyer)
{
    const struct order *o;
    uint64_t id;

    if (token.n == 0)
        return b->newest;
    if (!code_read(&s->sale->code, token, &id))
        return 0;
    o = order_get(&s->sale->orders, id);
    return o != NULL && o->buyer == buyer ? (uint32_t)id : 0;
}

/*
 * Fills s->payload with one page of durable orders. AGAIN where a change of one of them waits for
 * the disk: then the page waits, too; an order that is new is left out. OVERLOADED when memory is
 * out.
 */
static enum reason page_fill(struct service *s, uint32_t id, uint32_t size)
{
    uint64_t now_ns = clock_real_ns();
    uint32_t n = 0;

    buf_clear(&s->payload);
    while (id != 0 && n < size) {
        const struct order *o = order_get(&s->sale->orders, id);
        if (!(o->flags & ORDER_NEW)) {
            if (o->batch > s->sale->durable_seq)
                return REASON_AGAIN;
            if (!message_order_listed(s, id, now_ns, &s->payload))
                return REASON_OVERLOADED;
            n++;
        }
        id = o->older;
    }
    return id == 0 || message_next_page(s, id, &s->payload) ? REASON_DONE : REASON_OVERLOADED;
}

void on_list_orders(struct service *s, struct rpc_server_call *call, const void *request)
{
    const Rushgate__Boxoffice__V1__ListOrdersRequest *m = request;
    const struct sale_event *e = sale_event(s->sale, slice_str(m->event));
    struct slice buyer = buyer_of(call), token = slice_str(m->page_token);
    uint32_t number, id;
    uint32_t size = m->page_size == 0 ? PAGE_DEFAULT : (uint32_t)m->page_size;
    enum reason why;

    if (buyer.n == 0) {
        answer_refusal(s, call, REASON_IDENTITY, NULL);
        return;
    }
    if (e == NULL) {
        answer_not_found(s, call, "event");
        return;
    }
    if (m->page_size < 0 || size > PAGE_MAX) {
        answer_invalid(s, call, "page_size", "must be 1 to 1000");
        return;
    }
    number = buyer_find(&s->sale->orders, e->id, buyer);
    id = number == 0 ? 0 : page_start(s, buyer_at(&s->sale->orders, number), token, number);
    if (id == 0 && token.n > 0) {
        answer_invalid(s, call, "page_token", "is not one of yours");
    } else if ((why = page_fill(s, id, size)) != REASON_DONE) {
        answer_other(s, call, why, NULL);
    } else {
        answer_payload(s, call);
    }
}
