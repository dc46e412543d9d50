/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long transcoding takes: nanoseconds a request and a reply of the box office. Not a test:
 *   bench_transcode proto/boxoffice.pb
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "transcode/schema.h"

#define ROUNDS 200000
#define RUNS   10

static struct buf read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct buf b = {0};
    char part[4096];
    size_t n;

    if (f == NULL)
        die("cannot open %s", path);
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        buf_add(&b, part, n);
    fclose(f);
    return b;
}

static uint32_t binding_of(struct slice schema, const char *method)
{
    struct schema_binding b;

    for (uint32_t i = 0; i < schema_bindings(schema); i++) {
        schema_binding_get(schema, i, &b);
        if (slice_eq(b.method, slice_str(method)))
            return i;
    }
    die("no method %s", method);
}

static double request_ns(struct slice schema, uint32_t binding)
{
    struct arena_pool pool;
    struct arena arena;
    struct slice name = SLICE_LIT("event"), var = SLICE_LIT("spring-2026"), out;
    struct slice body = SLICE_LIT("{\"item\":\"standard\",\"quantity\":2}");
    struct transcode_error err;
    uint64_t start;

    arena_pool_init(&pool, 4);
    arena_init(&arena, &pool);
    start = clock_mono_ns();
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (!transcode_request(schema, binding, &name, &var, 1, SLICE_NONE, body, &arena, &out,
                               &err))
            die("%s: %s", err.path, err.message);
        arena_reset(&arena);
    }
    start = clock_mono_ns() - start;
    arena_pool_fini(&pool);
    return (double)start / ROUNDS;
}

static double reply_ns(struct slice schema, uint32_t binding)
{
    /* An Order with two units and two times. */
    static const char order[] = "\x0a\x09"
                                "A1B2C3D4E"
                                "\x12\x0b"
                                "spring-2026"
                                "\x1a\x08"
                                "standard"
                                "\x20\x02\x28\x01\x32\x02\x05\x06\x3a\x06"
                                "176.00"
                                "\x42\x03"
                                "EUR"
                                "\x4a\x0c\x08\xff\xf5\xbc\xc8\x06\x10\x80\xb5\xeb\xb3\x01"
                                "\x52\x0c\x08\xd7\xfa\xbc\xc8\x06\x10\x80\xb5\xeb\xb3\x01"
                                "\x5a\x10"
                                "0123456789abcdef";
    struct slice message = slice_of(order, sizeof order - 1);
    struct buf out = {0};
    uint64_t start;

    if (!transcode_reply(schema, binding, message, &out))
        die("the reply is not valid");
    printf("%s\n", buf_cstr(&out));
    start = clock_mono_ns();
    for (unsigned i = 0; i < ROUNDS; i++) {
        buf_clear(&out);
        if (!transcode_reply(schema, binding, message, &out))
            die("the reply is not valid");
    }
    start = clock_mono_ns() - start;
    buf_free(&out);
    return (double)start / ROUNDS;
}

int main(int argc, char **argv)
{
    struct buf set = read_file(argc > 1 ? argv[1] : "proto/boxoffice.pb"), schema = {0}, err = {0};
    double request = 1e9, reply = 1e9;
    uint32_t binding;

    if (!schema_compile(buf_view(&set), 0, &schema, &err))
        die("%s", buf_cstr(&err));
    printf("schema: %zu bytes\n", schema.n);
    binding = binding_of(buf_view(&schema), "CreateOrder");
    for (int i = 0; i < RUNS; i++) {
        double a = request_ns(buf_view(&schema), binding), b = reply_ns(buf_view(&schema), binding);
        request = a < request ? a : request;
        reply = b < reply ? b : reply;
    }
    printf("request %.0f ns, reply %.0f ns (fastest of %d)\n", request, reply, RUNS);
    buf_free(&set);
    buf_free(&schema);
    buf_free(&err);
    return 0;
}
