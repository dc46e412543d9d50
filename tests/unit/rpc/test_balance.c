/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "../failing_calloc.h"
#include "base/clock.h"
#include "rpc/addr.h"
#include "rpc/balance.h"

#define MAX 8

static uint64_t rng = 42;
static char names[MAX][32];
static struct addr addrs[MAX];
static struct rpc_endpoint_config endpoints[MAX];
static _Atomic uint64_t health[MAX];

static struct balance_config config(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "127.0.0.1:%u", 1000 + i);
        assert_int_equal(addr_parse(slice_str(names[i]), 0, &addrs[i], NULL), 0);
        health[i] = 0;
        endpoints[i] = (struct rpc_endpoint_config){.address = slice_str(names[i]),
                                                    .sa = (struct sockaddr *)&addrs[i].sa,
                                                    .sa_len = addrs[i].len,
                                                    .health = &health[i]};
    }
    return (struct balance_config){.endpoints = endpoints,
                                   .endpoints_n = n,
                                   .eject_failures = 3,
                                   .eject_ms = 1000,
                                   .retry_budget_percent = 20};
}

/* Two choices keep the fullest endpoint close to the average; one choice would not. */
static void test_two_choices(void **state)
{
    struct balance_config cfg = config(8);
    struct balance b;
    unsigned most = 0;

    (void)state;
    assert_int_equal(balance_init(&b, &cfg, &rng), 0);
    for (unsigned i = 0; i < 8000; i++)
        balance_begin(balance_pick(&b, 1, 0, NULL));
    for (unsigned i = 0; i < 8; i++) {
        if (b.endpoints[i]->in_flight > most)
            most = b.endpoints[i]->in_flight;
    }
    assert_in_range(most, 1000, 1010);
    for (unsigned i = 0; i < 8; i++) {
        while (b.endpoints[i]->in_flight > 0)
            balance_end(&b, b.endpoints[i], BALANCE_OK, 1);
    }
    balance_fini(&b);
}

/* When an endpoint goes down only its keys move, and they come back. */
static void test_rendezvous(void **state)
{
    struct balance_config cfg = config(4);
    struct balance b;
    struct balance_endpoint *before[1000];
    unsigned moved = 0, on_two = 0;

    (void)state;
    cfg.rendezvous = true;
    assert_int_equal(balance_init(&b, &cfg, &rng), 0);
    for (unsigned i = 0; i < 1000; i++) {
        before[i] = balance_pick(&b, 1, i, NULL);
        on_two += before[i] == b.endpoints[2];
    }
    assert_in_range(on_two, 180, 320);
    health[2] = 1;
    for (unsigned i = 0; i < 1000; i++) {
        struct balance_endpoint *now = balance_pick(&b, 1, i, NULL);
        moved += now != before[i];
        assert_ptr_not_equal(now, b.endpoints[2]);
    }
    assert_int_equal(moved, on_two);
    health[2] = 0;
    for (unsigned i = 0; i < 1000; i++)
        assert_ptr_equal(balance_pick(&b, 1, i, NULL), before[i]);
    balance_fini(&b);
}

static void fail_times(struct balance *b, unsigned e, unsigned n, uint64_t now)
{
    for (unsigned i = 0; i < n; i++) {
        balance_begin(b->endpoints[e]);
        balance_end(b, b->endpoints[e], BALANCE_FAILED, now);
    }
}

static bool picked(struct balance *b, unsigned e, uint64_t now)
{
    for (unsigned i = 0; i < 200; i++) {
        if (balance_pick(b, now, i, NULL) == b->endpoints[e])
            return true;
    }
    return false;
}

/* Ejected after three failures in a row, back after a second on probation. */
static void test_ejection(void **state)
{
    struct balance_config cfg = config(3);
    struct balance b;
    uint64_t now = NS_PER_S, later = now + NS_PER_S + 1;

    (void)state;
    assert_int_equal(balance_init(&b, &cfg, &rng), 0);
    fail_times(&b, 0, 2, now);
    assert_true(picked(&b, 0, now));
    balance_begin(b.endpoints[0]);
    balance_end(&b, b.endpoints[0], BALANCE_OK, now); /* breaks the row */
    fail_times(&b, 0, 2, now);
    assert_true(picked(&b, 0, now));
    fail_times(&b, 0, 1, now);
    assert_false(picked(&b, 0, now));
    assert_true(balance_is_ejected(b.endpoints[0], now));
    assert_true(picked(&b, 0, later));
    fail_times(&b, 0, 1, later); /* one failure is enough now */
    assert_false(picked(&b, 0, later));
    assert_int_equal(b.endpoints[0]->failures, 6);
    balance_fini(&b);
}

