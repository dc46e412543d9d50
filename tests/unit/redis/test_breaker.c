/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "redis/breaker.h"
#include "redis/trouble.h"

static void test_opens_after_failures_in_a_row(void **state)
{
    struct breaker b = {.threshold = 3, .open_ns = 100};

    (void)state;
    assert_false(breaker_fail(&b, 1));
    assert_false(breaker_fail(&b, 2));
    breaker_succeed(&b);
    assert_false(breaker_fail(&b, 3));
    assert_false(breaker_fail(&b, 4));
    assert_int_equal(breaker_state(&b, 4), BREAKER_CLOSED);
    assert_true(breaker_fail(&b, 5));
    assert_int_equal(breaker_state(&b, 5), BREAKER_OPEN);
    assert_int_equal(breaker_state(&b, 104), BREAKER_OPEN);
    assert_int_equal(breaker_state(&b, 105), BREAKER_HALF_OPEN);
}

static void test_one_probe_decides(void **state)
{
    struct breaker b = {.threshold = 2, .open_ns = 100};

    (void)state;
    breaker_fail(&b, 0);
    assert_true(breaker_fail(&b, 0));
    assert_false(breaker_fail(&b, 50)); /* asked before: does not prolong */
    assert_int_equal(breaker_state(&b, 100), BREAKER_HALF_OPEN);
    assert_true(breaker_fail(&b, 100));
    assert_int_equal(breaker_state(&b, 199), BREAKER_OPEN);
    assert_int_equal(breaker_state(&b, 200), BREAKER_HALF_OPEN);
    breaker_succeed(&b);
    assert_int_equal(breaker_state(&b, 200), BREAKER_CLOSED);
    assert_false(breaker_fail(&b, 201));
}

static void test_advice(void **state)
{
    (void)state;
    assert_non_null(strstr(redis_advice("READONLY You can't write"), "primary"));
    assert_non_null(strstr(redis_advice("NOAUTH Authentication required."), "password_file"));
    assert_string_equal(redis_advice("WHATEVER"), "see its log");
    assert_string_equal(redis_advice(""), "see its log");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens_after_failures_in_a_row),
        cmocka_unit_test(test_one_probe_decides),
        cmocka_unit_test(test_advice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
