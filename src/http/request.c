/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From bytes to a request: takes the next step that the bytes in the buffer allow. Called in a loop
 * by http_conn_process until it says that more bytes, or an answer, are needed. See conn.h.
 */
#include "http/conn.h"

#include <stdlib.h>

#include "base/check.h"

static const struct slice continue_line = SLICE_LIT("HTTP/1.1 100 Continue\r\n\r\n");

size_t http_request_size(uint32_t max_headers)
{
    return sizeof(struct request) + max_headers * sizeof(struct http_header);
}

static void request_free(struct request *r)
{
    buf_free(&r->body);
    free(r);
}

static struct request *request_get(struct http_server *s)
{
    struct request *r;

    /* A block of an earlier, smaller limit may still be on the list. */
    while ((r = pool_get(&s->request_pool)) != NULL && r->headers_cap != 0 &&
           r->headers_cap < s->limits.max_headers)
        request_free(r);
    if (r != NULL && r->headers_cap == 0)
        r->headers_cap = s->limits.max_headers;
    return r;
}

static void request_recycle(struct http_server *s, struct request *r)
{
    arena_reset(&r->pub.arena);
    if (s->request_pool.n >= s->request_pool.keep) {
        request_free(r);
        return;
    }
    if (r->body.cap > BODY_KEEP)
        buf_free(&r->body);
    buf_clear(&r->body);
    pool_put(&s->request_pool, r);
}

void http_request_put(struct http_conn *c)
{
    struct request *r = c->r;

    c->r = NULL;
    c->server->requests--;
    request_recycle(c->server, r);
}

void http_request_pool_fini(struct pool *p)
{
    while (p->free != NULL)
        request_free(CONTAINER_OF(pool_get(p), struct request, node));
}

void http_request_next(struct http_conn *c)
{
    c->state = CONN_HEAD;
    c->pos = c->at;
    c->scan = (struct head_scan){0};
    c->first_ns = 0;
}

/* Hands the complete request over; it may be answered when this returns. */
static bool complete(struct http_conn *c)
{
    c->state = CONN_WAIT;
    c->deadline_ns = 0;
    c->server->handler.on_request(c->server->arg, &c->r->pub);
    return true;
}

static void fill_request(struct http_conn *c, struct request *r, const struct head *h)
{
    struct http_server *s = c->server;
    struct http_request *q = &r->pub;

    /* Field by field: to zero the whole first costs more than all of this. */
    q->conn = c;
    arena_init(&q->arena, &s->arenas);
    q->method = h->method;
    q->minor = h->minor;
    q->target = h->target;
    q->path = h->path;
    q->query = h->query;
    q->host = h->host;
    q->body = SLICE_NONE;
    q->headers = r->headers;
    q->headers_n = h->headers_n;
    q->peer_port = c->peer_port;
    q->start_ns = c->first_ns;
    q->bytes_in = c->scan.line;
    q->user = NULL;
    memcpy(q->peer, c->peer, sizeof q->peer);
    q->keep_alive = h->keep_alive && !s->draining &&
                    (s->limits.max_requests == 0 || c->served + 1 < s->limits.max_requests);
}

/* Where the bytes of the body go, decided once its largest size is known. */
static bool begin_body(struct http_conn *c, const struct head *h)
{
    struct buf *out;

    if (h->has_length && h->length > c->body_limit) {
        http_conn_refuse(c, FAULT_BODY_BIG);
        return false;
    }
    c->in_place = h->has_length && h->length <= c->in->cap - c->at;
    if (!h->expect || c->at < c->n)
        return true;
    if ((out = http_conn_out(c)) == NULL) {
        http_conn_refuse(c, FAULT_MEMORY);
        return false;
    }
    buf_slice(out, continue_line);
    return true;
}

static bool begin_request(struct http_conn *c, struct request *r, const struct head *h)
{
    struct http_server *s = c->server;
    bool has_body = h->chunked || h->length > 0;
    uint64_t limit;

    fill_request(c, r, h);
    c->r = r;
    s->requests++;
    c->at = c->body = c->pos + c->scan.line;
    c->body_left = h->chunked ? UINT64_MAX : h->length;
    c->chunk = (struct chunked){0};
    c->body_read = 0;
    c->body_limit = DROP_MAX;
    c->body_ns = c->first_ns;
    c->in_place = false;
    c->expects = h->expect && has_body;
    c->state = has_body ? CONN_BODY : CONN_WAIT;
    limit = s->handler.on_headers(s->arg, &r->pub);
    if (c->r == NULL) /* answered at once */
        return true;
    if (!has_body)
        return complete(c);
    c->body_limit = limit;
    c->expects = false;
    return begin_body(c, h);
}

/* Behind the head there must be room to stage a body in; once it is parsed nothing moves any more.
 */
static bool body_room(struct http_conn *c)
{
    while (c->in->cap - c->pos - c->scan.line < IN_ROOM) {
        if (!http_conn_make_room(c))
            return false;
    }
    return true;
}

