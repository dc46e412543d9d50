/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON objects to messages. One call of encode_message is one object; how deep they nest is bounded
 * by the reader's JSON_DEPTH_MAX. A set of bits, one a field and one a oneof, finds members that
 * come twice and members of a oneof that exclude each other.
 *
 * A path variable wins over the body: its field is in the output already, so what the body says for
 * it is encoded, compared and dropped.
 */
#include "transcode/encode.h"

/* Fields seen in one object. Most messages fit the word. */
struct seen {
    uint64_t word;
    uint64_t *bits; /* &word or in the arena */
};

static bool seen_init(struct encoder *e, struct seen *s, const struct schema_msg *m)
{
    s->word = 0;
    s->bits = &s->word;
    if (m->seen_bits <= 64)
        return true;
    s->bits = arena_zalloc(e->arena, (size_t)(m->seen_bits + 63) / 64 * 8);
    return s->bits != NULL ? true : memory_fail(e);
}

/* Sets bit i; true when it was set already. */
static inline bool seen_set(struct seen *s, unsigned i)
{
    uint64_t bit = UINT64_C(1) << (i & 63), was = s->bits[i / 64];

    s->bits[i / 64] = was | bit;
    return was & bit;
}

/* What the variables among active mean for field index: the leaf that is bound, or those inside. */
static const struct bound *bound_at(const struct encoder *e, uint32_t active, unsigned depth,
                                    unsigned index, uint32_t *inside)
{
    *inside = 0;
    for (const struct bound *b = e->bound; b != NULL; b = b->next) {
        if (!b->from_path || !(b->bit & active) || b->path.at[depth] != index)
            continue;
        if (b->path.n == depth + 1)
            return b;
        *inside |= b->bit;
    }
    return NULL;
}

/* The oneofs that path variables have decided. */
static void seen_bound(const struct encoder *e, struct seen *s, const struct schema_msg *m,
                       uint32_t active, unsigned depth)
{
    for (const struct bound *b = e->bound; b != NULL; b = b->next) {
        const struct schema_field *f;

        if (!b->from_path || !(b->bit & active))
            continue;
        f = schema_fields(e->root, m) + b->path.at[depth];
        if (f->oneof != SCHEMA_NO_ONEOF)
            seen_set(s, f->oneof);
    }
}

static bool oneof_fail(struct encoder *e)
{
    return place_fail(e, "conflicts with another member of the same oneof");
}

/* A field that the path has set: the body may only repeat it. */
static bool compare_bound(struct encoder *e, const struct schema_field *f,
                          const struct json_value *v, const struct bound *b)
{
    size_t at = (size_t)(e->p - e->base), n;

    if (!encode_field(e, f, v, 0, 0))
        return false;
    n = (size_t)(e->p - e->base) - at;
    e->p = e->base + at;
    if (v->kind == JSON_NULL || (n == b->n && memcmp(e->p, e->base + b->off, n) == 0))
        return true;
    return place_fail(e, "the path sets this field to another value");
}

static bool null_is_value(const struct encoder *e, const struct schema_field *f)
{
    if (f->type == TYPE_MESSAGE)
        return schema_msg_of(e->root, f)->known == KNOWN_VALUE;
    return f->type == TYPE_ENUM && schema_enum_of(e->root, f)->null_value;
}

static bool encode_member(struct encoder *e, const struct schema_field *f, unsigned index,
                          struct seen *seen, uint32_t active, unsigned depth)
{
    const struct bound *bound = NULL;
    uint32_t inside = 0;
    struct json_value v;

    if (!next_value(e, &v))
        return false;
    if (seen_set(seen, index))
        return place_fail(e, "given more than once");
    if (active != 0)
        bound = bound_at(e, active, depth, index, &inside);
    if (bound != NULL)
        return compare_bound(e, f, &v, bound);
    if (f->oneof != SCHEMA_NO_ONEOF && inside == 0 &&
        (v.kind != JSON_NULL || null_is_value(e, f)) && seen_set(seen, f->oneof))
        return oneof_fail(e);
    return encode_field(e, f, &v, inside, depth + 1);
}

