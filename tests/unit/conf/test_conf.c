/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading, merging, showing and comparing; and that no file, however broken, does harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/hash.h"
#include "base/log.h"
#include "fixture.h"

/* The directory of a test: files are written to it and named by it. */
struct place {
    char dir[64];
    char file[96];
};

static void put_file(const struct place *p, const char *name, const char *text, size_t n)
{
    char path[160];

    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    fixture_write(path, text, n);
}

static void put_text(const struct place *p, const char *name, const char *text)
{
    put_file(p, name, text, strlen(text));
}

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);

    strcpy(p->dir, "/tmp/test_conf.XXXXXX");
    if (mkdtemp(p->dir) == NULL)
        return -1;
    snprintf(p->file, sizeof p->file, "%s/main.yaml", p->dir);
    put_text(p, "shop.pb", "fake");
    put_text(p, "redis.password", "open sesame\n");
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"main.yaml", "shop.pb", "redis.password",
                                        "a.yaml",    "b.yaml",  "c.yaml"};
    struct place *p = *state;
    char path[160];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", p->dir, names[i]);
        unlink(path);
    }
    rmdir(p->dir);
    free(p);
    return 0;
}

static struct conf *load(const struct place *p, const char *text)
{
    put_text(p, "main.yaml", text);
    return fixture_load(p->file);
}

/* The file is refused, and `words` are in what is said. */
static void refused(const struct place *p, const char *text, const char *words)
{
    struct buf errors = {0};
    struct conf *c;

    put_text(p, "main.yaml", text);
    c = conf_load_with(p->file, &fixture_options, &errors);
    assert_null(c);
    if (strstr(buf_cstr(&errors), words) == NULL)
        fail_msg("no \"%s\" in:\n%s", words, buf_cstr(&errors));
    buf_free(&errors);
}

/* --- files --- */

static void test_defaults(void **state)
{
    struct conf *c = load(*state, "{}");
    const struct conf_process *p = conf_process(c);
    struct buf blob = {0};
    const struct conf_root *r = fixture_compile(c, &(struct conf_resolver){0}, &blob);

    assert_true(p->workers >= 1 && p->workers <= 64);
    assert_string_equal(p->user, "rushgate");
    assert_string_equal(p->pid_file, "/srv/gate/run/rushgate.pid");
    assert_int_equal(p->listeners_n, 1);
    assert_string_equal(p->listeners[0].name, "public");
    assert_string_equal(p->listeners[0].address, "0.0.0.0:8080");
    assert_int_equal(p->listeners[0].backlog, 4096);
    assert_int_equal(p->admin_socket_mode, 0660);
    assert_string_equal(p->admin_socket, "/srv/gate/run/rushgate.sock");
    assert_true(p->admin.sa_n > 0);
    assert_string_equal(p->log_error, "/srv/gate/log/error.log");
    assert_string_equal(p->log_access, "/srv/gate/log/access.log");
    assert_int_equal(p->log_level, LOG_LEVEL_NOTICE);
    assert_false(p->boxoffice_embedded);
    assert_string_equal(p->boxoffice_listen, "unix:/srv/gate/run/boxoffice.sock");
    assert_string_equal(p->boxoffice_store, "/srv/gate/data/boxoffice.db");
    assert_int_equal(r->magic, CONF_MAGIC);
    assert_int_equal(r->generation, 5);
    assert_int_equal(r->size, blob.n);
    assert_int_equal(r->limits.max_line, 8192);
    assert_int_equal(r->limits.idle_timeout_ms, 60000);
    assert_int_equal(r->routes.n, 0);
    assert_int_equal(r->log_access, 1);
    assert_str(r, r->server_name, "rushgate");
    assert_str(r, r->problem_base, "urn:rushgate:problem:");
    buf_free(&blob);
    conf_free(&c);
    assert_null(c);
}