/* All ejected: ejection is ignored. Down by health: never picked, even then. */
static void test_panic(void **state)
{
    struct balance_config cfg = config(3);
    struct balance b;

    (void)state;
    assert_int_equal(balance_init(&b, &cfg, &rng), 0);
    for (unsigned i = 0; i < 3; i++)
        fail_times(&b, i, 3, 1);
    health[1] = 1;
    assert_true(picked(&b, 0, 1));
    assert_false(picked(&b, 1, 1));
    assert_true(picked(&b, 2, 1));
    health[0] = health[2] = 1;
    assert_null(balance_pick(&b, 1, 0, NULL));
    balance_fini(&b);
}

static void test_avoid(void **state)
{
    struct balance_config cfg = config(2);
    struct balance b;

    (void)state;
    assert_int_equal(balance_init(&b, &cfg, &rng), 0);
    for (unsigned i = 0; i < 100; i++)
        assert_ptr_equal(balance_pick(&b, 1, i, b.endpoints[0]), b.endpoints[1]);
    health[1] = 1;
    assert_ptr_equal(balance_pick(&b, 1, 0, b.endpoints[0]), b.endpoints[0]);
    balance_fini(&b);
}

/* Endpoints that stay keep their state; one that left lives while somebody refers to it. */
static void test_update(void **state)
{
    struct balance_config cfg = config(3);
    struct balance b;
    struct balance_endpoint *first, *last;

    (void)state;
    assert_int_equal(balance_init(&b, &cfg, &rng), 0);
    first = b.endpoints[0];
    last = b.endpoints[2];
    balance_begin(first);
    balance_begin(last);
    cfg.endpoints = endpoints + 1; /* without the first */
    cfg.endpoints_n = 2;
    assert_int_equal(balance_update(&b, &cfg), 0);
    assert_int_equal(b.n, 2);
    assert_ptr_equal(b.endpoints[1], last);
    assert_int_equal(last->index, 1);
    assert_int_equal(last->in_flight, 1);
    assert_false(last->left);
    assert_true(first->left);
    for (unsigned i = 0; i < 100; i++)
        assert_ptr_not_equal(balance_pick(&b, 1, i, NULL), first);
    balance_end(&b, first, BALANCE_OK, 1);
    balance_end(&b, last, BALANCE_OK, 1);
    endpoints[1].sa_len = 0;
    assert_int_not_equal(balance_update(&b, &cfg), 0);
    assert_int_equal(b.n, 2);
    balance_fini(&b);
}

/* 20 per cent of the calls, and three a second on top. */
static void test_budget(void **state)
{
    struct balance_config cfg = config(1);
    struct balance b;
    uint64_t now = 10 * NS_PER_S;
    unsigned granted = 0;

    (void)state;
    assert_int_equal(balance_init(&b, &cfg, &rng), 0);
    for (unsigned i = 0; i < 100; i++)
        balance_retry_earn(&b);
    while (balance_retry_take(&b, now))
        granted++;
    assert_int_equal(granted, 20 + BALANCE_RETRY_MIN_PER_S);
    assert_false(balance_retry_take(&b, now + NS_PER_S / 10));
    assert_true(balance_retry_take(&b, now + NS_PER_S / 2));
    for (unsigned i = 0; i < 100000; i++)
        balance_retry_earn(&b);
    for (granted = 0; balance_retry_take(&b, now + NS_PER_S / 2); granted++)
        continue;
    assert_int_equal(granted, BALANCE_RETRY_BURST);
    cfg.retry_budget_percent = 0;
    assert_int_equal(balance_update(&b, &cfg), 0);
    assert_false(balance_retry_take(&b, now * 2));
    balance_fini(&b);
}

/* An update for which memory is out changes nothing. */
static void test_no_memory(void **state)
{
    struct balance_config cfg = config(6), less = cfg;
    struct balance b;

    (void)state;
    less.endpoints_n = 3;
    assert_int_equal(balance_init(&b, &less, &rng), 0);
    balance_begin(b.endpoints[1]);
    for (int left = 0; left < 4; left++) {
        callocs_left = left; /* the array, three new endpoints */
        assert_int_equal(balance_update(&b, &cfg), -ENOMEM);
        callocs_left = -1;
        assert_int_equal(b.n, 3);
        for (unsigned i = 0; i < 3; i++) {
            assert_string_equal(b.endpoints[i]->address, names[i]);
            assert_int_equal(b.endpoints[i]->index, i);
            assert_false(b.endpoints[i]->left);
        }
    }
    assert_int_equal(balance_update(&b, &cfg), 0);
    assert_int_equal(b.n, 6);
    assert_int_equal(b.endpoints[1]->in_flight, 1);
    balance_end(&b, b.endpoints[1], BALANCE_OK, 1);
    balance_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_choices), cmocka_unit_test(test_rendezvous),
        cmocka_unit_test(test_ejection),    cmocka_unit_test(test_panic),
        cmocka_unit_test(test_avoid),       cmocka_unit_test(test_update),
        cmocka_unit_test(test_budget),      cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
