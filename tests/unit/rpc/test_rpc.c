/* SPDX-License-Identifier: BSD-2-Clause */
/* Client and server together: what calls go through when everyone behaves, and when one of them
 * dies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/buf.h"
#include "base/hash.h"
#include "fixture.h"
#include "rpc/client_int.h"
#include "rpc/server_int.h"

static struct fixture f;
static struct probe probes[12000];

static int setup(void **state)
{
    (void)state;
    fixture_init(&f);
    fixture_serve(&f, 1000);
    fixture_client_config(&f);
    fixture_connect(&f);
    for (unsigned i = 0; i < sizeof probes / sizeof probes[0]; i++)
        probes[i].then = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_fini(&f);
    return 0;
}

static void start(unsigned i, const char *path, const char *payload)
{
    struct rpc_request req = request(path, slice_str(payload));

    probe_start(&f, &probes[i], &req);
}

static void test_unary(void **state)
{
    struct rpc_meta meta[] = {{SLICE_LIT("x-a"), SLICE_LIT("1")},
                              {SLICE_LIT("x-b"), SLICE_LIT("two words")}};
    struct rpc_request req = request("/t/Echo", SLICE_LIT("hello"));

    (void)state;
    req.meta = meta;
    req.meta_n = 2;
    for (unsigned i = 0; i < 3; i++) { /* later ones use what HPACK remembers */
        probe_start(&f, &probes[0], &req);
        RUN_UNTIL(&f, probes[0].done);
        assert_int_equal(probes[0].status, RPC_OK);
        assert_string_equal(probes[0].payload, "hello");
        assert_string_equal(probes[0].meta, "x-a=1;x-b=two words;");
        assert_true(probes[0].sent);
        assert_false(probes[0].local);
        assert_int_equal(probes[0].call.endpoint, 0);
    }
    assert_int_equal(f.client->in_flight, 0);
    assert_int_equal(rpc_server_in_flight(f.server), 0);
}

static void test_empty_message(void **state)
{
    (void)state;
    start(0, "/t/Echo", "");
    RUN_UNTIL(&f, probes[0].done);
    assert_int_equal(probes[0].status, RPC_OK);
    assert_int_equal(probes[0].payload_n, 0);
}

static void test_error(void **state)
{
    struct rpc_meta meta[] = {{SLICE_LIT("x-why"), SLICE_LIT("sold-out")}};
    struct rpc_request req = request("/t/Fail", SLICE_LIT("100% \xc3\xa9\n"));

    (void)state;
    req.meta = meta;
    req.meta_n = 1;
    probe_start(&f, &probes[0], &req);
    RUN_UNTIL(&f, probes[0].done);
    assert_int_equal(probes[0].status, RPC_ABORTED);
    assert_string_equal(probes[0].message, "100% \xc3\xa9\n");
    assert_string_equal(probes[0].meta, "x-why=sold-out;");
    assert_int_equal(probes[0].payload_n, 0);
    assert_false(probes[0].local);
}

static void test_deadline(void **state)
{
    struct rpc_request req = request("/t/Keep", SLICE_LIT("slow"));
    uint64_t begin = clock_mono_ns();

    (void)state;
    req.deadline_ns = 50 * NS_PER_MS;
    probe_start(&f, &probes[0], &req);
    RUN_UNTIL(&f, f.kept_n == 1);
    assert_in_range(f.kept[0]->deadline_ns, begin, begin + 200 * NS_PER_MS);
    RUN_UNTIL(&f, probes[0].done);
    assert_int_equal(probes[0].status, RPC_DEADLINE_EXCEEDED);
    assert_true(probes[0].local);
    assert_true(probes[0].sent);
    assert_true(clock_mono_ns() - begin >= 50 * NS_PER_MS);
    RUN_UNTIL(&f, f.kept[0]->gone); /* the server hears of it */
    fixture_release(&f, 0, RPC_OK);
    start(1, "/t/Echo", "still works");
    RUN_UNTIL(&f, probes[1].done);
    assert_int_equal(probes[1].status, RPC_OK);
}

