/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "http/headers.h"
#include "http/method.h"
#include "http/problem.h"

static void same(struct slice s, const char *want)
{
    if (s.n != strlen(want) || memcmp(s.p, want, s.n) != 0)
        fail_msg("got \"%.*s\", want \"%s\"", SLICE_ARG(s), want);
}

static void test_status(void **state)
{
    (void)state;
    same(http_status_line(404), "HTTP/1.1 404 Not Found\r\n");
    same(http_status_reason(503), "Service Unavailable");
    same(http_status_reason(299), "Unknown");
    assert_int_equal(http_status_line(299).n, 0);
    assert_int_equal(http_status_line(0).n, 0);
    assert_int_equal(http_status_line(9999).n, 0);
}

static void test_lists(void **state)
{
    struct slice list = SLICE_LIT(" a , Close,b");

    (void)state;
    assert_true(http_list_has(list, SLICE_LIT("close")));
    assert_true(http_list_has(list, SLICE_LIT("A")));
    assert_true(http_list_has(list, SLICE_LIT("b")));
    assert_false(http_list_has(list, SLICE_LIT("clos")));
    assert_true(http_hop_by_hop(SLICE_LIT("Transfer-encoding")));
    assert_false(http_hop_by_hop(SLICE_LIT("Content-Type")));
}

static void test_decode(void **state)
{
    static const char *const bad[] = {"%", "a%4", "%4g", "%%41"};
    char out[16];
    size_t n = 77;

    (void)state;
    assert_true(http_percent_decode(SLICE_LIT("a%41%2fb"), out, &n));
    same(slice_of(out, n), "aA/b");
    n = 77;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(http_percent_decode(slice_str(bad[i]), out, &n));
        assert_int_equal(n, 77);
    }
}

/* Formatted again only when the second has passed. */
static void test_date(void **state)
{
    struct http_date d;
    struct slice lines;
    uint64_t now = clock_mono_ns();

    (void)state;
    http_date_init(&d, SLICE_LIT("x"));
    lines = http_date_lines(&d, now);
    assert_int_equal(lines.n, strlen("Server: x\r\n") + HTTP_DATE_LINE);
    assert_memory_equal(lines.p, "Server: x\r\nDate: ", 17);
    assert_memory_equal(lines.p + lines.n - 6, " GMT\r\n", 6);
    assert_true(d.until_ns > now && d.until_ns <= now + NS_PER_S);
    d.line[20] = '#';
    assert_int_equal(http_date_lines(&d, d.until_ns - 1).p[20], '#');
    assert_int_not_equal(http_date_lines(&d, d.until_ns).p[20], '#');
    http_date_init(&d, SLICE_NONE);
    assert_int_equal(http_date_lines(&d, now).n, HTTP_DATE_LINE);
}

static void test_methods(void **state)
{
    (void)state;
    for (unsigned m = 0; m < METHOD_COUNT; m++)
        assert_int_equal(method_by_name(method_name((enum http_method_id)m)), m);
    assert_int_equal(method_by_name(SLICE_LIT("get")), METHOD_COUNT);
    assert_int_equal(method_by_name(SLICE_NONE), METHOD_COUNT);
}

static void test_problem(void **state)
{
    struct buf out = {0};

    (void)state;
    http_problem(&out, SLICE_LIT("urn:p:"), SLICE_LIT("sold-out"), SLICE_NONE, 409,
                 SLICE_LIT("None \"left\"."), SLICE_LIT("\"left\":0"));
    same(buf_view(&out), "{\"type\":\"urn:p:sold-out\",\"title\":\"Conflict\",\"status\":409,"
                         "\"detail\":\"None \\\"left\\\".\",\"left\":0}\n");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),  cmocka_unit_test(test_lists),
        cmocka_unit_test(test_decode),  cmocka_unit_test(test_date),
        cmocka_unit_test(test_methods), cmocka_unit_test(test_problem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
