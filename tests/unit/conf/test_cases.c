/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each tests/conf/errors/X.yaml is a configuration with something wrong; X.expected is what must be
 * said about it, byte by byte. With UPDATE_EXPECTED=1 in the environment the expectations are
 * written anew, to be read in the diff. The generated pages of docs/ are compared with the schema,
 * too.
 */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "conf/conf.h"

/* Nobody is asked: addresses with "nowhere" in them do not resolve. */
static bool resolve(const char *address, struct sockaddr_storage *sa, socklen_t *n,
                    const char **why)
{
    *why = "Name or service not known";
    sa->ss_family = AF_INET;
    *n = sizeof *sa;
    return strstr(address, "nowhere") == NULL;
}

static char *slurp(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = calloc(1, 1 << 18);

    if (f != NULL) {
        (void)!fread(text, 1, (1 << 18) - 1, f);
        fclose(f);
    }
    return text;
}

static void spill(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static bool case_holds(const char *yaml)
{
    const struct conf_options options = {.prefix = "/srv/gate", .resolve = resolve};
    struct buf errors = {0};
    struct conf *c = conf_load_with(yaml, &options, &errors);
    char path[512], *want;
    bool ok;

    snprintf(path, sizeof path, "%.*s.expected", (int)(strlen(yaml) - 5), yaml);
    if (getenv("UPDATE_EXPECTED") != NULL)
        spill(path, buf_cstr(&errors));
    want = slurp(path);
    ok = c == NULL && strcmp(want, buf_cstr(&errors)) == 0;
    if (!ok)
        print_error("%s: expected\n%s--- got\n%s", yaml, want, buf_cstr(&errors));
    conf_free(&c);
    buf_free(&errors);
    free(want);
    return ok;
}

static void test_errors(void **state)
{
    unsigned failed = 0;
    glob_t found;

    (void)state;
    unsetenv("NOT_SET");
    assert_int_equal(glob("errors/*.yaml", 0, NULL, &found), 0);
    assert_true(found.gl_pathc >= 15);
    for (size_t i = 0; i < found.gl_pathc; i++)
        failed += !case_holds(found.gl_pathv[i]);
    globfree(&found);
    assert_int_equal(failed, 0);
}

static void assert_generated(const char *path, void (*print)(FILE *))
{
    char *text = NULL, *have = slurp(path);
    size_t n;
    FILE *f = open_memstream(&text, &n);

    print(f);
    fclose(f);
    if (strcmp(have, text) != 0)
        fail_msg("%s is not what the schema says: run `make reference`", path);
    free(text);
    free(have);
}

static void test_pages_are_current(void **state)
{
    (void)state;
    assert_generated("../../docs/configuration.md", conf_print_reference);
    assert_generated("../../docs/rushgate.schema.json", conf_print_json_schema);
}

static void test_paths(void **state)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);

    (void)state;
    conf_print_paths(f);
    fclose(f);
    assert_non_null(strstr(text, "\nupstreams{}.health.interval\n"));
    assert_non_null(strstr(text, "\nroutes[].methods{}.deadline\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_pages_are_current),
        cmocka_unit_test(test_paths),
    };
    const char *dir = getenv("srcdir");
    char path[4096];

    snprintf(path, sizeof path, "%s/tests/conf", dir ? dir : ".");
    if (chdir(path) != 0)
        return 99;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
