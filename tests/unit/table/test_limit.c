/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rate limits: against a naive bucket, against the bound that a limit promises (any window), over
 * full sets and changed rates, by two processes and by threads (for ThreadSanitizer).
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "table/limit.h"

#define NOW (UINT64_C(500) * 86400 * NS_PER_S) /* of uptime: later than any real clock here */

static int setup_bits(void **state, uint32_t bits)
{
    struct zone *z = calloc(1, sizeof *z);

    assert_int_equal(zone_create(z, "limit", LIMIT_LAYOUT, limit_zone_size(bits)), 0);
    limit_zone_init((struct limit_zone *)z->head, bits, 7);
    *state = z;
    return 0;
}

static int setup(void **state)
{
    return setup_bits(state, 8);
}

static int setup_small(void **state)
{
    return setup_bits(state, 1);
}

static int teardown(void **state)
{
    struct zone *z = *state;

    zone_close(z);
    free(z);
    return 0;
}

static struct limit_zone *zone_of(void **state)
{
    return (struct limit_zone *)((struct zone *)*state)->head;
}

static struct limit_ask ask_of(uint64_t fp, uint64_t tokens, uint64_t period_ns, uint64_t burst,
                               uint64_t cost)
{
    uint64_t interval = limit_interval(tokens, period_ns);

    return (struct limit_ask){.fingerprint = fp,
                              .interval = interval,
                              .capacity = burst * interval,
                              .charge = cost * interval,
                              .overflow = 3};
}

static void test_interval(void **state)
{
    (void)state;
    assert_int_equal(limit_interval(1, 3600 * NS_PER_S), 3600 * NS_PER_S * 16);
    assert_int_equal(limit_interval(1000000, NS_PER_S), 16000);
    assert_int_equal(limit_interval(3, NS_PER_S), 5333333334); /* up, never faster */
    assert_int_equal(limit_interval(0, NS_PER_S), 0);
    assert_int_equal(limit_interval(1, UINT64_MAX / 8), 0);
    assert_int_equal(limit_fingerprint(0), 1);
    assert_int_equal(limit_fingerprint(LIMIT_CLAIM), 1);
    assert_int_equal(limit_fingerprint(~UINT64_C(0)), ~LIMIT_CLAIM);
}

/* Offered ten times as fast as allowed, each rate gives what it says, to the request. */
static void test_rates_are_exact(void **state)
{
    static const struct {
        uint64_t tokens, period_ns, burst, for_ns;
    } rates[] = {
        {1, 3600 * NS_PER_S, 1, 36000 * NS_PER_S}, {1, NS_PER_S, 1, 100 * NS_PER_S},
        {5, 10 * NS_PER_S, 5, 1000 * NS_PER_S},    {100, 60 * NS_PER_S, 100, 600 * NS_PER_S},
        {3000, NS_PER_S, 30, 3 * NS_PER_S},        {999983, NS_PER_S, 10, NS_PER_S / 4},
        {1000000, NS_PER_S, 1000, NS_PER_S / 4},
    };

    for (unsigned i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct limit_ask a =
            ask_of(100 + i, rates[i].tokens, rates[i].period_ns, rates[i].burst, 1);
        uint64_t step = rates[i].period_ns / rates[i].tokens / 10, admitted = 0, ideal;
        for (uint64_t t = 0; t < rates[i].for_ns; t += step)
            admitted += limit_take(zone_of(state), &a, NOW + t);
        ideal = rates[i].burst + (uint64_t)((double)rates[i].for_ns / (double)rates[i].period_ns *
                                            (double)rates[i].tokens);
        assert_true(admitted <= ideal);
        assert_true(admitted + 1 + ideal / 2000 >= ideal);
    }
}

static void test_denial_says_when(void **state)
{
    struct limit_ask a = ask_of(5, 10, NS_PER_S, 3, 1);

    for (unsigned i = 0; i < 3; i++)
        assert_true(limit_take(zone_of(state), &a, NOW));
    assert_int_equal(a.debt, a.capacity);
    assert_false(limit_take(zone_of(state), &a, NOW));
    assert_int_equal(a.wait, a.interval);
    assert_false(limit_take(zone_of(state), &a, NOW + NS_PER_S / 10 - 1));
    assert_int_equal(a.wait, 16);
    assert_true(limit_take(zone_of(state), &a, NOW + NS_PER_S / 10));
}

