/* SPDX-License-Identifier: BSD-2-Clause */
/* The rate limit service without sockets: its messages against protobuf-c, rules, buckets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/clock.h"
#include "gate/limit_bucket.h"
#include "gate/rls.h"
#include "ratelimit.pb-c.h"

typedef Envoy__Service__Ratelimit__V3__RateLimitRequest pb_request;
typedef Envoy__Service__Ratelimit__V3__RateLimitDescriptor pb_descriptor;
typedef Envoy__Service__Ratelimit__V3__RateLimitDescriptor__Entry pb_entry;
typedef Envoy__Service__Ratelimit__V3__RateLimitResponse pb_response;

/* --- reading --- */

#define MANY 20u

/* A request of up to 20 descriptors of up to 20 entries, in memory that is not moved. */
static struct {
    pb_request request;
    pb_descriptor descriptor[MANY], *descriptors[MANY];
    pb_entry entry[MANY][MANY], *entries[MANY][MANY];
    Envoy__Service__Ratelimit__V3__UInt64Value hits[MANY];
} m;

static void message_init(unsigned descriptors, unsigned entries)
{
    envoy__service__ratelimit__v3__rate_limit_request__init(&m.request);
    m.request.domain = (char *)(uintptr_t) "edge";
    m.request.descriptors = m.descriptors;
    m.request.n_descriptors = descriptors;
    for (unsigned i = 0; i < MANY; i++) {
        envoy__service__ratelimit__v3__rate_limit_descriptor__init(&m.descriptor[i]);
        envoy__service__ratelimit__v3__uint64_value__init(&m.hits[i]);
        m.descriptors[i] = &m.descriptor[i];
        m.descriptor[i].entries = m.entries[i];
        m.descriptor[i].n_entries = entries;
        for (unsigned k = 0; k < MANY; k++) {
            envoy__service__ratelimit__v3__rate_limit_descriptor__entry__init(&m.entry[i][k]);
            m.entries[i][k] = &m.entry[i][k];
            m.entry[i][k].key = (char *)(uintptr_t) "k";
            m.entry[i][k].value = (char *)(uintptr_t) "v";
        }
    }
}

static uint8_t packed[1 << 16];

static struct slice message_pack(void)
{
    return slice_of((const char *)packed,
                    envoy__service__ratelimit__v3__rate_limit_request__pack(&m.request, packed));
}

static void assert_slice(struct slice s, const char *want)
{
    assert_int_equal(s.n, strlen(want));
    assert_memory_equal(s.p, want, s.n);
}

static void test_reads_what_others_write(void **state)
{
    struct rls_request r;

    (void)state;
    message_init(2, 2);
    m.entry[0][0].key = (char *)(uintptr_t) "generic_key";
    m.entry[0][0].value = (char *)(uintptr_t) "checkout";
    m.entry[1][1].value = (char *)(uintptr_t) "";
    m.hits[1].value = 7;
    m.descriptor[1].hits_addend = &m.hits[1];
    m.request.hits_addend = 3;
    assert_null(rls_request_read(message_pack(), &r));
    assert_slice(r.domain, "edge");
    assert_int_equal(r.n, 2);
    assert_int_equal(r.descriptor[0].n, 2);
    assert_slice(r.descriptor[0].entry[0].key, "generic_key");
    assert_slice(r.descriptor[0].entry[0].value, "checkout");
    assert_slice(r.descriptor[1].entry[1].key, "k");
    assert_slice(r.descriptor[1].entry[1].value, "");
    assert_int_equal(r.descriptor[0].hits, 3);
    assert_int_equal(r.descriptor[1].hits, 7);
}

static void test_hits(void **state)
{
    struct rls_request r;

    (void)state;
    message_init(2, 1);
    m.descriptor[0].hits_addend = &m.hits[0]; /* zero: only asks */
    assert_null(rls_request_read(message_pack(), &r));
    assert_int_equal(r.descriptor[0].hits, 0);
    assert_int_equal(r.descriptor[1].hits, 1);
    m.hits[0].value = 5;
    m.descriptor[0].is_negative_hits = true;
    assert_null(rls_request_read(message_pack(), &r));
    assert_int_equal(r.descriptor[0].hits, 0);
    m.descriptor[0].is_negative_hits = false;
    m.hits[0].value = UINT64_MAX;
    assert_non_null(rls_request_read(message_pack(), &r));
}

static void test_bounds(void **state)
{
    struct rls_request r;

    (void)state;
    message_init(RLS_DESCRIPTORS, RLS_ENTRIES);
    assert_null(rls_request_read(message_pack(), &r));
    message_init(RLS_DESCRIPTORS + 1, 1);
    assert_string_equal(rls_request_read(message_pack(), &r), "more than 16 descriptors");
    message_init(1, RLS_ENTRIES + 1);
    assert_string_equal(rls_request_read(message_pack(), &r),
                        "a descriptor has more than 16 entries");
    message_init(0, 0);
    assert_string_equal(rls_request_read(message_pack(), &r), "there are no descriptors");
    message_init(1, 0);
    assert_string_equal(rls_request_read(message_pack(), &r), "a descriptor has no entries");
    message_init(1, 1);
    m.request.domain = (char *)(uintptr_t) "";
    assert_string_equal(rls_request_read(message_pack(), &r), "the domain is empty");
}

