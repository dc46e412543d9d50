/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls to an HTTP/1.1 upstream: which endpoint takes one, what happens when that fails, when it is
 * over. A call is sent again in two cases:
 * - A pooled connection turned out closed before a byte of the response: the upstream's idle
 * timeout and our request crossed. Sent once more on a new connection, for nothing.
 * - The endpoint failed: sent to another one, once, if the retry budget pays.
 * Both only where the request is idempotent or surely never left.
 */
#include "http/client_int.h"

#include "base/check.h"
#include "base/hash.h"

#define WIRE_KEEP     (64u * 1024)
#define EXCHANGE_KEEP 256u

static void on_report(struct loop_hook *h);
static void on_deadline(struct loop_timer *t);

static struct balance_config balance_of(const struct http_client_config *cfg)
{
    return (struct balance_config){.endpoints = cfg->endpoints,
                                   .endpoints_n = cfg->endpoints_n,
                                   .rendezvous = cfg->rendezvous,
                                   .eject_failures = cfg->eject_failures,
                                   .eject_ms = cfg->eject_ms,
                                   .retry_budget_percent = cfg->retry_budget_percent};
}

static void keep_config(struct http_client *c, const struct http_client_config *cfg)
{
    c->cfg = *cfg;
    c->cfg.name = SLICE_NONE;
    c->cfg.endpoints = NULL;
}

struct http_client *http_client_new(struct loop *loop, const struct http_client_config *cfg)
{
    struct http_client *c = calloc(1, sizeof *c);
    struct balance_config b = balance_of(cfg);

    if (c == NULL || balance_init(&c->balance, &b, &loop->rng) < 0) {
        free(c);
        return NULL;
    }
    c->loop = loop;
    keep_config(c, cfg);
    list_init(&c->calls);
    list_init(&c->failed);
    list_init(&c->busy);
    list_init(&c->pools);
    loop_hook_init(&c->report, on_report);
    c->exchanges = (struct pool){.size = sizeof(struct exchange), .keep = EXCHANGE_KEEP};
    return c;
}

void http_client_update(struct http_client *c, const struct http_client_config *cfg)
{
    struct balance_config b = balance_of(cfg);

    if (balance_update(&c->balance, &b) < 0)
        return;
    keep_config(c, cfg);
    LIST_EACH_SAFE (it, &c->pools) {
        struct idle_pool *p = CONTAINER_OF(it, struct idle_pool, node);
        if (p->at->left)
            idle_pool_drop(p);
    }
}

static void exchange_free(struct exchange *x)
{
    buf_free(&x->wire);
    http_response_fini(&x->response);
    free(x);
}

static void exchange_put(struct http_client *c, struct exchange *x)
{
    if (c->exchanges.n >= EXCHANGE_KEEP || x->wire.cap > WIRE_KEEP ||
        x->response.body.cap > WIRE_KEEP || x->response.head.cap > WIRE_KEEP) {
        exchange_free(x);
        return;
    }
    x->call = NULL;
    pool_put(&c->exchanges, x);
}

static void release(struct http_client *c, struct exchange *x, enum balance_outcome outcome)
{
    if (x->at == NULL)
        return;
    balance_end(&c->balance, x->at, outcome, loop_now(c->loop));
    x->at = NULL;
}

static void client_destroy(struct http_client *c)
{
    loop_hook_cancel(&c->report);
    while (c->exchanges.free != NULL)
        exchange_free(CONTAINER_OF(pool_get(&c->exchanges), struct exchange, node));
    balance_fini(&c->balance);
    free(c);
}

/* Bracket whatever may run callbacks, any of which may free the client. */
static void client_enter(struct http_client *c)
{
    c->users++;
}

static void client_leave(struct http_client *c)
{
    if (--c->users == 0 && c->dead)
        client_destroy(c);
}

/* The end of a call: it belongs to its owner again before the callback runs. The client may be gone
 * afterwards. */
static void report(struct http_client *c, struct http_call *call, const struct http_response *resp)
{
    struct exchange *x = call->x;

    CHECK(x == NULL || (x->conn == NULL && x->at == NULL));
    client_enter(c);
    list_del(&call->node);
    loop_timer_disarm(c->loop, &call->deadline);
    call->client = NULL;
    call->x = NULL;
    c->in_flight--;
    call->done(call, resp);
    if (x != NULL)
        exchange_put(c, x);
    client_leave(c);
}

