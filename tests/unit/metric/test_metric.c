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
#include "metric/names.h"

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

static struct metric_zone *zone;
static struct names *names;

static int setup(void **state)
{
    (void)state;
    zone = calloc(1, sizeof *zone);
    names = calloc(1, sizeof *names);
    assert_non_null(zone);
    assert_non_null(names);
    names_init(names, zone, 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    names_fini(names);
    free(zone);
    free(names);
    return 0;
}

/* Each generation has the bank of its number; in use are those from `held` on, and the current one.
 */
static void begin(uint64_t generation, uint64_t held)
{
    uint64_t from = held < generation - 1 ? held : generation - 1, in_use = 0;

    for (uint64_t g = from; g > 0 && g < generation; g++)
        in_use |= UINT64_C(1) << g;
    names_begin(names, generation, held, in_use);
}

/* A configuration with these routes as `generation`, while `held` is the lowest that is used. */
static void publish(uint64_t generation, uint64_t held, const char *const *routes, uint32_t *index)
{
    begin(generation, held);
    for (unsigned i = 0; routes[i] != NULL; i++)
        index[i] = names_index(names, NAME_ROUTE, routes[i]);
    names_commit(names, (unsigned)names->generation);
}

static void test_route_keeps_its_index(void **state)
{
    const char *const first[] = {"orders", "events", "", NULL};
    const char *const second[] = {"events", "more", "orders", NULL};
    uint32_t i[3];

    (void)state;
    publish(1, UINT64_MAX, first, i);
    assert_int_equal(i[0], 1);
    assert_int_equal(i[1], 2);
    assert_int_equal(i[2], 0);
    publish(2, 1, second, i);
    assert_int_equal(i[0], 2);
    assert_int_equal(i[1], 3);
    assert_int_equal(i[2], 1);
    assert_string_equal(metric_route_name(zone, 2), "events");
    assert_null(metric_route_name(zone, 0));
    assert_null(metric_route_name(zone, 4));
}

/* Long names that differ only at the end stay apart. */
static void test_long_names(void **state)
{
    char name[200], other[200];
    const char *const routes[] = {name, other, name, NULL};
    uint32_t i[3];

    (void)state;
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    memcpy(other, name, sizeof name);
    other[sizeof other - 2] = 'b';
    publish(1, UINT64_MAX, routes, i);
    assert_int_equal(i[0], 1);
    assert_int_equal(i[1], 2);
    assert_int_equal(i[2], 1);
}

static void test_unpublished_configuration_costs_no_index(void **state)
{
    const char *const routes[] = {"b", NULL};
    uint32_t i[1];

    (void)state;
    begin(1, UINT64_MAX);
    assert_int_equal(names_index(names, NAME_ROUTE, "a"), 1);
    assert_null(metric_route_name(zone, 1));
    names_abort(names);
    publish(1, UINT64_MAX, routes, i);
    assert_int_equal(i[0], 1);
    assert_string_equal(metric_route_name(zone, 1), "b");
}

static void fill(uint64_t generation, uint64_t held, const char *kept, char letter)
{
    char name[16];

    begin(generation, held);
    if (kept != NULL)
        names_index(names, NAME_ROUTE, kept);
    for (unsigned i = kept != NULL; i < METRIC_ROUTES - 1; i++) {
        snprintf(name, sizeof name, "%c%u", letter, i);
        names_index(names, NAME_ROUTE, name);
    }
}

static void test_index_changes_hands_when_nobody_uses_it(void **state)
{
    const char *const kept[] = {"kept", NULL};
    uint32_t i[1];

    (void)state;
    fill(1, UINT64_MAX, "kept", 'a');
    assert_int_equal(names->without_index[NAME_ROUTE], 0);
    assert_int_equal(names_index(names, NAME_ROUTE, "one too many"), 0);
    assert_int_equal(names->without_index[NAME_ROUTE], 1);
    names_commit(names, (unsigned)names->generation);
    metric_add(&zone->blocks[1].routes[2].status[2], 5);
    metric_add(&zone->blocks[1].routes[1].status[2], 7);

    publish(2, 1, kept, i);
    publish(3, 1, kept, i); /* a process is still on 1: its names stay */
    assert_int_equal(i[0], 1);
    assert_string_equal(metric_route_name(zone, 2), "a1");
    publish(4, 3, kept, i); /* nobody is: they are hidden before 4 */
    assert_null(metric_route_name(zone, 2));
    fill(5, 3, "kept", 'b'); /* but somebody on 3 may still be reading them */
    assert_int_equal(names->without_index[NAME_ROUTE], METRIC_ROUTES - 2);
    names_abort(names);
    fill(5, 4, "kept", 'b');
    assert_int_equal(names->without_index[NAME_ROUTE], 0);
    names_commit(names, (unsigned)names->generation);
    assert_string_equal(metric_route_name(zone, 1), "kept");
    assert_string_equal(metric_route_name(zone, 2), "b1");
    assert_int_equal(zone->blocks[1].routes[2].status[2], 0);
    assert_int_equal(zone->blocks[1].routes[1].status[2], 7);
}

/* A request of generation 1 goes on for ever: what came after it is given away all the same. */
static void test_only_banks_in_use_keep_their_names(void **state)
{
    const char *const one[] = {"one", NULL}, *const two[] = {"two", NULL},
                      *const last[] = {"x", NULL};
    uint32_t i[1];

    (void)state;
    publish(1, UINT64_MAX, one, i);
    publish(2, 1, two, i);
    publish(3, 1, last, i);
    names_begin(names, 4, 3, 1 << 1 | 1 << 3);
    assert_int_equal(names_index(names, NAME_ROUTE, "x"), 3);
    names_commit(names, 4);
    assert_string_equal(metric_route_name(zone, 1), "one");
    assert_null(metric_route_name(zone, 2));
    /* Published again from its bank, a configuration has its names. */
    names_begin(names, 5, 4, 1 << 1 | 1 << 4);
    names_again(names, 1);
    names_commit(names, 5);
    names_begin(names, 6, 5, 1 << 5);
    names_commit(names, 1);
    assert_string_equal(metric_route_name(zone, 1), "one");
    assert_null(metric_route_name(zone, 3));
}

/* Limits by the dozen under new names, as a deployment that numbers them has: each is counted. */
static void test_limits_change_hands_too(void **state)
{
    char name[16];

    (void)state;
    for (uint64_t g = 1; g < 40; g++) {
        begin(g, g - 1);
        for (unsigned i = 0; i < 60; i++) {
            snprintf(name, sizeof name, "l%u", (unsigned)g * 60 + i);
            assert_int_not_equal(names_index(names, NAME_LIMIT, name), 0);
        }
        assert_int_equal(names_index(names, NAME_ROUTE, "r"), 1);
        assert_int_equal(names_index(names, NAME_ARM, "s/a"), 1);
        if (g % 3 == 0) { /* one that is not published costs nothing */
            names_abort(names);
            begin(g, g - 1);
        }
        names_commit(names, (unsigned)g);
        metric_add(&zone->blocks[0].limits[1].count[LIMIT_ALLOWED], 1);
    }
    assert_int_equal(names->without_index[NAME_LIMIT], 0);
    assert_true(zone->blocks[0].limits[1].count[LIMIT_ALLOWED] < 39);
}

static void test_hidden_name_comes_back_with_its_counters(void **state)
{
    const char *const both[] = {"kept", "gone", NULL}, *const kept[] = {"kept", NULL};
    uint32_t i[2];

    (void)state;
    publish(1, UINT64_MAX, both, i);
    metric_add(&zone->blocks[0].routes[2].status[2], 5);
    publish(2, 1, kept, i);
    publish(3, 2, kept, i);
    assert_null(metric_route_name(zone, 2));
    publish(4, 3, both, i);
    assert_int_equal(i[1], 2);
    assert_string_equal(metric_route_name(zone, 2), "gone");
    assert_int_equal(zone->blocks[0].routes[2].status[2], 5);
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
        cmocka_unit_test_setup_teardown(test_route_keeps_its_index, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unpublished_configuration_costs_no_index, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_index_changes_hands_when_nobody_uses_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_only_banks_in_use_keep_their_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits_change_hands_too, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hidden_name_comes_back_with_its_counters, setup,
                                        teardown),
        cmocka_unit_test(test_totals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