/* The head is complete and each of its lines is well-formed. */
static bool take_head(struct http_conn *c)
{
    struct request *r;
    struct head h;
    enum http_fault f;

    r = body_room(c) ? request_get(c->server) : NULL;
    if (r == NULL) {
        http_conn_refuse(c, FAULT_MEMORY);
        return false;
    }
    h.headers = r->headers;
    h.headers_cap = r->headers_cap;
    f = head_parse_request(&h, c->in->p + c->pos + c->scan.start, c->scan.line - c->scan.start);
    if (f != FAULT_NONE) {
        request_recycle(c->server, r);
        http_conn_refuse(c, f);
        return false;
    }
    return begin_request(c, r, &h);
}

/* A plain head that has arrived whole, with room for a body behind it; NULL: head_scan has to look.
 */
static struct request *take_plain(struct http_conn *c, struct head *h)
{
    struct request *r = request_get(c->server);
    size_t n;

    if (r == NULL)
        return NULL;
    h->headers = r->headers;
    h->headers_cap = r->headers_cap;
    n = head_plain_request(h, c->in->p + c->pos, c->n - c->pos, &c->server->head);
    if (n == 0 || c->in->cap - c->pos - n < IN_ROOM) {
        request_recycle(c->server, r);
        return NULL;
    }
    c->scan.line = (uint32_t)n;
    return r;
}

static bool step_head(struct http_conn *c)
{
    enum http_fault f = FAULT_NONE;
    struct request *r;
    struct head h;

    if (c->pos == c->n)
        return false;
    if (c->first_ns == 0)
        c->first_ns = loop_now(c->server->loop);
    if (c->scan.seen == 0 && (r = take_plain(c, &h)) != NULL)
        return begin_request(c, r, &h);
    switch (head_scan(&c->scan, c->in->p + c->pos, c->n - c->pos, &c->server->head, &f)) {
    case HEAD_MORE:
        if (c->scan.lines == 0 && c->scan.line == c->n - c->pos) {
            /* Only empty lines, as some clients send behind a body: the connection is still idle.
             */
            c->at = c->n;
            http_request_next(c);
        }
        return false;
    case HEAD_COMPLETE:
        return take_head(c);
    case HEAD_FAULT:
        break;
    }
    http_conn_refuse(c, f);
    return false;
}

/* Bytes between `at` and `n` were taken: staged ones make room, those in place stay. */
static void restage(struct http_conn *c)
{
    if (c->at == c->n) {
        c->at = c->n = c->body;
    } else if (c->in->cap - c->n < IN_ROOM / 2 && c->at > c->body) {
        memmove(c->in->p + c->body, c->in->p + c->at, c->n - c->at);
        c->n -= c->at - c->body;
        c->at = c->body;
    }
}

/* Takes body bytes into `out` (NULL drops them). 1: the body is complete, 0: not yet, -1: *f. */
static int take_body(struct http_conn *c, struct buf *out, enum http_fault *f)
{
    const char *p = c->in->p + c->at;
    size_t have = c->n - c->at, used = 0;

    if (c->body_left == UINT64_MAX) {
        *f = chunked_decode(&c->chunk, p, have, &used, c->body_limit, out);
        if (*f != FAULT_NONE)
            return -1;
    } else {
        used = have < c->body_left ? have : (size_t)c->body_left;
        if (out != NULL)
            buf_add(out, p, used);
        c->body_left -= used;
    }
    c->at += (uint32_t)used;
    c->body_read += used;
    if (out != NULL && out->failed) {
        *f = FAULT_MEMORY;
        return -1;
    }
    return c->body_left == 0 || c->chunk.state == CHUNK_DONE;
}

static bool step_body(struct http_conn *c)
{
    struct request *r = c->r;
    enum http_fault f = FAULT_NONE;
    int done;

    if (c->in_place) {
        if (c->n - c->at < c->body_left) {
            c->body_read = c->n - c->at; /* progress, for the deadline */
            return false;
        }
        r->pub.body = slice_of(c->in->p + c->at, (size_t)c->body_left);
        r->pub.bytes_in += c->body_left;
        c->at += (uint32_t)c->body_left;
        c->body_left = 0;
        return complete(c);
    }
    done = take_body(c, &r->body, &f);
    if (done < 0) {
        http_conn_refuse(c, f);
        return false;
    }
    restage(c);
    if (!done)
        return false;
    r->pub.body = buf_view(&r->body);
    r->pub.bytes_in += c->body_read;
    return complete(c);
}

/* The rest of a body that nobody wants. Too much of it, or a malformed one, ends the connection. */
static bool step_drop(struct http_conn *c)
{
    enum http_fault f = FAULT_NONE;
    int done = take_body(c, NULL, &f);

    if (done < 0 || c->body_read > 2 * DROP_MAX) {
        c->closing = c->linger = true;
        return false;
    }
    restage(c);
    if (!done)
        return false;
    http_request_next(c);
    return true;
}

bool http_request_step(struct http_conn *c)
{
    switch (c->state) {
    case CONN_HEAD:
        return step_head(c);
    case CONN_BODY:
        return step_body(c);
    case CONN_DROP:
        return step_drop(c);
    default:
        return false;
    }
}
