/* SPDX-License-Identifier: BSD-2-Clause */
/* One scalar of a request, from JSON or from the text of a path, query or map key. */
#include <float.h>
#include <math.h>

#include "base/buf.h"
#include "transcode/encode.h"
#include "transcode/number.h"

static const char *const type_names[] = {
    [TYPE_DOUBLE] = "a number",    [TYPE_FLOAT] = "a number",        [TYPE_INT64] = "an int64",
    [TYPE_UINT64] = "a uint64",    [TYPE_INT32] = "an int32",        [TYPE_FIXED64] = "a uint64",
    [TYPE_FIXED32] = "a uint32",   [TYPE_BOOL] = "true or false",    [TYPE_STRING] = "a string",
    [TYPE_MESSAGE] = "an object",  [TYPE_BYTES] = "a base64 string", [TYPE_UINT32] = "a uint32",
    [TYPE_ENUM] = "an enum value", [TYPE_SFIXED32] = "an int32",     [TYPE_SFIXED64] = "an int64",
    [TYPE_SINT32] = "an int32",    [TYPE_SINT64] = "an int64",
};

struct range {
    uint64_t lowest; /* magnitude of the most negative value */
    uint64_t highest;
};

static struct range range_of(enum schema_type type)
{
    switch (type) {
    case TYPE_INT32:
    case TYPE_SINT32:
    case TYPE_SFIXED32:
    case TYPE_ENUM:
        return (struct range){UINT64_C(1) << 31, INT32_MAX};
    case TYPE_UINT32:
    case TYPE_FIXED32:
        return (struct range){0, UINT32_MAX};
    case TYPE_UINT64:
    case TYPE_FIXED64:
        return (struct range){0, UINT64_MAX};
    default:
        return (struct range){UINT64_C(1) << 63, INT64_MAX};
    }
}

static uint64_t integer_bits(enum schema_type type, bool negative, uint64_t magnitude)
{
    int64_t v = (int64_t)(negative ? 0 - magnitude : magnitude);

    switch (type) {
    case TYPE_SINT32:
    case TYPE_SINT64:
        return zigzag_put(v);
    case TYPE_SFIXED32:
        return (uint32_t)v;
    default:
        return (uint64_t)v;
    }
}

static bool integer_from(struct encoder *e, const struct schema_field *f,
                         const struct json_value *v, struct slice text, uint64_t *bits)
{
    struct range range = range_of((enum schema_type)f->type);
    enum number_result result;
    bool negative;
    uint64_t magnitude;

    if ((v->kind != JSON_NUMBER && v->kind != JSON_STRING) ||
        (v->kind == JSON_STRING && !json_is_number(text)))
        return kind_fail(e, type_names[f->type], v);
    result = number_integer(text, &negative, &magnitude);
    if (result == NUMBER_FRACTION)
        return kind_fail(e, type_names[f->type], v);
    if (result == NUMBER_RANGE || magnitude > (negative ? range.lowest : range.highest))
        return place_fail(e, "expected %s, got %.*s%s: out of range", type_names[f->type],
                          (int)(text.n > 40 ? 40 : text.n), text.p, text.n > 40 ? "..." : "");
    *bits = integer_bits((enum schema_type)f->type, negative, magnitude);
    return true;
}

static bool special_double(struct slice text, double *out)
{
    if (slice_eq(text, SLICE_LIT("NaN")))
        *out = (double)NAN;
    else if (slice_eq(text, SLICE_LIT("Infinity")))
        *out = (double)INFINITY;
    else if (slice_eq(text, SLICE_LIT("-Infinity")))
        *out = (double)-INFINITY;
    else
        return false;
    return true;
}

static bool double_from(struct encoder *e, const struct json_value *v, struct slice text,
                        double *out)
{
    if (v->kind == JSON_STRING && special_double(text, out))
        return true;
    if ((v->kind != JSON_NUMBER && v->kind != JSON_STRING) ||
        (v->kind == JSON_STRING && !json_is_number(text)))
        return kind_fail(e, "a number", v);
    if (!number_double(text, out))
        return place_fail(e, "expected a number, got %.*s%s: out of range",
                          (int)(text.n > 40 ? 40 : text.n), text.p, text.n > 40 ? "..." : "");
    return true;
}

bool double_from_json(struct encoder *e, const struct json_value *v, double *out)
{
    return double_from(e, v, v->text, out);
}

static bool floating_from(struct encoder *e, const struct schema_field *f,
                          const struct json_value *v, struct slice text, uint64_t *bits)
{
    double d;
    float narrow;
    uint32_t bits32;

    if (!double_from(e, v, text, &d))
        return false;
    if (f->type == TYPE_DOUBLE) {
        memcpy(bits, &d, sizeof d);
        return true;
    }
    /* Half a unit in the last place above the greatest float is where rounding goes to infinity. */
    if (isfinite(d) && fabs(d) >= (double)FLT_MAX * (1.0 + 0x1p-25))
        return place_fail(e, "expected a float, got %.*s: out of range",
                          (int)(text.n > 40 ? 40 : text.n), text.p);
    narrow = (float)d;
    memcpy(&bits32, &narrow, sizeof narrow);
    *bits = bits32;
    return true;
}

static bool enum_from(struct encoder *e, const struct schema_field *f, const struct json_value *v,
                      struct slice text, uint64_t *bits)
{
    const struct schema_enum *en = schema_enum_of(e->root, f);
    int index;

