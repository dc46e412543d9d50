/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Life of a connection: reading, sending, deadlines, closing. What the bytes mean is request.c's
 * business, how an answer looks reply.c's. See conn.h for the states and the buffer.
 *
 * Deadlines: a request sets deadline_ns and nothing else. The timer fires at some earlier
 * deadline's time, sees that it has moved and arms itself again, so a connection that serves
 * thousands of requests a second touches the timer wheel once per idle timeout.
 */
#include "http/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

static void conn_event(evutil_socket_t fd, short what, void *arg);
static void conn_timer(struct loop_timer *t);
static void conn_resume(struct loop_hook *h);

static void set_peer(struct http_conn *c, const struct sockaddr *sa)
{
    memset(c->peer, 0, sizeof c->peer);
    c->peer_port = 0;
    if (sa != NULL && sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)sa;
        c->peer[10] = c->peer[11] = 0xff;
        memcpy(c->peer + 12, &in->sin_addr, 4);
        c->peer_port = ntohs(in->sin_port);
    } else if (sa != NULL && sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)sa;
        memcpy(c->peer, &in6->sin6_addr, 16);
        c->peer_port = ntohs(in6->sin6_port);
    }
}

/*
 * Reading is edge-triggered: level-triggered, the kernel looks at every ready socket a second time
 * in the next epoll_wait, which costs a twentieth of a small request. So whoever may have left
 * something in the socket asks again by watch(c, EV_READ): to add a socket reports what is there
 * already.
 */
#define WATCH_READ (EV_READ | EV_CLOSED | EV_ET)

static void assign(struct http_conn *c, int what)
{
    event_assign(&c->ev, c->server->loop->base, c->fd, (short)(what | EV_PERSIST), conn_event, c);
    event_add(&c->ev, NULL);
}

/* What the socket is watched for: EV_READ, EV_WRITE or 0. */
static void watch(struct http_conn *c, short what)
{
    event_del(&c->ev);
    c->reading = what == EV_READ;
    if (what != 0)
        assign(c, c->reading ? WATCH_READ : what);
}

static void deadline(struct http_conn *c, uint64_t at_ns)
{
    struct loop *l = c->server->loop;
    uint64_t now;

    c->deadline_ns = at_ns;
    if (loop_timer_armed(&c->timer) && c->timer.due_ns <= at_ns)
        return;
    now = loop_now(l);
    loop_timer_arm(l, &c->timer, at_ns > now ? at_ns - now : 0);
}

struct http_conn *http_conn_new(struct http_server *s, int fd, const struct sockaddr *sa)
{
    struct http_conn *c = pool_get(&s->conn_pool);

    if (c == NULL) {
        close(fd);
        return NULL;
    }
    *c = (struct http_conn){.magic = CONN_MAGIC, .fd = fd, .server = s, .state = CONN_HEAD};
    set_peer(c, sa);
    list_init(&c->node);
    list_add(&s->conns, &c->node);
    s->connections++;
    s->totals.accepted++;
    loop_timer_init(&c->timer, conn_timer);
    loop_hook_init(&c->resume, conn_resume);
    assign(c, WATCH_READ);
    c->reading = true;
    deadline(c, loop_now(s->loop) + s->limits.header_timeout_ms * NS_PER_MS);
    return c;
}

static void in_release(struct http_conn *c)
{
    if (c->in == NULL)
        return;
    if (c->in->cap == IN_CAP - sizeof(struct in_block))
        pool_put(&c->server->in_pool, c->in);
    else
        free(c->in);
    c->in = NULL;
    c->pos = c->body = c->at = c->n = 0;
}

/* Counts what a blocked connection holds. */
static void account(struct http_conn *c, size_t unsent)
{
    c->server->unsent += unsent - c->unsent;
    c->unsent = unsent;
}

static void out_release(struct http_conn *c)
{
    struct out_block *o = c->out;

    if (o == NULL)
        return;
    account(c, 0);
    c->out = NULL;
    c->out_off = 0;
    buf_clear(&o->b);
    if (o->b.cap > OUT_KEEP || c->server->out_pool.n >= c->server->out_pool.keep) {
        buf_free(&o->b);
        free(o);
        return;
    }
    pool_put(&c->server->out_pool, o);
}

void http_conn_close(struct http_conn *c)
{
    struct http_server *s = c->server;

    CHECK_OBJ(c, CONN_MAGIC);
    CHECK(!c->busy);
    if (c->r != NULL) {
        s->totals.aborted++;
        s->handler.on_abort(s->arg, &c->r->pub);
        http_request_put(c);
    }
    event_del(&c->ev);
    loop_timer_disarm(s->loop, &c->timer);
    loop_hook_cancel(&c->resume);
    in_release(c);
    out_release(c);
    close(c->fd);
    list_del(&c->node);
    s->connections--;
    c->magic = 0;
    pool_put(&s->conn_pool, c);
}

