/* SPDX-License-Identifier: BSD-2-Clause */
/* Single values: numbers with units, address ranges, variables, paths, the hint for a misspelt
 * name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "conf/compiled.h"
#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/value.h"

static void number(enum setting_id id, const char *text, int64_t want)
{
    struct buf why = {0};
    struct value v;
    bool ok = value_parse(id, slice_str(text), &v, &why);

    if (want < 0 ? ok : !ok || v.num != want)
        fail_msg("%s: %s %lld %s", text, ok ? "ok" : "refused", (long long)v.num, buf_cstr(&why));
    buf_free(&why);
}

static void test_numbers(void **state)
{
    (void)state;
    number(S_HTTP_MAX_BODY, "0", 0);
    number(S_HTTP_MAX_BODY, "512", 512);
    number(S_HTTP_MAX_BODY, "8k", 8192);
    number(S_HTTP_MAX_BODY, "64m", 64 << 20);
    number(S_HTTP_MAX_BODY, "1g", 1 << 30);
    number(S_HTTP_MAX_BODY, "2g", -1);
    number(S_HTTP_MAX_BODY, "8kb", -1);
    number(S_HTTP_MAX_BODY, "k", -1);
    number(S_HTTP_MAX_BODY, "9223372036854775807g", -1);
    number(S_HTTP_MAX_BODY, "-1", -1);
    number(S_DRAIN_TIMEOUT, "500ms", 500);
    number(S_DRAIN_TIMEOUT, "10s", 10000);
    number(S_DRAIN_TIMEOUT, "7h", 7 * 3600000);
    number(S_DRAIN_TIMEOUT, "1h30m", 5400000);
    number(S_DRAIN_TIMEOUT, "0", 0);
    number(S_DRAIN_TIMEOUT, "10", -1);
    number(S_DRAIN_TIMEOUT, "1.5s", -1);
    number(S_DRAIN_TIMEOUT, "99999999999999999999s", -1);
    number(S_DRAIN_TIMEOUT, "2d", -1);
    number(S_UPSTREAM_RETRY_BUDGET, "100%", 100);
    number(S_UPSTREAM_RETRY_BUDGET, "101%", -1);
    number(S_UPSTREAM_RETRY_BUDGET, "10", -1);
    number(S_ADMIN_SOCKET_MODE, "0660", 0660);
    number(S_ADMIN_SOCKET_MODE, "0680", -1);
    number(S_WORKERS, "auto", 0);
    number(S_WORKERS, "64", 64);
    number(S_WORKERS, "0", -1);
    number(S_WORKERS, "65", -1);
    number(S_ROUTE_RETRY, "true", 1);
    number(S_ROUTE_RETRY, "off", 0);
    number(S_ROUTE_RETRY, "True", -1);
    number(S_ROUTE_IDENTITY, "required", 1);
}

static void test_formats_back(void **state)
{
    struct buf out = {0};

    (void)state;
    value_format(T_SIZE, 65536, &out);
    value_format(T_DURATION, 90000, &out);
    value_format(T_DURATION, 0, &out);
    value_format(T_MODE, 0660, &out);
    assert_string_equal(buf_cstr(&out), "64k90s0s0660");
    buf_free(&out);
}

static void test_ranges(void **state)
{
    static const struct {
        const char *text;
        uint32_t bits; /* of the mapped form; 999: refused */
    } all[] = {
        {"10.0.0.0/8", 104}, {"192.0.2.1", 128}, {"::1", 128},        {"2001:db8::/32", 32},
        {"0.0.0.0/0", 96},   {"::/0", 0},        {"10.0.0.1/8", 999}, {"10.0.0.0/33", 999},
        {"10.0.0", 999},     {"::1/129", 999},   {"", 999},           {"1.2.3.4/", 999},
    };

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct buf why = {0};
        struct value v;
        bool ok = value_parse(S_TRUSTED_PROXIES, slice_str(all[i].text), &v, &why);

        assert_int_equal(ok ? v.cidr.bits : 999, all[i].bits);
        buf_free(&why);
    }
}

static void expands(const char *text, const char *want)
{
    struct buf out = {0}, why = {0};
    size_t at;
    bool ok = value_expand(slice_str(text), &out, &at, &why);

    if (want == NULL ? ok : !ok || strcmp(buf_cstr(&out), want) != 0)
        fail_msg("%s: %s", text, buf_cstr(ok ? &out : &why));
    buf_free(&out);
    buf_free(&why);
}

static void test_variables(void **state)
{
    (void)state;
    setenv("CONF_TEST_A", "alpha", 1);
    setenv("CONF_TEST_EMPTY", "", 1);
    unsetenv("CONF_TEST_NONE");
    expands("x${CONF_TEST_A}y${CONF_TEST_A}", "xalphayalpha");
    expands("${CONF_TEST_NONE:-d e}", "d e");
    expands("${CONF_TEST_EMPTY:-d}", "d");
    expands("${CONF_TEST_EMPTY}", "");
    expands("${CONF_TEST_NONE:-}", "");
    expands("$$5 $$${CONF_TEST_A} $x $", "$5 $alpha $x $");
    expands("${CONF_TEST_NONE}", NULL);
    expands("${CONF_TEST_A", NULL);
    expands("${}", NULL);
    expands("${1A}", NULL);
    expands("${CONF_TEST_A-x}", NULL);
}

