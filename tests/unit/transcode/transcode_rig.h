/* SPDX-License-Identifier: BSD-2-Clause */
/* A compiled descriptor set and an arena, for tests of transcoding. */
#ifndef TRANSCODE_RIG_H
#define TRANSCODE_RIG_H

#include <stdio.h>

#include "base/check.h"
#include "transcode/schema.h"

struct rig {
    struct buf set, schema, err;
    struct arena_pool pool;
    struct arena arena;
};

static inline void rig_read(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    char part[4096];
    size_t n;

    if (f == NULL)
        die("cannot open %s", path);
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        buf_add(out, part, n);
    fclose(f);
}

static inline void rig_open(struct rig *r, const char *path, unsigned options)
{
    *r = (struct rig){0};
    rig_read(path, &r->set);
    if (!schema_compile(buf_view(&r->set), options, &r->schema, &r->err))
        die("%s: %s", path, buf_cstr(&r->err));
    arena_pool_init(&r->pool, 4);
    arena_init(&r->arena, &r->pool);
}

static inline void rig_close(struct rig *r)
{
    buf_free(&r->set);
    buf_free(&r->schema);
    buf_free(&r->err);
    arena_reset(&r->arena);
    arena_pool_fini(&r->pool);
}

/* The binding of "Method" without annotation, or of "PUT /template". */
static inline uint32_t rig_binding(struct rig *r, const char *name)
{
    struct slice schema = buf_view(&r->schema);
    struct schema_binding b;
    char text[256];

    for (uint32_t i = 0; i < schema_bindings(schema); i++) {
        schema_binding_get(schema, i, &b);
        if (b.http_method.n == 0)
            snprintf(text, sizeof text, "%.*s", SLICE_ARG(b.method));
        else
            snprintf(text, sizeof text, "%.*s %.*s", SLICE_ARG(b.http_method),
                     SLICE_ARG(b.template));
        if (strcmp(text, name) == 0)
            return i;
    }
    die("no binding %s", name);
}

#endif
