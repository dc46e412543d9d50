/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Texts of a request that hold a NUL. In an unpacked message a text ends at its first NUL, so that
 * what stands behind one would be dropped without a word; on the wire it still has its length.
 * Whatever cannot be read here as the wire format is the unpacker's to refuse.
 */
#include <stdio.h>
#include <string.h>

#include "boxoffice/service_part.h"

/* What is left to read. */
struct cursor {
    const unsigned char *p, *end;
};

static bool read_varint(struct cursor *c, uint64_t *v)
{
    *v = 0;
    for (unsigned shift = 0; c->p < c->end && shift < 64; shift += 7) {
        unsigned char byte = *c->p++;
        *v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* Reads one field; *value is what a length announced, empty for the other types. */
static bool read_field(struct cursor *c, uint64_t *number, struct slice *value)
{
    uint64_t tag, v = 0;

    *value = SLICE_NONE;
    if (!read_varint(c, &tag))
        return false;
    *number = tag >> 3;
    switch (tag & 7) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        return read_varint(c, &v);
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        v = 8;
        break;
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        v = 4;
        break;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        if (!read_varint(c, &v))
            return false;
        break;
    default:
        return false;
    }
    if (v > (uint64_t)(c->end - c->p))
        return false;
    if ((tag & 7) == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
        *value = slice_of((const char *)c->p, (size_t)v);
    c->p += v;
    return true;
}

/* Messages of boxoffice.proto nest three deep and never hold themselves, so this ends. */
static bool find_nul(const ProtobufCMessageDescriptor *d, struct slice message,
                     char field[TEXT_FIELD_MAX], size_t at)
{
    struct cursor c = {(const unsigned char *)message.p, (const unsigned char *)message.p};
    const ProtobufCFieldDescriptor *f;
    struct slice value;
    uint64_t number;

    c.end += message.n;
    while (c.p < c.end && read_field(&c, &number, &value)) {
        if (value.n == 0 || memchr(value.p, '\0', value.n) == NULL || number > UINT32_MAX)
            continue;
        f = protobuf_c_message_descriptor_get_field(d, (unsigned)number);
        if (f == NULL)
            continue;
        int n = snprintf(field + at, TEXT_FIELD_MAX - at, "%s%s", at > 0 ? "." : "", f->name);
        size_t end = at + (n < 0 ? 0 : (size_t)n);
        if (f->type == PROTOBUF_C_TYPE_STRING || end >= TEXT_FIELD_MAX)
            return f->type == PROTOBUF_C_TYPE_STRING;
        if (f->type == PROTOBUF_C_TYPE_MESSAGE && find_nul(f->descriptor, value, field, end))
            return true;
    }
    return false;
}

bool text_has_nul(const ProtobufCMessageDescriptor *d, struct slice message,
                  char field[TEXT_FIELD_MAX])
{
    /* Nearly every message is without one altogether. */
    if (message.n == 0 || memchr(message.p, '\0', message.n) == NULL)
        return false;
    return find_nul(d, message, field, 0);
}
