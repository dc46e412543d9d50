/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a durable order costs a running boxoffice over gRPC: a closed loop of WINDOW calls over two
 * connections, the server's CPU time from /proc, latency as this client sees it.
 *
 *   bench_orders ADDRESS PID ORDERS WINDOW
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "boxoffice.pb-c.h"
#include "rpc/addr.h"
#include "rpc/client.h"
#include "rpc/status.h"

struct slot {
    struct rpc_call call;
    struct bench *bench;
    uint64_t start_ns;
    char buyer[24], key[40];
};

struct bench {
    struct loop loop;
    struct loop_timer begin; /* calls leave at the end of a turn, so they are started in one */
    struct slot *slots;
    unsigned window;
    struct rpc_client *rpc;
    struct slice payload;
    uint64_t started, finished, failed, total, serial;
    uint32_t *latency_us;
};

static void start(struct slot *s);

static void on_done(struct rpc_call *call, const struct rpc_reply *r)
{
    struct slot *s = (struct slot *)call;
    struct bench *b = s->bench;

    b->latency_us[b->finished++] = (uint32_t)((clock_mono_ns() - s->start_ns) / NS_PER_US);
    if (r->status != RPC_OK && b->failed++ == 0)
        fprintf(stderr, "failed: %d %.*s\n", r->status, SLICE_ARG(r->message));
    if (b->started < b->total)
        start(s);
}

static void start(struct slot *s)
{
    struct bench *b = s->bench;
    uint64_t n = b->serial + b->started++;
    struct rpc_meta meta[2] = {
        {SLICE_LIT("rushgate-buyer"),
         slice_of(s->buyer,
                  (size_t)snprintf(s->buyer, sizeof s->buyer, "user-%llu", (unsigned long long)n))},
        {SLICE_LIT("idempotency-key"),
         slice_of(s->key, (size_t)snprintf(s->key, sizeof s->key, "0193a5c0-7d2e-7000-8000-%012llx",
                                           (unsigned long long)n))},
    };
    struct rpc_request req = {.path = SLICE_LIT("/rushgate.boxoffice.v1.BoxOffice/CreateOrder"),
                              .payload = b->payload,
                              .meta = meta,
                              .meta_n = 2,
                              .deadline_ns = 10 * NS_PER_S};

    s->start_ns = clock_mono_ns();
    rpc_call_start(b->rpc, &s->call, &req);
}

static struct rpc_client *connect_to(struct loop *loop, const char *address)
{
    struct addr a;
    const char *why;

    if (addr_parse(slice_str(address), 0, &a, &why) < 0)
        die("%s: %s\n", address, why);
    struct rpc_endpoint_config ep = {
        .address = slice_str(address), .sa = (const struct sockaddr *)&a.sa, .sa_len = a.len};
    struct rpc_client_config cfg = {.name = SLICE_LIT("bench"),
                                    .endpoints = &ep,
                                    .endpoints_n = 1,
                                    .connections = 2,
                                    .max_in_flight = 65536,
                                    .connect_timeout_ms = 1000,
                                    .eject_failures = 1000000};
    return rpc_client_new(loop, &cfg);
}

static void on_begin(struct loop_timer *t)
{
    struct bench *b = CONTAINER_OF(t, struct bench, begin);

    for (unsigned i = 0; i < b->window && b->started < b->total; i++) {
        b->slots[i].bench = b;
        rpc_call_init(&b->slots[i].call, on_done);
        start(&b->slots[i]);
    }
}

struct one {
    struct rpc_call call;
    bool done;
};

static void one_done(struct rpc_call *call, const struct rpc_reply *r)
{
    ((struct one *)call)->done = true;
    if (r->status != RPC_OK)
        die("create event: %d %.*s\n", r->status, SLICE_ARG(r->message));
}

static void make_event(struct bench *b, const char *slug)
{
    Rushgate__Boxoffice__V1__Item item = RUSHGATE__BOXOFFICE__V1__ITEM__INIT, *items = &item;
    Rushgate__Boxoffice__V1__Event ev = RUSHGATE__BOXOFFICE__V1__EVENT__INIT;
    Rushgate__Boxoffice__V1__CreateOrderRequest order =
        RUSHGATE__BOXOFFICE__V1__CREATE_ORDER_REQUEST__INIT;
    static uint8_t out[512], bytes[512];
    struct one one = {0};

    item.item = (char *)"standard";
    item.price = (char *)"88.00";
    item.currency = (char *)"EUR";
    item.quota = 1 << 24;
    ev.slug = (char *)slug;
    ev.items = &items;
    ev.n_items = 1;
    ev.max_per_buyer = 4;
    struct rpc_request req = {
        .path = SLICE_LIT("/rushgate.boxoffice.v1.BoxOffice/CreateEvent"),
        .payload = slice_of((char *)out, rushgate__boxoffice__v1__event__pack(&ev, out)),
        .deadline_ns = 5 * NS_PER_S};
    rpc_call_init(&one.call, one_done);
    rpc_call_start(b->rpc, &one.call, &req);
    while (!one.done)
        loop_turn(&b->loop);
    order.event = (char *)slug;
    order.item = (char *)"standard";
    b->payload =
        slice_of((char *)bytes, rushgate__boxoffice__v1__create_order_request__pack(&order, bytes));
}

/* user + system time of a process, µs */
static double cpu_of(int pid)
{
    char path[64];
    unsigned long user, sys;
    FILE *f;
    int n;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    f = fopen(path, "r");
    if (f == NULL)
        die("%s: no such process\n", path);
    n = fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys);
    fclose(f);
    CHECK(n == 2);
    return (double)(user + sys) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    struct bench b = {.serial = clock_mono_ns()};
    char slug[40];
    uint64_t begin;
    double cpu, wall;
    int pid;

    signal(SIGPIPE, SIG_IGN);
    if (argc != 5)
        die("usage: bench_orders ADDRESS PID ORDERS WINDOW\n");
    pid = atoi(argv[2]);
    b.total = strtoull(argv[3], NULL, 10);
    b.window = (unsigned)atoi(argv[4]);
    b.latency_us = xcalloc(b.total, sizeof *b.latency_us);
    loop_init(&b.loop);
    b.rpc = connect_to(&b.loop, argv[1]);
    CHECK(b.rpc != NULL);
    snprintf(slug, sizeof slug, "bench-%llu", (unsigned long long)b.serial);
    make_event(&b, slug);
    b.slots = xcalloc(b.window, sizeof *b.slots);
    cpu = cpu_of(pid);
    begin = clock_mono_ns();
    loop_timer_init(&b.begin, on_begin);
    loop_timer_arm(&b.loop, &b.begin, 0);
    while (b.finished < b.total)
        loop_turn(&b.loop);
    wall = (double)(clock_mono_ns() - begin) / 1e3;
    cpu = cpu_of(pid) - cpu;
    qsort(b.latency_us, b.total, sizeof *b.latency_us, by_value);
    printf(
        "window %5u: %6.2f us server CPU/order, %7.0f orders/s, p50 %u us, p99 %u us, max %u us, "
        "failed %llu\n",
        b.window, cpu / (double)b.total, (double)b.total / wall * 1e6, b.latency_us[b.total / 2],
        b.latency_us[b.total * 99 / 100], b.latency_us[b.total - 1], (unsigned long long)b.failed);
    rpc_client_free(&b.rpc);
    loop_fini(&b.loop);
    free(b.slots);
    free(b.latency_us);
    return b.failed != 0;
}
