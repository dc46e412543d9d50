/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a request inside the gate:
 *
 *   on_headers   a new generation? pin it, find the route, run the HEADERS phases
 *   on_request   run the REQUEST phases; the last one answers or waits for an upstream
 *   on_done      count, write the access record, unpin
 *   on_abort     the client left: let go of the upstream call, count, unpin
 *
 * The list of phases is phases.def; each is one file.
 */
#include "gate/request.h"

#include "base/clock.h"
#include "gate/explain_note.h"
#include "http/problem.h"

/* Bodies of requests that are refused anyway are read and dropped up to this size. */
#define REFUSED_BODY_MAX 65536

/* One phase after the other until one has answered or waits; q is gone once it has answered. */
#define RUN(name)                                                                                  \
    do {                                                                                           \
        enum phase_verdict v = phase_##name(q);                                                    \
        if (e != NULL)                                                                             \
            explain_phase(q, #name, v);                                                            \
        if (v != PHASE_NEXT)                                                                       \
            return v;                                                                              \
    } while (0);
#define SKIP(name)
#define PHASE(name, stage, help) STAGE_##stage(name)

static enum phase_verdict run_headers_phases(struct gate_request *q)
{
    const struct explanation *e = q->explain;

#define STAGE_HEADERS RUN
#define STAGE_REQUEST SKIP
#include "gate/phases.def"
#undef STAGE_HEADERS
#undef STAGE_REQUEST
    return PHASE_NEXT;
}

static enum phase_verdict run_request_phases(struct gate_request *q)
{
    const struct explanation *e = q->explain;

#define STAGE_HEADERS SKIP
#define STAGE_REQUEST RUN
#include "gate/phases.def"
#undef STAGE_HEADERS
#undef STAGE_REQUEST
    return PHASE_NEXT;
}
#undef PHASE
#undef SKIP
#undef RUN

/* A header the phases look at came again. */
static void repeated(struct gate_request *q, struct slice *seen, struct slice value)
{
    struct slice list;

    if (seen == &q->h_identity)
        q->identity_twice = true;
    else if (seen == &q->h_idempotency_key)
        q->key_twice = true;
    if (seen != &q->h_forwarded_for)
        return;
    /* A list over several lines is one list (RFC 9110, 5.3). Without memory the client is unknown.
     */
    list = arena_printf(&q->http->arena, "%.*s, %.*s", SLICE_ARG(*seen), SLICE_ARG(value));
    *seen = list.p != NULL ? list : SLICE_LIT("unknown");
}

#define FIELD(text, member)                                                                        \
    {                                                                                              \
        SLICE_LIT(text), offsetof(struct gate_request, member)                                     \
    }

/* Fields whose names have NAME_MIN to NAME_MAX bytes. */
static const struct wanted {
    struct slice name; /* letters in lower case and hyphens */
    size_t at;         /* of a struct slice in the request */
} wanted[] = {
    FIELD("idempotency-key", h_idempotency_key), FIELD("x-idempotency-key", h_idempotency_key),
    FIELD("x-request-id", h_request_id),         FIELD("traceparent", h_traceparent),
    FIELD("tracestate", h_tracestate),           FIELD("user-agent", h_user_agent),
    FIELD("content-type", h_content_type),       FIELD("x-forwarded-for", h_forwarded_for),
};
#define NAME_MIN 10
#define NAME_MAX 17

/* Eight bytes of a name, in lower case. What stands in a field's name is of a token (lint.c): none
 * but the upper-case letters become letters by this, and nothing else a hyphen. */
static uint64_t lower8(const char *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof w);
    return w | UINT64_C(0x2020202020202020);
}

static bool is_named(struct slice name, const struct wanted *w)
{
    size_t n = w->name.n, i = 0;

    if (name.n != n || (name.p[0] | 0x20) != w->name.p[0])
        return false;
    for (; i + 8 < n; i += 8)
        if (lower8(name.p + i) != lower8(w->name.p + i))
            return false;
    return lower8(name.p + n - 8) == lower8(w->name.p + n - 8);
}

static void read_header(struct gate_request *q, struct slice identity, const struct http_header *h)
{
    struct slice *to = NULL;

    if (h->name.n == identity.n && slice_eq_nocase(identity, h->name))
        to = &q->h_identity;
    else if (h->name.n < NAME_MIN || h->name.n > NAME_MAX)
        return;
    for (unsigned w = 0; to == NULL && w < sizeof(wanted) / sizeof(*wanted); w++)
        if (is_named(h->name, &wanted[w]))
            to = (struct slice *)(void *)((char *)q + wanted[w].at);
    if (to == NULL)
        return;
    if (to->p != NULL)
        repeated(q, to, h->value);
    else
        *to = h->value;
}

