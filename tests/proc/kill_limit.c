/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker, killed at any instruction of what it does to the limit zone. Whatever the instruction:
 * who was admitted is charged, what is charged without an admission is at most what the worker was
 * about to take (one request, one block of a lease), and the others go on as if nothing were.
 */
#include "config.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "killstep.h"
#include "table/limit.h"

#define SET_BITS    1u
#define NOW         (UINT64_C(500) * 86400 * NS_PER_S)
#define AHEAD       (NOW + 8) /* the clock of a worker that looked at it a little later */
#define STEP_BUDGET 60000
#define KEY         UINT64_C(4242)
#define OTHER       UINT64_C(4343)

struct shared {
    _Atomic uint64_t admitted,
        admitted_other; /* stored after the call says so, as an answer is sent */
    uint64_t before;    /* admitted by reset, and by others meanwhile */
    struct limit_zone zone;
};

#define SIZE                                                                                       \
    (offsetof(struct shared, zone) + sizeof(struct limit_zone) + 2 * sizeof(struct limit_set))

static struct limit_ask ask(uint64_t fp, uint64_t burst)
{
    uint64_t interval = limit_interval(1, NS_PER_S);

    return (struct limit_ask){
        .fingerprint = fp, .interval = interval, .capacity = burst * interval, .charge = interval};
}

static struct limit_worker worker(struct shared *s, unsigned slot)
{
    return (struct limit_worker){&s->zone, &s->zone.slab[slot], 2};
}

static struct shared *fresh(void *memory)
{
    struct shared *s = memory;

    memset(memory, 0, SIZE);
    limit_zone_init(&s->zone, SET_BITS, 1);
    return s;
}

static bool say(bool held, const char *what)
{
    if (!held)
        fprintf(stderr, "kill_limit: %s\n", what);
    return held;
}

static uint64_t drain(struct shared *s, uint64_t fp, uint64_t burst)
{
    uint64_t n = 0;

    for (struct limit_ask a = ask(fp, burst); limit_take(&s->zone, &a, AHEAD); n++)
        ;
    return n;
}

static unsigned holders(const struct shared *s, uint64_t fp)
{
    unsigned n = 0;

    for (unsigned i = 0; i < LIMIT_WAYS; i++)
        n += s->zone.set[0].way[i].fingerprint == fp;
    return n;
}

/* Of `burst`, after the section and what others can take now: all but at most `lost`. */
static bool adds_up(struct shared *s, uint64_t fp, uint64_t admitted, uint64_t burst, uint64_t lost)
{
    uint64_t all = s->before + admitted + drain(s, fp, burst);

    bool ok = say(all <= burst, "more than the burst was admitted");

    ok &= say(all + lost >= burst, "more was lost than one request or block");
    ok &= say(holders(s, fp) <= 1, "a key is there twice");
    return ok;
}

/* --- a key that is there --- */

static void reset_take(void *m)
{
    struct shared *s = fresh(m);
    struct limit_ask a = ask(KEY, 5);

    s->before = limit_take(&s->zone, &a, NOW);
}

static void section_take(void *m)
{
    struct shared *s = m;
    struct limit_ask a = ask(KEY, 5);

    if (limit_take(&s->zone, &a, NOW))
        s->admitted = 1;
}

static bool holds_take(void *m, bool finished)
{
    struct shared *s = m;

    bool ok = say(!finished || s->admitted == 1, "not admitted");

    ok &= adds_up(s, KEY, s->admitted, 5, finished ? 0 : 1);
    return ok;
}

/* --- in the place of an expired key, all others live --- */

static void reset_insert(void *m)
{
    struct shared *s = fresh(m);

    for (unsigned i = 0; i < LIMIT_WAYS; i++) {
        s->zone.set[0].way[i].fingerprint = 100 + i;
        s->zone.set[0].way[i].tat = (NOW + NS_PER_S) * LIMIT_TICKS_PER_NS;
    }
    s->zone.set[0].way[3].tat = (NOW - NS_PER_S) * LIMIT_TICKS_PER_NS;
}

static bool holds_insert(void *m, bool finished)
{
    struct shared *s = m;
    bool ok = holds_take(m, finished);

    for (unsigned i = 0; i < LIMIT_WAYS; i++)
        ok &= say(i == 3 || (s->zone.set[0].way[i].fingerprint == 100 + i &&
                             s->zone.set[0].way[i].tat == (NOW + NS_PER_S) * LIMIT_TICKS_PER_NS),
                  "a live key was touched");
    return ok;
}

/* --- two insert one key at once, in two places --- */

