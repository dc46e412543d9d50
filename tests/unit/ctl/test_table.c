/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "../../../tools/rushctl/table.h"

static void check(const char *view, const char *rows_text, const char *fields, bool header,
                  const char *want)
{
    struct table_style style = {header, false};
    struct buf out = {0};
    json_error_t e;
    json_t *rows = json_loads(rows_text, 0, &e);

    assert_non_null(rows);
    table_write(&out, view, rows, fields, &style);
    assert_string_equal(buf_cstr(&out), want);
    json_decref(rows);
    buf_free(&out);
}

static void test_alignment(void **state)
{
    (void)state;
    check("sales",
          "[{\"event\":\"swift-sh\",\"state\":\"open\",\"quota\":50000,\"sold\":31204},"
          "{\"event\":\"x\",\"state\":\"paused\",\"quota\":18,\"sold\":null}]",
          NULL, true,
          "EVENT     STATE   QUOTA   SOLD\n"
          "swift-sh  open    50000  31204\n"
          "x         paused     18      -\n");
    check("sales", "[{\"event\":\"a\",\"x\":1.5}]", "x,event", true, "  X  EVENT\n1.5  a\n");
    check("sales", "[{\"event\":\"a\",\"quota\":1}]", NULL, false, "a  1\n");
    check("sales", "[]", "event", true, "EVENT\n");
}

/* Widths are those of a terminal: two columns for CJK, none for combining marks. */
static void test_widths(void **state)
{
    (void)state;
    assert_int_equal(text_width(SLICE_LIT("abc")), 3);
    assert_int_equal(text_width(SLICE_LIT("\xe6\xbc\x94\xe5\x94\xb1")), 4);
    assert_int_equal(text_width(SLICE_LIT("e\xcc\x81")), 1);
    assert_int_equal(text_width(SLICE_LIT("\xff")), 1);
    check("sales", "[{\"event\":\"\\u6f14\",\"quota\":1},{\"event\":\"abcd\",\"quota\":2}]", NULL,
          false, "\xe6\xbc\x94    1\nabcd  2\n");
}

/* Nothing in a cell may move the cursor, colour the screen or turn the writing direction. */
static void test_hostile_text(void **state)
{
    struct buf out = {0};

    (void)state;
    text_clean(&out, SLICE_LIT("a\x1b[2Jb\r\n\x7f\xc2\x9b\xff\xe2\x80\xaez"));
    assert_string_equal(buf_cstr(&out), "a?[2Jb????\xef\xbf\xbd?z");
    buf_free(&out);
}

static void test_seconds(void **state)
{
    static const struct {
        double s;
        const char *want;
    } cases[] = {{0, "0us"},        {0.0000021, "2.1us"}, {0.00085, "850us"},
                 {0.0015, "1.5ms"}, {0.041, "41ms"},      {1.2, "1.20s"},
                 {59.96, "60.0s"},  {150, "2m30s"},       {7260, "2h01m"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};
        text_seconds(&out, cases[i].s);
        assert_string_equal(buf_cstr(&out), cases[i].want);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_hostile_text),
        cmocka_unit_test(test_seconds),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
