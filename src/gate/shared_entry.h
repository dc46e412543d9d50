/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One key of a shared limit as one worker sees it. Decides without asking anybody; what to ask
 * Redis, and what its answer changes, is arithmetic here, too. No I/O: time is a parameter.
 *
 * Redis holds the bucket as one theoretical arrival time (table/limit.h explains GCRA), in its own
 * time. A worker holds
 *
 *   lease[2]   stretches of that time which Redis charged for it as a block; spent by the same rule
 *              as a bucket (table/lease.c), so what is not spent in its time is gone, and the bound
 *              of the bucket holds with leases outstanding. [1] was asked for ahead of need.
 *   tat        an image of the bucket: as Redis said last, and what was admitted since without it
 *   hard       debt: admitted without a lease, charged in full with the next call, also beyond an
 *              empty bucket, so that it is paid back by later refusals
 *   soft       debt of times without Redis, and of calls whose fate is unknown: charged as far as
 *              the bucket goes, so that a dead hour costs at most one burst afterwards
 *
 *   a request:   lease?            LEASED        spends it
 *                on hold?          DENIED        Redis has just said that nothing is left
 *                image says yes?   OPTIMISTIC    admitted, owed
 *                                  DENIED        with the time until the image says yes
 *
 * Hold: when an answer leaves the bucket empty, all that flows back belongs to whoever asks first.
 * Until the next answer is due (`due_ns`, and a budget for its way) nothing is admitted on the
 * image's word, or each worker would admit the whole rate for as long as an answer takes. Where
 * Redis does not answer the hold passes by itself.
 *
 * Clocks: a lease ends so long after the call was *sent* as Redis says that its end is ahead of its
 * own now: never too late. The image is taken at the time of the answer: never too early.
 */
#ifndef GATE_SHARED_ENTRY_H
#define GATE_SHARED_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "redis/redis.h"
#include "table/limit.h"

#define SHARED_NAME_MAX 49u /* a limit's name with its NUL */
#define SHARED_HORIZON_NS                                                                          \
    (20 * UINT64_C(1000000)) /* what is used in this time is asked for at once */
#define SHARED_KEEP_NS (100 * UINT64_C(1000000)) /* of the rate, that a worker keeps at most */
#define SHARED_PACE_NS (5 * UINT64_C(1000000))   /* between two calls for a key */

enum shared_verdict { SHARED_DENIED, SHARED_LEASED, SHARED_OPTIMISTIC };

struct shared_stretch {
    uint64_t spent, end; /* ticks of our clock; spent >= end: nothing */
};

struct shared_entry {
    struct redis_call call;
    struct list owing;    /* on shared_limits.owing while it wants to ask */
    uint64_t fingerprint; /* the same on every host; 0: the place is free */
    uint64_t tat;         /* ticks */
    struct shared_stretch lease[2];
    uint64_t interval, capacity; /* ticks, of the limit when it was last asked about */
    uint64_t hard, soft;         /* ticks, not yet sent */
    uint64_t sent_hard, sent_soft, sent_interval;
    uint64_t asked_ns; /* last call; 0: none yet */
    uint64_t due_ns;   /* no call before */
    uint64_t hold_ns;  /* until then */
    uint64_t used_ns;  /* last request */
    uint32_t demand;   /* tokens wanted since the last call */
    uint32_t cost;     /* tokens of a request */
    uint32_t most;     /* tokens of a lease; 0: by demand */
    uint32_t block;    /* of the last lease */
    uint32_t stat;     /* of the limit's counters */
    bool in_flight;
    char name[SHARED_NAME_MAX]; /* of the limit */
};

/* What is told to Redis: microseconds and tokens. */
struct shared_question {
    double interval_us, capacity_us;
    uint64_t hard_us, soft_us;
    uint32_t want, least;
};

struct shared_reply {
    uint32_t tokens;   /* of the lease */
    uint64_t ahead_us; /* from Redis' now to the bucket's time: the end of the lease */
    uint64_t wait_us;  /* until `least` tokens would be there; 0: they are */
};

/* May a request have a->charge? *wait: ticks until it might, when not. Counts demand. */
enum shared_verdict shared_entry_look(struct shared_entry *e, const struct limit_ask *a,
                                      uint64_t now_ns, uint64_t *wait);
/* It was admitted after all. alone: no answer is to be expected. */
void shared_entry_take(struct shared_entry *e, const struct limit_ask *a,
                       enum shared_verdict verdict, bool alone, uint64_t now_ns);
/* Is it time to ask? */
bool shared_entry_wants(const struct shared_entry *e, enum shared_verdict verdict, uint64_t now_ns);
/* Moves its debts into the question. */
void shared_entry_ask(struct shared_entry *e, uint64_t now_ns, struct shared_question *q);
void shared_entry_answer(struct shared_entry *e, const struct shared_reply *r, uint64_t sent_ns,
                         uint64_t now_ns, uint64_t budget_ns);
/* run_again: it was certainly not run. Otherwise its debts become soft. */
void shared_entry_failed(struct shared_entry *e, bool run_again, uint64_t now_ns);
/* There is nobody to ask: hard debt becomes soft. */
void shared_entry_alone(struct shared_entry *e);
/* Ticks from now to the bucket's time, as far as is known. */
uint64_t shared_entry_ahead(const struct shared_entry *e, uint64_t now_ns);

#endif
