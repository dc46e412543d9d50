/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One call on its way: the request copied into one buffer, submitted as HEADERS and DATA that point
 * into it; the reply collected until its end; then the caller told.
 */
#include "rpc/client_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "rpc/status.h"

struct rpc_exchange *exchange_new(struct rpc_client *c)
{
    struct list *it = list_first(&c->free);
    struct rpc_exchange *x;

    if (it != NULL) {
        x = CONTAINER_OF(it, struct rpc_exchange, node);
        list_del(it);
        c->free_n--;
    } else {
        x = calloc(1, sizeof *x);
        if (x == NULL)
            return NULL;
        list_init(&x->node);
    }
    x->client = c;
    x->tries = 0;
    x->resent = false;
    return x;
}

void exchange_destroy(struct rpc_exchange *x)
{
    buf_free(&x->out);
    buf_free(&x->in);
    buf_free(&x->message);
    meta_free(&x->in_meta);
    free(x);
}

void exchange_free(struct rpc_exchange *x)
{
    struct rpc_client *c = x->client;

    CHECK(x->call == NULL && x->endpoint == NULL);
    list_del(&x->node);
    if (c->free_n >= CLIENT_FREE_EXCHANGES) {
        exchange_destroy(x);
        return;
    }
    wire_recycle(&x->out);
    wire_recycle(&x->in);
    x->conn = NULL;
    x->stream = 0;
    list_add_head(&c->free, &x->node);
    c->free_n++;
}

static struct slice put(struct buf *b, struct slice s)
{
    char *at = b->p + b->n;

    buf_slice(b, s);
    return slice_of(at, s.n);
}

bool exchange_load(struct rpc_exchange *x, const struct rpc_request *req)
{
    struct slice authority = req->authority.n > 0 ? req->authority : slice_str(x->client->name);
    size_t total = req->path.n + authority.n + WIRE_PREFIX + req->payload.n;
    char prefix[WIRE_PREFIX];

    if (req->meta_n > WIRE_META_MAX || req->payload.n > UINT32_MAX)
        return false;
    for (unsigned i = 0; i < req->meta_n; i++)
        total += req->meta[i].name.n + req->meta[i].value.n;
    /* All at once: the slices below point into the buffer. */
    buf_clear(&x->out);
    if (!buf_reserve(&x->out, total))
        return false;
    x->path = put(&x->out, req->path);
    x->authority = put(&x->out, authority);
    for (unsigned i = 0; i < req->meta_n; i++) {
        x->meta[i].name = put(&x->out, req->meta[i].name);
        x->meta[i].value = put(&x->out, req->meta[i].value);
    }
    x->meta_n = req->meta_n;
    wire_prefix(prefix, (uint32_t)req->payload.n);
    x->body = put(&x->out, slice_of(prefix, WIRE_PREFIX));
    x->body.n += put(&x->out, req->payload).n;
    x->idempotent = req->idempotent;
    x->hash = req->hash;
    return true;
}