static void test_files_merge(void **state)
{
    struct place *p = *state;
    struct buf shown = {0};
    struct conf *c;

    put_text(p, "a.yaml",
             "http: {max_line: 1k}\n"
             "trusted_proxies: [10.0.0.0/8]\n"
             "upstreams: {one: {max_idle: 7}}\n");
    put_text(p, "b.yaml",
             "http: {max_headers: 9}\n"
             "trusted_proxies: [\"::1\"]\n"
             "upstreams: {one: {protocol: http, endpoints: [127.0.0.1:1]}}\n");
    c = load(p, "include: [\"[ab].yaml\", nothing-*.yaml, nowhere/*.yaml]\n"
                "trusted_proxies: 127.0.0.1\n");
    assert_int_equal(conf_files(c), 3);
    conf_show(c, false, false, &shown);
    assert_non_null(strstr(buf_cstr(&shown), "[127.0.0.1, 10.0.0.0/8, ::1]"));
    assert_non_null(strstr(buf_cstr(&shown), "upstreams.one.max_idle"));
    buf_free(&shown);
    conf_free(&c);
    refused(p, "include: [a.yaml, b.yaml]\nhttp: {max_line: 2k}\n", "set twice, first at");
    refused(p, "include: none.yaml\n", "No such file");
    refused(p, "include: [main.yaml]\n", "includes itself");
    put_text(p, "c.yaml", "include: [main.yaml]\n");
    refused(p, "include: c.yaml\n", "includes itself");
}

static void test_not_a_file(void **state)
{
    struct buf errors = {0};

    (void)state;
    assert_null(conf_load("/nonexistent/rushgate.yaml", "/", &errors));
    assert_string_equal(buf_cstr(&errors),
                        "/nonexistent/rushgate.yaml: error: cannot read it: No such "
                        "file or directory\n1 error\n");
    buf_clear(&errors);
    assert_null(conf_load("/tmp", "/", &errors));
    assert_non_null(strstr(buf_cstr(&errors), "Is a directory"));
    buf_free(&errors);
}

/* --- show, diff --- */

static void test_show(void **state)
{
    struct place *p = *state;
    struct conf *c = load(p, "http:\n  max_line: 4k\nlog: {error: \"log/a\"}\n");
    struct buf out = {0};
    char want[256];

    conf_show(c, true, false, &out);
    snprintf(want, sizeof want, "4k");
    assert_non_null(strstr(buf_cstr(&out), "http.max_line "));
    snprintf(want, sizeof want, "%s:2\n", p->file);
    assert_non_null(strstr(buf_cstr(&out), want));
    assert_non_null(strstr(buf_cstr(&out), "/srv/gate/log/a"));
    assert_non_null(strstr(buf_cstr(&out), "  default\n"));
    buf_clear(&out);
    conf_show(c, true, true, &out);
    snprintf(want, sizeof want,
             "{\"setting\":\"http.max_line\",\"value\":\"4k\",\"origin\":\"%s:2\",\"reload\":true}",
             p->file);
    assert_non_null(strstr(buf_cstr(&out), want));
    assert_non_null(strstr(buf_cstr(&out),
                           "{\"setting\":\"listen[public].backlog\",\"value\":\"4096\","
                           "\"origin\":\"default\",\"reload\":false}"));
    buf_free(&out);
    conf_free(&c);
}

static void note(void *arg, const struct conf_change *ch)
{
    buf_printf(arg, "%s: %s -> %s%s\n", ch->path, ch->old_text, ch->new_text,
               ch->restart ? " restart" : "");
}