static void test_cost(void **state)
{
    struct limit_ask five = ask_of(5, 10, NS_PER_S, 7, 5), one = ask_of(5, 10, NS_PER_S, 7, 1);
    struct limit_ask never = ask_of(6, 10, NS_PER_S, 7, 8);

    assert_true(limit_take(zone_of(state), &five, NOW));
    assert_false(limit_take(zone_of(state), &five, NOW));
    assert_true(limit_take(zone_of(state), &one, NOW));
    assert_true(limit_take(zone_of(state), &one, NOW));
    assert_false(limit_take(zone_of(state), &one, NOW));
    assert_false(limit_take(zone_of(state), &never, NOW));
}

static void test_refund(void **state)
{
    struct limit_zone *z = zone_of(state);
    struct limit_ask a = ask_of(9, 10, NS_PER_S, 1, 1), b;

    assert_true(limit_take(z, &a, NOW));
    assert_true(limit_refund(z, &a));
    assert_true(limit_take(z, &a, NOW));
    b = a;
    b.capacity *= 2;
    assert_true(limit_take(z, &b, NOW));
    assert_false(limit_refund(z, &a)); /* another took on top */
    assert_false(limit_take(z, &b, NOW));
}

/* A rate raised: what is owed is at most an empty bucket, at once and not only when asked late. */
static void test_raised_rate(void **state)
{
    struct limit_zone *z = zone_of(state);
    struct limit_ask slow = ask_of(11, 1, 3600 * NS_PER_S, 10, 1);
    struct limit_ask fast = ask_of(11, 100, NS_PER_S, 10, 1);

    for (unsigned i = 0; i < 10; i++)
        assert_true(limit_take(z, &slow, NOW));
    assert_false(limit_take(z, &fast, NOW));
    assert_int_equal(fast.wait, fast.interval);
    assert_true(limit_take(z, &fast, NOW + NS_PER_S / 100));
    assert_false(limit_take(z, &fast, NOW + NS_PER_S / 100));
}

/* The same through limit_peek, which several limits on a route use. */
static void test_raised_rate_peeked(void **state)
{
    struct limit_zone *z = zone_of(state);
    struct limit_ask slow = ask_of(12, 1, 3600 * NS_PER_S, 10, 1);
    struct limit_ask fast = ask_of(12, 100, NS_PER_S, 10, 1);

    slow.charge *= 10;
    assert_true(limit_take(z, &slow, NOW));
    assert_false(limit_peek(z, &fast, NOW));
    assert_true(limit_peek(z, &fast, NOW + NS_PER_S / 100));
}

/* --- full sets --- */

/* Fingerprint i of set 0 of a zone of two sets. */
static uint64_t in_set_0(unsigned i)
{
    return 1000 + i;
}

static void test_expired_entries_give_way(void **state)
{
    struct limit_zone *z = zone_of(state);

    for (unsigned i = 0; i < 1000; i++) {
        struct limit_ask a = ask_of(in_set_0(i), 10, NS_PER_S, 1, 1);
        assert_true(limit_take(z, &a, NOW + i * NS_PER_S / 25));
        assert_false(a.overflowed);
    }
}

static void test_full_set_shares_one_bucket(void **state)
{
    struct limit_zone *z = zone_of(state);
    unsigned admitted = 0;

    for (unsigned i = 0; i < LIMIT_WAYS; i++) {
        struct limit_ask a = ask_of(in_set_0(i), 1, 60 * NS_PER_S, 2, 1);
        assert_true(limit_take(z, &a, NOW));
    }
    for (unsigned i = LIMIT_WAYS; i < 100; i++) {
        struct limit_ask a = ask_of(in_set_0(i), 1, 60 * NS_PER_S, 2, 1);
        assert_int_equal(limit_peek(z, &a, NOW), admitted < 2);
        admitted += limit_take(z, &a, NOW);
        assert_true(a.overflowed);
    }
    assert_int_equal(admitted, 2); /* together what one key gets */
    for (unsigned i = 0; i < LIMIT_WAYS; i++) {
        struct limit_ask a = ask_of(in_set_0(i), 1, 60 * NS_PER_S, 2, 1);
        assert_true(limit_take(z, &a, NOW));  /* the second token of each is still there ... */
        assert_false(limit_take(z, &a, NOW)); /* ... and the first still spent */
    }
}

/* --- against a naive bucket --- */

struct naive {
    double tokens;
    uint64_t last_ns;
};

static bool naive_take(struct naive *n, double per_ns, double burst, double cost, uint64_t now)
{
    n->tokens += (double)(now - n->last_ns) * per_ns;
    n->last_ns = now;
    if (n->tokens > burst)
        n->tokens = burst;
    if (n->tokens + 1e-6 < cost)
        return false;
    n->tokens -= cost;
    return true;
}

