/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/client_int.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "rpc/status.h"

#define KEEPALIVE_NS (30 * NS_PER_S)

static void client_destroy(struct rpc_client *c)
{
    struct list *it;

    while ((it = list_first(&c->endpoints)) != NULL)
        endpoint_destroy(CONTAINER_OF(it, struct rpc_endpoint, node));
    while ((it = list_first(&c->free)) != NULL) {
        list_del(it);
        exchange_destroy(CONTAINER_OF(it, struct rpc_exchange, node));
    }
    loop_hook_cancel(&c->tell);
    balance_fini(&c->balance);
    h2_io_fini(&c->io);
    free(c->name);
    free(c);
}

void client_enter(struct rpc_client *c)
{
    c->busy++;
}

void client_leave(struct rpc_client *c)
{
    CHECK(c->busy > 0);
    if (--c->busy == 0 && c->dead && c->conns == 0)
        client_destroy(c);
}

/* --- routing --- */

static bool give(struct rpc_exchange *x, struct balance_endpoint *b)
{
    struct rpc_conn *conn = b->user != NULL ? endpoint_conn(b->user) : NULL;

    if (conn == NULL)
        return false;
    balance_begin(b);
    x->endpoint = b;
    x->tries++;
    x->call->endpoint = b->index;
    conn_queue(conn, x);
    return true;
}

/* The balance does not know who is in a pause between two attempts; so after two picks in vain
 * every endpoint is asked. */
static bool give_any(struct rpc_exchange *x, uint64_t now)
{
    struct balance *b = &x->client->balance;

    for (unsigned i = 0; i < b->n; i++) {
        struct balance_endpoint *e = b->endpoints[i];
        if (balance_is_up(e) && !balance_is_ejected(e, now) && give(x, e))
            return true;
    }
    return false;
}

/* Queues x on a connection. NULL, or why no endpoint can take it. */
static const char *route(struct rpc_exchange *x, const struct balance_endpoint *avoid)
{
    struct rpc_client *c = x->client;
    uint64_t now = loop_now(c->loop);
    struct balance_endpoint *b = balance_pick(&c->balance, now, x->hash, avoid);
    const char *why;

    if (b == NULL)
        return c->balance.n == 0 ? "upstream has no endpoints" : "no endpoint is up";
    if (give(x, b))
        return NULL;
    why = b->user != NULL ? ((struct rpc_endpoint *)b->user)->why : "out of memory";
    if (c->balance.n == 1)
        return why;
    b = balance_pick(&c->balance, now, x->hash, b);
    return (b != NULL && give(x, b)) || give_any(x, now) ? NULL : why;
}

/* Takes x off its endpoint's account and routes it again. */
static bool route_again(struct rpc_exchange *x, enum balance_outcome outcome)
{
    struct rpc_client *c = x->client;
    struct balance_endpoint *old = balance_endpoint_get(x->endpoint);
    const char *why;

    balance_end(&c->balance, x->endpoint, outcome, loop_now(c->loop));
    x->endpoint = NULL;
    why = route(x, outcome == BALANCE_NEUTRAL ? NULL : old);
    balance_endpoint_put(&old);
    return why == NULL;
}

static bool may_retry(const struct rpc_exchange *x, bool sent)
{
    if (x->client->dead)
        return false;
    return sent ? x->idempotent && !x->resent && !x->started : x->tries < CLIENT_TRIES_UNSENT;
}

static void give_up(struct rpc_exchange *x, bool sent, enum balance_outcome outcome,
                    const char *why)
{
    exchange_fail(x, sent, outcome, RPC_UNAVAILABLE, why);
    exchange_free(x);
}

void client_exchange_failed(struct rpc_exchange *x, bool sent, enum balance_outcome outcome,
                            const char *why)
{
    struct rpc_client *c = x->client;

    if (may_retry(x, sent) && balance_retry_take(&c->balance, loop_now(c->loop))) {
        x->resent |= sent;
        if (route_again(x, outcome))
            return;
    }
    /* Once sent, forever sent, whatever became of the second try. */
    give_up(x, sent || x->resent, outcome, why);
}

void client_exchange_moved(struct rpc_exchange *x, const char *why)
{
    if (may_retry(x, false) && route_again(x, BALANCE_NEUTRAL))
        return;
    give_up(x, x->resent, BALANCE_NEUTRAL, why);
}

