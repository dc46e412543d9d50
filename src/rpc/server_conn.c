/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server connection. What a hostile client can make us keep is bounded: header blocks by nghttp2
 * and meta_set, bodies by max_message and SERVER_BUFFER_MAX, calls (those it has reset included, as
 * long as their handlers work) by twice max_streams, control frames by nghttp2, unread answers by
 * h2.
 */
#include "rpc/server_int.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "rpc/status.h"

static struct server_conn *conn_of(void *user)
{
    return CONTAINER_OF((struct h2_conn *)user, struct server_conn, h2);
}

static void refuse_stream(nghttp2_session *session, int32_t stream, uint32_t error_code)
{
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream, error_code);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct server_conn *conn = conn_of(user);
    struct rpc_server *s = conn->server;
    struct server_call *call = NULL;

    conn->reading = NULL;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    if (conn->calls_n < 2 * s->cfg.max_streams && conn->buffered < SERVER_BUFFER_MAX &&
        s->in_flight < SERVER_IN_FLIGHT_MAX)
        call = server_call_new(s, conn, frame->hd.stream_id);
    if (call == NULL)
        refuse_stream(session, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
    else
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call);
    conn->reading = call;
    return 0;
}

static void on_pseudo(struct server_call *call, struct slice name, struct slice value)
{
    if (slice_eq(name, SLICE_LIT(":path")))
        buf_slice(&call->path, value);
    else if (slice_eq(name, SLICE_LIT(":method")))
        call->post = slice_eq(value, SLICE_LIT("POST"));
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name_p,
                     size_t name_n, const uint8_t *value_p, size_t value_n, uint8_t flags,
                     void *user)
{
    struct server_call *call = conn_of(user)->reading;
    struct slice name = slice_of((const char *)name_p, name_n);
    struct slice value = slice_of((const char *)value_p, value_n);

    (void)session;
    (void)frame;
    (void)flags;
    if (call == NULL || call->answered || call->dispatched)
        return 0;
    if (name_n > 0 && name_p[0] == ':')
        on_pseudo(call, name, value);
    else if (slice_eq(name, SLICE_LIT("content-type")))
        call->grpc = wire_is_grpc(value);
    else if (slice_eq(name, SLICE_LIT("grpc-timeout")))
        call->bad_timeout = !wire_timeout_parse(value, &call->timeout_ns);
    else if (!slice_eq(name, SLICE_LIT("te")))
        meta_add(&call->meta, name, value);
    return 0;
}

/* The answer is complete before the request is; once it is out, the peer is told to stop sending.
 * (A stream that is being reset sends nothing any more, so this waits for on_frame_sent.) */