static void test_cancel(void **state)
{
    (void)state;
    start(0, "/t/Keep", "a");
    RUN_UNTIL(&f, f.kept_n == 1);
    rpc_call_cancel(&probes[0].call);
    rpc_call_cancel(&probes[0].call); /* harmless */
    RUN_UNTIL(&f, f.kept[0]->gone);
    fixture_release(&f, 0, RPC_OK);
    start(1, "/t/Echo", "b"); /* never leaves */
    rpc_call_cancel(&probes[1].call);
    fixture_turns(&f, 3);
    assert_false(probes[0].done);
    assert_false(probes[1].done);
    assert_int_equal(f.served, 1);
    assert_int_equal(f.client->in_flight, 0);
}

static void cancel_others(struct probe *p)
{
    (void)p;
    for (unsigned i = 0; i < 10; i++)
        rpc_call_cancel(&probes[i].call);
}

/* A callback cancels calls whose replies are in the same read. */
static void test_cancel_in_callback(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        probes[i].then = cancel_others;
        start(i, "/t/Echo", "x");
    }
    RUN_UNTIL(&f, f.finished > 0);
    fixture_turns(&f, 5);
    assert_int_equal(f.finished, 1);
    probes[0].then = NULL;
    start(0, "/t/Echo", "x");
    RUN_UNTIL(&f, probes[0].done);
    assert_int_equal(probes[0].status, RPC_OK);
}

static void free_client(struct probe *p)
{
    (void)p;
    rpc_client_free(&f.client);
}

static void test_free_in_callback(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        probes[i].then = i == 3 ? free_client : NULL;
        start(i, "/t/Echo", "x");
    }
    RUN_UNTIL(&f, f.finished == 10);
    assert_null(f.client);
    assert_int_equal(probes[0].status, RPC_OK);
    assert_int_equal(probes[9].status, RPC_CANCELLED);
    fixture_turns(&f, 3);
    assert_int_equal(f.server->conns_n, 0);
}

static void test_free_with_calls(void **state)
{
    (void)state;
    start(0, "/t/Keep", "on the wire");
    RUN_UNTIL(&f, f.kept_n == 1);
    start(1, "/t/Keep", "queued");
    rpc_client_free(&f.client);
    assert_int_equal(probes[0].status, RPC_CANCELLED);
    assert_true(probes[0].sent);
    assert_int_equal(probes[1].status, RPC_CANCELLED);
    assert_false(probes[1].sent);
    RUN_UNTIL(&f, f.kept[0]->gone);
    fixture_release(&f, 0, RPC_OK);
    assert_int_equal(rpc_server_in_flight(f.server), 0);
}

/* The server dies with calls in flight: all are told at once, later ones are refused at once, and
 * when it is back they work again. */
static void test_server_dies(void **state)
{
    uint64_t begin;

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        start(i, "/t/Keep", "x");
    RUN_UNTIL(&f, f.kept_n == 5);
    rpc_server_free(&f.server);
    f.kept_n = 0;
    RUN_UNTIL(&f, f.finished == 5);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(probes[i].status, RPC_UNAVAILABLE);
        assert_true(probes[i].sent);
        assert_true(probes[i].local);
    }
    start(5, "/t/Echo", "x");
    for (unsigned turns = 0; turns < 10 && !probes[5].done; turns++)
        fixture_turn(&f); /* turns, not time: the machine may be busy */
    assert_true(probes[5].done);
    assert_int_equal(probes[5].status, RPC_UNAVAILABLE);
    assert_string_equal(probes[5].message, "connection refused");
    assert_false(probes[5].sent);
    fixture_serve(&f, 1000);
    begin = clock_mono_ns();
    do {
        start(6, "/t/Echo", "x");
        RUN_UNTIL(&f, probes[6].done);
    } while (probes[6].status != RPC_OK && clock_mono_ns() - begin < 10 * NS_PER_S);
    assert_int_equal(probes[6].status, RPC_OK);
}

