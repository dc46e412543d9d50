/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gRPC server: unary methods over HTTP/2 (nghttp2, prior knowledge), in one event loop. A handler
 * may answer at once or keep the call and answer later from the same thread; answers given in one
 * turn leave in one write per connection. Answers grpc.health.v1.Health/Check by itself.
 */
#ifndef RPC_SERVER_H
#define RPC_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "net/loop.h"
#include "rpc/client.h" /* struct rpc_meta */

struct rpc_server;

/* One call being served. Owned by the server; lives until it is answered, even if the client left.
 */
struct rpc_server_call {
    struct slice path;           /* "/package.Service/Method" */
    struct slice payload;        /* the request message */
    const struct rpc_meta *meta; /* metadata, names lower case */
    unsigned meta_n;
    uint64_t deadline_ns; /* absolute, monotonic; 0: none */
    bool gone;  /* the client reset the stream or its connection: the answer goes nowhere */
    void *user; /* the handler's */
};

/* Called when a request is complete. Must lead to exactly one rpc_server_reply per call. */
typedef void rpc_handler_fn(void *arg, struct rpc_server_call *call);

#define RPC_SERVER_MESSAGE_DEFAULT (4u * 1024 * 1024)
#define RPC_SERVER_STREAMS_DEFAULT 1000u

struct rpc_server_config {
    int listen_fd;        /* listening, non-blocking; the server takes ownership */
    uint32_t max_message; /* bytes; above it RESOURCE_EXHAUSTED; 0: 4 MB */
    uint32_t max_streams; /* concurrent, per connection; 0: 1000 */
    rpc_handler_fn *handler;
    void *arg;
};

struct rpc_server *rpc_server_new(struct loop *loop, const struct rpc_server_config *cfg);
/* Stops accepting, sends GOAWAY; calls in flight are still answered. */
void rpc_server_drain(struct rpc_server *s);
/* Calls not answered yet. */
uint32_t rpc_server_in_flight(const struct rpc_server *s);
/* health: what Health/Check says. */
void rpc_server_set_serving(struct rpc_server *s, bool serving);
/* Closes everything. Calls not answered yet are gone too: their handlers must forget them first. */
void rpc_server_free(struct rpc_server **s);

/* Value of a metadata name, or {NULL, 0}. */
struct slice rpc_server_meta(const struct rpc_server_call *call, const char *name);

/*
 * Answers and frees the call. With status RPC_OK, `payload` is the encoded reply; else it is
 * ignored. `message` is percent-encoded as grpc-message. `meta` goes out as initial metadata on
 * success and as trailers on error. Everything is copied before it returns.
 */
void rpc_server_reply(struct rpc_server *s, struct rpc_server_call *call, int status,
                      struct slice message, struct slice payload, const struct rpc_meta *meta,
                      unsigned meta_n);

#endif
