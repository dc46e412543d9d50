/* SPDX-License-Identifier: BSD-2-Clause */
/* One request: path variables first, since they win, then the query, then the body. */
#include "base/check.h"
#include "transcode/encode.h"

static bool is_blank(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != ' ' && s.p[i] != '\n' && s.p[i] != '\r' && s.p[i] != '\t')
            return false;
    return true;
}

/* An empty body stands for an empty message. */
static bool encode_body(struct encoder *e, const struct schema_msg *m, const struct schema_bind *b,
                        struct slice body, uint32_t vars)
{
    const struct schema_field *f = schema_fields(e->root, m) + b->body_field;
    struct json_value v;
    uint32_t inside = 0;

    if (is_blank(body))
        return true;
    if (b->body == BODY_NONE)
        return place_fail(e, "expected no body");
    json_init(&e->json, body);
    if (!next_value(e, &v))
        return false;
    if (b->body == BODY_ALL) {
        if (!encode_message(e, m, &v, vars, 0))
            return false;
        return json_end(&e->json) ? true : json_fail(e);
    }
    for (const struct bound *at = e->bound; at != NULL; at = at->next) {
        /* A path that sets the field itself, or excludes it, was refused by the compiler. */
        if (at->from_path && at->path.at[0] == b->body_field && at->path.n > 1)
            inside |= at->bit;
    }
    if (!encode_field(e, f, &v, inside, 1))
        return false;
    return json_end(&e->json) ? true : json_fail(e);
}

static bool encode_query(struct encoder *e, const struct schema_msg *m, const struct schema_bind *b,
                         struct slice query, struct slice body)
{
    const struct schema_field *body_field = NULL;

    if (query.n == 0)
        return true;
    if (b->body == BODY_ALL)
        return e->root->options & SCHEMA_IGNORE_UNKNOWN ? true : bind_query(e, NULL, query, NULL);
    if (b->body == BODY_FIELD && !is_blank(body))
        body_field = schema_fields(e->root, m) + b->body_field;
    return bind_query(e, m, query, body_field);
}

/* Most messages are shorter than the text they come from; the rest grows. */
static bool open_output(struct encoder *e, const struct slice *vars, unsigned vars_n,
                        struct slice query, struct slice body)
{
    size_t n = 64 + query.n + body.n;

    for (unsigned i = 0; i < vars_n; i++)
        n += vars[i].n + 16;
    e->base = e->p = arena_alloc(e->arena, n);
    e->end = e->base + n;
    return e->base != NULL ? true : memory_fail(e);
}

bool transcode_request(struct slice schema, uint32_t binding, const struct slice *var_names,
                       const struct slice *vars, unsigned vars_n, struct slice query,
                       struct slice body, struct arena *arena, struct slice *out,
                       struct transcode_error *err)
{
    struct encoder e = {.root = schema_root_of(schema), .arena = arena, .err = err};
    const struct schema_bind *b;
    const struct schema_msg *m;
    uint32_t bits = 0;

    CHECK(e.root != NULL && binding < e.root->bindings.n);
    if (vars_n > SCHEMA_VARS_MAX)
        return place_fail(&e, "more than %d path variables", SCHEMA_VARS_MAX);
    b = (const struct schema_bind *)schema_at(e.root, e.root->bindings.off) + binding;
    m = schema_at(e.root, b->request);
    if (!open_output(&e, vars, vars_n, query, body))
        return false;
    for (unsigned i = 0; i < vars_n; i++) {
        if (!bind_var(&e, m, var_names[i], vars[i], i))
            return false;
        bits |= UINT32_C(1) << i;
    }
    if (!encode_query(&e, m, b, query, body) || !encode_body(&e, m, b, body, bits))
        return false;
    *out = slice_of(e.base, (size_t)(e.p - e.base));
    return true;
}
