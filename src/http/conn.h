/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of the HTTP server: one connection and what connections of a server share. Only files of
 * this folder (and its tests) include it.
 *
 *            bytes                 head complete             body complete          answered
 *   HEAD ------------> head_scan -----------------> BODY ------------------> WAIT -----------> HEAD
 *                          |                          | answered early                           |
 *                          v fault                    v                                          |
 * close refused --> LINGER          DROP (rest of the body) --> HEAD             v LINGER or closed
 *
 * Input buffer of a connection (`in`), while it has one:
 *
 *   0        pos              body          at              n            cap
 *   | done   | head           | staged body | not looked at  | free       |
 *
 * What a request points at never moves until the request is answered: its head stays at `pos`, its
 * body is either behind the head in the same buffer (when its length is known and fits) or in the
 * request's own buffer. Only between requests are the bytes moved to the front.
 *
 * One recv per readiness and one send per turn: answers are collected in `out`, which is sent when
 * the read callback returns or, for answers given later, at the end of the loop's turn.
 */
#ifndef HTTP_CONN_H
#define HTTP_CONN_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/list.h"
#include "http/chunked.h"
#include "http/head.h"
#include "http/headers.h"
#include "http/pool.h"
#include "http/server.h"

#define IN_CAP   4096u        /* bytes of a pooled input block, header included */
#define IN_ROOM  1024u        /* at least so much is free behind a head */
#define OUT_KEEP (64u * 1024) /* larger output buffers are not kept */
#define OUT_TOTAL                                                                                  \
    (256u << 20) /* unsent bytes of all connections above which slow readers are cut */
#define OUT_HIGH        (64u * 1024) /* unsent bytes above which no further request is looked at */
#define BODY_KEEP       (64u * 1024)
#define DROP_MAX        (64u * 1024)  /* of an unwanted body, to keep the connection */
#define LINGER_MAX      (256u * 1024) /* read and dropped while a refused client is still sending */
#define LINGER_MS       1000u
#define BODY_MIN_RATE   512u /* bytes a second a body must average after its first body_timeout */
#define ACCEPT_BATCH    64u
#define ACCEPT_PAUSE_MS 100u
#define DRAIN_GRACE_MS  1000u

enum conn_state { CONN_HEAD, CONN_BODY, CONN_WAIT, CONN_DROP, CONN_LINGER };

struct in_block {
    struct pool_node node;
    uint32_t cap;
    char p[];
};

struct out_block {
    struct pool_node node;
    struct buf b;
};

struct request {
    struct pool_node node;
    struct http_request pub; /* what the handler sees */
    struct buf body;         /* of a body that is not in the input buffer */
    unsigned headers_cap;
    struct http_header headers[];
};

#define CONN_MAGIC 0x636f6e6eu

struct http_conn {
    uint32_t magic;
    int fd;
    uint8_t state; /* enum conn_state */
    bool busy;     /* inside http_conn_process: answers are sent when it is done */
    bool blocked;  /* the socket takes no more: watching for write, not for read */
    bool reading;  /* watching for read */
    bool ended;    /* the client sends nothing more than what is in the socket */
    bool closing;  /* nothing more is read as a request; close when `out` is sent */
    bool linger;   /* the client may be sending: do not just close */
    bool expects;  /* the client waits for 100 before it sends the body, and has not got it */
    bool in_place; /* the body stays behind the head in `in` */
    uint8_t peer[16];
    uint16_t peer_port;
    uint32_t served; /* answers given */
    struct http_server *server;
    struct list node; /* on server.conns */
    struct event ev;
    struct loop_timer timer; /* fires at or before deadline_ns, or when none is set: armed lazily */
    uint64_t deadline_ns;    /* 0: none */
    struct loop_hook resume; /* after an answer from outside http_conn_process */
    struct in_block *in;     /* NULL while idle */
    uint32_t pos, body, at, n;
    struct head_scan scan;
    struct out_block *out; /* NULL while nothing is to be sent */
    size_t out_off;        /* sent already */
    size_t unsent;         /* while blocked: its share of server.unsent */
    struct request *r;     /* from its head to its answer */
    uint64_t first_ns;     /* when the first byte of this request was seen; 0: none yet */
    uint64_t body_left;    /* bytes missing of a body with a length; chunked: UINT64_MAX */
    uint64_t body_limit;
    uint64_t body_ns;   /* when the body began to be read */
    uint64_t body_read; /* raw bytes of the body so far */
    struct chunked chunk;
};

_Static_assert(sizeof(struct http_conn) <= 768, "an idle connection costs at most 1 KB");

struct listener {
    struct listener *next;
    struct http_server *server;
    struct event ev;
    int fd; /* the caller's */
};

struct http_server {
    struct loop *loop;
    struct http_limits limits;
    struct head_limits head; /* the same, as head_scan wants them */
    struct http_handler handler;
    void *arg;
    struct list conns; /* http_conn.node: all of them */
    struct listener *listeners;
    uint32_t connections, requests;
    uint64_t unsent; /* bytes that blocked connections hold */
    struct http_server_totals totals;
    bool draining, accept_paused, accept_logged;
    struct loop_timer accept_timer;
    struct loop_hook drain;
    struct loop_timer drain_timer; /* grace for connections that have not asked yet */
    uint32_t patience_ms;          /* of a drain; 0: only those that never asked have a grace */
    struct http_date date;
    struct arena_pool arenas;
    struct pool conn_pool, in_pool, out_pool, request_pool;
    struct buf scratch; /* body of a refusal */
};

/* conn.c: life of a connection. */
struct http_conn *http_conn_new(struct http_server *s, int fd, const struct sockaddr *sa);
void http_conn_close(struct http_conn *c);
void http_conn_reset(struct http_conn *c); /* close with RST: the peer reads nothing more */
/* An idle connection of a draining server: serves a request that has just arrived, or closes (with
 * `stay` it may arrive later). */
void http_conn_drain(struct http_conn *c, bool stay);
/* Does what can be done with what was read and answered; the connection may be gone afterwards. */
void http_conn_process(struct http_conn *c);
/* Before a request is parsed: moves it to the front of the buffer, or else takes a block that holds
 * the longest head. False when memory is out. */
bool http_conn_make_room(struct http_conn *c);
/* True while it waits for the first byte of a request with nothing to send. */
bool http_conn_idle(const struct http_conn *c);

/* request.c: from bytes to a request. True when there is more to do at once. */
bool http_request_step(struct http_conn *c);
void http_request_put(struct http_conn *c);  /* frees c->r */
void http_request_next(struct http_conn *c); /* the body is consumed: on to what follows it */

/* reply.c: from an answer to bytes. */
struct buf *http_conn_out(struct http_conn *c); /* where to append; NULL when memory is out */
void http_conn_refuse(struct http_conn *c, enum http_fault f);

void http_request_pool_fini(struct pool *p);
/* Bytes of a pooled request with room for so many headers. */
size_t http_request_size(uint32_t max_headers);

#endif
