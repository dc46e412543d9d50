/* SPDX-License-Identifier: BSD-2-Clause */
#include "http/response.h"

#include "http/headers.h"

void http_response_begin(struct response *r, bool no_body, uint64_t max_bytes)
{
    buf_clear(&r->head);
    buf_clear(&r->body);
    buf_clear(&r->tail);
    r->scan = (struct head_scan){0};
    r->chunk = (struct chunked){0};
    r->left = 0;
    r->max_bytes = max_bytes;
    r->fault = NULL;
    r->kind = BODY_NONE;
    r->interim = 0;
    r->no_body = no_body;
    r->has_head = r->excess = false;
}

void http_response_fini(struct response *r)
{
    buf_free(&r->head);
    buf_free(&r->body);
    buf_free(&r->tail);
}

static enum response_state bad(struct response *r, const char *why)
{
    r->fault = why;
    return RESPONSE_BAD;
}

static enum response_state feed_length(struct response *r, const char *p, size_t n)
{
    size_t take = n < r->left ? n : (size_t)r->left;

    buf_add(&r->body, p, take);
    r->left -= take;
    r->excess = take < n;
    if (r->body.failed)
        return bad(r, "out of memory");
    return r->left == 0 ? RESPONSE_COMPLETE : RESPONSE_MORE;
}

static enum response_state feed_chunked(struct response *r, const char *p, size_t n)
{
    enum http_fault f;
    size_t used;

    buf_add(&r->tail, p, n);
    f = chunked_decode(&r->chunk, r->tail.p, r->tail.n, &used, r->max_bytes, &r->body);
    if (f != FAULT_NONE)
        return bad(r, f == FAULT_BODY_BIG ? "response body too large" : "malformed chunked body");
    if (r->tail.failed || r->body.failed)
        return bad(r, "out of memory");
    buf_consume(&r->tail, used);
    if (r->chunk.state != CHUNK_DONE)
        return RESPONSE_MORE;
    r->excess = r->tail.n > 0;
    return RESPONSE_COMPLETE;
}

static enum response_state feed_body(struct response *r, const char *p, size_t n)
{
    switch (r->kind) {
    case BODY_LENGTH:
        return feed_length(r, p, n);
    case BODY_CHUNKED:
        return feed_chunked(r, p, n);
    case BODY_TO_END:
        if (n > r->max_bytes - r->body.n)
            return bad(r, "response body too large");
        buf_add(&r->body, p, n);
        return r->body.failed ? bad(r, "out of memory") : RESPONSE_MORE;
    default:
        r->excess = n > 0;
        return RESPONSE_COMPLETE;
    }
}

/* RFC 9112 section 6.3, in its order. */
static enum response_state choose_body(struct response *r)
{
    if (r->no_body || r->h.status == 204 || r->h.status == 304)
        r->kind = BODY_NONE;
    else if (r->h.chunked)
        r->kind = BODY_CHUNKED;
    else if (r->h.has_length)
        r->kind = r->h.length > 0 ? BODY_LENGTH : BODY_NONE;
    else
        r->kind = BODY_TO_END;
    r->left = r->h.length;
    if (r->kind == BODY_LENGTH && r->left > r->max_bytes)
        return bad(r, "response body too large");
    return RESPONSE_MORE;
}

/* The head is complete at scan.line; what follows it in the same buffer is body, or the real answer
 * behind an interim one (101 is none: nothing here asks for an upgrade). */
static enum response_state take_head(struct response *r)
{
    size_t end = r->scan.line, rest = r->head.n - end;

    r->h = (struct head){.headers = r->headers, .headers_cap = RESPONSE_HEADERS_MAX};
    if (head_parse_response(&r->h, r->head.p, end) != FAULT_NONE)
        return bad(r, "ambiguous or malformed response headers");
    if (r->h.status >= 200) {
        r->has_head = true;
        if (choose_body(r) == RESPONSE_BAD)
            return RESPONSE_BAD;
        return rest > 0 || r->kind == BODY_NONE ? feed_body(r, r->head.p + end, rest)
                                                : RESPONSE_MORE;
    }
    if (r->h.status == 101 || ++r->interim > RESPONSE_INTERIM_MAX)
        return bad(r, "unexpected interim response");
    buf_consume(&r->head, end);
    r->scan = (struct head_scan){0};
    return rest > 0 ? http_response_feed(r, NULL, 0) : RESPONSE_MORE;
}

enum response_state http_response_feed(struct response *r, const char *p, size_t n)
{
    struct head_limits limits = {.max_line = 8192,
                                 .max_headers = RESPONSE_HEADERS_MAX,
                                 .max_header_bytes = 65536,
                                 .response = true};
    enum http_fault f = FAULT_NONE;

    if (r->has_head)
        return feed_body(r, p, n);
    buf_add(&r->head, p, n);
    if (r->head.failed)
        return bad(r, "out of memory");
    switch (head_scan(&r->scan, r->head.p, (uint32_t)r->head.n, &limits, &f)) {
    case HEAD_MORE:
        return RESPONSE_MORE;
    case HEAD_COMPLETE:
        return take_head(r);
    case HEAD_FAULT:
        break;
    }
    return bad(r, http_fault_info(f)->status == 431 ? "response headers too large"
                                                    : "malformed response");
}

enum response_state http_response_end(struct response *r)
{
    if (r->has_head && r->kind == BODY_TO_END)
        return RESPONSE_COMPLETE;
    return bad(r, r->head.n > 0 ? "truncated response" : "connection closed before a response");
}

static bool for_this_hop(struct slice name, const struct response *r, unsigned n)
{
    if (http_hop_by_hop(name) || slice_eq_nocase(name, SLICE_LIT("content-length")))
        return true;
    for (unsigned i = 0; i < n; i++) {
        if (slice_eq_nocase(r->headers[i].name, SLICE_LIT("connection")) &&
            http_list_has(r->headers[i].value, name))
            return true;
    }
    return false;
}

void http_response_strip(struct response *r)
{
    bool drop[RESPONSE_HEADERS_MAX];
    unsigned kept = 0, n = r->h.headers_n;

    r->length = SLICE_NONE;
    for (unsigned i = 0; i < n; i++) {
        drop[i] = for_this_hop(r->headers[i].name, r, n);
        if (slice_eq_nocase(r->headers[i].name, SLICE_LIT("content-length")))
            r->length = r->headers[i].value;
    }
    for (unsigned i = 0; i < n; i++) {
        if (!drop[i])
            r->headers[kept++] = r->headers[i];
    }
    r->h.headers_n = kept;
}
