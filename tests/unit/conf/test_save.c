/* SPDX-License-Identifier: BSD-2-Clause */
/* Values written into files: each in its place, and nothing else touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "conf/overlay.h"
#include "conf/save.h"
#include "fixture.h"

struct place {
    char dir[64], file[96], set[96], password[96];
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);

    strcpy(p->dir, "/tmp/test_save.XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->file, sizeof p->file, "%s/main.yaml", p->dir);
    snprintf(p->set, sizeof p->set, "%s/shop.pb", p->dir);
    fixture_put(p->set, "fake");
    snprintf(p->password, sizeof p->password, "%s/redis.password", p->dir);
    fixture_put(p->password, "secret\n");
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;

    unlink(p->file);
    unlink(p->set);
    unlink(p->password);
    assert_int_equal(rmdir(p->dir), 0); /* nothing is left behind */
    free(p);
    return 0;
}

/* NULL want: refused, with the words of why. */
static void check(const struct place *p, const char *before, const char *path, const char *value,
                  const char *want, unsigned line, const char *words)
{
    struct buf where = {0}, why = {0}, hint = {0}, end = {0};
    struct conf *c, *next;
    char *after;

    fixture_put(p->file, before);
    c = fixture_load(p->file);
    next = conf_save(c, path, value, &where, &why, &hint);
    after = fixture_slurp(p->file, NULL);
    if ((next != NULL) != (want != NULL))
        fail_msg("%s: %s", path, buf_cstr(&why));
    assert_string_equal(after, want != NULL ? want : before);
    if (want != NULL) {
        buf_printf(&end, ":%u", line);
        assert_string_equal(strrchr(buf_cstr(&where), ':'), buf_cstr(&end));
    } else {
        assert_non_null(strstr(buf_cstr(&why), words));
        assert_true(hint.n > 0);
    }
    free(after);
    conf_free(&next);
    conf_free(&c);
    buf_free(&where);
    buf_free(&why);
    buf_free(&hint);
    buf_free(&end);
}

#define ROUTE "routes: [{name: a, match: {path: /a}, respond: {status: 200}}]\n"