static void test_model(void **state)
{
    enum { KEYS = 300, STEPS = 200000 };
    static const uint64_t rates[] = {1, 7, 20, 1000};
    static struct naive model[KEYS];
    uint64_t random = 42, now = NOW;
    unsigned differ = 0, denied = 0;

    for (unsigned k = 0; k < KEYS; k++)
        model[k] = (struct naive){1e9, now};
    for (unsigned i = 0; i < STEPS; i++) {
        unsigned k = (unsigned)(random_next(&random) % KEYS);
        uint64_t rate = rates[k % 4], burst = 1 + k % 5, cost = 1 + random_next(&random) % burst;
        struct limit_ask a =
            ask_of(limit_fingerprint(hash_mix(k + 1)), rate, NS_PER_S, burst, cost);
        bool ours, theirs;
        now += random_next(&random) % (NS_PER_MS * 2);
        ours = limit_take(zone_of(state), &a, now);
        assert_false(a.overflowed);
        theirs = naive_take(&model[k], (double)rate / 1e9, (double)burst, (double)cost, now);
        denied += !ours;
        if (ours == theirs)
            continue;
        differ++; /* rounding at the edge: then the naive one must follow */
        model[k].tokens += theirs ? (double)cost : -(double)cost;
    }
    assert_true(denied > STEPS / 100);
    assert_true(differ <= 2);
}

/* --- leases --- */

/*
 * Four workers with leases, random pauses and deaths: the admitted requests, in order, conform to a
 * strict bucket of the same rate and burst, which says that every window does.
 */
static void test_leases_never_exceed(void **state)
{
    enum { WORKERS = 4, STEPS = 400000 };
    struct limit_zone *z = zone_of(state);
    struct limit_worker w[WORKERS];
    uint64_t random = 11, now = NOW, tat = 0, admitted = 0, leased = 0;

    for (unsigned i = 0; i < WORKERS; i++)
        w[i] = (struct limit_worker){z, &z->slab[i], WORKERS};
    for (unsigned i = 0; i < STEPS; i++) {
        unsigned who = (unsigned)(random_next(&random) % WORKERS);
        uint64_t pause = random_next(&random) % 100;
        struct limit_ask a =
            ask_of(77, 1000000, NS_PER_S, 2000, 1 + (random_next(&random) % 16 == 0) * 20);
        now += pause == 0 ? 300000 : pause == 1 ? 5000 : random_next(&random) % 600;
        if (random_next(&random) % 5000 == 0)
            limit_lease_release(&w[who], now);
        if (!limit_lease_take(&w[who], &a, now))
            continue;
        admitted++;
        leased += a.leased;
        tat = (tat > now * 16 ? tat : now * 16) + a.charge;
        assert_true(tat - now * 16 <= a.capacity);
    }
    assert_true(leased > admitted / 4);
}

/* All of the burst is there for one worker where no other holds a lease; a stretch at the limit
 * gives the full rate. */
static void test_leases_admit_the_rate(void **state)
{
    struct limit_zone *z = zone_of(state);
    struct limit_worker w = {z, &z->slab[0], 2};
    struct limit_ask a = ask_of(78, 1000000, NS_PER_S, 1000, 1);
    uint64_t admitted = 0;

    for (uint64_t t = 0; t < 100 * NS_PER_MS; t += 500)
        admitted += limit_lease_take(&w, &a, NOW + t);
    assert_in_range(admitted, 100000 + 1000 - 20, 100000 + 1000);
}

static void test_released_leases_come_back(void **state)
{
    struct limit_zone *z = zone_of(state);
    struct limit_worker w = {z, &z->slab[0], 1}, other = {z, &z->slab[1], 1};
    struct limit_ask a = ask_of(79, 1, NS_PER_S, 1000, 1);
    unsigned taken = 0, rest = 0;

    while (!a.leased && taken < 100)
        taken += limit_lease_take(&w, &a, NOW);
    assert_true(a.leased);
    limit_lease_release(&w, NOW);
    while (limit_lease_take(&other, &a, NOW))
        rest++;
    assert_int_equal(taken + rest, 1000);
}

/* The successor of a killed worker spends what its predecessor had leased. */
static void test_successor_spends_the_lease(void **state)
{
    struct limit_zone *z = zone_of(state);
    struct limit_worker w = {z, &z->slab[0], 1};
    struct limit_ask a = ask_of(80, 1, NS_PER_S, 1000, 1);
    unsigned taken = 0;

    while (!a.leased)
        taken += limit_lease_take(&w, &a, NOW);
    w = (struct limit_worker){z, &z->slab[0], 1};
    while (limit_lease_take(&w, &a, NOW))
        taken++;
    assert_int_equal(taken, 1000);
}

