/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "ctl/commands.h"
#include "ctl/json.h"
#include "ctl/errors.h"
#include "ctl/manual.h"
#include "ctl/peer.h"

#define WORDS(...)                                                                                 \
    (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)

static struct ctl_invocation inv;
static char message[512], hint[512];

static bool parse(const char *const *argv, size_t argc)
{
    struct ctl_complaint why = {0};
    bool ok = ctl_parse((unsigned)argc, argv, &inv, &why);

    snprintf(message, sizeof message, "%s", buf_cstr(&why.message));
    snprintf(hint, sizeof hint, "%s", buf_cstr(&why.hint));
    ctl_complaint_fini(&why);
    return ok;
}

static int reset(void **state)
{
    (void)state;
    memset(&inv, 0, sizeof inv);
    return 0;
}

static void test_finds_commands(void **state)
{
    (void)state;
    assert_true(parse(WORDS("show", "workers")));
    assert_int_equal(inv.id, CMD_SHOW_WORKERS);
    assert_int_equal(inv.args_n, 0);
    assert_true(parse(WORDS("sale", "pause", "demo-1")));
    assert_int_equal(inv.id, CMD_SALE_PAUSE);
    assert_string_equal(inv.args[0], "demo-1");
    assert_true(parse(WORDS("check")));
    assert_true(parse(WORDS("check", "a.yaml")));
    assert_true(parse(WORDS("help", "sale", "pause")));
    assert_int_equal(inv.args_n, 2);
}

static void test_complains(void **state)
{
    (void)state;
    assert_false(parse(NULL, 0));
    assert_false(parse(WORDS("relaod")));
    assert_string_equal(hint, "did you mean \"reload\"?");
    assert_false(parse(WORDS("limits")));
    assert_string_equal(hint, "did you mean \"show limits\"?");
    assert_false(parse(WORDS("show")));
    assert_non_null(strstr(hint, "workers"));
    assert_false(parse(WORDS("sale", "paus", "demo")));
    assert_string_equal(hint, "did you mean \"sale pause\"?");
    assert_false(parse(WORDS("sale", "pause")));
    assert_string_equal(message, "an argument is missing");
    assert_false(parse(WORDS("sale", "pause", "a", "b")));
    assert_string_equal(message, "too many arguments");
    assert_false(parse(WORDS("sale", "pause", "Nope")));
    assert_false(parse(WORDS("sale", "pause", "-x")));
    assert_false(parse(WORDS("sale", "pause", "")));
    assert_false(parse(WORDS("completion", "tcsh")));
    assert_string_equal(message, "\"tcsh\" is not one of bash|zsh|fish");
}

static void test_flags(void **state)
{
    (void)state;
    inv.flag[CTL_FLAG_WAIT] = "30s";
    assert_true(parse(WORDS("reload")));
    assert_false(parse(WORDS("status")));
    assert_string_equal(message, "status takes no --wait");
    inv.flag[CTL_FLAG_WAIT] = "soon";
    assert_false(parse(WORDS("reload")));
    assert_non_null(strstr(message, "soon"));
}

static void test_a_flag_that_repeats(void **state)
{
    (void)state;
    assert_int_equal(ctl_flag_by_letter('H'), CTL_FLAG_HEADER);
    assert_int_equal(ctl_flag_by_letter('w'), CTL_FLAG_COUNT);
    assert_false(ctl_flag_repeats(CTL_FLAG_WAIT));
    for (unsigned i = 0; i < CTL_MANY_MAX; i++)
        assert_true(ctl_flag_take(&inv, CTL_FLAG_HEADER, i == 0 ? "A: 1" : "B: 2"));
    assert_false(ctl_flag_take(&inv, CTL_FLAG_HEADER, "C: 3"));
    assert_true(parse(WORDS("explain", "GET", "/")));
    assert_int_equal(inv.many_n, CTL_MANY_MAX);
    assert_string_equal(inv.many[0], "A: 1");
    assert_string_equal(inv.many[CTL_MANY_MAX - 1], "B: 2");
    assert_false(parse(WORDS("status")));
}

