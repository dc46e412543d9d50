/* SPDX-License-Identifier: BSD-2-Clause */
/* The router against hand-written rules, and against a matcher that tries every rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/hash.h"
#include "conf/router.h"
#include "http/method.h"

#define GET    METHOD_BIT(METHOD_GET)
#define HEAD   METHOD_BIT(METHOD_HEAD)
#define POST   METHOD_BIT(METHOD_POST)
#define DELETE METHOD_BIT(METHOD_DELETE)

struct rule {
    const char *host;
    uint32_t methods;
    const char *path;
};

static bool build(const struct rule *rules, uint32_t n, struct buf *out, struct buf *err)
{
    struct router_rule all[64];
    uint32_t bad, other;

    for (uint32_t i = 0; i < n; i++)
        all[i] = (struct router_rule){slice_str(rules[i].host), rules[i].methods,
                                      slice_str(rules[i].path), i};
    return router_build(all, n, out, &bad, &other, err);
}

/* The route that answers, or -1 no path, -2 no method. */
static int match(const struct buf *index, const char *host, uint32_t method, const char *path,
                 struct router_match *m)
{
    switch (router_match(buf_view(index), slice_str(host), method, slice_str(path), m)) {
    case ROUTER_FOUND:
        return (int)m->route;
    case ROUTER_NO_PATH:
        return -1;
    default:
        return -2;
    }
}

static void assert_var(const struct router_match *m, unsigned i, const char *text)
{
    assert_true(i < m->vars_n);
    assert_int_equal(m->vars[i].n, strlen(text));
    assert_memory_equal(m->vars[i].p, text, strlen(text));
}

#define BUILD(rules, index)                                                                        \
    do {                                                                                           \
        struct buf build_err = {0};                                                                \
        assert_true(build(rules, sizeof(rules) / sizeof *(rules), index, &build_err));             \
        buf_free(&build_err);                                                                      \
    } while (0)

static void test_specific_wins(void **state)
{
    static const struct rule rules[] = {
        {"", GET, "/a/**"},       {"", GET, "/a/*"}, {"", GET, "/a/b"},       {"", GET, "/a/{x}/c"},
        {"", GET, "/a/b/{y=**}"}, {"", GET, "/"},    {"", GET, "/a/b/c/d/e"}, {"", GET, "/slash/"},
    };
    struct buf index = {0};
    struct router_match m;

    (void)state;
    BUILD(rules, &index);
    assert_int_equal(match(&index, "", GET, "/a/b", &m), 2);
    assert_int_equal(match(&index, "", GET, "/a/z", &m), 1);
    assert_int_equal(match(&index, "", GET, "/a/z/c", &m), 3);
    assert_var(&m, 0, "z");
    assert_int_equal(match(&index, "", GET, "/a/z/d", &m), 0);
    assert_int_equal(match(&index, "", GET, "/a/b/c", &m), 4);
    assert_var(&m, 0, "c");
    assert_int_equal(match(&index, "", GET, "/a/b/c/d/e", &m), 6);
    assert_int_equal(match(&index, "", GET, "/a/b/c/d/f", &m), 4);
    assert_var(&m, 0, "c/d/f");
    assert_int_equal(match(&index, "", GET, "/a", &m), 0); /* ** also matches nothing */
    assert_int_equal(match(&index, "", GET, "/a/", &m), 0);
    assert_int_equal(match(&index, "", GET, "/a//c", &m), 0); /* {x} is not empty */
    assert_int_equal(match(&index, "", GET, "/", &m), 5);
    assert_int_equal(match(&index, "", GET, "/slash/", &m), 7);
    assert_int_equal(match(&index, "", GET, "/slash", &m), -1);
    assert_int_equal(match(&index, "", GET, "a/b", &m), -1);
    assert_int_equal(match(&index, "", GET, "", &m), -1);
    assert_int_equal(match(&index, "", GET, "*", &m), -1);
    buf_free(&index);
}

