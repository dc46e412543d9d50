/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A key of a shared limit, against a Redis of a few lines: the script's arithmetic on a clock of
 * the test's own.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/hash.h"
#include "gate/shared_entry.h"

#define BUDGET_NS (5 * NS_PER_MS)
#define RTT_NS    (300 * NS_PER_US)
#define START_NS  (1000 * NS_PER_S)

/* The bucket as shared_script.h has it, in microseconds. */
static struct shared_reply script(uint64_t *tat, const struct shared_question *q, uint64_t now)
{
    double top = (double)now + q->capacity_us;
    uint64_t n;

    *tat = *tat > now ? *tat : now;
    *tat += q->hard_us;
    if ((double)*tat < top)
        *tat = (uint64_t)fmin((double)(*tat + q->soft_us), ceil(top));
    n = (double)*tat < top ? (uint64_t)((top - (double)*tat) / q->interval_us + 1e-6) : 0;
    n = n < q->want ? n : q->want;
    n -= n % q->least;
    *tat += (uint64_t)ceil((double)n * q->interval_us);
    return (struct shared_reply){
        .tokens = (uint32_t)n,
        .ahead_us = *tat - now,
        .wait_us = (uint64_t)fmax(ceil((double)*tat + q->least * q->interval_us - top - 1e-6), 0),
    };
}

static struct limit_ask limit(uint64_t rate, uint64_t burst, uint64_t cost)
{
    uint64_t interval = limit_interval(rate, NS_PER_S);

    return (struct limit_ask){
        .interval = interval, .capacity = burst * interval, .charge = cost * interval};
}

/* Workers of several hosts that ask one Redis; its answers take RTT_NS. */
struct world {
    uint64_t now_ns, tat_us;
    struct limit_ask a;
    struct shared_entry e[4];
    struct shared_reply reply[4];
    uint64_t sent_ns[4];
    uint64_t admitted, calls, denied;
    bool away; /* Redis answers nobody */
};

static void deliver(struct world *w, unsigned i)
{
    if (w->e[i].in_flight && !w->away && w->now_ns >= w->sent_ns[i] + RTT_NS)
        shared_entry_answer(&w->e[i], &w->reply[i], w->sent_ns[i], w->now_ns, BUDGET_NS);
}

static void request(struct world *w, unsigned i)
{
    struct shared_question q;
    uint64_t wait;
    enum shared_verdict v;

    deliver(w, i);
    v = shared_entry_look(&w->e[i], &w->a, w->now_ns, &wait);
    if (v != SHARED_DENIED) {
        shared_entry_take(&w->e[i], &w->a, v, w->away, w->now_ns);
        w->admitted++;
    } else {
        w->denied++;
    }
    if (w->away || !shared_entry_wants(&w->e[i], v, w->now_ns))
        return;
    shared_entry_ask(&w->e[i], w->now_ns, &q);
    w->sent_ns[i] = w->now_ns;
    w->reply[i] = script(&w->tat_us, &q, w->now_ns / NS_PER_US);
    w->calls++;
}

/* `workers` workers, each with a request every gap_ns. */
static void run(struct world *w, unsigned workers, uint64_t gap_ns, uint64_t for_ns)
{
    uint64_t end = w->now_ns + for_ns;

    for (; w->now_ns < end; w->now_ns += gap_ns)
        for (unsigned i = 0; i < workers; i++)
            request(w, i);
}

static void test_saturated(void **state)
{
    struct world w = {.now_ns = START_NS, .a = limit(1000, 200, 1)};
    uint64_t in_flight;

    (void)state;
    run(&w, 4, 200 * NS_PER_US, 3 * NS_PER_S); /* 20,000/s offered */
    in_flight = 4 * 1000 * (RTT_NS + SHARED_PACE_NS) / NS_PER_S + 4;
    assert_true(w.admitted <= 200 + 3000 + in_flight);
    assert_true(w.admitted >= 200 + 2990);
    assert_true(w.calls <= 4 * 3 * 250); /* at most one every PACE */
}

static void test_within_the_rate_nobody_is_denied(void **state)
{
    struct world w = {.now_ns = START_NS, .a = limit(1000, 100, 1)};

    (void)state;
    run(&w, 4, 5 * NS_PER_MS, 3 * NS_PER_S); /* 800/s */
    assert_int_equal(w.denied, 0);
}

static void test_one_busy_among_idle(void **state)
{
    struct world w = {.now_ns = START_NS, .a = limit(10000, 1000, 1)};
    uint64_t end = w.now_ns + 2 * NS_PER_S;

    (void)state;
    for (unsigned n = 0; w.now_ns < end; w.now_ns += 105 * NS_PER_US, n++) {
        request(&w, 0); /* 9,524/s */
        if (n % 100 == 0)
            request(&w, 1 + n / 100 % 3); /* 95/s */
    }
    assert_int_equal(w.denied, 0);
    assert_true(w.calls < w.admitted / 10);
}