/* To the worker whose clock is ahead the first place is free, to the others the sixth. */
static void reset_race(void *m)
{
    struct shared *s = m;

    reset_insert(m);
    s->zone.set[0].way[3].tat = (NOW + NS_PER_S) * LIMIT_TICKS_PER_NS;
    s->zone.set[0].way[0].tat = (AHEAD - LIMIT_GRACE_NS) * LIMIT_TICKS_PER_NS;
    s->zone.set[0].way[5].tat = (NOW - NS_PER_S) * LIMIT_TICKS_PER_NS;
}

static void section_race(void *m)
{
    struct shared *s = m;
    struct limit_ask a = ask(KEY, 5);

    if (limit_take(&s->zone, &a, AHEAD))
        s->admitted = 1;
}

/* Three, by another worker. */
static void others_race(void *m)
{
    struct shared *s = m;
    struct limit_ask a = ask(KEY, 5);

    for (unsigned i = 0; i < 3; i++)
        s->before += limit_take(&s->zone, &a, NOW);
}

static bool holds_race(void *m, bool finished)
{
    struct shared *s = m;

    return adds_up(s, KEY, s->admitted, 5, finished ? 0 : 1);
}

/* --- no place: the limit's shared bucket --- */

static void reset_overflow(void *m)
{
    struct shared *s = m;

    reset_insert(m);
    s->zone.set[0].way[3].tat = (NOW + NS_PER_S) * LIMIT_TICKS_PER_NS;
}

/* --- a lease: taken, spent until it is used up --- */

#define LEASE_BURST 100u

static void reset_lease(void *m)
{
    struct shared *s = fresh(m);
    struct limit_worker w = worker(s, 0);

    /* One take short of hot. */
    for (unsigned i = 0; i < 15; i++) {
        struct limit_ask a = ask(KEY, LEASE_BURST);
        s->before += limit_lease_take(&w, &a, NOW);
    }
}

static void section_lease(void *m)
{
    struct shared *s = m;
    struct limit_worker w = worker(s, 0);

    for (unsigned i = 0; i < 12; i++) {
        struct limit_ask a = ask(KEY, LEASE_BURST);
        if (limit_lease_take(&w, &a, NOW))
            s->admitted++;
    }
}

static bool holds_lease(void *m, bool finished)
{
    struct shared *s = m;
    struct limit_worker w = worker(s, 0);
    uint64_t successor = 0;
    struct limit_ask a = ask(KEY, LEASE_BURST);

    (void)finished;
    while (limit_lease_take(&w, &a, NOW))
        successor++;
    return adds_up(s, KEY, s->admitted + successor, LEASE_BURST, finished ? 0 : 9);
}

/* --- a lease given back --- */

static void reset_release(void *m)
{
    struct shared *s = m;
    uint64_t before;

    reset_lease(m);
    before = s->before;
    section_lease(m);
    s->before = before + s->admitted;
    s->admitted = 0;
}

static void section_release(void *m)
{
    struct shared *s = m;
    struct limit_worker w = worker(s, 0);

    limit_lease_release(&w, NOW);
}

/* --- two limits at once --- */

static void reset_all(void *m)
{
    fresh(m);
}

static void section_all(void *m)
{
    struct shared *s = m;
    struct limit_worker w = worker(s, 0);
    struct limit_ask asks[2] = {ask(KEY, 5), ask(OTHER, 3)};

    if (limit_take_all(&w, asks, 2, NOW))
        s->admitted = 1;
}

static bool holds_all(void *m, bool finished)
{
    struct shared *s = m;
    uint64_t lost = finished ? 0 : 1;

    bool ok = adds_up(s, KEY, s->admitted, 5, lost);

    ok &= adds_up(s, OTHER, s->admitted, 3, lost);
    return ok;
}

/* --- given back --- */

static void section_refund(void *m)
{
    struct shared *s = m;
    struct limit_ask a = ask(KEY, 5);

    a.allowed = true;
    a.tat = s->zone.set[0].way[0].tat;
    s->before = 0; /* nobody was told yes */
    limit_refund(&s->zone, &a);
}

static bool holds_take_back(void *m, bool finished)
{
    struct shared *s = m;

    s->before = 0;
    return adds_up(s, KEY, 0, 5, finished ? 0 : 1);
}

/* --- claims that killed workers left --- */

static void reset_claims(void *m)
{
    struct shared *s = m;

    reset_race(m);
    for (unsigned i = 1; i < LIMIT_WAYS; i += 4) {
        s->zone.set[0].way[i].fingerprint = KEY | LIMIT_CLAIM;
        s->zone.set[0].way[i].tat = NOW * LIMIT_TICKS_PER_NS + i;
    }
}

static bool holds_claims(void *m, bool finished)
{
    struct shared *s = m;

    return holds_take(m, finished) &
           say(holders(s, KEY | LIMIT_CLAIM) == 0, "a claim outlives the entry");
}

/* --- two limits at once, and the second has too little left: the first is given back --- */

