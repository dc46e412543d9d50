/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The upstream phase over gRPC: JSON to protobuf, the call, protobuf to JSON.
 *
 * What travels besides the message is a contract that any service can speak (docs/api.md,
 * "Metadata"): towards it rushgate-buyer, idempotency-key, x-request-id, traceparent; from it
 * rushgate-http-status, rushgate-reason, rushgate-problem, rushgate-replayed, retry-after,
 * location, rushgate-gate.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "gate/explain_note.h"
#include "gate/request.h"
#include "rpc/status.h"
#include "transcode/json_read.h"

#define RETRY_AFTER_UNAVAILABLE_S 1

/* What the reply's metadata says about the answer. */
struct reply_hints {
    struct slice http_status, reason, problem, retry_after, replayed, location, gate;
};

static void hints_read(const struct rpc_reply *reply, struct reply_hints *h)
{
    const struct {
        struct slice name;
        struct slice *to;
    } known[] = {
        {SLICE_LIT("rushgate-http-status"), &h->http_status},
        {SLICE_LIT("rushgate-reason"), &h->reason},
        {SLICE_LIT("rushgate-problem"), &h->problem},
        {SLICE_LIT("retry-after"), &h->retry_after},
        {SLICE_LIT("rushgate-replayed"), &h->replayed},
        {SLICE_LIT("location"), &h->location},
        {SLICE_LIT("rushgate-gate"), &h->gate},
    };

    *h = (struct reply_hints){0};
    for (unsigned i = 0; i < reply->meta_n; i++)
        for (unsigned k = 0; k < sizeof(known) / sizeof(*known); k++)
            if (slice_eq(reply->meta[i].name, known[k].name))
                *known[k].to = reply->meta[i].value;
}

static unsigned http_status_of(const struct reply_hints *h, unsigned otherwise)
{
    uint64_t v;

    if (h->http_status.n == 3 && slice_to_u64(h->http_status, &v) && v >= 200 && v <= 599)
        return (unsigned)v;
    return otherwise;
}

/* The service's word for the refusal, if it is one that may stand in a header and a URI. */
static const char *reason_of(struct gate_request *q, const struct reply_hints *h, int status)
{
    static const char *const by_status[] = {
        [RPC_CANCELLED] = "cancelled",
        [RPC_UNKNOWN] = "unknown",
        [RPC_INVALID_ARGUMENT] = "invalid-request",
        [RPC_DEADLINE_EXCEEDED] = "upstream-timeout",
        [RPC_NOT_FOUND] = "not-found",
        [RPC_ALREADY_EXISTS] = "already-exists",
        [RPC_PERMISSION_DENIED] = "permission-denied",
        [RPC_RESOURCE_EXHAUSTED] = "resource-exhausted",
        [RPC_FAILED_PRECONDITION] = "failed-precondition",
        [RPC_ABORTED] = "aborted",
        [RPC_OUT_OF_RANGE] = "out-of-range",
        [RPC_UNIMPLEMENTED] = "unimplemented",
        [RPC_INTERNAL] = "internal",
        [RPC_UNAVAILABLE] = "upstream-unavailable",
        [RPC_DATA_LOSS] = "data-loss",
        [RPC_UNAUTHENTICATED] = "unauthenticated",
    };
    bool ok = h->reason.n > 0 && h->reason.n <= 64;

    for (size_t i = 0; ok && i < h->reason.n; i++) {
        char c = h->reason.p[i];
        ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    }
    if (ok) {
        const char *copy = arena_dup(&q->http->arena, h->reason).p;
        if (copy != NULL)
            return copy;
    }
    if (status > 0 && status < (int)(sizeof(by_status) / sizeof(*by_status)))
        return by_status[status];
    return "unknown";
}

/* Members of a problem document that the gateway writes itself. */
static bool is_own_member(const struct json_value *key)
{
    static const struct slice own[] = {SLICE_LIT("type"), SLICE_LIT("title"), SLICE_LIT("status"),
                                       SLICE_LIT("detail"), SLICE_LIT("instance")};
    char text[64];

    if (key->text.n > sizeof(text))
        return false;
    size_t n = json_unescape(key->text, text);
    for (unsigned i = 0; i < sizeof(own) / sizeof(*own); i++)
        if (slice_eq(own[i], slice_of(text, n)))
            return true;
    return false;
}

/* Members of a JSON object, as the metadata brings it, but for our own; "" where it is not one. */
static struct slice problem_members(struct gate_request *q, struct slice object)
{
    char *out = arena_alloc(&q->http->arena, object.n);
    struct json_value key, v;
    struct json_reader r;
    bool first = true;
    size_t n = 0;

