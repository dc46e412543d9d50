/* SPDX-License-Identifier: BSD-2-Clause */
#include "fixture.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "conf/value.h"

static bool resolve(const char *address, struct sockaddr_storage *sa, socklen_t *n,
                    const char **why)
{
    struct sockaddr_in *in = (void *)sa;
    struct slice host;

    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (!value_host_port(slice_str(address), &host, &in->sin_port)) {
        *why = "no";
        return false;
    }
    in->sin_port = htons(in->sin_port);
    *n = sizeof *in;
    return true;
}

const struct conf_options fixture_options = {.prefix = "/srv/gate", .resolve = resolve};

void fixture_write(const char *path, const char *text, size_t n)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

void fixture_put(const char *path, const char *text)
{
    fixture_write(path, text, strlen(text));
}

char *fixture_slurp(const char *path, size_t *n)
{
    char *text = calloc(1, FIXTURE_FILE_MAX);
    FILE *f = fopen(path, "r");
    size_t got;

    assert_non_null(text);
    assert_non_null(f);
    got = fread(text, 1, FIXTURE_FILE_MAX, f);
    assert_true(got < FIXTURE_FILE_MAX);
    fclose(f);
    if (n != NULL)
        *n = got;
    return text;
}

const char *fixture_full_file(void)
{
    static char path[4096];
    const char *dir = getenv("srcdir");

    snprintf(path, sizeof path, "%s/tests/conf/full.yaml", dir != NULL ? dir : ".");
    return path;
}

struct conf *fixture_load(const char *path)
{
    struct buf errors = {0};
    struct conf *c = conf_load_with(path, &fixture_options, &errors);

    if (c == NULL)
        fail_msg("%s", buf_cstr(&errors));
    assert_int_equal(errors.n, 0);
    buf_free(&errors);
    return c;
}

const struct conf_root *fixture_compile(const struct conf *c, const struct conf_resolver *r,
                                        struct buf *blob)
{
    struct buf errors = {0};

    assert_true(conf_compile(c, r, 5, blob, &errors));
    buf_free(&errors);
    return (const void *)blob->p;
}

void assert_str(const struct conf_root *r, struct conf_str s, const char *text)
{
    struct slice got = conf_slice(r, s);

    if (!slice_eq(got, slice_str(text)))
        fail_msg("\"%.*s\" is not \"%s\"", SLICE_ARG(got), text);
}