/* Of one key, so that the look ahead finds room for each and the second take none. */
static void reset_all_refused(void *m)
{
    struct shared *s = fresh(m);
    struct limit_ask a = ask(KEY, 5);

    while (s->before < 4 && limit_take(&s->zone, &a, NOW))
        s->before++;
}

static void section_all_refused(void *m)
{
    struct shared *s = m;
    struct limit_worker w = worker(s, 0);
    struct limit_ask asks[2] = {ask(KEY, 5), ask(KEY, 5)};

    if (limit_take_all(&w, asks, 2, NOW))
        s->admitted = 1;
}

static bool holds_all_refused(void *m, bool finished)
{
    struct shared *s = m;

    return say(s->admitted == 0, "admitted beyond the burst") &
           adds_up(s, KEY, 0, 5, finished ? 0 : 1);
}

/* --- the limit was raised: a debt beyond that of an empty bucket is capped --- */

static void reset_raised(void *m)
{
    struct shared *s = fresh(m);

    s->zone.set[0].way[2].fingerprint = KEY;
    s->zone.set[0].way[2].tat = (NOW + 3600 * NS_PER_S) * LIMIT_TICKS_PER_NS;
}

static void section_raised(void *m)
{
    struct shared *s = m;
    struct limit_ask a = ask(KEY, 5);

    if (limit_take(&s->zone, &a, NOW))
        s->admitted = 1;
}

static bool holds_raised(void *m, bool finished)
{
    struct shared *s = m;
    uint64_t tat = s->zone.set[0].way[2].tat / LIMIT_TICKS_PER_NS;

    return say(s->admitted == 0, "an empty bucket gave something") &
           say(tat == NOW + 5 * NS_PER_S || (!finished && tat == NOW + 3600 * NS_PER_S),
               "a debt that is neither the old nor the capped one") &
           say(holders(s, KEY) == 1, "the key is there twice or not at all");
}

/* --- given back to the shared bucket --- */

static void reset_overflow_refund(void *m)
{
    struct shared *s = m;
    struct limit_ask a = ask(KEY, 5);

    reset_overflow(m);
    while (s->before < 2 && limit_take(&s->zone, &a, NOW))
        s->before++;
}

static void section_overflow_refund(void *m)
{
    struct shared *s = m;
    struct limit_ask a = ask(KEY, 5);

    if (limit_take(&s->zone, &a, NOW))
        limit_refund(&s->zone, &a);
}

static bool holds_overflow_refund(void *m, bool finished)
{
    struct shared *s = m;
    uint64_t all = s->before + drain(s, KEY, 5);

    return say(all <= 5 && all + (finished ? 0 : 1) >= 5, "the shared bucket does not add up");
}

static bool holds_overflow(void *m, bool finished)
{
    struct shared *s = m;
    uint64_t all = s->admitted + drain(s, KEY, 5);
    bool ok = say(all <= 5 && all + (finished ? 0 : 1) >= 5, "the shared bucket does not add up");

    for (unsigned i = 0; i < LIMIT_WAYS; i++)
        ok &= say(s->zone.set[0].way[i].fingerprint == 100 + i, "a live key was evicted");
    return ok;
}

static const struct kill_case cases[] = {
    {"limit_take", reset_take, section_take, holds_take},
    {"limit_take, inserting", reset_insert, section_take, holds_insert},
    {"limit_take, full set", reset_overflow, section_take, holds_overflow},
    {"limit_lease_take", reset_lease, section_lease, holds_lease},
    {"limit_lease_release", reset_release, section_release, holds_lease},
    {"limit_take_all", reset_all, section_all, holds_all},
    {"limit_refund", reset_take, section_refund, holds_take_back},
    {"limit_take_all, refused", reset_all_refused, section_all_refused, holds_all_refused},
    {"limit_take, raised limit", reset_raised, section_raised, holds_raised},
    {"limit_refund, full set", reset_overflow_refund, section_overflow_refund,
     holds_overflow_refund},
    {"limit_take, beside claims", reset_claims, section_take, holds_claims},
};

/* Stopped, others at work, stopped again. */
static const struct kill_case beside[] = {
    {"limit_take, inserting beside others", reset_race, section_race, holds_race},
    {"limit_take, beside claims and others", reset_claims, section_race, holds_race},
};

int main(void)
{
    void *memory = kill_memory(SIZE);
    int rc = kill_all(cases, sizeof cases / sizeof *cases, memory, SIZE, STEP_BUDGET);

    for (unsigned i = 0; rc == 0 && i < sizeof beside / sizeof *beside; i++) {
        struct kill_report r;
        rc = kill_beside(&beside[i], others_race, memory, SIZE, STEP_BUDGET / 4, &r);
        printf("%s: %lu instructions, %lu checked with others at work\n", beside[i].name,
               r.instructions, r.paused);
    }
    return rc;
}
