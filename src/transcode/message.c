/* SPDX-License-Identifier: BSD-2-Clause */
/* Compiling one message or enum: fields, the tables by name and by number. */
#include <stdlib.h>

#include "transcode/compiler.h"
#include "transcode/wire.h"

typedef Google__Protobuf__FieldDescriptorProto field_proto;
typedef Google__Protobuf__DescriptorProto message_proto;
typedef Google__Protobuf__EnumDescriptorProto enum_proto;

#define LABEL(x) GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_##x

static const struct {
    const char *name;
    enum schema_known known;
} known_types[] = {
    {"google.protobuf.Timestamp", KNOWN_TIMESTAMP},  {"google.protobuf.Duration", KNOWN_DURATION},
    {"google.protobuf.FieldMask", KNOWN_FIELD_MASK}, {"google.protobuf.DoubleValue", KNOWN_WRAPPER},
    {"google.protobuf.FloatValue", KNOWN_WRAPPER},   {"google.protobuf.Int64Value", KNOWN_WRAPPER},
    {"google.protobuf.UInt64Value", KNOWN_WRAPPER},  {"google.protobuf.Int32Value", KNOWN_WRAPPER},
    {"google.protobuf.UInt32Value", KNOWN_WRAPPER},  {"google.protobuf.BoolValue", KNOWN_WRAPPER},
    {"google.protobuf.StringValue", KNOWN_WRAPPER},  {"google.protobuf.BytesValue", KNOWN_WRAPPER},
    {"google.protobuf.Struct", KNOWN_STRUCT},        {"google.protobuf.Value", KNOWN_VALUE},
    {"google.protobuf.ListValue", KNOWN_LIST},       {"google.protobuf.Any", KNOWN_ANY},
};

static enum schema_known known_of(const struct type *t)
{
    for (size_t i = 0; i < sizeof known_types / sizeof known_types[0]; i++)
        if (strcmp(known_types[i].name, t->name) == 0)
            return known_types[i].known;
    return KNOWN_NONE;
}

static bool is_proto3(const struct type *t)
{
    return t->file->syntax != NULL && strcmp(t->file->syntax, "proto3") == 0;
}

static enum wire_type wire_of_type(enum schema_type type)
{
    switch (type) {
    case TYPE_DOUBLE:
    case TYPE_FIXED64:
    case TYPE_SFIXED64:
        return WIRE_FIXED64;
    case TYPE_FLOAT:
    case TYPE_FIXED32:
    case TYPE_SFIXED32:
        return WIRE_FIXED32;
    case TYPE_STRING:
    case TYPE_BYTES:
    case TYPE_MESSAGE:
        return WIRE_LEN;
    default:
        return WIRE_VARINT;
    }
}

static struct slice camel_case(struct compiler *c, const char *name)
{
    struct slice out = arena_dup(&c->arena, slice_str(name));
    char *p = (char *)(uintptr_t)out.p;
    size_t n = 0;
    bool upper = false;

    for (size_t i = 0; i < out.n; i++) {
        char ch = p[i];
        if (ch == '_') {
            upper = true;
            continue;
        }
        p[n++] = upper && ch >= 'a' && ch <= 'z' ? (char)(ch - 'a' + 'A') : ch;
        upper = false;
    }
    out.n = n;
    return out;
}

/* "\"name\":" as a reply writes it. */
static struct schema_str run_key(struct compiler *c, struct slice name)
{
    struct schema_str out = {(uint32_t)c->run.n, 0};

    buf_json(&c->run, name);
    buf_char(&c->run, ':');
    out.n = (uint32_t)(c->run.n - out.off);
    return out;
}

static bool set_reference(struct compiler *c, const struct type *t, const field_proto *p,
                          struct schema_field *f)
{
    const struct type *to = type_find(c, p->type_name);