static void answer_early(struct server_call *call, int status, const char *why)
{
    server_answer(call, status, slice_str(why), SLICE_NONE, NULL, 0);
    call->early = true;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct server_call *call;

    (void)user;
    if (frame->hd.type != NGHTTP2_HEADERS || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (call != NULL && call->early)
        refuse_stream(session, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

/* Of the frame whose bytes come next. */
static int before_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    if (frame->hd.type == NGHTTP2_HEADERS)
        conn_of(user)->sending = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    return 0;
}

/* What is wrong with a request as far as its headers tell; NULL: nothing. */
static const char *headers_fault(const struct server_call *call, int *status)
{
    if (call->meta.overflow || call->path.failed || call->path.n > WIRE_META_BYTES_MAX) {
        *status = RPC_RESOURCE_EXHAUSTED;
        return "too much metadata";
    }
    *status = RPC_INTERNAL;
    return call->bad_timeout ? "malformed grpc-timeout" : NULL;
}

static void check_headers(struct server_call *call, bool end)
{
    const char *http = !call->post ? "405" : !call->grpc ? "415" : NULL, *why = NULL;
    int status;

    if (http != NULL)
        server_answer_http(call, http);
    else if ((why = headers_fault(call, &status)) != NULL)
        server_answer(call, status, slice_str(why), SLICE_NONE, NULL, 0);
    call->early = call->answered && !end;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_conn *h2 = user;
    struct server_call *call;
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (call == NULL || call->answered || call->dispatched)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        check_headers(call, end);
    if (end && !call->answered)
        server_dispatch(call);
    return h2->dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t n, void *user)
{
    struct server_conn *conn = conn_of(user);
    struct server_call *call = nghttp2_session_get_stream_user_data(session, stream);

    (void)flags;
    if (call == NULL || call->answered || call->dispatched)
        return 0;
    if (conn->buffered + n > SERVER_BUFFER_MAX || !buf_reserve(&call->in, n)) {
        answer_early(call, RPC_RESOURCE_EXHAUSTED, "too many bytes of requests are held");
        return 0;
    }
    buf_add(&call->in, data, n);
    conn->buffered += n;
    switch (wire_body_check(buf_view(&call->in), conn->server->cfg.max_message)) {
    case WIRE_BODY_PART:
    case WIRE_BODY_ONE:
        break;
    case WIRE_BODY_COMPRESSED:
        answer_early(call, RPC_UNIMPLEMENTED, "compressed messages are not supported");
        break;
    case WIRE_BODY_TOO_LARGE:
        answer_early(call, RPC_RESOURCE_EXHAUSTED, "message is too large");
        break;
    case WIRE_BODY_BAD_FLAG:
        answer_early(call, RPC_INTERNAL, "malformed message");
        break;
    case WIRE_BODY_SEVERAL:
        answer_early(call, RPC_INTERNAL, "more than one message in a unary request");
        break;
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t error_code,
                           void *user)
{
    struct server_call *call = nghttp2_session_get_stream_user_data(session, stream);

    (void)error_code;
    (void)user;
    if (call == NULL)
        return 0;
    call->stream_open = false;
    call->pub.gone = !call->answered;
    server_call_release(call);
    return 0;
}

static int send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n,
                     nghttp2_data_source *source, void *user)
{
    struct server_call *call = source->ptr;

    (void)session;
    (void)frame;
    call->body_sent += n;
    return h2_write_data(user, head, call->body.p + call->body_sent - n, n);
}

/* The stream may be closed already: nghttp2 does that before it hands out the bytes of its last
 * frame. */
static bool headers(struct h2_conn *h2, int32_t stream, struct buf *block)
{
    struct server_conn *conn = conn_of(h2);
    struct server_call *call = conn->sending;

    if (call == NULL || call->stream != stream)
        return false;
    hpack_resized(&conn->hpack, buf_view(block));
    server_headers(call, block);
    conn->sending = NULL;
    server_call_release(call);
    return true;
}

static void set_callbacks(nghttp2_session_callbacks *cb)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_before_frame_send_callback(cb, before_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(cb, send_data);
}

/* Calls that a handler has are kept until it answers. */
static void closed(struct h2_conn *h2)
{
    struct server_conn *conn = conn_of(h2);
    struct rpc_server *s = conn->server;
    struct list *it;

    server_enter(s);
    while ((it = list_first(&conn->calls)) != NULL) {
        struct server_call *call = CONTAINER_OF(it, struct server_call, node);
        list_move(&s->orphans, it);
        call->conn = NULL;
        call->stream_open = false;
        call->pub.gone = !call->answered;
        server_call_release(call);
    }
    list_del(&conn->node);
    s->conns_n--;
    hpack_fini(&conn->hpack);
    free(conn);
    server_leave(s);
}

static const struct h2_ops server_ops = {
    .server = true,
    .callbacks = set_callbacks,
    .headers = headers,
    .closed = closed,
};

void server_conn_open(struct rpc_server *s, int fd)
{
    struct server_conn *conn = s->conns_n < SERVER_CONNS_MAX ? calloc(1, sizeof *conn) : NULL;
    struct h2_config cfg = {.max_streams = s->cfg.max_streams};

    if (conn == NULL) {
        close(fd);
        return;
    }
    conn->server = s;
    list_init(&conn->node);
    list_init(&conn->calls);
    if (h2_open(&conn->h2, s->loop, &s->io, &server_ops, fd, &cfg) < 0) {
        free(conn);
        return;
    }
    list_add(&s->conns, &conn->node);
    s->conns_n++;
}

void server_conn_drain(struct server_conn *conn)
{
    nghttp2_session *session = conn->h2.session;

    if (conn->h2.dead)
        return;
    /* Streams above this one have surely not been looked at: the client may send them elsewhere. */
    nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(session), NGHTTP2_NO_ERROR, NULL,
                          0);
    h2_wants_write(&conn->h2);
}