static void test_durations(void **state)
{
    static const char *const bad[] = {
        "", "s", "5", "-1s", "1.5s", "5 s", "8785h", "99999999999s", "367d", "999999999d"};
    uint64_t ns;

    (void)state;
    assert_true(ctl_duration("30s", &ns));
    assert_true(ns == 30 * NS_PER_S);
    assert_true(ctl_duration("500ms", &ns));
    assert_true(ns == 500 * NS_PER_MS);
    assert_true(ctl_duration("2m", &ns));
    assert_true(ns == 120 * NS_PER_S);
    assert_true(ctl_duration("24h", &ns));
    assert_true(ctl_duration("366d", &ns));
    assert_true(ns == 366 * 86400 * NS_PER_S);
    assert_true(ctl_duration("0", &ns));
    assert_true(ns == 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(ctl_duration(bad[i], &ns));
}

/* The table itself: whatever changes the daemon needs permission, no flag is misspelt, no words
 * twice. */
static void test_table_is_sound(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CMD_COUNT; i++) {
        const struct ctl_command *c = &ctl_commands[i];
        const char *flags = c->flags;
        struct slice word;
        bool looks = strncmp(c->words, "show", 4) == 0 || strcmp(c->words, "status") == 0 ||
                     strcmp(c->words, "changes") == 0 || strcmp(c->words, "diff") == 0 ||
                     strcmp(c->words, "config diff") == 0 || strcmp(c->words, "explain") == 0;
        unsigned repeated = 0;
        assert_int_equal(c->permission == CTL_VIEW, looks || c->where == CTL_LOCAL);
        while (ctl_word(&flags, ' ', &word)) {
            char name[32];
            snprintf(name, sizeof name, "%.*s", SLICE_ARG(word));
            assert_int_not_equal(ctl_flag_by_name(name), CTL_FLAG_COUNT);
            repeated += ctl_flag_repeats(ctl_flag_by_name(name));
        }
        assert_true(repeated <= 1); /* their values have one place */
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(c->words, ctl_commands[k].words);
    }
}

static void test_permission(void **state)
{
    const gid_t groups[] = {100, 50};
    struct peer stranger = {.operate = false}, operator_peer = {.operate = true};

    (void)state;
    assert_true(peer_may_operate(0, 33, NULL, 0, (gid_t)-1));
    assert_true(peer_may_operate(33, 33, NULL, 0, (gid_t)-1));
    assert_false(peer_may_operate(1000, 33, groups, 2, 51));
    assert_true(peer_may_operate(1000, 33, groups, 2, 50));
    assert_false(peer_may_operate(1000, 33, groups, 2, (gid_t)-1));
    assert_false(peer_may_operate(1000, 33, NULL, 0, 50));
    assert_true(peer_may(&stranger, CTL_VIEW));
    assert_false(peer_may(&stranger, CTL_OPERATE));
    assert_true(peer_may(&operator_peer, CTL_OPERATE));
}

static void expect_row(const json_t *row, const char *file, int line, int column, const char *text)
{
    const char *have = json_string_value(json_object_get(row, "file"));

    assert_string_equal(have != NULL ? have : "", file);
    assert_int_equal(json_integer_value(json_object_get(row, "line")), line);
    assert_int_equal(json_integer_value(json_object_get(row, "column")), column);
    assert_string_equal(json_string_value(json_object_get(row, "message")), text);
}

static void test_error_list(void **state)
{
    json_t *rows = ctl_error_list("/a:b/c.yaml:12:3: error: no: such error: x\n"
                                  "   12 | \"q: error: not one\"\n"
                                  "      | ^~~ hint\n"
                                  "d.yaml: error: cannot be read\n"
                                  "error: out of everything\n"
                                  "2 errors");

    (void)state;
    assert_int_equal(json_array_size(rows), 3);
    expect_row(json_array_get(rows, 0), "/a:b/c.yaml", 12, 3, "no: such error: x");
    expect_row(json_array_get(rows, 1), "d.yaml", 0, 0, "cannot be read");
    expect_row(json_array_get(rows, 2), "", 0, 0, "out of everything");
    json_decref(rows);
}

static void test_errors(void **state)
{
    (void)state;
    assert_int_equal(ctl_error_by_code("not_found"), CTL_NOT_FOUND);
    assert_int_equal(ctl_errors[CTL_NOT_FOUND].exit_status, 7);
    assert_int_equal(ctl_errors[CTL_INVALID].exit_status, 5);
    assert_int_equal(ctl_error_by_code("something new"), CTL_FAILED);
}

/* docs/rushctl.1 has what the tables say. */
static void test_manual_is_current(void **state)
{
    const char *srcdir = getenv("srcdir");
    struct buf path = {0}, page = {0}, want = {0};
    FILE *f;
    int c;

    (void)state;
    buf_printf(&path, "%s/docs/rushctl.1", srcdir != NULL ? srcdir : ".");
    f = fopen(buf_cstr(&path), "r");
    if (f == NULL)
        skip();
    while ((c = getc(f)) != EOF)
        buf_char(&page, (char)c);
    fclose(f);
    manual_commands(&want);
    assert_non_null(strstr(buf_cstr(&page), buf_cstr(&want)));
    buf_free(&path);
    buf_free(&page);
    buf_free(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_finds_commands, reset),
        cmocka_unit_test_setup(test_complains, reset),
        cmocka_unit_test_setup(test_flags, reset),
        cmocka_unit_test_setup(test_a_flag_that_repeats, reset),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_table_is_sound),
        cmocka_unit_test(test_permission),
        cmocka_unit_test(test_error_list),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_manual_is_current),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