    if (to == NULL || (f->type == TYPE_MESSAGE) != (to->message != NULL))
        return compile_fail(c, "%s.%s: type %s is not in the set", t->name, p->name,
                            p->type_name ? p->type_name : "?");
    f->ref = to->off;
    if (to->message == NULL || to->message->options == NULL || !to->message->options->map_entry ||
        !(f->flags & FIELD_REPEATED))
        return true;
    if (to->message->n_field != 2 || to->message->field[0]->number != 1 ||
        to->message->field[1]->number != 2)
        return compile_fail(c, "%s.%s: %s is not a map entry", t->name, p->name, to->name);
    f->flags |= FIELD_MAP;
    return true;
}

static void set_flags(const struct type *t, const field_proto *p, struct schema_field *f)
{
    bool proto3 = is_proto3(t), oneof = p->has_oneof_index && !p->proto3_optional;

    if (p->label == LABEL(REPEATED)) {
        f->flags |= FIELD_REPEATED;
        if (f->wire != WIRE_LEN &&
            (p->options != NULL && p->options->has_packed ? p->options->packed : proto3))
            f->flags |= FIELD_PACKED;
        return;
    }
    if (!proto3 || oneof || p->proto3_optional || f->type == TYPE_MESSAGE)
        f->flags |= FIELD_PRESENCE;
}

static bool check_field(struct compiler *c, const struct type *t, const field_proto *p)
{
    if (p->name == NULL || p->name[0] == '\0' || !p->has_number || !p->has_type || !p->has_label)
        return compile_fail(c, "%s: a field without name, number, label or type", t->name);
    if (p->number < 1 || p->number > (int32_t)WIRE_NUMBER_MAX)
        return compile_fail(c, "%s.%s: field number %d is out of range", t->name, p->name,
                            (int)p->number);
    if ((int)p->type == TYPE_GROUP)
        return compile_fail(c, "%s.%s is a group (proto2): groups are not supported", t->name,
                            p->name);
    if ((int)p->type < TYPE_DOUBLE || (int)p->type > TYPE_SINT64)
        return compile_fail(c, "%s.%s: type %d is not known", t->name, p->name, (int)p->type);
    if (p->has_oneof_index &&
        (p->oneof_index < 0 || (size_t)p->oneof_index >= t->message->n_oneof_decl))
        return compile_fail(c, "%s.%s: there is no oneof %d", t->name, p->name,
                            (int)p->oneof_index);
    if (strlen(p->name) > 1024 || (p->json_name != NULL && strlen(p->json_name) > 1024))
        return compile_fail(c, "%s: a field name is longer than 1024 bytes", t->name);
    return true;
}

static bool compile_field(struct compiler *c, const struct type *t, const field_proto *p,
                          struct schema_field *f)
{
    struct slice name, json;

    if (!check_field(c, t, p))
        return false;
    name = slice_str(p->name);
    json = p->json_name && p->json_name[0] ? slice_str(p->json_name) : camel_case(c, p->name);
    *f = (struct schema_field){.number = (uint32_t)p->number,
                               .type = (uint8_t)p->type,
                               .wire = (uint8_t)wire_of_type((enum schema_type)p->type),
                               .oneof = SCHEMA_NO_ONEOF};
    set_flags(t, p, f);
    if (p->has_oneof_index && !p->proto3_optional)
        f->oneof = (uint16_t)(t->message->n_field + (size_t)p->oneof_index);
    f->tag_n =
        (uint8_t)(varint_put((char *)f->tag, (uint64_t)f->number << 3 | f->wire) - (char *)f->tag);
    f->name = run_str(c, name);
    f->json = run_str(c, json);
    if (f->type != TYPE_MESSAGE && f->type != TYPE_ENUM)
        return true;
    return set_reference(c, t, p, f);
}