/* --- calls --- */

/* Calls that could not be routed are told at the end of the turn. */
static void tell(struct loop_hook *h)
{
    struct rpc_client *c = CONTAINER_OF(h, struct rpc_client, tell);
    struct list *it;

    client_enter(c);
    while ((it = list_first(&c->failed)) != NULL) {
        struct rpc_call *call = CONTAINER_OF(it, struct rpc_call, node);
        struct rpc_reply r = {.status = c->dead ? RPC_CANCELLED : RPC_UNAVAILABLE,
                              .message = slice_str(call->failure),
                              .local = true};
        list_del(it);
        call->client = NULL;
        call->done(call, &r);
    }
    client_leave(c);
}

static void fail_soon(struct rpc_call *call, const char *why)
{
    struct rpc_client *c = call->client;

    call->failure = why;
    list_move(&c->failed, &call->node);
    loop_defer(c->loop, &c->tell);
}

static void on_deadline(struct loop_timer *t)
{
    struct rpc_call *call = CONTAINER_OF(t, struct rpc_call, deadline);
    struct rpc_client *c = call->client;
    struct rpc_exchange *x = call->state;
    struct rpc_reply r = {.status = RPC_DEADLINE_EXCEEDED,
                          .message = SLICE_LIT("deadline exceeded"),
                          .sent = x->stream != 0 || x->resent,
                          .local = true};
    /* Slow is one thing; a connection on which nothing has come since is another. */
    bool silent = x->stream != 0 && x->conn->h2.received_ns < call->start_ns;

    client_enter(c);
    exchange_detach(x, silent ? BALANCE_FAILED : BALANCE_NEUTRAL);
    conn_abandon(x);
    call->done(call, &r);
    client_leave(c);
}

void rpc_call_init(struct rpc_call *call, rpc_done_fn *done)
{
    *call = (struct rpc_call){.done = done, .endpoint = UINT32_MAX};
    list_init(&call->node);
    loop_timer_init(&call->deadline, on_deadline);
}

static void link_call(struct rpc_exchange *x, struct rpc_call *call, uint64_t deadline_ns)
{
    struct rpc_client *c = x->client;

    x->call = call;
    call->state = x;
    c->in_flight++;
    x->due_ns = 0;
    if (deadline_ns == 0)
        return;
    if (__builtin_add_overflow(call->start_ns, deadline_ns, &x->due_ns))
        x->due_ns = UINT64_MAX;
    loop_timer_arm(c->loop, &call->deadline, x->due_ns - call->start_ns);
}

void rpc_call_start(struct rpc_client *c, struct rpc_call *call, const struct rpc_request *req)
{
    struct rpc_exchange *x;
    const char *why;

    CHECK(call->client == NULL);
    call->client = c;
    call->endpoint = UINT32_MAX;
    call->start_ns = loop_now(c->loop);
    if (c->dead || (c->max_in_flight > 0 && c->in_flight >= c->max_in_flight)) {
        fail_soon(call, c->dead ? "upstream is closed" : "too many calls in flight");
        return;
    }
    x = exchange_new(c);
    if (x == NULL || !exchange_load(x, req)) {
        if (x != NULL)
            exchange_free(x);
        fail_soon(call, req->meta_n > WIRE_META_MAX ? "too much metadata" : "out of memory");
        return;
    }
    link_call(x, call, req->deadline_ns);
    balance_retry_earn(&c->balance);
    why = route(x, NULL);
    if (why != NULL) {
        exchange_detach(x, BALANCE_NEUTRAL);
        exchange_free(x);
        call->client = c;
        fail_soon(call, why);
    }
}

void rpc_call_cancel(struct rpc_call *call)
{
    struct rpc_exchange *x = call->state;

    if (call->client == NULL)
        return;
    if (x == NULL) {
        list_del(&call->node);
        call->client = NULL;
        return;
    }
    exchange_detach(x, BALANCE_NEUTRAL);
    conn_abandon(x);
}

/* --- the upstream --- */

static struct balance_config balance_config(const struct rpc_client_config *cfg)
{
    return (struct balance_config){
        .endpoints = cfg->endpoints,
        .endpoints_n = cfg->endpoints_n,
        .rendezvous = cfg->rendezvous,
        .eject_failures = cfg->eject_failures,
        .eject_ms = cfg->eject_ms,
        .retry_budget_percent = cfg->retry_budget_percent,
    };
}

