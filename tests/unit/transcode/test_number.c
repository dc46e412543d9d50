/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers and times: exact integers, shortest doubles, calendars. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/hash.h"
#include "transcode/number.h"
#include "transcode/timestamp.h"

static void test_integers(void **state)
{
    static const struct {
        const char *text;
        enum number_result result;
        uint64_t magnitude;
    } cases[] = {
        {"0", NUMBER_OK, 0},
        {"-0", NUMBER_OK, 0},
        {"18446744073709551615", NUMBER_OK, UINT64_MAX},
        {"18446744073709551616", NUMBER_RANGE, 0},
        {"18446744073709551615.000", NUMBER_OK, UINT64_MAX},
        {"1844674407370955161.5e1", NUMBER_OK, UINT64_MAX},
        {"1e3", NUMBER_OK, 1000},
        {"1.0", NUMBER_OK, 1},
        {"12.5e1", NUMBER_OK, 125},
        {"120e-1", NUMBER_OK, 12},
        {"1e19", NUMBER_OK, UINT64_C(10000000000000000000)},
        {"1e20", NUMBER_RANGE, 0},
        {"1e999999999999999999", NUMBER_RANGE, 0},
        {"0e999999999999999999", NUMBER_OK, 0},
        {"1e-999999999999999999", NUMBER_FRACTION, 0},
        {"0.5", NUMBER_FRACTION, 0},
        {"1.0000000000000000000000000000001", NUMBER_FRACTION, 0},
        {"9007199254740993", NUMBER_OK, UINT64_C(9007199254740993)},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t magnitude = 0;
        bool negative;

        if (number_integer(slice_str(cases[i].text), &negative, &magnitude) != cases[i].result ||
            (cases[i].result == NUMBER_OK && magnitude != cases[i].magnitude))
            fail_msg("%s", cases[i].text);
        assert_int_equal(negative, cases[i].text[0] == '-');
    }
}

static void test_double_text(void **state)
{
    static const struct {
        double v;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0.0"},
        {1, "1"},
        {88.25, "88.25"},
        {0.1, "0.1"},
        {0.3, "0.3"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1e21, "1e+21"},
        {123456789.125, "123456789.125"},
        {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {9007199254740993.0, "9007199254740992"},
        {-1.5, "-1.5"},
        {0.00001, "1e-05"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf b = {0};
        number_print_double(&b, cases[i].v);
        assert_string_equal(buf_cstr(&b), cases[i].text);
        buf_free(&b);
    }
}

/* What is printed reads back the same, by our reader and by libc's. */
static void check_round_trip(double v)
{
    struct buf b = {0};
    double back;

    number_print_double(&b, v);
    assert_true(number_double(buf_view(&b), &back));
    if (memcmp(&back, &v, sizeof v) != 0 || strtod(buf_cstr(&b), NULL) != v)
        fail_msg("%.17g printed as %s", v, buf_cstr(&b));
    buf_free(&b);
}

static void test_double_round_trip(void **state)
{
    uint64_t seed = 42;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t bits = random_next(&seed);
        double any, price = (double)(bits % 1000000000) / 100, small;
        float narrow;
        struct buf b = {0};

        memcpy(&any, &bits, sizeof any);
        if (isfinite(any))
            check_round_trip(any);
        check_round_trip(price);
        small = (double)(bits >> 20) / 1048576.0;
        check_round_trip(small);
        narrow = (float)small;
        number_print_float(&b, narrow);
        assert_true(strtof(buf_cstr(&b), NULL) == narrow);
        buf_free(&b);
    }
}

static void test_double_read(void **state)
{
    static const char *const cases[] = {
        "0",
        "1e22",
        "1e23",
        "123456789012345678",
        "9007199254740993",
        "0.1",
        "1e-22",
        "1e-23",
        "2.2250738585072011e-308",
        "1.7976931348623158e308",
        "4.9e-324",
        "179769313486231570793e288",
        "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803",
    };
    double v;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(number_double(slice_str(cases[i]), &v));
        if (v != strtod(cases[i], NULL))
            fail_msg("%s read as %.17g", cases[i], v);
    }
    assert_false(number_double(SLICE_LIT("1e309"), &v));
    assert_true(number_double(SLICE_LIT("1e-400"), &v));
    assert_true(v == 0);
}

/* Against libc's calendar, over all years that a Timestamp can have. */
static void test_calendar(void **state)
{
    uint64_t seed = 7;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        int64_t back, s = (int64_t)(random_next(&seed) % UINT64_C(315537897600)) - 62135596800;
        time_t t = (time_t)s;
        char expected[40];
        struct buf b = {0};
        int32_t nanos;
        struct tm tm;

        gmtime_r(&t, &tm);
        snprintf(expected, sizeof expected, "\"%04d-%02d-%02dT%02d:%02d:%02dZ\"", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        assert_true(timestamp_print(&b, s, 0));
        assert_string_equal(buf_cstr(&b), expected);
        assert_true(timestamp_parse(slice_of(b.p + 1, b.n - 2), &back, &nanos));
        assert_true(back == s && nanos == 0);
        buf_free(&b);
    }
}

/* Days that random seconds hardly ever hit. */
static void test_leap_days(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t seconds;
    } cases[] = {
        {"2000-02-29T00:00:00Z", true, 951782400},   {"2024-02-29T00:00:00Z", true, 1709164800},
        {"1900-02-29T00:00:00Z", false, 0},          {"2023-02-29T00:00:00Z", false, 0},
        {"2100-02-29T00:00:00Z", false, 0},          {"2000-02-30T00:00:00Z", false, 0},
        {"1900-03-01T00:00:00Z", true, -2203891200},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t seconds = 0;
        int32_t nanos;

        if (timestamp_parse(slice_str(cases[i].text), &seconds, &nanos) != cases[i].ok ||
            (cases[i].ok && seconds != cases[i].seconds))
            fail_msg("%s", cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),          cmocka_unit_test(test_double_text),
        cmocka_unit_test(test_double_round_trip), cmocka_unit_test(test_double_read),
        cmocka_unit_test(test_calendar),          cmocka_unit_test(test_leap_days),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
