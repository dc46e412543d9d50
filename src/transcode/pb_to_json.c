/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages to JSON. One pass over the bytes notes where each field comes first and last, and its
 * last value; then the fields are printed in the order of the descriptor, those that came several
 * times from what lies between. So fields may come in any order and repeated ones scattered; of a
 * scalar that comes several times the last counts, a message that comes several times is merged
 * (its pieces in a row are the merged message), and of a oneof the last member counts: as the
 * specification has it.
 */
#include "transcode/decode.h"

#include "base/check.h"
#include "base/hash.h"

/* Messages with more fields and oneofs than this note places on the heap. */
#define SPANS_ON_STACK 96

/* Offset + 1 of the tag where a field comes first and last; 0 when it does not. In the slot of a
 * oneof, first is the index + 1 of the member seen last. */
struct span {
    uint32_t first, last;
};

/* What was noted of a message's fields, by index: on the stack or the heap. */
struct spans {
    struct span small[SPANS_ON_STACK];
    struct wire_value small_values[SPANS_ON_STACK];
    struct buf big;
    struct span *all;
    struct wire_value *values; /* the last; of a field that is there */
};

/* Whether a value of this wire type can be the field's. Anything else counts as unknown. */
static inline bool wire_fits(const struct schema_field *f, unsigned type)
{
    return type == f->wire || (type == WIRE_LEN && (f->flags & FIELD_REPEATED));
}

static void note_oneof(struct span *spans, const struct schema_field *f, unsigned index)
{
    struct span *member = &spans[f->oneof];

    if (member->first != 0 && member->first != index + 1)
        spans[member->first - 1] = (struct span){0, 0};
    member->first = index + 1;
}

static bool note_fields(struct printer *d, const struct schema_msg *m, struct slice bytes,
                        struct spans *s)
{
    struct span *spans = s->all;
    const struct schema_field *fields = schema_fields(d->root, m);
    struct wire w = wire_of(bytes);

    while (w.p < w.end) {
        uint32_t number, at = (uint32_t)(w.p - (const unsigned char *)bytes.p) + 1;
        unsigned type;
        int i;

        if (!wire_tag(&w, &number, &type))
            return false;
        i = schema_field_by_number(d->root, m, number);
        if (i >= 0 && wire_fits(&fields[i], type)) {
            if (fields[i].oneof != SCHEMA_NO_ONEOF)
                note_oneof(spans, &fields[i], (unsigned)i);
            if (spans[i].first == 0)
                spans[i].first = at;
            spans[i].last = at;
            if (!wire_value(&w, type, &s->values[i]))
                return false;
        } else if (!wire_skip(&w, number, type)) {
            return false;
        }
    }
    return true;
}

/* Walks the values of one field in a run of bytes. */
struct walk {
    const struct schema_field *f;
    struct wire w;
    unsigned type; /* of the value just read */
};

static bool walk_next(struct walk *k, struct wire_value *v)
{
    while (k->w.p < k->w.end) {
        uint32_t number;

        if (!wire_tag(&k->w, &number, &k->type))
            return false;
        if (number == k->f->number && wire_fits(k->f, k->type))
            return wire_value(&k->w, k->type, v);
        if (!wire_skip(&k->w, number, k->type))
            return false;
    }
    return false;
}

/* From the field's first tag to the end of its last value. */
static struct walk walk_span(const struct schema_field *f, struct slice bytes, struct span s)
{
    struct walk k = {.f = f};
    struct wire_value v;
    const unsigned char *p = (const unsigned char *)bytes.p;

    k.w = (struct wire){p + s.last - 1, p + bytes.n};
    walk_next(&k, &v);
    k.w = (struct wire){p + s.first - 1, k.w.p};
    return k;
}

static bool print_value(struct printer *d, const struct schema_field *f, const struct wire_value *v,
                        unsigned depth)
{
    if (f->type == TYPE_MESSAGE)
        return print_object(d, schema_msg_of(d->root, f), v->bytes, depth + 1);
    return print_scalar(d, f, v);
}

