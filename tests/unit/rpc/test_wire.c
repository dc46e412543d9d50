/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>

#include "base/clock.h"
#include "rpc/addr.h"
#include "rpc/status.h"
#include "rpc/wire.h"

static void test_body(void **state)
{
    static const struct {
        struct slice body;
        enum wire_body want;
    } cases[] = {
        {{"", 0}, WIRE_BODY_PART},
        {{"\0\0\0", 3}, WIRE_BODY_PART},
        {{"\0\0\0\0\0", 5}, WIRE_BODY_ONE},
        {{"\0\0\0\0\3abc", 8}, WIRE_BODY_ONE},
        {{"\0\0\0\0\3ab", 7}, WIRE_BODY_PART},
        {{"\0\0\0\0\3abcd", 9}, WIRE_BODY_SEVERAL},
        {{"\1\0\0\0\3abc", 8}, WIRE_BODY_COMPRESSED},
        {{"\2\0\0\0\3abc", 8}, WIRE_BODY_BAD_FLAG},
        {{"\0\0\0\0\x15", 5}, WIRE_BODY_TOO_LARGE},
        {{"\0\xff\xff\xff\xff", 5}, WIRE_BODY_TOO_LARGE},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(wire_body_check(cases[i].body, 20), cases[i].want);
}

static void test_timeout(void **state)
{
    static const struct {
        uint64_t ns;
        const char *want;
    } formats[] = {
        {1, "1u"},
        {999 * NS_PER_US, "999u"},
        {NS_PER_MS, "1m"},
        {2 * NS_PER_S, "2000m"},
        {1500 * NS_PER_US, "2m"},
        {UINT64_C(100000) * NS_PER_S, "100000S"},
        {UINT64_MAX, "307445735M"},
    };
    static const char *const bad[] = {"", "1", "m", "123456789m", "-1m", "1x", "1 m", "m1"};
    char out[WIRE_TIMEOUT_MAX];
    uint64_t ns = 77;

    (void)state;
    for (unsigned i = 0; i + 1 < sizeof formats / sizeof formats[0]; i++) {
        struct slice got = slice_of(out, wire_timeout_format(out, formats[i].ns));
        assert_true(slice_eq(got, slice_str(formats[i].want)));
    }
    assert_in_range(wire_timeout_format(out, UINT64_MAX), 2, 9); /* never more than 8 digits */
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(wire_timeout_parse(slice_str(bad[i]), &ns));
    assert_int_equal(ns, 77);
    assert_true(wire_timeout_parse(SLICE_LIT("3u"), &ns));
    assert_int_equal(ns, 3000);
    assert_true(wire_timeout_parse(SLICE_LIT("2H"), &ns));
    assert_int_equal(ns, 7200 * NS_PER_S);
    assert_true(wire_timeout_parse(SLICE_LIT("99999999H"), &ns));
    assert_int_equal(ns, UINT64_MAX / 4);
}

static void test_percent(void **state)
{
    static const char raw[] = "100% \xc3\xa9\n~";
    struct buf b = {0}, back = {0};

    (void)state;
    wire_percent_encode(&b, SLICE_LIT(raw));
    assert_string_equal(buf_cstr(&b), "100%25 %C3%A9%0A~");
    wire_percent_decode(&back, buf_view(&b));
    assert_string_equal(buf_cstr(&back), raw);
    buf_clear(&back);
    wire_percent_decode(&back, SLICE_LIT("%zz%4%41%"));
    assert_string_equal(buf_cstr(&back), "%zz%4A%");
    buf_free(&b);
    buf_free(&back);
}

static void test_status(void **state)
{
    (void)state;
    assert_int_equal(rpc_status_http(RPC_OK), 200);
    assert_int_equal(rpc_status_http(RPC_UNAVAILABLE), 503);
    assert_int_equal(rpc_status_http(RPC_FAILED_PRECONDITION), 400);
    assert_int_equal(rpc_status_http(99), 500);
    assert_int_equal(rpc_status_http(-1), 500);
    assert_string_equal(rpc_status_name(8), "RESOURCE_EXHAUSTED");
    assert_string_equal(rpc_status_name(17), "UNKNOWN");
    assert_int_equal(wire_status_of_http(404), RPC_UNIMPLEMENTED);
    assert_int_equal(wire_status_of_http(503), RPC_UNAVAILABLE);
    assert_int_equal(wire_status_of_http(200), RPC_UNKNOWN);
    assert_int_equal(wire_status_of_reset(NGHTTP2_CANCEL), RPC_CANCELLED);
    assert_true(wire_is_grpc(SLICE_LIT("application/grpc")));
    assert_true(wire_is_grpc(SLICE_LIT("application/grpc+proto")));
    assert_false(wire_is_grpc(SLICE_LIT("application/grpc-web")));
    assert_false(wire_is_grpc(SLICE_LIT("application/json")));
}

static void test_meta(void **state)
{
    struct meta_set m = {0};
    char big[WIRE_META_BYTES_MAX] = {0};
    const struct rpc_meta *v;

    (void)state;
    for (unsigned i = 0; i < WIRE_META_MAX; i++)
        meta_add(&m, SLICE_LIT("name"), SLICE_LIT("value"));
    assert_false(m.overflow);
    v = meta_view(&m);
    assert_true(slice_eq(v[WIRE_META_MAX - 1].name, SLICE_LIT("name")));
    assert_true(slice_eq(v[WIRE_META_MAX - 1].value, SLICE_LIT("value")));
    meta_add(&m, SLICE_LIT("name"), SLICE_LIT("value"));
    assert_true(m.overflow);
    meta_clear(&m);
    meta_add(&m, SLICE_LIT("a"), slice_of(big, sizeof big - 1));
    assert_false(m.overflow);
    meta_add(&m, SLICE_LIT("a"), SLICE_NONE);
    assert_true(m.overflow);
    meta_free(&m);
}

static void test_addr(void **state)
{
    static const struct {
        const char *text, *back;
        int rc;
    } cases[] = {
        {"unix:/run/x.sock", "unix:/run/x.sock", 0},
        {"unix:@name", "unix:@name", 0},
        {"127.0.0.1:80", "127.0.0.1:80", 0},
        {"[::1]:65535", "[::1]:65535", 0},
        {"*:8080", "[::]:8080", 0},
        {":8080", "[::]:8080", 0},
        {"unix:", NULL, -EINVAL},
        {"unix:@", NULL, -EINVAL},
        {"127.0.0.1", NULL, -EINVAL},
        {"127.0.0.1:", NULL, -EINVAL},
        {"127.0.0.1:0", NULL, -EINVAL},
        {"127.0.0.1:65536", NULL, -EINVAL},
        {"127.0.0.1:8o", NULL, -EINVAL},
        {"::1:80", NULL, -EINVAL},
        {"localhost:80", NULL, -EINVAL},
        {"256.0.0.1:80", NULL, -EINVAL},
        {"", NULL, -EINVAL},
    };
    char longest[200], out[ADDR_TEXT_MAX];
    struct addr a;
    const char *why;

    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        why = NULL;
        assert_int_equal(addr_parse(slice_str(cases[i].text), 0, &a, &why), cases[i].rc);
        if (cases[i].rc == 0) {
            addr_format((struct sockaddr *)&a.sa, a.len, out);
            assert_string_equal(out, cases[i].back);
        } else {
            assert_non_null(why);
        }
    }
    assert_int_equal(addr_parse(SLICE_LIT("127.0.0.1:0"), ADDR_LISTEN, &a, NULL), 0);
    assert_int_equal(addr_parse(SLICE_LIT("localhost:80"), ADDR_RESOLVE, &a, NULL), 0);
    snprintf(longest, sizeof longest, "unix:/%0107d", 1);
    assert_int_equal(addr_parse(slice_str(longest), 0, &a, NULL), -ENAMETOOLONG);
    longest[5 + 107] = '\0';
    assert_int_equal(addr_parse(slice_str(longest), 0, &a, NULL), 0);
    assert_int_equal(addr_format((struct sockaddr *)&a.sa, a.len, out), 112);
}

/* A stale socket is replaced; a live one, and a file that is none, are left alone. */
static void test_listen_unix(void **state)
{
    char dir[] = "/tmp/test_addr.XXXXXX", text[64];
    struct addr_listen opt = {.mode = 0600};
    struct addr a;
    struct stat st;
    int first, second;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(text, sizeof text, "unix:%s/s", dir);
    assert_int_equal(addr_parse(slice_str(text), 0, &a, NULL), 0);
    first = addr_listen(&a, &opt);
    assert_true(first >= 0);
    assert_int_equal(stat(text + 5, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(addr_listen(&a, &opt), -EADDRINUSE);
    close(first); /* the file stays, as after a kill -9 */
    second = addr_listen(&a, &opt);
    assert_true(second >= 0);
    close(second);
    addr_unlink(&a);
    assert_int_equal(stat(text + 5, &st), -1);
    fclose(fopen(text + 5, "w"));
    assert_int_equal(addr_listen(&a, &opt), -EADDRINUSE);
    assert_int_equal(stat(text + 5, &st), 0);
    unlink(text + 5);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_body),        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_percent),     cmocka_unit_test(test_status),
        cmocka_unit_test(test_meta),        cmocka_unit_test(test_addr),
        cmocka_unit_test(test_listen_unix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
