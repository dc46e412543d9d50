/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls to upstreams, apart from the requests that started them. A client that leaves cancels a
 * call that may be repeated; a purchase goes on without it, since the client may ask for the
 * outcome with the same key.
 */
#include <stdlib.h>

#include "gate/request.h"

/* Recycled calls kept at hand; more are freed. */
#define FREE_CALLS_MAX 1024

struct gate_call *call_get(struct gate_request *q, bool is_rpc, bool idempotent)
{
    struct gate *g = q->gate;
    struct list *it = list_first(&g->free_calls);
    struct gate_call *c;

    if (it != NULL) {
        c = CONTAINER_OF(it, struct gate_call, node);
        list_del(it);
        g->free_calls_n--;
    } else {
        c = malloc(sizeof(*c));
        if (c == NULL)
            return NULL;
    }
    list_init(&c->node);
    c->gate = g;
    c->gen = q->gen;
    c->gen->requests++;
    c->request = q;
    c->idempotent = idempotent;
    c->is_rpc = is_rpc;
    c->outcome = CALL_CANCELLED;
    concurrency_enter(&c->places, q->concurrency, loop_now(g->ctx.loop));
    q->call = c;
    g->calls++;
    closed_sent(q);
    return c;
}

void call_put(struct gate_call *c)
{
    struct gate *g = c->gate;

    if (c->request != NULL)
        c->request->call = NULL;
    concurrency_leave(&c->places, c->outcome, loop_now(g->ctx.loop));
    g->calls--;
    generation_unpin(g, c->gen);
    if (g->free_calls_n >= FREE_CALLS_MAX) {
        free(c);
        return;
    }
    list_add_head(&g->free_calls, &c->node);
    g->free_calls_n++;
}

struct gate_request *call_finish(struct gate_call *c, enum call_outcome outcome)
{
    struct gate *g = c->gate;
    struct gate_request *q = c->request;

    c->outcome = outcome;
    if (outcome == CALL_FAILED)
        metric_add(&g->ctx.metrics->counter[METRIC_upstream_failures], 1);
    if (q != NULL)
        q->upstream_ns = loop_now(g->ctx.loop) - q->upstream_start_ns;
    call_put(c);
    return q;
}

void call_abandon(struct gate_request *q)
{
    struct gate_call *c = q->call;

    if (c == NULL)
        return;
    if (!c->idempotent) {
        c->request = NULL;
        q->call = NULL;
        return;
    }
    if (c->is_rpc)
        rpc_call_cancel(&c->u.rpc);
    else
        http_call_cancel(&c->u.http);
    call_put(c);
}
