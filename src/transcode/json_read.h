/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A strict pull reader of JSON (RFC 8259): nothing is built, nothing is copied, strings must be
 * UTF-8 and their escapes must make sense. The caller asks for a value; inside an object it asks
 * for members, inside an array for elements, and reads the value of each:
 *
 *   json_value(r, &v);                        v.kind == JSON_OBJECT
 *   while (json_member(r, &first, &key))
 *       json_value(r, &v) ...
 *   if (r->error) ...
 *
 * After an error every call fails; r->error says what is wrong, r->p where.
 */
#ifndef TRANSCODE_JSON_READ_H
#define TRANSCODE_JSON_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define JSON_DEPTH_MAX 64

enum json_kind {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_KINDS,
};

struct json_value {
    enum json_kind kind;
    bool escaped;      /* a string: text has escapes in it */
    struct slice text; /* of the input: a number as written, a string without its quotes */
};

struct json_reader {
    const char *start, *p, *end;
    const char *error; /* a literal; NULL as long as all is well */
    unsigned depth;    /* objects and arrays that are open */
};

static inline void json_init(struct json_reader *r, struct slice text)
{
    const char *p = text.n ? text.p : "";
    *r = (struct json_reader){.start = p, .p = p, .end = p + text.n};
}

/* Reads a whole scalar, or the opening bracket of an object or array. */
bool json_value(struct json_reader *r, struct json_value *v) __attribute__((warn_unused_result));

/* True: key is the next member's name and its value comes next. False: the object ended, or error.
 * *first starts as true. */
bool json_member(struct json_reader *r, bool *first, struct json_value *key);

/* True: an element comes next. False: the array ended, or error. *first starts as true. */
bool json_element(struct json_reader *r, bool *first);

/* Passes over what v, just read, opened. Uses no stack, however deep. */
bool json_skip(struct json_reader *r, const struct json_value *v)
    __attribute__((warn_unused_result));

/* Only white space is left. */
bool json_end(struct json_reader *r) __attribute__((warn_unused_result));

/* Writes what a string with escapes means to out (room for text.n bytes); returns its length. */
size_t json_unescape(struct slice text, char *out);

/*
 * Non-zero where one of eight bytes is a quote, a backslash, a control character or not ASCII: the
 * bytes that a JSON string cannot hold as they are, or that must be looked at. Carries may set a
 * bit above the first such byte, so only zero and the lowest bit mean something.
 */
static inline uint64_t json_special_bytes(uint64_t x)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = UINT64_C(0x8080808080808080);
    uint64_t quote = x ^ (ones * '"'), slash = x ^ (ones * '\\');

    return (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((x - ones * 0x20) & ~x) | x) &
           highs;
}

/* Length of the run at p that needs no escape and is ASCII. */
static inline size_t json_plain_run(const char *p, const char *end)
{
    const char *start = p;

    while (end - p >= 8) {
        uint64_t eight;
        memcpy(&eight, p, 8);
        if (json_special_bytes(eight) != 0)
            break;
        p += 8;
    }
    while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' &&
           *p != '\\')
        p++;
    return (size_t)(p - start);
}

/* "a string", "null" ... for error messages. */
const char *json_kind_name(enum json_kind kind);

/* The whole of s is a JSON number. */
bool json_is_number(struct slice s);

#endif
