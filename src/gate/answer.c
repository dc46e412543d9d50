/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answers: header lines every answer carries, and refusals as problem+json (RFC 9457). Built in
 * scratch buffers of the gate; http_reply copies them. What is the same in all refusals of a kind
 * stands ready (refusal_text.h).
 */
#include "gate/explain_note.h"
#include "gate/request.h"
#include "http/problem.h"

#define REQUEST_ID  SLICE_LIT("X-Request-Id: ")
#define RETRY_AFTER SLICE_LIT("Retry-After: ")
#define NUMBER_MAX  20u

static char *put(char *at, struct slice s)
{
    if (s.n > 0)
        memcpy(at, s.p, s.n);
    return at + s.n;
}

static char *put_end(char *at)
{
    memcpy(at, "\r\n", 2);
    return at + 2;
}

/* The lines of any answer, `reason` and `own` among them; retry_after_s 0: no such line. */
static void header_lines(struct gate_request *q, struct slice reason, struct slice own,
                         uint32_t retry_after_s)
{
    struct buf *b = &q->gate->headers;
    size_t most = REQUEST_ID.n + q->request_id.n + reason.n + q->limit_headers.n +
                  q->split_headers.n + own.n + RETRY_AFTER.n + NUMBER_MAX + 4;
    char *at;

    buf_clear(b);
    if (!buf_reserve(b, most))
        return;
    at = b->p;
    if (q->request_id.n > 0)
        at = put_end(put(put(at, REQUEST_ID), q->request_id));
    at = put(at, reason);
    at = put(at, q->limit_headers);
    at = put(at, q->split_headers);
    at = put(at, own);
    if (retry_after_s > 0) {
        at = put(at, RETRY_AFTER);
        at += fmt_u64(at, retry_after_s);
        at = put_end(at);
    }
    b->n = (size_t)(at - b->p);
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
    header_lines(q, SLICE_NONE, a->headers, 0);
    a->headers = buf_view(&q->gate->headers);
    reply(q, a);
}

void gate_answer(struct gate_request *q, unsigned status, struct slice content_type,
                 struct slice headers, struct slice body)
{
    struct http_answer a = {
        .status = status, .content_type = content_type, .headers = headers, .body = body};

    gate_answer_with(q, &a);
}

/* The document with further members before its end. */
static struct slice with_members(struct gate *g, struct slice document, struct slice members)
{
    struct buf *b = &g->body;

    if (members.n == 0)
        return document;
    buf_clear(b);
    buf_add(b, document.p, document.n - REFUSAL_END);
    buf_char(b, ',');
    buf_slice(b, members);
    buf_add(b, document.p + document.n - REFUSAL_END, REFUSAL_END);
    return buf_view(b);
}

enum phase_verdict gate_refuse_with(struct gate_request *q, const struct refusal *why)
{
    struct slice base = conf_slice(q->gen->root, q->gen->root->problem_base);
    struct http_answer a = {.status = why->status, .close = why->close};
    const struct refusal_text *text;

    q->reason = why->reason;
    if (q->explain != NULL)
        explain_refusal(q, why);
    text =
        refusal_text_get(&q->gen->refusals, base, why->status, slice_str(why->reason), why->detail);
    header_lines(q, text != NULL ? text->line : SLICE_NONE, why->headers, why->retry_after_s);
    if (text != NULL) {
        a.content_type = SLICE_LIT(HTTP_PROBLEM_TYPE);
        a.body = with_members(q->gate, text->document, why->members);
    }
    a.headers = buf_view(&q->gate->headers);
    reply(q, &a);
    return PHASE_DONE;
}

enum phase_verdict gate_refuse(struct gate_request *q, unsigned status, const char *reason,
                               struct slice detail)
{
    struct refusal why = {.status = status, .reason = reason, .detail = detail};

    return gate_refuse_with(q, &why);
}