static bool unknown_member(struct encoder *e, const struct schema_msg *m, bool skip)
{
    struct json_value v;

    if (!skip && !(e->root->options & SCHEMA_IGNORE_UNKNOWN))
        return place_fail(e, "unknown field: %.*s has none of that name",
                          SLICE_ARG(schema_slice(e->root, m->name)));
    return next_value(e, &v) && (json_skip(&e->json, &v) || json_fail(e));
}

bool encode_members(struct encoder *e, const struct schema_msg *m, uint32_t active, unsigned depth,
                    bool any)
{
    struct place here = {.up = e->place};
    struct json_value key;
    struct seen seen;
    bool first = true;

    if (!seen_init(e, &seen, m))
        return false;
    if (active != 0)
        seen_bound(e, &seen, m, active, depth);
    while (json_member(&e->json, &first, &key)) {
        const struct schema_field *f;
        bool ok;

        e->place = &here;
        if (!string_of(e, &key, &here.key))
            return false;
        f = schema_field_by_name(e->root, m, here.key);
        if (f != NULL)
            ok = encode_member(e, f, (unsigned)(f - schema_fields(e->root, m)), &seen, active,
                               depth);
        else
            ok = unknown_member(e, m, any && slice_eq(here.key, SLICE_LIT("@type")));
        e->place = here.up;
        if (!ok)
            return false;
    }
    return e->json.error == NULL ? true : json_fail(e);
}

bool encode_message(struct encoder *e, const struct schema_msg *m, const struct json_value *v,
                    uint32_t active, unsigned depth)
{
    if (m->known != KNOWN_NONE)
        return known_from_json(e, m, v);
    if (v->kind != JSON_OBJECT)
        return kind_fail(e, "an object", v);
    return encode_members(e, m, active, depth, false);
}

/* A message cannot get much longer than the JSON that is left to read. */
static size_t left(const struct encoder *e)
{
    return (size_t)(e->json.end - e->json.p);
}

static bool encode_single(struct encoder *e, const struct schema_field *f,
                          const struct json_value *v, bool keep, uint32_t active, unsigned depth)
{
    struct encode_mark mark;
    uint64_t bits;

    if (f->type == TYPE_STRING || f->type == TYPE_BYTES)
        return blob_from_json(e, f, v, keep);
    if (f->type == TYPE_MESSAGE) {
        if (!encode_room(e, ENCODE_TAG_ROOM))
            return false;
        put_tag(e, f);
        return encode_open(e, left(e), &mark) &&
               encode_message(e, schema_msg_of(e->root, f), v, active, depth) &&
               encode_close(e, &mark);
    }
    if (!scalar_from_json(e, f, v, &bits))
        return false;
    return bits == 0 && !keep ? true : encode_scalar(e, f, bits);
}

static bool encode_packed_element(struct encoder *e, const struct schema_field *f,
                                  const struct json_value *v)
{
    uint64_t bits;

    if (!scalar_from_json(e, f, v, &bits) || !encode_room(e, WIRE_VARINT_MAX))
        return false;
    scalar_put(e, f, bits);
    return true;
}

static bool encode_element(struct encoder *e, const struct schema_field *f, struct place *here)
{
    struct json_value v;
    bool ok;

    e->place = here;
    ok = next_value(e, &v);
    if (ok && v.kind == JSON_NULL && !null_is_value(e, f))
        ok = place_fail(e, "null is not allowed in a list");
    if (ok)
        ok = f->flags & FIELD_PACKED ? encode_packed_element(e, f, &v)
                                     : encode_single(e, f, &v, true, 0, 0);
    e->place = here->up;
    here->index++;
    return ok;
}

