/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The limit table under randomized schedules: workers that insert one key at once, that take from
 * two limits or none, that lease a busy key, that share the bucket of a full set. Never is more
 * admitted than the burst, and nothing is lost but what a killed worker was about to take.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "schedule.h"
#include "table/limit.h"

#define NOW   (UINT64_C(500) * 86400 * NS_PER_S)
#define KEY   UINT64_C(4242)
#define OTHER UINT64_C(4343)

static struct limit_zone *zone;
static unsigned admitted[SCHEDULE_THREADS_MAX];

static struct limit_ask ask(uint64_t fp, uint64_t burst)
{
    uint64_t interval = limit_interval(1, NS_PER_S);

    return (struct limit_ask){
        .fingerprint = fp, .interval = interval, .capacity = burst * interval, .charge = interval};
}

static struct limit_worker worker(unsigned thread)
{
    return (struct limit_worker){zone, &zone->slab[thread], SCHEDULE_THREADS_MAX};
}

static bool say(bool held, const char *what)
{
    if (!held)
        fprintf(stderr, "schedule_limit: %s\n", what);
    return held;
}

static void reset(void)
{
    memset(zone, 0, limit_zone_size(1));
    limit_zone_init(zone, 1, 1);
    memset(admitted, 0, sizeof admitted);
}

static unsigned holders(uint64_t fp)
{
    unsigned n = 0;

    for (unsigned i = 0; i < LIMIT_WAYS; i++)
        n += zone->set[0].way[i].fingerprint == fp;
    return n;
}

/* What is left, with what was admitted: the burst but for at most `lost`. */
static bool adds_up(uint64_t fp, unsigned burst, unsigned lost)
{
    unsigned all = 0;

    for (unsigned i = 0; i < SCHEDULE_THREADS_MAX; i++)
        all += admitted[i];
    for (struct limit_ask a = ask(fp, burst); limit_take(zone, &a, NOW + 4);)
        all++;
    return say(all <= burst, "more than the burst was admitted") &
           say(all + lost >= burst, "more was lost than can be");
}

/* --- one key, inserted at once, into places that expire at that moment --- */

#define INSERTED 4u

/* To a worker whose clock is a little behind the others' an entry is live that they replace. */
static void reset_insert(void)
{
    reset();
    for (unsigned i = 0; i < LIMIT_WAYS; i++) {
        zone->set[0].way[i].fingerprint = 100 + i;
        zone->set[0].way[i].tat = (NOW - LIMIT_GRACE_NS + schedule_draw(4)) * LIMIT_TICKS_PER_NS;
    }
    zone->set[0].way[LIMIT_WAYS - 1].tat = 1;
}

static void insert(unsigned thread)
{
    uint64_t now = NOW + schedule_draw(4);

    for (unsigned i = 0; i < 2; i++) {
        struct limit_ask a = ask(KEY, INSERTED);
        admitted[thread] += limit_take(zone, &a, now);
    }
}

static bool holds_insert(bool killed)
{
    return say(killed || holders(KEY) == 1, "the key is not there once") &
           say(holders(KEY) <= 1, "the key is there twice") &
           adds_up(KEY, INSERTED, killed ? 1 : 0);
}

/* --- the same, and two that insert are stopped or killed while others take what they can --- */

static void insert_or_drain(unsigned thread)
{
    uint64_t now = NOW + schedule_draw(4);

    for (unsigned i = 0; i < (thread < 2 ? INSERTED : 1); i++) {
        struct limit_ask a = ask(KEY, INSERTED);
        admitted[thread] += limit_take(zone, &a, now);
    }
}

static bool holds_drain(bool killed)
{
    return say(holders(KEY) <= 1, "the key is there twice") &
           adds_up(KEY, INSERTED, killed ? 2 : 0);
}

/* --- two limits, all or nothing --- */

static void take_all(unsigned thread)
{
    struct limit_worker w = worker(thread);

    for (unsigned i = 0; i < 3; i++) {
        struct limit_ask asks[2] = {ask(KEY, 6), ask(OTHER, 4)};
        admitted[thread] += limit_take_all(&w, asks, 2, NOW);
    }
}

static bool holds_all(bool killed)
{
    (void)killed;
    /* What one gives back is lost when another has taken on top of it. */
    return adds_up(KEY, 6, 6) & adds_up(OTHER, 4, 4);
}

/* --- leases --- */

#define LEASED 120u
#define BLOCK  8u /* the most that the upper half of LEASED gives one of four */

static void lease(unsigned thread)
{
    struct limit_worker w = worker(thread);

    for (unsigned i = 0; i < 50; i++) {
        struct limit_ask a = ask(KEY, LEASED);
        admitted[thread] += limit_lease_take(&w, &a, NOW);
    }
}

static bool holds_lease(bool killed)
{
    unsigned lost = killed ? 1 : 0;

    /* Successors spend what the slabs have. */
    for (unsigned t = 0; t < 3; t++) {
        struct limit_worker w = worker(t);
        for (unsigned i = 0; i < LEASED; i++) {
            struct limit_ask a = ask(KEY, LEASED);
            admitted[t] += limit_lease_take(&w, &a, NOW);
        }
    }
    /* A lease that cools down is given back only if nobody took from the bucket meanwhile. */
    return adds_up(KEY, LEASED, 3 * BLOCK + lost * (BLOCK + 1));
}

/* --- a full set --- */

static void reset_full(void)
{
    reset();
    for (unsigned i = 0; i < LIMIT_WAYS; i++) {
        zone->set[0].way[i].fingerprint = 100 + i;
        zone->set[0].way[i].tat = (NOW + NS_PER_S) * LIMIT_TICKS_PER_NS;
    }
}

static void overflow(unsigned thread)
{
    for (unsigned i = 0; i < 3; i++) {
        struct limit_ask a = ask(KEY + thread, 6);
        admitted[thread] += limit_take(zone, &a, NOW);
    }
}

static bool holds_full(bool killed)
{
    for (unsigned i = 0; i < LIMIT_WAYS; i++)
        if (!say(zone->set[0].way[i].fingerprint == 100 + i, "a live key was evicted"))
            return false;
    return adds_up(KEY, 6, killed ? 1 : 0);
}

/* --- taken and given back --- */

static void refund(unsigned thread)
{
    for (unsigned i = 0; i < 3; i++) {
        struct limit_ask a = ask(KEY, 20);
        if (limit_take(zone, &a, NOW) && !limit_refund(zone, &a))
            admitted[thread]++; /* it stays charged */
    }
}

static bool holds_refund(bool killed)
{
    (void)killed;
    return adds_up(KEY, 20, killed ? 1 : 0);
}

int main(void)
{
    static const struct schedule_case cases[] = {
        {"limit_take, inserting", 3, reset_insert, insert, holds_insert, 1},
        {"limit_take, two inserting beside others", 4, reset_insert, insert_or_drain, holds_drain,
         2},
        {"limit_take_all", 3, reset, take_all, holds_all, 1},
        {"limit_lease_take", 3, reset, lease, holds_lease, 1},
        {"limit_take, full set", 3, reset_full, overflow, holds_full, 1},
        {"limit_refund", 3, reset, refund, holds_refund, 1},
    };

    zone = aligned_alloc(SHM_LINE, limit_zone_size(1));
    CHECK(zone != NULL);
    return schedule_all(cases, sizeof cases / sizeof *cases);
}