    json_init(&r, object);
    if (object.n == 0 || out == NULL || !json_value(&r, &v) || v.kind != JSON_OBJECT)
        return SLICE_NONE;
    while (json_member(&r, &first, &key)) {
        const char *start = key.text.p - 1; /* its quote */
        if (!json_value(&r, &v) || !json_skip(&r, &v))
            return SLICE_NONE;
        if (is_own_member(&key))
            continue;
        if (n > 0)
            out[n++] = ',';
        memcpy(out + n, start, (size_t)(r.p - start));
        n += (size_t)(r.p - start);
    }
    return r.error == NULL && json_end(&r) ? slice_of(out, n) : SLICE_NONE;
}

static uint32_t retry_after_of(const struct reply_hints *h, unsigned http_status)
{
    uint64_t v;

    if (slice_to_u64(h->retry_after, &v) && v <= 86400)
        return (uint32_t)v;
    return http_status == 503 ? RETRY_AFTER_UNAVAILABLE_S : 0;
}

/* What came back was no proper reply: the service's fault and not the buyer's. */
static bool is_broken_reply(const struct rpc_reply *reply)
{
    return reply->local && reply->status != RPC_UNAVAILABLE &&
           reply->status != RPC_DEADLINE_EXCEEDED && reply->status != RPC_CANCELLED;
}

static void refuse_by_status(struct gate_request *q, const struct rpc_reply *reply)
{
    struct reply_hints h;
    struct refusal why = {.detail = reply->message};

    if (is_broken_reply(reply)) {
        why.status = 502;
        why.reason = "bad-gateway";
        gate_refuse_with(q, &why);
        return;
    }
    hints_read(reply, &h);
    why.status = http_status_of(&h, rpc_status_http(reply->status));
    /* A success in the metadata of a failure is a mistake of the service. */
    if (why.status < 400)
        why.status = rpc_status_http(reply->status);
    why.reason = reason_of(q, &h, reply->status);
    why.members = problem_members(q, h.problem);
    why.retry_after_s = retry_after_of(&h, why.status);
    if (!reply->local)
        closed_learn(q, h.gate, &why);
    gate_refuse_with(q, &why);
}

static void answer_message(struct gate_request *q, const struct rpc_reply *reply)
{
    struct gate *g = q->gate;
    struct reply_hints h;
    struct slice extra = SLICE_NONE;
    unsigned status;

    buf_clear(&g->body);
    if (!transcode_reply(q->info->schema, q->route->rpc, reply->payload, &g->body)) {
        metric_add(&g->ctx.metrics->counter[METRIC_upstream_failures], 1);
        gate_refuse(q, 502, "bad-gateway",
                    SLICE_LIT("The service's reply is not a message of the expected type."));
        return;
    }
    hints_read(reply, &h);
    status = http_status_of(&h, 200);
    if (h.replayed.n > 0)
        extra = SLICE_LIT("Idempotency-Replayed: true\r\n");
    else
        closed_opened(q);
    if (h.location.n > 0 && h.location.n < 1024 && h.location.p[0] == '/')
        extra = arena_printf(&q->http->arena, "%.*sLocation: %.*s\r\n", SLICE_ARG(extra),
                             SLICE_ARG(h.location));
    gate_answer(q, status, SLICE_LIT("application/json"), extra, buf_view(&g->body));
}

static enum call_outcome outcome_of(const struct rpc_reply *reply)
{
    if (reply->local)
        return CALL_FAILED;
    return rpc_status_http(reply->status) >= 500 ? CALL_ERROR : CALL_ANSWERED;
}

static void on_reply(struct rpc_call *call, const struct rpc_reply *reply)
{
    struct gate_request *q =
        call_finish(CONTAINER_OF(call, struct gate_call, u.rpc), outcome_of(reply));

    if (q == NULL)
        return;
    if (reply->status == RPC_OK)
        answer_message(q, reply);
    else
        refuse_by_status(q, reply);
}

static enum phase_verdict refuse_transcoding(struct gate_request *q,
                                             const struct transcode_error *err)
{
    struct refusal why = {.status = 400, .reason = "invalid-request"};
    struct buf *b = &q->gate->body;

    if (strcmp(err->message, "out of memory") == 0 && err->path[0] == '\0')
        return gate_refuse(q, 503, "out-of-memory", SLICE_NONE);
    buf_clear(b);
    buf_str(b, "\"errors\":[{\"path\":");
    buf_json(b, slice_str(err->path));
    buf_str(b, ",\"message\":");
    buf_json(b, slice_str(err->message));
    buf_str(b, "}]");
    why.members = arena_dup(&q->http->arena, buf_view(b));
    why.detail =
        arena_printf(&q->http->arena, "%s%s%s", err->path, err->path[0] ? ": " : "", err->message);
    return gate_refuse_with(q, &why);
}