static void report_error(struct http_client *c, struct http_call *call)
{
    static const struct http_response no_memory = {.error = HTTP_CALL_UNAVAILABLE,
                                                   .detail = "out of memory"};
    const struct exchange *x = call->x;
    struct http_response resp = no_memory;

    if (x != NULL)
        resp = (struct http_response){.error = x->error, .detail = x->detail, .sent = x->sent};
    report(c, call, &resp);
}

/* Decided inside http_call_start or a retry: the callback comes at the end of the turn. */
static void fail_later(struct http_client *c, struct http_call *call, const char *detail)
{
    if (call->x != NULL) {
        call->x->error = HTTP_CALL_UNAVAILABLE;
        call->x->detail = detail;
    }
    list_move(&c->failed, &call->node);
    loop_defer(c->loop, &c->report);
}

static void on_report(struct loop_hook *h)
{
    struct http_client *c = CONTAINER_OF(h, struct http_client, report);
    struct list *it;

    client_enter(c);
    while ((it = list_first(&c->failed)) != NULL)
        report_error(c, CONTAINER_OF(it, struct http_call, node));
    client_leave(c);
}

void http_exchange_done(struct http_client *c, struct exchange *x)
{
    struct response *r = &x->response;
    struct http_response resp;

    release(c, x, BALANCE_OK);
    http_response_strip(r);
    resp = (struct http_response){.error = HTTP_CALL_OK,
                                  .status = r->h.status,
                                  .headers = r->headers,
                                  .headers_n = r->h.headers_n,
                                  .length = r->length,
                                  .body = buf_view(&r->body),
                                  .sent = true};
    report(c, x->call, &resp);
}

void http_exchange_bad(struct http_client *c, struct exchange *x)
{
    release(c, x, BALANCE_FAILED);
    x->error = HTTP_CALL_BAD;
    x->detail = x->response.fault;
    report_error(c, x->call);
}

/* Gives x to an endpoint. Endpoints to which no connection can even be begun are passed over. */
static void dispatch(struct http_client *c, struct exchange *x)
{
    for (unsigned tries = 0; tries <= c->balance.n; tries++) {
        uint64_t now = loop_now(c->loop);
        struct balance_endpoint *at = balance_pick(&c->balance, now, x->hash, x->avoid);
        if (at == NULL)
            break;
        balance_begin(at);
        x->at = at;
        x->call->endpoint = at->index;
        http_response_begin(&x->response, x->head, c->cfg.max_response);
        if (upconn_take(c, x, at))
            return;
        x->avoid = at;
        release(c, x, BALANCE_FAILED);
    }
    fail_later(c, x->call, "no endpoint is available");
}

/* The connection is gone without a complete response. */
void http_exchange_lost(struct http_client *c, struct exchange *x, bool reused, const char *detail)
{
    bool harmless = !x->any && (x->idempotent || !x->sent);
    bool stale = reused && harmless && !x->stale;
    struct balance_endpoint *at = x->at;

    if (stale) {
        x->stale = true;
        if (upconn_take(c, x, at))
            return;
    }
    x->avoid = at;
    release(c, x, BALANCE_FAILED);
    if (harmless && (x->retry || !x->sent) && !x->retried &&
        balance_retry_take(&c->balance, loop_now(c->loop))) {
        x->retried = true;
        x->stale = false;
        dispatch(c, x);
        return;
    }
    x->error = x->sent ? HTTP_CALL_BAD : HTTP_CALL_UNAVAILABLE;
    x->detail = detail;
    report_error(c, x->call);
}

static bool wants_length(const struct http_client_request *req)
{
    return req->body.n > 0 || slice_eq(req->method, SLICE_LIT("POST")) ||
           slice_eq(req->method, SLICE_LIT("PUT")) || slice_eq(req->method, SLICE_LIT("PATCH"));
}

static void serialize(struct buf *w, const struct http_client_request *req)
{
    buf_clear(w);
    buf_slice(w, req->method);
    buf_char(w, ' ');
    buf_slice(w, req->target);
    buf_str(w, " HTTP/1.1\r\nHost: ");
    buf_slice(w, req->host);
    buf_str(w, "\r\n");
    for (unsigned i = 0; i < req->headers_n; i++) {
        buf_slice(w, req->headers[i].name);
        buf_str(w, ": ");
        buf_slice(w, req->headers[i].value);
        buf_str(w, "\r\n");
    }
    if (wants_length(req)) {
        buf_str(w, "Content-Length: ");
        buf_u64(w, req->body.n);
        buf_str(w, "\r\n");
    }
    buf_str(w, "\r\n");
    buf_slice(w, req->body);
}

