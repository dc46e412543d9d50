/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Building a request: what its files share.
 *
 *   request.c      a binding's path variables, query and body in turn
 *   query.c        dotted names and percent-encoded text to fields
 *   json_to_pb.c   JSON members to fields
 *   known_in.c     messages with a JSON form of their own (Timestamp, Struct ...)
 *   scalar_in.c    one scalar from text or a JSON value
 *
 * There are no message objects: fields are appended to one run of bytes in wire form. A nested
 * message starts with room for its length, as wide as the text that is left suggests; when the
 * length turns out shorter the bytes move up.
 */
#ifndef TRANSCODE_ENCODE_H
#define TRANSCODE_ENCODE_H

#include "base/arena.h"
#include "transcode/field_path.h"
#include "transcode/json_read.h"
#include "transcode/schema.h"
#include "transcode/wire.h"

/* Where the reader is, for error messages: a chain from the innermost outwards, on the stack. */
struct place {
    const struct place *up;
    struct slice key; /* member name as written; key.p NULL: an element of an array, index */
    uint64_t index;
    bool map_key; /* key is of a map: written ["key"] */
};

/* A field that a path variable or query parameter has set. In the arena. */
struct bound {
    struct bound *next;
    struct field_path path;
    struct slice name; /* as the client or the template wrote it */
    bool from_path;    /* by the path: wins over the body */
    uint32_t bit;      /* from_path: its bit in the sets of json_to_pb.c */
    size_t off, n;     /* the leaf's field in the output */
};

struct encoder {
    const struct schema_root *root;
    struct arena *arena;
    char *base, *p, *end; /* the output; base moves when it grows */
    struct json_reader json;
    const struct place *place;
    struct bound *bound; /* newest first */
    struct transcode_error *err;
};

/* Growing the output. All false: memory is out and err says so. */
bool encode_grow(struct encoder *e, size_t more);

static inline bool encode_room(struct encoder *e, size_t n)
{
    return (size_t)(e->end - e->p) >= n ? true : encode_grow(e, n);
}

/* Appends bytes that were reserved by encode_room. */
static inline void put_tag(struct encoder *e, const struct schema_field *f)
{
    /* Six bytes are copied whatever the length; the room is there. */
    memcpy(e->p, f->tag, sizeof f->tag);
    e->p += f->tag_n;
}

#define ENCODE_TAG_ROOM 8 /* what put_tag may touch */

/* Opens a run with a length in front; expect: how long it may get, roughly. encode_close writes it.
 */
struct encode_mark {
    size_t at;      /* offset of the length in the output */
    unsigned width; /* bytes reserved for it */
};
bool encode_open(struct encoder *e, size_t expect, struct encode_mark *m);
bool encode_close(struct encoder *e, const struct encode_mark *m);

/* tag, length, bytes */
bool encode_bytes(struct encoder *e, const struct schema_field *f, struct slice bytes);
/* the same with a tag of one byte, for fields of well-known types */
bool encode_tag_bytes(struct encoder *e, uint8_t tag, struct slice bytes);
bool encode_tag_varint(struct encoder *e, uint8_t tag, uint64_t v);

/* Errors: all return false. place_fail names the innermost place of the JSON reader. */
bool place_fail(struct encoder *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool name_fail(struct encoder *e, struct slice name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool json_fail(struct encoder *e); /* the reader's error */
bool memory_fail(struct encoder *e);

/* "expected X, got a string" for the value v. */
bool kind_fail(struct encoder *e, const char *expected, const struct json_value *v);

/* json_value that reports. */
static inline bool next_value(struct encoder *e, struct json_value *v)
{
    return json_value(&e->json, v) ? true : json_fail(e);
}

/* The meaning of a string value: its text, or an unescaped copy in the arena. */
bool string_of(struct encoder *e, const struct json_value *v, struct slice *out);

/* scalar_in.c: the bits of one scalar as its wire type takes them. */
bool scalar_from_json(struct encoder *e, const struct schema_field *f, const struct json_value *v,
                      uint64_t *bits);
bool scalar_from_text(struct encoder *e, const struct schema_field *f, struct slice text,
                      uint64_t *bits);
/* Bits without a tag; room for WIRE_VARINT_MAX bytes is there. */
void scalar_put(struct encoder *e, const struct schema_field *f, uint64_t bits);
/* The same with its tag, growing the output. */
bool encode_scalar(struct encoder *e, const struct schema_field *f, uint64_t bits);
/* A string or bytes field with its tag; keep: also when it is empty. */
bool blob_from_json(struct encoder *e, const struct schema_field *f, const struct json_value *v,
                    bool keep);
bool blob_from_text(struct encoder *e, const struct schema_field *f, struct slice text, bool keep);
/* Number of a Value, a double field of a wrapper ...: the double that v is. */
bool double_from_json(struct encoder *e, const struct json_value *v, double *out);

/* The members of an object that was just opened; any: "@type" among them is passed over. */
bool encode_members(struct encoder *e, const struct schema_msg *m, uint32_t active, unsigned depth,
                    bool any);

/* json_to_pb.c. active: the bits of path variables that lie inside, at this depth of their paths.
 */
bool encode_message(struct encoder *e, const struct schema_msg *m, const struct json_value *v,
                    uint32_t active, unsigned depth);
/* One field with its tag, v being its value (for a repeated field the array). */
bool encode_field(struct encoder *e, const struct schema_field *f, const struct json_value *v,
                  uint32_t active, unsigned depth);

/* known_in.c: the content of a well-known message. */
bool known_from_json(struct encoder *e, const struct schema_msg *m, const struct json_value *v);
/* From text of a path or query; only kinds that field_path_text allows. */
bool known_from_text(struct encoder *e, const struct schema_msg *m, struct slice text);

/* query.c */
bool bind_var(struct encoder *e, const struct schema_msg *m, struct slice var, struct slice raw,
              unsigned index);
bool bind_query(struct encoder *e, const struct schema_msg *m, struct slice query,
                const struct schema_field *body_field);

/* Names of a map or Struct seen so far, by their 64-bit hashes. */
struct key_set {
    uint64_t *slots; /* in the arena; 0 is free */
    uint32_t size, n;
};
/* False when it was there already or memory is out (then *memory is true). */
bool key_set_add(struct encoder *e, struct key_set *s, struct slice key, bool *memory);

#endif
