/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections to upstreams: made when needed, pooled when free, most recently used first, so that
 * those nobody needs grow old and are closed. An idle connection is watched: whatever becomes
 * readable on it, an end or an unasked byte, closes it.
 */
#define _GNU_SOURCE
#include "http/client_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

#define READ_BYTES 16384

static void upconn_event(evutil_socket_t fd, short what, void *arg);
static void upconn_timer(struct loop_timer *t);

struct idle_pool *idle_pool_get(struct http_client *c, struct balance_endpoint *at)
{
    struct idle_pool *p = at->user;

    if (p != NULL || at->left)
        return p;
    p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->at = balance_endpoint_get(at);
    list_init(&p->conns);
    list_add(&c->pools, &p->node);
    at->user = p;
    return p;
}

void idle_pool_drop(struct idle_pool *p)
{
    struct list *it;

    while ((it = list_first(&p->conns)) != NULL)
        upconn_close(CONTAINER_OF(it, struct upconn, node));
    list_del(&p->node);
    p->at->user = NULL;
    balance_endpoint_put(&p->at);
    free(p);
}

static void watch(struct upconn *u, short what)
{
    event_del(&u->ev);
    event_assign(&u->ev, u->client->loop->base, u->fd, (short)(what | EV_PERSIST), upconn_event, u);
    event_add(&u->ev, NULL);
}

void upconn_close(struct upconn *u)
{
    struct idle_pool *p = u->at->user;

    CHECK_OBJ(u, UPCONN_MAGIC);
    if (p != NULL) {
        p->open--;
        p->idle -= u->x == NULL;
    }
    if (u->x != NULL)
        u->x->conn = NULL;
    event_del(&u->ev);
    loop_timer_disarm(u->client->loop, &u->timer);
    list_del(&u->node);
    close(u->fd);
    balance_endpoint_put(&u->at);
    u->magic = 0;
    free(u);
}

/* Takes the exchange off and closes. */
static struct exchange *drop(struct upconn *u)
{
    struct exchange *x = u->x;

    upconn_close(u);
    return x;
}

static void lost(struct upconn *u, const char *detail)
{
    struct http_client *c = u->client;
    bool reused = u->used;

    http_exchange_lost(c, drop(u), reused, detail);
}