/* The array is sorted by number on the way, so that double numbers show. */
static bool compile_numbers(struct compiler *c, const struct type *t, struct schema_msg *m,
                            const struct schema_field *fields)
{
    uint32_t n = m->fields.n, highest = 0;
    uint16_t *sorted = calloc(n + 1, sizeof *sorted), *dense;

    if (sorted == NULL)
        return compile_fail(c, "out of memory");
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = i;
        while (at > 0 && fields[sorted[at - 1]].number > fields[i].number) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = (uint16_t)i;
        if (at > 0 && fields[sorted[at - 1]].number == fields[i].number) {
            compile_fail(c, "%s has two fields with the number %u", t->name,
                         (unsigned)fields[i].number);
            free(sorted);
            return false;
        }
        if (fields[i].number > highest)
            highest = fields[i].number;
    }
    m->sorted = (struct schema_arr){run_reserve(c, n * sizeof *sorted), n};
    run_put(c, m->sorted.off, sorted, n * sizeof *sorted);
    free(sorted);
    if (highest > 4 * n + 16)
        return true;
    m->numbers = (struct schema_arr){run_reserve(c, (highest + 1) * sizeof *dense), highest + 1};
    for (uint32_t i = 0; i < n; i++) {
        uint16_t index = (uint16_t)(i + 1);
        run_put(c, m->numbers.off + fields[i].number * (uint32_t)sizeof index, &index,
                sizeof index);
    }
    return true;
}

static bool compile_fields(struct compiler *c, const struct type *t, struct schema_msg *m,
                           struct schema_field *fields)
{
    const message_proto *p = t->message;

    for (uint32_t i = 0; i < m->fields.n; i++)
        if (!compile_field(c, t, p->field[i], &fields[i]))
            return false;
    m->names_off = names_reserve(c, 2 * (size_t)m->fields.n, &m->names_mask);
    for (uint32_t i = 0; i < m->fields.n; i++)
        names_add(c, m->names_off, m->names_mask, fields[i].json, i);
    for (uint32_t i = 0; i < m->fields.n; i++)
        names_add(c, m->names_off, m->names_mask, fields[i].name, i);
    return compile_numbers(c, t, m, fields);
}

static bool map_key_ok(const struct schema_field *f)
{
    return f->type != TYPE_DOUBLE && f->type != TYPE_FLOAT && f->type != TYPE_BYTES &&
           f->type != TYPE_MESSAGE && f->type != TYPE_ENUM;
}

static bool check_known(struct compiler *c, const struct type *t, const struct schema_msg *m,
                        const struct schema_field *fields)
{
    bool entry = t->message->options != NULL && t->message->options->map_entry;

    if (entry && (m->fields.n != 2 || !map_key_ok(&fields[0])))
        return compile_fail(c, "%s is not a map entry", t->name);
    if ((m->known == KNOWN_WRAPPER &&
         (m->fields.n != 1 || fields[0].number != 1 || fields[0].type == TYPE_MESSAGE ||
          (fields[0].flags & FIELD_REPEATED))) ||
        (m->known == KNOWN_STRUCT &&
         (m->fields.n != 1 || fields[0].number != 1 || !(fields[0].flags & FIELD_MAP))))
        return compile_fail(c, "%s is not the well-known type of that name", t->name);
    return true;
}

bool compile_message(struct compiler *c, const struct type *t)
{
    struct schema_msg m = {.known = (uint8_t)known_of(t)};
    struct schema_field *fields;
    bool ok;

    if (t->message->n_field + t->message->n_oneof_decl >= SCHEMA_NO_ONEOF)
        return compile_fail(c, "%s has too many fields", t->name);
    m.name = run_str(c, slice_str(t->name));
    m.seen_bits = (uint16_t)(t->message->n_field + t->message->n_oneof_decl);
    m.fields.n = (uint32_t)t->message->n_field;
    m.fields.off = run_reserve(c, m.fields.n * sizeof *fields);
    fields = calloc(m.fields.n + 1, sizeof *fields);
    if (fields == NULL)
        return compile_fail(c, "out of memory");
    ok = compile_fields(c, t, &m, fields) && check_known(c, t, &m, fields);
    for (uint32_t i = 0; ok && i < m.fields.n; i++) {
        struct schema_str shown = c->proto_names ? fields[i].name : fields[i].json;
        /* buf_json may move the run: copy the name out first. */
        struct slice name =
            arena_dup(&c->arena, slice_of(c->run.p + shown.off, c->run.failed ? 0 : shown.n));
        fields[i].key = run_key(c, name);
    }
    run_put(c, m.fields.off, fields, m.fields.n * sizeof *fields);
    run_put(c, t->off, &m, sizeof m);
    free(fields);
    return ok;
}

