/* SPDX-License-Identifier: BSD-2-Clause */
/* The gradient limit against simulated services: a number of servers, a queue, and load without end
 * or with pauses. Simulated time, so nothing here depends on the machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/clock.h"
#include "gate/gradient.h"

#define WORKERS_MAX 8u
#define CALLS_MAX   8192u

static const struct gradient_config usual = {
    .min = 2, .max = 1000, .initial = 20, .tolerance = 1.5};

struct sim_call {
    uint64_t start_ns, end_ns; /* end_ns 0: waits for a server */
    uint32_t in_flight;
    unsigned worker;
    bool fails;
};

/* `servers` calls at once take `base_ns` each, give or take a fifth; the others wait in line. */
static struct sim {
    struct gradient g[WORKERS_MAX];
    uint32_t in_flight[WORKERS_MAX];
    unsigned workers, servers, busy;
    uint64_t base_ns, now_ns, rng;
    bool refuses;
    struct sim_call calls[CALLS_MAX]; /* in the order of their starts */
    unsigned n;
    uint64_t answered, refused, sum_ns;
} s;

static void sim_init(unsigned workers, unsigned servers, uint64_t base_ms)
{
    s = (struct sim){.workers = workers,
                     .servers = servers,
                     .base_ns = base_ms * NS_PER_MS,
                     .now_ns = 1000 * NS_PER_S,
                     .rng = 88172645463325252u};
    for (unsigned i = 0; i < workers; i++)
        gradient_init(&s.g[i], &usual, s.now_ns, 0);
}

static double noise(void)
{
    s.rng ^= s.rng << 13;
    s.rng ^= s.rng >> 7;
    s.rng ^= s.rng << 17;
    return (double)(s.rng >> 11) / (double)(1ull << 53);
}

/* The servers take up who waits. */
static void serve(void)
{
    for (unsigned i = 0; i < s.n && s.busy < s.servers; i++) {
        if (s.calls[i].end_ns != 0)
            continue;
        s.calls[i].end_ns = s.now_ns + (uint64_t)((double)s.base_ns * (0.8 + 0.4 * noise()));
        s.busy++;
    }
}

static void answer_due(void)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < s.n; i++) {
        struct sim_call c = s.calls[i];
        if (c.end_ns == 0 || c.end_ns > s.now_ns) {
            s.calls[kept++] = c;
            continue;
        }
        s.busy--;
        s.in_flight[c.worker]--;
        s.answered++;
        s.sum_ns += s.now_ns - c.start_ns;
        gradient_answered(&s.g[c.worker], s.now_ns, c.start_ns, c.in_flight);
    }
    s.n = kept;
}

static void offer(unsigned w)
{
    if (s.in_flight[w] >= gradient_limit(&s.g[w]) || s.n == CALLS_MAX) {
        s.refused++;
        return;
    }
    if (s.refuses) {
        gradient_failed(&s.g[w], s.now_ns, s.now_ns, s.in_flight[w] + 1);
        return;
    }
    s.in_flight[w]++;
    s.calls[s.n++] =
        (struct sim_call){.start_ns = s.now_ns, .in_flight = s.in_flight[w], .worker = w};
}

/* Offers `per_s` calls a second, over all workers, for so long. */
static void run(double per_s, uint64_t seconds)
{
    uint64_t end = s.now_ns + seconds * NS_PER_S;
    double owed = 0;

    s.answered = s.refused = s.sum_ns = 0;
    for (; s.now_ns < end; s.now_ns += NS_PER_MS / 4) {
        answer_due();
        for (owed += per_s / 4000; owed >= 1; owed--)
            offer((unsigned)(noise() * s.workers));
        serve();
    }
}

static double latency_ms(void)
{
    return s.answered ? (double)s.sum_ns / (double)s.answered / (double)NS_PER_MS : 0;
}

static double limits(void)
{
    double sum = 0;

    for (unsigned i = 0; i < s.workers; i++)
        sum += s.g[i].limit;
    return sum;
}

static void assert_between(double v, double low, double high)
{
    if (v < low || v > high)
        print_error("%g is not between %g and %g\n", v, low, high);
    assert_true(v >= low && v <= high);
}

/* Twice what 20 servers of 10 ms can do. */
static void test_overload_is_kept_out(void **state)
{
    (void)state;
    sim_init(1, 20, 10);
    run(4000, 5);
    run(4000, 60);
    assert_between((double)s.answered, 0.95 * 2000 * 60, 2001 * 60);
    assert_between(latency_ms(), 9, 20);
    assert_between(limits(), 20, 45);
    assert_true(s.refused > 100000);
}

/* Slow calls, and a queue from the first one on: what is normal must be measured soon. */
static void test_begins_under_load(void **state)
{
    (void)state;
    sim_init(1, 4, 100);
    run(200, 8);
    run(200, 10);
    assert_between((double)s.answered, 0.85 * 40 * 10, 41 * 10);
    assert_between(latency_ms(), 90, 320);
}

/* It must not creep up in the long run. */
static void test_no_creep(void **state)
{
    (void)state;
    sim_init(1, 20, 10);
    run(4000, 600);
    assert_between(latency_ms(), 9, 20);
    assert_between(limits(), 20, 45);
}

