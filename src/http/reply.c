/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From an answer to bytes. An answer is appended to the connection's output in one piece, with the
 * room reserved beforehand: either all of it is there or none. When it is sent is conn.c's
 * business.
 */
#include <stdio.h>

#include "http/conn.h"

#include "base/check.h"
#include "http/problem.h"

/* Upper bound of what an answer adds to its own content type, headers and body. */
#define FRAME_MAX (64 + sizeof((struct http_date *)0)->line + 20 + 40 + 32)

struct buf *http_conn_out(struct http_conn *c)
{
    if (c->out == NULL) {
        c->out = pool_get(&c->server->out_pool);
        c->out_off = 0;
    }
    return c->out != NULL ? &c->out->b : NULL;
}

static char *put(char *at, struct slice s)
{
    if (s.n > 0)
        memcpy(at, s.p, s.n);
    return at + s.n;
}

static char *put_status(char *at, unsigned status)
{
    struct slice line = http_status_line(status);

    if (line.n > 0)
        return put(at, line);
    at = put(at, SLICE_LIT("HTTP/1.1 "));
    at += fmt_u64(at, status % 1000);
    return put(at, SLICE_LIT(" Unknown\r\n"));
}

#define LENGTH_DIGITS 20 /* of the largest uint64_t */

static char *put_length(char *at, const struct http_answer *a)
{
    if (a->status == 204 || (a->status == 304 && a->body.n == 0))
        return at;
    if (a->length != NULL && (a->length->n == 0 || a->length->n > LENGTH_DIGITS))
        return at;
    at = put(at, SLICE_LIT("Content-Length: "));
    if (a->length != NULL)
        at = put(at, *a->length);
    else
        at += fmt_u64(at, a->body.n);
    return put(at, SLICE_LIT("\r\n"));
}

enum persistence { STAY, STAY_SAID, LEAVE }; /* HTTP/1.0 wants to be told that it stays */

/* Bytes appended; 0 when memory is out. */
static size_t append(struct http_conn *c, const struct http_answer *a, bool head,
                     enum persistence persistence)
{
    static const struct slice connection[] = {
        [STAY] = {"", 0},
        [STAY_SAID] = SLICE_LIT("Connection: keep-alive\r\n"),
        [LEAVE] = SLICE_LIT("Connection: close\r\n"),
    };
    struct buf *out = http_conn_out(c);
    char *at, *from;

    if (out == NULL || !buf_reserve(out, FRAME_MAX + a->content_type.n + a->headers.n + a->body.n))
        return 0;
    from = at = out->p + out->n;
    at = put_status(at, a->status);
    at = put(at, http_date_lines(&c->server->date, loop_now(c->server->loop)));
    if (a->content_type.n > 0) {
        at = put(at, SLICE_LIT("Content-Type: "));
        at = put(at, a->content_type);
        at = put(at, SLICE_LIT("\r\n"));
    }
    at = put_length(at, a);
    at = put(at, connection[persistence]);
    at = put(at, a->headers);
    at = put(at, SLICE_LIT("\r\n"));
    if (!head && a->status != 204 && a->status != 304)
        at = put(at, a->body);
    out->n += (size_t)(at - from);
    return (size_t)(at - from);
}

/* Can the connection go on behind this request, whose body may not be read yet? */
static bool body_is_small(const struct http_conn *c)
{
    if (c->state != CONN_BODY)
        return true;
    return !c->expects && (c->body_left == UINT64_MAX || c->body_left <= DROP_MAX);
}

void http_reply(struct http_request *q, const struct http_answer *a)
{
    struct http_conn *c = q->conn;
    struct http_server *s = c->server;
    bool keep;
    size_t n;

    CHECK_OBJ(c, CONN_MAGIC);
    CHECK(c->r != NULL && &c->r->pub == q);
    keep = q->keep_alive && !a->close && !s->draining && body_is_small(c);
    n = append(c, a, q->method == METHOD_HEAD, !keep ? LEAVE : q->minor > 0 ? STAY : STAY_SAID);
    /* Where the client asked for the end it sends nothing more, unless it has done so already. */
    if (!keep)
        c->linger = q->keep_alive || c->state == CONN_BODY || c->at < c->n;
    c->closing = !keep || n == 0;
    s->handler.on_done(s->arg, q, a->status, n);
    http_request_put(c);
    c->served++;
    if (c->state != CONN_BODY) {
        http_request_next(c);
    } else {
        c->state = CONN_DROP;
        c->body_limit = DROP_MAX;
    }
    if (!c->busy)
        loop_defer(s->loop, &c->resume);
}

void http_conn_refuse(struct http_conn *c, enum http_fault f)
{
    const struct http_fault_info *i = http_fault_info(f);
    struct http_server *s = c->server;
    struct http_answer a = {.status = i->status, .content_type = SLICE_LIT(HTTP_PROBLEM_TYPE)};
    bool head = c->r != NULL && c->r->pub.method == METHOD_HEAD;
    char line[96];
    size_t n;

    n = (size_t)snprintf(line, sizeof line, "X-Rushgate-Reason: %s\r\n", i->reason);
    a.headers = slice_of(line, n < sizeof line ? n : 0);
    buf_clear(&s->scratch);
    s->handler.on_refuse(s->arg, i->status, i->reason, i->detail, &s->scratch);
    a.body = buf_view(&s->scratch);
    n = append(c, &a, head, LEAVE);
    c->closing = c->linger = true;
    s->handler.on_done(s->arg, c->r != NULL ? &c->r->pub : NULL, i->status, n);
    if (c->r != NULL)
        http_request_put(c);
}
