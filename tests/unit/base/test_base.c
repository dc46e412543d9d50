/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/ip.h"
#include "base/slice.h"

static void test_decimal(void **state)
{
    uint64_t v = 7;

    (void)state;
    assert_true(slice_to_u64(SLICE_LIT("18446744073709551615"), &v));
    assert_true(v == UINT64_MAX);
    v = 7;
    assert_false(slice_to_u64(SLICE_LIT("18446744073709551616"), &v));
    assert_false(slice_to_u64(SLICE_LIT(""), &v));
    assert_false(slice_to_u64(SLICE_LIT("+1"), &v));
    assert_false(slice_to_u64(SLICE_LIT("1 "), &v));
    assert_int_equal(v, 7);
}

/* Against the C library, at every length and at the borders. */
static void test_numbers_as_text(void **state)
{
    char ours[21], theirs[21];

    (void)state;
    for (uint64_t v = 1, step = 0; step < 64; v *= 2, step++)
        for (uint64_t near = v - 2; near != v + 3; near++) {
            ours[fmt_u64(ours, near)] = '\0';
            snprintf(theirs, sizeof theirs, "%" PRIu64, near);
            assert_string_equal(ours, theirs);
            fmt_hex16(ours, near * UINT64_C(0x9e3779b97f4a7c15));
            ours[16] = '\0';
            snprintf(theirs, sizeof theirs, "%016" PRIx64, near * UINT64_C(0x9e3779b97f4a7c15));
            assert_string_equal(ours, theirs);
        }
    for (uint64_t power = 10; power % 10 == 0 && power <= UINT64_MAX / 10; power *= 10)
        for (uint64_t v = power * 10 - 1; v <= power * 10; v++) {
            ours[fmt_u64(ours, v)] = '\0';
            snprintf(theirs, sizeof theirs, "%" PRIu64, v);
            assert_string_equal(ours, theirs);
        }
    for (uint64_t v = 0; v < 11000; v++) {
        ours[fmt_u64(ours, v)] = '\0';
        snprintf(theirs, sizeof theirs, "%" PRIu64, v);
        assert_string_equal(ours, theirs);
    }
}

static void test_utf8(void **state)
{
    (void)state;
    assert_int_equal(utf8_len(SLICE_LIT("a")), 1);
    assert_int_equal(utf8_len(SLICE_LIT("\xc3\xa9")), 2);
    assert_int_equal(utf8_len(SLICE_LIT("\xf0\x9f\x98\x80")), 4);
    assert_int_equal(utf8_len(SLICE_LIT("\xc0\x80")), 0);         /* overlong */
    assert_int_equal(utf8_len(SLICE_LIT("\xed\xa0\x80")), 0);     /* surrogate */
    assert_int_equal(utf8_len(SLICE_LIT("\xf4\x90\x80\x80")), 0); /* above U+10FFFF */
    assert_int_equal(utf8_len(SLICE_LIT("\xe2\x82")), 0);         /* cut short */
}

static void test_text_of_any_origin(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_utf8(&b, SLICE_LIT("a\xff\xc3\xa9\xe2\x82"));
    assert_string_equal(buf_cstr(&b), "a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd");
    buf_free(&b);
}

static void test_ip_text(void **state)
{
    static const uint8_t v4[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 255};
    static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    char text[IP_TEXT_MAX];

    (void)state;
    assert_int_equal(ip_text(v4, text), 11);
    assert_string_equal(text, "192.0.2.255");
    assert_int_equal(ip_text(v6, text), 11);
    assert_string_equal(text, "2001:db8::1");
}

static void test_json_string(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_json(&b, SLICE_LIT("a\"\\\n\x01\xff\xc3\xa9"));
    assert_string_equal(buf_cstr(&b), "\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa9\"");
    buf_free(&b);
}

/* Every byte at every place of a text that is looked at eight bytes at a time. */
static void test_json_string_places(void **state)
{
    char text[20];
    struct buf b = {0}, alone = {0};

    (void)state;
    for (unsigned c = 0; c < 256; c++)
        for (unsigned at = 0; at < sizeof text; at++) {
            char one = (char)c;
            memset(text, 'x', sizeof text);
            text[at] = one;
            buf_clear(&b);
            buf_clear(&alone);
            buf_json(&b, slice_of(text, sizeof text));
            buf_json(&alone, slice_of(&one, 1));
            assert_int_equal(b.n, sizeof text - 1 + alone.n);
            assert_memory_equal(b.p + 1 + at, alone.p + 1, alone.n - 2);
            assert_int_equal(alone.n == 3, c >= 0x20 && c < 0x80 && c != '"' && c != '\\');
        }
    buf_free(&b);
    buf_free(&alone);
}

static void test_arena_large_and_small(void **state)
{
    struct arena_pool pool;
    struct arena a;
    char *small, *large, *next;

    (void)state;
    arena_pool_init(&pool, 4);
    arena_init(&a, &pool);
    small = arena_alloc(&a, 10);
    large = arena_alloc(&a, 3 * ARENA_CHUNK);
    next = arena_alloc(&a, 10);
    memset(large, 0xaa, 3 * ARENA_CHUNK);
    memset(small, 0xbb, 10);
    /* A large allocation does not end the chunk that was filling up. */
    assert_ptr_equal(next, small + 16);
    arena_reset(&a);
    assert_int_equal(pool.free_count, 1);
    arena_pool_fini(&pool);
}

static void test_iso8601(void **state)
{
    char out[CLOCK_ISO_MAX];

    (void)state;
    clock_iso8601(UINT64_C(1762171200123000000), 1, out);
    assert_string_equal(out, "2025-11-03T12:00:00.123Z");
    clock_iso8601(UINT64_C(1762171200123000000), 0, out);
    assert_string_equal(out, "2025-11-03T12:00:00Z");
}

/* Against one byte after the other: every byte at every place of runs up to three words long. */
static void test_ascii(void **state)
{
    static const unsigned char rules[][2] = {{' ', 0x7f}, {'!', '#'}, {'!', 0x7f}, {'!', '~'}};
    char text[24];

    (void)state;
    for (unsigned r = 0; r < sizeof rules / sizeof rules[0]; r++)
        for (size_t n = 0; n <= sizeof text; n++)
            for (unsigned c = 0; n > 0 ? c < 256 * n : c < 1; c++) {
                bool want =
                    n == 0 || (c / n >= rules[r][0] && c / n < 0x7f && c / n != rules[r][1]);
                memset(text, 'a', sizeof text);
                if (n > 0)
                    text[c % n] = (char)(c / n);
                assert_int_equal(slice_ascii(slice_of(text, n), rules[r][0], rules[r][1]), want);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ascii),
        cmocka_unit_test(test_decimal),
        cmocka_unit_test(test_numbers_as_text),
        cmocka_unit_test(test_json_string_places),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_json_string),
        cmocka_unit_test(test_text_of_any_origin),
        cmocka_unit_test(test_ip_text),
        cmocka_unit_test(test_arena_large_and_small),
        cmocka_unit_test(test_iso8601),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
