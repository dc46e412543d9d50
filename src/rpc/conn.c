/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client connection: exchanges wait in `queue`, get a stream at the end of the turn as far as the
 * peer allows, sit on `active` until the stream closes.
 */
#include "rpc/client_int.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "rpc/addr.h"

#define STREAM_ID_LAST  2000000000 /* of 2^31: then a new connection */
#define STREAMS_ASSUMED 100u       /* until the peer's SETTINGS (RFC 9113, 6.5.2) */

static struct rpc_conn *conn_of(struct h2_conn *h2)
{
    return CONTAINER_OF(h2, struct rpc_conn, h2);
}

static struct rpc_client *client_of(struct rpc_conn *conn)
{
    return conn->endpoint->client;
}

static void conn_forget(struct rpc_conn *conn, struct rpc_exchange *x)
{
    CHECK(conn->calls > 0);
    conn->calls--;
    if (x->stream != 0) {
        CHECK(conn->streams > 0);
        conn->streams--;
    }
    list_del(&x->node);
    x->conn = NULL;
    x->stream = 0;
}

/* A retired connection goes with its last call. */
static void close_if_done(struct rpc_conn *conn)
{
    if (conn->retired && conn->calls == 0)
        h2_kill(&conn->h2, "connection retired");
}

/* --- nghttp2 callbacks. User callbacks may run inside; a killed connection stops the parser. ---
 */

static int stop_if_dead(struct h2_conn *h2)
{
    return h2->dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    struct rpc_exchange *x = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    (void)flags;
    (void)user;
    if (x != NULL && x->call != NULL)
        exchange_on_header(x, slice_of((const char *)name, name_n),
                           slice_of((const char *)value, value_n));
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t n, void *user)
{
    struct rpc_exchange *x = nghttp2_session_get_stream_user_data(session, stream);

    (void)flags;
    if (x == NULL || x->call == NULL)
        return 0;
    if (!exchange_on_data(x, slice_of((const char *)data, n)) && !((struct h2_conn *)user)->dead)
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    return stop_if_dead(user);
}

static void on_settings(struct rpc_conn *conn)
{
    conn->max_streams = nghttp2_session_get_remote_settings(
        conn->h2.session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    if (!conn->proved) {
        conn->proved = true;
        endpoint_proved(conn->endpoint);
    }
}

static void on_end_stream(struct rpc_conn *conn, int32_t stream)
{
    nghttp2_session *session = conn->h2.session;
    struct rpc_exchange *x = nghttp2_session_get_stream_user_data(session, stream);

    if (x == NULL)
        return;
    /* The reply is complete: what is left of the request is of no use to anybody. */
    if (x->body_sent < x->body.n)
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    if (x->call != NULL)
        exchange_on_end(x);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_conn *h2 = user;
    struct rpc_conn *conn = conn_of(h2);

    (void)session;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            on_end_stream(conn, frame->hd.stream_id);
        break;
    case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            on_settings(conn);
        break;
    case NGHTTP2_GOAWAY:
        /* Streams above its last are closed by nghttp2, as refused. */
        endpoint_retire(conn);
        conn_move_queue(conn, "peer closes the connection");
        break;
    default:
        break;
    }
    return stop_if_dead(h2);
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t error_code,
                           void *user)
{
    struct h2_conn *h2 = user;
    struct rpc_conn *conn = conn_of(h2);
    struct rpc_exchange *x = nghttp2_session_get_stream_user_data(session, stream);

    if (x == NULL)
        return 0;
    conn_forget(conn, x);
    if (x->call == NULL) {
        exchange_free(x);
    } else if (error_code == NGHTTP2_REFUSED_STREAM && (conn->retired || x->tries == 1)) {
        /* Above the last stream of a GOAWAY, or over a limit that we did not know yet. */
        client_exchange_moved(x, "stream refused by the peer");
    } else if (error_code == NGHTTP2_REFUSED_STREAM) {
        client_exchange_failed(x, false, BALANCE_NEUTRAL, "stream refused by the peer");
    } else {
        exchange_fail(x, true, BALANCE_OK, wire_status_of_reset(error_code),
                      "stream reset by the peer");
        exchange_free(x);
    }
    close_if_done(conn);
    /* A stream more is free. */
    if (!list_empty(&conn->queue))
        h2_wants_write(h2);
    return stop_if_dead(h2);
}

static int send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n,
                     nghttp2_data_source *source, void *user)
{
    struct rpc_exchange *x = source->ptr;

    (void)session;
    (void)frame;
    x->body_sent += n;
    return h2_write_data(user, head, x->body.p + x->body_sent - n, n);
}

static bool headers(struct h2_conn *h2, int32_t stream, struct buf *block)
{
    struct rpc_exchange *x = nghttp2_session_get_stream_user_data(h2->session, stream);

    if (x == NULL)
        return false;
    hpack_resized(&conn_of(h2)->hpack, buf_view(block));
    exchange_headers(x, conn_of(h2), block);
    return true;
}

static void set_callbacks(nghttp2_session_callbacks *cb)
{
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(cb, send_data);
}

/* --- the connection --- */

/* Submits what waits, as far as the peer allows. */
static void fill(struct h2_conn *h2)
{
    struct rpc_conn *conn = conn_of(h2);
    struct list *it;

    while (conn->streams < conn->max_streams && (it = list_first(&conn->queue)) != NULL) {
        struct rpc_exchange *x = CONTAINER_OF(it, struct rpc_exchange, node);
        int rc = exchange_submit(x, conn);
        if (rc < 0) {
            conn_forget(conn, x);
            client_exchange_failed(x, false, BALANCE_NEUTRAL, "cannot open a stream");
            if (h2->dead)
                return;
            continue;
        }
        list_move(&conn->active, &x->node);
        conn->streams++;
        if (x->stream >= STREAM_ID_LAST) {
            endpoint_retire(conn);
            conn_move_queue(conn, "connection used up");
        }
    }
    close_if_done(conn);
}

