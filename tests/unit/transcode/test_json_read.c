/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The JSON reader against JSONTestSuite (y_ must be accepted, n_ refused, i_ must not crash) from
 * $RUSHGATE_VECTORS or ../shared/vectors beside the source tree; skipped without it. What the suite
 * does not cover is in the cases here.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdlib.h>

#include "transcode_rig.h"
#include "transcode/json_read.h"

static bool accepts(struct slice text)
{
    struct json_reader r;
    struct json_value v;

    json_init(&r, text);
    return json_value(&r, &v) && json_skip(&r, &v) && json_end(&r);
}

static void check_file(const char *folder, const char *name)
{
    char path[4400];
    struct buf b = {0};
    bool ok;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    rig_read(path, &b);
    ok = accepts(buf_view(&b));
    buf_free(&b);
    if (name[0] == 'y' && !ok)
        fail_msg("%s must be accepted", name);
    if (name[0] == 'n' && ok)
        fail_msg("%s must be refused", name);
}

static DIR *open_suite(char *folder, size_t size)
{
    const char *vectors = getenv("RUSHGATE_VECTORS");

    snprintf(folder, size, "%s/json/test_parsing",
             vectors ? vectors : TOP_SRCDIR "/../shared/vectors");
    return opendir(folder);
}

static void test_suite(void **state)
{
    struct dirent *entry;
    char folder[4000];
    unsigned n = 0;
    DIR *dir;

    (void)state;
    dir = open_suite(folder, sizeof folder);
    if (dir == NULL)
        skip();
    while ((entry = readdir(dir)) != NULL)
        if (strstr(entry->d_name, ".json") != NULL) {
            check_file(folder, entry->d_name);
            n++;
        }
    closedir(dir);
    assert_true(n > 300);
}

static void test_depth(void **state)
{
    char text[2 * JSON_DEPTH_MAX + 2];

    (void)state;
    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    assert_true(accepts(slice_of(text, 2 * JSON_DEPTH_MAX)));
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    assert_false(accepts(slice_of(text, 2 * JSON_DEPTH_MAX + 2)));
}

static void test_strings(void **state)
{
    static const struct {
        const char *text, *meaning;
    } cases[] = {
        {"\"\"", ""},
        {"\"plain and longer than eight bytes\"", "plain and longer than eight bytes"},
        {"\"a\\\"b\\\\c\\/d\\b\\f\\n\\r\\t\"", "a\"b\\c/d\b\f\n\r\t"},
        {"\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\"1234567\\u20ac\"", "1234567\xe2\x82\xac"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json_reader r;
        struct json_value v;
        char out[100];
        size_t n;

        json_init(&r, slice_str(cases[i].text));
        assert_true(json_value(&r, &v));
        n = json_unescape(v.text, out);
        assert_true(slice_eq(slice_of(out, n), slice_str(cases[i].meaning)));
    }
}

/* Every byte at every place of a word of eight, so that the fast scan meets all of them. */
static void test_every_byte(void **state)
{
    (void)state;
    for (unsigned place = 0; place < 16; place++)
        for (unsigned c = 0; c < 256; c++) {
            char text[18] = "\"aaaaaaaaaaaaaaaa";
            bool ok = c >= 0x20 && c < 0x80 && c != '\\';

            text[1 + place] = (char)c;
            text[17] = '"';
            if (c == '"') /* ends the string early */
                ok = false;
            if (accepts(slice_of(text, sizeof text)) != ok)
                fail_msg("byte %u at %u", c, place);
        }
}

static void test_refused(void **state)
{
    static const char *const cases[] = {
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\\udc00\\udc00\"",
        "\"\xed\xa0\x80\"",
        "\"\xc0\x80\"",
        "\"\xf4\x90\x80\x80\"",
        "{\"a\":1,}",
        "[1 2]",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "--1",
        "tru",
        "nulll",
        "{} {}",
        "\"\\x41\"",
        "{\"a\" 1}",
        "{a:1}",
        "'a'",
        "[1,]",
        "\xef\xbb\xbf{}",
        "",
        " ",
        "NaN",
        "-Infinity",
        "\"a\tb\"",
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (accepts(slice_str(cases[i])))
            fail_msg("%s must be refused", cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suite),   cmocka_unit_test(test_depth),
        cmocka_unit_test(test_strings), cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char folder[4000];
    DIR *dir = open_suite(folder, sizeof folder);

    /* 77 is automake's word for skipped. */
    if (dir == NULL && failed == 0)
        return 77;
    if (dir != NULL)
        closedir(dir);
    return failed;
}
