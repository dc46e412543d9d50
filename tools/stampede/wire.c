/* SPDX-License-Identifier: BSD-2-Clause */
#include "wire.h"

#include <errno.h>
#include <event2/event.h>
#include <http_parser.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

#define CONN_MAGIC 0x57434f4eu
#define READ_BYTES 16384

/* A header whose value we want to see. Values longer than the room for them are cut. */
struct header_catch {
    char name[24], value[48];
    size_t name_n, value_n;
    bool in_value;
};

struct wire_conn {
    uint32_t magic;
    struct wire *wire;
    struct exchange *x;               /* NULL while idle */
    struct list node;                 /* wire.idle while idle */
    struct event *read_ev, *write_ev; /* owned */
    int fd;
    bool connected;
    bool answered; /* the parser has seen a whole response */
    size_t sent;   /* bytes of x->request */
    http_parser parser;
    struct header_catch header;
    char reason[48];
    size_t reason_n;
    unsigned retry_after_s;
    struct buf body;
    struct loop_timer timeout;
    struct loop_hook ended; /* delivers `error` at the end of the turn */
    enum wire_error error;
};

static void flush_cb(evutil_socket_t fd, short what, void *arg);

const char *wire_error_name(enum wire_error e)
{
    static const char *const names[WIRE_ERRORS] = {"ok",      "connect", "cut",
                                                   "timeout", "bad",     "quit"};

    return names[e];
}

/* ---- one response -------------------------------------------------------------------------- */

static void header_finish(struct wire_conn *c)
{
    struct slice name = slice_of(c->header.name, c->header.name_n);
    struct slice value = slice_of(c->header.value, c->header.value_n);
    uint64_t seconds;

    if (slice_eq_nocase(name, SLICE_LIT("x-rushgate-reason"))) {
        memcpy(c->reason, value.p, value.n);
        c->reason_n = value.n;
    } else if (slice_eq_nocase(name, SLICE_LIT("retry-after")) && slice_to_u64(value, &seconds)) {
        c->retry_after_s = seconds > 3600 ? 3600 : (unsigned)seconds;
    }
    c->header.name_n = c->header.value_n = 0;
    c->header.in_value = false;
}

static void catch_bytes(char *to, size_t room, size_t *n, const char *at, size_t len)
{
    size_t take = len < room - *n ? len : room - *n;

    memcpy(to + *n, at, take);
    *n += take;
}

static int on_field(http_parser *p, const char *at, size_t n)
{
    struct wire_conn *c = p->data;

    if (c->header.in_value)
        header_finish(c);
    catch_bytes(c->header.name, sizeof c->header.name, &c->header.name_n, at, n);
    return 0;
}

static int on_value(http_parser *p, const char *at, size_t n)
{
    struct wire_conn *c = p->data;

    c->header.in_value = true;
    catch_bytes(c->header.value, sizeof c->header.value, &c->header.value_n, at, n);
    return 0;
}

static int on_headers_complete(http_parser *p)
{
    struct wire_conn *c = p->data;

    if (c->header.in_value)
        header_finish(c);
    return 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
    struct wire_conn *c = p->data;

    buf_add(&c->body, at, n);
    return 0;
}

static int on_complete(http_parser *p)
{
    struct wire_conn *c = p->data;

    if (p->status_code >= 200)
        c->answered = true;
    return 0;
}

static const http_parser_settings parser_settings = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

/* ---- connections --------------------------------------------------------------------------- */

static void conn_free(struct wire_conn *c)
{
    struct wire *w = c->wire;

    CHECK(c->x == NULL);
    list_del(&c->node);
    loop_hook_cancel(&c->ended);
    loop_timer_disarm(w->loop, &c->timeout);
    event_free(c->read_ev);
    event_free(c->write_ev);
    if (c->fd >= 0)
        close(c->fd);
    buf_free(&c->body);
    CHECK(w->conns > 0);
    w->conns--;
    free(c);
}

static struct wire_conn *idle_conn(struct wire *w)
{
    struct list *it = list_first(&w->idle);

    if (it == NULL)
        return NULL;
    list_del(it);
    return CONTAINER_OF(it, struct wire_conn, node);
}

