/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connections of one endpoint: opened when the client starts, replaced when they break. An
 * attempt that fails is followed by a pause, 10 ms at first, then longer up to a second, with
 * jitter. During the pause calls are refused at once, so that a dead backend costs its callers
 * microseconds; the first call after a connection that had worked is lost connects at once.
 */
#include "rpc/client_int.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"

#define BACKOFF_MIN_NS (10 * NS_PER_MS)
#define BACKOFF_MAX_NS NS_PER_S

static const char *connect_error(int err)
{
    switch (err) {
    case -ECONNREFUSED:
        return "connection refused";
    case -ENOENT:
        return "connection refused (there is no such socket)";
    case -EACCES:
        return "no permission to connect";
    case -EAGAIN:
        return "connection refused (its backlog is full)";
    default:
        return "cannot connect";
    }
}

/* The next attempt: after `delay`, give or take a quarter, so that workers do not knock in step. */
static void schedule(struct rpc_endpoint *e, uint64_t delay)
{
    struct loop *l = e->client->loop;
    uint64_t jitter = random_next(&l->rng) % (delay / 2);

    loop_timer_arm(l, &e->reconnect, delay - delay / 4 + jitter);
}

static void attempt_failed(struct rpc_endpoint *e, const char *why)
{
    e->why = why;
    e->backoff_ns = e->backoff_ns == 0 ? BACKOFF_MIN_NS : e->backoff_ns + e->backoff_ns / 2;
    if (e->backoff_ns > BACKOFF_MAX_NS)
        e->backoff_ns = BACKOFF_MAX_NS;
    balance_connect_failed(&e->client->balance, e->balance, loop_now(e->client->loop));
    schedule(e, e->backoff_ns);
}

static void fill_up(struct rpc_endpoint *e)
{
    while (e->conns_n < e->client->connections) {
        struct rpc_conn *conn;
        int rc = conn_open(e, &conn);
        if (rc < 0) {
            attempt_failed(e, connect_error(rc));
            return;
        }
        list_add(&e->conns, &conn->node);
        e->conns_n++;
    }
}

static void on_reconnect(struct loop_timer *t)
{
    fill_up(CONTAINER_OF(t, struct rpc_endpoint, reconnect));
}

struct rpc_endpoint *endpoint_open(struct rpc_client *c, struct balance_endpoint *b)
{
    struct rpc_endpoint *e = calloc(1, sizeof *e);

    if (e == NULL)
        return NULL;
    e->client = c;
    e->balance = balance_endpoint_get(b);
    e->why = "not connected";
    b->user = e;
    list_init(&e->conns);
    list_init(&e->retired);
    loop_timer_init(&e->reconnect, on_reconnect);
    list_add(&c->endpoints, &e->node);
    fill_up(e);
    return e;
}

void endpoint_destroy(struct rpc_endpoint *e)
{
    CHECK(list_empty(&e->conns) && list_empty(&e->retired));
    loop_timer_disarm(e->client->loop, &e->reconnect);
    list_del(&e->node);
    e->balance->user = NULL;
    balance_endpoint_put(&e->balance);
    free(e);
}

static void endpoint_enter(struct rpc_endpoint *e)
{
    e->busy++;
}

static void endpoint_exit(struct rpc_endpoint *e)
{
    e->busy--;
    if (e->busy == 0 && e->balance->left && !e->client->dead && list_empty(&e->conns) &&
        list_empty(&e->retired))
        endpoint_destroy(e);
}

static struct rpc_conn *least_loaded(struct rpc_endpoint *e)
{
    struct rpc_conn *best = NULL;

    LIST_EACH (it, &e->conns) {
        struct rpc_conn *conn = CONTAINER_OF(it, struct rpc_conn, node);
        if (best == NULL || conn->calls < best->calls)
            best = conn;
    }
    return best;
}

struct rpc_conn *endpoint_conn(struct rpc_endpoint *e)
{
    uint64_t turn = e->client->loop->turns;

    if (e->conns_n == 0) {
        if (e->backoff_ns > 0 && loop_timer_armed(&e->reconnect))
            return NULL;
        fill_up(e);
    }
    if (e->favourite == NULL || e->favourite_turn != turn ||
        e->favourite->calls >= e->favourite->max_streams) {
        e->favourite = least_loaded(e);
        e->favourite_turn = turn;
    }
    return e->favourite;
}

void endpoint_proved(struct rpc_endpoint *e)
{
    e->backoff_ns = 0;
}

static void take_off(struct rpc_conn *conn)
{
    struct rpc_endpoint *e = conn->endpoint;

    list_del(&conn->node);
    if (e->favourite == conn)
        e->favourite = NULL;
    if (!conn->retired)
        e->conns_n--;
}

void endpoint_retire(struct rpc_conn *conn)
{
    struct rpc_endpoint *e = conn->endpoint;

    if (conn->retired)
        return;
    take_off(conn);
    conn->retired = true;
    list_add(&e->retired, &conn->node);
    /* Its successor should be warm before the next call. */
    if (!e->balance->left && !e->client->dead && !loop_timer_armed(&e->reconnect))
        schedule(e, BACKOFF_MIN_NS);
}

void endpoint_lost(struct rpc_conn *conn)
{
    struct rpc_endpoint *e = conn->endpoint;
    bool worked = conn->proved;

    take_off(conn);
    endpoint_enter(e);
    if (!conn->retired && !e->balance->left && !e->client->dead) {
        if (!worked) {
            attempt_failed(e, conn->h2.reason);
        } else {
            if (conn->streams > 0)
                balance_connect_failed(&e->client->balance, e->balance, loop_now(e->client->loop));
            schedule(e, BACKOFF_MIN_NS);
        }
    }
    endpoint_exit(e);
}

void endpoint_adjust(struct rpc_endpoint *e)
{
    endpoint_enter(e);
    while (e->conns_n > e->client->connections) {
        struct rpc_conn *conn = CONTAINER_OF(list_first(&e->conns), struct rpc_conn, node);
        endpoint_retire(conn);
        if (conn->calls == 0)
            h2_kill(&conn->h2, "connection retired");
    }
    if (e->backoff_ns == 0)
        fill_up(e);
    endpoint_exit(e);
}

void endpoint_leave(struct rpc_endpoint *e)
{
    struct list *it;

    endpoint_enter(e);
    loop_timer_disarm(e->client->loop, &e->reconnect);
    while ((it = list_first(&e->conns)) != NULL) {
        struct rpc_conn *conn = CONTAINER_OF(it, struct rpc_conn, node);
        endpoint_retire(conn);
        if (conn->calls == 0)
            h2_kill(&conn->h2, "endpoint left the configuration");
    }
    endpoint_exit(e);
}