static void fail_list(struct rpc_conn *conn, struct list *from, bool sent, const char *why)
{
    struct list *it;

    while ((it = list_first(from)) != NULL) {
        struct rpc_exchange *x = CONTAINER_OF(it, struct rpc_exchange, node);
        conn_forget(conn, x);
        if (x->call == NULL)
            exchange_free(x);
        else
            client_exchange_failed(x, sent, sent ? BALANCE_LOST : BALANCE_NEUTRAL, why);
    }
}

static void closed(struct h2_conn *h2)
{
    struct rpc_conn *conn = conn_of(h2);
    struct rpc_client *c = client_of(conn);

    client_enter(c);
    loop_timer_disarm(c->loop, &conn->connect_timer);
    loop_timer_disarm(c->loop, &conn->keepalive);
    /* First of all: a call that a callback starts must find the backoff, not this connection. */
    endpoint_lost(conn);
    fail_list(conn, &conn->active, true, h2->reason);
    fail_list(conn, &conn->queue, false, h2->reason);
    hpack_fini(&conn->hpack);
    free(conn);
    c->conns--;
    client_leave(c);
}

void conn_move_queue(struct rpc_conn *conn, const char *why)
{
    struct list *it;

    while ((it = list_first(&conn->queue)) != NULL) {
        struct rpc_exchange *x = CONTAINER_OF(it, struct rpc_exchange, node);
        conn_forget(conn, x);
        client_exchange_moved(x, why);
    }
    close_if_done(conn);
}

static void on_connect_timeout(struct loop_timer *t)
{
    h2_kill(&CONTAINER_OF(t, struct rpc_conn, connect_timer)->h2, "connect timed out");
}

static void connected(struct h2_conn *h2)
{
    loop_timer_disarm(h2->loop, &conn_of(h2)->connect_timer);
}

static void on_keepalive(struct loop_timer *t)
{
    struct rpc_conn *conn = CONTAINER_OF(t, struct rpc_conn, keepalive);
    struct loop *l = conn->h2.loop;
    uint64_t idle = client_of(conn)->keepalive_ns, now = loop_now(l);
    /* Silence counts from the first call on: before it there was nothing to say. */
    uint64_t heard = conn->h2.received_ns, since = heard > conn->busy_ns ? heard : conn->busy_ns;

    if (conn->pinged_ns != 0 && heard <= conn->pinged_ns) {
        h2_kill(&conn->h2, "peer does not answer a PING");
        return;
    }
    conn->pinged_ns = 0;
    if (conn->calls == 0)
        return; /* conn_queue arms it again */
    if (now - since < idle) {
        loop_timer_arm(l, t, idle - (now - since));
        return;
    }
    conn->pinged_ns = now;
    nghttp2_submit_ping(conn->h2.session, NGHTTP2_FLAG_NONE, NULL);
    h2_wants_write(&conn->h2);
    loop_timer_arm(l, t, idle / 3);
}

static const struct h2_ops client_ops = {
    .callbacks = set_callbacks,
    .connected = connected,
    .fill = fill,
    .headers = headers,
    .closed = closed,
};

int conn_open(struct rpc_endpoint *e, struct rpc_conn **out)
{
    struct rpc_client *c = e->client;
    struct rpc_conn *conn = calloc(1, sizeof *conn);
    struct h2_config cfg = {0};
    int fd, rc = -ENOMEM;

    if (conn == NULL)
        return rc;
    fd =
        addr_connect((const struct sockaddr *)&e->balance->sa, e->balance->sa_len, &cfg.connecting);
    if (fd < 0 || (rc = h2_open(&conn->h2, c->loop, &c->io, &client_ops, fd, &cfg)) < 0) {
        free(conn);
        return fd < 0 ? fd : rc;
    }
    conn->endpoint = e;
    conn->max_streams = STREAMS_ASSUMED;
    list_init(&conn->node);
    list_init(&conn->queue);
    list_init(&conn->active);
    loop_timer_init(&conn->connect_timer, on_connect_timeout);
    loop_timer_init(&conn->keepalive, on_keepalive);
    if (cfg.connecting && c->connect_timeout_ns > 0)
        loop_timer_arm(c->loop, &conn->connect_timer, c->connect_timeout_ns);
    c->conns++;
    *out = conn;
    return 0;
}

void conn_queue(struct rpc_conn *conn, struct rpc_exchange *x)
{
    x->conn = conn;
    x->stream = 0;
    list_move(&conn->queue, &x->node);
    conn->calls++;
    if (!loop_timer_armed(&conn->keepalive)) {
        conn->busy_ns = loop_now(conn->h2.loop);
        loop_timer_arm(conn->h2.loop, &conn->keepalive, client_of(conn)->keepalive_ns);
    }
    h2_wants_write(&conn->h2);
}

void conn_abandon(struct rpc_exchange *x)
{
    struct rpc_conn *conn = x->conn;

    if (x->stream == 0) {
        conn_forget(conn, x);
        exchange_free(x);
        close_if_done(conn);
    } else if (!conn->h2.dead) {
        nghttp2_submit_rst_stream(conn->h2.session, NGHTTP2_FLAG_NONE, x->stream, NGHTTP2_CANCEL);
        h2_wants_write(&conn->h2);
    }
}