static void test_backtracks(void **state)
{
    static const struct rule rules[] = {
        {"", GET, "/a/b/c"},
        {"", GET, "/a/*/d"},
        {"", GET, "/*/b/e"},
        {"", POST, "/a/b/d"},
    };
    struct buf index = {0};
    struct router_match m;

    (void)state;
    BUILD(rules, &index);
    assert_int_equal(match(&index, "", GET, "/a/b/c", &m), 0);
    assert_int_equal(match(&index, "", GET, "/a/b/e", &m), 2);
    /* The literal path has another method only: the search goes on. */
    assert_int_equal(match(&index, "", GET, "/a/b/d", &m), 1);
    assert_int_equal(match(&index, "", POST, "/a/b/d", &m), 3);
    assert_int_equal(match(&index, "", DELETE, "/a/b/d", &m), -2);
    assert_int_equal(m.methods, GET | HEAD | POST);
    buf_free(&index);
}

static void test_variables(void **state)
{
    static const struct rule rules[] = {
        {"", GET, "/v1/{name=shelves/*}/books/{book.id}"},
        {"", GET, "/v1/{name=shelves/*/**}"},
        {"", GET, "/v2/{all=**}"},
        {"", GET, "/v3/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}"},
        {"", GET, "/v4/{rest=x/**}:go"},
    };
    struct buf index = {0};
    struct router_match m;

    (void)state;
    BUILD(rules, &index);
    assert_int_equal(match(&index, "", GET, "/v1/shelves/7/books/a%2Fb", &m), 0);
    assert_int_equal(m.vars_n, 2);
    assert_var(&m, 0, "shelves/7");
    assert_var(&m, 1, "a%2Fb");
    assert_int_equal(match(&index, "", GET, "/v1/shelves/7/x/y", &m), 1);
    assert_var(&m, 0, "shelves/7/x/y");
    assert_int_equal(match(&index, "", GET, "/v1/shelves/7", &m), 1);
    assert_var(&m, 0, "shelves/7");
    assert_int_equal(match(&index, "", GET, "/v2", &m), 2);
    assert_var(&m, 0, "");
    assert_int_equal(match(&index, "", GET, "/v2/a//b/", &m), 2);
    assert_var(&m, 0, "a//b/");
    assert_int_equal(match(&index, "", GET, "/v3/1/2/3/4/5/6/7/8", &m), 3);
    assert_var(&m, 7, "8");
    assert_int_equal(match(&index, "", GET, "/v4/x/y/z:go", &m), 4);
    assert_var(&m, 0, "x/y/z");
    buf_free(&index);
}

static void test_verbs(void **state)
{
    static const struct rule rules[] = {
        {"", GET, "/v1/{x}"},
        {"", POST, "/v1/{x}:cancel"},
        {"", POST, "/v1/{x}:undo"},
        {"", POST, "/v1/all:cancel"},
    };
    struct buf index = {0};
    struct router_match m;

    (void)state;
    BUILD(rules, &index);
    assert_int_equal(match(&index, "", POST, "/v1/a:cancel", &m), 1);
    assert_var(&m, 0, "a");
    assert_int_equal(match(&index, "", POST, "/v1/a:b:undo", &m), 2);
    assert_var(&m, 0, "a:b");
    assert_int_equal(match(&index, "", POST, "/v1/all:cancel", &m), 3);
    assert_int_equal(m.vars_n, 0);
    assert_int_equal(match(&index, "", POST, "/v1/all:undo", &m), 2);
    /* Without a rule for the verb the colon is part of the segment. */
    assert_int_equal(match(&index, "", GET, "/v1/a:cancel", &m), 0);
    assert_var(&m, 0, "a:cancel");
    assert_int_equal(match(&index, "", DELETE, "/v1/a:cancel", &m), -2);
    assert_int_equal(m.methods, GET | HEAD | POST);
    assert_int_equal(match(&index, "", POST, "/v1/:cancel", &m), -2);
    buf_free(&index);
}

static void test_methods(void **state)
{
    static const struct rule rules[] = {
        {"", GET, "/get"},
        {"", GET, "/both"},
        {"", HEAD, "/both"},
        {"", METHOD_ANY, "/any"},
    };
    struct buf index = {0};
    struct router_match m;

    (void)state;
    BUILD(rules, &index);
    assert_int_equal(match(&index, "", HEAD, "/get", &m), 0);
    assert_int_equal(match(&index, "", HEAD, "/both", &m), 2);
    assert_int_equal(match(&index, "", GET, "/both", &m), 1);
    assert_int_equal(match(&index, "", POST, "/get", &m), -2);
    assert_int_equal(m.methods, GET | HEAD);
    assert_int_equal(match(&index, "", DELETE, "/any", &m), 3);
    buf_free(&index);
}