static struct schema_str run_quoted(struct compiler *c, const char *name)
{
    struct schema_str out = {(uint32_t)c->run.n, 0};

    buf_json(&c->run, slice_str(name));
    out.n = (uint32_t)(c->run.n - out.off);
    return out;
}

/* Sorted by number; of several names for one number the first stays. Returns how many. */
static uint32_t values_sort(const enum_proto *p, const struct schema_str *quoted,
                            struct schema_value *out)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->n_value; i++) {
        uint32_t at = n;
        while (at > 0 && out[at - 1].number > p->value[i]->number)
            at--;
        if (at > 0 && out[at - 1].number == p->value[i]->number)
            continue;
        memmove(&out[at + 1], &out[at], (n - at) * sizeof *out);
        out[at] = (struct schema_value){p->value[i]->number, quoted[i]};
        n++;
    }
    return n;
}

static void compile_values(struct compiler *c, const enum_proto *p, struct schema_enum *e,
                           struct schema_value *values, struct schema_str *quoted)
{
    e->names_off = names_reserve(c, p->n_value, &e->names_mask);
    e->numbers =
        (struct schema_arr){run_reserve(c, p->n_value * sizeof(int32_t)), (uint32_t)p->n_value};
    for (uint32_t i = 0; i < p->n_value; i++) {
        int32_t number = p->value[i]->number;
        run_put(c, e->numbers.off + i * (uint32_t)sizeof number, &number, sizeof number);
        names_add(c, e->names_off, e->names_mask, run_str(c, slice_str(p->value[i]->name)), i);
        quoted[i] = run_quoted(c, p->value[i]->name);
    }
    e->values.n = values_sort(p, quoted, values);
    e->values.off = run_reserve(c, e->values.n * sizeof *values);
    run_put(c, e->values.off, values, e->values.n * sizeof *values);
    e->dense = 1;
    for (uint32_t i = 0; i < e->values.n; i++)
        if ((int64_t)values[i].number != (int64_t)values[0].number + i)
            e->dense = 0;
}

bool compile_enum(struct compiler *c, const struct type *t)
{
    const enum_proto *p = t->enumeration;
    struct schema_enum e = {.null_value = strcmp(t->name, "google.protobuf.NullValue") == 0};
    struct schema_value *values;
    struct schema_str *quoted;

    if (p->n_value == 0 || p->n_value >= UINT16_MAX)
        return compile_fail(c, "%s: an enum has 1 to %d values", t->name, UINT16_MAX - 1);
    for (size_t i = 0; i < p->n_value; i++)
        if (p->value[i]->name == NULL || p->value[i]->name[0] == '\0' || !p->value[i]->has_number)
            return compile_fail(c, "%s: a value without name or number", t->name);
    values = calloc(p->n_value, sizeof *values);
    quoted = calloc(p->n_value, sizeof *quoted);
    if (values == NULL || quoted == NULL) {
        free(values);
        free(quoted);
        return compile_fail(c, "out of memory");
    }
    e.name = run_str(c, slice_str(t->name));
    compile_values(c, p, &e, values, quoted);
    run_put(c, t->off, &e, sizeof e);
    free(values);
    free(quoted);
    return true;
}
