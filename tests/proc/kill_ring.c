/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The access ring, its producer or its consumer killed at any instruction. A record is there whole
 * or not at all, what was there before stays, a successor goes on; a consumer may see a record
 * twice, never a wrong one. The records wrap around the end of the ring, where copies are split.
 */
#include <stdio.h>
#include <string.h>

#include "killstep.h"
#include "metric/access_ring.h"

#define STEP_BUDGET 300000             /* about 6 s: every n, in an optimised build */
#define START       (RING_BYTES - 200) /* the second record crosses the end */

static bool say(bool held, const char *what)
{
    if (!held)
        fprintf(stderr, "kill_ring: %s\n", what);
    return held;
}

static struct access_record record(unsigned n, char target[32])
{
    struct access_record rec = {.real_ns = n, .duration_ns = ~(uint64_t)n, .status = 200};

    snprintf(target, 32, "/record/%u", n);
    rec.target = slice_str(target);
    rec.route = SLICE_LIT("orders");
    return rec;
}

static bool put(struct access_ring *r, unsigned n)
{
    char target[32];
    struct access_record rec = record(n, target);

    return access_ring_put(r, &rec);
}

/* Takes one record: its number, 0 when the ring is empty, -1 when it is damaged. */
static int take(struct access_ring *r)
{
    char scratch[ACCESS_SCRATCH_BYTES], target[32];
    struct access_record rec;
    uint64_t bad = 0;

    if (!access_ring_take(r, &rec, scratch, &bad))
        return bad == 0 ? 0 : -1;
    snprintf(target, sizeof target, "/record/%u", (unsigned)rec.real_ns);
    if (rec.duration_ns != ~rec.real_ns || !slice_eq(rec.target, slice_str(target)) ||
        !slice_eq(rec.route, SLICE_LIT("orders")))
        return -1;
    return (int)rec.real_ns;
}

static void reset_ring(struct access_ring *r, unsigned records)
{
    r->head = r->tail = START;
    memset(r->data, 0x5a, 4096);
    memset(r->data + RING_BYTES - 4096, 0x5a, 4096);
    for (unsigned n = 1; n <= records; n++)
        if (!put(r, n))
            fprintf(stderr, "kill_ring: cannot prepare record %u\n", n);
}

/* Prepared before the fork, so that the section is nothing but the ring's own code. */
static struct access_record second;
static char second_target[32];

static void put_reset(void *shared)
{
    second = record(2, second_target);
    reset_ring(shared, 1);
}

static void put_section(void *shared)
{
    access_ring_put(shared, &second);
}

static bool put_holds(void *shared, bool finished)
{
    struct access_ring *r = shared;
    bool ok = say(take(r) == 1, "the record before is damaged");
    int next = take(r);

    ok &= say(next == 2 || (next == 0 && !finished), "half a record is visible");
    ok &= say(put(r, 3) && take(r) == 3 && take(r) == 0, "the successor cannot go on");
    return ok;
}

static void take_reset(void *shared)
{
    reset_ring(shared, 2);
}

static void take_section(void *shared)
{
    static char scratch[ACCESS_SCRATCH_BYTES];
    struct access_record rec;
    uint64_t bad = 0;

    access_ring_take(shared, &rec, scratch, &bad);
}

static bool take_holds(void *shared, bool finished)
{
    struct access_ring *r = shared;
    int next = take(r);
    bool ok = true;

    if (next == 1 && !finished)
        next = take(r);
    ok &= say(next == 2, "a record is lost or damaged");
    ok &= say(take(r) == 0, "a record too many");
    ok &= say(put(r, 3) && take(r) == 3, "the producer cannot go on");
    return ok;
}

int main(void)
{
    static const struct kill_case cases[] = {
        {"access_ring_put", put_reset, put_section, put_holds},
        {"access_ring_take", take_reset, take_section, take_holds},
    };
    void *shared = kill_memory(sizeof(struct access_ring));

    return kill_all(cases, sizeof cases / sizeof *cases, shared, sizeof(struct access_ring),
                    STEP_BUDGET);
}