/* One connection lost is one failure, whatever was on it; an idempotent call is sent once more. */
static void test_idempotent_retry(void **state)
{
    struct rpc_request req = request("/t/Keep", SLICE_LIT("again"));

    (void)state;
    req.idempotent = true;
    probe_start(&f, &probes[0], &req);
    start(1, "/t/Keep", "once");
    RUN_UNTIL(&f, f.kept_n == 2);
    rpc_server_free(&f.server);
    f.kept_n = 0;
    fixture_serve(&f, 1000); /* at once: the retry finds it */
    RUN_UNTIL(&f, f.kept_n == 1 && probes[1].done);
    assert_int_equal(probes[1].status, RPC_UNAVAILABLE);
    assert_true(slice_eq(f.kept[0]->payload, SLICE_LIT("again")));
    fixture_release(&f, 0, RPC_OK);
    RUN_UNTIL(&f, probes[0].done);
    assert_int_equal(probes[0].status, RPC_OK);
    assert_string_equal(probes[0].payload, "again");
    /* Twice is not once more. */
    probe_start(&f, &probes[0], &req);
    for (unsigned i = 0; i < 2; i++) {
        RUN_UNTIL(&f, f.kept_n == 1);
        rpc_server_free(&f.server);
        f.kept_n = 0;
        fixture_serve(&f, 1000);
    }
    RUN_UNTIL(&f, probes[0].done);
    assert_int_equal(probes[0].status, RPC_UNAVAILABLE);
    assert_true(probes[0].sent);
}

/* Draining: calls under way are answered, calls that the server had not looked at move. */
static void test_drain(void **state)
{
    struct rpc_server *old = f.server;

    (void)state;
    start(0, "/t/Keep", "under way");
    RUN_UNTIL(&f, f.kept_n == 1);
    for (unsigned i = 1; i < 50; i++) /* more than the retry budget would allow */
        start(i, "/t/Echo", "too late");
    rpc_server_drain(old);
    f.server = NULL;
    addr_unlink(&f.addr);
    fixture_serve(&f, 1000);
    RUN_UNTIL(&f, f.finished == 49);
    for (unsigned i = 1; i < 50; i++)
        assert_int_equal(probes[i].status, RPC_OK);
    assert_false(probes[0].done);
    assert_int_equal(rpc_server_in_flight(old), 1);
    rpc_server_reply(old, f.kept[0], RPC_OK, SLICE_NONE, SLICE_LIT("done"), NULL, 0);
    f.kept_n = 0;
    RUN_UNTIL(&f, probes[0].done);
    assert_int_equal(probes[0].status, RPC_OK);
    RUN_UNTIL(&f, old->conns_n == 0);
    rpc_server_free(&old);
}

/* More calls than the server allows streams: they wait. Those sent before its SETTINGS came are
 * refused and sent again. */
static void test_max_streams(void **state)
{
    (void)state;
    rpc_client_free(&f.client);
    rpc_server_free(&f.server);
    fixture_serve(&f, 4);
    fixture_connect(&f);
    for (unsigned i = 0; i < 500; i++)
        start(i, "/t/Keep", "x");
    while (f.finished < 500) {
        RUN_UNTIL(&f, f.kept_n > 0 || f.finished == 500);
        while (f.kept_n > 0)
            fixture_release(&f, 0, RPC_OK);
    }
    assert_int_equal(f.kept_most, 4);
    for (unsigned i = 0; i < 500; i++)
        assert_int_equal(probes[i].status, RPC_OK);
}

/* A call that waits for a stream has not left, and its cancellation or deadline is nobody else's
 * matter. */
static void test_waiting_is_unsent(void **state)
{
    struct rpc_request req = request("/t/Keep", SLICE_LIT("waits"));

    (void)state;
    rpc_client_free(&f.client);
    rpc_server_free(&f.server);
    fixture_serve(&f, 2);
    fixture_connect(&f);
    start(0, "/t/Echo", "brings the SETTINGS");
    RUN_UNTIL(&f, probes[0].done);
    start(0, "/t/Keep", "x");
    start(1, "/t/Keep", "x");
    req.deadline_ns = 50 * NS_PER_MS;
    probe_start(&f, &probes[2], &req);
    start(3, "/t/Keep", "cancelled");
    start(4, "/t/Echo", "last");
    RUN_UNTIL(&f, probes[2].done);
    assert_int_equal(probes[2].status, RPC_DEADLINE_EXCEEDED);
    assert_false(probes[2].sent);
    rpc_call_cancel(&probes[3].call);
    while (f.kept_n > 0)
        fixture_release(&f, 0, RPC_OK);
    RUN_UNTIL(&f, probes[0].done && probes[1].done && probes[4].done);
    assert_int_equal(probes[4].status, RPC_OK);
    assert_int_equal(f.served, 4);
}

