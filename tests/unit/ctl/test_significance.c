/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tests of significance against reference numbers. Shares: the example of statsmodels'
 * proportions_ztest (count 5 and 12 of 83 and 99), others by Python's math. Ranks: by a Python
 * program that compares all pairs one by one in exact fractions, which gives for the example of
 * scipy.stats.mannwhitneyu (asymptotic) the p value of its documentation, 0.111346886533140.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/hash.h"
#include "ctl/significance.h"

static void near(double got, double want)
{
    double off = got > want ? got - want : want - got;

    if (off > 1e-12 && off > 1e-9 * want)
        fail_msg("%.17g, not %.17g", got, want);
}

static void test_shares(void **state)
{
    struct significance s = significance_shares(5, 83, 12, 99);

    (void)state;
    assert_true(s.enough);
    near(s.p, 0.15918129181156995);
    near(s.effect, 12.0 / 99 - 5.0 / 83);
    s = significance_shares(12, 99, 5, 83);
    near(s.p, 0.15918129181156995);
    assert_true(s.effect < 0);
    near(significance_shares(100, 10000, 150, 10000).p, 0.0014614614503219781);
    near(significance_shares(9900, 10000, 9850, 10000).p, 0.0014614614503219781);
    near(significance_shares(50, 1000, 50, 1000).p, 1);
}

static void test_too_few_for_shares(void **state)
{
    (void)state;
    assert_false(significance_shares(0, 0, 0, 0).enough);
    assert_false(significance_shares(1, 1000, 0, 0).enough);
    assert_false(significance_shares(0, 1000000, 0, 1000000).enough);
    assert_false(significance_shares(1000, 1000, 1000, 1000).enough);
    assert_false(significance_shares(4, 100, 5, 100).enough);
    assert_true(significance_shares(5, 100, 5, 100).enough);
    assert_false(significance_shares(500, 1000000, 0, 100).enough);
}

#define RANKS(a, b) significance_ranks(a, b, sizeof(a) / sizeof(*(a)))

static void test_ranks(void **state)
{
    static const uint64_t a[] = {10, 20, 30, 5}, b[] = {5, 15, 35, 20};
    static const uint64_t c[] = {0, 200, 100, 10}, d[] = {0, 10, 100, 200};
    struct significance s = RANKS(a, b);

    (void)state;
    assert_true(s.enough);
    near(s.p, 0.0014935452024632254);
    near(s.effect, 0.14615384615384616);
    s = RANKS(b, a);
    near(s.p, 0.0014935452024632254);
    near(-s.effect, 0.14615384615384616);
    s = RANKS(c, d);
    assert_true(s.p > 1.2e-76 && s.p < 1.3e-76);
    near(s.effect, 0.4053069719042664);
}

static void test_ranks_without_ties(void **state)
{
    uint64_t a[45] = {0}, b[45] = {0};
    struct significance s;

    (void)state;
    for (unsigned i = 0; i < 40; i++)
        a[i] = b[i + 5] = 1;
    s = RANKS(a, b);
    near(s.p, 0.07189577341891343);
    near(s.effect, 0.1171875);
}

static void test_too_few_for_ranks(void **state)
{
    uint64_t a[] = {29, 0}, b[] = {0, 1000};
    struct significance s;

    (void)state;
    assert_false(RANKS(a, b).enough);
    assert_false(RANKS(b, a).enough);
    a[0] = 30;
    s = RANKS(a, b);
    assert_true(s.enough && s.p < 1e-9);
    near(s.effect, 0.5);
}

/* Everything in one bucket, or counts as large as they get. */
static void test_extremes(void **state)
{
    uint64_t one[] = {0, 1000}, big[] = {UINT64_C(1) << 50, UINT64_C(1) << 50};
    struct significance s = RANKS(one, one);

    (void)state;
    assert_true(s.enough);
    near(s.p, 1);
    s = RANKS(big, big);
    assert_true(s.enough && s.p > 0.999);
    s = significance_shares(UINT64_C(1) << 51, UINT64_C(1) << 52, UINT64_C(1) << 51,
                            UINT64_C(1) << 52);
    near(s.p, 1);
}

#define RUNS    2000u
#define BUCKETS 12u

/* Latencies as they are: geometric, most in a few buckets; `shift` per mille one bucket higher. */
static void sample(uint64_t *rng, unsigned n, unsigned shift, uint64_t out[BUCKETS])
{
    memset(out, 0, BUCKETS * sizeof *out);
    while (n-- > 0) {
        unsigned i = (unsigned)__builtin_ctzll(random_next(rng) | 1u << (BUCKETS - 2));
        out[i + (random_next(rng) % 1000 < shift)]++;
    }
}

/* Arms that are equal look different in 5 of 100 comparisons (here within four standard deviations
 * of it); arms that are not, in nearly all. */
static void test_how_often_it_is_wrong(void **state)
{
    unsigned errors = 0, latency = 0, found_errors = 0, found_latency = 0;
    uint64_t rng = 5, a[BUCKETS], b[BUCKETS];

    (void)state;
    for (unsigned i = 0; i < RUNS; i++) {
        unsigned bad[3] = {0};
        sample(&rng, 700, 0, a);
        sample(&rng, 300, 0, b);
        latency += RANKS(a, b).p < SIGNIFICANCE_LEVEL;
        sample(&rng, 300, 300, b); /* three in ten a bucket slower */
        found_latency += RANKS(a, b).p < SIGNIFICANCE_LEVEL;
        for (unsigned k = 0; k < 1000; k++)
            for (unsigned arm = 0; arm < 3; arm++)
                bad[arm] += random_next(&rng) % 1000 < (arm < 2 ? 50 : 100);
        errors += significance_shares(bad[0], 1000, bad[1], 1000).p < SIGNIFICANCE_LEVEL;
        found_errors += significance_shares(bad[0], 1000, bad[2], 1000).p < SIGNIFICANCE_LEVEL;
    }
    assert_in_range(errors, RUNS * 3 / 100, RUNS * 7 / 100);
    assert_in_range(latency, RUNS * 3 / 100, RUNS * 7 / 100);
    assert_in_range(found_errors, RUNS * 95 / 100, RUNS);
    assert_in_range(found_latency, RUNS * 95 / 100, RUNS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_too_few_for_shares),
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_ranks_without_ties),
        cmocka_unit_test(test_too_few_for_ranks),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_how_often_it_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
