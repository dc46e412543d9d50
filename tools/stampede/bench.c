/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A request's time in the open loop, and whose it is:
 *
 *   due ---- sent ---------------------------- arrived ---- read
 *       late      away: network and server             unread
 *
 * `late` and `unread` are times in which this program had no core or was behind with its own work;
 * on a machine that it shares with the server they are part of what it measures. When each answer
 * arrived the kernel notes (SO_TIMESTAMPNS). A request that is due while every connection waits for
 * an answer is late, too, but by the server's doing: `crowded` counts those apart.
 */
#include "bench.h"

#include <errno.h>
#include <event2/event.h>
#include <http_parser.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "cpu.h"
#include "create.h"
#include "latency.h"

#define DIGITS 12

/* Open loop: requests that are due within so long are sent together. A timer for each costs this
 * program more than the requests do, on cores that it may share with the server. What a request is
 * late by this counts as any other delay. */
#define PACE_NS (NS_PER_MS / 10)

struct bench;

struct conn {
    struct bench *b;
    struct list node; /* bench.idle while idle, open loop */
    struct event *ev; /* owned */
    int fd;
    bool busy;
    uint64_t intended_ns, sent_ns;
    http_parser parser;
    char *request; /* owned; the bench's template with this request's numbers */
};

struct bench {
    const struct options *o;
    struct loop loop;
    struct wire wire; /* creates the event, knows the address */
    struct create create;
    bool created;
    char *text; /* owned: the template */
    size_t text_n, key_at, user_at;
    struct conn *conns; /* owned, o->connections of them */
    struct list idle;
    struct event *timer; /* owned */
    int timer_fd;
    uint64_t number; /* of the next request */
    uint64_t begin_ns, end_ns, gap_ns;
    uint64_t sent, answered, created_n, failed, reconnects;
    uint64_t crowded;   /* sent late because no connection was idle */
    uint64_t unread_ns; /* how long ago what is being read arrived */
    unsigned busy;
    struct latency latency, late, away, unread;
};

static void conn_readable(evutil_socket_t fd, short what, void *arg);

static uint64_t due_ns(const struct bench *b, uint64_t number)
{
    return b->begin_ns + number * b->gap_ns;
}

/* ---- requests ------------------------------------------------------------------------------- */

static void make_template(struct bench *b)
{
    const struct options *o = b->o;
    struct buf t = {0};
    char run[16], body[128];
    int n = snprintf(body, sizeof body, "{\"item\":\"%s\",\"quantity\":1}", o->item);

    snprintf(run, sizeof run, "%08x", (unsigned)hash_mix(o->seed));
    buf_printf(&t, "POST /api/v1/events/%s/orders HTTP/1.1\r\nHost: %s:%s\r\nX-User-Id: %s-",
               o->event, o->host, o->port, run);
    b->user_at = t.n;
    buf_printf(&t, "%0*d\r\nIdempotency-Key: %s-", DIGITS, 0, run);
    b->key_at = t.n;
    buf_printf(&t, "%0*d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", DIGITS,
               0, n, body);
    if (t.failed)
        die("out of memory");
    b->text = t.p;
    b->text_n = t.n;
}

static void put_number(char *at, uint64_t v)
{
    for (int i = DIGITS - 1; i >= 0; i--, v /= 10)
        at[i] = (char)('0' + v % 10);
}

static void conn_send(struct conn *c, uint64_t intended_ns, uint64_t now_ns)
{
    struct bench *b = c->b;
    uint64_t number = b->number++;

    if (b->o->open_loop)
        latency_record(&b->late, now_ns - intended_ns);

    put_number(c->request + b->user_at, number);
    put_number(c->request + b->key_at, number);
    c->intended_ns = intended_ns;
    c->sent_ns = now_ns;
    c->busy = true;
    b->busy++;
    b->sent++;
    /* A request fits into an empty socket buffer: a short write is a broken connection. */
    if (send(c->fd, c->request, b->text_n, MSG_NOSIGNAL) != (ssize_t)b->text_n)
        shutdown(c->fd, SHUT_RDWR);
}

/* ---- connections ---------------------------------------------------------------------------- */

static int on_complete(http_parser *p)
{
    struct conn *c = p->data;
    struct bench *b = c->b;
    uint64_t now = clock_mono_ns(), away = now - c->sent_ns;

    b->answered++;
    b->busy--;
    c->busy = false;
    if (p->status_code == 201)
        b->created_n++;
    else
        b->failed++;
    latency_record(&b->latency, now - c->intended_ns);
    latency_record(&b->away, away > b->unread_ns ? away - b->unread_ns : 0);
    latency_record(&b->unread, b->unread_ns);
    return 0;
}

static const http_parser_settings settings = {.on_message_complete = on_complete};