static void test_small_and_large_services(void **state)
{
    static const unsigned servers[] = {1, 4, 300};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        double capacity = servers[i] * 100;
        sim_init(1, servers[i], 10);
        run(capacity * 2, 20);
        run(capacity * 2, 40);
        assert_between((double)s.answered, 0.94 * capacity * 40, 1.01 * capacity * 40);
        assert_between(latency_ms(), 9, servers[i] == 1 ? 60 : 30);
    }
}

/* Each of eight workers sees an eighth of the calls; only together they can measure. */
static void test_workers_share_a_service(void **state)
{
    (void)state;
    sim_init(8, 80, 10);
    run(16000, 120);
    run(16000, 60);
    assert_between((double)s.answered, 0.94 * 8000 * 60, 8010 * 60);
    assert_between(latency_ms(), 9, 30);
}

/* The same number of servers, each call three times as long: a new normal. */
static void test_slower_for_good(void **state)
{
    (void)state;
    sim_init(1, 20, 10);
    run(4000, 30);
    s.base_ns *= 3;
    run(4000, 20);
    run(4000, 30);
    assert_between((double)s.answered, 0.92 * 667 * 30, 670 * 30);
    assert_between(limits(), 20, 50);
    s.base_ns /= 3;
    run(4000, 15);
    run(4000, 30);
    assert_between((double)s.answered, 0.94 * 2000 * 30, 2001 * 30);
    assert_between(latency_ms(), 9, 20);
}

/* A quarter of the servers for half a minute. */
static void test_brown_out(void **state)
{
    (void)state;
    sim_init(1, 20, 10);
    run(4000, 30);
    s.servers = 5;
    run(4000, 5);
    run(4000, 30);
    assert_between((double)s.answered, 0.92 * 500 * 30, 501 * 30);
    assert_between(latency_ms(), 9, 30);
    s.servers = 20;
    run(4000, 5);
    run(4000, 30);
    assert_between((double)s.answered, 0.94 * 2000 * 30, 2001 * 30);
}

/* Nobody asks for more than it can do: nobody is refused, the limit does not grow without use. */
static void test_light_load(void **state)
{
    (void)state;
    sim_init(1, 20, 10);
    run(500, 600);
    assert_int_equal(s.refused, 0);
    assert_between(limits(), 19, 30);
    assert_between(s.g[0].long_ns / (double)NS_PER_MS, 9.5, 11);
}

static void test_idle_forgets_nothing(void **state)
{
    double learnt;

    (void)state;
    sim_init(1, 200, 10);
    run(40000, 30);
    run(0, 1);
    learnt = limits();
    assert_true(learnt > 150);
    run(0, 3600);
    assert_true(limits() == learnt);
    run(40000, 10);
    assert_between((double)s.answered, 0.9 * 20000 * 10, 20010 * 10);
}

static void test_failures_lower_it_once_a_round(void **state)
{
    struct gradient g;

    (void)state;
    gradient_init(&g, &usual, 0, 0);
    g.short_ns = 1000;
    for (unsigned i = 0; i < 20; i++)
        gradient_failed(&g, 100 + i, 50 + i, 20);
    assert_between(g.limit, 17.9, 18.1);
    gradient_failed(&g, 200, 150, 20);
    assert_between(g.limit, 16.1, 16.3);
    for (unsigned i = 0; i < 1000; i++)
        gradient_failed(&g, 1000 + i, 1000 + i, 20);
    assert_int_equal(gradient_limit(&g), 2);
}

static void test_comes_back_after_an_outage(void **state)
{
    (void)state;
    sim_init(1, 20, 10);
    run(4000, 20);
    s.refuses = true;
    run(4000, 10);
    assert_int_equal(gradient_limit(&s.g[0]), 2);
    s.refuses = false;
    run(4000, 3);
    run(4000, 10);
    assert_between((double)s.answered, 0.92 * 2000 * 10, 2001 * 10);
}

static void test_bounds(void **state)
{
    struct gradient_config narrow = {.min = 2, .max = 7, .initial = 20, .tolerance = 1.5};
    struct gradient g;

    (void)state;
    gradient_init(&g, &narrow, 0, 0);
    assert_int_equal(gradient_limit(&g), 7);
    g.limit = 6;
    narrow.max = 5;
    gradient_configure(&g, &narrow);
    assert_int_equal(gradient_limit(&g), 5);
    /* A clock that stands still, or went back by a hair, is no division by zero. */
    for (unsigned i = 0; i < 100; i++)
        gradient_answered(&g, 10, 11, 5);
    assert_between(g.limit, 2, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overload_is_kept_out),
        cmocka_unit_test(test_begins_under_load),
        cmocka_unit_test(test_no_creep),
        cmocka_unit_test(test_small_and_large_services),
        cmocka_unit_test(test_workers_share_a_service),
        cmocka_unit_test(test_slower_for_good),
        cmocka_unit_test(test_brown_out),
        cmocka_unit_test(test_light_load),
        cmocka_unit_test(test_idle_forgets_nothing),
        cmocka_unit_test(test_failures_lower_it_once_a_round),
        cmocka_unit_test(test_comes_back_after_an_outage),
        cmocka_unit_test(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