/* One pass over the headers for all that the phases look at. */
static void read_headers(struct gate_request *q)
{
    struct slice identity = conf_slice(q->gen->root, q->gen->root->identity_header);

    for (unsigned i = 0; i < q->http->headers_n; i++)
        read_header(q, identity, &q->http->headers[i]);
}

static struct slice allow_line(struct gate_request *q, uint32_t methods)
{
    char text[128];
    size_t n = 0;

    if (methods & METHOD_BIT(METHOD_GET))
        methods |= METHOD_BIT(METHOD_HEAD);
    methods |= METHOD_BIT(METHOD_OPTIONS);
    for (unsigned m = 0; m < METHOD_COUNT; m++) {
        struct slice name = method_name((enum http_method_id)m);
        if (!(methods & METHOD_BIT(m)))
            continue;
        if (n > 0) {
            memcpy(text + n, ", ", 2);
            n += 2;
        }
        memcpy(text + n, name.p, name.n);
        n += name.n;
    }
    return arena_printf(&q->http->arena, "Allow: %.*s\r\n", (int)n, text);
}

static enum phase_verdict refuse_unrouted(struct gate_request *q, enum router_outcome outcome,
                                          uint32_t methods)
{
    struct refusal why = {.status = 404, .reason = "no-route"};

    metric_add(&q->gate->ctx.metrics->counter[METRIC_requests_unrouted], 1);
    if (outcome == ROUTER_NO_PATH)
        return gate_refuse_with(q, &why);
    why.headers = allow_line(q, methods);
    if (q->http->method == METHOD_OPTIONS) {
        gate_answer(q, 204, SLICE_NONE, why.headers, SLICE_NONE);
        return PHASE_DONE;
    }
    why.status = 405;
    why.reason = "method-not-allowed";
    return gate_refuse_with(q, &why);
}

static enum phase_verdict find_route(struct gate_request *q)
{
    const struct conf_root *root = q->gen->root;
    const struct http_request *r = q->http;
    struct router_match m;
    enum router_outcome outcome;

    if (slice_eq(r->target, SLICE_LIT("*")))
        return refuse_unrouted(q, ROUTER_NO_METHOD, METHOD_ANY);
    outcome = router_match(conf_slice(root, root->route_index), r->host, METHOD_BIT(r->method),
                           r->path, &m);
    if (outcome != ROUTER_FOUND)
        return refuse_unrouted(q, outcome, outcome == ROUTER_NO_METHOD ? m.methods : 0);
    q->route = &conf_routes(root)[m.route];
    q->info = &q->gen->routes[m.route];
    q->upstream = q->info->upstream;
    memcpy(q->concurrency, q->info->concurrency, sizeof(q->concurrency));
    q->vars_n = m.vars_n;
    memcpy(q->vars, m.vars, m.vars_n * sizeof(m.vars[0]));
    return PHASE_NEXT;
}

static struct gate_request *request_new(struct gate *g, struct http_request *r)
{
    struct gate_request *q = arena_zalloc(&r->arena, sizeof(*q));

    if (q == NULL)
        return NULL;
    q->http = r;
    q->gate = g;
    q->gen = g->current;
    q->gen->requests++;
    r->user = q;
    return q;
}

static void forget_headers(struct gate_request *q)
{
    struct gate_request fresh = {
        .http = q->http, .gate = q->gate, .gen = q->gen, .beside = true, .explain = q->explain};

    *q = fresh;
}

/* Beside a canary: to the canary, when the buyer is one of its share. Who the client is, the
 * canary's settings may see in another way; which side it is on, the current ones have said. */
static void choose_side(struct gate_request *q)
{
    struct gate *g = q->gate;

    q->beside = true;
    if (!canary_chosen(q))
        return;
    g->current->requests--; /* it stays current: nothing to retire */
    q->gen = g->canary;
    q->gen->requests++;
    forget_headers(q);
    read_headers(q);
    client_address(q);
}

/* Who asks, and under which configuration. False when memory is out. */
static bool understand(struct gate_request *q)
{
    read_headers(q);
    client_address(q);
    if (q->gate->canary != NULL)
        choose_side(q);
    return trace_start(q);
}

static uint64_t on_headers(void *arg, struct http_request *r)
{
    struct gate *g = arg;
    struct gate_request *q;
    struct http_answer out_of_memory = {.status = 503, .close = true};
    uint64_t max_body;

    generation_look(g);
    q = request_new(g, r);
    if (q == NULL || !understand(q)) {
        http_reply(r, &out_of_memory);
        return 0;
    }
    if (find_route(q) != PHASE_NEXT)
        return REFUSED_BODY_MAX;
    max_body = q->route->max_body; /* q is gone once a phase has answered */
    if (run_headers_phases(q) != PHASE_NEXT)
        return REFUSED_BODY_MAX;
    return max_body;
}

