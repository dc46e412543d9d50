/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What gRPC puts on top of HTTP/2, the same on both sides: the prefix of a message, grpc-timeout,
 * grpc-message, metadata that came in, and what an HTTP status or a stream reset means.
 *
 *   DATA = flag (0 plain, 1 compressed) | length, 4 bytes big-endian | message
 */
#ifndef RPC_WIRE_H
#define RPC_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "rpc/client.h" /* struct rpc_meta */

#define WIRE_PREFIX         5u
#define WIRE_TIMEOUT_MAX    12u    /* bytes of a formatted grpc-timeout */
#define WIRE_META_MAX       64u    /* pairs of metadata of a message */
#define WIRE_META_BYTES_MAX 16384u /* names and values together */
#define WIRE_KEEP_BYTES     16384u /* a recycled buffer larger than this is given back */
#define WIRE_MESSAGE_MAX    1024u  /* bytes of a status text that are sent */

/* Writes the prefix of a plain message of n bytes. */
void wire_prefix(char out[WIRE_PREFIX], uint32_t n);

enum wire_body {
    WIRE_BODY_PART,       /* nothing wrong, not complete */
    WIRE_BODY_ONE,        /* exactly one plain message */
    WIRE_BODY_COMPRESSED, /* flag 1: nobody asked for it */
    WIRE_BODY_BAD_FLAG,
    WIRE_BODY_TOO_LARGE,
    WIRE_BODY_SEVERAL, /* bytes behind the first message */
};

/* What a body received so far is. max: bytes of a message. */
enum wire_body wire_body_check(struct slice body, uint32_t max);

/* Rounds up to whole milliseconds (microseconds below one). Returns the length. */
size_t wire_timeout_format(char out[WIRE_TIMEOUT_MAX], uint64_t ns);
/* One to eight digits and a unit, H M S m u n. False, *ns untouched, for anything else. */
bool wire_timeout_parse(struct slice s, uint64_t *ns) __attribute__((warn_unused_result));

/* grpc-message: bytes outside 0x20..0x7e and '%' become %XX. */
void wire_percent_encode(struct buf *out, struct slice s);
/* Malformed escapes stay as they are: a bad message must not hide the status. */
void wire_percent_decode(struct buf *out, struct slice s);

/* Status of a reply that has none, by HTTP status ("HTTP to gRPC Status Code Mapping"). */
int wire_status_of_http(unsigned http_status);
/* Status of a stream that was reset, by HTTP/2 error code. */
int wire_status_of_reset(uint32_t error_code);

/* application/grpc, with +proto or parameters or not; not application/grpc-web. */
bool wire_is_grpc(struct slice content_type);

/* Metadata as it arrives: bytes in one buffer, found by offset until meta_view makes slices. */
struct meta_set {
    struct buf text;
    unsigned n;
    bool overflow; /* more than the limits allow came */
    struct {
        uint32_t name, name_n, value, value_n;
    } at[WIRE_META_MAX];
    struct rpc_meta view[WIRE_META_MAX];
};

void meta_clear(struct meta_set *m);
void meta_free(struct meta_set *m);
/* Copies a pair; sets overflow when it does not fit. */
void meta_add(struct meta_set *m, struct slice name, struct slice value);
/* The pairs; valid until the set changes. */
const struct rpc_meta *meta_view(struct meta_set *m);

/* Empties a buffer for its next use; gives memory back that an unusually large use left. */
void wire_recycle(struct buf *b);

#endif
