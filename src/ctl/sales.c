/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands about sales: the master passes them on to the box office and waits for at most two
 * seconds. It never blocks on that; a box office that is down, slow or talks nonsense gives an
 * error document.
 */
#include "config.h"

#include <string.h>

#include "base/clock.h"
#include "boxoffice.pb-c.h"
#include "ctl/request.h"
#include "rpc/status.h"

#define DEADLINE_NS (2 * NS_PER_S)

static struct ctl_request *request_of(struct box_call *call)
{
    return CONTAINER_OF(call, struct ctl_request, box_call);
}

static const char *state_name(Rushgate__Boxoffice__V1__SaleState state)
{
    switch (state) {
    case RUSHGATE__BOXOFFICE__V1__SALE_STATE__open:
        return "open";
    case RUSHGATE__BOXOFFICE__V1__SALE_STATE__paused:
        return "paused";
    case RUSHGATE__BOXOFFICE__V1__SALE_STATE__closed:
        return "closed";
    default:
        return "unknown";
    }
}

/* Whether the reply's metadata gives this word as its reason. */
static bool is_reason(const struct rpc_reply *reply, struct slice word)
{
    for (unsigned i = 0; i < reply->meta_n; i++)
        if (slice_eq(reply->meta[i].name, SLICE_LIT("rushgate-reason")))
            return slice_eq(reply->meta[i].value, word);
    return false;
}

/* A call that failed, in the terms of whoever typed the command. */
static void refuse_by_status(struct ctl_request *r, const struct rpc_reply *reply)
{
    const char *event = r->inv.args_n > 0 ? r->inv.args[0] : "";

    if (is_reason(reply, SLICE_LIT("sale-closed"))) {
        ctl_refuse(r, CTL_REFUSED, "", "the sale of %s is closed; \"sale open\" opens it again",
                   event);
        return;
    }
    switch (reply->status) {
    case RPC_NOT_FOUND:
        ctl_refuse(r, CTL_NOT_FOUND, "rushctl show sales lists them", "no event \"%s\"", event);
        break;
    case RPC_UNAVAILABLE:
        ctl_refuse(r, CTL_FAILED, "rushctl show upstreams", "the box office does not answer: %.*s",
                   SLICE_ARG(reply->message));
        break;
    case RPC_DEADLINE_EXCEEDED:
        ctl_refuse(r, CTL_TIMEOUT, "the command may have been carried out: rushctl show sales",
                   "the box office did not answer within 2 s");
        break;
    case RPC_FAILED_PRECONDITION:
    case RPC_INVALID_ARGUMENT:
        ctl_refuse(r, CTL_REFUSED, "", "the box office refuses: %.*s", SLICE_ARG(reply->message));
        break;
    default:
        ctl_refuse(r, CTL_FAILED, "", "the box office says %s: %.*s",
                   rpc_status_name(reply->status), SLICE_ARG(reply->message));
    }
}

static void start(struct ctl_request *r, const char *method, const ProtobufCMessage *message,
                  void (*done)(struct box_call *, const struct rpc_reply *))
{
    struct ctl *c = r->ctl;
    struct slice event = r->inv.args_n > 0 ? slice_str(r->inv.args[0]) : SLICE_LIT("");

    if (!box_call_start(c->box, &r->box_call, method, message, event, DEADLINE_NS, done))
        ctl_refuse(r, CTL_REFUSED, "set boxoffice.upstream to a gRPC upstream",
                   "the configuration names no box office");
}

static json_t *event_row(const Rushgate__Boxoffice__V1__EventStats *e)
{
    json_t *row = json_object();

    json_object_set_new(row, "event", ctl_text(slice_str(e->event)));
    json_object_set_new(row, "state", json_string(state_name(e->state)));
    json_object_set_new(row, "quota", json_integer(e->quota));
    json_object_set_new(row, "sold", json_integer(e->sold));
    json_object_set_new(row, "held", json_integer(e->held));
    json_object_set_new(row, "free", json_integer(e->free));
    json_object_set_new(row, "sold_total", json_integer((json_int_t)e->sold_total));
    json_object_set_new(row, "oversold", json_integer((json_int_t)e->oversold));
    return row;
}