void http_call_init(struct http_call *call, http_done_fn *done)
{
    *call = (struct http_call){.done = done};
    list_init(&call->node);
    loop_timer_init(&call->deadline, on_deadline);
}

static struct exchange *exchange_new(struct http_client *c, struct http_call *call,
                                     const struct http_client_request *req)
{
    struct exchange *x = pool_get(&c->exchanges);

    if (x == NULL)
        return NULL;
    x->call = call;
    x->conn = NULL;
    x->at = NULL;
    x->avoid = NULL;
    x->hash = req->hash;
    x->idempotent = req->idempotent;
    x->retry = req->retry;
    x->head = slice_eq(req->method, SLICE_LIT("HEAD"));
    x->sent = x->any = x->stale = x->retried = false;
    serialize(&x->wire, req);
    return x;
}

void http_call_start(struct http_client *c, struct http_call *call,
                     const struct http_client_request *req)
{
    struct exchange *x = exchange_new(c, call, req);

    CHECK(call->client == NULL);
    call->client = c;
    call->x = x;
    call->start_ns = loop_now(c->loop);
    c->in_flight++;
    list_add(&c->calls, &call->node);
    if (c->dead || x == NULL || x->wire.failed) {
        fail_later(c, call, c->dead ? "the upstream was removed" : "out of memory");
        return;
    }
    if (c->in_flight > c->cfg.max_in_flight) {
        fail_later(c, call, "too many calls in flight");
        return;
    }
    if (req->deadline_ns > 0)
        loop_timer_arm(c->loop, &call->deadline, req->deadline_ns);
    balance_retry_earn(&c->balance);
    dispatch(c, x);
}

/* Takes x off its connection, which no longer can be used. */
static void abandon(struct http_client *c, struct exchange *x, enum balance_outcome outcome)
{
    if (x->conn != NULL)
        upconn_close(x->conn);
    release(c, x, outcome);
}

static void on_deadline(struct loop_timer *t)
{
    struct http_call *call = CONTAINER_OF(t, struct http_call, deadline);
    struct http_client *c = call->client;
    struct exchange *x = call->x;

    abandon(c, x, x->any ? BALANCE_NEUTRAL : BALANCE_FAILED);
    x->error = HTTP_CALL_TIMEOUT;
    x->detail = "deadline exceeded";
    report_error(c, call);
}

void http_call_cancel(struct http_call *call)
{
    struct http_client *c = call->client;

    if (c == NULL)
        return;
    if (call->x != NULL) {
        abandon(c, call->x, BALANCE_NEUTRAL);
        exchange_put(c, call->x);
    }
    list_del(&call->node);
    loop_timer_disarm(c->loop, &call->deadline);
    c->in_flight--;
    call->client = NULL;
    call->x = NULL;
}

static void fail_all(struct http_client *c, struct list *calls)
{
    struct list *it;

    while ((it = list_first(calls)) != NULL) {
        struct http_call *call = CONTAINER_OF(it, struct http_call, node);
        if (call->x != NULL) {
            abandon(c, call->x, BALANCE_NEUTRAL);
            call->x->error = HTTP_CALL_UNAVAILABLE;
            call->x->detail = "the upstream was removed";
        }
        report_error(c, call);
    }
}

void http_client_free(struct http_client **cp)
{
    struct http_client *c = *cp;
    struct list *it;

    if (c == NULL)
        return;
    *cp = NULL;
    client_enter(c);
    c->dead = true;
    fail_all(c, &c->calls);
    fail_all(c, &c->failed);
    while ((it = list_first(&c->busy)) != NULL)
        upconn_close(CONTAINER_OF(it, struct upconn, node));
    while ((it = list_first(&c->pools)) != NULL)
        idle_pool_drop(CONTAINER_OF(it, struct idle_pool, node));
    client_leave(c);
}

uint64_t http_client_retries(const struct http_client *c)
{
    return c->balance.retries;
}
