/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/server_int.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "rpc/addr.h"
#include "rpc/status.h"

#define ACCEPT_PAUSE_NS (100 * NS_PER_MS)
#define AGAIN_BYTES     64u /* a value as short may come again */

static void call_destroy(struct server_call *call)
{
    list_del(&call->node);
    buf_free(&call->in);
    buf_free(&call->path);
    buf_free(&call->out);
    meta_free(&call->meta);
    free(call);
}

static void destroy_list(struct list *calls)
{
    struct list *it;

    while ((it = list_first(calls)) != NULL)
        call_destroy(CONTAINER_OF(it, struct server_call, node));
}

static void server_destroy(struct rpc_server *s)
{
    destroy_list(&s->free);
    destroy_list(&s->orphans);
    loop_timer_disarm(s->loop, &s->accept_again);
    h2_io_fini(&s->io);
    free(s);
}

void server_enter(struct rpc_server *s)
{
    s->busy++;
}

void server_leave(struct rpc_server *s)
{
    CHECK(s->busy > 0);
    if (--s->busy == 0 && s->dead && s->conns_n == 0)
        server_destroy(s);
}

/* --- calls --- */

struct server_call *server_call_new(struct rpc_server *s, struct server_conn *conn, int32_t stream)
{
    struct list *it = list_first(&s->free);
    struct server_call *call;

    if (it != NULL) {
        call = CONTAINER_OF(it, struct server_call, node);
        list_del(it);
        s->free_n--;
    } else {
        call = calloc(1, sizeof *call);
        if (call == NULL)
            return NULL;
        list_init(&call->node);
    }
    call->pub = (struct rpc_server_call){0};
    call->server = s;
    call->conn = conn;
    call->stream = stream;
    call->stream_open = true;
    call->dispatched = call->answered = call->early = false;
    call->grpc = call->post = call->bad_timeout = false;
    call->timeout_ns = UINT64_MAX;
    call->body_sent = 0;
    call->body = SLICE_NONE;
    meta_clear(&call->meta);
    list_add(&conn->calls, &call->node);
    conn->calls_n++;
    return call;
}

void server_call_release(struct server_call *call)
{
    struct rpc_server *s = call->server;

    if (call->stream_open || (call->dispatched && !call->answered) ||
        (call->conn != NULL && call->conn->sending == call))
        return;
    if (call->conn != NULL) {
        if (call->conn->reading == call)
            call->conn->reading = NULL;
        call->conn->calls_n--;
        call->conn->buffered -= call->in.n;
        call->conn->held -= call->out.n;
    }
    if (s->free_n >= SERVER_FREE_CALLS) {
        call_destroy(call);
        return;
    }
    wire_recycle(&call->in);
    wire_recycle(&call->out);
    wire_recycle(&call->path);
    list_del(&call->node);
    list_add_head(&s->free, &call->node);
    s->free_n++;
}

static void answer_error(struct server_call *call, int status, const char *why)
{
    server_answer(call, status, slice_str(why), SLICE_NONE, NULL, 0);
}

/* grpc.health.v1: the answer is HealthCheckResponse{status: 1 serving, 2 not}. It is about the
 * process; every service name is answered alike. */
static bool answer_health(struct server_call *call)
{
    static const struct slice prefix = {"/grpc.health.v1.Health/", 23};

    if (!slice_starts(call->pub.path, prefix))
        return false;
    if (!slice_eq(call->pub.path, SLICE_LIT("/grpc.health.v1.Health/Check")))
        answer_error(call, RPC_UNIMPLEMENTED, "only Check is served");
    else
        server_answer(call, RPC_OK, SLICE_NONE,
                      call->server->serving ? SLICE_LIT("\x08\x01") : SLICE_LIT("\x08\x02"), NULL,
                      0);
    return true;
}

void server_dispatch(struct server_call *call)
{
    struct rpc_server *s = call->server;
    struct slice body = buf_view(&call->in);

    if (wire_body_check(body, s->cfg.max_message) != WIRE_BODY_ONE) {
        answer_error(call, RPC_INTERNAL,
                     body.n == 0 ? "request without a message" : "request ends inside a message");
        return;
    }
    call->pub.path = buf_view(&call->path);
    call->pub.payload = slice_of(body.p + WIRE_PREFIX, body.n - WIRE_PREFIX);
    call->pub.meta = meta_view(&call->meta);
    call->pub.meta_n = call->meta.n;
    if (call->timeout_ns != UINT64_MAX)
        call->pub.deadline_ns = loop_now(s->loop) + call->timeout_ns;
    if (answer_health(call))
        return;
    call->dispatched = true;
    s->in_flight++;
    s->cfg.handler(s->cfg.arg, &call->pub);
}

/* --- answers --- */