static void test_out_of_order(void **state)
{
    uint64_t rng = 7;
    char payload[16];

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        struct rpc_request req = request("/t/Keep", SLICE_NONE);
        req.payload = slice_of(payload, fmt_u64(payload, i));
        probe_start(&f, &probes[i], &req);
    }
    while (f.finished < 10000) {
        fixture_turn(&f);
        for (unsigned n = (unsigned)(random_next(&rng) % 400); n > 0 && f.kept_n > 0; n--)
            fixture_release(&f, (unsigned)(random_next(&rng) % f.kept_n), RPC_OK);
    }
    for (unsigned i = 0; i < 10000; i++) {
        assert_int_equal(probes[i].status, RPC_OK);
        payload[fmt_u64(payload, i)] = '\0';
        assert_string_equal(probes[i].payload, payload);
    }
    assert_true(f.kept_most > 500);
}

/* Many times the frame size and the initial window, both ways, several at once. */
static void test_large(void **state)
{
    size_t n = 4u << 20;
    char *big = malloc(n + 1);
    uint64_t sum = 0;
    struct rpc_request req = request("/t/Echo", slice_of(big, n));

    (void)state;
    for (size_t i = 0; i < n; i++)
        sum += (unsigned char)(big[i] = (char)(i * 31 + (i >> 12)));
    for (unsigned i = 0; i < 8; i++)
        probe_start(&f, &probes[i], &req);
    start(8, "/t/Echo", "small one between");
    RUN_UNTIL(&f, f.finished == 9);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(probes[i].status, RPC_OK);
        assert_int_equal(probes[i].payload_n, n);
        assert_int_equal(probes[i].sum, sum);
    }
    req.payload.n = n + 1;
    probe_start(&f, &probes[0], &req);
    RUN_UNTIL(&f, probes[0].done);
    assert_int_equal(probes[0].status, RPC_RESOURCE_EXHAUSTED);
    assert_string_equal(probes[0].message, "message is too large");
    free(big);
}

static void test_limits(void **state)
{
    struct rpc_meta many[65];
    struct rpc_request req = request("/t/Echo", SLICE_NONE);

    (void)state;
    rpc_client_free(&f.client);
    f.cfg.max_in_flight = 3;
    fixture_connect(&f);
    for (unsigned i = 0; i < 5; i++)
        start(i, "/t/Keep", "x");
    RUN_UNTIL(&f, f.finished == 2 && f.kept_n == 3);
    assert_int_equal(probes[4].status, RPC_UNAVAILABLE);
    assert_string_equal(probes[4].message, "too many calls in flight");
    assert_true(probes[4].local);
    assert_false(probes[4].sent);
    while (f.kept_n > 0)
        fixture_release(&f, 0, RPC_OK);
    RUN_UNTIL(&f, f.finished == 5);
    for (unsigned i = 0; i < 65; i++)
        many[i] = (struct rpc_meta){SLICE_LIT("x-many"), SLICE_LIT("v")};
    req.meta = many;
    req.meta_n = 65;
    probe_start(&f, &probes[0], &req);
    RUN_UNTIL(&f, probes[0].done);
    assert_string_equal(probes[0].message, "too much metadata");
    assert_false(probes[0].sent);
}

/* An endpoint that the keeper calls down gets nothing; one that refuses hands over to the other. */
static void test_two_endpoints(void **state)
{
    static _Atomic uint64_t health;
    struct rpc_endpoint_config two[2];
    struct balance_endpoint *e;
    struct addr dead;

    (void)state;
    assert_int_equal(addr_parse(SLICE_LIT("unix:/nonexistent/s"), 0, &dead, NULL), 0);
    two[0] = (struct rpc_endpoint_config){.address = SLICE_LIT("unix:/nonexistent/s"),
                                          .sa = (struct sockaddr *)&dead.sa,
                                          .sa_len = dead.len};
    two[1] = f.endpoint;
    two[1].health = &health;
    f.cfg.endpoints = two;
    f.cfg.endpoints_n = 2;
    rpc_client_update(f.client, &f.cfg);
    assert_int_equal(f.client->balance.n, 2);
    assert_string_equal(rpc_client_address(f.client, 0), "unix:/nonexistent/s");
    for (unsigned i = 0; i < 200; i++)
        start(i, "/t/Echo", "x");
    RUN_UNTIL(&f, f.finished == 200);
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(probes[i].status, RPC_OK);
        assert_int_equal(probes[i].call.endpoint, 1);
    }
    e = f.client->balance.endpoints[1];
    assert_int_equal(e->calls, 200);
    assert_int_equal(((struct rpc_endpoint *)e->user)->conns_n, 1);
    health = 1;
    start(0, "/t/Echo", "x");
    RUN_UNTIL(&f, probes[0].done);
    assert_int_equal(probes[0].status, RPC_UNAVAILABLE);
    assert_string_equal(probes[0].message, "connection refused (there is no such socket)");
}