static void test_hosts(void **state)
{
    static const struct rule rules[] = {
        {"", GET, "/"},
        {"Example.org", GET, "/"},
        {"*.example.org", GET, "/"},
        {"*.eu.example.org", GET, "/"},
        {"", GET, "/any"},
        {"example.org", POST, "/any"},
        {"[::1]", GET, "/"},
    };
    struct buf index = {0};
    struct router_match m;

    (void)state;
    BUILD(rules, &index);
    assert_int_equal(match(&index, "", GET, "/", &m), 0);
    assert_int_equal(match(&index, "other.org", GET, "/", &m), 0);
    assert_int_equal(match(&index, "EXAMPLE.ORG", GET, "/", &m), 1);
    assert_int_equal(match(&index, "example.org.", GET, "/", &m), 1);
    assert_int_equal(match(&index, "a.b.example.org", GET, "/", &m), 2);
    assert_int_equal(match(&index, "a.eu.example.org", GET, "/", &m), 3);
    assert_int_equal(match(&index, "eu.example.org", GET, "/", &m), 2);
    assert_int_equal(match(&index, ".example.org", GET, "/", &m), 0);
    assert_int_equal(match(&index, "notexample.org", GET, "/", &m), 0);
    assert_int_equal(match(&index, "[::1]", GET, "/", &m), 6);
    /* A rule without host stands behind those of the host. */
    assert_int_equal(match(&index, "example.org", GET, "/any", &m), 4);
    assert_int_equal(match(&index, "example.org", DELETE, "/any", &m), -2);
    assert_int_equal(m.methods, GET | HEAD | POST);
    buf_free(&index);
}

static void test_ambiguous(void **state)
{
    static const struct {
        struct rule a, b;
        bool ok;
    } pairs[] = {
        {{"", GET, "/a/{x}"}, {"", GET, "/a/*"}, false},
        {{"", GET, "/a/{x}"}, {"", POST, "/a/*"}, true},
        {{"", GET | POST, "/a/{x}"}, {"", POST, "/a/*"}, false},
        {{"", GET, "/a/{x}"}, {"", GET, "/a/{x}:v"}, true},
        {{"", GET, "/a/{x}:v"}, {"", GET, "/a/*:v"}, false},
        {{"", GET, "/a/{x=**}"}, {"", GET, "/a/**"}, false},
        {{"", GET, "/a/{x=b/*}"}, {"", GET, "/a/b/{y}"}, false},
        {{"h", GET, "/a"}, {"", GET, "/a"}, true},
        {{"h", GET, "/a"}, {"H", GET, "/a"}, false},
        {{"", GET, "/a"}, {"", HEAD, "/a"}, true},
        {{"", GET, "/a"}, {"", GET, "/a/"}, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct rule both[] = {pairs[i].a, pairs[i].b};
        struct buf index = {0}, err = {0};

        assert_int_equal(build(both, 2, &index, &err), pairs[i].ok);
        assert_int_equal(err.n > 0, !pairs[i].ok);
        buf_free(&index);
        buf_free(&err);
    }
}

static void test_templates(void **state)
{
    static const struct {
        const char *text;
        size_t at; /* of the error */
    } bad[] = {
        {"", 0},        {"a", 0},
        {"/a//b", 3},   {"/**/a", 4},
        {"/{x", 3},     {"/{}", 2},
        {"/{1}", 2},    {"/{x}{y}", 4},
        {"/a{x}", 2},   {"/a*", 2},
        {"/***", 3},    {"/{x={y}}", 4},
        {"/{x=}", 4},   {"/{x}/{x}", 6},
        {"/a:", 2},     {"/a b", 2},
        {"/a?b", 2},    {"/%61", 1},
        {"/a/%2f", 3},  {"/a/%2", 3},
        {"/{x=a/}", 6}, {"/{x.}", 4},
        {"/:v", 1},     {"/{x=**}/a", 8},
        {"/a/}", 3},    {"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", 33},
    };
    struct slice names[ROUTER_VARS_MAX];
    struct buf err = {0};
    unsigned n;
    size_t at;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buf_clear(&err);
        if (router_template_check(slice_str(bad[i].text), &at, &err) || at != bad[i].at)
            fail_msg("%s: at %zu: %s", bad[i].text, at, buf_cstr(&err));
        assert_true(err.n > 0);
    }
    buf_clear(&err);
    assert_true(router_template_vars(SLICE_LIT("/a/{b.c=x/**}:v"), names, &n, &err));
    assert_int_equal(n, 1);
    assert_true(slice_eq(names[0], SLICE_LIT("b.c=x/**")));
    buf_free(&err);
}

