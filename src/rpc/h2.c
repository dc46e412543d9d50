/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/h2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "rpc/hpack.h"

#define FRAME_HEAD 9u

bool h2_io_init(struct h2_io *io)
{
    *io = (struct h2_io){.read = malloc(H2_READ_BYTES)};
    mem_init(&io->mem);
    if (io->read == NULL || !buf_reserve(&io->write, H2_READ_BYTES + FRAME_HEAD)) {
        h2_io_fini(io);
        return false;
    }
    return true;
}

void h2_io_fini(struct h2_io *io)
{
    free(io->read);
    io->read = NULL;
    buf_free(&io->write);
    buf_free(&io->block);
    mem_fini(&io->mem);
}

static void teardown(struct h2_conn *c)
{
    loop_hook_cancel(&c->flush);
    loop_timer_disarm(c->loop, &c->linger);
    event_del(&c->read);
    event_del(&c->write);
    close(c->fd);
    c->fd = -1;
    nghttp2_session_del(c->session);
    c->session = NULL;
    buf_free(&c->out);
    c->ops->closed(c);
}

void h2_enter(struct h2_conn *c)
{
    c->busy++;
}

void h2_leave(struct h2_conn *c)
{
    CHECK(c->busy > 0);
    if (--c->busy == 0 && c->dead)
        teardown(c);
}

void h2_kill(struct h2_conn *c, const char *reason)
{
    if (c->dead)
        return;
    c->dead = true;
    c->reason = reason;
    h2_enter(c);
    h2_leave(c);
}

void h2_wants_write(struct h2_conn *c)
{
    if (!c->dead)
        loop_defer(c->loop, &c->flush);
}

int h2_write_data(struct h2_conn *c, const uint8_t *frame_head, const char *p, size_t n)
{
    struct buf *w = &c->io->write;

    if (!buf_reserve(w, FRAME_HEAD + n))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    buf_add(w, frame_head, FRAME_HEAD);
    buf_add(w, p, n);
    /* nghttp2 would go on with the next DATA frame inside the same call, as far as the peer's
     * windows reach. */
    return w->n >= H2_OUT_MAX ? NGHTTP2_ERR_PAUSE : 0;
}

/* Sends; returns how much the kernel took, or -1 with the connection marked dead. */
static ssize_t send_some(struct h2_conn *c, const char *p, size_t n)
{
    ssize_t sent;

    do
        sent = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return sent;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return 0;
    h2_kill(c, "connection lost while sending");
    return -1;
}

static void arm_write(struct h2_conn *c)
{
    if (!c->write_armed) {
        c->write_armed = true;
        event_add(&c->write, NULL);
    }
}

/* Sends what an earlier turn could not. True when nothing of it is left. */
static bool flush_out(struct h2_conn *c)
{
    ssize_t sent;

    if (c->out.n == 0)
        return true;
    sent = send_some(c, c->out.p + c->out_off, c->out.n - c->out_off);
    if (sent < 0)
        return false;
    c->out_off += (size_t)sent;
    if (c->out_off < c->out.n) {
        arm_write(c);
        return false;
    }
    buf_clear(&c->out);
    c->out_off = 0;
    if (c->out.cap > H2_READ_BYTES)
        buf_free(&c->out);
    return true;
}

/*
 * A frame of nghttp2's, or a piece of one. HEADERS whose fields the owner has are framed anew
 * around those; what nghttp2 put into their block is at most a change of the table's size, which
 * stands at the front of a block.
 */
static bool take_frame(struct h2_conn *c, const uint8_t *p, size_t n)
{
    struct buf *w = &c->io->write, *block = &c->io->block;
    uint32_t stream;

    if (n < FRAME_HEAD || p[3] != NGHTTP2_HEADERS) {
        buf_add(w, p, n);
        return !w->failed;
    }
    stream = (uint32_t)p[5] << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 | p[8];
    buf_clear(block);
    buf_add(block, p + FRAME_HEAD, n - FRAME_HEAD);
    if (!c->ops->headers(c, (int32_t)stream, block) || block->failed)
        return false;
    hpack_frames(w, stream, p[4] & NGHTTP2_FLAG_END_STREAM, buf_view(block));
    return !w->failed;
}

/* Serializes up to H2_OUT_MAX bytes into the shared buffer. False when the session failed. */
static bool serialize(struct h2_conn *c)
{
    struct buf *w = &c->io->write;

    buf_clear(w);
    while (w->n < H2_OUT_MAX) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(c->session, &p);

        if (n < 0 || w->failed || (n > 0 && !take_frame(c, p, (size_t)n))) {
            h2_kill(c, "cannot serialize HTTP/2 frames");
            return false;
        }
        if (n == 0)
            break;
    }
    return true;
}

/* False when the kernel takes no more for now, or the connection is dead. */
static bool send_serialized(struct h2_conn *c)
{
    struct buf *w = &c->io->write;
    ssize_t sent = send_some(c, w->p, w->n);

    if (sent < 0)
        return false;
    if ((size_t)sent == w->n)
        return true;
    buf_add(&c->out, w->p + sent, w->n - (size_t)sent);
    if (c->out.failed)
        h2_kill(c, "out of memory");
    else
        arm_write(c);
    return false;
}

static void on_linger(struct loop_timer *t)
{
    h2_kill(CONTAINER_OF(t, struct h2_conn, linger), "peer does not close");
}

/*
 * Both sides have said all they will. A server that closed now, with bytes of the client unread,
 * would make TCP throw away the GOAWAY on its way; so it only shuts its side and waits for the
 * client's end.
 */
