/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answers: header lines every answer carries, and refusals as problem+json (RFC 9457). Built in
 * scratch buffers of the gate; http_reply copies them.
 */
#include "gate/explain_note.h"
#include "gate/request.h"
#include "http/problem.h"

static void add_line(struct buf *b, struct slice name, struct slice value)
{
    if (value.n == 0)
        return;
    buf_slice(b, name);
    buf_slice(b, value);
    buf_add(b, "\r\n", 2);
}

static void common_headers(struct gate_request *q, struct buf *b)
{
    buf_clear(b);
    add_line(b, SLICE_LIT("X-Request-Id: "), q->request_id);
    if (q->reason != NULL)
        add_line(b, SLICE_LIT("X-Rushgate-Reason: "), slice_str(q->reason));
    buf_slice(b, q->limit_headers);
    buf_slice(b, q->split_headers);
}

static void reply(struct gate_request *q, const struct http_answer *a)
{
    if (q->explain != NULL)
        explain_answer(q, a);
    else
        http_reply(q->http, a);
}

void gate_answer_with(struct gate_request *q, struct http_answer *a)
{
    struct buf *b = &q->gate->headers;

    common_headers(q, b);
    buf_slice(b, a->headers);
    a->headers = buf_view(b);
    reply(q, a);
}

void gate_answer(struct gate_request *q, unsigned status, struct slice content_type,
                 struct slice headers, struct slice body)
{
    struct http_answer a = {
        .status = status, .content_type = content_type, .headers = headers, .body = body};

    gate_answer_with(q, &a);
}

enum phase_verdict gate_refuse_with(struct gate_request *q, const struct refusal *why)
{
    struct gate *g = q->gate;
    const struct conf_root *root = q->gen->root;
    struct http_answer a = {.status = why->status, .close = why->close};

    q->reason = why->reason;
    if (q->explain != NULL)
        explain_refusal(q, why);
    common_headers(q, &g->headers);
    buf_slice(&g->headers, why->headers);
    if (why->retry_after_s > 0) {
        buf_str(&g->headers, "Retry-After: ");
        buf_u64(&g->headers, why->retry_after_s);
        buf_add(&g->headers, "\r\n", 2);
    }
    buf_clear(&g->body);
    http_problem(&g->body, conf_slice(root, root->problem_base), slice_str(why->reason), SLICE_NONE,
                 why->status, why->detail, why->members);
    a.content_type = SLICE_LIT(HTTP_PROBLEM_TYPE);
    a.headers = buf_view(&g->headers);
    a.body = buf_view(&g->body);
    reply(q, &a);
    return PHASE_DONE;
}

enum phase_verdict gate_refuse(struct gate_request *q, unsigned status, const char *reason,
                               struct slice detail)
{
    struct refusal why = {.status = status, .reason = reason, .detail = detail};

    return gate_refuse_with(q, &why);
}