static bool encode_elements(struct encoder *e, const struct schema_field *f)
{
    struct place here = {.up = e->place};
    bool first = true;

    while (json_element(&e->json, &first))
        if (!encode_element(e, f, &here))
            return false;
    return e->json.error == NULL ? true : json_fail(e);
}

static bool encode_list(struct encoder *e, const struct schema_field *f, const struct json_value *v)
{
    size_t start = (size_t)(e->p - e->base), content;
    struct encode_mark mark;

    if (v->kind != JSON_ARRAY)
        return kind_fail(e, "an array", v);
    if (!(f->flags & FIELD_PACKED))
        return encode_elements(e, f);
    if (!encode_room(e, ENCODE_TAG_ROOM))
        return false;
    put_tag(e, f);
    /* The wire type is in the low bits of the first byte. */
    e->base[start] = (char)((e->base[start] & ~7) | WIRE_LEN);
    if (!encode_open(e, left(e), &mark))
        return false;
    content = (size_t)(e->p - e->base);
    if (!encode_elements(e, f))
        return false;
    if ((size_t)(e->p - e->base) == content) {
        e->p = e->base + start;
        return true;
    }
    return encode_close(e, &mark);
}

/* The key field of an entry; equal keys in other words ("1", "1.0") count as one. */
static bool encode_key(struct encoder *e, const struct schema_field *f, struct slice text,
                       struct key_set *keys)
{
    uint64_t bits;
    struct slice canonical = text;
    bool memory;

    if (f->type == TYPE_STRING) {
        if (!encode_bytes(e, f, text))
            return false;
    } else {
        if (!scalar_from_text(e, f, text, &bits) || !encode_scalar(e, f, bits))
            return false;
        canonical = slice_of((const char *)&bits, sizeof bits);
    }
    if (key_set_add(e, keys, canonical, &memory))
        return true;
    return memory ? memory_fail(e) : place_fail(e, "given more than once");
}

static bool encode_entry(struct encoder *e, const struct schema_field *f,
                         const struct schema_field *entry, const struct place *here,
                         struct key_set *keys)
{
    struct encode_mark mark;
    struct json_value v;

    if (!encode_room(e, ENCODE_TAG_ROOM))
        return false;
    put_tag(e, f);
    if (!encode_open(e, left(e) + here->key.n, &mark) ||
        !encode_key(e, &entry[0], here->key, keys) || !next_value(e, &v))
        return false;
    if (v.kind == JSON_NULL && !null_is_value(e, &entry[1]))
        return place_fail(e, "null is not allowed in a map");
    return encode_single(e, &entry[1], &v, true, 0, 0) && encode_close(e, &mark);
}

static bool encode_map(struct encoder *e, const struct schema_field *f, const struct json_value *v)
{
    const struct schema_field *entry = schema_fields(e->root, schema_msg_of(e->root, f));
    struct place here = {.up = e->place, .map_key = true};
    struct key_set keys = {0};
    struct json_value key;
    bool first = true, ok = true;

    if (v->kind != JSON_OBJECT)
        return kind_fail(e, "an object", v);
    while (ok && json_member(&e->json, &first, &key)) {
        e->place = &here;
        ok = string_of(e, &key, &here.key) && encode_entry(e, f, entry, &here, &keys);
        e->place = here.up;
    }
    if (!ok)
        return false;
    return e->json.error == NULL ? true : json_fail(e);
}

bool encode_field(struct encoder *e, const struct schema_field *f, const struct json_value *v,
                  uint32_t active, unsigned depth)
{
    if (v->kind == JSON_NULL && ((f->flags & FIELD_REPEATED) || !null_is_value(e, f)))
        return true;
    if (f->flags & FIELD_MAP)
        return encode_map(e, f, v);
    if (f->flags & FIELD_REPEATED)
        return encode_list(e, f, v);
    return encode_single(e, f, v, f->flags & FIELD_PRESENCE, active, depth);
}
