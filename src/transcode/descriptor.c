/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compiling a FileDescriptorSet: protobuf-c reads it, every message and enum gets its place in the
 * run, then fields, names and HTTP bindings are filled in (message.c, binding.c). References
 * between types are offsets that are known before anything is filled, so that messages may hold
 * each other.
 */
#include "transcode/schema.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "transcode/compiler.h"
#include "transcode/wire.h"

/* Deeper than anything protoc takes from a person; every level costs stack in protobuf-c. */
#define NESTED_TYPES_MAX 40

typedef Google__Protobuf__FileDescriptorSet file_set;
typedef Google__Protobuf__FileDescriptorProto file_proto;
typedef Google__Protobuf__DescriptorProto message_proto;

bool compile_fail(struct compiler *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(c->err, fmt, ap);
    va_end(ap);
    return false;
}

uint32_t run_reserve(struct compiler *c, size_t n)
{
    size_t at = (c->run.n + 7) & ~(size_t)7;

    if (at + n > INT32_MAX || !buf_reserve(&c->run, at + n - c->run.n)) {
        c->run.failed = true;
        return 0;
    }
    memset(c->run.p + c->run.n, 0, at + n - c->run.n);
    c->run.n = at + n;
    return (uint32_t)at;
}

void run_put(struct compiler *c, uint32_t off, const void *p, size_t n)
{
    if (c->run.failed || n == 0)
        return;
    CHECK(off + n <= c->run.n);
    memcpy(c->run.p + off, p, n);
}

struct schema_str run_str(struct compiler *c, struct slice s)
{
    struct schema_str out = {(uint32_t)c->run.n, (uint32_t)s.n};

    if (c->run.n + s.n > INT32_MAX)
        c->run.failed = true;
    else
        buf_slice(&c->run, s);
    return out;
}

uint32_t names_reserve(struct compiler *c, size_t n, uint32_t *mask)
{
    uint32_t size = 4;

    while (size < 2 * n)
        size *= 2;
    *mask = size - 1;
    return run_reserve(c, size * sizeof(struct schema_name));
}

void names_add(struct compiler *c, uint32_t table_off, uint32_t mask, struct schema_str name,
               size_t index)
{
    struct schema_name *table;
    const char *p;
    uint32_t i;

    if (c->run.failed || name.n > UINT16_MAX)
        return;
    table = (struct schema_name *)(void *)(c->run.p + table_off);
    p = c->run.p + name.off;
    for (i = name_hash(p, name.n) & mask; table[i].index != 0; i = (i + 1) & mask)
        if (table[i].n == name.n && memcmp(c->run.p + table[i].off, p, name.n) == 0)
            return;
    table[i] = (struct schema_name){name.off, (uint16_t)name.n, (uint16_t)(index + 1)};
}

bool nesting_ok(struct slice bytes, const uint32_t *descend, unsigned descend_n, unsigned limit)
{
    struct wire w = wire_of(bytes);
    const unsigned char *end[64];
    unsigned depth = 0;

    CHECK(limit < 64);
    end[0] = w.end;
    for (;;) {
        uint32_t number, want = descend[depth < descend_n ? depth : descend_n - 1];
        unsigned type;
        struct slice inner;

        while (depth > 0 && w.p == end[depth])
            w.end = end[--depth];
        if (w.p == w.end)
            return true;
        want = descend[depth < descend_n ? depth : descend_n - 1];
        if (!wire_tag(&w, &number, &type))
            return true; /* protobuf-c will say so */
        if (number != want || type != WIRE_LEN) {
            if (!wire_skip(&w, number, type))
                return true;
            continue;
        }
        if (!wire_bytes(&w, &inner))
            return true;
        if (++depth > limit)
            return false;
        w = wire_of(inner);
        end[depth] = w.end;
    }
}

static bool type_add(struct compiler *c, struct type t, const char *scope, const char *name)
{
    struct slice full;

    if (name == NULL || name[0] == '\0')
        return compile_fail(c, "%s: a type without a name", t.file->name ? t.file->name : "?");
    full = scope[0] ? arena_printf(&c->arena, "%s.%s", scope, name)
                    : arena_printf(&c->arena, "%s", name);
    if (c->types_n == c->types_cap) {
        c->types_cap = c->types_cap ? 2 * c->types_cap : 64;
        c->types = xrealloc(c->types, c->types_cap * sizeof *c->types);
    }
    t.name = full.p;
    if (t.name == NULL)
        return compile_fail(c, "out of memory");
    c->types[c->types_n++] = t;
    return true;
}

static bool collect_enums(struct compiler *c, const file_proto *file, const char *scope, size_t n,
                          Google__Protobuf__EnumDescriptorProto **enums)
{
    for (size_t i = 0; i < n; i++)
        if (!type_add(c, (struct type){.file = file, .enumeration = enums[i]}, scope,
                      enums[i]->name))
            return false;
    c->enums_n += (uint32_t)n;
    return true;
}

/* The depth was checked by nesting_ok. */
static bool collect_messages(struct compiler *c, const file_proto *file, const char *scope,
                             size_t n, message_proto **messages)
{
    for (size_t i = 0; i < n; i++) {
        const message_proto *m = messages[i];
        const char *inner;

        if (!type_add(c, (struct type){.file = file, .message = m}, scope, m->name))
            return false;
        inner = c->types[c->types_n - 1].name;
        if (!collect_messages(c, file, inner, m->n_nested_type, m->nested_type) ||
            !collect_enums(c, file, inner, m->n_enum_type, m->enum_type))
            return false;
    }
    c->messages_n += (uint32_t)n;
    return true;
}

