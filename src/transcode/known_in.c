/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Well-known types of a request: messages whose JSON is not an object of their fields. Their field
 * numbers are part of protobuf's contract, so the tags are written out here.
 */
#include "transcode/encode.h"
#include "transcode/timestamp.h"

enum {
    TAG_SECONDS = 1 << 3 | WIRE_VARINT, /* Timestamp, Duration */
    TAG_NANOS = 2 << 3 | WIRE_VARINT,
    TAG_MASK_PATH = 1 << 3 | WIRE_LEN,
    TAG_STRUCT_ENTRY = 1 << 3 | WIRE_LEN,
    TAG_ENTRY_KEY = 1 << 3 | WIRE_LEN,
    TAG_ENTRY_VALUE = 2 << 3 | WIRE_LEN,
    TAG_VALUE_NULL = 1 << 3 | WIRE_VARINT,
    TAG_VALUE_NUMBER = 2 << 3 | WIRE_FIXED64,
    TAG_VALUE_STRING = 3 << 3 | WIRE_LEN,
    TAG_VALUE_BOOL = 4 << 3 | WIRE_VARINT,
    TAG_VALUE_STRUCT = 5 << 3 | WIRE_LEN,
    TAG_VALUE_LIST = 6 << 3 | WIRE_LEN,
    TAG_LIST_VALUE = 1 << 3 | WIRE_LEN,
    TAG_ANY_TYPE = 1 << 3 | WIRE_LEN,
    TAG_ANY_VALUE = 2 << 3 | WIRE_LEN,
};

static bool value_from_json(struct encoder *e, const struct json_value *v);

static bool open_tag(struct encoder *e, uint8_t tag, struct encode_mark *m)
{
    if (!encode_room(e, 1))
        return false;
    *e->p++ = (char)tag;
    return encode_open(e, (size_t)(e->json.end - e->json.p), m);
}

static bool time_fields(struct encoder *e, int64_t seconds, int32_t nanos)
{
    return (seconds == 0 || encode_tag_varint(e, TAG_SECONDS, (uint64_t)seconds)) &&
           (nanos == 0 || encode_tag_varint(e, TAG_NANOS, (uint64_t)(int64_t)nanos));
}

static bool timestamp_from(struct encoder *e, struct slice text)
{
    int64_t seconds;
    int32_t nanos;

    if (!timestamp_parse(text, &seconds, &nanos))
        return place_fail(e, "expected a time like \"2026-01-31T10:00:00Z\", got \"%.*s\"",
                          (int)(text.n > 40 ? 40 : text.n), text.p);
    return time_fields(e, seconds, nanos);
}

static bool duration_from(struct encoder *e, struct slice text)
{
    int64_t seconds;
    int32_t nanos;

    if (!duration_parse(text, &seconds, &nanos))
        return place_fail(e, "expected a duration like \"3.5s\", got \"%.*s\"",
                          (int)(text.n > 40 ? 40 : text.n), text.p);
    return time_fields(e, seconds, nanos);
}

/* lowerCamelCase to lower_snake_case; an underscore would not come back the same. */
static bool mask_path(struct encoder *e, struct slice camel)
{
    char *p = arena_alloc(e->arena, 2 * camel.n + 1);
    size_t n = 0;

    if (p == NULL)
        return memory_fail(e);
    for (size_t i = 0; i < camel.n; i++) {
        char c = camel.p[i];
        if (c == '_')
            return place_fail(e, "expected field names in lowerCamelCase");
        if (c >= 'A' && c <= 'Z') {
            p[n++] = '_';
            c = (char)(c - 'A' + 'a');
        }
        p[n++] = c;
    }
    return encode_tag_bytes(e, TAG_MASK_PATH, slice_of(p, n));
}

static bool mask_from(struct encoder *e, struct slice text)
{
    while (text.n > 0) {
        size_t comma = slice_find(text, ',');

        if (comma == 0 || comma + 1 == text.n)
            return place_fail(e, "an empty path in a field mask");
        if (!mask_path(e, slice_of(text.p, comma)))
            return false;
        if (comma == text.n)
            return true;
        text = slice_of(text.p + comma + 1, text.n - comma - 1);
    }
    return true;
}