/* --- against a matcher that tries every rule --- */

#define RANDOM_RULES  1000
#define RANDOM_PATHS  20000
#define SEGMENTS_MOST 6

struct naive_rule {
    char path[64];
    unsigned kinds[SEGMENTS_MOST]; /* 0 literal, 1 *, 2 ** */
    char words[SEGMENTS_MOST];     /* of literals */
    unsigned n;
    char verb; /* or 0 */
    uint32_t methods;
};

static unsigned roll(uint64_t *state, unsigned n)
{
    return (unsigned)(random_next(state) % n);
}

static void random_rule(uint64_t *state, struct naive_rule *r)
{
    size_t at = 0;

    *r = (struct naive_rule){.n = 1 + roll(state, SEGMENTS_MOST)};
    for (unsigned i = 0; i < r->n; i++) {
        unsigned kind = roll(state, 10);
        r->kinds[i] = kind < 6 ? 0 : kind < 9 || i + 1 < r->n ? 1 : 2;
        r->words[i] = (char)('a' + roll(state, 4));
        if (r->kinds[i] == 0)
            at += (size_t)snprintf(r->path + at, sizeof r->path - at, "/%c", r->words[i]);
        else if (r->kinds[i] == 1)
            at += (size_t)snprintf(r->path + at, sizeof r->path - at, "/{v%u}", i);
        else
            at += (size_t)snprintf(r->path + at, sizeof r->path - at, "/**");
    }
    if (roll(state, 8) == 0) {
        r->verb = (char)('x' + roll(state, 2));
        snprintf(r->path + at, sizeof r->path - at, ":%c", r->verb);
    }
    r->methods = 1u << roll(state, 4);
}

static bool naive_fits(const struct naive_rule *r, const char *path)
{
    char copy[64], *segments[2 * SEGMENTS_MOST], *p = copy + 1;
    unsigned n = 0;
    size_t len = strlen(path);

    strcpy(copy, path);
    if (r->verb) {
        if (len < 3 || copy[len - 2] != ':' || copy[len - 1] != r->verb)
            return false;
        copy[len - 2] = '\0';
    }
    for (;;) {
        char *slash = strchr(p, '/');
        segments[n++] = p;
        if (slash == NULL)
            break;
        *slash = '\0';
        p = slash + 1;
    }
    for (unsigned i = 0; i < r->n; i++) {
        if (r->kinds[i] == 2)
            return true;
        if (i == n)
            return false;
        if (r->kinds[i] == 1 ? !segments[i][0]
                             : segments[i][0] != r->words[i] || segments[i][1] != '\0')
            return false;
    }
    return n == r->n;
}

/* Whether a is the more specific reading. */
static bool naive_before(const struct naive_rule *a, const struct naive_rule *b)
{
    if (!a->verb != !b->verb)
        return a->verb != 0;
    for (unsigned i = 0; i < a->n && i < b->n; i++)
        if (a->kinds[i] != b->kinds[i])
            return a->kinds[i] < b->kinds[i];
    return a->n < b->n; /* the longer one ends with ** that matches nothing */
}

static int naive_match(const struct naive_rule *rules, uint32_t n, uint32_t method,
                       const char *path, uint32_t *methods)
{
    int best = -1;

    *methods = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!naive_fits(&rules[i], path))
            continue;
        *methods |= rules[i].methods;
        if ((rules[i].methods & method) && (best < 0 || naive_before(&rules[i], &rules[best])))
            best = (int)i;
    }
    return best >= 0 ? best : *methods ? -2 : -1;
}