static void begin(struct wire_conn *c, struct exchange *x)
{
    c->x = x;
    x->conn = c;
    c->sent = 0;
    c->answered = false;
    c->reason_n = 0;
    c->retry_after_s = 0;
    c->header.name_n = c->header.value_n = 0;
    c->header.in_value = false;
    buf_clear(&c->body);
    http_parser_init(&c->parser, HTTP_RESPONSE);
    c->parser.data = c;
    loop_timer_arm(c->wire->loop, &c->timeout, c->wire->timeout_ns);
    if (c->connected)
        flush_cb(c->fd, EV_WRITE, c);
}

static void assign(struct wire *w, struct exchange *x);

static void backlog_next(struct wire *w)
{
    struct list *it = list_first(&w->backlog);

    if (it == NULL || (w->conns >= w->max_conns && list_empty(&w->idle)))
        return;
    list_del(it);
    w->backlog_n--;
    assign(w, CONTAINER_OF(it, struct exchange, node));
}

/*
 * The exchange is over: the connection goes back to the pool or away first, so that done() may
 * start the next exchange on it. What the result points at is moved out of the connection before.
 */
static void finish(struct wire_conn *c, enum wire_error error)
{
    struct wire *w = c->wire;
    struct exchange *x = c->x;
    struct buf body = c->body;
    char reason[sizeof c->reason];
    struct wire_result r = {.error = error, .status = c->parser.status_code};

    c->body = w->body;
    w->body = body;
    memcpy(reason, c->reason, c->reason_n);
    if (error == WIRE_OK) {
        r.reason = slice_of(reason, c->reason_n);
        r.retry_after_s = c->retry_after_s;
        r.body = buf_view(&w->body);
    }
    c->x = NULL;
    x->conn = NULL;
    loop_timer_disarm(w->loop, &c->timeout);
    if (error == WIRE_OK && !x->fresh && http_should_keep_alive(&c->parser))
        list_add_head(&w->idle, &c->node);
    else
        conn_free(c);
    x->done(x, &r);
    backlog_next(w);
}

static void fail_later(struct wire_conn *c, enum wire_error error)
{
    c->error = error;
    event_del(c->read_ev);
    event_del(c->write_ev);
    loop_defer(c->wire->loop, &c->ended);
}

static void ended_hook(struct loop_hook *h)
{
    struct wire_conn *c = CONTAINER_OF(h, struct wire_conn, ended);

    CHECK_OBJ(c, CONN_MAGIC);
    finish(c, c->error);
}

static void timeout_cb(struct loop_timer *t)
{
    struct wire_conn *c = CONTAINER_OF(t, struct wire_conn, timeout);

    loop_hook_cancel(&c->ended);
    finish(c, c->connected ? WIRE_TIMEOUT : WIRE_CONNECT);
}

static bool connect_done(struct wire_conn *c)
{
    int err = 0;
    socklen_t n = sizeof err;

    if (c->connected)
        return true;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &n) != 0 || err != 0) {
        fail_later(c, WIRE_CONNECT);
        return false;
    }
    c->connected = true;
    event_add(c->read_ev, NULL);
    return true;
}

/* Writes what is left of the request. */
static void flush_cb(evutil_socket_t fd, short what, void *arg)
{
    struct wire_conn *c = arg;
    ssize_t n;

    (void)what;
    CHECK_OBJ(c, CONN_MAGIC);
    if (c->x == NULL || !connect_done(c))
        return;
    n = send(fd, c->x->request.p + c->sent, c->x->request.n - c->sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        fail_later(c, WIRE_CUT);
        return;
    }
    if (n > 0)
        c->sent += (size_t)n;
    if (c->sent < c->x->request.n)
        event_add(c->write_ev, NULL);
    else if (c->x->quit)
        fail_later(c, WIRE_QUIT);
}

