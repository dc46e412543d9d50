/* SPDX-License-Identifier: BSD-2-Clause */
/* Who the client is and which ids a request carries: the parts of the gate that need no sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gate/request.h"

/* A configuration whose trusted proxies are 10.0.0.0/8 and ::1. */
static struct {
    struct conf_root root;
    struct conf_cidr trusted[2];
} conf = {
    .root.trusted_proxies = {.off = offsetof(typeof(conf), trusted), .n = 2},
    .trusted = {{.addr = {[10] = 0xff, 0xff, 10, 0, 0, 0}, .bits = 104},
                {.addr = {[15] = 1}, .bits = 128}},
};

static struct fixture {
    struct arena_pool pool;
    struct loop loop;
    struct gate gate;
    struct generation gen;
    struct http_request http;
    struct gate_request q;
} f;

static int setup(void **state)
{
    (void)state;
    memset(&f, 0, sizeof(f));
    arena_pool_init(&f.pool, 4);
    arena_init(&f.http.arena, &f.pool);
    f.loop.rng = 42;
    f.gate.ctx.loop = &f.loop;
    f.gen.root = &conf.root;
    f.q = (struct gate_request){.http = &f.http, .gate = &f.gate, .gen = &f.gen};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_reset(&f.http.arena);
    arena_pool_fini(&f.pool);
    return 0;
}

static void peer(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    const uint8_t mapped[16] = {[10] = 0xff, 0xff, a, b, c, d};

    memcpy(f.http.peer, mapped, 16);
}

static void expect_client(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    const uint8_t mapped[16] = {[10] = 0xff, 0xff, a, b, c, d};

    client_address(&f.q);
    assert_memory_equal(f.q.client, mapped, 16);
}

static void test_stranger_is_not_believed(void **state)
{
    (void)state;
    peer(192, 0, 2, 1);
    f.q.h_forwarded_for = SLICE_LIT("10.1.1.1");
    expect_client(192, 0, 2, 1);
    assert_false(f.q.peer_trusted);
}

static void test_proxy_names_the_client(void **state)
{
    (void)state;
    peer(10, 0, 0, 1);
    f.q.h_forwarded_for = SLICE_LIT("198.51.100.7, 203.0.113.9, 10.2.3.4");
    /* 203.0.113.9 is who reached our proxies; what it claims about others is not believed. */
    expect_client(203, 0, 113, 9);
    assert_true(f.q.peer_trusted);
}

static void test_nonsense_hides_the_client(void **state)
{
    static const char *const bad[] = {
        "203.0.113.9, unknown, 10.2.3.4",
        "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21",
        "[::1",
        "[::1]x",
        "_hidden",
    };

    (void)state;
    peer(10, 0, 0, 1);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        f.q.client_unknown = false;
        f.q.h_forwarded_for = slice_str(bad[i]);
        client_address(&f.q);
        assert_true(f.q.client_unknown);
    }
}

static void test_ports_and_empty_elements(void **state)
{
    (void)state;
    peer(10, 0, 0, 1);
    f.q.h_forwarded_for = SLICE_LIT("10.1.1.1, 203.0.113.9:5555,");
    expect_client(203, 0, 113, 9);
    f.q.h_forwarded_for = SLICE_LIT("203.0.113.9 , [::1]:4711");
    expect_client(203, 0, 113, 9);
    f.q.h_forwarded_for = SLICE_LIT(" ,");
    expect_client(10, 0, 0, 1);
    assert_false(f.q.client_unknown);
}

static void test_all_trusted(void **state)
{
    (void)state;
    peer(10, 0, 0, 1);
    f.q.h_forwarded_for = SLICE_LIT("10.9.9.9,[::1]");
    expect_client(10, 9, 9, 9);
}

static void test_ids_are_passed_on(void **state)
{
    (void)state;
    f.q.h_request_id = SLICE_LIT("abc-123");
    f.q.h_traceparent = SLICE_LIT("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    assert_true(trace_start(&f.q));
    assert_true(slice_eq(f.q.request_id, SLICE_LIT("abc-123")));
    assert_true(slice_eq(trace_parent(&f.q), f.q.h_traceparent));
    assert_true(slice_eq(trace_id(&f.q), SLICE_LIT("4bf92f3577b34da6a3ce929d0e0e4736")));
}

static void test_bad_ids_are_replaced(void **state)
{
    static const struct slice bad[] = {
        SLICE_LIT("00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
        SLICE_LIT("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"),
        SLICE_LIT("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        SLICE_LIT("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"),
        SLICE_LIT("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x"),
        SLICE_LIT("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"),
        SLICE_LIT(""),
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        f.q.h_traceparent = bad[i];
        f.q.h_request_id = SLICE_LIT("has space");
        assert_true(trace_start(&f.q));
        f.q.traceparent = SLICE_NONE;
        assert_int_equal(trace_parent(&f.q).n, 55);
        assert_ptr_not_equal(f.q.traceparent.p, bad[i].p);
        assert_int_equal(f.q.request_id.n, 16);
    }
}

static void test_later_traceparent_version(void **state)
{
    (void)state;
    f.q.h_traceparent = SLICE_LIT("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more");
    assert_true(trace_start(&f.q));
    assert_true(slice_eq(trace_parent(&f.q), f.q.h_traceparent));
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_stranger_is_not_believed),
        T(test_proxy_names_the_client),
        T(test_nonsense_hides_the_client),
        T(test_ports_and_empty_elements),
        T(test_all_trusted),
        T(test_ids_are_passed_on),
        T(test_bad_ids_are_replaced),
        T(test_later_traceparent_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