static void random_path(uint64_t *state, char *out)
{
    unsigned n = 1 + roll(state, SEGMENTS_MOST);

    for (unsigned i = 0; i < n; i++) {
        *out++ = '/';
        if (roll(state, 30) > 0)
            *out++ = (char)('a' + roll(state, 5));
    }
    if (roll(state, 4) == 0) {
        *out++ = ':';
        *out++ = (char)('x' + roll(state, 3));
    }
    *out = '\0';
}

/* Adds rules one by one; those that the router refuses as ambiguous stay out. */
static uint32_t random_rules(uint64_t *state, struct naive_rule *rules, struct buf *index)
{
    static struct router_rule all[RANDOM_RULES];
    struct buf err = {0};
    uint32_t n = 0, bad, other;

    while (n < RANDOM_RULES) {
        random_rule(state, &rules[n]);
        all[n] = (struct router_rule){SLICE_LIT(""), rules[n].methods, slice_str(rules[n].path), n};
        n++;
    }
    for (;;) {
        buf_clear(index);
        buf_clear(&err);
        if (router_build(all, n, index, &bad, &other, &err))
            break;
        n--;
        memmove(&rules[bad], &rules[bad + 1], (n - bad) * sizeof *rules);
        for (uint32_t i = bad; i < n; i++)
            all[i] =
                (struct router_rule){SLICE_LIT(""), rules[i].methods, slice_str(rules[i].path), i};
    }
    buf_free(&err);
    return n;
}

static void test_random_rules(void **state)
{
    static struct naive_rule rules[RANDOM_RULES];
    uint64_t seed = 7;
    struct buf index = {0};
    uint32_t n = random_rules(&seed, rules, &index), methods, found = 0;
    struct router_match m;
    char path[64];

    (void)state;
    assert_true(n > RANDOM_RULES / 3);
    for (unsigned i = 0; i < RANDOM_PATHS; i++) {
        uint32_t method = METHOD_BIT(METHOD_POST + (int)roll(&seed, 2));
        int want, got;

        random_path(&seed, path);
        want = naive_match(rules, n, method, path, &methods);
        got = match(&index, "host", method, path, &m);
        if (want != got)
            fail_msg("%s: naive %d (%s), router %d (%s)", path, want,
                     want >= 0 ? rules[want].path : "", got, got >= 0 ? rules[got].path : "");
        if (want == -2)
            assert_int_equal(m.methods & ~HEAD, methods & ~HEAD);
        found += want >= 0;
    }
    assert_true(found > RANDOM_PATHS / 10);
    buf_free(&index);
}

/* Not a benchmark, only a net for an accident: a thousand routes, one lookup stays far below 5 us.
 */
static void test_fast(void **state)
{
    enum { N = 1000, LOOKUPS = 200000 };
    static char paths[N][64];
    static struct router_rule all[N];
    struct buf index = {0}, err = {0};
    struct router_match m;
    uint64_t before, ns;
    uint32_t bad, other;

    (void)state;
    for (unsigned i = 0; i < N; i++) {
        snprintf(paths[i], sizeof paths[i], "/api/v1/service%u/{event}/orders/{code}", i);
        all[i] = (struct router_rule){SLICE_LIT(""), GET, slice_str(paths[i]), i};
    }
    assert_true(router_build(all, N, &index, &bad, &other, &err));
    before = clock_mono_ns();
    for (unsigned i = 0; i < LOOKUPS; i++)
        assert_true(router_match(buf_view(&index), SLICE_LIT("example.org"), GET,
                                 i & 1 ? SLICE_LIT("/api/v1/service777/swift-sh/orders/XK3F9")
                                       : SLICE_LIT("/api/v1/service12/swift-sh/orders/XK3F9"),
                                 &m) == ROUTER_FOUND);
    ns = (clock_mono_ns() - before) / LOOKUPS;
    print_message("%u ns a lookup\n", (unsigned)ns);
    assert_true(ns < 5000);
    buf_free(&index);
    buf_free(&err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_specific_wins), cmocka_unit_test(test_backtracks),
        cmocka_unit_test(test_variables),     cmocka_unit_test(test_verbs),
        cmocka_unit_test(test_methods),       cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_ambiguous),     cmocka_unit_test(test_templates),
        cmocka_unit_test(test_random_rules),  cmocka_unit_test(test_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