static void on_stats(struct box_call *call, const struct rpc_reply *reply)
{
    struct ctl_request *r = request_of(call);
    Rushgate__Boxoffice__V1__StatsResponse *stats;
    json_t *rows, *doc;

    if (reply->status != RPC_OK) {
        refuse_by_status(r, reply);
        return;
    }
    stats = rushgate__boxoffice__v1__stats_response__unpack(NULL, reply->payload.n,
                                                            (const uint8_t *)reply->payload.p);
    if (stats == NULL) {
        ctl_refuse(r, CTL_FAILED, "", "the box office's answer makes no sense");
        return;
    }
    rows = json_array();
    for (size_t i = 0; i < stats->n_events; i++)
        json_array_append_new(rows, event_row(stats->events[i]));
    doc = ctl_document(r->ctl, "sales", rows);
    for (size_t i = 0; i < stats->n_events; i++)
        if (stats->events[i]->oversold > 0)
            ctl_document_warn(doc, "%s is oversold by %llu units", stats->events[i]->event,
                              (unsigned long long)stats->events[i]->oversold);
    rushgate__boxoffice__v1__stats_response__free_unpacked(stats, NULL);
    ctl_answer(r, doc);
}

void ctl_do_SHOW_SALES(struct ctl_request *r)
{
    Rushgate__Boxoffice__V1__StatsRequest q = RUSHGATE__BOXOFFICE__V1__STATS_REQUEST__INIT;

    start(r, "Stats", &q.base, on_stats);
}

static void on_state_set(struct box_call *call, const struct rpc_reply *reply)
{
    struct ctl_request *r = request_of(call);
    Rushgate__Boxoffice__V1__Event *event;
    json_t *d;

    if (reply->status != RPC_OK) {
        refuse_by_status(r, reply);
        return;
    }
    event = rushgate__boxoffice__v1__event__unpack(NULL, reply->payload.n,
                                                   (const uint8_t *)reply->payload.p);
    if (event == NULL) {
        ctl_refuse(r, CTL_FAILED, "", "the box office's answer makes no sense");
        return;
    }
    d = json_object();
    json_object_set_new(d, "event", ctl_text(slice_str(event->slug)));
    json_object_set_new(d, "name", ctl_text(slice_str(event->name)));
    json_object_set_new(d, "state", json_string(state_name(event->state)));
    rushgate__boxoffice__v1__event__free_unpacked(event, NULL);
    ctl_answer(r, ctl_document(r->ctl, "sale", d));
}

static void set_state(struct ctl_request *r, Rushgate__Boxoffice__V1__SaleState state, bool resume)
{
    Rushgate__Boxoffice__V1__SetSaleStateRequest q =
        RUSHGATE__BOXOFFICE__V1__SET_SALE_STATE_REQUEST__INIT;
    const char *reason = r->inv.flag[CTL_FLAG_REASON];

    /* protobuf-c declares strings of requests without const; it only reads them. */
    q.event = (char *)(uintptr_t)r->inv.args[0];
    q.state = state;
    q.resume = resume;
    q.reason = (char *)(uintptr_t)(reason != NULL ? reason : "");
    start(r, "SetSaleState", &q.base, on_state_set);
}

void ctl_do_SALE_OPEN(struct ctl_request *r)
{
    set_state(r, RUSHGATE__BOXOFFICE__V1__SALE_STATE__open, false);
}

void ctl_do_SALE_PAUSE(struct ctl_request *r)
{
    set_state(r, RUSHGATE__BOXOFFICE__V1__SALE_STATE__paused, false);
}

void ctl_do_SALE_RESUME(struct ctl_request *r)
{
    set_state(r, RUSHGATE__BOXOFFICE__V1__SALE_STATE__open, true);
}

void ctl_do_SALE_CLOSE(struct ctl_request *r)
{
    set_state(r, RUSHGATE__BOXOFFICE__V1__SALE_STATE__closed, false);
}