static void finish(struct h2_conn *c)
{
    if (!c->ops->server) {
        h2_kill(c, "connection finished");
    } else if (!c->lingering) {
        c->lingering = true;
        shutdown(c->fd, SHUT_WR);
        loop_timer_arm(c->loop, &c->linger, H2_LINGER_NS);
    }
}

static void flush(struct h2_conn *c)
{
    if (c->dead || c->connecting || c->lingering || !flush_out(c))
        return;
    for (;;) {
        if (c->ops->fill != NULL)
            c->ops->fill(c);
        if (c->dead || !serialize(c))
            return;
        if (c->io->write.n == 0)
            break;
        bool more = c->io->write.n >= H2_OUT_MAX;
        if (!send_serialized(c))
            return;
        if (!more)
            break;
    }
    if (!nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session))
        finish(c);
}

static void flush_hook(struct loop_hook *h)
{
    struct h2_conn *c = CONTAINER_OF(h, struct h2_conn, flush);

    h2_enter(c);
    flush(c);
    h2_leave(c);
}

/* False: stop reading in this turn. */
static bool read_some(struct h2_conn *c)
{
    ssize_t n = recv(c->fd, c->io->read, H2_READ_BYTES, MSG_DONTWAIT), used;

    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return false;
    if (n <= 0) {
        h2_kill(c, n == 0 ? "connection closed by the peer" : "connection lost");
        return false;
    }
    if (c->lingering)
        return n == H2_READ_BYTES;
    c->received_ns = loop_now(c->loop);
    used = nghttp2_session_mem_recv(c->session, (const uint8_t *)c->io->read, (size_t)n);
    if (used < 0)
        h2_kill(c, used == NGHTTP2_ERR_FLOODED ? "peer floods with control frames"
                                               : "peer does not speak HTTP/2");
    return !c->dead && n == H2_READ_BYTES;
}

static void read_cb(evutil_socket_t fd, short what, void *arg)
{
    struct h2_conn *c = arg;

    (void)fd;
    (void)what;
    h2_enter(c);
    for (unsigned i = 0; i < H2_READS_MAX && !c->dead && read_some(c); i++)
        continue;
    h2_wants_write(c);
    h2_leave(c);
}

static void connect_finished(struct h2_conn *c)
{
    int err = 0;
    socklen_t len = sizeof err;

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 || err != 0) {
        h2_kill(c, err == ECONNREFUSED ? "connection refused" : "cannot connect");
        return;
    }
    c->connecting = false;
    event_add(&c->read, NULL);
    if (c->ops->connected != NULL)
        c->ops->connected(c);
}

static void write_cb(evutil_socket_t fd, short what, void *arg)
{
    struct h2_conn *c = arg;

    (void)fd;
    (void)what;
    c->write_armed = false;
    h2_enter(c);
    if (c->connecting)
        connect_finished(c);
    h2_wants_write(c);
    h2_leave(c);
}

static nghttp2_option *make_option(const struct h2_ops *ops)
{
    nghttp2_option *o;

    if (nghttp2_option_new(&o) != 0)
        return NULL;
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_max_outbound_ack(o, 256);
    nghttp2_option_set_max_settings(o, 32);
    if (ops->server)
        nghttp2_option_set_max_reserved_remote_streams(o, 0);
    return o;
}

static int new_session(struct h2_conn *c)
{
    nghttp2_session_callbacks *cb = NULL;
    nghttp2_option *o = make_option(c->ops);
    int rc = -ENOMEM;

    if (o == NULL || nghttp2_session_callbacks_new(&cb) != 0)
        goto out;
    c->ops->callbacks(cb);
    if (c->ops->server)
        rc = nghttp2_session_server_new3(&c->session, cb, c, o, &c->io->mem.ops);
    else
        rc = nghttp2_session_client_new3(&c->session, cb, c, o, &c->io->mem.ops);
    if (rc != 0)
        rc = -ENOMEM;
out:
    nghttp2_session_callbacks_del(cb);
    nghttp2_option_del(o);
    return rc;
}

static int submit_settings(struct h2_conn *c, const struct h2_config *cfg)
{
    nghttp2_settings_entry e[4];
    size_t n = 0;

    e[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW};
    e[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEADER_LIST};
    if (c->ops->server) {
        e[n++] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, cfg->max_streams};
        /* All streams are equal here: the dependency tree would only be kept up for nothing. */
        e[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1};
    } else {
        e[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
    }
    if (nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, e, n) != 0 ||
        nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, H2_WINDOW) != 0)
        return -ENOMEM;
    return 0;
}

int h2_open(struct h2_conn *c, struct loop *loop, struct h2_io *io, const struct h2_ops *ops,
            int fd, const struct h2_config *cfg)
{
    int rc;

    c->loop = loop;
    c->io = io;
    c->ops = ops;
    c->fd = fd;
    c->connecting = cfg->connecting;
    c->received_ns = loop_now(loop);
    loop_hook_init(&c->flush, flush_hook);
    loop_timer_init(&c->linger, on_linger);
    rc = new_session(c);
    if (rc == 0)
        rc = submit_settings(c, cfg);
    if (rc < 0) {
        nghttp2_session_del(c->session);
        c->session = NULL;
        close(fd);
        return rc;
    }
    event_assign(&c->read, loop->base, fd, EV_READ | EV_PERSIST, read_cb, c);
    event_assign(&c->write, loop->base, fd, EV_WRITE, write_cb, c);
    if (c->connecting)
        arm_write(c);
    else
        event_add(&c->read, NULL);
    h2_wants_write(c);
    return 0;
}