/* application/json or a +json type; an absent type is taken for JSON. */
static bool body_is_json(const struct gate_request *q)
{
    struct slice type = q->h_content_type;
    size_t end;

    if (q->http->body.n == 0 || type.n == 0 || slice_eq(type, SLICE_LIT("application/json")))
        return true;
    end = slice_find(type, ';');
    type = slice_trim(slice_of(type.p, end));
    return slice_eq_nocase(type, SLICE_LIT("application/json")) ||
           (type.n > 5 && slice_eq_nocase(slice_of(type.p + type.n - 5, 5), SLICE_LIT("+json")));
}

static unsigned call_metadata(struct gate_request *q, struct rpc_meta out[8])
{
    const struct rpc_meta all[] = {
        {SLICE_LIT("rushgate-buyer"), q->identity},
        {SLICE_LIT("idempotency-key"), q->idempotency_key},
        {SLICE_LIT("x-request-id"), q->request_id},
        {SLICE_LIT("traceparent"), trace_parent(q)},
        {SLICE_LIT("tracestate"), q->h_traceparent.n > 0 ? q->h_tracestate : SLICE_NONE},
        {q->arm ? conf_slice(q->gen->root, q->split->header_lower) : SLICE_NONE,
         q->arm ? conf_slice(q->gen->root, q->arm->name) : SLICE_NONE},
    };
    unsigned n = 0;

    for (unsigned i = 0; i < sizeof(all) / sizeof(*all); i++)
        if (all[i].value.n > 0)
            out[n++] = all[i];
    return n;
}

/* Looks first among the messages that are kept. */
static bool encode(struct gate_request *q, struct transcode_error *err)
{
    struct generation *gen = q->gen;
    struct message_key key;
    bool keep = message_key_make(&key, q->route, q->vars, q->vars_n, q->http->query, q->http->body);

    if (keep && gen->messages != NULL && (q->kept = message_find(gen->messages, &key)) != NULL) {
        q->message = message_of(q->kept);
        return true;
    }
    err->path[0] = err->message[0] = '\0';
    if (!transcode_request(q->info->schema, q->route->rpc, q->info->var_names, q->vars, q->vars_n,
                           q->http->query, q->http->body, &q->http->arena, &q->message, err))
        return false;
    if (keep && gen->messages == NULL)
        gen->messages = calloc(1, sizeof(*gen->messages));
    if (keep && gen->messages != NULL)
        q->kept = message_put(gen->messages, &key, q->message);
    return true;
}

enum phase_verdict call_rpc_encode(struct gate_request *q)
{
    struct transcode_error err;

    if (!body_is_json(q))
        return gate_refuse(q, 415, "unsupported-media-type",
                           SLICE_LIT("Send the body as application/json."));
    if (!encode(q, &err))
        return refuse_transcoding(q, &err);
    q->encoded = true;
    return PHASE_NEXT;
}

enum phase_verdict call_rpc_start(struct gate_request *q)
{
    struct rpc_meta *meta = arena_alloc(&q->http->arena, 8 * sizeof(*meta));
    struct rpc_request req = {
        .path = q->info->rpc_path,
        .deadline_ns = (uint64_t)q->route->deadline_ms * NS_PER_MS,
        .idempotent = q->route->retry && request_idempotent(q),
    };
    struct gate_call *c;

    if (meta == NULL)
        return gate_refuse(q, 503, "out-of-memory", SLICE_NONE);
    if (q->explain != NULL && explain_body_unknown(q))
        return explain_call(q);
    if (!q->encoded && call_rpc_encode(q) != PHASE_NEXT)
        return PHASE_DONE;
    req.payload = q->message;
    if (q->explain != NULL)
        return explain_call(q);
    c = call_get(q, true, request_idempotent(q));
    if (c == NULL)
        return gate_refuse(q, 503, "out-of-memory", SLICE_NONE);
    req.meta = meta;
    req.meta_n = call_metadata(q, meta);
    req.hash = balance_hash(q);
    rpc_call_init(&c->u.rpc, on_reply);
    rpc_call_start(q->upstream->rpc, &c->u.rpc, &req);
    return PHASE_WAIT;
}
