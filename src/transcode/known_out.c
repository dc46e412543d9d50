/* SPDX-License-Identifier: BSD-2-Clause */
/* Well-known types of a reply; the counterpart of known_in.c. */
#include <math.h>

#include "transcode/decode.h"
#include "transcode/number.h"
#include "transcode/timestamp.h"

/* Fields 1 and 2 of a small message. */
struct pair {
    struct wire_value one, two;
};

static bool print_time(struct printer *d, struct slice bytes, bool timestamp)
{
    struct pair p;
    int64_t seconds;
    int32_t nanos;

    if (!wire_pair(bytes, WIRE_VARINT, WIRE_VARINT, &p.one, &p.two))
        return false;
    seconds = (int64_t)p.one.bits;
    nanos = (int32_t)p.two.bits;
    return timestamp ? timestamp_print(d->out, seconds, nanos)
                     : duration_print(d->out, seconds, nanos);
}

/* lower_snake_case to lowerCamelCase; false for a path that would not come back the same. */
static bool print_mask_path(struct buf *out, struct slice path)
{
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];

        if (c == '_') {
            if (++i == path.n || path.p[i] < 'a' || path.p[i] > 'z')
                return false;
            c = (char)(path.p[i] - 'a' + 'A');
        } else if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '.') {
            return false;
        }
        buf_char(out, c);
    }
    return true;
}

/* The next value of a message whose only field is 1, repeated and with a length. *ok is false after
 * what is no message. */
static bool next_element(struct wire *w, struct slice *value, bool *ok)
{
    while (*ok && w->p < w->end) {
        uint32_t number;
        unsigned type;

        *ok = wire_tag(w, &number, &type);
        if (!*ok)
            break;
        if (number == 1 && type == WIRE_LEN) {
            *ok = wire_bytes(w, value);
            return *ok;
        }
        *ok = wire_skip(w, number, type);
    }
    return false;
}

static bool print_mask(struct printer *d, struct slice bytes)
{
    struct wire w = wire_of(bytes);
    struct slice path;
    const char *sep = "";
    bool ok = true;

    buf_char(d->out, '"');
    while (next_element(&w, &path, &ok)) {
        buf_str(d->out, sep);
        sep = ",";
        if (!print_mask_path(d->out, path))
            return false;
    }
    buf_char(d->out, '"');
    return ok;
}

static bool print_wrapper(struct printer *d, const struct schema_msg *m, struct slice bytes)
{
    const struct schema_field *f = schema_fields(d->root, m);
    struct pair p;

    return wire_pair(bytes, f->wire, WIRE_GROUP_END, &p.one, &p.two) && print_scalar(d, f, &p.one);
}

/* Of the members of Value's oneof the last counts; none at all is null. */
static bool read_kind(struct slice bytes, unsigned *kind, struct wire_value *v)
{
    static const unsigned types[] = {WIRE_GROUP,  WIRE_VARINT, WIRE_FIXED64, WIRE_LEN,
                                     WIRE_VARINT, WIRE_LEN,    WIRE_LEN};
    struct wire w = wire_of(bytes);

    *kind = 0;
    while (w.p < w.end) {
        uint32_t number;
        unsigned type;

        if (!wire_tag(&w, &number, &type))
            return false;
        if (number <= 6 && type == types[number]) {
            *kind = number;
            if (!wire_value(&w, type, v))
                return false;
        } else if (!wire_skip(&w, number, type)) {
            return false;
        }
    }
    return true;
}

static bool print_struct(struct printer *d, struct slice bytes, unsigned depth)
{
    const struct schema_msg *m = schema_msg_by_name(d->root, SLICE_LIT("google.protobuf.Struct"));

    return m != NULL && print_map(d, schema_fields(d->root, m), bytes, depth);
}

static bool print_list_value(struct printer *d, struct slice bytes, unsigned depth);

static bool print_finite(struct printer *d, uint64_t bits)
{
    double v;

    memcpy(&v, &bits, sizeof v);
    if (!isfinite(v))
        return false;
    number_print_double(d->out, v);
    return true;
}

static bool print_kind(struct printer *d, struct slice bytes, unsigned depth)
{
    struct wire_value v = {0, SLICE_NONE};
    unsigned kind;

    if (depth > REPLY_DEPTH_MAX || !read_kind(bytes, &kind, &v))
        return false;
    switch (kind) {
    case 2:
        return print_finite(d, v.bits);
    case 3:
        return print_string(d->out, v.bytes);
    case 4:
        buf_str(d->out, v.bits ? "true" : "false");
        return true;
    case 5:
        return print_struct(d, v.bytes, depth + 1);
    case 6:
        return print_list_value(d, v.bytes, depth + 1);
    default:
        buf_str(d->out, "null");
        return true;
    }
}

static bool print_list_value(struct printer *d, struct slice bytes, unsigned depth)
{
    struct wire w = wire_of(bytes);
    struct slice value;
    const char *sep = "";
    bool ok = true;

    buf_char(d->out, '[');
    while (next_element(&w, &value, &ok)) {
        buf_str(d->out, sep);
        sep = ",";
        if (!print_kind(d, value, depth + 1))
            return false;
    }
    buf_char(d->out, ']');
    return ok;
}

static bool print_any(struct printer *d, struct slice bytes, unsigned depth)
{
    const struct schema_msg *m;
    struct pair p;
    bool first = false;

    if (depth > REPLY_DEPTH_MAX || !wire_pair(bytes, WIRE_LEN, WIRE_LEN, &p.one, &p.two))
        return false;
    if (p.one.bytes.n == 0) {
        buf_str(d->out, "{}");
        return p.two.bytes.n == 0;
    }
    m = schema_msg_by_url(d->root, p.one.bytes);
    buf_str(d->out, "{\"@type\":");
    if (m == NULL || !print_string(d->out, p.one.bytes))
        return false;
    if (m->known == KNOWN_NONE) {
        if (!print_members(d, m, p.two.bytes, depth + 1, &first))
            return false;
    } else {
        buf_str(d->out, ",\"value\":");
        if (!print_known(d, m, p.two.bytes, depth + 1))
            return false;
    }
    buf_char(d->out, '}');
    return true;
}

bool print_known(struct printer *d, const struct schema_msg *m, struct slice bytes, unsigned depth)
{
    switch ((enum schema_known)m->known) {
    case KNOWN_TIMESTAMP:
        return print_time(d, bytes, true);
    case KNOWN_DURATION:
        return print_time(d, bytes, false);
    case KNOWN_FIELD_MASK:
        return print_mask(d, bytes);
    case KNOWN_WRAPPER:
        return print_wrapper(d, m, bytes);
    case KNOWN_STRUCT:
        return print_struct(d, bytes, depth);
    case KNOWN_VALUE:
        return print_kind(d, bytes, depth);
    case KNOWN_LIST:
        return print_list_value(d, bytes, depth);
    case KNOWN_ANY:
        return print_any(d, bytes, depth);
    case KNOWN_NONE:
        break;
    }
    return false;
}