void http_conn_reset(struct http_conn *c)
{
    struct linger off = {.l_onoff = 1, .l_linger = 0};

    c->server->totals.reset++;
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &off, sizeof off);
    http_conn_close(c);
}

bool http_conn_idle(const struct http_conn *c)
{
    return c->state == CONN_HEAD && c->in == NULL && c->out == NULL;
}

/* Ends our side. Where the client may still be sending, a plain close would make the kernel answer
 * its bytes with a reset, which can overtake our last answer. */
static void finish_close(struct http_conn *c)
{
    if (!c->linger) {
        http_conn_close(c);
        return;
    }
    shutdown(c->fd, SHUT_WR);
    c->state = CONN_LINGER;
    c->body_read = 0;
    in_release(c);
    if (!c->reading)
        watch(c, EV_READ);
    deadline(c, loop_now(c->server->loop) + LINGER_MS * NS_PER_MS);
}

static void linger_read(struct http_conn *c)
{
    char sink[8192];
    ssize_t n;

    while ((n = recv(c->fd, sink, sizeof sink, 0)) > 0 && c->body_read <= LINGER_MAX)
        c->body_read += (uint64_t)n;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    http_conn_close(c);
}

/* Sends what there is. 1: all of it, 0: the socket is full, -1: the connection is broken. */
static int flush(struct http_conn *c)
{
    struct out_block *o = c->out;
    size_t rest;
    ssize_t n;

    if (o == NULL)
        return 1;
    rest = o->b.n - c->out_off;
    do {
        n = send(c->fd, o->b.p + c->out_off, rest, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN)
        return -1;
    if (n == (ssize_t)rest) {
        out_release(c);
        return 1;
    }
    if (n > 0)
        c->out_off += (size_t)n;
    return 0;
}

/* False when the connection is gone or its socket is full. */
static bool send_out(struct http_conn *c)
{
    int rc = flush(c);

    if (rc == 1)
        return true;
    if (rc == 0)
        account(c, c->out->b.n - c->out_off);
    if (rc < 0 || c->server->unsent > OUT_TOTAL) {
        c->server->totals.reset++;
        http_conn_close(c);
        return false;
    }
    if (!c->blocked) {
        c->blocked = true;
        watch(c, EV_WRITE);
    }
    deadline(c, loop_now(c->server->loop) + c->server->limits.write_timeout_ms * NS_PER_MS);
    return false;
}

/* The next thing must happen by then; while the handler works its own deadlines count. */
static void set_deadline(struct http_conn *c)
{
    const struct http_limits *l = &c->server->limits;
    uint64_t now;

    switch (c->state) {
    case CONN_HEAD:
        if (c->first_ns == 0)
            deadline(c, loop_now(c->server->loop) + l->idle_timeout_ms * NS_PER_MS);
        else
            deadline(c, c->first_ns + l->header_timeout_ms * NS_PER_MS);
        break;
    case CONN_BODY:
    case CONN_DROP:
        now = loop_now(c->server->loop);
        uint64_t floor_ns =
            c->body_ns + l->body_timeout_ms * NS_PER_MS + c->body_read / BODY_MIN_RATE * NS_PER_S;
        now += l->body_timeout_ms * NS_PER_MS;
        deadline(c, now < floor_ns ? now : floor_ns);
        break;
    default:
        c->deadline_ns = 0;
        break;
    }
}

/* The server drains, and all that this connection has asked for is answered. */
static bool is_drained(const struct http_conn *c)
{
    return c->server->draining && c->server->patience_ms == 0 && c->served > 0 && !c->closing &&
           !c->blocked && http_conn_idle(c);
}

void http_conn_process(struct http_conn *c)
{
    if (c->blocked || c->state == CONN_LINGER)
        return;
    c->busy = true;
    while (!c->closing && http_request_step(c)) {
        if (c->out == NULL || c->out->b.n - c->out_off < OUT_HIGH)
            continue;
        c->busy = false;
        if (!send_out(c))
            return;
        c->busy = true;
    }
    c->busy = false;
    if (c->out != NULL && !send_out(c))
        return;
    if (c->closing) {
        finish_close(c);
        return;
    }
    if (c->state == CONN_HEAD && c->pos == c->n)
        in_release(c);
    set_deadline(c);
    if (!c->reading)
        watch(c, EV_READ);
    /* Idle only now, behind a slow reader or a body nobody wanted. */
    if (is_drained(c))
        loop_defer(c->server->loop, &c->resume);
}

static void conn_resume(struct loop_hook *h)
{
    struct http_conn *c = CONTAINER_OF(h, struct http_conn, resume);

    if (is_drained(c))
        http_conn_drain(c, false);
    else
        http_conn_process(c);
}

bool http_conn_make_room(struct http_conn *c)
{
    const struct http_limits *l = &c->server->limits;
    uint32_t cap = l->max_line + l->max_header_bytes + 2 * IN_ROOM;
    struct in_block *big;

    if (c->pos > 0) {
        memmove(c->in->p, c->in->p + c->pos, c->n - c->pos);
        c->n -= c->pos;
        c->pos = 0;
        return true;
    }
    if (c->in->cap >= cap)
        return true;
    big = malloc(sizeof *big + cap);
    if (big == NULL)
        return false;
    big->cap = cap;
    memcpy(big->p, c->in->p, c->n);
    if (c->in->cap == IN_CAP - sizeof *big)
        pool_put(&c->server->in_pool, c->in);
    else
        free(c->in);
    c->in = big;
    return true;
}

/* Room to read into: 0 when there is none now, -1 when memory is out. */
static int64_t read_room(struct http_conn *c)
{
    if (c->in == NULL) {
        c->in = pool_get(&c->server->in_pool);
        if (c->in == NULL)
            return -1;
        c->in->cap = IN_CAP - sizeof(struct in_block);
    }
    /* A request that was started never moves; one behind a head that is not complete may. */
    if (c->state == CONN_HEAD && c->in->cap - c->n < IN_ROOM && !http_conn_make_room(c))
        return -1;
    return c->in->cap - c->n;
}

enum read_result { READ_SOME, READ_NOTHING, READ_GONE };

static enum read_result conn_read(struct http_conn *c)
{
    int64_t room = read_room(c);
    ssize_t n;

    if (room == 0) {
        watch(c, 0); /* enough is waiting behind this request */
        return READ_NOTHING;
    }
    n = room < 0 ? -1 : recv(c->fd, c->in->p + c->n, (size_t)room, 0);
    if (n > 0) {
        c->n += (uint32_t)n;
        /* A full read may have left something behind, and the end of the stream reports itself
         * once. */
        if (n == room || c->ended)
            watch(c, EV_READ);
        return READ_SOME;
    }
    if (room > 0 && n < 0 && (errno == EAGAIN || errno == EINTR)) {
        if (c->state == CONN_HEAD && c->pos == c->n)
            in_release(c);
        return READ_NOTHING;
    }
    if (n < 0)
        c->server->totals.reset++;
    http_conn_close(c);
    return READ_GONE;
}

void http_conn_drain(struct http_conn *c, bool stay)
{
    switch (conn_read(c)) {
    case READ_SOME:
        http_conn_process(c);
        break;
    case READ_NOTHING:
        if (stay)
            break;
        /* Without a reset: what the client may be sending is read and dropped. */
        c->closing = c->linger = true;
        finish_close(c);
        break;
    case READ_GONE:
        break;
    }
}

static void conn_event(evutil_socket_t fd, short what, void *arg)
{
    struct http_conn *c = arg;

    (void)fd;
    CHECK_OBJ(c, CONN_MAGIC);
    if ((what & EV_WRITE) != 0) {
        if (!send_out(c))
            return;
        c->blocked = false;
        if (!c->closing)
            watch(c, EV_READ);
        http_conn_process(c);
        return;
    }
    c->ended = (what & EV_CLOSED) != 0;
    if (c->state == CONN_LINGER) {
        linger_read(c);
    } else if (conn_read(c) == READ_SOME && c->state != CONN_WAIT) {
        http_conn_process(c);
    }
}

static void timed_out(struct http_conn *c)
{
    bool partial = c->state == CONN_HEAD && c->first_ns != 0;

    if (c->blocked) {
        http_conn_reset(c);
    } else if (partial || c->state == CONN_BODY) {
        http_conn_refuse(c, partial ? FAULT_HEADER_TIME : FAULT_BODY_TIME);
        http_conn_process(c);
    } else {
        http_conn_close(c);
    }
}

static void conn_timer(struct loop_timer *t)
{
    struct http_conn *c = CONTAINER_OF(t, struct http_conn, timer);
    uint64_t now = loop_now(c->server->loop);

    CHECK_OBJ(c, CONN_MAGIC);
    if (c->deadline_ns == 0)
        return;
    if (c->deadline_ns > now)
        loop_timer_arm(c->server->loop, &c->timer, c->deadline_ns - now);
    else
        timed_out(c);
}