static void conn_open(struct conn *c)
{
    struct bench *b = c->b;
    int on = 1;

    c->fd = socket(b->wire.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 ||
        connect(c->fd, (const struct sockaddr *)&b->wire.address, b->wire.address_n) != 0)
        die("%s:%s: %s", b->o->host, b->o->port, strerror(errno));
    evutil_make_socket_nonblocking(c->fd);
    if (b->o->open_loop)
        (void)setsockopt(c->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    http_parser_init(&c->parser, HTTP_RESPONSE);
    c->parser.data = c;
    c->ev = event_new(b->loop.base, c->fd, EV_READ | EV_PERSIST, conn_readable, c);
    CHECK(c->ev != NULL);
    event_add(c->ev, NULL);
}

static void conn_close(struct conn *c)
{
    event_free(c->ev);
    close(c->fd);
}

/* The next request of a connection that is free, or a place among the idle. */
static void conn_next(struct conn *c)
{
    struct bench *b = c->b;
    uint64_t now = clock_mono_ns();

    if (now >= b->end_ns)
        return;
    if (!b->o->open_loop) {
        conn_send(c, now, now);
    } else if (due_ns(b, b->number) <= now) {
        b->crowded += list_empty(&b->idle);
        conn_send(c, due_ns(b, b->number), now);
    } else {
        list_add_head(&b->idle, &c->node);
    }
}

/* recv, and how long ago the last of it arrived; closed loop: without. */
static ssize_t receive(struct bench *b, int fd, char *in, size_t n)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct timespec))];
    struct iovec iov = {in, n};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    const struct cmsghdr *h;
    struct timespec at;
    uint64_t now, arrived;
    ssize_t got;

    b->unread_ns = 0;
    if (!b->o->open_loop)
        return recv(fd, in, n, 0);
    got = recvmsg(fd, &m, 0);
    h = got > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (h == NULL || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_TIMESTAMPNS)
        return got;
    memcpy(&at, CMSG_DATA(h), sizeof at);
    arrived = (uint64_t)at.tv_sec * NS_PER_S + (uint64_t)at.tv_nsec;
    now = clock_real_ns();
    b->unread_ns = now > arrived ? now - arrived : 0;
    return got;
}

static void conn_readable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    struct bench *b = c->b;
    char in[8192];
    ssize_t n = receive(b, fd, in, sizeof in);
    bool was_busy = c->busy;

    (void)what;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0 && http_parser_execute(&c->parser, &settings, in, (size_t)n) == (size_t)n) {
        if (was_busy && !c->busy)
            conn_next(c);
        return;
    }
    if (c->busy) {
        c->busy = false;
        b->busy--;
        b->failed++;
    }
    b->reconnects++;
    list_del(&c->node);
    conn_close(c);
    conn_open(c);
    conn_next(c);
}

/* ---- the run -------------------------------------------------------------------------------- */