static void test_paths(void **state)
{
    static const char *const paths[][3] = {
        {"/", "run/a.sock", "/run/rushgate/a.sock"},
        {"/", "log/b", "/var/log/rushgate/b"},
        {"/", "data/c.db", "/var/lib/rushgate/c.db"},
        {"/", "/x/y", "/x/y"},
        {"/p", "run/a", "/p/run/a"},
        {"/p", "other", "/p/other"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct buf out = {0};
        conf_path(paths[i][0], slice_str(paths[i][1]), &out);
        assert_string_equal(buf_cstr(&out), paths[i][2]);
        buf_free(&out);
    }
}

static bool in_range(const char *range, const char *addr)
{
    struct {
        struct conf_root root;
        struct conf_cidr cidr;
    } blob = {0};
    struct conf_arr one = {(uint32_t)((char *)&blob.cidr - (char *)&blob), 1};
    struct buf why = {0};
    struct value v, a;

    assert_true(value_parse(S_TRUSTED_PROXIES, slice_str(range), &v, &why));
    assert_true(value_parse(S_TRUSTED_PROXIES, slice_str(addr), &a, &why));
    blob.cidr = v.cidr;
    return conf_cidr_match(&blob.root, one, a.cidr.addr);
}

static void test_range_ends(void **state)
{
    (void)state;
    assert_true(in_range("10.64.0.0/10", "10.64.0.0"));
    assert_true(in_range("10.64.0.0/10", "10.127.255.255"));
    assert_false(in_range("10.64.0.0/10", "10.128.0.0"));
    assert_false(in_range("10.64.0.0/10", "10.63.255.255"));
    assert_true(in_range("192.0.2.254/31", "192.0.2.255"));
    assert_false(in_range("192.0.2.254/31", "192.0.2.253"));
    assert_true(in_range("0.0.0.0/0", "203.0.113.1"));
    assert_false(in_range("0.0.0.0/0", "2001:db8::1"));
    assert_true(in_range("::/0", "2001:db8::1"));
    assert_true(in_range("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(in_range("2001:db8::/33", "2001:db8:8000::1"));
}

static void suggests(const char *word, const char *want)
{
    static const char *const known[] = {"upstream", "http", "log", "identity", "host"};
    struct suggest s;

    suggest_init(&s, slice_str(word));
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        suggest_try(&s, slice_str(known[i]));
    if (want == NULL ? suggest_hint(&s) != NULL
                     : suggest_hint(&s) == NULL || !slice_eq(s.best, slice_str(want)))
        fail_msg("%s: %s", word, suggest_hint(&s));
}

static void test_suggestions(void **state)
{
    (void)state;
    suggests("upstrem", "upstream");   /* a letter missing */
    suggests("upstreams", "upstream"); /* one too many */
    suggests("htpt", "http");          /* two swapped */
    suggests("xpstrxam", "upstream");  /* two others */
    suggests("lig", "log");
    suggests("indetity", "identity");
    suggests("xyz", NULL);
    suggests("", NULL);
    suggests("upXXXXam", NULL);
}

static void test_rates(void **state)
{
    static const struct {
        const char *text;
        int64_t tokens;
        uint64_t period_ns; /* 0: refused */
    } all[] = {
        {"20/s", 20, 1000000000},
        {"5/10s", 5, 10000000000},
        {"100/m", 100, 60000000000},
        {"1/h", 1, 3600000000000},
        {"1/1h30m", 1, 5400000000000},
        {"1000/ms", 1000, 1000000},
        {"1000000/s", 1000000, 1000000000},
        {"1000001/s", 0, 0},
        {"1001/ms", 0, 0},
        {"1/30d", 1, 2592000000000000},
        {"1/31d", 0, 0},
        {"/s", 0, 0},
        {"1/", 0, 0},
        {"1/10", 0, 0},
        {"-1/s", 0, 0},
        {"1.5/s", 0, 0},
        {"1/0s", 0, 0},
        {"1 / s", 0, 0},
        {"", 0, 0},
        {"99999999999999999999/s", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct buf why = {0};
        struct value v;
        bool ok = value_parse(S_LIMIT_RATE, slice_str(all[i].text), &v, &why);
        if (ok != (all[i].period_ns != 0) ||
            (ok && (v.num != all[i].tokens || v.period_ns != all[i].period_ns)))
            fail_msg("%s: %s", all[i].text, ok ? "ok" : buf_cstr(&why));
        buf_free(&why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_formats_back), cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_variables),    cmocka_unit_test(test_paths),
        cmocka_unit_test(test_range_ends),   cmocka_unit_test(test_suggestions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
