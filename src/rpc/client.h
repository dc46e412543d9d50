/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gRPC client: unary calls over a few long-lived HTTP/2 connections (nghttp2) per endpoint, from
 * one event loop. Nothing here blocks. Calls started in one turn of the loop leave in one write per
 * connection, at the end of the turn; replies read in one turn are delivered from the read
 * callback.
 *
 * An upstream belongs to one process (a worker, the keeper, the master). Health decided by the
 * keeper comes in through `health` words in shared memory; passive ejection is this process's own.
 */
#ifndef RPC_CLIENT_H
#define RPC_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/slice.h"
#include "net/loop.h"
#include "rpc/balance.h" /* struct rpc_endpoint_config */

struct rpc_client; /* one upstream: endpoints, connections, balance, budget */
struct rpc_exchange;

struct rpc_client_config {
    struct slice name; /* copied */
    const struct rpc_endpoint_config *endpoints;
    unsigned endpoints_n;
    bool rendezvous;        /* else power of two choices on calls in flight */
    uint32_t connections;   /* per endpoint */
    uint32_t max_in_flight; /* over all endpoints; above it calls fail at once with UNAVAILABLE */
    uint32_t connect_timeout_ms;
    uint32_t keepalive_ms; /* silence, with calls in flight, until a PING; a third of it more and
                              the connection is dead. 0: 30 s */
    uint32_t eject_failures, eject_ms;
    uint32_t retry_budget_percent;
};

/* A pair of metadata. Names lower case; at most 64 pairs in a message. */
struct rpc_meta {
    struct slice name, value;
};

/* What came back. Valid during the callback only. */
struct rpc_reply {
    int status;                  /* enum rpc_status or what the peer sent */
    struct slice message;        /* grpc-message, percent-decoded */
    struct slice payload;        /* the one message of a unary reply; empty on error */
    const struct rpc_meta *meta; /* headers and trailers that are not HTTP/2's or gRPC's own */
    unsigned meta_n;
    bool sent;  /* false: the call surely never left this process (safe to retry) */
    bool local; /* the status was decided here (deadline, connection, limits) */
};

struct rpc_call;
typedef void rpc_done_fn(struct rpc_call *call, const struct rpc_reply *reply);

/*
 * Embedded in the caller's object (a request), initialised by rpc_call_init, owned by the caller.
 * Between rpc_call_start and the callback the client links to it; freeing it needs rpc_call_cancel
 * first.
 */
struct rpc_call {
    /* Called exactly once, never from inside rpc_call_start, unless cancelled. It may start, cancel
     * and free calls, this one too, and free the client. */
    rpc_done_fn *done;
    struct list node; /* client's: failed before it was routed, waiting to be told */
    struct loop_timer deadline;
    struct rpc_client *client; /* NULL while idle */
    struct rpc_exchange
        *state;          /* client's: what goes out and comes in; NULL while on `node`'s list */
    const char *failure; /* client's: static text, while on that list */
    uint64_t start_ns;   /* monotonic */
    uint32_t endpoint;   /* index of the endpoint that took it last; UINT32_MAX: none did */
};

/* Everything is borrowed for the length of rpc_call_start only: it is copied, so that a call can
 * wait for its connection and be sent once more. */
struct rpc_request {
    struct slice path;      /* "/package.Service/Method" */
    struct slice authority; /* "" : the upstream's name */
    const struct rpc_meta *meta;
    unsigned meta_n;
    struct slice payload; /* encoded message without gRPC's prefix */
    uint64_t deadline_ns; /* duration from now; also sent as grpc-timeout. 0: none */
    uint64_t hash;        /* rendezvous balancing */
    /* May be sent once more, on another endpoint if there is one, within the retry budget, when its
     * connection broke before a reply. Calls that surely never left are moved within the same
     * budget whether idempotent or not. */
    bool idempotent;
};

#define RPC_REPLY_MAX                                                                              \
    (4u * 1024 * 1024) /* bytes of a reply's message; above it RESOURCE_EXHAUSTED */

/* Starts connecting. NULL when an address is unusable or memory is out. */
struct rpc_client *rpc_client_new(struct loop *loop, const struct rpc_client_config *cfg);
/*
 * Applies a new configuration to the same upstream: endpoints that stay keep their connections and
 * calls; those that left finish their calls and close. An unusable one changes nothing.
 */
void rpc_client_update(struct rpc_client *c, const struct rpc_client_config *cfg);
/* Fails the calls in flight with CANCELLED, closes everything. May be called from a callback. */
void rpc_client_free(struct rpc_client **c);

void rpc_call_init(struct rpc_call *call, rpc_done_fn *done);
/* Every outcome, including "no endpoint is up", arrives through the callback. */
void rpc_call_start(struct rpc_client *c, struct rpc_call *call, const struct rpc_request *req);
/* No callback after this. Sends RST_STREAM when the call is on the wire. Harmless when idle. */
void rpc_call_cancel(struct rpc_call *call);

/* What this process knows of an upstream. */
uint64_t rpc_client_retries(const struct rpc_client *c); /* since it was made */
/* The address as configured; "" for an index that is not there (call->endpoint of a call nobody
 * took). */
const char *rpc_client_address(const struct rpc_client *c, unsigned endpoint);

#endif
