/* SPDX-License-Identifier: BSD-2-Clause */
/* Runtime changes over a configuration, and that nothing is read for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "conf/overlay.h"
#include "fixture.h"

static const char text[] =
    "include: [\"*.inc\"]\n"
    "http:\n"
    "  max_line: 4k\n"
    "limits:\n"
    "  few: {key: client_ip, rate: 10/s}\n"
    "  a.b: {key: client_ip, rate: 20/s, burst: 5, cost: 3}\n"
    "transcode: {shop: {descriptor_set: shop.pb}}\n"
    "upstreams: {shop: {protocol: grpc, endpoints: [\"shop.example:80\"]}}\n"
    "routes:\n"
    "  - {name: one, match: {path: /one}, limits: few, respond: {status: 200, body: in}}\n"
    "  - {name: two, match: {path: /two}, respond: {status: 200, body: in}}\n";

static unsigned asked; /* of the resolver */

static bool resolve(const char *address, struct sockaddr_storage *sa, socklen_t *n,
                    const char **why)
{
    (void)address;
    *why = "no name server";
    sa->ss_family = AF_INET;
    *n = sizeof(struct sockaddr);
    return ++asked < 100;
}

struct place {
    char dir[64], file[96], more[96], set[96];
    struct conf *base;
};

static int setup(void **state)
{
    static const struct conf_options options = {.prefix = "/srv/gate", .resolve = resolve};
    struct place *p = calloc(1, sizeof *p);
    struct buf errors = {0};

    strcpy(p->dir, "/tmp/test_overlay.XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->file, sizeof p->file, "%s/main.yaml", p->dir);
    snprintf(p->more, sizeof p->more, "%s/more.inc", p->dir);
    snprintf(p->set, sizeof p->set, "%s/shop.pb", p->dir);
    fixture_put(p->file, text);
    fixture_put(p->more, "http: {max_headers: 10}\n");
    fixture_put(p->set, "fake");
    asked = 0;
    p->base = conf_load_with(p->file, &options, &errors);
    if (p->base == NULL)
        fail_msg("%s", buf_cstr(&errors));
    /* From here on there is nothing to read and nobody to ask. */
    unlink(p->file);
    unlink(p->more);
    unlink(p->set);
    asked = 1000;
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;

    conf_free(&p->base);
    rmdir(p->dir);
    free(p);
    return 0;
}

static void assert_value(const struct conf *c, const char *path, const char *want)
{
    struct buf got = {0};

    assert_true(conf_value(c, path, &got));
    assert_string_equal(buf_cstr(&got), want);
    buf_free(&got);
}

static struct conf *derive(const struct conf *base, unsigned n,
                           const struct conf_runtime_value *all, struct buf *errors)
{
    const struct conf_overlay o = {all, n};

    return conf_derive(base, &o, errors);
}

static void count(void *arg, const struct conf_change *change)
{
    (void)change;
    ++*(unsigned *)arg;
}

static void test_over_and_away(void **state)
{
    static const struct conf_runtime_value all[] = {
        {1, "limits.few.rate", "5/10s", 0},
        {2, "limits.a.b.cost", "4", UINT64_C(1800000000000000000)},
        {3, "http.server_name", "x: y", 0},
        {4, "routes[two].limits", "few, a.b", 0},
        {5, "trusted_proxies", "[10.0.0.0/8, ::1]", 0},
        {6, "http.max_headers", "20", 0},
    };
    struct place *p = *state;
    struct buf errors = {0}, shown = {0};
    struct conf *c = derive(p->base, 6, all, &errors), *back;
    unsigned differences = 0;

    if (c == NULL)
        fail_msg("%s", buf_cstr(&errors));
    assert_value(c, "limits.few.rate", "5/10s");
    assert_value(c, "limits.a.b.cost", "4");
    assert_value(c, "http.server_name", "x: y");
    assert_value(c, "routes[two].limits", "[few, a.b]");
    assert_value(c, "trusted_proxies", "[10.0.0.0/8, ::1]");
    assert_value(c, "http.max_line", "4k");
    assert_value(p->base, "limits.few.rate", "10/s");
    assert_int_equal(conf_files(c), 2);
    conf_show(c, true, false, &shown);
    assert_non_null(strstr(buf_cstr(&shown), "runtime change 1\n"));
    assert_non_null(strstr(buf_cstr(&shown), "runtime change 2, until 2027-01-15T08:00:00Z\n"));
    /* Out of what was derived comes the original again. */
    conf_free(&p->base);
    back = conf_derive(c, NULL, &errors);
    assert_non_null(back);
    assert_value(back, "limits.few.rate", "10/s");
    conf_diff(c, back, count, &differences);
    assert_int_equal(differences, 6);
    p->base = back;
    conf_free(&c);
    buf_free(&errors);
    buf_free(&shown);
}

static void test_wrong_values(void **state)
{
    static const struct {
        const char *path, *value, *message;
    } cases[] = {
        {"limits.few.rate", "fast", "runtime change 9: error: limits.few.rate: \"fast\""},
        {"limits.few.rate", "", "runtime change 9: error: limits.few.rate"},
        {"limits.a.b.cost", "6", "costs more than the burst of 5"},
        {"routes[one].limits", "gone", "runtime change 9: error: routes[one].limits[0]: \"gone\""},
        {"routes[one].limits", "few, few", "is there twice"},
        {"http.max_line", "${HOME}", "knows no variables"},
        {"limits.gone.rate", "1/s", "there is no setting \"limits.gone.rate\""},
        {"workers", "3", "workers needs a restart"},
        {"transcode.shop.descriptor_set", "/etc/passwd", "only a reload reads"},
    };
    struct place *p = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct conf_runtime_value o = {9, cases[i].path, cases[i].value, 0};
        struct buf errors = {0};
        assert_null(derive(p->base, 1, &o, &errors));
        if (strstr(buf_cstr(&errors), cases[i].message) == NULL)
            fail_msg("no \"%s\" in:\n%s", cases[i].message, buf_cstr(&errors));
        buf_free(&errors);
    }
}