static bool print_packed(struct printer *d, const struct schema_field *f, struct slice bytes,
                         bool *first)
{
    struct wire w = wire_of(bytes);
    struct wire_value v;

    while (w.p < w.end) {
        if (!*first)
            buf_char(d->out, ',');
        *first = false;
        if (!wire_value(&w, f->wire, &v) || !print_scalar(d, f, &v))
            return false;
    }
    return true;
}

static bool print_list(struct printer *d, struct walk *k, unsigned depth)
{
    struct wire_value v;
    bool first = true;

    buf_char(d->out, '[');
    while (walk_next(k, &v)) {
        if (k->type == WIRE_LEN && k->f->wire != WIRE_LEN) {
            if (!print_packed(d, k->f, v.bytes, &first))
                return false;
            continue;
        }
        if (!first)
            buf_char(d->out, ',');
        first = false;
        if (!print_value(d, k->f, &v, depth))
            return false;
    }
    buf_char(d->out, ']');
    return true;
}

/* A field that came once: an element, or several in one packed run. */
static bool print_run(struct printer *d, const struct schema_field *f, unsigned type,
                      const struct wire_value *v, unsigned depth)
{
    bool first = true, ok;

    buf_char(d->out, '[');
    ok = type == f->wire ? print_value(d, f, v, depth) : print_packed(d, f, v->bytes, &first);
    buf_char(d->out, ']');
    return ok;
}

/* Pieces of one message, joined. */
static bool print_merged(struct printer *d, struct walk *k, unsigned depth)
{
    struct buf joined = {0};
    struct wire_value v;
    bool ok;

    while (walk_next(k, &v))
        buf_slice(&joined, v.bytes);
    ok = !joined.failed &&
         print_object(d, schema_msg_of(d->root, k->f), buf_view(&joined), depth + 1);
    if (joined.failed)
        d->out->failed = true;
    buf_free(&joined);
    return ok;
}

/* Key and value of a map entry; a missing one has its default. */
static bool read_entry(struct printer *d, const struct schema_field *f, struct slice bytes,
                       struct wire_value *key, struct wire_value *value)
{
    const struct schema_field *entry = schema_fields(d->root, schema_msg_of(d->root, f));

    return wire_pair(bytes, entry[0].wire, entry[1].wire, key, value);
}

/* Where each key of a map comes last: of entries with the same key only the last counts. */
struct last_entry {
    uint64_t hash; /* 0 is free */
    const char *at;
};

#define ENTRIES_ON_STACK 32

struct last_entries {
    struct last_entry small[ENTRIES_ON_STACK];
    struct buf big;
    struct last_entry *slots;
    size_t size;
};

static struct last_entry *entry_slot(struct last_entries *t, const struct schema_field *key_field,
                                     const struct wire_value *key)
{
    struct slice s = key_field->type == TYPE_STRING
                         ? key->bytes
                         : slice_of((const char *)&key->bits, sizeof key->bits);
    uint64_t h = hash64(s, (uint64_t)(uintptr_t)t) | 1;
    size_t i = (size_t)(h >> 1) & (t->size - 1);

    while (t->slots[i].hash != 0 && t->slots[i].hash != h)
        i = (i + 1) & (t->size - 1);
    t->slots[i].hash = h;
    return &t->slots[i];
}

static bool entries_note(struct printer *d, struct last_entries *t, struct walk k)
{
    const struct schema_field *key_field = schema_fields(d->root, schema_msg_of(d->root, k.f));
    struct walk count = k;
    struct wire_value v, key, value;
    size_t n = 0;

    while (walk_next(&count, &v))
        n++;
    t->size = ENTRIES_ON_STACK;
    t->slots = t->small;
    while (t->size < 2 * n)
        t->size *= 2;
    if (t->size > ENTRIES_ON_STACK) {
        if (!buf_reserve(&t->big, t->size * sizeof *t->slots)) {
            d->out->failed = true;
            return false;
        }
        t->slots = (struct last_entry *)(void *)t->big.p;
    }
    memset(t->slots, 0, t->size * sizeof *t->slots);
    while (walk_next(&k, &v)) {
        if (!read_entry(d, k.f, v.bytes, &key, &value))
            return false;
        entry_slot(t, key_field, &key)->at = v.bytes.p;
    }
    return true;
}

