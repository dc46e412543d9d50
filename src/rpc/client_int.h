/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside the gRPC client: client.c routes calls and retries them, exchange.c builds what goes out
 * and tells what came back, conn.c runs connections, endpoint.c opens them and backs off.
 *
 *   client ─ balance ─ endpoint ─ conns (taking calls)     conn ─ queue   exchanges waiting for a
 * stream │                          └ retired (finishing)          └ active  exchanges with a
 * stream ├ failed: calls to be told at the end of the turn └ free:   exchanges
 *
 * A call (the caller's) and its exchange (ours) point at each other until the call was answered or
 * cancelled; an exchange whose stream is still open lives on without a call until the stream
 * closes, since nghttp2 points into it.
 *
 * Any callback of the caller may free the client. A connection and whoever is between client_enter
 * and client_leave keep it; the last one frees it.
 */
#ifndef RPC_CLIENT_INT_H
#define RPC_CLIENT_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "rpc/balance.h"
#include "rpc/client.h"
#include "rpc/h2.h"
#include "rpc/hpack.h"
#include "rpc/wire.h"

#define CLIENT_FREE_EXCHANGES 4096u
#define CLIENT_TRIES_UNSENT   3u /* times a call that never left is given to an endpoint */

struct rpc_client {
    struct loop *loop;
    struct h2_io io;
    struct balance balance;
    char *name; /* owned; the :authority when a call brings none */
    uint32_t connections, max_in_flight, in_flight;
    uint64_t connect_timeout_ns, keepalive_ns;
    struct list endpoints; /* of rpc_endpoint.node, those that left too until their last connection
                              closed */
    struct list failed;    /* of rpc_call.node */
    struct list free;      /* of rpc_exchange.node */
    unsigned free_n;
    struct loop_hook tell; /* delivers `failed` */
    unsigned conns;        /* alive; each goes on using the client */
    unsigned busy;         /* functions on the stack that do */
    bool dead;             /* freed by its owner; goes with the last of these */
};

struct rpc_endpoint {
    struct list node;
    struct rpc_client *client;
    struct balance_endpoint *balance; /* a reference; its `user` points back */
    struct list conns;                /* taking calls: connecting or open */
    struct list retired;              /* finishing their calls */
    unsigned conns_n;                 /* of conns */
    struct rpc_conn *favourite;       /* takes all calls of a turn, so that they share a write */
    uint64_t favourite_turn;
    uint64_t backoff_ns; /* 0: the last connection worked */
    const char *why;     /* the last attempt failed; static text */
    struct loop_timer reconnect;
    unsigned busy; /* endpoint functions on the stack */
};

struct rpc_conn {
    struct h2_conn h2; /* first */
    struct rpc_endpoint *endpoint;
    struct list node; /* endpoint's conns or retired */
    struct list queue, active;
    uint32_t calls;       /* queued and active */
    uint32_t streams;     /* active */
    uint32_t max_streams; /* what the peer allows */
    bool retired;
    bool proved;        /* the peer has sent its SETTINGS */
    uint64_t busy_ns;   /* when it was armed */
    uint64_t pinged_ns; /* when the PING went that is not answered; 0: none is out */
    struct loop_timer connect_timer;
    struct loop_timer keepalive; /* armed while calls are in flight */
    struct hpack hpack;          /* what the peer knows of our headers */
    uint64_t timeout_ms; /* the last grpc-timeout sent: its like goes into the HPACK table */
};

struct rpc_exchange {
    struct list node; /* conn's queue or active, or client's free */
    struct rpc_client *client;
    struct rpc_call *call;             /* NULL: answered or cancelled, only the stream lives */
    struct rpc_conn *conn;             /* NULL: none */
    struct balance_endpoint *endpoint; /* between balance_begin and balance_end */
    int32_t stream;                    /* 0: not submitted */
    uint32_t tries;
    bool idempotent, resent;
    uint64_t hash;
    uint64_t due_ns; /* absolute; 0: no deadline */

    struct buf out; /* everything the request's slices point to */
    struct slice path, authority, body;
    size_t body_sent;
    unsigned meta_n;
    struct rpc_meta meta[WIRE_META_MAX];

    struct buf in, message; /* the reply's body; its grpc-message, decoded */
    struct meta_set in_meta;
    unsigned http_status;
    int grpc_status; /* -1: none came */
    bool grpc;       /* the content-type said so */
    bool started;    /* something of the reply came */
};

/* client.c */
void client_enter(struct rpc_client *c);
void client_leave(struct rpc_client *c);
/* What to do with an exchange whose connection or stream failed: another try, or the end of it. It
 * is on no list and has no stream any more. */
void client_exchange_failed(struct rpc_exchange *x, bool sent, enum balance_outcome outcome,
                            const char *why);
/* The same for one that the peer surely has not looked at because its connection is closing: it
 * moves without touching the retry budget. */
void client_exchange_moved(struct rpc_exchange *x, const char *why);

/* exchange.c */
struct rpc_exchange *exchange_new(struct rpc_client *c);
void exchange_free(struct rpc_exchange *x);
void exchange_destroy(struct rpc_exchange *x);
/* Copies the request. False: too much metadata or memory out. */
bool exchange_load(struct rpc_exchange *x, const struct rpc_request *req);
/* Opens a stream for it. 0 or an nghttp2 error. */
int exchange_submit(struct rpc_exchange *x, struct rpc_conn *conn);
/* The fields of its HEADERS, which leave now. */
void exchange_headers(struct rpc_exchange *x, struct rpc_conn *conn, struct buf *block);
void exchange_on_header(struct rpc_exchange *x, struct slice name, struct slice value);
/* False: the reply became impossible to accept; the call has been told. */
bool exchange_on_data(struct rpc_exchange *x, struct slice data);
/* The peer has said all: tells the call. */
void exchange_on_end(struct rpc_exchange *x);
/* Tells the call, which is then no longer linked. The exchange itself stays. */
void exchange_fail(struct rpc_exchange *x, bool sent, enum balance_outcome outcome, int status,
                   const char *why);
/* The call is told nothing. */
void exchange_detach(struct rpc_exchange *x, enum balance_outcome outcome);

/* endpoint.c */
/* Begins to connect. NULL: out of memory. */
struct rpc_endpoint *endpoint_open(struct rpc_client *c, struct balance_endpoint *b);
/* A connection that takes calls, NULL when there is none and none may be tried yet. */
struct rpc_conn *endpoint_conn(struct rpc_endpoint *e);
/* Adapts the number of connections to the configuration. */
void endpoint_adjust(struct rpc_endpoint *e);
/* A connection turned out to work. */
void endpoint_proved(struct rpc_endpoint *e);
/* No further calls to this connection; it closes with its last one. */
void endpoint_retire(struct rpc_conn *conn);
/* A connection is gone. Schedules the next attempt. Frees an endpoint that left with its last one.
 */
void endpoint_lost(struct rpc_conn *conn);
/* It is no longer configured: its connections retire. e may be gone afterwards. */
void endpoint_leave(struct rpc_endpoint *e);
/* All connections are gone. */
void endpoint_destroy(struct rpc_endpoint *e);

/* conn.c */
/* 0 or -errno. */
int conn_open(struct rpc_endpoint *e, struct rpc_conn **out) __attribute__((warn_unused_result));
void conn_queue(struct rpc_conn *conn, struct rpc_exchange *x);
/* The call of x is unlinked: takes x out of the queue at once, or off the wire by RST_STREAM. x and
 * the connection may be gone afterwards. */
void conn_abandon(struct rpc_exchange *x);
/* Gives what waits in the queue to other connections. */
void conn_move_queue(struct rpc_conn *conn, const char *why);

#endif
