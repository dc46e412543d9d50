/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A zone is made, and handed over to a new binary. The new master is killed at any instruction
 * while it opens its zones, of which it takes the limit zone over; a worker of the new binary,
 * while it takes tokens with a lease in its half of the slabs and gives the lease back. Whatever
 * the instruction: the zone is whole, the workers of the old binary admit as before, together no
 * more than the burst, and another new binary can attach the zone.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "killstep.h"
#include "proc/master.h"
#include "shm/zone.h"

#define STEP_BUDGET 60000
#define NOW         (UINT64_C(500) * 86400 * NS_PER_S)
#define KEY         UINT64_C(4242)
#define BURST       400u
#define BLOCK_MOST  50u /* a quarter of the upper half: what one of two workers leases at once */
#define TAKES       10u

/* What the parent keeps beside the zone; on shared memory, since sections count there. */
struct shared {
    _Atomic uint64_t admitted; /* by the new binary's worker */
    _Atomic uint64_t opened;   /* by the new master, with the zone inherited */
};

static const struct conf_process settings = {.limit_table_bytes = 1u << 20,
                                             .idempotency_remember_ms = 1000};
static struct zone limits;              /* the old master's */
static uint64_t before;                 /* admitted by the old workers */
static uint64_t seed;                   /* of the zone, as it was made */
static struct limit_lease lease_before; /* of the old worker */

static bool say(bool held, const char *what)
{
    if (!held)
        fprintf(stderr, "kill_zone: %s\n", what);
    return held;
}

static struct limit_zone *zone(void)
{
    return (struct limit_zone *)(void *)limits.head;
}

static struct limit_ask ask(void)
{
    uint64_t interval = limit_interval(1, NS_PER_S);

    return (struct limit_ask){
        .fingerprint = KEY, .interval = interval, .capacity = BURST * interval, .charge = interval};
}

static struct limit_worker worker(struct limit_slab *slab)
{
    return (struct limit_worker){zone(), slab, 2};
}

/* The slab of the first worker of a binary in this half. */
static struct limit_slab *slabs[2];

static void find_slabs(void)
{
    for (unsigned half = 0; half < 2; half++) {
        struct master m = {.limits = zone(), .half = half};
        slabs[half] = zones_slab(&m, 0);
    }
}

static uint64_t take(unsigned half, unsigned tries)
{
    struct limit_worker w = worker(slabs[half]);
    uint64_t n = 0;

    for (unsigned i = 0; i < tries; i++) {
        struct limit_ask a = ask();
        n += limit_lease_take(&w, &a, NOW);
    }
    return n;
}

/* --- attaching: what a new master does with what it is handed --- */

static void reset(void *memory)
{
    struct limit_set *set;

    memset(memory, 0, sizeof(struct shared));
    memset(zone()->slab, 0, sizeof zone()->slab);
    set = (struct limit_set *)&zone()->set[KEY >> (64 - zone()->set_bits)];
    memset(set, 0, sizeof *set);
    before = take(0, 20); /* with a lease, at the end */
    lease_before = slabs[0]->line[KEY % LIMIT_LEASES];
}

/* Opened anew for each child, as over an exec: it owns what it was handed. */
static void attach(void *memory)
{
    struct shared *s = memory;
    struct handover from = {.zones_n = 1, .zones = {{.name = "limit", .fd = dup(limits.fd)}}};
    static struct master m;

    m.from = &from;
    m.process = &settings;
    m.half = 1;
    m.successor.channel = -1;
    zones_init(&m);
    if (zones_open(&m) == 0 && m.limits->seed == seed)
        s->opened = 1;
}

/* A third binary: the zone is what it was. */
static bool attaches(void)
{
    struct zone again;
    bool ok = zone_attach(&again, "limit", LIMIT_LAYOUT, dup(limits.fd), true) == 0;

    if (ok) {
        const struct limit_zone *z = (const struct limit_zone *)(const void *)again.head;
        ok = z->seed == seed;
        zone_close(&again);
    }
    return say(ok, "the zone cannot be attached");
}

static bool adds_up(uint64_t lost)
{
    uint64_t old = take(0, BURST), all;
    struct limit_worker w = worker(slabs[0]);

    limit_lease_release(&w, NOW);
    old += take(0, BURST);
    all = before + old;
    return say(all <= BURST, "more than the burst was admitted") &
           say(all + lost >= BURST, "more was lost than a block");
}

/* The parent's checks take from the zone, and attach changes nothing in it: taken back by reset. */
static bool holds_attach(void *memory, bool finished)
{
    struct shared *s = memory;
    struct limit_lease lease = slabs[0]->line[KEY % LIMIT_LEASES];
    struct limit_set *set = (struct limit_set *)&zone()->set[KEY >> (64 - zone()->set_bits)];
    struct limit_set was = *set;
    bool ok = say(!finished || s->opened == 1, "the zone was not taken over");

    ok &= attaches() & adds_up(0);
    *set = was;
    slabs[0]->line[KEY % LIMIT_LEASES] = lease;
    return ok;
}

/* --- a worker of the new binary beside those of the old one --- */

static void take_and_release(void *memory)
{
    struct shared *s = memory;
    struct limit_worker w = worker(slabs[1]);

    for (unsigned i = 0; i < 20 + TAKES; i++) {
        struct limit_ask a = ask();
        if (limit_lease_take(&w, &a, NOW))
            s->admitted++;
    }
    limit_lease_release(&w, NOW);
}

static bool holds_workers(void *memory, bool finished)
{
    struct shared *s = memory;
    struct limit_set *set = (struct limit_set *)&zone()->set[KEY >> (64 - zone()->set_bits)];
    struct limit_set set_was = *set;
    struct limit_lease was[2];
    uint64_t before_was = before;
    bool ok;

    for (unsigned h = 0; h < 2; h++)
        was[h] = slabs[h]->line[KEY % LIMIT_LEASES];
    ok = say(memcmp(&was[0], &lease_before, sizeof was[0]) == 0,
             "a lease of the other binary was touched");
    /* Its successor spends what it finds leased, then the old worker. */
    before += s->admitted + take(1, BURST);
    ok = ok & attaches() & adds_up(finished ? 0 : BLOCK_MOST);
    for (unsigned h = 0; h < 2; h++)
        slabs[h]->line[KEY % LIMIT_LEASES] = was[h];
    *set = set_was;
    before = before_was;
    return ok;
}

/* --- a zone that is made --- */

/* In the place of the zone's memory stands what the descriptor holds that the child made. */
static void create(void *memory)
{
    struct shared *s = memory;
    struct zone z;

    if (zone_create(&z, "limit", LIMIT_LAYOUT, 8192) == 0)
        s->opened = 1;
}

static bool holds_create(void *memory, bool finished)
{
    struct shared *s = memory;

    return say(!finished || s->opened == 1, "no zone was made") && attaches();
}

int main(void)
{
    static const struct kill_case cases[] = {
        {"zone_create", reset, create, holds_create},
        {"zones_open, the limit zone inherited", reset, attach, holds_attach},
        {"limit_lease_take, limit_lease_release, of both binaries", reset, take_and_release,
         holds_workers},
    };
    struct master old = {.process = &settings};
    void *memory = kill_memory(sizeof(struct shared));

    zones_init(&old);
    if (zones_open(&old) < 0)
        die("no zones");
    limits = old.limit_zone;
    seed = old.limits->seed;
    find_slabs();
    return kill_all(cases, sizeof cases / sizeof *cases, memory, sizeof(struct shared),
                    STEP_BUDGET);
}