static void test_lease_of_another_rate_is_not_spent(void **state)
{
    struct limit_zone *z = zone_of(state);
    struct limit_worker w = {z, &z->slab[0], 1};
    struct limit_ask a = ask_of(81, 1, NS_PER_S, 1000, 1);
    struct limit_ask fast = ask_of(81, 1000000, NS_PER_S, 10, 1);
    unsigned taken = 0;

    while (!a.leased)
        limit_lease_take(&w, &a, NOW);
    while (limit_lease_take(&w, &fast, NOW))
        assert_true(++taken <= 10);
}

/* --- several at once --- */

static void test_all_or_nothing(void **state)
{
    struct limit_zone *z = zone_of(state);
    struct limit_worker w = {z, NULL, 1};
    struct limit_ask wide = ask_of(90, 1, NS_PER_S, 100, 1), tight = ask_of(91, 1, NS_PER_S, 2, 1);
    struct limit_ask asks[2];
    unsigned left = 0;

    for (unsigned i = 0; i < 50; i++) {
        asks[0] = wide;
        asks[1] = tight;
        assert_int_equal(limit_take_all(&w, asks, 2, NOW), i < 2);
        assert_true(asks[0].allowed);
        assert_int_equal(asks[1].allowed, i < 2);
    }
    while (limit_take(z, &wide, NOW))
        left++;
    assert_int_equal(left, 98);
}

/* --- two processes, four threads --- */

struct crowd {
    struct limit_zone *zone;
    _Atomic uint64_t admitted[64];
    _Atomic unsigned ready;
    uint64_t rate, burst, for_ns;
    unsigned members, keys;
    bool leases;
    _Atomic uint64_t first_ns, last_ns;
    _Atomic uint64_t stalled_ns; /* of all, how long the machine let them wait */
};

/* Between two questions of a member that runs. One that does not lets its leases flow by. */
#define STALL_NS NS_PER_MS

static void take_part(struct crowd *c, unsigned who)
{
    struct limit_worker w = {c->zone, c->leases ? &c->zone->slab[who] : NULL, c->members};
    uint64_t now, start, random = who + 1, seen, last, stalled = 0;

    atomic_fetch_add(&c->ready, 1);
    do
        last = clock_mono_ns();
    while (atomic_load(&c->ready) < c->members);
    start = clock_mono_ns();
    seen = atomic_load(&c->first_ns);
    while (seen > start && !atomic_compare_exchange_weak(&c->first_ns, &seen, start))
        ;
    while ((now = clock_mono_ns()) - start < c->for_ns) {
        unsigned k = (unsigned)(random_next(&random) % c->keys);
        stalled += now - last > STALL_NS ? now - last : 0;
        last = now; /* what comes after it nobody asks for */
        struct limit_ask a =
            ask_of(limit_fingerprint(hash_mix(k + 500)), c->rate, NS_PER_S, c->burst, 1);
        if (limit_lease_take(&w, &a, now))
            atomic_fetch_add_explicit(&c->admitted[k], 1, memory_order_relaxed);
    }
    atomic_fetch_add(&c->stalled_ns, stalled);
    seen = atomic_load(&c->last_ns);
    while (seen < last && !atomic_compare_exchange_weak(&c->last_ns, &seen, last))
        ;
}

static uint64_t most_allowed(const struct crowd *c)
{
    double s = (double)(c->last_ns - c->first_ns) / 1e9;
    return c->burst + (uint64_t)(s * (double)c->rate) + 1;
}

static void test_two_processes(void **state)
{
    static const uint64_t rates[] = {100, 3000, 50000, 1000000};
#if defined(__SANITIZE_THREAD__)
    skip(); /* its 16-byte swap takes a lock of the process: not one between two */
#endif
    struct crowd *c =
        mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double unasked;

    for (unsigned i = 0; i < 8; i++) {
        *c = (struct crowd){.zone = zone_of(state),
                            .members = 2,
                            .keys = 1,
                            .first_ns = UINT64_MAX,
                            .leases = i >= 4};
        c->rate = rates[i % 4];
        c->burst = 1 + c->rate / 20; /* a process that does not run for 50 ms loses nothing */
        c->for_ns = 200 * NS_PER_MS;
        for (unsigned s = 0; s < 256; s++)
            memset(&c->zone->set[s], 0, sizeof c->zone->set[s]);
        for (unsigned p = 0; p < 2; p++)
            if (fork() == 0) {
                take_part(c, p);
                _exit(0);
            }
        for (unsigned p = 0; p < 2; p++)
            wait(NULL);
        assert_true(c->admitted[0] <= most_allowed(c));
        unasked = (double)c->stalled_ns / 1e9 * (double)c->rate;
        assert_true((double)c->admitted[0] + 3 + (double)most_allowed(c) / 20 + unasked >=
                    (double)most_allowed(c));
    }
    munmap(c, sizeof *c);
}