static bool struct_entry(struct encoder *e, struct slice key)
{
    struct encode_mark entry, value;
    struct json_value v;

    return open_tag(e, TAG_STRUCT_ENTRY, &entry) && encode_tag_bytes(e, TAG_ENTRY_KEY, key) &&
           next_value(e, &v) && open_tag(e, TAG_ENTRY_VALUE, &value) && value_from_json(e, &v) &&
           encode_close(e, &value) && encode_close(e, &entry);
}

/* The object is open. */
static bool struct_from_json(struct encoder *e)
{
    struct place here = {.up = e->place};
    struct key_set keys = {0};
    struct json_value key;
    bool first = true, memory;

    while (json_member(&e->json, &first, &key)) {
        e->place = &here;
        if (!string_of(e, &key, &here.key))
            return false;
        if (!key_set_add(e, &keys, here.key, &memory))
            return memory ? memory_fail(e) : place_fail(e, "given more than once");
        if (!struct_entry(e, here.key))
            return false;
        e->place = here.up;
    }
    return e->json.error == NULL ? true : json_fail(e);
}

/* The array is open. */
static bool list_from_json(struct encoder *e)
{
    struct place here = {.up = e->place};
    bool first = true;

    while (json_element(&e->json, &first)) {
        struct encode_mark mark;
        struct json_value v;

        e->place = &here;
        if (!next_value(e, &v) || !open_tag(e, TAG_LIST_VALUE, &mark) || !value_from_json(e, &v) ||
            !encode_close(e, &mark))
            return false;
        e->place = here.up;
        here.index++;
    }
    return e->json.error == NULL ? true : json_fail(e);
}

static bool number_value(struct encoder *e, const struct json_value *v)
{
    uint64_t bits;
    double d;

    if (!double_from_json(e, v, &d) || !encode_room(e, 9))
        return false;
    memcpy(&bits, &d, sizeof d);
    *e->p++ = TAG_VALUE_NUMBER;
    e->p = fixed64_put(e->p, bits);
    return true;
}

static bool value_from_json(struct encoder *e, const struct json_value *v)
{
    struct encode_mark mark;
    struct slice text;

    switch (v->kind) {
    case JSON_NULL:
        return encode_tag_varint(e, TAG_VALUE_NULL, 0);
    case JSON_FALSE:
    case JSON_TRUE:
        return encode_tag_varint(e, TAG_VALUE_BOOL, v->kind == JSON_TRUE);
    case JSON_NUMBER:
        return number_value(e, v);
    case JSON_STRING:
        return string_of(e, v, &text) && encode_tag_bytes(e, TAG_VALUE_STRING, text);
    case JSON_OBJECT:
        return open_tag(e, TAG_VALUE_STRUCT, &mark) && struct_from_json(e) &&
               encode_close(e, &mark);
    case JSON_ARRAY:
        return open_tag(e, TAG_VALUE_LIST, &mark) && list_from_json(e) && encode_close(e, &mark);
    case JSON_KINDS:
        break;
    }
    return false;
}

/* Finds a member of the object that is open, without moving on. */
static bool peek_member(struct encoder *e, struct slice name, struct json_value *out, bool *found)
{
    struct json_reader ahead = e->json;
    struct json_value key, v;
    struct slice text;
    bool first = true;

    *found = false;
    while (json_member(&ahead, &first, &key)) {
        if (!string_of(e, &key, &text))
            return false;
        if (!json_value(&ahead, &v))
            break;
        if (slice_eq(text, name)) {
            *found = true;
            *out = v;
            return true;
        }
        if (!json_skip(&ahead, &v))
            break;
    }
    if (ahead.error == NULL)
        return true;
    e->json = ahead;
    return json_fail(e);
}

