/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The buyers' side of HTTP: a pool of connections to the gateway, one request at a time on each.
 * What does not find a connection waits in the backlog, and its wait counts as latency.
 *
 *   exchange:  idle -> backlog -> on a connection -> done() -> idle
 *   connection: busy (its exchange) | on wire.idle | closed
 */
#ifndef STAMPEDE_WIRE_H
#define STAMPEDE_WIRE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/slice.h"
#include "net/loop.h"

enum wire_error {
    WIRE_OK,
    WIRE_CONNECT, /* no connection: the request never left */
    WIRE_CUT,     /* the connection ended before the answer: outcome unknown */
    WIRE_TIMEOUT, /* outcome unknown */
    WIRE_BAD,     /* what came is not HTTP: outcome unknown */
    WIRE_QUIT,    /* we closed it on purpose: outcome unknown */
    WIRE_ERRORS
};
const char *wire_error_name(enum wire_error e);

/* Valid during done() only. */
struct wire_result {
    enum wire_error error;
    unsigned status;
    struct slice reason;    /* X-Rushgate-Reason, or "" */
    unsigned retry_after_s; /* 0: none */
    struct slice body;
};

struct exchange;
struct wire_conn;
typedef void exchange_fn(struct exchange *x, const struct wire_result *r);

/* Embedded in its owner. */
struct exchange {
    exchange_fn *done;      /* exactly once per wire_start, never from inside it */
    struct wire_conn *conn; /* NULL unless on a connection */
    struct list node;       /* wire.backlog, while waiting */
    struct buf request;     /* owned; filled by the owner before wire_start */
    bool fresh;             /* wants a connection of its own, closed after the answer */
    bool quit;              /* close as soon as the request is written */
};

struct wire {
    struct loop *loop;
    struct sockaddr_storage address;
    socklen_t address_n;
    struct list idle;    /* of wire_conn.node, most recently used first */
    struct list backlog; /* of exchange.node */
    uint32_t conns, max_conns;
    uint32_t backlog_n, backlog_max;
    uint64_t timeout_ns;
    uint64_t opened;   /* connections ever */
    uint64_t idle_cut; /* kept-alive connections that the server closed while idle */
    struct buf body;   /* of the result being delivered */
};

/* Resolves host and port; dies where that fails. */
void wire_init(struct wire *w, struct loop *loop, const char *host, const char *port,
               uint32_t max_conns, uint64_t timeout_ns);
/* Everything must be idle. */
void wire_fini(struct wire *w);

void exchange_init(struct exchange *x, exchange_fn *done);
void exchange_fini(struct exchange *x);
void wire_start(struct wire *w, struct exchange *x);

/* A connected or connecting non-blocking TCP socket, or -errno. */
int wire_socket(const struct sockaddr_storage *address, socklen_t address_n);
void wire_resolve(const char *host, const char *port, struct sockaddr_storage *out, socklen_t *n);

#endif
