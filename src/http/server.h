/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP/1.1 server side: connections, framing, limits, keep-alive, pipelining. It knows nothing of
 * routes: a complete request is handed to one function, which answers it now or later by
 * http_reply.
 *
 * A connection answers in order: while a request waits for its upstream nothing behind it is
 * parsed. Its buffers exist only while a request does; idle, it is the bare struct (at most 1 KB
 * with libevent's part).
 *
 * Decided here: at the connection limit a new connection gets a bare 503 and is closed. A client
 * that ends its sending side while its request waits has left (on_abort). A request with
 * "Connection: close" is closed at once when its answer is sent; where this side decides to close,
 * it ends its sending side, and reads and drops for up to a second so that the answer is not lost
 * to a reset.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "http/method.h"
#include "net/loop.h"

struct http_server;
struct http_conn;

struct http_header {
    struct slice name, value; /* as sent; in the connection's read buffer */
};

/* A complete request. Everything it points at lives until it is answered. */
struct http_request {
    struct http_conn *conn;
    struct arena arena; /* for whoever handles it; reset after the answer */
    enum http_method_id method;
    uint8_t minor;            /* HTTP/1.<minor> */
    bool keep_alive;          /* the connection stays open after the answer */
    struct slice target;      /* raw request target */
    struct slice path, query; /* of an origin or absolute form; query without '?' */
    struct slice host; /* of the absolute form or the Host header, without port; "" in HTTP/1.0 */
    struct slice body; /* de-chunked */
    struct http_header *headers;
    unsigned headers_n;
    uint8_t peer[16]; /* client address, IPv4 mapped */
    uint16_t peer_port;
    uint64_t start_ns; /* monotonic: when its first byte was seen */
    uint64_t bytes_in;
    void *user; /* the handler's own state */
};

struct http_answer {
    unsigned status;
    struct slice content_type; /* "" : none */
    struct slice headers;      /* complete lines, each ended by CRLF, or "" */
    struct slice body;         /* copied (or written) before http_reply returns */
    /* Instead of the body's own length, for the answer to a HEAD that was passed on; NULL: the
     * body's,
     * "": none is sent. */
    const struct slice *length;
    bool close; /* close the connection after it */
};

struct http_limits {
    uint32_t max_line, max_headers, max_header_bytes, max_connections;
    uint32_t header_timeout_ms, body_timeout_ms, idle_timeout_ms, write_timeout_ms;
    uint32_t max_requests; /* per connection; 0: no limit */
};

/* What the owner of the server implements. */
struct http_handler {
    /*
     * The request's headers are complete; its body is not read yet. Returns the largest body
     * accepted in bytes. May answer at once (http_reply): the body is then read and dropped up to a
     * small bound, else the connection closes.
     */
    uint64_t (*on_headers)(void *arg, struct http_request *r);
    /* The request is complete and not answered yet. */
    void (*on_request)(void *arg, struct http_request *r);
    /* The client left before the answer. The handler cancels what it started and must not answer; r
     * is gone when this returns. */
    void (*on_abort)(void *arg, struct http_request *r);
    /*
     * Refused by this layer (bad framing, a limit, a timeout) before there was a request: writes
     * the problem+json body for (status, reason) into out. `reason` is a word like
     * "header-timeout".
     */
    void (*on_refuse)(void *arg, unsigned status, const char *reason, const char *detail,
                      struct buf *out);
    /*
     * Called once per answered request, refusals of this layer included. r is NULL where the
     * refusal came before on_headers; a request that was refused after it (body too large, body
     * timeout, malformed chunk) comes with its r, and that is the end of it: no on_abort follows.
     */
    void (*on_done)(void *arg, struct http_request *r, unsigned status, uint64_t bytes_out);
};

struct http_server *http_server_new(struct loop *loop, const struct http_limits *limits,
                                    const struct http_handler *handler, void *arg);
/* Applies to connections from their next request on. */
void http_server_set_limits(struct http_server *s, const struct http_limits *limits);
/* Accepts from fd, which stays the caller's (an inherited listener). */
int http_server_listen(struct http_server *s, int fd) __attribute__((warn_unused_result));
/*
 * Stops accepting; idle connections close, busy ones after the answer in progress, which says
 * "Connection: close". One that never asked yet has a second to do so.
 *
 * A client that sends a request while its idle connection is being closed loses it. With
 * patience_ms not 0 idle connections therefore stay for so long: the next answer ends them.
 */
void http_server_drain(struct http_server *s, uint32_t patience_ms);
/* Ends draining: accepts again. Connections that were told to close still do. */
void http_server_resume(struct http_server *s);
/* Accepts what the listeners' queues hold. For a drain whose listeners nobody serves afterwards:
 * what is still queued when they are closed is reset. */
void http_server_take_queue(struct http_server *s);
/* Serves a connection that was accepted elsewhere; fd (non-blocking) is the server's from then on,
 * sa (or NULL) its peer. 0 or -ENOMEM, fd being closed. */
int http_server_adopt(struct http_server *s, int fd, const struct sockaddr *sa)
    __attribute__((warn_unused_result));
/* The Server header from now on; "" sends none. At most 64 bytes; "rushgate" at first. */
void http_server_set_name(struct http_server *s, struct slice name);

/* Since the server was made. */
struct http_server_totals {
    uint64_t accepted;
    uint64_t refused; /* closed at once: the connection limit */
    uint64_t reset;   /* ended by an error or by the write timeout */
    uint64_t aborted; /* requests whose client left */
};
const struct http_server_totals *http_server_totals(const struct http_server *s);

uint32_t http_server_connections(const struct http_server *s);
uint32_t http_server_requests(const struct http_server *s); /* being handled */
void http_server_free(struct http_server **s);

/* Value of a request header, name in any case; {NULL, 0} when absent, the first when repeated. */
struct slice http_header_get(const struct http_request *r, struct slice name);

/*
 * Answers r, once. Adds Date, Content-Length, Connection and the Server name; HEAD, 204 and 304 go
 * without a body. r is freed when this returns. Answers of one turn to one connection leave in one
 * write at the end of the turn.
 */
void http_reply(struct http_request *r, const struct http_answer *a);

#endif
