/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of the HTTP client.
 *
 *   client.c    calls: which endpoint, retries, deadlines, outcomes
 *   upconn.c    connections: connecting, sending, reading, the idle pool
 *   response.c  bytes of a response
 *
 * A call that is under way has an exchange; an exchange that has been given to an endpoint has a
 * connection; a connection has at most one exchange and sits in its endpoint's pool while it has
 * none.
 */
#ifndef HTTP_CLIENT_INT_H
#define HTTP_CLIENT_INT_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "http/client.h"
#include "http/pool.h"
#include "http/response.h"
#include "rpc/balance.h"

struct upconn;

struct exchange {
    struct pool_node node;
    struct http_call *call;
    struct upconn *conn;                  /* NULL while none carries it */
    struct balance_endpoint *at;          /* between balance_begin and balance_end */
    const struct balance_endpoint *avoid; /* failed before; only compared, may be gone */
    uint64_t hash;
    struct buf wire; /* the serialized request */
    bool idempotent, retry, head;
    bool sent;                  /* a byte of it may have reached an upstream */
    bool any;                   /* a byte of a response has come */
    bool stale;                 /* a pooled connection turned out closed: use a new one */
    bool retried;               /* the budget paid for another endpoint already */
    enum http_call_error error; /* of a call that failed before it was given to an endpoint */
    const char *detail;
    struct response response;
};

/* Idle connections to an endpoint; balance_endpoint.user. Exists while the endpoint is configured.
 */
struct idle_pool {
    struct list node;            /* on client.pools */
    struct balance_endpoint *at; /* one reference */
    struct list conns;           /* upconn.node, most recently used first */
    unsigned idle, open;         /* connections: idle, all */
};

#define UPCONN_MAGIC 0x75706331u

struct upconn {
    uint32_t magic;
    int fd;
    struct http_client *client;
    struct balance_endpoint *at; /* one reference */
    struct exchange *x;          /* NULL while idle */
    struct list node;            /* on idle_pool.conns or client.busy */
    struct event ev;
    struct loop_timer timer; /* connecting, or idle */
    size_t sent;             /* bytes of x->wire */
    bool connecting;
    bool used; /* carried an exchange before this one */
};

struct http_client {
    struct loop *loop;
    struct http_client_config cfg; /* numbers only: the slices are not kept */
    struct balance balance;
    struct list calls;       /* http_call.node: under way */
    struct list failed;      /* http_call.node: outcome decided, callback at the end of the turn */
    struct list busy;        /* upconn.node */
    struct list pools;       /* idle_pool.node */
    struct loop_hook report; /* for `failed` */
    struct pool exchanges;
    uint32_t in_flight;
    unsigned users; /* functions on the stack that go on using the client */
    bool dead;      /* freed by its owner; goes with the last of these */
};

/* client.c, called by upconn.c: the exchange has left its connection when these run. */
void http_exchange_done(struct http_client *c, struct exchange *x);
void http_exchange_lost(struct http_client *c, struct exchange *x, bool reused, const char *detail);
void http_exchange_bad(struct http_client *c, struct exchange *x);

/* upconn.c */
/* Gives x a connection to `at` and starts sending; false when none can be made. */
bool upconn_take(struct http_client *c, struct exchange *x, struct balance_endpoint *at);
/* Closes the connection, whatever it carries; the exchange is detached, not told. */
void upconn_close(struct upconn *u);
struct idle_pool *idle_pool_get(struct http_client *c, struct balance_endpoint *at);
/* Closes the idle connections and forgets the endpoint. */
void idle_pool_drop(struct idle_pool *p);

#endif
