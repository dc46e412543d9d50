/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The limit zone: rate limits that all workers share and that nobody's death bends.
 *
 * A bucket is one time: the theoretical arrival time (TAT) of GCRA (ITU-T I.371), in ticks of 1/16
 * ns of CLOCK_MONOTONIC. A rate of one token in `interval` ticks with a burst of `capacity` ticks
 * admits a request of charge c (tokens * interval) at time now when
 *
 *     max(TAT, now) + c - now <= capacity        and then TAT = max(TAT, now) + c
 *
 *      now            TAT                    now + capacity
 *   ----+--------------+------------------------+-------->
 *       |<--- debt --->|<-- what can be taken ->|
 *
 * So in any window of length t at most (capacity + t) / interval tokens are admitted. `interval` is
 * rounded up to a tick: a rate is never exceeded, and at 1,000,000/s at most 0.006 % short. 64 bits
 * of ticks last 36 years of uptime.
 *
 *   header | overflow[256] | lease slab of worker 0 .. 63 | set 0 | set 1 | ... | set 2^n - 1
 *
 *   set:  8 entries of { fingerprint, TAT }, 128 bytes      empty: { 0, any }
 *
 * A key is its 64-bit fingerprint; its upper bits choose the set. A TAT that lies in the past says
 * the same as no entry (the bucket is full), so the place of an expired entry can be taken without
 * losing anything. It is taken only LIMIT_GRACE_NS later, because a worker may have been stopped
 * between its look at the clock and here: with an old `now` an entry admits less, but where the
 * entry is gone it would be charged in the past. When all eight entries of a set are live, keys
 * that are not in it share one bucket of their limit (`overflow`, counted by the caller): no live
 * bucket is ever forgotten, and keys beyond the table get together what one key gets.
 *
 * Writers: every worker. An entry changes by one 128-bit compare-and-swap of {fingerprint, TAT}, so
 * a charge can never land on a key that has just replaced another. Killed before it, nothing has
 * happened; killed behind it, a token is spent that nobody was admitted for.
 *
 * Invariants (tests/proc/kill_limit.c, tests/unit/table/test_limit.c):
 *   1. What was admitted is in a TAT (or expired) before anyone is told.
 *   2. Every value of an entry is legal; there is nothing to repair after a death.
 *   3. At most one entry holds a fingerprint, however many workers insert it at once and wherever
 *      they are stopped or killed (limit.c).
 *
 * When the rate of a limit changes, TATs stay: the debt in *time* is kept, capped by the new
 * capacity. A bucket that was full is full, an empty one is empty, and one in between needs as long
 * as before to fill up, but never longer than an empty bucket needs at the new rate.
 */
#ifndef TABLE_LIMIT_H
#define TABLE_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/control.h"
#include "shm/zone.h"

#define LIMIT_LAYOUT       2u
#define LIMIT_WAYS         8u
#define LIMIT_OVERFLOWS    256u /* one shared bucket for each limit's index */
#define LIMIT_LEASES       64u  /* lines of a worker's slab */
#define LIMIT_TICKS_PER_NS 16u
#define LIMIT_GRACE_NS     UINT64_C(100000000)
/* Set in what stands where a key is being inserted. The upper 28 bits choose the set and the lower
 * ones lines elsewhere, so the bit is one of those that only tell keys apart. */
#define LIMIT_CLAIM       (UINT64_C(1) << 32)
#define LIMIT_TICKET_BITS 24u /* of the ticks of a millisecond */

struct limit_entry {
    _Alignas(16) _Atomic uint64_t fingerprint; /* 0: empty; with LIMIT_CLAIM: a claim */
    _Atomic uint64_t tat;                      /* ticks; of a claim: its ticket */
};
_Static_assert(sizeof(struct limit_entry) == 16, "swapped as one");

struct limit_set {
    _Alignas(SHM_LINE) struct limit_entry way[LIMIT_WAYS];
};
_Static_assert(sizeof(struct limit_set) == SHM_LINE, "one line pair, shared with no other set");

/*
 * A lease: the stretch of time (spent, end] of a bucket that was charged to the shared TAT as a
 * block and is this worker's to spend (lease.c). Single writer. Killed, it is there for the
 * successor in the slot.
 */
struct limit_lease {
    _Alignas(64) _Atomic uint64_t fingerprint; /* 0: none */
    _Atomic uint64_t spent;                    /* ticks; a TAT of its own */
    _Atomic uint64_t end;                      /* ticks; spent >= end: nothing is left */
    _Atomic uint64_t interval;                 /* of the rate it was taken for */
    uint32_t heat;                             /* takes of late; hints, like all below */
    uint32_t uses;                             /* takes served by the lease */
};
_Static_assert(sizeof(struct limit_lease) == 64, "a line");