    if (v->kind == JSON_NUMBER)
        return integer_from(e, f, v, text, bits);
    if (v->kind == JSON_NULL && en->null_value) {
        *bits = 0;
        return true;
    }
    if (v->kind != JSON_STRING)
        return kind_fail(e, "an enum value", v);
    index = schema_find(e->root, en->names_off, en->names_mask, text);
    if (index < 0)
        return place_fail(e, "\"%.*s%s\" is not a value of %.*s", (int)(text.n > 60 ? 60 : text.n),
                          text.p, text.n > 60 ? "..." : "",
                          SLICE_ARG(schema_slice(e->root, en->name)));
    *bits = (uint64_t)(int64_t)((const int32_t *)schema_at(e->root, en->numbers.off))[index];
    return true;
}

static bool scalar_from(struct encoder *e, const struct schema_field *f, const struct json_value *v,
                        struct slice text, uint64_t *bits)
{
    switch ((enum schema_type)f->type) {
    case TYPE_DOUBLE:
    case TYPE_FLOAT:
        return floating_from(e, f, v, text, bits);
    case TYPE_ENUM:
        return enum_from(e, f, v, text, bits);
    case TYPE_BOOL:
        if (v->kind != JSON_TRUE && v->kind != JSON_FALSE)
            return kind_fail(e, "true or false", v);
        *bits = v->kind == JSON_TRUE;
        return true;
    default:
        return integer_from(e, f, v, text, bits);
    }
}

bool scalar_from_json(struct encoder *e, const struct schema_field *f, const struct json_value *v,
                      uint64_t *bits)
{
    struct slice text = v->text;

    if (v->kind == JSON_STRING && v->escaped && !string_of(e, v, &text))
        return false;
    return scalar_from(e, f, v, text, bits);
}

bool scalar_from_text(struct encoder *e, const struct schema_field *f, struct slice text,
                      uint64_t *bits)
{
    struct json_value v = {.kind = JSON_STRING, .text = text};

    if (f->type == TYPE_BOOL && slice_eq(text, SLICE_LIT("true")))
        v.kind = JSON_TRUE;
    else if (f->type == TYPE_BOOL && slice_eq(text, SLICE_LIT("false")))
        v.kind = JSON_FALSE;
    else if (f->type == TYPE_ENUM && json_is_number(text))
        v.kind = JSON_NUMBER;
    return scalar_from(e, f, &v, text, bits);
}

void scalar_put(struct encoder *e, const struct schema_field *f, uint64_t bits)
{
    if (f->wire == WIRE_VARINT)
        e->p = varint_put(e->p, bits);
    else if (f->wire == WIRE_FIXED32)
        e->p = fixed32_put(e->p, (uint32_t)bits);
    else
        e->p = fixed64_put(e->p, bits);
}

bool encode_scalar(struct encoder *e, const struct schema_field *f, uint64_t bits)
{
    if (!encode_room(e, ENCODE_TAG_ROOM + WIRE_VARINT_MAX))
        return false;
    put_tag(e, f);
    scalar_put(e, f, bits);
    return true;
}

/* Both alphabets (RFC 4648, 4 and 5), padded or not; -1 for what is neither. */
static int base64_digit(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* Returns the end of what was written to out (3 bytes for 4), or NULL. */
static char *base64_decode(struct slice text, char *out)
{
    uint32_t bits = 0;

    if (text.n > 0 && text.n % 4 == 0)
        for (unsigned i = 0; i < 2 && text.p[text.n - 1] == '='; i++)
            text.n--;
    if (text.n % 4 == 1)
        return NULL;
    for (size_t i = 0; i < text.n; i++) {
        int digit = base64_digit((unsigned char)text.p[i]);
        if (digit < 0)
            return NULL;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 == 3) {
            *out++ = (char)(bits >> 16);
            *out++ = (char)(bits >> 8);
            *out++ = (char)bits;
        }
    }
    if (text.n % 4 >= 2)
        *out++ = (char)(bits >> (text.n % 4 == 2 ? 4 : 10));
    if (text.n % 4 == 3)
        *out++ = (char)(bits >> 2);
    return out;
}

static bool base64_field(struct encoder *e, const struct schema_field *f, struct slice text)
{
    struct encode_mark m;
    char *end;

    if (!encode_room(e, ENCODE_TAG_ROOM))
        return false;
    put_tag(e, f);
    if (!encode_open(e, text.n / 4 * 3 + 3, &m) || !encode_room(e, text.n / 4 * 3 + 3))
        return false;
    end = base64_decode(text, e->p);
    if (end == NULL)
        return place_fail(e, "expected base64");
    e->p = end;
    return encode_close(e, &m);
}

static bool escaped_field(struct encoder *e, const struct schema_field *f, struct slice text)
{
    struct encode_mark m;

    if (!encode_room(e, ENCODE_TAG_ROOM))
        return false;
    put_tag(e, f);
    if (!encode_open(e, text.n, &m) || !encode_room(e, text.n))
        return false;
    e->p += json_unescape(text, e->p);
    return encode_close(e, &m);
}

bool blob_from_json(struct encoder *e, const struct schema_field *f, const struct json_value *v,
                    bool keep)
{
    struct slice text;

    if (v->kind != JSON_STRING)
        return kind_fail(e, type_names[f->type], v);
    if (v->text.n == 0 && !keep)
        return true;
    if (f->type == TYPE_STRING)
        return v->escaped ? escaped_field(e, f, v->text) : encode_bytes(e, f, v->text);
    return string_of(e, v, &text) && base64_field(e, f, text);
}

bool blob_from_text(struct encoder *e, const struct schema_field *f, struct slice text, bool keep)
{
    if (text.n == 0 && !keep)
        return true;
    if (f->type == TYPE_BYTES)
        return base64_field(e, f, text);
    for (size_t i = 0; i < text.n;) {
        size_t n = utf8_len(slice_of(text.p + i, text.n - i));
        if (n == 0)
            return place_fail(e, "expected UTF-8");
        i += n;
    }
    return encode_bytes(e, f, text);
}
