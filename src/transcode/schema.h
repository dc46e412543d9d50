/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Transcoding between JSON and protobuf by descriptors loaded at run time.
 *
 * schema_compile turns a FileDescriptorSet into one position-independent run of bytes (messages,
 * fields, enums, methods, HTTP bindings; offsets, no pointers) that goes into the configuration
 * bank. Workers transcode straight between the two wire forms, driven by it: no message objects are
 * built on the way.
 */
#ifndef TRANSCODE_SCHEMA_H
#define TRANSCODE_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"

/* Options of a schema, fixed when it is compiled. */
enum {
    SCHEMA_PROTO_NAMES = 1,    /* write field names as in the proto file, not lowerCamelCase */
    SCHEMA_PRINT_DEFAULTS = 2, /* write scalar and repeated fields that have their default value */
    SCHEMA_IGNORE_UNKNOWN = 4, /* unknown JSON members are skipped instead of refused */
};

/*
 * Appends the compiled schema of the descriptor set to out (8-byte aligned relative to the start of
 * the appended bytes). False with a message in err: not a descriptor set, a missing import, a
 * method's HTTP rule that names a field that does not exist (service, method and rule are named),
 * ...
 */
bool schema_compile(struct slice descriptor_set, unsigned options, struct buf *out,
                    struct buf *err);

/* One HTTP binding of one method (additional_bindings count as bindings of their own). */
struct schema_binding {
    struct slice service;     /* "rushgate.boxoffice.v1.BoxOffice" */
    struct slice method;      /* "CreateOrder" */
    struct slice rpc_path;    /* "/rushgate.boxoffice.v1.BoxOffice/CreateOrder" */
    struct slice http_method; /* "POST"; "" for a method without annotation: callable only by a
                                 route that names the rpc, body "*" */
    struct slice template;    /* "/api/v1/events/{event}/orders" */
    bool streaming;           /* client or server streaming: cannot be routed */
};

/* Bindings are numbered 0 .. n-1: first those with an annotation, in file order, then one for every
 * method (http_method ""), so that any method can be bound by a route of the configuration. */
uint32_t schema_bindings(struct slice schema);
void schema_binding_get(struct slice schema, uint32_t binding, struct schema_binding *out);

/* A route can bind so many path variables. */
#define SCHEMA_VARS_MAX 32

/*
 * Whether a route whose template has these variables can call the binding; else err says why not
 * ("path variable \"evnt\" is not a field of ..."). For the configuration check. vars: what stands
 * between the braces of the template, "name" or "name=pattern".
 */
bool schema_check_vars(struct slice schema, uint32_t binding, const struct slice *vars, unsigned n,
                       struct buf *err);

/* Number of a field of the binding's request message, by either of its names; 0: there is none, or
 * it is a map, whose entries have no order. */
uint32_t schema_field_number(struct slice schema, uint32_t binding, struct slice name);
/* The full name of that message. */
struct slice schema_request_name(struct slice schema, uint32_t binding);

/*
 * A hash over what an encoded message has for the fields, in their order; what else it holds makes
 * no difference, nor does the order in which it came. False: no message.
 */
bool schema_hash_fields(struct slice message, const uint32_t *numbers, unsigned n, uint64_t seed,
                        uint64_t *out);

/* What was wrong with the request, for a problem+json. */
struct transcode_error {
    char path[160];    /* JSON path "items[2].price", query parameter or path variable; "" the whole
                          body */
    char message[240]; /* "expected a string, got a number" */
};

/*
 * Builds the request message of a binding. vars: raw path variables in the order of the template
 * the ROUTE matched (var_names: what stands between its braces, as in schema_check_vars; a route's
 * own template may bind a method without annotation); query: raw query string; body: JSON. The
 * encoded message is allocated from arena. False with err filled (the answer is 400); err->message
 * "out of memory" with path "" for a 503.
 */
bool transcode_request(struct slice schema, uint32_t binding, const struct slice *var_names,
                       const struct slice *vars, unsigned vars_n, struct slice query,
                       struct slice body, struct arena *arena, struct slice *out,
                       struct transcode_error *err);

/* Appends the JSON of a reply message. False when the bytes are not a valid message (502). */
bool transcode_reply(struct slice schema, uint32_t binding, struct slice message, struct buf *out);

#endif