/* The trailers have no fields here, either: server_headers has them. */
static ssize_t read_body(nghttp2_session *session, int32_t stream, uint8_t *buf, size_t length,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct server_call *call = source->ptr;
    size_t n = call->body.n - call->body_sent;

    (void)buf;
    (void)user;
    *flags = NGHTTP2_DATA_FLAG_NO_COPY;
    if (n > length)
        return (ssize_t)length;
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    if (nghttp2_submit_trailer(session, stream, NULL, 0) != 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return (ssize_t)n;
}

static void add_field(struct server_call *call, struct slice name, struct slice value)
{
    call->fields[call->fields_n].name_n = (uint32_t)name.n;
    call->fields[call->fields_n++].value_n = (uint32_t)value.n;
    buf_slice(&call->out, name);
    buf_slice(&call->out, value);
}

/* Most values of an answer are of a few: a status, a reason, what is sold out. */
static void put_field(struct hpack *h, struct buf *block, struct slice name, struct slice value)
{
    if (value.n <= AGAIN_BYTES)
        hpack_again(h, block, name, value);
    else
        hpack_once(h, block, name, value);
}

void server_headers(struct server_call *call, struct buf *block)
{
    struct hpack *h = &call->conn->hpack;
    const char *at = call->out.p;

    if (call->headers_sent) {
        hpack_again(h, block, SLICE_LIT("grpc-status"), SLICE_LIT("0"));
        return;
    }
    call->headers_sent = true;
    if (call->http_status == NULL)
        hpack_static(block, HPACK_STATUS_200);
    else
        hpack_again(h, block, SLICE_LIT(":status"), slice_str(call->http_status));
    hpack_again(h, block, SLICE_LIT("content-type"), SLICE_LIT("application/grpc"));
    for (unsigned i = 0; i < call->fields_n; i++) {
        struct slice name = slice_of(at, call->fields[i].name_n);
        struct slice value = slice_of(at + name.n, call->fields[i].value_n);
        put_field(h, block, name, value);
        at += name.n + value.n;
    }
}

/* need: bytes of the whole answer. Room for all at once, so that no field is cut off where memory
 * is out; false: there is none, and the stream is reset. */
static bool answer_begin(struct server_call *call, size_t need)
{
    struct h2_conn *h2 = &call->conn->h2;

    buf_clear(&call->out);
    call->fields_n = 0;
    call->headers_sent = false;
    call->http_status = NULL;
    if (call->conn->held + h2->out.n + need <= SERVER_HELD_MAX && buf_reserve(&call->out, need))
        return true;
    nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, call->stream,
                              NGHTTP2_ENHANCE_YOUR_CALM);
    call->answered = true;
    h2_wants_write(h2);
    return false;
}

static void answer_meta(struct server_call *call, const struct rpc_meta *meta, unsigned meta_n)
{
    for (unsigned i = 0; i < meta_n && i < WIRE_META_MAX; i++)
        add_field(call, meta[i].name, meta[i].value);
}

/* Without fields: server_headers has them. */
static void answer_submit(struct server_call *call, bool with_body)
{
    struct h2_conn *h2 = &call->conn->h2;
    nghttp2_data_provider body = {.source.ptr = call, .read_callback = read_body};

    if (nghttp2_submit_response(h2->session, call->stream, NULL, 0, with_body ? &body : NULL) != 0)
        nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, call->stream,
                                  NGHTTP2_INTERNAL_ERROR);
    call->answered = true;
    call->conn->held += call->out.n;
    h2_wants_write(h2);
}

static size_t meta_size(const struct rpc_meta *meta, unsigned meta_n)
{
    size_t n = 0;

    for (unsigned i = 0; i < meta_n; i++)
        n += meta[i].name.n + meta[i].value.n;
    return n;
}

static void answer_ok(struct server_call *call, struct slice payload, const struct rpc_meta *meta,
                      unsigned meta_n)
{
    char prefix[WIRE_PREFIX];
    size_t from;

    answer_meta(call, meta, meta_n);
    from = call->out.n;
    wire_prefix(prefix, (uint32_t)payload.n);
    buf_add(&call->out, prefix, WIRE_PREFIX);
    buf_slice(&call->out, payload);
    call->body = slice_of(call->out.p + from, call->out.n - from);
    answer_submit(call, true);
}

/* Trailers only: one HEADERS frame. */
static void answer_status(struct server_call *call, int status, struct slice message,
                          const struct rpc_meta *meta, unsigned meta_n)
{
    static const struct slice message_name = {"grpc-message", 12};
    char digits[24];
    size_t from;

    answer_meta(call, meta, meta_n);
    add_field(call, SLICE_LIT("grpc-status"),
              slice_of(digits, fmt_u64(digits, status > 0 ? (unsigned)status : 2u)));
    if (message.n > 0) {
        add_field(call, message_name, SLICE_NONE);
        from = call->out.n;
        wire_percent_encode(&call->out, message);
        call->fields[call->fields_n - 1].value_n = (uint32_t)(call->out.n - from);
    }
    answer_submit(call, false);
}

