/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Limits that several hosts share, in a worker: a table of the keys it has seen of late
 * (shared_entry.h), and the calls to Redis about them (redis/redis.h).
 *
 * A request never waits: it is decided by what is known, and what there is to ask is noted and sent
 * at the end of the loop's turn, one call for each key however many requests it had. The table is
 * the worker's own memory: killed, its leases are lost (Redis gives them out again as time passes),
 * and so is what it owed.
 *
 * How much too many? With Redis answering, in any time t all hosts together admit at most
 *
 *     burst + rate * t + what was admitted on a worker's own word and is not charged yet
 *
 * and the last term is at most what each host's own bucket gives while a call is on its way (5 ms
 * between two calls, the budget, and 8 ms between two looks at the clock); of a key that was idle
 * that may be a burst for each host. It is charged in full afterwards. Without Redis each host
 * keeps to its own bucket: hosts * (burst + rate * t).
 */
#ifndef GATE_SHARED_LIMIT_H
#define GATE_SHARED_LIMIT_H

#include "gate/shared_entry.h"

struct conf_root;
struct shared_limits;

/* What a request is about. */
struct shared_key {
    uint64_t fingerprint; /* of limit and key, the same on every host; not 0 */
    struct slice limit;   /* its name */
    uint32_t stat, lease; /* of conf_rate_limit */
};

/* A key on its way through the phase. */
struct shared_look {
    struct shared_entry *entry; /* NULL: the table has no place, the host decides alone */
    enum shared_verdict verdict;
};

/* NULL when memory is out. */
struct shared_limits *shared_limits_new(struct loop *l, struct metric_block *metrics);
/* Takes the servers of a configuration into use; nothing is connected while no limit is shared.
 * False when memory is out: the servers before stay. */
bool shared_limits_update(struct shared_limits *t, const struct conf_root *root)
    __attribute__((warn_unused_result));
void shared_limits_free(struct shared_limits **t);

/* May it? Fills in a->allowed, a->wait and a->debt when not. Takes nothing; asks ahead of need. */
bool shared_limits_look(struct shared_limits *t, const struct shared_key *k, struct limit_ask *a,
                        uint64_t now_ns, struct shared_look *out);
/* The request is admitted: takes. a->debt becomes that of the fuller of both buckets. */
void shared_limits_take(struct shared_limits *t, const struct shared_key *k, struct limit_ask *a,
                        uint64_t now_ns, const struct shared_look *look);

#endif
