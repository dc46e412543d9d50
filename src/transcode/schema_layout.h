/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Layout of a compiled schema: what schema_compile writes and the transcoder reads.
 *
 *   struct schema_root
 *   messages[]   struct schema_msg, each pointing to
 *     fields[]     struct schema_field in the order of the descriptor
 *     names[]      struct schema_name: open addressing by name_hash, JSON names and proto names
 *     numbers[]    uint16: field number -> field index + 1, or (sparse) field indices by number
 *   enums[]      struct schema_enum -> values[] by number, names[] hashed
 *   bindings[]   struct schema_bind
 *   strings      names, and the text a reply is made of ("\"price\":")
 *
 * All references are offsets from the root, so the run can be mapped anywhere. It is immutable and
 * comes from our own compiler (magic and version say so): readers do not check it again.
 */
#ifndef TRANSCODE_SCHEMA_LAYOUT_H
#define TRANSCODE_SCHEMA_LAYOUT_H

#include <stdint.h>

#include "base/slice.h"

#define SCHEMA_MAGIC    UINT32_C(0x68637352) /* "Rsch" */
#define SCHEMA_VERSION  1u
#define SCHEMA_NO_ONEOF 0xffffu

struct schema_str {
    uint32_t off, n;
};

struct schema_arr {
    uint32_t off, n;
};

struct schema_root {
    uint32_t magic, version;
    uint32_t size;              /* bytes of the whole run */
    uint32_t options;           /* SCHEMA_PROTO_NAMES ... */
    struct schema_arr messages; /* struct schema_msg, sorted by name */
    struct schema_arr enums;    /* struct schema_enum */
    struct schema_arr bindings; /* struct schema_bind */
};

/* Types of descriptor.proto; 10, the group, is refused at compile. */
enum schema_type {
    TYPE_DOUBLE = 1,
    TYPE_FLOAT,
    TYPE_INT64,
    TYPE_UINT64,
    TYPE_INT32,
    TYPE_FIXED64,
    TYPE_FIXED32,
    TYPE_BOOL,
    TYPE_STRING,
    TYPE_GROUP,
    TYPE_MESSAGE,
    TYPE_BYTES,
    TYPE_UINT32,
    TYPE_ENUM,
    TYPE_SFIXED32,
    TYPE_SFIXED64,
    TYPE_SINT32,
    TYPE_SINT64,
};

/* Messages whose JSON form is their own. */
enum schema_known {
    KNOWN_NONE,
    KNOWN_TIMESTAMP,
    KNOWN_DURATION,
    KNOWN_FIELD_MASK,
    KNOWN_WRAPPER, /* the one field is fields[0] */
    KNOWN_STRUCT,
    KNOWN_VALUE,
    KNOWN_LIST,
    KNOWN_ANY,
};

enum {
    FIELD_REPEATED = 1, /* maps too */
    FIELD_PACKED = 2,   /* written packed */
    FIELD_MAP = 4,      /* ref is the entry message: fields[0] the key, fields[1] the value */
    FIELD_PRESENCE = 8, /* a default value is written when it was given */
};

struct schema_field {
    uint32_t number;
    uint32_t ref;           /* offset of the struct schema_msg or schema_enum; 0: a scalar */
    struct schema_str name; /* of the proto file */
    struct schema_str json; /* the JSON name */
    struct schema_str key;  /* "\"price\":", the name as a reply writes it */
    uint16_t oneof;         /* bit of its oneof in the set of seen fields, or SCHEMA_NO_ONEOF */
    uint8_t type;           /* enum schema_type */
    uint8_t flags;
    uint8_t wire; /* enum wire_type of one element */
    uint8_t tag_n;
    uint8_t tag[6]; /* encoded, of one element */
};

struct schema_name {
    uint32_t off;
    uint16_t n;
    uint16_t index; /* of the field or enum value, + 1; 0 marks a free slot */
};

struct schema_msg {
    struct schema_str name;   /* "rushgate.boxoffice.v1.Order" */
    struct schema_arr fields; /* struct schema_field */
    uint32_t names_off;       /* struct schema_name[names_mask + 1] */
    uint32_t names_mask;
    struct schema_arr numbers; /* uint16_t: dense, index + 1 by number (n: highest number + 1) */
    struct schema_arr sorted;  /* uint16_t: sparse (numbers.n is 0), indices by number */
    uint16_t seen_bits;        /* fields and oneofs: size of the set of seen fields */
    uint8_t known;             /* enum schema_known */
    uint8_t unused;
};

struct schema_value {
    int32_t number;
    struct schema_str quoted; /* "\"paid\"" */
};