static void test_cost(void **state)
{
    struct world w = {.now_ns = START_NS, .a = limit(1000, 300, 3)};

    (void)state;
    run(&w, 2, 500 * NS_PER_US, 3 * NS_PER_S);
    assert_true(w.admitted * 3 <= 300 + 3000 + 3 * 20);
    assert_true(w.admitted * 3 >= 300 + 2950);
}

static void test_a_rate_of_a_million(void **state)
{
    struct world w = {.now_ns = START_NS, .a = limit(1000000, 100000, 1)};

    (void)state;
    run(&w, 2, 1000, NS_PER_S); /* 2,000,000/s */
    assert_true(w.admitted <= 100000 + 1000000 + 2 * (RTT_NS + SHARED_PACE_NS) / 1000);
    assert_true(w.admitted >= (100000 + 1000000) * 99 / 100);
}

/* Tokens that flow back slowly are not kept from other workers. */
static void test_slow_rates_are_not_leased(void **state)
{
    struct limit_ask slow = {.interval = limit_interval(1, NS_PER_S)}, fast = limit(1000, 500, 1);
    struct shared_question q;
    uint64_t wait;

    (void)state;
    slow.capacity = 100 * slow.interval;
    slow.charge = slow.interval;
    for (int busy = 0; busy < 2; busy++) {
        struct shared_entry e = {0};
        for (unsigned i = 0; i < 400; i++)
            shared_entry_look(&e, busy ? &fast : &slow, START_NS, &wait);
        shared_entry_ask(&e, START_NS, &q);
        assert_int_equal(q.want, busy ? 100 : 0);
        e = (struct shared_entry){.most = 7};
        for (unsigned i = 0; i < 400; i++)
            shared_entry_look(&e, busy ? &fast : &slow, START_NS, &wait);
        shared_entry_ask(&e, START_NS, &q);
        assert_int_equal(q.want, 7);
    }
}

/* A lease of the past cannot be spent. */
static void test_lease_expires(void **state)
{
    struct limit_ask a = limit(1000, 100, 1);
    struct shared_entry e = {0};
    struct shared_reply r = {.tokens = 10, .ahead_us = 10000};
    struct shared_question q;
    uint64_t wait;

    (void)state;
    shared_entry_look(&e, &a, START_NS, &wait);
    shared_entry_ask(&e, START_NS, &q);
    shared_entry_answer(&e, &r, START_NS, START_NS + RTT_NS, BUDGET_NS);
    assert_int_equal(shared_entry_look(&e, &a, START_NS + RTT_NS, &wait), SHARED_LEASED);
    assert_int_equal(shared_entry_look(&e, &a, START_NS + 8 * NS_PER_MS, &wait), SHARED_LEASED);
    assert_int_equal(shared_entry_look(&e, &a, START_NS + 10 * NS_PER_MS, &wait),
                     SHARED_OPTIMISTIC);
}

/* An answer that comes much too late charges, but its lease is over. */
static void test_late_answer(void **state)
{
    struct limit_ask a = limit(1000, 100, 1);
    struct shared_entry e = {0};
    struct shared_reply r = {.tokens = 10, .ahead_us = 100000};
    struct shared_question q;
    uint64_t wait, late = START_NS + 3 * NS_PER_S;

    (void)state;
    shared_entry_look(&e, &a, START_NS, &wait);
    shared_entry_ask(&e, START_NS, &q);
    shared_entry_answer(&e, &r, START_NS, late, BUDGET_NS);
    assert_int_equal(shared_entry_ahead(&e, late), a.capacity);
    assert_int_equal(shared_entry_look(&e, &a, late, &wait), SHARED_DENIED);
}

/* An hour without Redis costs no more than an empty bucket afterwards. */
static void test_debt_of_an_outage(void **state)
{
    struct world w = {.now_ns = START_NS, .a = limit(100, 50, 1), .away = true};

    (void)state;
    run(&w, 4, NS_PER_MS, 20 * NS_PER_S);
    assert_in_range(w.admitted, 4 * 2000, 4 * (2000 + 51)); /* each by the image of its own */
    w.away = false;
    w.admitted = 0;
    run(&w, 4, NS_PER_MS, 2 * NS_PER_S);
    assert_in_range(w.admitted, 150, 200 + 4);
}