static int type_order(const void *a, const void *b)
{
    return strcmp(((const struct type *)a)->name, ((const struct type *)b)->name);
}

static bool has_file(const file_set *set, const char *name)
{
    for (size_t i = 0; i < set->n_file; i++)
        if (set->file[i]->name != NULL && strcmp(set->file[i]->name, name) == 0)
            return true;
    return false;
}

static bool check_file(struct compiler *c, const file_proto *f)
{
    const char *name = f->name ? f->name : "?";

    if (f->syntax != NULL && strcmp(f->syntax, "proto3") != 0 && strcmp(f->syntax, "proto2") != 0 &&
        f->syntax[0] != '\0')
        return compile_fail(c, "%s: syntax \"%s\" is not supported (proto3 and proto2 are)", name,
                            f->syntax);
    for (size_t i = 0; i < f->n_dependency; i++)
        if (!has_file(c->set, f->dependency[i]))
            return compile_fail(c,
                                "%s imports %s, which is not in the set (run protoc with "
                                "--include_imports)",
                                name, f->dependency[i]);
    return true;
}

static bool collect_types(struct compiler *c)
{
    for (size_t i = 0; i < c->set->n_file; i++) {
        const file_proto *f = c->set->file[i];
        const char *package = f->package ? f->package : "";
        if (!check_file(c, f) ||
            !collect_messages(c, f, package, f->n_message_type, f->message_type) ||
            !collect_enums(c, f, package, f->n_enum_type, f->enum_type))
            return false;
    }
    if (c->types_n > 0)
        qsort(c->types, c->types_n, sizeof *c->types, type_order);
    for (size_t i = 1; i < c->types_n; i++)
        if (strcmp(c->types[i - 1].name, c->types[i].name) == 0)
            return compile_fail(c, "%s is defined twice", c->types[i].name);
    return true;
}

const struct type *type_find(const struct compiler *c, const char *reference)
{
    struct type key = {0};

    if (reference == NULL || reference[0] != '.' || c->types_n == 0)
        return NULL;
    key.name = reference + 1;
    return bsearch(&key, c->types, c->types_n, sizeof *c->types, type_order);
}

/* Every type gets its offset first; messages come out sorted by name, which type lookup relies on.
 */
static bool compile_types(struct compiler *c, struct schema_root *root)
{
    uint32_t message = 0, enumeration = 0;

    root->messages.n = c->messages_n;
    root->messages.off = run_reserve(c, c->messages_n * sizeof(struct schema_msg));
    root->enums.n = c->enums_n;
    root->enums.off = run_reserve(c, c->enums_n * sizeof(struct schema_enum));
    for (size_t i = 0; i < c->types_n; i++) {
        struct type *t = &c->types[i];
        t->off = t->message
                     ? root->messages.off + message++ * (uint32_t)sizeof(struct schema_msg)
                     : root->enums.off + enumeration++ * (uint32_t)sizeof(struct schema_enum);
    }
    for (size_t i = 0; i < c->types_n; i++)
        if (!(c->types[i].message ? compile_message(c, &c->types[i])
                                  : compile_enum(c, &c->types[i])))
            return false;
    return true;
}

static bool compile_set(struct compiler *c, unsigned options)
{
    struct schema_root root = {
        .magic = SCHEMA_MAGIC,
        .version = SCHEMA_VERSION,
        .options = options,
    };

    run_reserve(c, sizeof root);
    if (!collect_types(c) || !compile_types(c, &root))
        return false;
    run_put(c, 0, &root, sizeof root);
    if (!compile_bindings(c, &root.bindings))
        return false;
    run_reserve(c, 0);
    root.size = (uint32_t)c->run.n;
    run_put(c, 0, &root, sizeof root);
    if (c->run.failed)
        return compile_fail(c, "out of memory");
    return true;
}

static file_set *unpack_set(struct compiler *c, struct slice bytes)
{
    static const uint32_t descend[] = {1, 4, 3}; /* file, message_type, nested_type */
    file_set *set;

    if (!nesting_ok(bytes, descend, 3, NESTED_TYPES_MAX)) {
        compile_fail(c, "messages are nested deeper than %d levels", NESTED_TYPES_MAX - 2);
        return NULL;
    }
    set = google__protobuf__file_descriptor_set__unpack(NULL, bytes.n, (const uint8_t *)bytes.p);
    if (set == NULL || set->n_file == 0) {
        compile_fail(c, "not a descriptor set (made by protoc --include_imports "
                        "--descriptor_set_out=FILE)");
        if (set != NULL)
            google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
        return NULL;
    }
    return set;
}

bool schema_compile(struct slice descriptor_set, unsigned options, struct buf *out, struct buf *err)
{
    struct compiler c = {.err = err, .proto_names = options & SCHEMA_PROTO_NAMES};
    struct arena_pool pool;
    file_set *set = unpack_set(&c, descriptor_set);
    bool ok;

    if (set == NULL)
        return false;
    arena_pool_init(&pool, 0);
    arena_init(&c.arena, &pool);
    c.set = set;
    ok = compile_set(&c, options);
    if (ok) {
        buf_slice(out, buf_view(&c.run));
        if (out->failed)
            ok = compile_fail(&c, "out of memory");
    }
    google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
    buf_free(&c.run);
    free(c.types);
    arena_reset(&c.arena);
    arena_pool_fini(&pool);
    return ok;
}
