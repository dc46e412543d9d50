/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files that compile a descriptor set share: the run being built and the types by name.
 * Runs in the master and in tools, never on the request path.
 */
#ifndef TRANSCODE_COMPILER_H
#define TRANSCODE_COMPILER_H

#include "base/arena.h"
#include "base/buf.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "transcode/schema_layout.h"

/* A message or an enum of the set; the other pointer is NULL. */
struct type {
    const char *name; /* full, without the leading dot; of the arena */
    const Google__Protobuf__FileDescriptorProto *file;
    const Google__Protobuf__DescriptorProto *message;
    const Google__Protobuf__EnumDescriptorProto *enumeration;
    uint32_t off; /* of its schema_msg or schema_enum in the run */
};

struct compiler {
    struct buf run; /* the schema as far as it is built */
    struct buf *err;
    struct arena arena;
    struct type *types; /* sorted by name; owned */
    size_t types_n, types_cap;
    uint32_t messages_n, enums_n;
    bool proto_names; /* SCHEMA_PROTO_NAMES */
    const Google__Protobuf__FileDescriptorSet *set;
};

/* Writes the message, returns false. */
bool compile_fail(struct compiler *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Room for n zeroed bytes, aligned to 8; returns its offset. Memory that is out shows in
 * run.failed. */
uint32_t run_reserve(struct compiler *c, size_t n);
/* Overwrites reserved bytes. */
void run_put(struct compiler *c, uint32_t off, const void *p, size_t n);
struct schema_str run_str(struct compiler *c, struct slice s);

/* The type behind a reference ".pkg.Name" of a descriptor, or NULL. */
const struct type *type_find(const struct compiler *c, const char *reference);

/*
 * False when messages nest deeper than limit: protobuf-c unpacks recursively. At depth i the field
 * descend[i] (the last one for all that are deeper) holds the nested messages.
 */
bool nesting_ok(struct slice bytes, const uint32_t *descend, unsigned descend_n, unsigned limit);

/* Adds a slot to a table of names; an earlier entry of the same name stays. */
void names_add(struct compiler *c, uint32_t table_off, uint32_t mask, struct schema_str name,
               size_t index);
/* Reserves a table for n names; *mask is its size - 1. */
uint32_t names_reserve(struct compiler *c, size_t n, uint32_t *mask);

/* message.c, binding.c: the parts of the run. */
bool compile_message(struct compiler *c, const struct type *t);
bool compile_enum(struct compiler *c, const struct type *t);
bool compile_bindings(struct compiler *c, struct schema_arr *bindings);

#endif
