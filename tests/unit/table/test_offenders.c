/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is refused most: against exact counts, under floods of keys that come once, over windows and
 * workers, and read by a thread while another writes (for ThreadSanitizer). */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "table/offenders.h"

#define NOW (1000 * OFFENDERS_WINDOW_NS)
#define TOP 600u

static int setup(void **state)
{
    struct zone *z = calloc(1, sizeof *z);

    *state = z;
    return zone_create(z, "offenders", OFFENDERS_LAYOUT, sizeof(struct offenders_zone));
}

static int teardown(void **state)
{
    zone_close(*state);
    free(*state);
    return 0;
}

static struct offenders_zone *zone_of(void **state)
{
    return (struct offenders_zone *)((struct zone *)*state)->head;
}

/* Key k of a limit, refused once by a worker. */
static void refuse(struct offenders *o, uint64_t k, uint32_t limit, uint64_t now_ns)
{
    struct offender who = {.fingerprint = hash_mix(k * 2 + 1), .limit = limit};
    char text[32];
    unsigned way;

    if (!offenders_count(o, who.fingerprint, now_ns, &way))
        return;
    who.text =
        slice_of(text, (size_t)snprintf(text, sizeof text, "key %llu", (unsigned long long)k));
    offenders_describe(o, &who, way);
}

static struct offender top[TOP];
static char texts[TOP * OFFENDERS_TEXT];

static const struct offender *find(size_t n, uint64_t k)
{
    for (size_t i = 0; i < n; i++)
        if (top[i].fingerprint == hash_mix(k * 2 + 1))
            return &top[i];
    return NULL;
}

static void test_exact(void **state)
{
    struct offenders_zone *z = zone_of(state);
    struct offenders one = {&z->slab[0], 1}, two = {&z->slab[1], 2};
    size_t n;

    for (uint64_t k = 1; k <= 40; k++)
        for (uint64_t i = 0; i < k; i++) {
            refuse(&one, k, 3, NOW);
            if (k % 2 == 0)
                refuse(&two, k, 3, NOW);
        }
    refuse(&one, 99, 4, NOW);
    n = offenders_top(z, 2, 0, NOW, top, texts, TOP);
    assert_int_equal(n, 41);
    assert_int_equal(top[0].refused, 80);
    assert_true(slice_eq(top[0].text, SLICE_LIT("key 40")));
    for (uint64_t k = 1; k <= 40; k++)
        assert_int_equal(find(n, k)->refused, k % 2 == 0 ? 2 * k : k);
    assert_int_equal(offenders_top(z, 2, 4, NOW, top, texts, TOP), 1);
    assert_int_equal(top[0].limit, 4);
    assert_int_equal(offenders_top(z, 1, 3, NOW, top, texts, 5), 5);
    assert_int_equal(top[4].refused, 36);
}

static void test_windows(void **state)
{
    struct offenders_zone *z = zone_of(state);
    struct offenders o = {&z->slab[0], 1};

    for (unsigned i = 0; i < 100; i++)
        refuse(&o, 7, 1, NOW);
    assert_int_equal(offenders_top(z, 1, 0, NOW + OFFENDERS_WINDOW_NS / 2, top, texts, TOP), 1);
    assert_int_equal(top[0].refused, 100);
    assert_int_equal(offenders_top(z, 1, 0, NOW + OFFENDERS_WINDOW_NS * 3 / 2, top, texts, TOP), 1);
    assert_int_equal(top[0].refused, 50);
    assert_int_equal(offenders_top(z, 1, 0, NOW + OFFENDERS_WINDOW_NS * 2, top, texts, TOP), 0);
    refuse(&o, 7, 1, NOW + OFFENDERS_WINDOW_NS);
    assert_int_equal(offenders_top(z, 1, 0, NOW + OFFENDERS_WINDOW_NS, top, texts, TOP), 1);
    assert_int_equal(top[0].refused, 101);
    refuse(&o, 7, 1, NOW + 5 * OFFENDERS_WINDOW_NS); /* what was is forgotten */
    assert_int_equal(offenders_top(z, 1, 0, NOW + 5 * OFFENDERS_WINDOW_NS, top, texts, TOP), 1);
    assert_int_equal(top[0].refused, 1);
}

/* Fifty that come 200 times each among a hundred thousand that come once. */
static void test_flood(void **state)
{
    struct offenders_zone *z = zone_of(state);
    struct offenders o = {&z->slab[0], 1};
    uint64_t seed = 3, once = 1000, sum = 0;
    unsigned found = 0;
    size_t n;

    for (unsigned i = 0; i < 110000; i++)
        if (i % 11 == 0)
            refuse(&o, 1 + random_next(&seed) % 50, 1, NOW);
        else
            refuse(&o, once++, 1, NOW);
    n = offenders_top(z, 1, 0, NOW, top, texts, 50);
    for (uint64_t k = 1; k <= 50; k++) {
        const struct offender *who = find(n, k);
        found += who != NULL;
        sum += who != NULL ? who->refused : 0;
    }
    assert_true(found >= 48);
    assert_true(sum >= 7000 && sum <= 10000); /* never more than there were */
}

static void test_many_heavy(void **state)
{
    struct offenders_zone *z = zone_of(state);
    struct offenders o = {&z->slab[0], 1};
    uint64_t count[2000] = {0}, seed = 5;
    size_t n;

    for (unsigned i = 0; i < 400000; i++) {
        uint64_t a = random_next(&seed) % 2000, b = random_next(&seed) % 2000;
        count[a < b ? a : b]++;
        refuse(&o, a < b ? a : b, 1, NOW);
    }
    n = offenders_top(z, 1, 0, NOW, top, texts, TOP);
    assert_true(n > 300);
    for (uint64_t k = 0; k < 2000; k++)
        if (find(n, k) != NULL)
            assert_true(find(n, k)->refused <= count[k]);
}

/* --- read while written --- */

struct race {
    struct offenders_zone *zone;
    _Atomic bool stop;
};

static void *writer(void *arg)
{
    struct race *race = arg;
    struct offenders o = {&race->zone->slab[0], 1};
    uint64_t seed = 7;

    for (uint64_t i = 0; !race->stop; i++) /* windows go by, so that places change hands */
        refuse(&o, random_next(&seed) % 5000, 1, NOW + i / 2000 * OFFENDERS_WINDOW_NS);
    return NULL;
}

static void test_race(void **state)
{
    struct race race = {.zone = zone_of(state)};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, writer, &race), 0);
    for (unsigned i = 0; i < 3000; i++) {
        size_t n = offenders_top(race.zone, 1, 0, NOW, top, texts, TOP);
        for (size_t k = 0; k < n; k++) {
            char text[32];
            uint64_t key;
            snprintf(text, sizeof text, "%.*s", SLICE_ARG(top[k].text));
            assert_true(slice_to_u64(slice_of(text + 4, strlen(text) - 4), &key));
            assert_true(top[k].fingerprint == hash_mix(key * 2 + 1));
        }
    }
    race.stop = true;
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(test_windows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_heavy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_race, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
