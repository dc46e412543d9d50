/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Concurrency limits of a worker: how many calls of a route, or to an upstream, may be under way at
 * once. One object for each that is configured, kept over reloads by its name, so that what was
 * learnt stays. Each worker has its own and sees its own calls only.
 *
 * A place is taken by a call (call_get), not by a request, and given back where every call ends
 * (call_put): a purchase whose buyer has left occupies the service as before.
 *
 * Its figures are words in the worker's metric block, with the worker as the only writer. A
 * successor of a worker that was killed goes on with the limit it finds there.
 */
#ifndef GATE_CONCURRENCY_H
#define GATE_CONCURRENCY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "conf/compiled.h"
#include "gate/gradient.h"
#include "metric/metric.h"

struct gate;

struct concurrency {
    struct list node;     /* on gate.concurrency */
    char *name;           /* owned: "upstream/shop" */
    unsigned generations; /* that refer to it */
    bool canary;          /* of canaries only; counts in no words */
    enum conf_concurrency_mode mode;
    uint32_t in_flight; /* calls */
    struct gradient gradient;
    struct metric_concurrency *words; /* NULL: no index was left */
};

/* What one call holds: its places with the route and with the upstream. */
struct concurrency_places {
    struct concurrency *of[2];
    uint32_t in_flight[2]; /* when it started, with it */
    uint64_t start_ns;
};

enum call_outcome {
    CALL_CANCELLED, /* by us: says nothing about the service */
    CALL_ANSWERED,
    CALL_ERROR,  /* the service answered with an error of its own: it may be fast because of it */
    CALL_FAILED, /* no connection, deadline, nonsense */
};

/* The worker's limit for what is configured; NULL with 0 when there is none. A canary has its own,
 * which starts unlearnt. -ENOMEM. */
int concurrency_get(struct gate *g, const struct conf_root *root,
                    const struct conf_concurrency *conf, bool canary, struct concurrency **out)
    __attribute__((warn_unused_result));
/* Applies the settings to a limit that is in use. */
void concurrency_update(struct concurrency *c, const struct conf_concurrency *conf);
/* One generation less names it; the last one frees it. */
void concurrency_put(struct concurrency **c);

/* False when one of them (NULL: none) is at its limit, which is counted there. */
bool concurrency_has_room(struct concurrency *const of[2]);
/* Takes a place of each, room or not. */
void concurrency_enter(struct concurrency_places *p, struct concurrency *const of[2],
                       uint64_t now_ns);
void concurrency_leave(struct concurrency_places *p, enum call_outcome outcome, uint64_t now_ns);

#endif