static void timer_cb(evutil_socket_t fd, short what, void *arg)
{
    struct bench *b = arg;
    uint64_t expired, next, now = clock_mono_ns();
    struct itimerspec at = {0};
    struct list *it;

    (void)what;
    if (read(fd, &expired, sizeof expired) < 0 && errno != EAGAIN)
        die("timerfd: %s", strerror(errno));
    while (b->o->open_loop && now < b->end_ns && due_ns(b, b->number) <= now &&
           (it = list_first(&b->idle)) != NULL) {
        list_del(it);
        conn_send(CONTAINER_OF(it, struct conn, node), due_ns(b, b->number), clock_mono_ns());
    }
    /* With no connection idle, requests that are due are sent as answers arrive. */
    next = b->o->open_loop && due_ns(b, b->number) > now ? due_ns(b, b->number) : now + NS_PER_MS;
    if (next < now + PACE_NS)
        next = now + PACE_NS;
    at.it_value.tv_sec = (time_t)(next / NS_PER_S);
    at.it_value.tv_nsec = (long)(next % NS_PER_S);
    timerfd_settime(b->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static void event_created(struct create *cr)
{
    CONTAINER_OF(cr, struct bench, create)->created = true;
}

static void bench_init(struct bench *b, const struct options *o)
{
    *b = (struct bench){.o = o};
    loop_init(&b->loop);
    list_init(&b->idle);
    wire_init(&b->wire, &b->loop, o->host, o->port, 1, (uint64_t)(o->timeout_s * 1e9));
    create_init(&b->create, o, &b->wire, event_created);
    if (o->create) {
        create_start(&b->create);
        while (!b->created)
            loop_turn(&b->loop);
    }
    make_template(b);
    b->conns = xcalloc(o->connections, sizeof *b->conns);
    for (unsigned i = 0; i < o->connections; i++) {
        struct conn *c = &b->conns[i];

        c->b = b;
        list_init(&c->node);
        c->request = xmalloc(b->text_n);
        memcpy(c->request, b->text, b->text_n);
        conn_open(c);
    }
    b->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    b->timer = event_new(b->loop.base, b->timer_fd, EV_READ | EV_PERSIST, timer_cb, b);
    CHECK(b->timer != NULL);
    event_add(b->timer, NULL);
}

static void bench_loop(struct bench *b)
{
    uint64_t patience;

    b->begin_ns = clock_mono_ns();
    b->end_ns = b->begin_ns + (uint64_t)(b->o->seconds * 1e9);
    b->gap_ns = b->o->open_loop ? (uint64_t)(1e9 / b->o->rate) : 0;
    patience = b->end_ns + (uint64_t)(b->o->timeout_s * 1e9);
    for (unsigned i = 0; i < b->o->connections; i++)
        conn_next(&b->conns[i]);
    timer_cb(b->timer_fd, 0, b);
    while (clock_mono_ns() < b->end_ns || (b->busy > 0 && clock_mono_ns() < patience))
        loop_turn(&b->loop);
}

static void bench_fini(struct bench *b)
{
    for (unsigned i = 0; i < b->o->connections; i++) {
        conn_close(&b->conns[i]);
        free(b->conns[i].request);
    }
    free(b->conns);
    free(b->text);
    event_free(b->timer);
    close(b->timer_fd);
    create_fini(&b->create);
    wire_fini(&b->wire);
    loop_fini(&b->loop);
}

static void report_quantiles(json_t *obj, const char *name, const struct latency *l)
{
    static const struct {
        const char *name;
        double q;
    } of[] = {{"p50", 0.5}, {"p99", 0.99}};
    char key[32];

    for (unsigned i = 0; i < sizeof of / sizeof *of; i++) {
        snprintf(key, sizeof key, "%s_%s_ms", name, of[i].name);
        json_object_set_new(obj, key, json_real(latency_quantile_ms(l, of[i].q)));
    }
}

static void report_open_loop(const struct bench *b, json_t *obj)
{
    printf("p99 of sending late %.3f ms, away %.3f ms, unread %.3f ms; %llu waited for a "
           "connection\n",
           latency_quantile_ms(&b->late, 0.99), latency_quantile_ms(&b->away, 0.99),
           latency_quantile_ms(&b->unread, 0.99), (unsigned long long)b->crowded);
    report_quantiles(obj, "late", &b->late);
    report_quantiles(obj, "away", &b->away);
    report_quantiles(obj, "unread", &b->unread);
    json_object_set_new(obj, "crowded", json_integer((json_int_t)b->crowded));
}

static int bench_report(const struct bench *b, double seconds, double server_s, double client_s)
{
    double n = b->answered > 0 ? (double)b->answered : 1;
    json_t *obj = json_object();

    printf("%llu answers in %.2f s: %.0f/s, %llu created, %llu failed, %llu unanswered\n",
           (unsigned long long)b->answered, seconds, (double)b->answered / seconds,
           (unsigned long long)b->created_n, (unsigned long long)b->failed,
           (unsigned long long)(b->sent - b->answered));
    printf("p50 %.3f ms, p99 %.3f ms; CPU per answer: server %.2f us, client %.2f us\n",
           latency_quantile_ms(&b->latency, 0.5), latency_quantile_ms(&b->latency, 0.99),
           server_s / n * 1e6, client_s / n * 1e6);
    json_object_set_new(obj, "answered", json_integer((json_int_t)b->answered));
    json_object_set_new(obj, "created", json_integer((json_int_t)b->created_n));
    json_object_set_new(obj, "failed", json_integer((json_int_t)b->failed));
    json_object_set_new(obj, "reconnects", json_integer((json_int_t)b->reconnects));
    json_object_set_new(obj, "offered_per_s", json_real(b->o->open_loop ? b->o->rate : 0));
    json_object_set_new(obj, "purchases_per_s", json_real((double)b->created_n / seconds));
    json_object_set_new(obj, "p50_ms", json_real(latency_quantile_ms(&b->latency, 0.5)));
    json_object_set_new(obj, "p99_ms", json_real(latency_quantile_ms(&b->latency, 0.99)));
    json_object_set_new(obj, "server_cpu_us", json_real(server_s / n * 1e6));
    json_object_set_new(obj, "client_cpu_us", json_real(client_s / n * 1e6));
    if (b->o->open_loop)
        report_open_loop(b, obj);
    if (b->o->json) {
        json_dumpf(obj, stdout, JSON_REAL_PRECISION(10));
        putchar('\n');
    }
    json_decref(obj);
    return b->created_n > 0 && b->failed == 0 ? 0 : 1;
}

int bench_run(const struct options *o)
{
    struct bench *b = xcalloc(1, sizeof *b);
    double server, client;
    uint64_t start;
    int rc;

    bench_init(b, o);
    server = o->cpu_of > 0 ? cpu_seconds(o->cpu_of) : 0;
    client = cpu_seconds(getpid());
    start = clock_mono_ns();
    bench_loop(b);
    client = cpu_seconds(getpid()) - client;
    server = o->cpu_of > 0 ? cpu_seconds(o->cpu_of) - server : 0;
    rc = bench_report(b, (double)(clock_mono_ns() - start) / 1e9, server, client);
    bench_fini(b);
    free(b);
    return rc;
}