/* Debts that were certainly not charged are charged again, in full. */
static void test_failed_calls(void **state)
{
    struct limit_ask a = limit(10, 10, 1);
    struct shared_entry e = {0};
    struct shared_question q;
    uint64_t wait;

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(shared_entry_look(&e, &a, START_NS, &wait), SHARED_OPTIMISTIC);
        shared_entry_take(&e, &a, SHARED_OPTIMISTIC, false, START_NS);
    }
    shared_entry_ask(&e, START_NS, &q);
    assert_int_equal(q.hard_us, 800000);
    shared_entry_failed(&e, true, START_NS);
    assert_true(shared_entry_wants(&e, SHARED_OPTIMISTIC, START_NS));
    shared_entry_ask(&e, START_NS, &q);
    assert_int_equal(q.hard_us, 800000);
    assert_int_equal(q.soft_us, 0);
    /* Of an unknown fate: as far as the bucket goes. */
    shared_entry_failed(&e, false, START_NS);
    assert_false(shared_entry_wants(&e, SHARED_OPTIMISTIC, START_NS));
    shared_entry_ask(&e, START_NS + NS_PER_S, &q);
    assert_int_equal(q.hard_us, 0);
    assert_int_equal(q.soft_us, 800000);
}

/* After a refusal nothing is admitted on the image's word until the next answer had its time. */
static void test_hold(void **state)
{
    struct limit_ask a = limit(1000, 100, 1);
    struct shared_entry e = {0};
    struct shared_reply empty = {.ahead_us = 100000, .wait_us = 1000};
    struct shared_question q;
    uint64_t wait = 0;

    (void)state;
    shared_entry_look(&e, &a, START_NS, &wait);
    shared_entry_ask(&e, START_NS, &q);
    shared_entry_answer(&e, &empty, START_NS, START_NS, BUDGET_NS);
    assert_int_equal(shared_entry_look(&e, &a, START_NS + 4 * NS_PER_MS, &wait), SHARED_DENIED);
    assert_true(wait > 0);
    assert_false(shared_entry_wants(&e, SHARED_DENIED, START_NS + 4 * NS_PER_MS));
    assert_true(shared_entry_wants(&e, SHARED_DENIED, START_NS + SHARED_PACE_NS));
    /* Nobody answered: it passes by itself. */
    assert_int_equal(shared_entry_look(&e, &a, START_NS + SHARED_PACE_NS + BUDGET_NS, &wait),
                     SHARED_OPTIMISTIC);
}

/* A raised rate voids leases and keeps debt in time, as in the host's table. */
static void test_new_rate(void **state)
{
    struct limit_ask old = limit(1000, 100, 1), new = limit(10, 5, 1);
    struct shared_entry e = {0};
    struct shared_reply r = {.tokens = 50, .ahead_us = 90000};
    struct shared_question q;
    uint64_t wait;

    (void)state;
    shared_entry_look(&e, &old, START_NS, &wait);
    shared_entry_ask(&e, START_NS, &q);
    shared_entry_answer(&e, &r, START_NS, START_NS, BUDGET_NS);
    assert_int_equal(shared_entry_look(&e, &old, START_NS, &wait), SHARED_LEASED);
    assert_int_equal(shared_entry_look(&e, &new, START_NS, &wait), SHARED_OPTIMISTIC);
    assert_int_equal(shared_entry_ahead(&e, START_NS), 90000 * NS_PER_US * LIMIT_TICKS_PER_NS);
}

/* Bursts and pauses at random: never more than the bound, in any window from the start. */
static void test_random(void **state)
{
    uint64_t rng = 42;

    (void)state;
    for (unsigned round = 0; round < 50; round++) {
        uint64_t rate = 10 + random_next(&rng) % 5000, burst = 1 + random_next(&rng) % 500;
        struct world w = {.now_ns = START_NS, .a = limit(rate, burst, 1)};
        for (unsigned n = 0; n < 20000; n++) {
            double t = (double)(w.now_ns - START_NS) / 1e9, host = 4 * (double)burst;
            double flight = 4 * (double)rate * (double)(RTT_NS + SHARED_PACE_NS) / 1e9 + 4;
            request(&w, (unsigned)(random_next(&rng) % 4));
            if (random_next(&rng) % 3 == 0)
                w.now_ns += random_next(&rng) %
                            (random_next(&rng) % 50 == 0 ? 20 * NS_PER_MS : 200 * NS_PER_US);
            assert_true((double)w.admitted <= host + (double)rate * t + flight);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_saturated),
        cmocka_unit_test(test_within_the_rate_nobody_is_denied),
        cmocka_unit_test(test_one_busy_among_idle),
        cmocka_unit_test(test_cost),
        cmocka_unit_test(test_a_rate_of_a_million),
        cmocka_unit_test(test_slow_rates_are_not_leased),
        cmocka_unit_test(test_lease_expires),
        cmocka_unit_test(test_late_answer),
        cmocka_unit_test(test_debt_of_an_outage),
        cmocka_unit_test(test_failed_calls),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_new_rate),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
