/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../../../tools/stampede/latency.h"
#include "../../../tools/stampede/options.h"

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct latency));
    return *state == NULL;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void test_empty(void **state)
{
    assert_int_equal(latency_quantile_ns(*state, 0.99), 0);
}

/* The quantile is never below the true one and at most 1/64 above it, over the whole range. */
static void test_error_bound(void **state)
{
    struct latency *l = *state;

    for (uint64_t v = 1; v < UINT64_MAX / 3; v = v * 3 + 1) {
        *l = (struct latency){0};
        latency_record(l, v);
        latency_record(l, UINT64_MAX);
        uint64_t q = latency_quantile_ns(l, 0.5);
        assert_true(q >= v);
        assert_true(q - v <= v / 64);
    }
}

static void test_quantiles(void **state)
{
    struct latency *l = *state;

    for (uint64_t i = 1; i <= 1000; i++)
        latency_record(l, i * 1000);
    assert_in_range(latency_quantile_ns(l, 0.5), 500000, 508000);
    assert_in_range(latency_quantile_ns(l, 0.99), 990000, 1000000);
    assert_int_equal(latency_quantile_ns(l, 1), 1000000); /* never above what was seen */
    assert_int_equal(l->n, 1000);
}

static void test_mix(void **state)
{
    unsigned mix[BEHAVIOUR_COUNT];

    (void)state;
    assert_true(options_mix("pay=3,plain=1", mix));
    assert_int_equal(mix[BEHAVIOUR_pay], 3);
    assert_int_equal(mix[BEHAVIOUR_plain], 1);
    assert_int_equal(mix[BEHAVIOUR_greedy], 0);
    assert_false(options_mix("nobody=1", mix));
    assert_false(options_mix("pay", mix));
    assert_false(options_mix("pay=x", mix));
    assert_false(options_mix("pay=0", mix)); /* somebody must come */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_error_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quantiles, setup, teardown),
        cmocka_unit_test(test_mix),
    };

    return cmocka_run_group_tests_name("stampede/latency", tests, NULL, NULL);
}
