/* SPDX-License-Identifier: BSD-2-Clause */
/* Who gets which arm: shares, stickiness, and that a changed weight moves nobody without need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/hash.h"
#include "conf/conf.h"
#include "conf/split.h"

/* A split by hand: the arms 0, 1, 2 ... with ids as the compiler makes them. */
static struct world {
    struct conf_root root;
    struct conf_split split;
    struct conf_arm arm[CONF_ARMS];
    char names[CONF_ARMS];
} w;

static void set_weights(unsigned n, const uint32_t *weights)
{
    w.split.seed = hash64(SLICE_LIT("salt"), 5);
    w.split.arms = (struct conf_arr){offsetof(struct world, arm), n};
    for (unsigned i = 0; i < n; i++) {
        w.names[i] = (char)('a' + i);
        w.arm[i].name = (struct conf_str){(uint32_t)(offsetof(struct world, names) + i), 1};
        w.arm[i].id = hash64(slice_of(&w.names[i], 1), w.split.seed);
        w.arm[i].weight = weights[i];
        w.arm[i].inverse = weights[i] > 0 ? 1.0 / weights[i] : 0;
    }
}

static unsigned arm_of(uint64_t n)
{
    uint64_t key = hash64(slice_of((const char *)&n, sizeof n), w.split.seed);

    return (unsigned)(split_choose(&w.root, &w.split, key) - w.arm);
}

/* Sum of (got - want)^2 / want over the arms. */
static double chi_square(unsigned n, const uint32_t *weights, unsigned keys)
{
    double sum = 0, chi = 0;
    unsigned got[CONF_ARMS] = {0};

    set_weights(n, weights);
    for (unsigned i = 0; i < n; i++)
        sum += weights[i];
    for (uint64_t k = 0; k < keys; k++)
        got[arm_of(k)]++;
    for (unsigned i = 0; i < n; i++) {
        double want = (double)keys * weights[i] / sum;
        if (weights[i] == 0)
            assert_int_equal(got[i], 0);
        else
            chi += (got[i] - want) * (got[i] - want) / want;
    }
    return chi;
}

/* Quantiles 0.999 of chi-square with 1, 2, 3 and 15 degrees of freedom. */
static void test_shares(void **state)
{
    uint32_t even[CONF_ARMS];

    (void)state;
    for (unsigned i = 0; i < CONF_ARMS; i++)
        even[i] = 7;
    assert_true(chi_square(2, (uint32_t[]){90, 10}, 200000) < 10.83);
    assert_true(chi_square(2, (uint32_t[]){1, 999}, 1000000) < 10.83);
    assert_true(chi_square(3, (uint32_t[]){50, 30, 20}, 200000) < 13.82);
    assert_true(chi_square(4, (uint32_t[]){1000000, 100, 500000, 250000}, 1000000) < 16.27);
    assert_true(chi_square(4, (uint32_t[]){3, 0, 5, 0}, 100000) < 10.83);
    assert_true(chi_square(CONF_ARMS, even, 200000) < 37.70);
    assert_true(chi_square(1, (uint32_t[]){4}, 1000) < 1e-9);
}

#define KEYS 20000

static unsigned before[KEYS];

static void remember(void)
{
    for (uint64_t k = 0; k < KEYS; k++)
        before[k] = arm_of(k);
}

/* One weight changes: keys move only to its arm where it grew, only from it where it shrank, and as
 * many as the shares differ by. */
static void test_one_weight_moves_only_its_share(void **state)
{
    uint64_t rng = 11;

    (void)state;
    for (unsigned round = 0; round < 100; round++) {
        unsigned n = 2 + (unsigned)(random_next(&rng) % 5), changed = (unsigned)(round % n);
        uint32_t weights[CONF_ARMS];
        double sum = 0, was, is, moved = 0, off;
        for (unsigned i = 0; i < n; i++)
            sum += weights[i] = 1 + (uint32_t)(random_next(&rng) % 100);
        set_weights(n, weights);
        remember();
        was = weights[changed] / sum;
        sum -= weights[changed];
        sum += weights[changed] = (uint32_t)(random_next(&rng) % 100);
        is = weights[changed] / sum;
        set_weights(n, weights);
        for (uint64_t k = 0; k < KEYS; k++) {
            unsigned now = arm_of(k);
            if (now == before[k])
                continue;
            moved++;
            assert_int_equal(is > was ? now : before[k], changed);
        }
        off = moved / KEYS - (is > was ? is - was : was - is);
        assert_true(off * off < 25 * 0.25 / KEYS); /* five standard deviations of chance */
    }
}

/* Any change: who moves goes to an arm that grew in proportion to the one he leaves, and no more
 * move than the theory says. */
