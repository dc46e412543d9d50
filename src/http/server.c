/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server as a whole: listeners, accepting, limits, draining. One loop, one thread.
 *
 * Out of file descriptors or memory, accepting pauses for ACCEPT_PAUSE_MS and says so once: the
 * listener stays readable all the while and would otherwise spin. At the connection limit a
 * connection gets a bare 503 and is closed, so that its client can go elsewhere, rather than
 * waiting in a queue that this worker does not get to.
 */
#define _GNU_SOURCE /* accept4 */
#include "http/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <http_parser.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

static const struct slice full_answer =
    SLICE_LIT("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
              "Connection: close\r\n\r\n");

static void on_accept_timer(struct loop_timer *t);
static void on_drain(struct loop_hook *h);
static void on_drain_timer(struct loop_timer *t);

void http_server_set_limits(struct http_server *s, const struct http_limits *limits)
{
    s->limits = *limits;
    s->head = (struct head_limits){.max_line = limits->max_line,
                                   .max_headers = limits->max_headers,
                                   .max_header_bytes = limits->max_header_bytes};
    s->request_pool.size = http_request_size(limits->max_headers);
    /* The parser has a limit of its own, for the whole process. Ours was checked before. */
    http_parser_set_max_header_size(UINT32_MAX / 2);
}

void http_server_set_name(struct http_server *s, struct slice name)
{
    http_date_init(&s->date, name);
}

struct http_server *http_server_new(struct loop *loop, const struct http_limits *limits,
                                    const struct http_handler *handler, void *arg)
{
    struct http_server *s = xcalloc(1, sizeof *s);

    s->loop = loop;
    s->handler = *handler;
    s->arg = arg;
    list_init(&s->conns);
    loop_timer_init(&s->accept_timer, on_accept_timer);
    loop_hook_init(&s->drain, on_drain);
    loop_timer_init(&s->drain_timer, on_drain_timer);
    arena_pool_init(&s->arenas, 1024);
    s->conn_pool = (struct pool){.size = sizeof(struct http_conn), .keep = 4096};
    s->in_pool = (struct pool){.size = IN_CAP, .keep = 1024};
    s->out_pool = (struct pool){.size = sizeof(struct out_block), .keep = 256};
    s->request_pool = (struct pool){.keep = 1024};
    http_server_set_limits(s, limits);
    http_server_set_name(s, SLICE_LIT("rushgate"));
    return s;
}

int http_server_adopt(struct http_server *s, int fd, const struct sockaddr *sa)
{
    return http_conn_new(s, fd, sa) != NULL ? 0 : -ENOMEM;
}

static void refuse_connection(struct http_server *s, int fd)
{
    s->totals.refused++;
    if (send(fd, full_answer.p, full_answer.n, MSG_NOSIGNAL) > 0)
        shutdown(fd, SHUT_WR);
    close(fd);
    s->handler.on_done(s->arg, NULL, 503, full_answer.n);
}

static void watch_listeners(struct http_server *s, bool on)
{
    for (struct listener *l = s->listeners; l != NULL; l = l->next) {
        if (on)
            event_add(&l->ev, NULL);
        else
            event_del(&l->ev);
    }
}

static void pause_accept(struct http_server *s, int err)
{
    if (!s->accept_logged)
        log_error("cannot accept connections: %s; pausing", strerror(err));
    s->accept_logged = true;
    s->accept_paused = true;
    watch_listeners(s, false);
    loop_timer_arm(s->loop, &s->accept_timer, ACCEPT_PAUSE_MS * NS_PER_MS);
}

static void on_accept_timer(struct loop_timer *t)
{
    struct http_server *s = CONTAINER_OF(t, struct http_server, accept_timer);

    s->accept_paused = false;
    if (!s->draining)
        watch_listeners(s, true);
}

/* True when there may be more to accept. */
static bool accept_one(struct http_server *s, int listen_fd)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    int fd = accept4(listen_fd, (struct sockaddr *)&sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_accept(s, errno);
        return errno == EINTR || errno == ECONNABORTED;
    }
    s->accept_logged = false;
    if (s->connections >= s->limits.max_connections)
        refuse_connection(s, fd);
    else if (http_server_adopt(s, fd, n > 0 ? (struct sockaddr *)&sa : NULL) < 0)
        pause_accept(s, ENOMEM);
    return !s->accept_paused;
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;

    (void)what;
    for (unsigned i = 0; i < ACCEPT_BATCH && accept_one(l->server, fd); i++)
        ;
}