static struct crowd threads_crowd;

static void *thread_main(void *arg)
{
    take_part(&threads_crowd, (unsigned)(uintptr_t)arg);
    return NULL;
}

/* More keys than places, leases on: together with the shared bucket no key gets more than twice its
 * rate. */
static void test_threads(void **state)
{
    struct crowd *c = &threads_crowd;
    pthread_t t[4];

    *c = (struct crowd){
        .zone = zone_of(state), .members = 4, .keys = 20, .first_ns = UINT64_MAX, .leases = true};
    c->rate = 20000000;
    c->burst = 4000;
    c->for_ns = 150 * NS_PER_MS;
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, thread_main, (void *)i);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    for (unsigned k = 0; k < c->keys; k++)
        assert_true(c->admitted[k] <= 2 * most_allowed(c));
}

#define RACES 4096u

static struct race {
    struct limit_zone *zone;
    _Atomic unsigned arrived;
    _Atomic unsigned admitted[RACES];
} race;

static struct limit_ask race_ask(unsigned set)
{
    return ask_of(((uint64_t)set << 52) | 12345, 1, 3600 * NS_PER_S, 1, 1);
}

static void *race_main(void *arg)
{
    uint64_t random = (uintptr_t)arg;

    for (unsigned s = 0; s < RACES; s++) {
        struct limit_ask a = race_ask(s);
        uint64_t now = NOW + random_next(&random) % 16;
        atomic_fetch_add(&race.arrived, 1);
        while (atomic_load(&race.arrived) < 2 * (s + 1))
            ;
        if (limit_take(race.zone, &a, now))
            atomic_fetch_add(&race.admitted[s], 1);
    }
    return NULL;
}

/* Two threads insert one key at once, in sets whose entries expire at that very moment, so that
 * they choose different places: admitted at most once, and there once. */
static void test_insertion_race(void **state)
{
    struct limit_zone *z = zone_of(state);
    unsigned twice = 0, admitted = 0;
    uint64_t random = 5;
    pthread_t t[2];

    race = (struct race){.zone = z};
    for (unsigned s = 0; s < RACES; s++)
        for (unsigned i = 0; i < LIMIT_WAYS; i++) {
            z->set[s].way[i].fingerprint = ((uint64_t)s << 52) | (i + 1);
            /* The last one for whom all others are live. */
            z->set[s].way[i].tat =
                i == LIMIT_WAYS - 1 ? 1 : (NOW - LIMIT_GRACE_NS + random_next(&random) % 16) * 16;
        }
    pthread_create(&t[0], NULL, race_main, (void *)1);
    pthread_create(&t[1], NULL, race_main, (void *)2);
    pthread_join(t[0], NULL);
    pthread_join(t[1], NULL);
    for (unsigned s = 0; s < RACES; s++) {
        unsigned holders = 0;
        for (unsigned i = 0; i < LIMIT_WAYS; i++)
            holders += z->set[s].way[i].fingerprint == race_ask(s).fingerprint;
        twice += race.admitted[s] > 1 || holders > 1;
        admitted += race.admitted[s];
    }
    assert_int_equal(twice, 0);
    assert_true(admitted > RACES / 20);
}

static int setup_races(void **state)
{
    return setup_bits(state, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interval),
        cmocka_unit_test_setup_teardown(test_rates_are_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(test_denial_says_when, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refund, setup, teardown),
        cmocka_unit_test_setup_teardown(test_raised_rate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_raised_rate_peeked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expired_entries_give_way, setup_small, teardown),
        cmocka_unit_test_setup_teardown(test_full_set_shares_one_bucket, setup_small, teardown),
        cmocka_unit_test_setup_teardown(test_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leases_never_exceed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leases_admit_the_rate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_released_leases_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_successor_spends_the_lease, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lease_of_another_rate_is_not_spent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_or_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_processes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup_small, teardown),
        cmocka_unit_test_setup_teardown(test_insertion_race, setup_races, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