/* 1: all is sent, 0: the socket is full, -1: the connection is broken. */
static int send_some(struct upconn *u)
{
    struct buf *w = &u->x->wire;
    ssize_t n;

    do {
        n = send(u->fd, w->p + u->sent, w->n - u->sent, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? 0 : -1;
    u->x->sent = true;
    u->sent += (size_t)n;
    return u->sent == w->n;
}

static struct upconn *upconn_new(struct http_client *c, struct balance_endpoint *at)
{
    struct upconn *u = calloc(1, sizeof *u);
    int on = 1, fd = socket(at->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (u == NULL || fd < 0)
        goto out;
    if (at->sa.ss_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&at->sa, at->sa_len) < 0 && errno != EINPROGRESS)
        goto out;
    *u = (struct upconn){.magic = UPCONN_MAGIC, .fd = fd, .client = c, .connecting = true};
    u->at = balance_endpoint_get(at);
    list_init(&u->node);
    loop_timer_init(&u->timer, upconn_timer);
    event_assign(&u->ev, c->loop->base, fd, EV_WRITE | EV_PERSIST, upconn_event, u);
    event_add(&u->ev, NULL);
    loop_timer_arm(c->loop, &u->timer, c->cfg.connect_timeout_ms * NS_PER_MS);
    return u;
out:
    if (fd >= 0)
        close(fd);
    free(u);
    return NULL;
}

static void attach(struct upconn *u, struct exchange *x)
{
    list_move(&u->client->busy, &u->node);
    u->x = x;
    u->sent = 0;
    x->conn = u;
}

/* A pooled connection that takes the request; those found closed on the way are dropped. */
static bool take_idle(struct http_client *c, struct exchange *x, struct idle_pool *p)
{
    struct list *it;

    while ((it = list_first(&p->conns)) != NULL) {
        struct upconn *u = CONTAINER_OF(it, struct upconn, node);
        int rc;
        p->idle--;
        attach(u, x);
        rc = send_some(u);
        if (rc >= 0) {
            loop_timer_disarm(c->loop, &u->timer);
            if (rc == 0)
                watch(u, EV_READ | EV_WRITE);
            return true;
        }
        upconn_close(u);
    }
    return false;
}

bool upconn_take(struct http_client *c, struct exchange *x, struct balance_endpoint *at)
{
    struct idle_pool *p = idle_pool_get(c, at);
    struct upconn *u;

    if (p != NULL && !x->stale && take_idle(c, x, p))
        return true;
    u = upconn_new(c, at);
    if (u == NULL)
        return false;
    if (p != NULL)
        p->open++;
    attach(u, x);
    return true;
}

static void connected(struct upconn *u)
{
    int err = 0;
    socklen_t n = sizeof err;

    if (getsockopt(u->fd, SOL_SOCKET, SO_ERROR, &err, &n) < 0 || err != 0) {
        lost(u, err == ECONNREFUSED ? "connection refused" : "cannot connect");
        return;
    }
    u->connecting = false;
    loop_timer_disarm(u->client->loop, &u->timer);
    switch (send_some(u)) {
    case 1:
        watch(u, EV_READ);
        break;
    case 0:
        watch(u, EV_READ | EV_WRITE);
        break;
    default:
        lost(u, "connection lost while sending");
        break;
    }
}

/* The response is complete: the connection goes to its pool if it can carry another. */
static void finished(struct upconn *u)
{
    struct http_client *c = u->client;
    struct exchange *x = u->x;
    struct response *r = &x->response;
    struct idle_pool *p = u->at->user;
    bool keep = r->h.keep_alive && !r->excess && r->kind != BODY_TO_END && u->sent == x->wire.n;

    if (!keep || p == NULL || p->idle >= c->cfg.max_idle) {
        upconn_close(u);
    } else {
        u->x = NULL;
        x->conn = NULL;
        u->used = true;
        p->idle++;
        list_del(&u->node);
        list_add_head(&p->conns, &u->node);
        loop_timer_arm(c->loop, &u->timer, c->cfg.idle_timeout_ms * NS_PER_MS);
    }
    http_exchange_done(c, x);
}

static void readable(struct upconn *u)
{
    struct http_client *c = u->client;
    char bytes[READ_BYTES];
    ssize_t n = recv(u->fd, bytes, sizeof bytes, 0);
    enum response_state s;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (u->x == NULL) {
        upconn_close(u);
        return;
    }
    if (n < 0 || (n == 0 && !u->x->any)) {
        lost(u, u->x->any ? "connection lost" : "connection closed before a response");
        return;
    }
    u->x->any = true;
    s = n > 0 ? http_response_feed(&u->x->response, bytes, (size_t)n)
              : http_response_end(&u->x->response);
    if (s == RESPONSE_COMPLETE)
        finished(u);
    else if (s == RESPONSE_BAD)
        http_exchange_bad(c, drop(u));
}

static void upconn_event(evutil_socket_t fd, short what, void *arg)
{
    struct upconn *u = arg;
    int rc;

    (void)fd;
    CHECK_OBJ(u, UPCONN_MAGIC);
    if (u->connecting) {
        connected(u);
        return;
    }
    /* What it has said already counts, even if it takes no more of the request. */
    if ((what & EV_READ) != 0) {
        readable(u);
        return;
    }
    rc = send_some(u);
    if (rc < 0)
        lost(u, "connection lost while sending");
    else if (rc == 1)
        watch(u, EV_READ);
}

static void upconn_timer(struct loop_timer *t)
{
    struct upconn *u = CONTAINER_OF(t, struct upconn, timer);

    if (u->x == NULL)
        upconn_close(u);
    else
        lost(u, "connect timeout");
}