static void test_diff(void **state)
{
    struct place *p = *state;
    struct buf out = {0};
    struct conf *a = load(p, "workers: 2\n"
                             "http: {max_line: 4k, max_body: 1k}\n"
                             "transcode: {s: {descriptor_set: shop.pb}}\n"
                             "routes:\n"
                             "- {name: x, match: {path: /x}, respond: {body: a}}\n"
                             "- {name: y, match: {path: /y}, respond: {body: a}}\n");
    struct conf *b;

    put_text(p, "shop.pb", "fake, and not the same");
    b = load(p, "workers: 3\n"
                "http: {max_line: 4096, max_body: 2k}\n"
                "transcode: {s: {descriptor_set: shop.pb}}\n"
                "trusted_proxies: [\"::1\"]\n"
                "routes:\n"
                "- {name: z, match: {path: /z}, respond: {body: a}}\n"
                "- {name: y, match: {path: /y}, respond: {body: b}}\n");
    assert_int_equal(conf_diff(a, a, note, &out), 0);
    assert_int_equal(conf_diff(a, b, note, &out), 7);
    assert_non_null(strstr(buf_cstr(&out), "workers: 2 -> 3 restart\n"));
    assert_non_null(strstr(buf_cstr(&out), "trusted_proxies: [] -> [::1]\n"));
    assert_non_null(strstr(buf_cstr(&out), "http.max_body: 1k -> 2k\n"));
    assert_non_null(strstr(buf_cstr(&out), "transcode.s.descriptor_set: "));
    assert_non_null(strstr(buf_cstr(&out), "routes[x]: present -> absent\n"));
    assert_non_null(strstr(buf_cstr(&out), "routes[z]: absent -> present\n"));
    assert_non_null(strstr(buf_cstr(&out), "routes[y].respond.body: a -> b\n"));
    buf_free(&out);
    conf_free(&a);
    conf_free(&b);
}

/* --- broken files --- */

static void test_many_errors(void **state)
{
    struct buf text = {0};

    for (int i = 0; i < 300; i++)
        buf_printf(&text, "nonsense%d: 1\n", i);
    refused(*state, buf_cstr(&text), "(the first 20 are shown)\n300 errors\n");
    buf_free(&text);
}

/* One to four changes: bytes put, taken, doubled, lines swapped for others. */
static size_t mutate(uint64_t *seed, char *text, size_t n)
{
    static const char spice[] = ":-{}[]\"'#&*!|>%@`\n\t ,$?~\0\x80\xff\xef\xbb\xbf\xe2\x80\xa8";

    for (unsigned changes = 1 + (unsigned)(random_next(seed) % 4); changes > 0 && n > 40;
         changes--) {
        size_t at = random_next(seed) % (n - 32), len = random_next(seed) % 32;
        switch (random_next(seed) % 4) {
        case 0:
            text[at] = spice[random_next(seed) % (sizeof spice - 1)];
            break;
        case 1:
            memmove(text + at, text + at + len, n - at - len);
            n -= len;
            break;
        case 2:
            memmove(text + at + len, text + at, n - at);
            n += len;
            break;
        default:
            memmove(text + at, text + random_next(seed) % (n - 32), len);
        }
    }
    return n;
}

static void test_broken_files(void **state)
{
    struct place *p = *state;
    uint64_t seed = 20;
    unsigned bad = 0;
    size_t n0;
    char *original = fixture_slurp(fixture_full_file(), &n0), *text = malloc(FIXTURE_FILE_MAX);

    for (int i = 0; i < 1500; i++) {
        struct buf errors = {0};
        struct conf *c;
        size_t n;

        memcpy(text, original, n0);
        n = mutate(&seed, text, n0);
        put_file(p, "main.yaml", text, n);
        c = conf_load_with(p->file, &fixture_options, &errors);
        assert_true((c == NULL) == (errors.n > 0));
        if (c != NULL) {
            struct buf out = {0};
            fixture_compile(c, &(struct conf_resolver){0}, &out);
            buf_clear(&out);
            conf_show(c, true, true, &out);
            buf_free(&out);
        } else {
            assert_non_null(strstr(buf_cstr(&errors), ": error: "));
            bad++;
        }
        conf_free(&c);
        buf_free(&errors);
    }
    assert_true(bad > 500 && bad < 1500);
    free(original);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_a_file),
        cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_merge, setup, teardown),
        cmocka_unit_test_setup_teardown(test_show, setup, teardown),
        cmocka_unit_test_setup_teardown(test_diff, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_files, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
