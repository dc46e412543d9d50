/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Path variables and query parameters: percent-decoding, dotted names, one field each. A nested
 * field goes out as a message of its own around it; whoever reads the request merges messages that
 * come more than once, as protobuf demands.
 */
#include "transcode/encode.h"

enum decode { DECODE_SEGMENT, DECODE_SEGMENTS, DECODE_QUERY };

/*
 * Percent-decodes into the arena, or returns raw where there is nothing to decode. A variable of
 * several segments keeps its %2F, else an encoded slash could not be told from a separator; in a
 * query '+' is a blank.
 */
static bool decode_text(struct encoder *e, struct slice raw, enum decode how, struct slice *out)
{
    char *p;
    size_t n = 0;

    *out = raw.n ? raw : SLICE_LIT("");
    if (raw.n == 0 || (memchr(raw.p, '%', raw.n) == NULL &&
                       (how != DECODE_QUERY || memchr(raw.p, '+', raw.n) == NULL)))
        return true;
    p = arena_alloc(e->arena, raw.n);
    if (p == NULL)
        return memory_fail(e);
    for (size_t i = 0; i < raw.n; i++) {
        char c = raw.p[i];
        if (c == '+' && how == DECODE_QUERY) {
            c = ' ';
        } else if (c == '%') {
            int value = hex_escape(raw.p + i, raw.n - i);
            if (value < 0)
                return place_fail(e, "'%%' needs two hexadecimal digits behind it");
            if (how == DECODE_SEGMENTS && value == '/') {
                p[n++] = '%';
                continue;
            }
            c = (char)value;
            i += 2;
        }
        p[n++] = c;
    }
    *out = slice_of(p, n);
    return true;
}

static bool encode_leaf(struct encoder *e, const struct schema_field *f, struct slice text)
{
    bool keep = f->flags & (FIELD_PRESENCE | FIELD_REPEATED);
    struct encode_mark mark;
    uint64_t bits;

    if (f->type == TYPE_STRING || f->type == TYPE_BYTES)
        return blob_from_text(e, f, text, keep);
    if (f->type == TYPE_MESSAGE) {
        if (!encode_room(e, ENCODE_TAG_ROOM))
            return false;
        put_tag(e, f);
        return encode_open(e, text.n, &mark) &&
               known_from_text(e, schema_msg_of(e->root, f), text) && encode_close(e, &mark);
    }
    if (!scalar_from_text(e, f, text, &bits))
        return false;
    return bits == 0 && !keep ? true : encode_scalar(e, f, bits);
}

/* The leaf inside the messages that lead to it. */
static bool encode_path(struct encoder *e, const struct schema_msg *m, struct bound *b,
                        struct slice text)
{
    struct encode_mark marks[FIELD_PATH_MAX];
    unsigned open = 0;

    for (; open + 1 < b->path.n; open++) {
        const struct schema_field *f = schema_fields(e->root, m) + b->path.at[open];

        if (!encode_room(e, ENCODE_TAG_ROOM))
            return false;
        put_tag(e, f);
        if (!encode_open(e, text.n, &marks[open]))
            return false;
        m = schema_msg_of(e->root, f);
    }
    b->off = (size_t)(e->p - e->base);
    if (!encode_leaf(e, b->path.leaf, text))
        return false;
    b->n = (size_t)(e->p - e->base) - b->off;
    while (open > 0)
        if (!encode_close(e, &marks[--open]))
            return false;
    /* Lengths may have moved it; it still is the last thing written. */
    b->off = (size_t)(e->p - e->base) - b->n;
    return true;
}

enum clash { CLASH_NONE, CLASH_SAME, CLASH_ONEOF };

static enum clash clash_of(const struct encoder *e, const struct schema_msg *m,
                           const struct field_path *a, const struct field_path *b)
{
    for (unsigned i = 0; i < a->n && i < b->n; i++) {
        const struct schema_field *fields = schema_fields(e->root, m);
        const struct schema_field *fa = &fields[a->at[i]], *fb = &fields[b->at[i]];

        if (fa != fb)
            return fa->oneof != SCHEMA_NO_ONEOF && fa->oneof == fb->oneof ? CLASH_ONEOF
                                                                          : CLASH_NONE;
        if (i + 1 < a->n && i + 1 < b->n)
            m = schema_msg_of(e->root, fa);
    }
    return CLASH_SAME;
}

