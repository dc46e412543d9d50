/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the HTTP server and the upstream clients count for themselves, brought into the slot's
 * counters once a second: their totals start with the process, the slot's are cumulative over
 * respawns, so what is added is the growth.
 */
#include "base/clock.h"
#include "gate/request.h"

static void grow(struct gate *g, enum metric_counter counter, uint64_t *had, uint64_t has)
{
    metric_add(&g->ctx.metrics->counter[counter], has - *had);
    *had = has;
}

static void count(struct gate *g)
{
    const struct http_server_totals *t = http_server_totals(g->http);
    struct http_server_totals *had = &g->counted;

    grow(g, METRIC_connections_accepted, &had->accepted, t->accepted);
    grow(g, METRIC_connections_refused, &had->refused, t->refused);
    grow(g, METRIC_connections_reset, &had->reset, t->reset);
    grow(g, METRIC_requests_aborted, &had->aborted, t->aborted);
    LIST_EACH (it, &g->upstreams) {
        struct gate_upstream *u = CONTAINER_OF(it, struct gate_upstream, node);
        grow(g, METRIC_upstream_retries, &u->retries,
             u->rpc != NULL ? rpc_client_retries(u->rpc) : http_client_retries(u->http));
    }
}

static void on_count(struct loop_timer *t)
{
    struct gate *g = CONTAINER_OF(t, struct gate, count);

    count(g);
    loop_timer_arm(g->ctx.loop, t, NS_PER_S);
}

void totals_start(struct gate *g)
{
    loop_timer_init(&g->count, on_count);
    loop_timer_arm(g->ctx.loop, &g->count, NS_PER_S);
}

void totals_stop(struct gate *g)
{
    count(g);
    loop_timer_disarm(g->ctx.loop, &g->count);
}
