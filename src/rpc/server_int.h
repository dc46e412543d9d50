/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside the gRPC server: server.c listens and answers, server_conn.c runs connections.
 *
 * A call exists from the HEADERS that open its stream until both are over: the stream (closed or
 * reset) and the handler's duty (answered, or never dispatched). Which is still due is in
 * stream_open and dispatched; where the call is linked follows: the connection's `calls`, or the
 * server's `orphans` when the connection is gone and the handler has yet to answer, or `free`.
 */
#ifndef RPC_SERVER_INT_H
#define RPC_SERVER_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "rpc/h2.h"
#include "rpc/hpack.h"
#include "rpc/server.h"
#include "rpc/wire.h"

#define SERVER_FREE_CALLS    4096u
#define SERVER_CONNS_MAX     4096u
#define SERVER_ACCEPT_MAX    64u    /* of one turn */
#define SERVER_IN_FLIGHT_MAX 65536u /* calls with handlers, orphans too */
/* What one connection may have us hold: bytes of its requests, bytes of answers it has not read. */
#define SERVER_BUFFER_MAX (64u * 1024 * 1024)
#define SERVER_HELD_MAX   (256u * 1024 * 1024)

struct rpc_server {
    struct loop *loop;
    struct rpc_server_config cfg;
    struct h2_io io;
    struct event accept;
    struct loop_timer accept_again; /* after descriptors ran out */
    struct list conns, orphans, free;
    unsigned conns_n, free_n, in_flight;
    unsigned busy; /* functions on the stack that go on using the server */
    bool serving, draining, dead;
};

struct server_conn {
    struct h2_conn h2; /* first */
    struct rpc_server *server;
    struct list node;
    struct list calls;
    unsigned calls_n;
    size_t buffered;             /* body bytes of its calls */
    size_t held;                 /* answer bytes of its calls */
    struct hpack hpack;          /* what the peer knows of our headers */
    struct server_call *reading; /* whose request's header block comes; NULL: nobody's */
    struct server_call *sending; /* its HEADERS are being sent, and it stays until they are */
};

struct server_call {
    struct rpc_server_call pub; /* first */
    struct list node;
    struct rpc_server *server;
    struct server_conn *conn; /* NULL: gone */
    int32_t stream;
    bool stream_open;
    bool dispatched; /* the handler has it */
    bool answered;
    bool early; /* answered before the request was complete */
    bool grpc, post, bad_timeout;
    uint64_t timeout_ns; /* UINT64_MAX: none */
    struct buf in;       /* the body */
    struct meta_set meta;
    struct buf path;

    struct buf out; /* the answer: its fields' names and values, one behind the other; its body */
    struct slice body;
    size_t body_sent;
    const char *http_status; /* static; NULL: 200 */
    bool headers_sent;       /* what comes is the trailers */
    unsigned fields_n;
    struct {
        uint32_t name_n, value_n;
    } fields[WIRE_META_MAX + 2]; /* with grpc-status and grpc-message */
};

/* server.c */
void server_enter(struct rpc_server *s);
void server_leave(struct rpc_server *s);
struct server_call *server_call_new(struct rpc_server *s, struct server_conn *conn, int32_t stream);
/* Either its stream or its handler is done: frees it when both are. */
void server_call_release(struct server_call *call);
/* A complete request: to the handler, or answered here. */
void server_dispatch(struct server_call *call);
/* Submits an answer; the call stays linked until its stream closes. */
void server_answer(struct server_call *call, int status, struct slice message, struct slice payload,
                   const struct rpc_meta *meta, unsigned meta_n);
/* The fields of its next HEADERS, which leave now: those of the answer, then the trailers. */
void server_headers(struct server_call *call, struct buf *block);
/* An HTTP status instead of a gRPC one: 405, 415. */
void server_answer_http(struct server_call *call, const char *http_status);

/* server_conn.c */
void server_conn_open(struct rpc_server *s, int fd);
void server_conn_drain(struct server_conn *conn);

#endif
