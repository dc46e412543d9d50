/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A run: buyers arrive (open loop: at their times, whatever the answers do), each lives through its
 * purchase, and at the end every outcome that is still unknown is settled by asking again with the
 * same key.
 *
 *   CREATE -> ARRIVE -> DRAIN -> SETTLE -> MOP_UP -> SETTLE_LAST -> DONE
 *
 * MOP_UP (with --until-sold-out): buyers of one unit each take what cancellations have freed.
 */
#ifndef STAMPEDE_CROWD_H
#define STAMPEDE_CROWD_H

#include <stdbool.h>
#include <stdint.h>

#include "acks.h"
#include "create.h"
#include "net/loop.h"
#include "options.h"
#include "tally.h"
#include "wire.h"

enum stage {
    STAGE_CREATE,
    STAGE_ARRIVE,
    STAGE_DRAIN,
    STAGE_SETTLE,
    STAGE_MOP_UP,
    STAGE_SETTLE_LAST,
    STAGE_DONE
};

struct event;

struct crowd {
    const struct options *o; /* borrowed */
    struct loop loop;
    struct wire wire;
    struct acks acks;
    struct tally tally;
    enum stage stage;
    char run[12]; /* prefix of buyers' names and keys, so that runs do not meet */
    uint64_t rng;
    uint64_t next_order; /* number of the next key */
    struct list live;    /* of purchase.node: a request or a timer is outstanding */
    unsigned live_n;
    struct list pending;   /* of purchase.node: unknown outcome, nothing outstanding */
    struct list free;      /* of purchase.node: to be used again */
    struct event *arrival; /* owned; on arrival_fd */
    int arrival_fd;        /* timerfd, owned: a due arrival must not wait for a millisecond tick */
    uint64_t next_arrival_ns;
    uint64_t stop_ns; /* when arrivals end at the latest */
    uint64_t settle_end_ns;
    uint64_t sold_out_ns; /* when one unit was refused as sold out; 0: not yet */
    bool gave_up_settling;
    struct loop_timer tick;
    struct create create;
};

/* Runs to the end. Dies when the event cannot be created. */
void crowd_init(struct crowd *c, const struct options *o);
void crowd_run(struct crowd *c);
void crowd_fini(struct crowd *c);

/* A uniformly distributed number in [0, 1). */
double crowd_random(struct crowd *c);

#endif