/* An endpoint that leaves finishes its calls; the one that stays keeps its connection. */
static void test_update(void **state)
{
    struct rpc_endpoint_config none = f.endpoint;

    (void)state;
    start(0, "/t/Keep", "x");
    RUN_UNTIL(&f, f.kept_n == 1);
    rpc_client_update(f.client, &f.cfg);
    assert_int_equal(f.server->conns_n, 1);
    f.cfg.endpoints = &none;
    f.cfg.endpoints_n = 0;
    rpc_client_update(f.client, &f.cfg);
    start(1, "/t/Echo", "x");
    RUN_UNTIL(&f, probes[1].done);
    assert_int_equal(probes[1].status, RPC_UNAVAILABLE);
    fixture_release(&f, 0, RPC_OK);
    RUN_UNTIL(&f, probes[0].done);
    assert_int_equal(probes[0].status, RPC_OK);
    RUN_UNTIL(&f, f.server->conns_n == 0);
    f.cfg.endpoints_n = 1;
    rpc_client_update(f.client, &f.cfg);
    start(1, "/t/Echo", "x");
    RUN_UNTIL(&f, probes[1].done);
    assert_int_equal(probes[1].status, RPC_OK);
}

static void test_health(void **state)
{
    (void)state;
    start(0, "/grpc.health.v1.Health/Check", "");
    RUN_UNTIL(&f, probes[0].done);
    assert_int_equal(probes[0].status, RPC_OK);
    assert_string_equal(probes[0].payload, "\x08\x01");
    rpc_server_set_serving(f.server, false);
    start(0, "/grpc.health.v1.Health/Check", "\x0a\x01x");
    RUN_UNTIL(&f, probes[0].done);
    assert_string_equal(probes[0].payload, "\x08\x02");
    start(0, "/grpc.health.v1.Health/Watch", "");
    RUN_UNTIL(&f, probes[0].done);
    assert_int_equal(probes[0].status, RPC_UNIMPLEMENTED);
    assert_int_equal(f.served, 0);
}

/* Nobody accepts: the connect timeout ends it long before the call's deadline. */
static void test_connect_timeout(void **state)
{
    struct addr a = {.len = sizeof a.sa};
    struct addr_listen opt = {.backlog = 1};
    int listener, filler[8];
    uint64_t begin;
    bool in_progress = false;
    unsigned n = 0;

    (void)state;
    assert_int_equal(addr_parse(SLICE_LIT("127.0.0.1:0"), ADDR_LISTEN, &a, NULL), 0);
    listener = addr_listen(&a, &opt);
    assert_true(listener >= 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a.sa, &a.len), 0);
    while (n < 8) { /* until the backlog is full and SYNs are dropped */
        filler[n++] = addr_connect((struct sockaddr *)&a.sa, a.len, &in_progress);
        usleep(2000);
    }
    f.endpoint.sa = (struct sockaddr *)&a.sa;
    f.endpoint.sa_len = a.len;
    fixture_turn(&f); /* a fresh clock */
    begin = clock_mono_ns();
    rpc_client_update(f.client, &f.cfg);
    start(0, "/t/Echo", "x");
    RUN_UNTIL(&f, probes[0].done);
    assert_int_equal(probes[0].status, RPC_UNAVAILABLE);
    assert_string_equal(probes[0].message, "connect timed out");
    assert_false(probes[0].sent);
    assert_in_range(clock_mono_ns() - begin, 280 * NS_PER_MS, 2 * NS_PER_S);
    while (n > 0)
        close(filler[--n]);
    close(listener);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_unary),
        T(test_empty_message),
        T(test_error),
        T(test_deadline),
        T(test_cancel),
        T(test_cancel_in_callback),
        T(test_server_dies),
        T(test_free_in_callback),
        T(test_free_with_calls),
        T(test_drain),
        T(test_idempotent_retry),
        T(test_max_streams),
        T(test_out_of_order),
        T(test_large),
        T(test_limits),
        T(test_two_endpoints),
        T(test_update),
        T(test_health),
        T(test_connect_timeout),
        T(test_waiting_is_unsent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
