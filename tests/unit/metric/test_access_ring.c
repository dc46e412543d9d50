/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "metric/access_ring.h"

static struct access_ring ring;
static char scratch[ACCESS_SCRATCH_BYTES];
static uint64_t bad;

static int reset(void **state)
{
    (void)state;
    memset(&ring, 0, sizeof ring);
    bad = 0;
    return 0;
}

static struct access_record sample(uint64_t n)
{
    static const char text[] = "/api/v1/events/demo/orders?a=0123456789012345678901234567890123456";

    return (struct access_record){
        .real_ns = n,
        .duration_ns = n * 3,
        .upstream_ns = n + 1,
        .bytes_in = 11,
        .bytes_out = 12,
        .generation = 13,
        .peer = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
        .peer_port = 4711,
        .status = 201,
        .method = 2,
        .minor = 1,
        .route = SLICE_LIT("orders"),
        .target = slice_of(text, 20 + n % 40),
        .identity = SLICE_LIT("u1"),
        .request_id = SLICE_LIT("rid"),
        .trace_id = SLICE_LIT("0123456789abcdef0123456789abcdef"),
        .user_agent = SLICE_LIT("curl"),
        .arm = SLICE_LIT("checkout/B"),
    };
}

static void check_equal(const struct access_record *a, const struct access_record *b)
{
    assert_int_equal(a->real_ns, b->real_ns);
    assert_int_equal(a->duration_ns, b->duration_ns);
    assert_int_equal(a->upstream_ns, b->upstream_ns);
    assert_int_equal(a->bytes_in, b->bytes_in);
    assert_int_equal(a->bytes_out, b->bytes_out);
    assert_int_equal(a->generation, b->generation);
    assert_memory_equal(a->peer, b->peer, 16);
    assert_int_equal(a->peer_port, b->peer_port);
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->method, b->method);
    assert_int_equal(a->minor, b->minor);
    assert_true(slice_eq(a->route, b->route));
    assert_true(slice_eq(a->reason, b->reason));
    assert_true(slice_eq(a->target, b->target));
    assert_true(slice_eq(a->identity, b->identity));
    assert_true(slice_eq(a->request_id, b->request_id));
    assert_true(slice_eq(a->trace_id, b->trace_id));
    assert_true(slice_eq(a->user_agent, b->user_agent));
    assert_true(slice_eq(a->arm, b->arm));
}

/* Records of many lengths wrap at every offset of the end. */
static void test_wrap(void **state)
{
    struct access_record rec;

    (void)state;
    assert_false(access_ring_take(&ring, &rec, scratch, &bad));
    for (uint64_t n = 0; n < 20000; n++) {
        struct access_record want = sample(n);
        assert_true(access_ring_put(&ring, &want));
        assert_true(access_ring_take(&ring, &rec, scratch, &bad));
        check_equal(&rec, &want);
    }
    assert_true(atomic_load(&ring.head) > RING_BYTES * 2);
    assert_int_equal(bad, 0);
}

/* Full: the new record is dropped, the old ones stay, in order; room comes back. */
static void test_full(void **state)
{
    struct access_record rec, want = sample(0);
    uint64_t put = 0, taken = 0;

    (void)state;
    for (; want = sample(put), access_ring_put(&ring, &want); put++)
        assert_true(put < RING_BYTES);
    assert_true(put > 4000);
    assert_false(access_ring_put(&ring, &want));
    for (; access_ring_take(&ring, &rec, scratch, &bad); taken++)
        assert_int_equal(rec.real_ns, taken);
    assert_int_equal(taken, put);
    assert_true(access_ring_put(&ring, &want));
    assert_int_equal(bad, 0);
}

static void test_long_strings_are_cut(void **state)
{
    static char text[5000];
    struct access_record rec, long_one = sample(1);
    struct slice s = slice_of(text, sizeof text);

    (void)state;
    memset(text, 'x', sizeof text);
    long_one.route = long_one.reason = long_one.target = long_one.identity = s;
    long_one.request_id = long_one.trace_id = long_one.user_agent = s;
    assert_true(access_ring_put(&ring, &long_one));
    assert_true(access_ring_take(&ring, &rec, scratch, &bad));
    assert_int_equal(rec.target.n, 512);
    assert_int_equal(rec.user_agent.n, 128);
    assert_true(rec.user_agent.p + rec.user_agent.n <= scratch + sizeof scratch);
}

