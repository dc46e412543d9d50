/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "metric/metric.h"

/* Each bound belongs to its bucket, the next nanosecond to the next; bounds grow by at most 19 %.
 */
static void test_bounds(void **state)
{
    (void)state;
    assert_int_equal(histogram_bucket(0), 0);
    assert_int_equal(histogram_bucket(1000), 0);
    assert_int_equal(histogram_bucket(1001), 1);
    for (unsigned i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        uint64_t bound = histogram_bound_ns(i);
        assert_int_equal(histogram_bucket(bound), i);
        assert_int_equal(histogram_bucket(bound + 1), i + 1);
        if (i > 0) {
            uint64_t before = histogram_bound_ns(i - 1);
            assert_true(bound > before);
            assert_true((double)bound / (double)before < 1.19);
        }
    }
    assert_true(histogram_bound_ns(HISTOGRAM_BUCKETS - 1) == UINT64_MAX);
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void test_quantile(void **state)
{
    uint64_t count[HISTOGRAM_BUCKETS] = {0};

    (void)state;
    assert_int_equal(histogram_quantile_ns(count, 0.5), 0);
    for (uint64_t us = 1; us <= 1000; us++)
        count[histogram_bucket(us * 1000)]++;
    /* Never below the true value, at most 19 % above. */
    for (unsigned percent = 1; percent <= 100; percent++) {
        uint64_t true_ns = percent * 10000, got = histogram_quantile_ns(count, percent / 100.0);
        assert_true(got >= true_ns);
        assert_true((double)got <= (double)true_ns * 1.19);
    }
    assert_int_equal(histogram_quantile_ns(count, 0), 1000);
    memset(count, 0, sizeof count);
    count[HISTOGRAM_BUCKETS - 1] = 1;
    assert_true(histogram_quantile_ns(count, 0.5) == UINT64_MAX);
}

static void test_route_index(void **state)
{
    struct metric_zone *z = calloc(1, sizeof *z);
    char name[200], other[200];
    uint32_t i;

    (void)state;
    assert_non_null(z);
    assert_int_equal(metric_route_index(z, "orders"), 1);
    assert_int_equal(metric_route_index(z, "events"), 2);
    assert_int_equal(metric_route_index(z, "orders"), 1);
    assert_string_equal(metric_route_name(z, 2), "events");
    assert_null(metric_route_name(z, 0));
    assert_null(metric_route_name(z, 3));
    assert_int_equal(metric_route_index(z, ""), 0);
    /* Long names that differ only at the end stay apart. */
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    memcpy(other, name, sizeof name);
    other[sizeof other - 2] = 'b';
    assert_int_equal(metric_route_index(z, name), 3);
    assert_int_equal(metric_route_index(z, other), 4);
    assert_int_equal(metric_route_index(z, name), 3);
    for (i = 5; i < METRIC_ROUTES; i++) {
        snprintf(name, sizeof name, "r%u", i);
        assert_int_equal(metric_route_index(z, name), i);
    }
    assert_int_equal(metric_route_index(z, "one too many"), 0);
    assert_int_equal(metric_route_index(z, "events"), 2);
    free(z);
}

static void test_totals(void **state)
{
    struct metric_zone *z = calloc(1, sizeof *z);
    struct metric_route_total t;

    (void)state;
    assert_non_null(z);
    metric_add(&z->blocks[0].counter[METRIC_bytes_in], 7);
    metric_add(&z->blocks[CONTROL_SLOTS - 1].counter[METRIC_bytes_in], 5);
    assert_int_equal(metric_counter_total(z, CONTROL_SLOTS, METRIC_bytes_in), 12);
    assert_int_equal(metric_counter_total(z, CONTROL_SLOTS, METRIC_bytes_out), 0);
    for (unsigned s = 0; s < 3; s++) {
        metric_add(&z->blocks[s].routes[4].status[2], 1);
        histogram_record(&z->blocks[s].routes[4].latency, 5000);
    }
    metric_add(&z->blocks[1].routes[4].status[0], 1);
    assert_int_equal(metric_route_total(z, CONTROL_SLOTS, 4, &t), 4);
    assert_int_equal(t.status[2], 3);
    assert_int_equal(t.count, 3);
    assert_int_equal(t.sum_ns, 15000);
    assert_int_equal(t.latency[histogram_bucket(5000)], 3);
    assert_int_equal(metric_route_total(z, CONTROL_SLOTS, 5, &t), 0);
    free(z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_quantile),
        cmocka_unit_test(test_route_index),
        cmocka_unit_test(test_totals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