static void on_request(void *arg, struct http_request *r)
{
    struct gate_request *q = r->user;

    (void)arg;
    if (run_request_phases(q) == PHASE_NEXT)
        gate_refuse(q, 500, "no-answer", SLICE_LIT("No phase answered this request."));
}

void request_explain(struct gate *g, struct http_request *r, struct explanation *e)
{
    struct gate_request *q = request_new(g, r);
    enum phase_verdict v;

    if (q == NULL)
        return;
    q->explain = e;
    if (!understand(q))
        return;
    explain_client(q);
    v = find_route(q);
    explain_phase(q, "route", v);
    if (v == PHASE_NEXT)
        v = run_headers_phases(q);
    if (v == PHASE_NEXT && explain_body_fits(q))
        run_request_phases(q);
}

static void write_record(struct gate_request *q, unsigned status, uint64_t bytes_out,
                         uint64_t duration_ns)
{
    struct gate *g = q->gate;
    const struct http_request *r = q->http;
    struct access_record rec = {
        .real_ns = clock_real_ns(),
        .duration_ns = duration_ns,
        .upstream_ns = q->upstream_ns,
        .bytes_in = r->bytes_in,
        .bytes_out = bytes_out,
        .generation = q->gen->number,
        .peer_port = r->peer_port,
        .status = (uint16_t)status,
        .method = (uint8_t)r->method,
        .minor = r->minor,
        .route = q->route ? conf_slice(q->gen->root, q->route->name) : SLICE_NONE,
        .arm = q->arm ? conf_slice(q->gen->root, q->arm->label) : SLICE_NONE,
        .reason = slice_str(q->reason),
        .target = r->target,
        .identity = q->identity,
        .request_id = q->request_id,
        .trace_id = trace_id(q),
        .user_agent = q->h_user_agent,
    };

    memcpy(rec.peer, q->client ? q->client : r->peer, sizeof(rec.peer));
    if (!access_ring_put(g->ctx.ring, &rec))
        metric_add(&g->ctx.metrics->counter[METRIC_log_dropped], 1);
}

/* status 0: the client left before the answer. */
static void finish(struct gate_request *q, unsigned status, uint64_t bytes_out)
{
    struct gate *g = q->gate;
    struct metric_block *m = g->ctx.metrics;
    struct metric_route *mr = &m->routes[q->route ? q->route->stat : 0];
    /* Not read twice: it takes as long as all else that is done here. */
    uint64_t now_ns = q->refused_ns != 0 ? q->refused_ns : clock_mono_ns();
    uint64_t duration_ns = now_ns - q->http->start_ns;

    metric_add(&mr->status[status / 100 < 6 ? status / 100 : 5], 1);
    if (status != 0)
        histogram_record(&mr->latency, duration_ns);
    if (q->arm != NULL)
        split_count(q, status, duration_ns);
    if (q->beside)
        canary_count(q, status, duration_ns);
    metric_add(&m->counter[METRIC_bytes_in], q->http->bytes_in);
    metric_add(&m->counter[METRIC_bytes_out], bytes_out);
    if (q->gen->root->log_access && g->ctx.ring != NULL)
        write_record(q, status, bytes_out, duration_ns);
    generation_unpin(g, q->gen);
}

static void on_done(void *arg, struct http_request *r, unsigned status, uint64_t bytes_out)
{
    struct gate *g = arg;

    const char *refusal = g->refusal;

    g->refusal = NULL;
    if (r != NULL && r->user != NULL) {
        struct gate_request *q = r->user;
        if (refusal != NULL)
            q->reason = refusal;
        finish(q, status, bytes_out);
        return;
    }
    metric_add(&g->ctx.metrics->counter[METRIC_requests_refused], 1);
    metric_add(&g->ctx.metrics->counter[METRIC_bytes_out], bytes_out);
}

static void on_abort(void *arg, struct http_request *r)
{
    struct gate_request *q = r->user;

    (void)arg;
    if (q == NULL)
        return;
    call_abandon(q);
    finish(q, 0, 0);
}

static void on_refuse(void *arg, unsigned status, const char *reason, const char *detail,
                      struct buf *out)
{
    struct gate *g = arg;
    const struct conf_root *root = g->current->root;

    g->refusal = reason;
    http_problem(out, conf_slice(root, root->problem_base), slice_str(reason), SLICE_NONE, status,
                 slice_str(detail), SLICE_NONE);
}

const struct http_handler gate_http_handler = {
    .on_headers = on_headers,
    .on_request = on_request,
    .on_abort = on_abort,
    .on_refuse = on_refuse,
    .on_done = on_done,
};
