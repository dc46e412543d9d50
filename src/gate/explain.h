/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a request would meet: route, arm, limits, decision. In the master, for rushctl explain.
 *
 * The words of the question are made into the bytes of a request, parsed as any request is, and
 * sent through the phases with a gate of its own, over a compiled configuration in its bank and the
 * real zones of limits and bans. That gate counts into a block of its own, calls nobody, and takes
 * nothing; it lives as long as the call. Nothing blocks.
 *
 * What a worker knows by itself is told as far as the shared words say it: leases of limits, places
 * of concurrency limits, health of endpoints. Ejected endpoints and what Redis said are not in it.
 */
#ifndef GATE_EXPLAIN_H
#define GATE_EXPLAIN_H

#include <stdint.h>

#include "base/buf.h"
#include "metric/metric.h"
#include "net/loop.h"
#include "shm/bank.h"
#include "shm/control.h"
#include "table/ban.h"
#include "table/limit.h"

/* The question. Strings are borrowed; NULL: not given. */
struct explain_order {
    const char *method, *url;
    const char *const *headers; /* "Name: value" */
    unsigned headers_n;
    const char *client;   /* who connects; 127.0.0.1 */
    const char *identity; /* of the buyer, as a trusted proxy would name it */
    const char *body;
};

/* The configurations that requests meet. The data of both is valid while explain works. */
struct explain_sides {
    struct bank_ref current;
    const char *which;         /* what it is, for people: "current" */
    struct bank_canary canary; /* ref.data NULL: there is none */
    bool always;               /* the canary, whoever asks */
};

struct explain_context {
    struct loop *loop;
    const struct control *control;
    const struct metric_zone *metrics;
    struct limit_zone *limits;
    struct ban_zone *bans;
    struct closed_zone *closed;
    struct sent_zone *sent;
    /* Which ban that is, for people. */
    void (*ban_text)(void *arg, const struct ban_hit *hit, struct buf *out);
    void *arg;
};

/*
 * Appends the explanation as a JSON object to out. 0; -EINVAL: the question is no request, `why`
 * says what is wrong with it; -ENOMEM, `why` untouched.
 */
int explain(const struct explain_context *ctx, const struct explain_sides *sides,
            const struct explain_order *o, struct buf *out, struct buf *why)
    __attribute__((warn_unused_result));

#endif
