/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages of the rate limit service (proto/ratelimit.proto), read and written without a copy and
 * without an allocation: a decision is a few hundred nanoseconds, and message objects would be most
 * of it. What is read points into the message.
 */
#ifndef GATE_RLS_WIRE_H
#define GATE_RLS_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define RLS_DESCRIPTORS 16u /* of a request */
#define RLS_ENTRIES     16u /* of a descriptor */

struct rls_entry {
    struct slice key, value;
};

struct rls_descriptor {
    struct rls_entry entry[RLS_ENTRIES];
    unsigned n;
    uint64_t hits;
};

struct rls_request {
    struct slice domain;
    struct rls_descriptor descriptor[RLS_DESCRIPTORS];
    unsigned n;
};

/* NULL, or what is wrong with the message. */
const char *rls_request_read(struct slice message, struct rls_request *out)
    __attribute__((warn_unused_result));

enum rls_code { RLS_OK = 1, RLS_OVER_LIMIT = 2 };

/* About one descriptor. */
struct rls_status {
    enum rls_code code;
    struct slice limit; /* its name; "" : no rule knows the descriptor, and nothing below counts */
    uint64_t tokens, period_ns;
    uint64_t remaining;
    uint64_t reset_ns;
};

/* Replaces what is in out. retry_after_s 0: nothing is said. */
void rls_response_write(enum rls_code overall, const struct rls_status *status, unsigned n,
                        uint32_t retry_after_s, struct buf *out);

#endif