static void apply(struct rpc_client *c, const struct rpc_client_config *cfg)
{
    c->connections = cfg->connections > 0 ? cfg->connections : 1;
    c->max_in_flight = cfg->max_in_flight;
    c->connect_timeout_ns = cfg->connect_timeout_ms * NS_PER_MS;
    c->keepalive_ns = cfg->keepalive_ms > 0 ? cfg->keepalive_ms * NS_PER_MS : KEEPALIVE_NS;
    LIST_EACH_SAFE (it, &c->endpoints) {
        struct rpc_endpoint *e = CONTAINER_OF(it, struct rpc_endpoint, node);
        if (e->balance->left)
            endpoint_leave(e);
        else
            endpoint_adjust(e);
    }
    for (unsigned i = 0; i < c->balance.n; i++) {
        /* One that memory is out for is not connected to until the next configuration. */
        if (c->balance.endpoints[i]->user == NULL)
            (void)endpoint_open(c, c->balance.endpoints[i]);
    }
}

struct rpc_client *rpc_client_new(struct loop *loop, const struct rpc_client_config *cfg)
{
    struct rpc_client *c = calloc(1, sizeof *c);
    struct balance_config b = balance_config(cfg);

    if (c == NULL)
        return NULL;
    c->loop = loop;
    list_init(&c->endpoints);
    list_init(&c->failed);
    list_init(&c->free);
    loop_hook_init(&c->tell, tell);
    c->name =
        strndup(cfg->name.n > 0 ? cfg->name.p : "localhost", cfg->name.n > 0 ? cfg->name.n : 9);
    if (c->name == NULL || balance_init(&c->balance, &b, &loop->rng) < 0 || !h2_io_init(&c->io)) {
        client_destroy(c);
        return NULL;
    }
    apply(c, cfg);
    return c;
}

void rpc_client_update(struct rpc_client *c, const struct rpc_client_config *cfg)
{
    struct balance_config b = balance_config(cfg);

    client_enter(c);
    if (balance_update(&c->balance, &b) == 0)
        apply(c, cfg);
    client_leave(c);
}

static void cancel_exchange(struct rpc_exchange *x)
{
    exchange_fail(x, x->stream != 0 || x->resent, BALANCE_NEUTRAL, RPC_CANCELLED,
                  "upstream closed");
}

/* Callbacks may cancel any other call, so the lists are taken from the front. Exchanges with a
 * stream stay, without their calls, until the session is gone. */
static void cancel_calls(struct rpc_conn *conn)
{
    struct list *it, told;

    list_init(&told);
    while ((it = list_first(&conn->active)) != NULL) {
        list_move(&told, it);
        cancel_exchange(CONTAINER_OF(it, struct rpc_exchange, node));
    }
    while ((it = list_first(&told)) != NULL)
        list_move(&conn->active, it);
    while ((it = list_first(&conn->queue)) != NULL) {
        struct rpc_exchange *x = CONTAINER_OF(it, struct rpc_exchange, node);
        cancel_exchange(x); /* x is still first: only its own call could have taken it off */
        conn_abandon(x);
    }
}

static void close_conns(struct list *conns)
{
    struct list *it;

    while ((it = list_first(conns)) != NULL) {
        struct rpc_conn *conn = CONTAINER_OF(it, struct rpc_conn, node);
        h2_enter(&conn->h2);
        list_del(it); /* it may live on until the functions on the stack have left it */
        cancel_calls(conn);
        h2_kill(&conn->h2, "upstream closed");
        h2_leave(&conn->h2);
    }
}

void rpc_client_free(struct rpc_client **cp)
{
    struct rpc_client *c = *cp;

    *cp = NULL;
    if (c == NULL)
        return;
    client_enter(c);
    c->dead = true;
    LIST_EACH (it, &c->endpoints) {
        struct rpc_endpoint *e = CONTAINER_OF(it, struct rpc_endpoint, node);
        close_conns(&e->conns);
        close_conns(&e->retired);
    }
    tell(&c->tell);
    client_leave(c);
}

uint64_t rpc_client_retries(const struct rpc_client *c)
{
    return c->balance.retries;
}

const char *rpc_client_address(const struct rpc_client *c, unsigned endpoint)
{
    return endpoint < c->balance.n ? c->balance.endpoints[endpoint]->address : "";
}