int http_server_listen(struct http_server *s, int fd)
{
    struct listener *l = calloc(1, sizeof *l);
    int on = 1;

    if (l == NULL)
        return -ENOMEM;
    /* Inherited by what it accepts, which saves a call per connection. Not for Unix sockets. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *l = (struct listener){.next = s->listeners, .server = s, .fd = fd};
    event_assign(&l->ev, s->loop->base, fd, EV_READ | EV_PERSIST, on_accept, l);
    s->listeners = l;
    if (!s->draining && !s->accept_paused && event_add(&l->ev, NULL) != 0) {
        s->listeners = l->next;
        free(l);
        return -EIO;
    }
    return 0;
}

/* Idle connections are looked at once more: a request may have arrived that the loop has not seen.
 */
static void drain_idle(struct http_server *s, bool over)
{
    LIST_EACH_SAFE (it, &s->conns) {
        struct http_conn *c = CONTAINER_OF(it, struct http_conn, node);
        if (http_conn_idle(c) && !c->blocked && (over || c->served > 0))
            http_conn_drain(c, !over && s->patience_ms > 0);
    }
}

static void on_drain(struct loop_hook *h)
{
    struct http_server *s = CONTAINER_OF(h, struct http_server, drain);

    drain_idle(s, false);
    loop_timer_arm(s->loop, &s->drain_timer,
                   (s->patience_ms > 0 ? s->patience_ms : DRAIN_GRACE_MS) * NS_PER_MS);
}

static void on_drain_timer(struct loop_timer *t)
{
    drain_idle(CONTAINER_OF(t, struct http_server, drain_timer), true);
}

void http_server_take_queue(struct http_server *s)
{
    for (struct listener *l = s->listeners; l != NULL; l = l->next)
        while (!s->accept_paused && accept_one(s, l->fd))
            ;
    /* They have the same time to ask as those who were there when draining began. */
    if (s->draining)
        loop_defer(s->loop, &s->drain);
}

void http_server_drain(struct http_server *s, uint32_t patience_ms)
{
    if (s->draining)
        return;
    s->draining = true;
    s->patience_ms = patience_ms;
    watch_listeners(s, false);
    loop_defer(s->loop, &s->drain);
}

void http_server_resume(struct http_server *s)
{
    if (!s->draining)
        return;
    s->draining = false;
    loop_hook_cancel(&s->drain);
    loop_timer_disarm(s->loop, &s->drain_timer);
    if (!s->accept_paused)
        watch_listeners(s, true);
}

uint32_t http_server_connections(const struct http_server *s)
{
    return s->connections;
}

uint32_t http_server_requests(const struct http_server *s)
{
    return s->requests;
}

const struct http_server_totals *http_server_totals(const struct http_server *s)
{
    return &s->totals;
}

static void out_pool_fini(struct pool *p)
{
    while (p->free != NULL) {
        struct out_block *o = CONTAINER_OF(pool_get(p), struct out_block, node);
        buf_free(&o->b);
        free(o);
    }
}

void http_server_free(struct http_server **sp)
{
    struct http_server *s = *sp;
    struct list *it;

    if (s == NULL)
        return;
    *sp = NULL;
    loop_hook_cancel(&s->drain);
    loop_timer_disarm(s->loop, &s->accept_timer);
    loop_timer_disarm(s->loop, &s->drain_timer);
    while ((it = list_first(&s->conns)) != NULL)
        http_conn_close(CONTAINER_OF(it, struct http_conn, node));
    while (s->listeners != NULL) {
        struct listener *l = s->listeners;
        s->listeners = l->next;
        event_del(&l->ev);
        free(l);
    }
    arena_pool_fini(&s->arenas);
    pool_fini(&s->conn_pool);
    pool_fini(&s->in_pool);
    http_request_pool_fini(&s->request_pool);
    out_pool_fini(&s->out_pool);
    buf_free(&s->scratch);
    free(s);
}

struct slice http_header_get(const struct http_request *r, struct slice name)
{
    for (unsigned i = 0; i < r->headers_n; i++) {
        if (r->headers[i].name.n == name.n && slice_eq_nocase(r->headers[i].name, name))
            return r->headers[i].value;
    }
    return SLICE_NONE;
}
