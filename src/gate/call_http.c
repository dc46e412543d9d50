/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The upstream phase over plain HTTP/1.1: the request is passed on without its hop-by-hop headers
 * and without an identity that nobody vouched for; the response comes back the same way.
 */
#include "base/clock.h"
#include "base/hash.h"
#include "base/ip.h"
#include "gate/explain_note.h"
#include "gate/request.h"
#include "http/headers.h"

#define ADDED_HEADERS 6

static struct slice address_text(struct gate_request *q)
{
    char text[IP_TEXT_MAX];

    ip_text(q->http->peer, text);
    return arena_dup(&q->http->arena, slice_str(text));
}

/* The chain as a trusted proxy sent it and the peer behind it; from anyone else only the peer. */
static struct slice forwarded_for(struct gate_request *q)
{
    struct slice peer = address_text(q);

    if (!q->peer_trusted || q->h_forwarded_for.n == 0)
        return peer;
    return arena_printf(&q->http->arena, "%.*s, %.*s", SLICE_ARG(q->h_forwarded_for),
                        SLICE_ARG(peer));
}

/* Of one hop: by RFC 9110, or because a Connection header says so. */
static bool is_hop_by_hop(const struct http_request *r, struct slice name)
{
    if (http_hop_by_hop(name))
        return true;
    for (unsigned i = 0; i < r->headers_n; i++)
        if (slice_eq_nocase(r->headers[i].name, SLICE_LIT("connection")) &&
            http_list_has(r->headers[i].value, name))
            return true;
    return false;
}

/* As CGI and WSGI see names: without case, '_' and '-' alike. A client's X_User_Id must not arrive
 * beside our X-User-Id where both become HTTP_X_USER_ID. */
static bool same_variable(struct slice a, struct slice b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        char x = a.p[i] == '_' ? '-' : a.p[i], y = b.p[i] == '_' ? '-' : b.p[i];
        if (x != y && ((x | 0x20) != (y | 0x20) || (x | 0x20) < 'a' || (x | 0x20) > 'z'))
            return false;
    }
    return true;
}

/* Headers the gateway sets itself, so that the client's are not passed on. */
static bool is_replaced(struct gate_request *q, struct slice name)
{
    const struct conf_root *root = q->gen->root;
    const struct slice ours[] = {
        SLICE_LIT("host"),
        SLICE_LIT("content-length"),
        SLICE_LIT("expect"),
        SLICE_LIT("x-request-id"),
        SLICE_LIT("x-forwarded-for"),
        SLICE_LIT("traceparent"),
        conf_slice(root, root->identity_header),
    };

    for (unsigned i = 0; i < sizeof(ours) / sizeof(*ours); i++)
        if (same_variable(name, ours[i]))
            return true;
    return q->split != NULL && same_variable(name, conf_slice(root, q->split->header));
}

static bool pass_headers(struct gate_request *q, struct http_client_request *out)
{
    const struct http_request *r = q->http;
    const struct conf_root *root = q->gen->root;
    struct http_header *h =
        arena_alloc(&q->http->arena, (r->headers_n + ADDED_HEADERS) * sizeof(*h));
    unsigned n = 0;

    if (h == NULL)
        return false;
    for (unsigned i = 0; i < r->headers_n; i++)
        if (!is_hop_by_hop(r, r->headers[i].name) && !is_replaced(q, r->headers[i].name))
            h[n++] = r->headers[i];
    h[n++] = (struct http_header){SLICE_LIT("X-Request-Id"), q->request_id};
    h[n++] = (struct http_header){SLICE_LIT("traceparent"), trace_parent(q)};
    h[n++] = (struct http_header){SLICE_LIT("X-Forwarded-For"), forwarded_for(q)};
    if (q->identity.n > 0)
        h[n++] = (struct http_header){conf_slice(root, root->identity_header), q->identity};
    if (q->arm != NULL)
        h[n++] = (struct http_header){conf_slice(root, q->split->header),
                                      conf_slice(root, q->arm->name)};
    out->headers = h;
    out->headers_n = n;
    return true;
}

static void refuse_by_error(struct gate_request *q, const struct http_response *resp)
{
    struct refusal why = {.detail = slice_str(resp->detail)};

    switch (resp->error) {
    case HTTP_CALL_TIMEOUT:
        why.status = 504;
        why.reason = "upstream-timeout";
        break;
    case HTTP_CALL_BAD:
        why.status = 502;
        why.reason = "bad-gateway";
        break;
    default:
        why.status = 503;
        why.reason = "upstream-unavailable";
        why.retry_after_s = 1;
    }
    gate_refuse_with(q, &why);
}

static void pass_response(struct gate_request *q, const struct http_response *resp)
{
    struct buf *lines = &q->gate->body; /* the body itself is passed from the client's buffer */
    struct http_answer a = {.status = resp->status, .body = resp->body};

    buf_clear(lines);
    for (unsigned i = 0; i < resp->headers_n; i++) {
        const struct http_header *h = &resp->headers[i];
        if (slice_eq_nocase(h->name, SLICE_LIT("content-type"))) {
            a.content_type = h->value;
            continue;
        }
        /* Set by us on every answer. */
        if (slice_eq_nocase(h->name, SLICE_LIT("date")) ||
            slice_eq_nocase(h->name, SLICE_LIT("server")) ||
            slice_eq_nocase(h->name, SLICE_LIT("x-request-id")) ||
            (q->split != NULL && q->split->answer &&
             slice_eq_nocase(h->name, conf_slice(q->gen->root, q->split->header))))
            continue;
        buf_slice(lines, h->name);
        buf_add(lines, ": ", 2);
        buf_slice(lines, h->value);
        buf_add(lines, "\r\n", 2);
    }
    a.headers = buf_view(lines);
    if (q->http->method == METHOD_HEAD)
        a.length = &resp->length;
    gate_answer_with(q, &a);
}

static void on_response(struct http_call *call, const struct http_response *resp)
{
    bool ok = resp->error == HTTP_CALL_OK;
    struct gate_request *q = call_finish(CONTAINER_OF(call, struct gate_call, u.http),
                                         !ok                   ? CALL_FAILED
                                         : resp->status >= 500 ? CALL_ERROR
                                                               : CALL_ANSWERED);

    if (q == NULL)
        return;
    if (ok)
        pass_response(q, resp);
    else
        refuse_by_error(q, resp);
}

enum phase_verdict call_http_start(struct gate_request *q)
{
    struct http_client_request req = {
        .method = method_name(q->http->method),
        .target = q->http->query.p == NULL
                      ? q->http->path
                      : slice_of(q->http->path.p,
                                 (size_t)(q->http->query.p + q->http->query.n - q->http->path.p)),
        .host = q->http->host,
        .body = q->http->body,
        .deadline_ns = (uint64_t)q->route->deadline_ms * NS_PER_MS,
        .idempotent = request_idempotent(q),
        .retry = q->route->retry && request_idempotent(q),
    };
    struct gate_call *c;

    if (q->explain != NULL)
        return explain_call(q);
    if (!pass_headers(q, &req))
        return gate_refuse(q, 503, "out-of-memory", SLICE_NONE);
    req.hash = balance_hash(q);
    c = call_get(q, false, req.idempotent);
    if (c == NULL)
        return gate_refuse(q, 503, "out-of-memory", SLICE_NONE);
    http_call_init(&c->u.http, on_response);
    http_call_start(q->upstream->http, &c->u.http, &req);
    return PHASE_WAIT;
}
