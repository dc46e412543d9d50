/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptor sets: what an operator may hand us by mistake. What compiles must be usable.
 *
 * FUZZ-SOURCES: src/transcode src/base
 */
#include "transcode_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void use_binding(struct slice schema, uint32_t binding, struct arena *arena)
{
    static const char *const bodies[] = {"{}", "{\"name\":\"x\",\"id\":1,\"items\":[{}]}", "[1]",
                                         "\"x\"", ""};
    struct schema_binding b;

    schema_binding_get(schema, binding, &b);
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct slice message, query = SLICE_LIT("page_size=1&name=x&inner.id=5");
        struct slice name = SLICE_LIT("event"), var = SLICE_LIT("1");
        struct transcode_error err;
        struct buf out = {0};

        if (transcode_request(schema, binding, &name, &var, i & 1, query, slice_str(bodies[i]),
                              arena, &message, &err))
            (void)transcode_reply(schema, binding, message, &out);
        (void)transcode_reply(schema, binding, SLICE_LIT("\x0a\x01x\x10\x05\x1a\x00"), &out);
        buf_free(&out);
    }
    arena_reset(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct buf out = {0}, err = {0};
    struct arena_pool pool;
    struct arena arena;

    arena_pool_init(&pool, 4);
    arena_init(&arena, &pool);
    if (schema_compile(slice_of((const char *)data, n), 0, &out, &err))
        for (uint32_t i = 0; i < schema_bindings(buf_view(&out)) && i < 40; i++)
            use_binding(buf_view(&out), i, &arena);
    else
        CHECK(err.n > 0);
    arena_pool_fini(&pool);
    buf_free(&out);
    buf_free(&err);
    return 0;
}