/* {"@type": ..., "value": JSON of the type} for types with a JSON form of their own. */
static bool any_known(struct encoder *e, const struct schema_msg *m)
{
    struct place here = {.up = e->place};
    struct json_value key, v;
    bool first = true, seen = false, ok = true;

    while (ok && json_member(&e->json, &first, &key)) {
        e->place = &here;
        ok = string_of(e, &key, &here.key) && next_value(e, &v);
        if (!ok)
            return false;
        if (slice_eq(here.key, SLICE_LIT("value")) && !seen) {
            seen = true;
            ok = known_from_json(e, m, &v);
        } else if (!slice_eq(here.key, SLICE_LIT("@type"))) {
            ok = place_fail(e, "expected only \"@type\" and \"value\"");
        }
        e->place = here.up;
    }
    if (!ok)
        return false;
    if (e->json.error != NULL)
        return json_fail(e);
    return seen ? true : place_fail(e, "\"value\" is missing");
}

/* The object is open. Its type may stand behind the other members. */
static bool any_from_json(struct encoder *e)
{
    const struct schema_msg *m;
    struct encode_mark mark;
    struct json_value type;
    struct slice url;
    bool found, first = true;

    if (!peek_member(e, SLICE_LIT("@type"), &type, &found))
        return false;
    if (!found) {
        if (json_member(&e->json, &first, &type))
            return place_fail(e, "\"@type\" is missing");
        return e->json.error == NULL ? true : json_fail(e);
    }
    if (type.kind != JSON_STRING)
        return place_fail(e, "expected a string in \"@type\", got %s", json_kind_name(type.kind));
    if (!string_of(e, &type, &url))
        return false;
    m = schema_msg_by_url(e->root, url);
    if (m == NULL)
        return place_fail(e, "\"@type\": the schema has no message \"%.*s\"",
                          (int)(url.n > 80 ? 80 : url.n), url.p);
    return encode_tag_bytes(e, TAG_ANY_TYPE, url) && open_tag(e, TAG_ANY_VALUE, &mark) &&
           (m->known != KNOWN_NONE ? any_known(e, m) : encode_members(e, m, 0, 0, true)) &&
           encode_close(e, &mark);
}

bool known_from_json(struct encoder *e, const struct schema_msg *m, const struct json_value *v)
{
    struct slice text;

    switch ((enum schema_known)m->known) {
    case KNOWN_TIMESTAMP:
    case KNOWN_DURATION:
    case KNOWN_FIELD_MASK:
        if (v->kind != JSON_STRING)
            return kind_fail(e, "a string", v);
        return string_of(e, v, &text) && known_from_text(e, m, text);
    case KNOWN_WRAPPER:
        if (v->kind == JSON_NULL)
            return kind_fail(e, "a value", v);
        return encode_field(e, schema_fields(e->root, m), v, 0, 0);
    case KNOWN_STRUCT:
        return v->kind == JSON_OBJECT ? struct_from_json(e) : kind_fail(e, "an object", v);
    case KNOWN_VALUE:
        return value_from_json(e, v);
    case KNOWN_LIST:
        return v->kind == JSON_ARRAY ? list_from_json(e) : kind_fail(e, "an array", v);
    case KNOWN_ANY:
        return v->kind == JSON_OBJECT ? any_from_json(e) : kind_fail(e, "an object", v);
    case KNOWN_NONE:
        break;
    }
    return false;
}

static bool wrapper_from_text(struct encoder *e, const struct schema_field *f, struct slice text)
{
    uint64_t bits;

    if (f->type == TYPE_STRING || f->type == TYPE_BYTES)
        return blob_from_text(e, f, text, false);
    if (!scalar_from_text(e, f, text, &bits))
        return false;
    return bits == 0 ? true : encode_scalar(e, f, bits);
}

bool known_from_text(struct encoder *e, const struct schema_msg *m, struct slice text)
{
    switch ((enum schema_known)m->known) {
    case KNOWN_TIMESTAMP:
        return timestamp_from(e, text);
    case KNOWN_DURATION:
        return duration_from(e, text);
    case KNOWN_FIELD_MASK:
        return mask_from(e, text);
    case KNOWN_WRAPPER:
        return wrapper_from_text(e, schema_fields(e->root, m), text);
    default:
        return place_fail(e, "expected a field, got a message");
    }
}