static void test_places(void **state)
{
    static const struct {
        const char *before, *path, *value, *after;
        unsigned line;
    } cases[] = {
        {"http:\n  max_line: 4k # c\n", "http.max_line", "5k", "http:\n  max_line: 5k # c\n", 2},
        {"http: {max_line: 4k}\n", "http.max_line", "5k", "http: {max_line: 5k}\n", 1},
        {"http: {max_line: \"4k\"}", "http.max_line", "5k", "http: {max_line: \"5k\"}", 1},
        {"http: {max_line: '4k'}", "http.max_line", "5k", "http: {max_line: \"5k\"}", 1},
        {"http:\n  server_name: a b # c\n", "http.server_name", "x # y",
         "http:\n  server_name: \"x # y\" # c\n", 2},
        /* beside a neighbour */
        {"http:\n    max_line: 4k # c", "http.max_body", "1k",
         "http:\n    max_line: 4k # c\n    max_body: 1k", 3},
        {"http:\r\n  max_line: 4k\r\n\r\n", "http.max_body", "1k",
         "http:\r\n  max_line: 4k\r\n  max_body: 1k\r\n\r\n", 3},
        {"http: {max_line: 4k} # c\n", "http.max_body", "1k",
         "http: {max_line: 4k, max_body: 1k} # c\n", 1},
        {"http: {}\n", "http.max_body", "1k", "http: {max_body: 1k}\n", 1},
        {"{\"http\": {\"max_line\": \"4k\"}}", "http.max_body", "1k",
         "{\"http\": {\"max_line\": \"4k\", \"max_body\": \"1k\"}}", 1},
        /* with its mapping */
        {"workers: 2\nlog: {level: info}\n", "http.max_body", "1k",
         "workers: 2\nhttp:\n  max_body: 1k\nlog: {level: info}\n", 3},
        {"# c\nlog: {level: info}\n", "http.max_body", "1k",
         "# c\nhttp:\n  max_body: 1k\nlog: {level: info}\n", 3},
        {"{workers: 2}", "http.max_body", "1k", "{workers: 2, http: {max_body: 1k}}", 1},
        {"limits: {a: {key: constant, rate: 1/s}}\n", "limits.a.mode", "shadow",
         "limits: {a: {key: constant, rate: 1/s, mode: shadow}}\n", 1},
        {"limits:\n  a.b:\n    rate: 1/s\n    key:\n      - constant\n", "limits.a.b.mode",
         "shadow", "limits:\n  a.b:\n    rate: 1/s\n    mode: shadow\n    key:\n      - constant\n",
         4},
        {"routes:\n  - name: a\n    match: {path: /a}\n    respond: {status: 200}\n",
         "routes[a].max_body", "1k",
         "routes:\n  - name: a\n    max_body: 1k\n    match: {path: /a}\n    respond: {status: "
         "200}\n",
         3},
        {ROUTE, "routes[a].respond.body", "x",
         "routes: [{name: a, match: {path: /a}, respond: {status: 200, body: x}}]\n", 1},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(*state, cases[i].before, cases[i].path, cases[i].value, cases[i].after, cases[i].line,
              NULL);
}

static void test_no_place(void **state)
{
    check(*state, "http:\n  max_line: ${NO:-4k}\n", "http.max_line", "5k", NULL, 0, "environment");
    check(*state, "http:\n  server_name: \"a\n    b\"\n", "http.server_name", "x", NULL, 0,
          "several lines");
    check(*state, "trusted_proxies: [\"::1\"]\n", "trusted_proxies", "10.0.0.0/8", NULL, 0,
          "a list");
    check(*state, "http: {max_line: 4k}\n", "http.max_line", "fast", NULL, 0, "no place");
}

static void test_changed_file(void **state)
{
    struct place *p = *state;
    struct buf where = {0}, why = {0}, hint = {0};
    struct conf *c;
    char *text;

    fixture_put(p->file, "http: {max_line: 4k}\n");
    c = fixture_load(p->file);
    fixture_put(p->file, "http: {max_line: 4k }\n");
    assert_null(conf_save(c, "http.max_line", "5k", &where, &why, &hint));
    assert_non_null(strstr(buf_cstr(&why), "is not what was loaded"));
    text = fixture_slurp(p->file, NULL);
    assert_string_equal(text, "http: {max_line: 4k }\n");
    free(text);
    unlink(p->file);
    buf_clear(&why);
    assert_null(conf_save(c, "http.max_line", "5k", &where, &why, &hint));
    assert_non_null(strstr(buf_cstr(&why), "is not what was loaded"));
    conf_free(&c);
    buf_free(&where);
    buf_free(&why);
    buf_free(&hint);
}

static void test_mode_stays(void **state)
{
    struct place *p = *state;
    struct stat st;

    fixture_put(p->file, "http: {max_line: 4k}\n");
    assert_int_equal(chmod(p->file, 0604), 0);
    check(p, "http: {max_line: 4k}\n", "http.max_line", "5k", "http: {max_line: 5k}\n", 1, NULL);
    assert_int_equal(stat(p->file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0604);
}

/* Every setting of a large file, with the value that it has: a save either has no place or is
 * proven; one that is in the file finds it. */
static void test_every_setting(void **state)
{
    struct place *p = *state;
    struct buf shown = {0};
    char *text, *line, *rest;
    struct conf *c;
    unsigned saved = 0, refused = 0;

    text = fixture_slurp(fixture_full_file(), NULL);
    fixture_put(p->file, text);
    c = fixture_load(p->file);
    conf_show(c, false, false, &shown);
    rest = (char *)(uintptr_t)buf_cstr(&shown);
    while ((line = strsep(&rest, "\n")) != NULL && line[0] != '\0') {
        struct buf value = {0}, where = {0}, why = {0}, hint = {0};
        struct conf *next;
        line[strcspn(line, " ")] = '\0';
        if (conf_changeable(c, line, &why, &hint) == CONF_CHANGEABLE) {
            assert_true(conf_value(c, line, &value));
            fixture_put(p->file, text);
            next = conf_save(c, line, buf_cstr(&value), &where, &why, &hint);
            saved += next != NULL;
            refused += next == NULL;
            conf_free(&next);
        }
        buf_free(&value);
        buf_free(&where);
        buf_free(&why);
        buf_free(&hint);
    }
    printf("saved %u, refused %u\n", saved, refused);
    assert_true(saved > 60 && refused < saved / 2);
    conf_free(&c);
    free(text);
    buf_free(&shown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_places, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changed_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mode_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_setting, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
