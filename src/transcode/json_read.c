/* SPDX-License-Identifier: BSD-2-Clause */
/* The JSON reader: see json_read.h. No call recurses; all bounds are those of the text. */
#include "transcode/json_read.h"

#include "base/buf.h"

static const char *const kind_names[JSON_KINDS] = {
    [JSON_NULL] = "null",       [JSON_FALSE] = "false",     [JSON_TRUE] = "true",
    [JSON_NUMBER] = "a number", [JSON_STRING] = "a string", [JSON_OBJECT] = "an object",
    [JSON_ARRAY] = "an array",
};

const char *json_kind_name(enum json_kind kind)
{
    return kind_names[kind];
}

static bool fail(struct json_reader *r, const char *error)
{
    if (r->error == NULL)
        r->error = error;
    return false;
}

static inline void skip_space(struct json_reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
        r->p++;
}

static int hex4(const char *p, const char *end)
{
    int v = 0;

    if (end - p < 4)
        return -1;
    for (unsigned i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

/* r->p is behind the backslash; moves it behind the escape. */
static bool read_escape(struct json_reader *r)
{
    int unit;

    if (r->p == r->end)
        return fail(r, "a string does not end");
    if (*r->p != 'u') {
        if (strchr("\"\\/bfnrt", *r->p) == NULL || *r->p == '\0')
            return fail(r, "an unknown escape in a string");
        r->p++;
        return true;
    }
    unit = hex4(r->p + 1, r->end);
    if (unit < 0)
        return fail(r, "\\u needs four hexadecimal digits");
    r->p += 5;
    if (unit < 0xd800 || unit > 0xdfff)
        return true;
    /* Half a pair means nothing and cannot be written in UTF-8. */
    if (unit > 0xdbff || r->end - r->p < 6 || r->p[0] != '\\' || r->p[1] != 'u')
        return fail(r, "a surrogate without its other half");
    unit = hex4(r->p + 2, r->end);
    if (unit < 0xdc00 || unit > 0xdfff)
        return fail(r, "a surrogate without its other half");
    r->p += 6;
    return true;
}

/* r->p is behind the opening quote. */
static bool read_string(struct json_reader *r, struct json_value *v)
{
    const char *start = r->p;

    v->kind = JSON_STRING;
    v->escaped = false;
    for (;;) {
        unsigned char c;

        r->p += json_plain_run(r->p, r->end);
        if (r->p == r->end)
            return fail(r, "a string does not end");
        c = (unsigned char)*r->p;
        if (c == '"') {
            v->text = slice_of(start, (size_t)(r->p - start));
            r->p++;
            return true;
        }
        if (c == '\\') {
            v->escaped = true;
            r->p++;
            if (!read_escape(r))
                return false;
        } else if (c < 0x20) {
            return fail(r, "a control character in a string");
        } else {
            size_t n = utf8_len(slice_of(r->p, (size_t)(r->end - r->p)));
            if (n == 0)
                return fail(r, "a string that is not UTF-8");
            r->p += n;
        }
    }
}

static inline bool digit_at(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

/* Returns the end of the number at p, or NULL. */
static const char *number_end(const char *p, const char *end)
{
    if (p < end && *p == '-')
        p++;
    if (!digit_at(p, end))
        return NULL;
    if (*p == '0') {
        p++;
    } else {
        while (digit_at(p, end))
            p++;
    }
    if (p < end && *p == '.') {
        if (!digit_at(++p, end))
            return NULL;
        while (digit_at(p, end))
            p++;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        if (!digit_at(p, end))
            return NULL;
        while (digit_at(p, end))
            p++;
    }
    return p;
}

bool json_is_number(struct slice s)
{
    return s.n > 0 && number_end(s.p, s.p + s.n) == s.p + s.n;
}

static bool read_number(struct json_reader *r, struct json_value *v)
{
    const char *end = number_end(r->p, r->end);

    if (end == NULL)
        return fail(r, "a number that is not written as JSON wants it");
    v->kind = JSON_NUMBER;
    v->escaped = false;
    v->text = slice_of(r->p, (size_t)(end - r->p));
    r->p = end;
    return true;
}

static bool read_word(struct json_reader *r, struct json_value *v, const char *word, size_t n,
                      enum json_kind kind)
{
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
        return fail(r, "a value is expected");
    v->kind = kind;
    v->escaped = false;
    v->text = slice_of(r->p, n);
    r->p += n;
    return true;
}

static bool read_open(struct json_reader *r, struct json_value *v, enum json_kind kind)
{
    if (r->depth == JSON_DEPTH_MAX)
        return fail(r, "nested deeper than 64 levels");
    r->depth++;
    v->kind = kind;
    v->escaped = false;
    v->text = slice_of(r->p, 1);
    r->p++;
    return true;
}

bool json_value(struct json_reader *r, struct json_value *v)
{
    if (r->error != NULL)
        return false;
    skip_space(r);
    if (r->p == r->end)
        return fail(r, r->p == r->start || r->depth == 0 ? "a value is expected"
                                                         : "the text ends in the middle");
    switch (*r->p) {
    case '"':
        r->p++;
        return read_string(r, v);
    case '{':
        return read_open(r, v, JSON_OBJECT);
    case '[':
        return read_open(r, v, JSON_ARRAY);
    case 't':
        return read_word(r, v, "true", 4, JSON_TRUE);
    case 'f':
        return read_word(r, v, "false", 5, JSON_FALSE);
    case 'n':
        return read_word(r, v, "null", 4, JSON_NULL);
    default:
        if (*r->p == '-' || digit_at(r->p, r->end))
            return read_number(r, v);
        return fail(r, "a value is expected");
    }
}

/* The comma between two entries or the closing bracket: true when an entry follows. */
static bool next_entry(struct json_reader *r, bool *first, char close, const char *expected)
{
    if (r->error != NULL)
        return false;
    skip_space(r);
    if (r->p == r->end)
        return fail(r, "the text ends in the middle");
    if (*r->p == close) {
        r->p++;
        r->depth--;
        return false;
    }
    if (*first) {
        *first = false;
        return true;
    }
    if (*r->p != ',')
        return fail(r, expected);
    r->p++;
    return true;
}

bool json_member(struct json_reader *r, bool *first, struct json_value *key)
{
    if (!next_entry(r, first, '}', "',' or '}' is expected"))
        return false;
    skip_space(r);
    if (r->p == r->end || *r->p != '"')
        return fail(r, "a member name in double quotes is expected");
    r->p++;
    if (!read_string(r, key))
        return false;
    skip_space(r);
    if (r->p == r->end || *r->p != ':')
        return fail(r, "':' is expected after a member name");
    r->p++;
    return true;
}

bool json_element(struct json_reader *r, bool *first)
{
    return next_entry(r, first, ']', "',' or ']' is expected");
}

bool json_skip(struct json_reader *r, const struct json_value *v)
{
    unsigned base = r->depth;
    uint64_t objects = 0; /* one bit for each open level: 1 an object, 0 an array */
    bool first = true;
    struct json_value inner = *v;

    if (inner.kind != JSON_OBJECT && inner.kind != JSON_ARRAY)
        return r->error == NULL;
    for (;;) {
        bool more;
        if (inner.kind == JSON_OBJECT || inner.kind == JSON_ARRAY) {
            objects = objects << 1 | (inner.kind == JSON_OBJECT);
            first = true;
        }
        more = objects & 1 ? json_member(r, &first, &inner) : json_element(r, &first);
        if (r->error != NULL)
            return false;
        if (more) {
            if (!json_value(r, &inner))
                return false;
            continue;
        }
        if (r->depth < base)
            return true;
        objects >>= 1;
        first = false;
        inner.kind = JSON_NULL;
    }
}

bool json_end(struct json_reader *r)
{
    if (r->error != NULL)
        return false;
    skip_space(r);
    return r->p == r->end ? true : fail(r, "text follows the value");
}

static char *put_utf8(char *out, unsigned c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    }
    return out;
}

/* p is at the 'u'; read_string has checked the digits and the pairs. */
static const char *unescape_unit(const char *p, const char *end, char **out)
{
    unsigned c = (unsigned)hex4(p + 1, end);

    p += 5;
    if (c >= 0xd800 && c <= 0xdbff) {
        unsigned low = (unsigned)hex4(p + 2, end);
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        p += 6;
    }
    *out = put_utf8(*out, c);
    return p;
}

size_t json_unescape(struct slice text, char *out)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *p = text.p, *end = text.p + text.n;
    char *start = out;

    while (p < end) {
        const char *slash = memchr(p, '\\', (size_t)(end - p)), *at;
        size_t run = (size_t)((slash ? slash : end) - p);

        memcpy(out, p, run);
        out += run;
        p += run;
        if (p == end)
            break;
        p++;
        if (*p == 'u') {
            p = unescape_unit(p, end, &out);
            continue;
        }
        at = strchr(from, *p);
        *out++ = at ? to[at - from] : *p;
        p++;
    }
    return (size_t)(out - start);
}