struct limit_slab {
    _Alignas(SHM_LINE) struct limit_lease line[LIMIT_LEASES];
};

struct limit_overflow {
    _Alignas(SHM_LINE) _Atomic uint64_t tat;
};

struct limit_zone {
    struct zone_header head;
    uint64_t seed;     /* of fingerprints: nobody outside can aim at a set */
    uint32_t set_bits; /* 1 to 28 */
    struct limit_overflow overflow[LIMIT_OVERFLOWS];
    struct limit_slab slab[CONTROL_WORKERS];
    struct limit_set set[]; /* 1 << set_bits */
};
_Static_assert(offsetof(struct limit_zone, overflow) % SHM_LINE == 0, "lines of their own");
_Static_assert(offsetof(struct limit_zone, set) % SHM_LINE == 0, "lines of their own");

/* What is asked of one bucket, and what came of it. */
struct limit_ask {
    uint64_t fingerprint; /* limit_fingerprint */
    uint64_t interval;    /* ticks a token, at least 1 */
    uint64_t capacity;    /* ticks: burst * interval */
    uint64_t charge;      /* ticks: cost * interval; above capacity it is never admitted */
    uint32_t overflow;    /* the limit's index, below LIMIT_OVERFLOWS */
    /* Results. */
    bool allowed;
    bool overflowed; /* decided by the limit's shared bucket: the set was full of live keys */
    bool leased;     /* taken from the worker's lease */
    uint64_t debt;   /* ticks from now to the TAT; of a lease an upper bound */
    uint64_t wait;   /* denied: ticks until it would be admitted if nobody else comes */
    uint64_t tat;    /* ticks, where the TAT was put; for limit_refund */
};

size_t limit_zone_size(uint32_t set_bits);
/* Master, once, after zone_create. */
void limit_zone_init(struct limit_zone *z, uint32_t set_bits, uint64_t seed);

/* The fingerprint of a hash over the limit's identity and its key; never 0 or with LIMIT_CLAIM. */
uint64_t limit_fingerprint(uint64_t hash);

/* ceil(period / tokens), in ticks; 0 where the product does not fit. */
uint64_t limit_interval(uint64_t tokens, uint64_t period_ns);

/*
 * One bucket, strictly: takes charge or nothing. now_ns is CLOCK_MONOTONIC, read just before:
 * the bounds hold for the times that are given. Returns a->allowed.
 */
bool limit_take(struct limit_zone *z, struct limit_ask *a, uint64_t now_ns);
/* What limit_take would answer, without writing anything: any process, for any configuration. */
bool limit_look(const struct limit_zone *z, struct limit_ask *a, uint64_t now_ns);
/* The same for one who decides by it: a debt from before the rate was raised is cut, as limit_take
 * does. */
bool limit_peek(struct limit_zone *z, struct limit_ask *a, uint64_t now_ns);
/*
 * Gives back what an admitted limit_take took, if nobody took from the bucket since: only then is
 * it certain that no lease lies on top of it, whose place in time would be given away twice. False:
 * it stays spent.
 */
bool limit_refund(struct limit_zone *z, const struct limit_ask *a);

/* lease.c -------------------------------------------------------------------------------------- */

/* A worker's way to the zone. */
struct limit_worker {
    struct limit_zone *zone;
    struct limit_slab *slab; /* its own; NULL: no leases */
    unsigned workers;        /* that may hold leases: a block is a fair part */
};

/* As limit_take, from a lease where the key is hot. Its workers may hold back at most half of the
 * burst; near the limit every token is taken strictly. */
bool limit_lease_take(struct limit_worker *w, struct limit_ask *a, uint64_t now_ns);
/*
 * All of them or none, in the order given; the same order for everyone who asks, so that two who
 * want the same last tokens do not both go without. Where one denies, `allowed` of the others says
 * what they would have answered, and nothing stays taken: they are looked at first, and where
 * another worker was faster in between, what was taken is given back (limit_refund).
 */
bool limit_take_all(struct limit_worker *w, struct limit_ask *asks, unsigned n, uint64_t now_ns);
/* Tokens of the bucket that workers 0 .. workers-1 hold in leases, and which none but they can
 * spend. Any process. */
uint64_t limit_leased(const struct limit_zone *z, unsigned workers, const struct limit_ask *a,
                      uint64_t now_ns);
/* Gives all leases back: at the end of a worker. */
void limit_lease_release(struct limit_worker *w, uint64_t now_ns);

#endif
