/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The limits that one request is counted against, taken together or not at all: those of a route
 * (phase_limit.c) or of the descriptors that another gateway asks about (rls.c). Limits that hosts
 * share are asked at both places, this host's buckets and what is known of all.
 */
#ifndef GATE_LIMIT_GROUP_H
#define GATE_LIMIT_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/compiled.h"
#include "gate/shared_limit.h"
#include "table/limit.h"

#define LIMIT_GROUP_MAX 16u

struct gate;

/* Filled from index 0: first those that enforce, each part in the order of the configuration, as
 * everyone asks (limit_take_all). */
struct limit_group {
    struct shared_key key[LIMIT_GROUP_MAX]; /* fingerprint 0: not shared */
    struct shared_look look[LIMIT_GROUP_MAX];
    struct limit_ask ask[LIMIT_GROUP_MAX];
    const struct conf_rate_limit *conf[LIMIT_GROUP_MAX];
    unsigned n, enforced;
};

/* Takes from all that enforce, or from none. */
bool limit_group_take(struct gate *g, struct limit_group *s, uint64_t now_ns);
/* Asks number i, which only watches, about a request that was admitted. */
bool limit_group_watch(struct gate *g, struct limit_group *s, unsigned i, uint64_t now_ns);

#endif