/* Against what was bound before. *known: the same repeated field, nothing new to remember. */
static bool check_clash(struct encoder *e, const struct schema_msg *m, const struct bound *b,
                        bool *known)
{
    *known = false;
    for (const struct bound *old = e->bound; old != NULL; old = old->next) {
        enum clash clash = clash_of(e, m, &old->path, &b->path);

        if (clash == CLASH_NONE)
            continue;
        if (clash == CLASH_ONEOF)
            return name_fail(e, b->name, "conflicts with \"%.*s\": both are of the same oneof",
                             (int)(old->name.n > 80 ? 80 : old->name.n), old->name.p);
        if (old->from_path)
            return name_fail(e, b->name, "is set by the path already");
        if (!(b->path.leaf->flags & FIELD_REPEATED))
            return name_fail(e, b->name, "given more than once");
        *known = true;
        return true;
    }
    return true;
}

static bool bind(struct encoder *e, const struct schema_msg *m, struct bound *found,
                 struct slice text)
{
    struct bound *b = found;
    bool known;

    if (!check_clash(e, m, b, &known))
        return false;
    if (!known) {
        b = arena_alloc(e->arena, sizeof *b);
        if (b == NULL)
            return memory_fail(e);
        *b = *found;
        b->next = e->bound;
        e->bound = b;
    }
    return encode_path(e, m, b, text);
}

bool bind_var(struct encoder *e, const struct schema_msg *m, struct slice var, struct slice raw,
              unsigned index)
{
    bool wide;
    struct slice name = template_var_name(var, &wide);
    struct bound b = {.name = name, .from_path = true, .bit = UINT32_C(1) << index};
    struct place here = {.key = name};
    struct slice of, text;
    const char *why = field_path_resolve(e->root, m, name, &b.path, &of);
    bool ok;

    if (why == NULL && (b.path.leaf->flags & FIELD_REPEATED))
        why = "cannot be bound by a path: it is a repeated field in";
    if (why == NULL && field_path_text(e->root, b.path.leaf) != NULL)
        why = "cannot be bound by a path: it is a message in";
    if (why != NULL)
        return name_fail(e, name, "%s %.*s", why, SLICE_ARG(of));
    e->place = &here;
    ok =
        decode_text(e, raw, wide ? DECODE_SEGMENTS : DECODE_SEGMENT, &text) && bind(e, m, &b, text);
    e->place = NULL;
    return ok;
}

/* The body's field, or one that excludes it. */
static bool check_body_field(struct encoder *e, const struct schema_msg *m, const struct bound *b,
                             const struct schema_field *body)
{
    const struct schema_field *f = schema_fields(e->root, m) + b->path.at[0];

    if (body == NULL)
        return true;
    if (f == body)
        return name_fail(e, b->name, "this field comes from the body");
    if (f->oneof != SCHEMA_NO_ONEOF && f->oneof == body->oneof)
        return name_fail(e, b->name, "conflicts with the body: both are of the same oneof");
    return true;
}

static bool bind_param(struct encoder *e, const struct schema_msg *m, struct slice name,
                       struct slice raw, const struct schema_field *body_field)
{
    struct bound b = {.name = name};
    struct slice of, text;
    const char *why = field_path_resolve(e->root, m, name, &b.path, &of);

    if (why != NULL && (e->root->options & SCHEMA_IGNORE_UNKNOWN))
        return true;
    if (why != NULL)
        return name_fail(e, name, "unknown query parameter: it %s %.*s", why, SLICE_ARG(of));
    why = field_path_text(e->root, b.path.leaf);
    if (why != NULL)
        return name_fail(e, name, "as a query parameter: %s", why);
    return check_body_field(e, m, &b, body_field) && decode_text(e, raw, DECODE_QUERY, &text) &&
           bind(e, m, &b, text);
}

bool bind_query(struct encoder *e, const struct schema_msg *m, struct slice query,
                const struct schema_field *body_field)
{
    while (query.n > 0) {
        size_t end = slice_find(query, '&'), equals = slice_find(slice_of(query.p, end), '=');
        struct slice value = SLICE_NONE;
        struct place here = {.key = slice_of(query.p, equals)};
        bool ok = true;

        e->place = &here;
        if (equals < end)
            value = slice_of(query.p + equals + 1, end - equals - 1);
        if (end > 0)
            ok = decode_text(e, here.key, DECODE_QUERY, &here.key) &&
                 (m != NULL ? bind_param(e, m, here.key, value, body_field)
                            : name_fail(e, here.key,
                                        "unknown query parameter: this method takes "
                                        "all its fields from the path and body"));
        e->place = NULL;
        if (!ok)
            return false;
        if (end == query.n)
            break;
        query = slice_of(query.p + end + 1, query.n - end - 1);
    }
    return true;
}