/* Cut anywhere, it is malformed or another whole message, and nothing behind its end is read (the
 * sanitizer build sees). Unknown fields are passed over. */
static void test_any_bytes(void **state)
{
    static const char unknown[] = {0x78, 0x01, 0x72, 0x02, 'x', 'y'};
    struct rls_request r;
    struct slice whole;

    (void)state;
    message_init(3, 3);
    whole = message_pack();
    for (size_t n = 0; n < whole.n; n++) {
        char *cut = malloc(n ? n : 1);
        memcpy(cut, whole.p, n);
        (void)!rls_request_read(slice_of(cut, n), &r);
        free(cut);
    }
    for (size_t i = 0; i < whole.n; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            packed[i] ^= (uint8_t)(1u << bit);
            (void)!rls_request_read(whole, &r);
            packed[i] ^= (uint8_t)(1u << bit);
        }
    memcpy(packed + whole.n, unknown, sizeof unknown);
    assert_null(rls_request_read(slice_of(whole.p, whole.n + sizeof unknown), &r));
    assert_int_equal(r.n, 3);
    assert_non_null(rls_request_read(slice_of(whole.p, whole.n + sizeof unknown - 1), &r));
}

/* --- writing --- */

static pb_response *write(const struct rls_status *s, unsigned n, uint32_t retry_after_s)
{
    struct buf out = {0};
    pb_response *r;

    rls_response_write(retry_after_s ? RLS_OVER_LIMIT : RLS_OK, s, n, retry_after_s, &out);
    r = envoy__service__ratelimit__v3__rate_limit_response__unpack(NULL, out.n,
                                                                   (const uint8_t *)out.p);
    buf_free(&out);
    assert_non_null(r);
    return r;
}

static void test_writes_what_others_read(void **state)
{
    const struct rls_status s[] = {
        {.code = RLS_OK},
        {.code = RLS_OVER_LIMIT,
         .limit = SLICE_LIT("a-limit-with-a-name-as-long-as-names-may-be-48.."),
         .tokens = 1000000,
         .period_ns = NS_PER_S,
         .remaining = UINT64_MAX,
         .reset_ns = UINT64_MAX},
        {.code = RLS_OK, .limit = SLICE_LIT("x"), .tokens = 5, .period_ns = 10 * NS_PER_S},
    };
    pb_response *r = write(s, 3, 12);

    (void)state;
    assert_int_equal(r->overall_code, 2);
    assert_int_equal(r->n_statuses, 3);
    assert_int_equal(r->statuses[0]->code, 1);
    assert_null(r->statuses[0]->current_limit);
    assert_int_equal(r->statuses[1]->code, 2);
    assert_string_equal(r->statuses[1]->current_limit->name,
                        "a-limit-with-a-name-as-long-as-names-may-be-48..");
    assert_int_equal(r->statuses[1]->current_limit->requests_per_unit, 1000000);
    assert_int_equal(r->statuses[1]->limit_remaining, UINT32_MAX);
    assert_int_equal(r->statuses[1]->duration_until_reset->seconds, UINT64_MAX / NS_PER_S);
    assert_int_equal(r->statuses[2]->limit_remaining, 0);
    assert_int_equal(r->n_response_headers_to_add, 1);
    assert_string_equal(r->response_headers_to_add[0]->key, "retry-after");
    assert_string_equal(r->response_headers_to_add[0]->value, "12");
    envoy__service__ratelimit__v3__rate_limit_response__free_unpacked(r, NULL);
}

static void test_rates_in_units(void **state)
{
    static const struct {
        uint64_t tokens, period_ns;
        uint32_t per_unit, unit;
    } cases[] = {
        {20, NS_PER_S, 20, 1},
        {5, 10 * NS_PER_S, 30, 2},
        {100, 60 * NS_PER_S, 100, 2},
        {3, NS_PER_S / 2, 6, 1},
        {1, 3600 * NS_PER_S, 1, 3},
        {1, 86400 * NS_PER_S, 1, 4},
        {1, 7 * 86400 * NS_PER_S, 4, 5},
        {7, 3 * NS_PER_S, 140, 2},
        {1, 30 * 86400 * NS_PER_S, 1, 5},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rls_status s = {RLS_OK, SLICE_LIT("l"), cases[i].tokens, cases[i].period_ns, 0, 0};
        pb_response *r = write(&s, 1, 0);
        assert_int_equal(r->statuses[0]->current_limit->requests_per_unit, cases[i].per_unit);
        assert_int_equal(r->statuses[0]->current_limit->unit, cases[i].unit);
        assert_int_equal(r->n_response_headers_to_add, 0);
        envoy__service__ratelimit__v3__rate_limit_response__free_unpacked(r, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_others_write),
        cmocka_unit_test(test_hits),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_writes_what_others_read),
        cmocka_unit_test(test_rates_in_units),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