static ssize_t read_body(nghttp2_session *session, int32_t stream, uint8_t *buf, size_t length,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct rpc_exchange *x = source->ptr;
    size_t n = x->body.n - x->body_sent;

    (void)session;
    (void)stream;
    (void)buf;
    (void)user;
    *flags = NGHTTP2_DATA_FLAG_NO_COPY;
    if (n > length)
        n = length;
    else
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

/* The time left, for the peer. A value equal to the last one sent on this connection goes into the
 * HPACK table, so that a constant deadline costs a byte; others stay out of it. */
static void put_timeout(struct rpc_exchange *x, struct rpc_conn *conn, struct buf *block)
{
    uint64_t now = loop_now(x->client->loop);
    uint64_t left = x->due_ns > now ? x->due_ns - now : 1;
    uint64_t ms = (left + NS_PER_MS - 1) / NS_PER_MS;
    bool again = ms == conn->timeout_ms;
    char text[WIRE_TIMEOUT_MAX];
    struct slice value = slice_of(text, wire_timeout_format(text, left));

    conn->timeout_ms = ms;
    if (again)
        hpack_again(&conn->hpack, block, SLICE_LIT("grpc-timeout"), value);
    else
        hpack_once(&conn->hpack, block, SLICE_LIT("grpc-timeout"), value);
}

void exchange_headers(struct rpc_exchange *x, struct rpc_conn *conn, struct buf *block)
{
    struct hpack *h = &conn->hpack;

    hpack_static(block, HPACK_METHOD_POST);
    hpack_static(block, HPACK_SCHEME_HTTP);
    hpack_again(h, block, SLICE_LIT(":path"), x->path);
    hpack_again(h, block, SLICE_LIT(":authority"), x->authority);
    hpack_again(h, block, SLICE_LIT("te"), SLICE_LIT("trailers"));
    hpack_again(h, block, SLICE_LIT("content-type"), SLICE_LIT("application/grpc"));
    if (x->due_ns != 0)
        put_timeout(x, conn, block);
    for (unsigned i = 0; i < x->meta_n; i++)
        hpack_once(h, block, x->meta[i].name, x->meta[i].value);
}

static void reply_reset(struct rpc_exchange *x)
{
    buf_clear(&x->in);
    buf_clear(&x->message);
    meta_clear(&x->in_meta);
    x->http_status = 0;
    x->grpc_status = -1;
    x->grpc = false;
    x->started = false;
    x->body_sent = 0;
}

int exchange_submit(struct rpc_exchange *x, struct rpc_conn *conn)
{
    nghttp2_data_provider body = {.source.ptr = x, .read_callback = read_body};
    int32_t stream;

    reply_reset(x);
    /* Without fields: exchange_headers has them. */
    stream = nghttp2_submit_request(conn->h2.session, NULL, NULL, 0, &body, x);
    if (stream < 0)
        return stream;
    x->stream = stream;
    return 0;
}

/* Names of HTTP/2 and gRPC itself that the caller does not get. */
static bool is_own(struct slice name)
{
    static const struct slice own[] = {
        {"grpc-encoding", 13}, {"grpc-accept-encoding", 20}, {"trailer", 7}, {"date", 4},
        {"server", 6},         {"content-length", 14},
    };

    for (unsigned i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (slice_eq(name, own[i]))
            return true;
    }
    return false;
}

static void on_grpc_status(struct rpc_exchange *x, struct slice value)
{
    uint64_t v;

    x->grpc_status = slice_to_u64(value, &v) && v <= INT32_MAX ? (int)v : RPC_UNKNOWN;
}

void exchange_on_header(struct rpc_exchange *x, struct slice name, struct slice value)
{
    uint64_t v;

    x->started = true;
    if (slice_eq(name, SLICE_LIT(":status"))) {
        x->http_status = slice_to_u64(value, &v) && v < 1000 ? (unsigned)v : 0;
    } else if (slice_eq(name, SLICE_LIT("content-type"))) {
        x->grpc = wire_is_grpc(value);
    } else if (slice_eq(name, SLICE_LIT("grpc-status"))) {
        on_grpc_status(x, value);
    } else if (slice_eq(name, SLICE_LIT("grpc-message"))) {
        buf_clear(&x->message);
        if (value.n <= WIRE_META_BYTES_MAX)
            wire_percent_decode(&x->message, value);
    } else if (!is_own(name)) {
        meta_add(&x->in_meta, name, value);
    }
}

bool exchange_on_data(struct rpc_exchange *x, struct slice data)
{
    enum wire_body state;

    x->started = true;
    if (x->http_status != 200 || !x->grpc)
        return true; /* an error page; its status is the answer */
    buf_slice(&x->in, data);
    state = wire_body_check(buf_view(&x->in), RPC_REPLY_MAX);
    if (x->in.failed || state == WIRE_BODY_TOO_LARGE) {
        exchange_fail(x, true, BALANCE_OK, RPC_RESOURCE_EXHAUSTED, "reply is too large");
        return false;
    }
    if (state == WIRE_BODY_PART || state == WIRE_BODY_ONE)
        return true;
    exchange_fail(x, true, BALANCE_OK, RPC_INTERNAL,
                  state == WIRE_BODY_SEVERAL      ? "more than one message in a unary reply"
                  : state == WIRE_BODY_COMPRESSED ? "compressed reply, which was not asked for"
                                                  : "malformed message in the reply");
    return false;
}

/* Unlinks the call and its accounts; what is left is to call its callback. */
static struct rpc_call *unlink_call(struct rpc_exchange *x, enum balance_outcome outcome)
{
    struct rpc_client *c = x->client;
    struct rpc_call *call = x->call;

    if (x->endpoint != NULL) {
        balance_end(&c->balance, x->endpoint, outcome, loop_now(c->loop));
        x->endpoint = NULL;
    }
    if (call == NULL)
        return NULL;
    loop_timer_disarm(c->loop, &call->deadline);
    x->call = NULL;
    call->state = NULL;
    call->client = NULL;
    CHECK(c->in_flight > 0);
    c->in_flight--;
    return call;
}

void exchange_detach(struct rpc_exchange *x, enum balance_outcome outcome)
{
    (void)unlink_call(x, outcome);
}

void exchange_fail(struct rpc_exchange *x, bool sent, enum balance_outcome outcome, int status,
                   const char *why)
{
    struct rpc_call *call = unlink_call(x, outcome);
    struct rpc_reply r = {.status = status, .message = slice_str(why), .sent = sent, .local = true};

    if (call != NULL)
        call->done(call, &r);
}

static void reply_bad(struct rpc_reply *r, int status, const char *why)
{
    r->status = status;
    r->message = slice_str(why);
    r->payload = SLICE_NONE;
    r->local = true;
}

/* OK needs exactly one message. */
static void reply_ok(struct rpc_exchange *x, struct rpc_reply *r)
{
    struct slice body = buf_view(&x->in);

    if (wire_body_check(body, RPC_REPLY_MAX) == WIRE_BODY_ONE)
        r->payload = slice_of(body.p + WIRE_PREFIX, body.n - WIRE_PREFIX);
    else
        reply_bad(r, RPC_INTERNAL,
                  body.n == 0 ? "status OK without a message" : "reply ends inside a message");
}

void exchange_on_end(struct rpc_exchange *x)
{
    struct rpc_reply r = {.status = x->grpc_status, .sent = true};
    struct rpc_call *call;

    r.meta = meta_view(&x->in_meta);
    r.meta_n = x->in_meta.n;
    r.message = buf_view(&x->message);
    if (x->grpc_status < 0 && x->http_status != 200)
        reply_bad(&r, wire_status_of_http(x->http_status), "HTTP error instead of a gRPC reply");
    else if (x->grpc_status < 0)
        reply_bad(&r, RPC_UNKNOWN, x->grpc ? "reply without grpc-status" : "not a gRPC reply");
    else if (x->in_meta.overflow)
        reply_bad(&r, RPC_RESOURCE_EXHAUSTED, "too much metadata in the reply");
    else if (x->grpc_status == RPC_OK)
        reply_ok(x, &r);
    call = unlink_call(x, BALANCE_OK);
    if (call != NULL)
        call->done(call, &r);
}