/* Whatever the bytes say, the consumer stays inside the ring and goes on with the next record. */
static void test_corrupt(void **state)
{
    struct access_record rec, good = sample(9);

    (void)state;
    srand(7);
    for (int round = 0; round < 20000; round++) {
        uint64_t before = bad, head = atomic_load(&ring.head);
        size_t at = (head + (size_t)rand() % 96) & (RING_BYTES - 1);
        assert_true(access_ring_put(&ring, &good));
        ring.data[at] = (char)rand();
        while (access_ring_take(&ring, &rec, scratch, &bad))
            assert_true(rec.target.n <= 512);
        assert_true(bad - before <= 1);
        assert_true(atomic_load(&ring.tail) == atomic_load(&ring.head));
    }
    assert_true(bad > 100);
    /* A head from nowhere: skipped, and the producer finds room again. */
    bad = 0;
    atomic_store(&ring.head, atomic_load(&ring.tail) + 3 * (uint64_t)RING_BYTES);
    assert_false(access_ring_put(&ring, &good));
    assert_false(access_ring_take(&ring, &rec, scratch, &bad));
    assert_int_equal(bad, 1);
    assert_true(access_ring_put(&ring, &good));
    assert_true(access_ring_take(&ring, &rec, scratch, &bad));
    check_equal(&rec, &good);
}

/* A record that agrees with itself but has a string longer than any producer writes: the scratch
 * would overflow. */
static void test_string_too_long(void **state)
{
    enum { BYTES_AT = 4, TARGET_LEN_AT = 82 };
    struct access_record rec, good = {.target = SLICE_LIT("/")};
    uint32_t bytes;
    uint16_t len = 9000;

    (void)state;
    assert_true(access_ring_put(&ring, &good));
    memcpy(&bytes, ring.data + BYTES_AT, sizeof bytes);
    bytes = bytes - 8 + len;
    memcpy(ring.data + BYTES_AT, &bytes, sizeof bytes);
    memcpy(ring.data + TARGET_LEN_AT, &len, sizeof len);
    atomic_store(&ring.head, bytes);
    assert_false(access_ring_take(&ring, &rec, scratch, &bad));
    assert_int_equal(bad, 1);
}

#define THREAD_RECORDS 100000u

struct producer {
    uint64_t dropped;
    _Atomic bool done;
};

static void *produce(void *arg)
{
    struct producer *p = arg;

    for (uint64_t n = 0; n < THREAD_RECORDS; n++) {
        struct access_record rec = sample(n);
        if (!access_ring_put(&ring, &rec))
            p->dropped++;
    }
    atomic_store(&p->done, true);
    return NULL;
}

/* For ThreadSanitizer too: every record arrives whole and in order, or was counted as dropped. */
static void test_two_threads(void **state)
{
    struct producer p = {0};
    struct access_record rec;
    uint64_t seen = 0, next = 0;
    bool done = false;
    pthread_t t;

    (void)state;
    assert_int_equal(pthread_create(&t, NULL, produce, &p), 0);
    for (;;) {
        /* Asked before the ring is found empty: nothing can come after both. */
        done = atomic_load(&p.done);
        if (!access_ring_take(&ring, &rec, scratch, &bad)) {
            if (done)
                break;
            continue;
        }
        struct access_record want = sample(rec.real_ns);
        assert_true(rec.real_ns >= next);
        next = rec.real_ns + 1;
        seen++;
        check_equal(&rec, &want);
    }
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_int_equal(seen + p.dropped, THREAD_RECORDS);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_wrap, reset),
        cmocka_unit_test_setup(test_full, reset),
        cmocka_unit_test_setup(test_long_strings_are_cut, reset),
        cmocka_unit_test_setup(test_corrupt, reset),
        cmocka_unit_test_setup(test_string_too_long, reset),
        cmocka_unit_test_setup(test_two_threads, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