static bool print_entries(struct printer *d, struct walk *k, struct last_entries *t, unsigned depth)
{
    const struct schema_field *entry = schema_fields(d->root, schema_msg_of(d->root, k->f));
    struct wire_value v, key, value;
    bool first = true;

    buf_char(d->out, '{');
    while (walk_next(k, &v)) {
        if (!read_entry(d, k->f, v.bytes, &key, &value))
            return false;
        if (t != NULL && entry_slot(t, &entry[0], &key)->at != v.bytes.p)
            continue;
        if (!first)
            buf_char(d->out, ',');
        first = false;
        if (!print_map_key(d, &entry[0], &key))
            return false;
        buf_char(d->out, ':');
        if (!print_value(d, &entry[1], &value, depth))
            return false;
    }
    buf_char(d->out, '}');
    return true;
}

/* Kept apart from the caller for its stack. */
static __attribute__((noinline)) bool print_many_entries(struct printer *d, struct walk *k,
                                                         unsigned depth)
{
    struct last_entries t;
    bool ok;

    t.big = (struct buf){0};
    ok = entries_note(d, &t, *k) && print_entries(d, k, &t, depth);
    buf_free(&t.big);
    return ok;
}

bool print_map(struct printer *d, const struct schema_field *f, struct slice bytes, unsigned depth)
{
    struct walk k = {.f = f, .w = wire_of(bytes)};
    struct wire check = k.w;
    uint32_t number;
    unsigned type;

    while (check.p < check.end)
        if (!wire_tag(&check, &number, &type) || !wire_skip(&check, number, type))
            return false;
    return print_many_entries(d, &k, depth);
}

static bool print_repeated(struct printer *d, const struct schema_field *f, struct slice bytes,
                           struct span s, const struct wire_value *v, unsigned depth)
{
    struct walk k;

    /* The lowest bits of its tag are the type. */
    if (s.first == s.last && !(f->flags & FIELD_MAP))
        return print_run(d, f, (unsigned char)bytes.p[s.first - 1] & 7, v, depth);
    k = walk_span(f, bytes, s);
    if (!(f->flags & FIELD_MAP))
        return print_list(d, &k, depth);
    return s.first == s.last ? print_entries(d, &k, NULL, depth) : print_many_entries(d, &k, depth);
}

static bool print_singular(struct printer *d, const struct schema_field *f, struct slice bytes,
                           struct span s, const struct wire_value *v, unsigned depth)
{
    struct walk k;

    if (f->type != TYPE_MESSAGE || s.first == s.last)
        return print_value(d, f, v, depth);
    k = walk_span(f, bytes, s);
    return print_merged(d, &k, depth);
}

/* What an absent field stands for. */
static bool print_default(struct printer *d, const struct schema_field *f)
{
    static const struct wire_value zero;

    if (f->flags & FIELD_MAP)
        buf_str(d->out, "{}");
    else if (f->flags & FIELD_REPEATED)
        buf_str(d->out, "[]");
    else if (f->type == TYPE_MESSAGE)
        buf_str(d->out, "null");
    else
        return print_scalar(d, f, &zero);
    return true;
}

/* A scalar without presence that has its default is as good as absent. */
static inline bool is_default(const struct schema_field *f, const struct wire_value *v)
{
    return !(f->flags & FIELD_PRESENCE) && (f->wire == WIRE_LEN ? v->bytes.n == 0 : v->bits == 0);
}

static inline void print_key(struct printer *d, const struct schema_field *f, bool *first)
{
    if (!buf_reserve(d->out, f->key.n + 1))
        return;
    if (!*first)
        d->out->p[d->out->n++] = ',';
    *first = false;
    memcpy(d->out->p + d->out->n, (const char *)d->root + f->key.off, f->key.n);
    d->out->n += f->key.n;
}