static void test_paths(void **state)
{
    static const struct {
        const char *path;
        enum conf_changeable is;
        const char *text;
    } cases[] = {
        {"http.max_line", CONF_CHANGEABLE, ""},
        {"limits.a.b.rate", CONF_CHANGEABLE, ""},
        {"routes[two].respond.body", CONF_CHANGEABLE, ""},
        {"http.max_lin", CONF_NO_SETTING, "max_line"},
        {"limits.fw.rate", CONF_NO_SETTING, "few"},
        {"limits.few", CONF_FIXED, "settings below it"},
        {"limits", CONF_FIXED, "settings below it"},
        {"limits.few.rate.x", CONF_NO_SETTING, ""},
        {"limitsfew", CONF_NO_SETTING, ""},
        {"limits.few.", CONF_NO_SETTING, ""},
        {"routes[onx].name", CONF_NO_SETTING, "one"},
        {"routes[one].name", CONF_FIXED, "is the name"},
        {"routes[one", CONF_NO_SETTING, ""},
        {"routes[]", CONF_NO_SETTING, ""},
        {"routes", CONF_FIXED, "settings below it"},
        {"trusted_proxies[0]", CONF_NO_SETTING, ""},
        {"", CONF_NO_SETTING, ""},
        {".", CONF_NO_SETTING, ""},
        {"[", CONF_NO_SETTING, ""},
        {"user", CONF_FIXED, "needs a restart"},
    };
    struct place *p = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf why = {0}, hint = {0};
        enum conf_changeable is = conf_changeable(p->base, cases[i].path, &why, &hint);
        if (is != cases[i].is)
            fail_msg("%s: %d: %s", cases[i].path, is, buf_cstr(&why));
        buf_char(&why, ' ');
        buf_str(&why, buf_cstr(&hint));
        if (strstr(buf_cstr(&why), cases[i].text) == NULL)
            fail_msg("%s: no \"%s\" in: %s", cases[i].path, cases[i].text, buf_cstr(&why));
        buf_free(&why);
        buf_free(&hint);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_over_and_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
