/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an order costs in the box office without gRPC: deciding, making durable, and (with a second
 * argument) the commit thread's hand-over. bench_commit DIRECTORY [ORDERS [BATCH ...]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "boxoffice/core/sale.h"
#include "boxoffice/store.h"

static double cpu_us(void)
{
    struct rusage r;

    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static void event(struct sale *s, struct store *store, struct batch *b, const char *slug,
                  uint32_t n)
{
    struct event_spec spec = {.slug = slice_str(slug), .hold_ns = 600 * NS_PER_S, .items_n = 1};
    struct decision d;

    spec.items[0] = (struct item_spec){SLICE_LIT("std"), SLICE_LIT(""), SLICE_LIT("88.00"),
                                       SLICE_LIT("EUR"), n};
    sale_open(s, b);
    CHECK(sale_create_event(s, &spec, NULL, &d) == REASON_LATER);
    sale_seal(s, b);
    CHECK(store->driver->commit(store, b) == STORE_OK);
    sale_durable(s, b);
}

struct spent {
    double decide, commit, tidy, commit_max, tidy_max; /* µs, wall */
};

static void one_batch(struct sale *s, struct store *store, struct batch *b, const char *slug,
                      unsigned size, uint64_t *serial, char (*keys)[40], struct spent *t)
{
    uint64_t t0 = clock_mono_ns(), t1, t2, t3;
    char buyer[32];

    sale_open(s, b);
    for (unsigned i = 0; i < size; i++) {
        uint64_t v = ++*serial;
        int len = snprintf(keys[i], 40, "0193a5b0-7c1e-7000-8000-%012llu", (unsigned long long)v);
        struct decision d;
        struct order_request r = {
            slice_str(slug), SLICE_LIT("std"), SLICE_NONE, slice_of(keys[i], (size_t)len), 1, NULL};
        r.buyer = slice_of(
            buyer, (size_t)snprintf(buyer, sizeof buyer, "user-%llu", (unsigned long long)v));
        CHECK(sale_order(s, clock_real_ns(), &r, &d) == REASON_LATER);
    }
    t1 = clock_mono_ns();
    sale_seal(s, b);
    CHECK(store->driver->commit(store, b) == STORE_OK);
    t2 = clock_mono_ns();
    sale_durable(s, b);
    store->driver->tidy(store, true);
    t3 = clock_mono_ns();
    t->decide += (double)(t1 - t0) / 1e3;
    t->commit += (double)(t2 - t1) / 1e3;
    t->tidy += (double)(t3 - t2) / 1e3;
    if ((double)(t2 - t1) / 1e3 > t->commit_max)
        t->commit_max = (double)(t2 - t1) / 1e3;
    if ((double)(t3 - t2) / 1e3 > t->tidy_max)
        t->tidy_max = (double)(t3 - t2) / 1e3;
}

static void bench(struct sale *s, struct store *store, struct batch *b, unsigned orders,
                  unsigned size)
{
    static char keys[BATCH_OPS_MAX][40];
    static uint64_t serial;
    char slug[32];
    struct spent t = {0};
    double cpu, wall;
    unsigned n = orders / size;

    snprintf(slug, sizeof slug, "bench-%u-%llu", size, (unsigned long long)serial);
    event(s, store, b, slug, orders + size);
    cpu = cpu_us();
    wall = (double)clock_mono_ns() / 1e3;
    for (unsigned i = 0; i < n; i++)
        one_batch(s, store, b, slug, size, &serial, keys, &t);
    cpu = cpu_us() - cpu;
    wall = (double)clock_mono_ns() / 1e3 - wall;
    double all = (double)n * size;
    printf("batch %5u: %5.2f us CPU/order (%5.2f wall: decide %.2f commit %.2f tidy %.2f), "
           "%7.0f orders/s, longest commit %.1f ms, tidy %.1f ms\n",
           size, cpu / all, wall / all, t.decide / all, t.commit / all, t.tidy / all,
           all / wall * 1e6, t.commit_max / 1e3, t.tidy_max / 1e3);
}

int main(int argc, char **argv)
{
    static const unsigned sizes[] = {16, 64, 256, 1024};
    unsigned orders = argc > 2 ? (unsigned)atoi(argv[2]) : 100000;
    struct buf path = {0}, err = {0};
    struct batch b = {0};
    struct sale *s = sale_new();
    struct store *store;
    uint64_t start;

    if (argc < 2)
        die("usage: bench_commit DIRECTORY [ORDERS [BATCH ...]]\n");
    buf_printf(&path, "%s/bench-%d.db", argv[1], (int)getpid());
    store = store_sqlite_open(buf_cstr(&path), 0, &err);
    if (store == NULL || !store->driver->load(store, s, clock_real_ns(), &err))
        die("%s\n", buf_cstr(&err));
    for (int i = 3; i < argc; i++)
        bench(s, store, &b, orders, (unsigned)atoi(argv[i]));
    for (unsigned i = 0; argc <= 3 && i < sizeof sizes / sizeof *sizes; i++)
        bench(s, store, &b, orders, sizes[i]);
    sale_free(&s);
    s = sale_new();
    start = clock_mono_ns();
    CHECK(store->driver->load(store, s, clock_real_ns(), &err));
    printf("%u orders read in %llu ms, store %.1f MB\n", s->orders.last,
           (unsigned long long)((clock_mono_ns() - start) / NS_PER_MS),
           (double)store->driver->bytes(store) / 1e6);
    sale_free(&s);
    store->driver->close(store);
    batch_fini(&b);
    for (unsigned i = 0; i < 4; i++) {
        static const char *const tails[] = {"", "-wal", "-shm", ".lock"};
        struct buf name = {0};
        buf_printf(&name, "%s%s", path.p, tails[i]);
        unlink(buf_cstr(&name));
        buf_free(&name);
    }
    buf_free(&path);
    return 0;
}