struct schema_enum {
    struct schema_str name;
    struct schema_arr values; /* struct schema_value by number; of aliases the first */
    uint32_t names_off;       /* struct schema_name; index is the place in numbers, + 1 */
    uint32_t names_mask;
    struct schema_arr numbers; /* int32_t, as declared */
    uint32_t dense;            /* 1: values[i].number is values[0].number + i */
    uint32_t null_value;       /* 1: google.protobuf.NullValue */
};

enum schema_body { BODY_NONE, BODY_FIELD, BODY_ALL };

struct schema_bind {
    struct schema_str service, method, rpc_path, http_method, template;
    uint32_t request, reply; /* offsets of struct schema_msg */
    uint32_t body;           /* enum schema_body */
    uint32_t body_field;     /* index in the request, BODY_FIELD */
    uint32_t response_field; /* index in the reply + 1; 0: the whole reply */
    uint32_t streaming;
};

_Static_assert(sizeof(struct schema_root) == 40, "no padding: the bytes are the same for everyone");
_Static_assert(sizeof(struct schema_field) == 44, "fields are packed");
_Static_assert(sizeof(struct schema_name) == 8, "a slot is one word");
_Static_assert(sizeof(struct schema_msg) == 44, "messages are packed");
_Static_assert(sizeof(struct schema_value) == 12, "values are packed");
_Static_assert(sizeof(struct schema_enum) == 40, "enums are packed");
_Static_assert(sizeof(struct schema_bind) == 64, "bindings are packed");

static inline const void *schema_at(const struct schema_root *r, uint32_t off)
{
    return (const char *)r + off;
}

static inline struct slice schema_slice(const struct schema_root *r, struct schema_str s)
{
    return slice_of((const char *)r + s.off, s.n);
}

static inline const struct schema_field *schema_fields(const struct schema_root *r,
                                                       const struct schema_msg *m)
{
    return schema_at(r, m->fields.off);
}

static inline const struct schema_msg *schema_msg_of(const struct schema_root *r,
                                                     const struct schema_field *f)
{
    return schema_at(r, f->ref);
}

static inline const struct schema_enum *schema_enum_of(const struct schema_root *r,
                                                       const struct schema_field *f)
{
    return schema_at(r, f->ref);
}

/*
 * Names are short and the table is ours, so a few bytes from both ends are enough; a hit is
 * compared in full.
 */
static inline uint32_t name_hash(const char *p, size_t n)
{
    uint64_t a = 0, b = 0;

    if (n >= 8) {
        memcpy(&a, p, 8);
        memcpy(&b, p + n - 8, 8);
    } else if (n >= 4) {
        uint32_t x, y;
        memcpy(&x, p, 4);
        memcpy(&y, p + n - 4, 4);
        a = x;
        b = y;
    } else if (n > 0) {
        a = (unsigned char)p[0];
        b = (uint64_t)(unsigned char)p[n / 2] << 8 | (unsigned char)p[n - 1];
    }
    a = (a ^ (b << 29 | b >> 35) ^ n) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(a >> 32);
}

/* The index behind name, or -1. */
static inline int schema_find(const struct schema_root *r, uint32_t names_off, uint32_t mask,
                              struct slice name)
{
    const struct schema_name *names = schema_at(r, names_off);

    for (uint32_t i = name_hash(name.p, name.n) & mask;; i = (i + 1) & mask) {
        if (names[i].index == 0)
            return -1;
        if (names[i].n == name.n && memcmp((const char *)r + names[i].off, name.p, name.n) == 0)
            return names[i].index - 1;
    }
}

/* By either of its names; NULL when the message has no such field. */
static inline const struct schema_field *
schema_field_by_name(const struct schema_root *r, const struct schema_msg *m, struct slice name)
{
    int i = schema_find(r, m->names_off, m->names_mask, name);
    return i < 0 ? NULL : schema_fields(r, m) + i;
}

/* Index of the field with that number, or -1. */
int schema_field_by_number_sparse(const struct schema_root *r, const struct schema_msg *m,
                                  uint32_t number);

static inline int schema_field_by_number(const struct schema_root *r, const struct schema_msg *m,
                                         uint32_t number)
{
    if (m->numbers.n == 0)
        return schema_field_by_number_sparse(r, m, number);
    if (number >= m->numbers.n)
        return -1;
    return ((const uint16_t *)schema_at(r, m->numbers.off))[number] - 1;
}

/* NULL for a number the enum does not have. */
const struct schema_value *schema_value_by_number(const struct schema_root *r,
                                                  const struct schema_enum *e, int32_t number);

/* By full name; NULL when the schema has no such message. */
const struct schema_msg *schema_msg_by_name(const struct schema_root *r, struct slice name);

/* By the URL of an Any: what stands behind its last slash. NULL also when it has none. */
const struct schema_msg *schema_msg_by_url(const struct schema_root *r, struct slice url);

/* The root of a run of bytes; NULL when it is not one (too short, another version). */
const struct schema_root *schema_root_of(struct slice schema);

#endif