static bool print_present(struct printer *d, const struct schema_field *f, struct slice bytes,
                          struct span s, const struct wire_value *v, unsigned depth, bool *first)
{
    if (f->flags & FIELD_REPEATED) {
        print_key(d, f, first);
        return print_repeated(d, f, bytes, s, v, depth);
    }
    if (is_default(f, v) && !(d->root->options & SCHEMA_PRINT_DEFAULTS))
        return true;
    print_key(d, f, first);
    return print_singular(d, f, bytes, s, v, depth);
}

static bool print_fields(struct printer *d, const struct schema_msg *m, struct slice bytes,
                         const struct spans *s, unsigned depth, bool *first)
{
    const struct schema_field *fields = schema_fields(d->root, m);
    bool defaults = d->root->options & SCHEMA_PRINT_DEFAULTS;

    for (uint32_t i = 0; i < m->fields.n; i++) {
        const struct schema_field *f = &fields[i];

        if (s->all[i].first != 0) {
            if (!print_present(d, f, bytes, s->all[i], &s->values[i], depth, first))
                return false;
        } else if (defaults && !(f->flags & FIELD_PRESENCE)) {
            print_key(d, f, first);
            if (!print_default(d, f))
                return false;
        }
    }
    return true;
}

static bool spans_fill(struct printer *d, const struct schema_msg *m, struct slice bytes,
                       struct spans *s)
{
    s->big = (struct buf){0};
    s->all = s->small;
    s->values = s->small_values;
    if (m->seen_bits > SPANS_ON_STACK) {
        if (!buf_reserve(&s->big, m->seen_bits * (sizeof *s->values + sizeof *s->all))) {
            d->out->failed = true;
            return false;
        }
        s->values = (struct wire_value *)(void *)s->big.p;
        s->all = (struct span *)(void *)(s->values + m->seen_bits);
    }
    memset(s->all, 0, m->seen_bits * sizeof *s->all);
    return note_fields(d, m, bytes, s);
}

bool print_members(struct printer *d, const struct schema_msg *m, struct slice bytes,
                   unsigned depth, bool *first)
{
    struct spans s;
    bool ok;

    if (depth > REPLY_DEPTH_MAX || bytes.n >= UINT32_MAX)
        return false;
    ok = spans_fill(d, m, bytes, &s) && print_fields(d, m, bytes, &s, depth, first);
    buf_free(&s.big);
    return ok;
}

bool print_object(struct printer *d, const struct schema_msg *m, struct slice bytes, unsigned depth)
{
    bool first = true;

    if (m->known != KNOWN_NONE)
        return print_known(d, m, bytes, depth);
    buf_char(d->out, '{');
    if (!print_members(d, m, bytes, depth, &first))
        return false;
    buf_char(d->out, '}');
    return true;
}

/* response_body: the value of one field is the reply. */
static bool print_one(struct printer *d, const struct schema_msg *m, struct slice bytes,
                      uint32_t index)
{
    const struct schema_field *f = schema_fields(d->root, m) + index;
    struct spans s;
    bool ok;

    if (bytes.n >= UINT32_MAX)
        return false;
    ok = spans_fill(d, m, bytes, &s);
    if (ok && s.all[index].first == 0) {
        ok = print_default(d, f);
    } else if (ok && (f->flags & FIELD_REPEATED)) {
        ok = print_repeated(d, f, bytes, s.all[index], &s.values[index], 0);
    } else if (ok) {
        ok = print_singular(d, f, bytes, s.all[index], &s.values[index], 0);
    }
    buf_free(&s.big);
    return ok;
}

bool transcode_reply(struct slice schema, uint32_t binding, struct slice message, struct buf *out)
{
    const struct schema_root *root = schema_root_of(schema);
    struct printer d = {root, out};
    const struct schema_bind *b;
    const struct schema_msg *m;
    size_t before = out->n;
    bool ok;

    CHECK(root != NULL && binding < root->bindings.n);
    b = (const struct schema_bind *)schema_at(root, root->bindings.off) + binding;
    m = schema_at(root, b->reply);
    ok = b->response_field ? print_one(&d, m, message, b->response_field - 1)
                           : print_object(&d, m, message, 0);
    if (!ok || out->failed)
        out->n = before;
    return ok && !out->failed;
}