static void test_keys_move_towards_what_grew(void **state)
{
    uint64_t rng = 12;

    (void)state;
    for (unsigned round = 0; round < 100; round++) {
        uint32_t was[4], is[4];
        double moves, off;
        unsigned moved = 0;
        for (unsigned i = 0; i < 4; i++) {
            was[i] = 1 + (uint32_t)(random_next(&rng) % 100);
            is[i] = 1 + (uint32_t)(random_next(&rng) % 100);
        }
        is[round % 4] *= random_next(&rng) % 3 != 0;
        set_weights(4, was);
        remember();
        moves = split_moved(&w.root, &w.split, is);
        set_weights(4, is);
        for (uint64_t k = 0; k < KEYS; k++) {
            unsigned from = before[k], to = arm_of(k);
            if (to != from)
                assert_true((uint64_t)is[to] * was[from] > (uint64_t)is[from] * was[to]);
            moved += to != from;
        }
        off = (double)moved / KEYS - moves;
        assert_true(off * off <= 25 * moves * (1 - moves) / KEYS);
    }
}

static void test_moved(void **state)
{
    double moved;

    (void)state;
    set_weights(2, (uint32_t[]){90, 10});
    assert_true(split_moved(&w.root, &w.split, (uint32_t[]){0, 1}) == 0.9);
    moved = split_moved(&w.root, &w.split, (uint32_t[]){90, 30});
    assert_true(moved > 0.15 - 1e-12 && moved < 0.15 + 1e-12);
    moved = split_moved(&w.root, &w.split, (uint32_t[]){9, 1});
    assert_true(moved < 1e-12 && moved > -1e-12);
}

static void test_what_moves_nobody(void **state)
{
    (void)state;
    set_weights(3, (uint32_t[]){90, 10, 0});
    remember();
    set_weights(3, (uint32_t[]){900, 100, 0}); /* the same shares */
    for (uint64_t k = 0; k < KEYS; k++)
        assert_int_equal(arm_of(k), before[k]);
    set_weights(2, (uint32_t[]){9, 1}); /* without an arm that had nobody */
    for (uint64_t k = 0; k < KEYS; k++)
        assert_int_equal(arm_of(k), before[k]);
    set_weights(4, (uint32_t[]){9, 1, 0, 5}); /* a new one takes from all and mixes nobody */
    for (uint64_t k = 0; k < KEYS; k++)
        assert_true(arm_of(k) == before[k] || arm_of(k) == 3);
}

static void test_arms_by_name(void **state)
{
    (void)state;
    set_weights(2, (uint32_t[]){1, 0});
    assert_null(split_arm(&w.root, &w.split, SLICE_LIT("")));
    assert_null(split_arm(&w.root, &w.split, SLICE_LIT("ab")));
    assert_null(split_arm(&w.root, &w.split, SLICE_LIT("c")));
    assert_ptr_equal(split_arm(&w.root, &w.split, SLICE_LIT("b")), &w.arm[1]);
}

/* From a file: who is in which arm must not change with a version of rushgate. */
static void test_assignment_is_for_ever(void **state)
{
    static const char yaml[] = "splits:\n"
                               "  checkout: {arms: {A: {weight: 50}, B: {weight: 50}}}\n"
                               "  salted: {salt: x, arms: {A: {weight: 50}, B: {weight: 50}}}\n";
    const struct conf_options options = {.prefix = "/"};
    struct buf errors = {0}, blob = {0};
    char path[] = "/tmp/test_split.XXXXXX", got[2][33] = {"", ""};
    int fd = mkstemp(path);
    const struct conf_root *root;
    struct conf *c;

    (void)state;
    assert_int_equal(write(fd, yaml, sizeof yaml - 1), sizeof yaml - 1);
    close(fd);
    c = conf_load_with(path, &options, &errors);
    unlink(path);
    assert_non_null(c);
    assert_true(conf_compile(c, &(struct conf_resolver){0}, 1, &blob, &errors));
    root = (const struct conf_root *)(const void *)blob.p;
    assert_int_equal(root->splits.n, 2);
    for (unsigned i = 0; i < 64; i++) {
        const struct conf_split *s = &conf_splits(root)[i / 32];
        char name[16];
        uint64_t key;
        snprintf(name, sizeof name, "buyer-%u", i % 32);
        key = hash64(slice_str(name), s->seed);
        got[i / 32][i % 32] = conf_slice(root, split_choose(root, s, key)->name).p[0];
    }
    assert_string_equal(got[0], "AAAAABBBBBABBAABBABBAAABBABABBBB");
    assert_string_equal(got[1], "BAABBABABBABABBBBAABBBABAAAABABB");
    conf_free(&c);
    buf_free(&blob);
    buf_free(&errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_one_weight_moves_only_its_share),
        cmocka_unit_test(test_keys_move_towards_what_grew),
        cmocka_unit_test(test_moved),
        cmocka_unit_test(test_what_moves_nobody),
        cmocka_unit_test(test_arms_by_name),
        cmocka_unit_test(test_assignment_is_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
