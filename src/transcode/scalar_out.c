/* SPDX-License-Identifier: BSD-2-Clause */
/* Scalars of a reply as proto3 JSON writes them: 64-bit integers in quotes, bytes in base64. */
#include <math.h>

#include "transcode/decode.h"
#include "transcode/json_read.h"
#include "transcode/number.h"

bool wire_pair(struct slice bytes, unsigned type_one, unsigned type_two, struct wire_value *one,
               struct wire_value *two)
{
    struct wire w = wire_of(bytes);

    *one = *two = (struct wire_value){0, SLICE_NONE};
    while (w.p < w.end) {
        uint32_t number;
        unsigned type;
        bool ok;

        if (!wire_tag(&w, &number, &type))
            return false;
        if (number == 1 && type == type_one)
            ok = wire_value(&w, type, one);
        else if (number == 2 && type == type_two)
            ok = wire_value(&w, type, two);
        else
            ok = wire_skip(&w, number, type);
        if (!ok)
            return false;
    }
    return true;
}

bool print_string(struct buf *out, struct slice s)
{
    size_t plain = s.n ? json_plain_run(s.p, s.p + s.n) : 0;

    if (plain == s.n) {
        if (!buf_reserve(out, s.n + 2))
            return true;
        out->p[out->n++] = '"';
        if (s.n > 0)
            memcpy(out->p + out->n, s.p, s.n);
        out->n += s.n;
        out->p[out->n++] = '"';
        return true;
    }
    for (size_t i = plain; i < s.n;) {
        size_t n = utf8_len(slice_of(s.p + i, s.n - i));
        if (n == 0)
            return false;
        i += n;
    }
    buf_json(out, s);
    return true;
}

static void print_base64(struct buf *out, struct slice s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = (const unsigned char *)s.p;
    size_t i = 0;
    char *p;

    if (s.n > SIZE_MAX / 2 || !buf_reserve(out, (s.n + 2) / 3 * 4 + 2)) {
        out->failed = true;
        return;
    }
    p = out->p + out->n;
    *p++ = '"';
    for (; i + 3 <= s.n; i += 3) {
        uint32_t v = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];
        *p++ = digits[v >> 18];
        *p++ = digits[v >> 12 & 63];
        *p++ = digits[v >> 6 & 63];
        *p++ = digits[v & 63];
    }
    if (i < s.n) {
        uint32_t v = (uint32_t)in[i] << 16 | (i + 1 < s.n ? (uint32_t)in[i + 1] << 8 : 0);
        *p++ = digits[v >> 18];
        *p++ = digits[v >> 12 & 63];
        *p++ = i + 1 < s.n ? digits[v >> 6 & 63] : '=';
        *p++ = '=';
    }
    *p++ = '"';
    out->n = (size_t)(p - out->p);
}

static void print_floating(struct buf *out, enum schema_type type, uint64_t bits)
{
    uint32_t bits32 = (uint32_t)bits;
    double d;
    float f;

    memcpy(&d, &bits, sizeof d);
    memcpy(&f, &bits32, sizeof f);
    if (type == TYPE_FLOAT)
        d = (double)f;
    if (isnan(d))
        buf_str(out, "\"NaN\"");
    else if (isinf(d))
        buf_str(out, d < 0 ? "\"-Infinity\"" : "\"Infinity\"");
    else if (type == TYPE_FLOAT)
        number_print_float(out, f);
    else
        number_print_double(out, d);
}

static void print_enum(struct printer *d, const struct schema_field *f, uint64_t bits)
{
    const struct schema_enum *e = schema_enum_of(d->root, f);
    const struct schema_value *v;

    if (e->null_value) {
        buf_str(d->out, "null");
        return;
    }
    v = schema_value_by_number(d->root, e, (int32_t)bits);
    if (v != NULL)
        buf_slice(d->out, schema_slice(d->root, v->quoted));
    else
        buf_i64(d->out, (int32_t)bits);
}

/* Integers; true when it was one. Those of 64 bits go into quotes: a double would not hold them. */
static bool print_integer(struct buf *out, enum schema_type type, uint64_t bits)
{
    switch (type) {
    case TYPE_INT32:
    case TYPE_SFIXED32:
        buf_i64(out, (int32_t)bits);
        return true;
    case TYPE_SINT32:
        buf_i64(out, (int32_t)zigzag_get((uint32_t)bits));
        return true;
    case TYPE_UINT32:
    case TYPE_FIXED32:
        buf_u64(out, (uint32_t)bits);
        return true;
    case TYPE_INT64:
    case TYPE_SFIXED64:
    case TYPE_SINT64:
        buf_char(out, '"');
        buf_i64(out, type == TYPE_SINT64 ? zigzag_get(bits) : (int64_t)bits);
        buf_char(out, '"');
        return true;
    case TYPE_UINT64:
    case TYPE_FIXED64:
        buf_char(out, '"');
        buf_u64(out, bits);
        buf_char(out, '"');
        return true;
    default:
        return false;
    }
}

bool print_scalar(struct printer *d, const struct schema_field *f, const struct wire_value *v)
{
    enum schema_type type = (enum schema_type)f->type;

    switch (type) {
    case TYPE_STRING:
        return print_string(d->out, v->bytes);
    case TYPE_BYTES:
        print_base64(d->out, v->bytes);
        return true;
    case TYPE_DOUBLE:
    case TYPE_FLOAT:
        print_floating(d->out, type, v->bits);
        return true;
    case TYPE_ENUM:
        print_enum(d, f, v->bits);
        return true;
    case TYPE_BOOL:
        buf_str(d->out, v->bits ? "true" : "false");
        return true;
    default:
        return print_integer(d->out, type, v->bits);
    }
}

bool print_map_key(struct printer *d, const struct schema_field *f, const struct wire_value *v)
{
    bool quoted = f->type == TYPE_STRING || f->type == TYPE_INT64 || f->type == TYPE_UINT64 ||
                  f->type == TYPE_FIXED64 || f->type == TYPE_SFIXED64 || f->type == TYPE_SINT64;
    bool ok;

    if (!quoted)
        buf_char(d->out, '"');
    ok = print_scalar(d, f, v);
    if (!quoted)
        buf_char(d->out, '"');
    return ok;
}
