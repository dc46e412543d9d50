/* SPDX-License-Identifier: BSD-2-Clause */
/* Cookie headers as browsers, proxies and people who want to break things send them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/hash.h"
#include "http/cookie.h"

/* Pairs as "name=value|name=value". */
static void check(const char *header, const char *want)
{
    struct slice rest = slice_str(header), name, value;
    struct buf got = {0};

    while (http_cookie_next(&rest, &name, &value))
        buf_printf(&got, "%s%.*s=%.*s", got.n > 0 ? "|" : "", SLICE_ARG(name), SLICE_ARG(value));
    assert_string_equal(buf_cstr(&got), want);
    buf_free(&got);
}

static void test_pairs(void **state)
{
    (void)state;
    check("a=1", "a=1");
    check("a=1; b=2;c=3", "a=1|b=2|c=3");
    check(" a = 1 ;\tb =\t2 ", "a=1|b=2");
    check("a=\"x y\"; b=\"; c=\"\"", "a=x y|b=\"|c=");
    check("a=b=c; d==", "a=b=c|d==");
    check("a=1; a=2", "a=1|a=2");
    check("A=1; a=2", "A=1|a=2");
}

static void test_nonsense(void **state)
{
    (void)state;
    check("", "");
    check(";", "");
    check(" ; ;; ", "");
    check("a", "");
    check("=1; ; a; b=2", "b=2");
    check("a=", "a=");
    check("a=;", "a=");
    check("a=1,b=2", "a=1,b=2"); /* ',' separates nothing here */
}

/* Any bytes at all: pairs lie inside the header, in order, and it ends. */
static void test_random_bytes(void **state)
{
    static const char alphabet[] = "ab=;\" \t,\0\xff";
    uint64_t rng = 7;

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        size_t n = random_next(&rng) % 64;
        char *p = malloc(n + 1), *end = p + n; /* to the byte, for the sanitizer */
        struct slice rest = slice_of(p, n), name, value;
        const char *last = p;
        assert_non_null(p);
        for (size_t i = 0; i < n; i++)
            p[i] = alphabet[random_next(&rng) % (sizeof alphabet - 1)];
        while (http_cookie_next(&rest, &name, &value)) {
            assert_true(name.n > 0 && name.p >= last && name.p + name.n < end);
            assert_true(value.p > name.p && value.p + value.n <= end);
            assert_null(memchr(name.p, ';', name.n));
            assert_null(memchr(name.p, '=', name.n));
            assert_true(value.n == 0 || memchr(value.p, ';', value.n) == NULL);
            last = value.p + value.n;
        }
        assert_int_equal(rest.n, 0);
        free(p);
    }
}

static void test_huge(void **state)
{
    size_t n = 1 << 20, pairs = 0;
    char *p = malloc(n);
    struct slice rest = slice_of(p, n), name, value;

    (void)state;
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = "a=1;"[i % 4];
    while (http_cookie_next(&rest, &name, &value))
        pairs++;
    assert_int_equal(pairs, n / 4);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_huge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
