/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP/1.1 client side: pooled keep-alive connections to plain upstreams, power-of-two balancing
 * over the endpoints, one whole response per request (buffered up to a limit). What a hostile
 * upstream may send is checked like what a hostile client may send.
 */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/slice.h"
#include "http/server.h" /* struct http_header */
#include "net/loop.h"
#include "rpc/balance.h" /* struct rpc_endpoint_config */

struct http_client;
struct http_call;
struct exchange;

struct http_client_config {
    struct slice name;
    const struct rpc_endpoint_config *endpoints;
    unsigned endpoints_n;
    bool rendezvous;
    uint32_t max_in_flight, max_idle;
    uint32_t connect_timeout_ms, idle_timeout_ms;
    uint32_t eject_failures, eject_ms;
    uint32_t retry_budget_percent;
    uint64_t max_response; /* bytes of headers and body */
};

enum http_call_error {
    HTTP_CALL_OK,
    HTTP_CALL_UNAVAILABLE, /* no endpoint, connection refused, in-flight limit: 503 */
    HTTP_CALL_TIMEOUT,     /* 504 */
    HTTP_CALL_BAD,         /* malformed, truncated or too large response: 502 */
};

struct http_response {
    enum http_call_error error;
    const char *detail; /* of an error: a short static text */
    unsigned status;
    const struct http_header
        *headers; /* end-to-end ones: hop-by-hop and framing headers are removed */
    unsigned headers_n;
    struct slice body;
    struct slice length; /* Content-Length as sent, for the answer to a HEAD; "" : there was none */
    bool sent;           /* false: the request surely never left this process */
};

/* The response is valid during the callback only. */
typedef void http_done_fn(struct http_call *call, const struct http_response *resp);

/* Embedded in the caller's object, initialised by http_call_init. Between http_call_start and the
 * callback the client links to it; freeing it needs http_call_cancel first. */
struct http_call {
    http_done_fn
        *done;        /* called exactly once, never from inside http_call_start, unless cancelled */
    struct list node; /* client's: with its other calls, or with those that failed at once */
    struct loop_timer deadline;
    struct http_client *client; /* NULL while idle */
    struct exchange *x;         /* client's: bytes of the request and of the response */
    uint64_t start_ns;
    uint32_t endpoint; /* index of the endpoint that took it last */
};

struct http_client_request {
    struct slice method, target, host; /* all borrowed until http_call_start returns */
    const struct http_header
        *headers; /* end-to-end; the client adds Host, Content-Length, Connection */
    unsigned headers_n;
    struct slice body;
    uint64_t deadline_ns; /* duration; 0: none */
    uint64_t hash;
    /* GET, HEAD, PUT, DELETE, OPTIONS: may be sent again when a pooled connection turns out closed.
     */
    bool idempotent;
    /* And, within the retry budget, to another endpoint when it may have been seen by one. */
    bool retry;
};

/* NULL when an endpoint's address is unusable or memory is out. Connects when the first call needs
 * it. */
struct http_client *http_client_new(struct loop *loop, const struct http_client_config *cfg);
/* Endpoints that stay keep their connections; calls to those that left are finished. */
void http_client_update(struct http_client *c, const struct http_client_config *cfg);
/* Calls in flight fail with HTTP_CALL_UNAVAILABLE. May be called from a callback. */
void http_client_free(struct http_client **c);

void http_call_init(struct http_call *call, http_done_fn *done);
/* Every outcome, including "no endpoint is up", arrives through the callback. */
void http_call_start(struct http_client *c, struct http_call *call,
                     const struct http_client_request *req);
/* No callback after this; the connection that carried it is closed. Harmless when idle. */
void http_call_cancel(struct http_call *call);

/* What this process knows of an upstream. */
uint64_t http_client_retries(const struct http_client *c); /* since it was made */

#endif