static void read_cb(evutil_socket_t fd, short what, void *arg)
{
    struct wire_conn *c = arg;
    struct wire *w = c->wire;
    char in[READ_BYTES];
    ssize_t n = recv(fd, in, sizeof in, 0);
    size_t used;

    (void)what;
    CHECK_OBJ(c, CONN_MAGIC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (c->x == NULL) {
        w->idle_cut++;
        conn_free(c);
        backlog_next(w);
        return;
    }
    if (n < 0) {
        finish(c, WIRE_CUT);
        return;
    }
    used = http_parser_execute(&c->parser, &parser_settings, in, (size_t)n);
    if (c->answered)
        finish(c, WIRE_OK);
    else if (n == 0)
        finish(c, WIRE_CUT);
    else if (used != (size_t)n)
        finish(c, WIRE_BAD);
}

int wire_socket(const struct sockaddr_storage *address, socklen_t address_n)
{
    int one = 1, fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (const struct sockaddr *)address, address_n) != 0 && errno != EINPROGRESS) {
        int err = errno;
        close(fd);
        return -err;
    }
    return fd;
}

/* A connection without a socket (fd -1) when opening failed: it fails at the end of the turn. */
static struct wire_conn *conn_new(struct wire *w)
{
    struct wire_conn *c = xcalloc(1, sizeof *c);

    c->magic = CONN_MAGIC;
    c->wire = w;
    c->fd = wire_socket(&w->address, w->address_n);
    list_init(&c->node);
    loop_timer_init(&c->timeout, timeout_cb);
    loop_hook_init(&c->ended, ended_hook);
    c->read_ev = event_new(w->loop->base, c->fd, EV_READ | EV_PERSIST, read_cb, c);
    c->write_ev = event_new(w->loop->base, c->fd, EV_WRITE, flush_cb, c);
    CHECK(c->read_ev != NULL && c->write_ev != NULL);
    w->conns++;
    w->opened++;
    return c;
}

/* There is an idle connection or room for another one. */
static void assign(struct wire *w, struct exchange *x)
{
    struct wire_conn *c = NULL;

    if (x->fresh && w->conns >= w->max_conns) {
        c = idle_conn(w);
        if (c != NULL)
            conn_free(c);
        c = NULL;
    } else if (!x->fresh) {
        c = idle_conn(w);
    }
    if (c == NULL)
        c = conn_new(w);
    begin(c, x);
    if (c->fd < 0)
        fail_later(c, WIRE_CONNECT);
    else if (!c->connected)
        event_add(c->write_ev, NULL);
}

/* ---- the pool ------------------------------------------------------------------------------ */

void wire_resolve(const char *host, const char *port, struct sockaddr_storage *out, socklen_t *n)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    int rc = getaddrinfo(host, port, &hints, &list);

    if (rc != 0)
        die("%s:%s: %s", host, port, gai_strerror(rc));
    memcpy(out, list->ai_addr, list->ai_addrlen);
    *n = list->ai_addrlen;
    freeaddrinfo(list);
}

void wire_init(struct wire *w, struct loop *loop, const char *host, const char *port,
               uint32_t max_conns, uint64_t timeout_ns)
{
    *w = (struct wire){.loop = loop, .max_conns = max_conns, .timeout_ns = timeout_ns};
    list_init(&w->idle);
    list_init(&w->backlog);
    wire_resolve(host, port, &w->address, &w->address_n);
}

void wire_fini(struct wire *w)
{
    struct wire_conn *c;

    while ((c = idle_conn(w)) != NULL)
        conn_free(c);
    CHECK(w->conns == 0 && list_empty(&w->backlog));
    buf_free(&w->body);
}

void exchange_init(struct exchange *x, exchange_fn *done)
{
    *x = (struct exchange){.done = done};
    list_init(&x->node);
}

void exchange_fini(struct exchange *x)
{
    CHECK(x->conn == NULL && list_empty(&x->node));
    buf_free(&x->request);
}

void wire_start(struct wire *w, struct exchange *x)
{
    CHECK(x->conn == NULL && list_empty(&x->node));
    if (w->conns < w->max_conns || !list_empty(&w->idle)) {
        assign(w, x);
        return;
    }
    list_add(&w->backlog, &x->node);
    if (++w->backlog_n > w->backlog_max)
        w->backlog_max = w->backlog_n;
}