void server_answer(struct server_call *call, int status, struct slice message, struct slice payload,
                   const struct rpc_meta *meta, unsigned meta_n)
{
    size_t need = meta_size(meta, meta_n) + WIRE_PREFIX;

    if (message.n > WIRE_MESSAGE_MAX)
        message.n = WIRE_MESSAGE_MAX;
    if (payload.n > UINT32_MAX) {
        status = RPC_INTERNAL;
        message = SLICE_LIT("reply is too large");
    }
    need += status == RPC_OK ? payload.n : 3 * message.n + 64;
    if (!answer_begin(call, need))
        return;
    if (status == RPC_OK)
        answer_ok(call, payload, meta, meta_n);
    else
        answer_status(call, status, message, meta, meta_n);
}

void server_answer_http(struct server_call *call, const char *http_status)
{
    static const struct slice name = {"grpc-status", 11}, unknown = {"2", 1};

    if (!answer_begin(call, name.n + unknown.n))
        return;
    call->http_status = http_status;
    add_field(call, name, unknown);
    answer_submit(call, false);
}

void rpc_server_reply(struct rpc_server *s, struct rpc_server_call *pub, int status,
                      struct slice message, struct slice payload, const struct rpc_meta *meta,
                      unsigned meta_n)
{
    struct server_call *call = CONTAINER_OF(pub, struct server_call, pub);

    CHECK(call->server == s && call->dispatched && !call->answered);
    s->in_flight--;
    if (call->stream_open && call->conn != NULL && !call->conn->h2.dead)
        server_answer(call, status, message, payload, meta, meta_n);
    call->answered = true;
    server_call_release(call);
}

struct slice rpc_server_meta(const struct rpc_server_call *call, const char *name)
{
    struct slice n = slice_str(name);

    for (unsigned i = 0; i < call->meta_n; i++) {
        if (slice_eq(call->meta[i].name, n))
            return call->meta[i].value;
    }
    return SLICE_NONE;
}

/* --- listening --- */

static void accept_cb(evutil_socket_t fd, short what, void *arg)
{
    struct rpc_server *s = arg;

    (void)what;
    for (unsigned i = 0; i < SERVER_ACCEPT_MAX; i++) {
        struct addr peer;
        int conn = addr_accept(fd, &peer);

        if (conn >= 0) {
            server_conn_open(s, conn);
        } else if (conn == -EMFILE || conn == -ENFILE || conn == -ENOBUFS || conn == -ENOMEM) {
            /* The backlog stays readable: without a pause this would spin. */
            log_warn("rpc: cannot accept a connection: out of descriptors or memory");
            event_del(&s->accept);
            loop_timer_arm(s->loop, &s->accept_again, ACCEPT_PAUSE_NS);
            return;
        } else if (conn == -EAGAIN) {
            return;
        } /* else that one connection failed (ECONNABORTED); the next may not */
    }
}

static void on_accept_again(struct loop_timer *t)
{
    struct rpc_server *s = CONTAINER_OF(t, struct rpc_server, accept_again);

    event_add(&s->accept, NULL);
}

struct rpc_server *rpc_server_new(struct loop *loop, const struct rpc_server_config *cfg)
{
    struct rpc_server *s = calloc(1, sizeof *s);

    if (s == NULL || !h2_io_init(&s->io)) {
        free(s);
        return NULL;
    }
    s->loop = loop;
    s->cfg = *cfg;
    if (s->cfg.max_message == 0)
        s->cfg.max_message = RPC_SERVER_MESSAGE_DEFAULT;
    if (s->cfg.max_streams == 0)
        s->cfg.max_streams = RPC_SERVER_STREAMS_DEFAULT;
    s->serving = true;
    list_init(&s->conns);
    list_init(&s->orphans);
    list_init(&s->free);
    loop_timer_init(&s->accept_again, on_accept_again);
    event_assign(&s->accept, loop->base, cfg->listen_fd, EV_READ | EV_PERSIST, accept_cb, s);
    event_add(&s->accept, NULL);
    return s;
}

static void stop_listening(struct rpc_server *s)
{
    if (s->cfg.listen_fd < 0)
        return;
    event_del(&s->accept);
    loop_timer_disarm(s->loop, &s->accept_again);
    close(s->cfg.listen_fd);
    s->cfg.listen_fd = -1;
}

void rpc_server_drain(struct rpc_server *s)
{
    if (s->draining)
        return;
    s->draining = true;
    stop_listening(s);
    LIST_EACH (it, &s->conns)
        server_conn_drain(CONTAINER_OF(it, struct server_conn, node));
}

uint32_t rpc_server_in_flight(const struct rpc_server *s)
{
    return s->in_flight;
}

void rpc_server_set_serving(struct rpc_server *s, bool serving)
{
    s->serving = serving;
}

void rpc_server_free(struct rpc_server **sp)
{
    struct rpc_server *s = *sp;
    struct list *it;

    *sp = NULL;
    if (s == NULL)
        return;
    server_enter(s);
    s->dead = true;
    stop_listening(s);
    while ((it = list_first(&s->conns)) != NULL) {
        list_del(it); /* it may live on until the functions on the stack have left it */
        h2_kill(&CONTAINER_OF(it, struct server_conn, node)->h2, "server closed");
    }
    server_leave(s);
}
