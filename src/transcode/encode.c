/* SPDX-License-Identifier: BSD-2-Clause */
/* The output run, errors with the place they are about, and sets of names: see encode.h. */
#include "transcode/encode.h"

#include <stdio.h>

#include "base/hash.h"

bool memory_fail(struct encoder *e)
{
    e->err->path[0] = '\0';
    snprintf(e->err->message, sizeof e->err->message, "out of memory");
    return false;
}

bool encode_grow(struct encoder *e, size_t more)
{
    size_t n = (size_t)(e->p - e->base), cap = (size_t)(e->end - e->base);
    char *p;

    if (more > SIZE_MAX / 4 || cap > SIZE_MAX / 4)
        return memory_fail(e);
    cap = cap + more > 2 * cap ? cap + more : 2 * cap;
    p = arena_alloc(e->arena, cap);
    if (p == NULL)
        return memory_fail(e);
    memcpy(p, e->base, n);
    e->base = p;
    e->p = p + n;
    e->end = p + cap;
    return true;
}

bool encode_open(struct encoder *e, size_t expect, struct encode_mark *m)
{
    m->width = varint_len(expect);
    if (!encode_room(e, m->width))
        return false;
    m->at = (size_t)(e->p - e->base);
    e->p += m->width;
    return true;
}

bool encode_close(struct encoder *e, const struct encode_mark *m)
{
    char *from = e->base + m->at + m->width;
    size_t n = (size_t)(e->p - from);
    unsigned width = varint_len(n);

    if (width != m->width) {
        if (width > m->width && !encode_room(e, width - m->width))
            return false;
        from = e->base + m->at + m->width;
        memmove(e->base + m->at + width, from, n);
        e->p = e->base + m->at + width + n;
    }
    varint_put(e->base + m->at, n);
    return true;
}

bool encode_bytes(struct encoder *e, const struct schema_field *f, struct slice bytes)
{
    if (!encode_room(e, ENCODE_TAG_ROOM + WIRE_VARINT_MAX + bytes.n))
        return false;
    put_tag(e, f);
    e->p = varint_put(e->p, bytes.n);
    if (bytes.n > 0)
        memcpy(e->p, bytes.p, bytes.n);
    e->p += bytes.n;
    return true;
}

bool encode_tag_bytes(struct encoder *e, uint8_t tag, struct slice bytes)
{
    if (!encode_room(e, 1 + WIRE_VARINT_MAX + bytes.n))
        return false;
    *e->p++ = (char)tag;
    e->p = varint_put(e->p, bytes.n);
    if (bytes.n > 0)
        memcpy(e->p, bytes.p, bytes.n);
    e->p += bytes.n;
    return true;
}

bool encode_tag_varint(struct encoder *e, uint8_t tag, uint64_t v)
{
    if (!encode_room(e, 1 + WIRE_VARINT_MAX))
        return false;
    *e->p++ = (char)tag;
    e->p = varint_put(e->p, v);
    return true;
}

/* A path as text; what does not fit is cut off. */
struct path_text {
    char *out;
    size_t n, cap;
};

static void path_add(struct path_text *t, const char *p, size_t n)
{
    if (n > t->cap - 1 - t->n)
        n = t->cap - 1 - t->n;
    memcpy(t->out + t->n, p, n);
    t->n += n;
    t->out[t->n] = '\0';
}

static void path_place(struct path_text *t, const struct place *at)
{
    char index[24];

    if (at->key.p == NULL) {
        int n = snprintf(index, sizeof index, "[%llu]", (unsigned long long)at->index);
        path_add(t, index, (size_t)n);
    } else if (at->map_key) {
        path_add(t, "[\"", 2);
        path_add(t, at->key.p, at->key.n);
        path_add(t, "\"]", 2);
    } else {
        if (t->n > 0)
            path_add(t, ".", 1);
        path_add(t, at->key.p, at->key.n);
    }
}

static void write_path(struct encoder *e)
{
    const struct place *chain[2 * JSON_DEPTH_MAX + 2];
    struct path_text t = {e->err->path, 0, sizeof e->err->path};
    unsigned n = 0;

    t.out[0] = '\0';
    for (const struct place *at = e->place; at != NULL && n < sizeof chain / sizeof chain[0];
         at = at->up)
        chain[n++] = at;
    while (n > 0)
        path_place(&t, chain[--n]);
}

bool place_fail(struct encoder *e, const char *fmt, ...)
{
    va_list ap;

    write_path(e);
    va_start(ap, fmt);
    vsnprintf(e->err->message, sizeof e->err->message, fmt, ap);
    va_end(ap);
    return false;
}

bool name_fail(struct encoder *e, struct slice name, const char *fmt, ...)
{
    struct path_text t = {e->err->path, 0, sizeof e->err->path};
    va_list ap;

    path_add(&t, name.n ? name.p : "", name.n);
    va_start(ap, fmt);
    vsnprintf(e->err->message, sizeof e->err->message, fmt, ap);
    va_end(ap);
    return false;
}

bool json_fail(struct encoder *e)
{
    return place_fail(e, "not valid JSON at byte %zu: %s", (size_t)(e->json.p - e->json.start),
                      e->json.error);
}

bool kind_fail(struct encoder *e, const char *expected, const struct json_value *v)
{
    int n = v->text.n > 40 ? 40 : (int)v->text.n;

    if (v->kind == JSON_STRING)
        return place_fail(e, "expected %s, got the string \"%.*s%s\"", expected, n, v->text.p,
                          v->text.n > 40 ? "..." : "");
    if (v->kind == JSON_NUMBER)
        return place_fail(e, "expected %s, got %.*s%s", expected, n, v->text.p,
                          v->text.n > 40 ? "..." : "");
    return place_fail(e, "expected %s, got %s", expected, json_kind_name(v->kind));
}

bool string_of(struct encoder *e, const struct json_value *v, struct slice *out)
{
    char *p;

    if (!v->escaped) {
        *out = v->text;
        return true;
    }
    p = arena_alloc(e->arena, v->text.n);
    if (p == NULL)
        return memory_fail(e);
    *out = slice_of(p, json_unescape(v->text, p));
    return true;
}

static void key_set_put(struct key_set *s, uint64_t h)
{
    uint32_t i = (uint32_t)(h >> 1) & (s->size - 1);

    while (s->slots[i] != 0)
        i = (i + 1) & (s->size - 1);
    s->slots[i] = h;
    s->n++;
}

static bool key_set_grow(struct encoder *e, struct key_set *s)
{
    struct key_set bigger = {.size = s->size ? 4 * s->size : 16};

    bigger.slots = arena_zalloc(e->arena, bigger.size * sizeof *bigger.slots);
    if (bigger.slots == NULL)
        return false;
    for (uint32_t i = 0; i < s->size; i++)
        if (s->slots[i] != 0)
            key_set_put(&bigger, s->slots[i]);
    *s = bigger;
    return true;
}

bool key_set_add(struct encoder *e, struct key_set *s, struct slice key, bool *memory)
{
    /* The seed is where the stack lies: a client cannot prepare names that collide. */
    uint64_t h = hash64(key, (uint64_t)(uintptr_t)e) | 1;

    *memory = false;
    if (2 * s->n >= s->size && !key_set_grow(e, s)) {
        *memory = true;
        return false;
    }
    for (uint32_t i = (uint32_t)(h >> 1) & (s->size - 1); s->slots[i] != 0;
         i = (i + 1) & (s->size - 1))
        if (s->slots[i] == h)
            return false;
    key_set_put(s, h);
    return true;
}
