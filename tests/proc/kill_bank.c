/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The master, killed while it publishes a configuration. Whatever the instruction: readers find the
 * old or the new snapshot whole, what a worker holds is untouched, and the next publication
 * succeeds. The same while it offers a canary, ends it, or brings it into force. And a worker,
 * killed while it moves from one generation to the next: until the master reaps it, the master
 * finds every bank in use that the worker read.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "killstep.h"
#include "shm/bank.h"
#include "shm/control.h"

#define SNAPSHOT    64 /* bytes: the copy is the longest part, and one store is like another */
#define HELD        3  /* what worker 1 still reads, by its bit */
#define HELD_FROM   5  /* what worker 2 still reads, by its number: it has not moved since */
#define OLD         (BANK_COUNT + 2) /* current before the section: one spare bank is left */
#define BANKS_OFF   ((sizeof(struct control) + 4095) & ~(size_t)4095)
#define SIZE        (BANKS_OFF + 4096 * (BANK_COUNT + 2))
#define TRIMMED     (260u << 10) /* more than a spare bank may keep */
#define STEP_BUDGET 60000        /* about 3 s a case */

static struct control *control_of(void *shared)
{
    return shared;
}

static struct bank_zone *banks_of(void *shared)
{
    return (struct bank_zone *)((char *)shared + BANKS_OFF);
}

static int publish(void *shared, uint64_t generation)
{
    char snapshot[SNAPSHOT];
    unsigned holder;

    memset(snapshot, (int)generation, sizeof snapshot);
    return bank_publish(banks_of(shared), control_of(shared), snapshot, sizeof snapshot, generation,
                        &holder);
}

static bool whole(struct bank_ref ref, uint64_t generation)
{
    const char *p = ref.data;

    if (p == NULL || ref.generation != generation)
        return false;
    for (unsigned i = 0; i < SNAPSHOT; i++)
        if (p[i] != (char)generation)
            return false;
    return true;
}

/* The snapshot of a generation that is still in its bank. */
static struct bank_ref bank_of(struct bank_zone *z, uint64_t generation)
{
    for (unsigned i = 0; i < BANK_COUNT; i++)
        if (z->generation[i] == generation)
            return bank_at(z, i);
    return (struct bank_ref){NULL, 0, 0};
}

/* Worker 1 is on HELD_FROM and reads HELD, worker 2 on HELD_FROM: generation 4 is nobody's. */
static void reset(void *shared)
{
    memset(shared, 0, SIZE);
    control_init(control_of(shared));
    bank_zone_init(banks_of(shared), 4096);
    slot_hold(&control_of(shared)->slots[2], 1, 0);
    for (uint64_t g = 1; g <= OLD; g++) {
        if (publish(shared, g) != 0)
            fprintf(stderr, "kill_bank: cannot prepare generation %d\n", (int)g);
        if (g == HELD_FROM) {
            slot_hold(&control_of(shared)->slots[1], g,
                      bank_bit(bank_of(banks_of(shared), HELD).bank) |
                          bank_bit(bank_of(banks_of(shared), g).bank));
            slot_hold(&control_of(shared)->slots[2], g, 0);
        }
    }
}

static void section(void *shared)
{
    if (publish(shared, OLD + 1) != 0)
        memset(shared, 0, SIZE);
}

static bool say(bool ok, const char *what)
{
    if (!ok)
        fprintf(stderr, "kill_bank: %s\n", what);
    return ok;
}

static bool holds(void *shared, bool finished)
{
    struct bank_ref now = bank_current(banks_of(shared));
    bool ok = true;

    ok &= say(whole(now, OLD + 1) || (!finished && whole(now, OLD)), "current is torn");
    ok &= say(whole(bank_of(banks_of(shared), HELD), HELD), "a bank with a bit was touched");
    ok &= say(whole(bank_of(banks_of(shared), HELD_FROM), HELD_FROM), "a held bank was touched");
    /* The successor publishes, once in place of the one that was lost. */
    ok &= say(publish(shared, now.generation + 1) == (now.generation == OLD ? 0 : -EBUSY),
              "the successor's publication");
    slot_reap(&control_of(shared)->slots[1], SLOT_EMPTY);
    slot_reap(&control_of(shared)->slots[2], SLOT_EMPTY);
    now = bank_current(banks_of(shared));
    ok &= say(publish(shared, now.generation + 1) == 0 &&
                  whole(bank_current(banks_of(shared)), now.generation + 1),
              "publishing after the worker let go");
    return ok;
}

/* Worker 1 reads HELD and HELD_FROM. It takes OLD into use and lets HELD go. */
static void hold(void *shared)
{
    struct bank_zone *z = banks_of(shared);

    slot_hold(&control_of(shared)->slots[1], OLD,
              bank_bit(bank_of(z, HELD_FROM).bank) | bank_bit(bank_of(z, OLD).bank));
}

static bool holds_banks(void *shared, bool finished)
{
    struct bank_zone *z = banks_of(shared);
    struct slots_held held;
    uint64_t in_use;
    bool ok = true;

    slot_reap(&control_of(shared)->slots[2], SLOT_EMPTY);
    slots_held(control_of(shared), &held);
    in_use = bank_in_use(z, &held);
    ok &= say(in_use & bank_bit(bank_of(z, HELD_FROM).bank), "a bank that is read looks free");
    ok &= say(in_use & bank_bit(bank_of(z, OLD).bank), "a bank that is taken into use looks free");
    ok &= say(!finished || !(in_use & bank_bit(bank_of(z, HELD).bank)), "a bank is not let go");
    slot_reap(&control_of(shared)->slots[1], SLOT_EMPTY);
    slot_reap(&control_of(shared)->slots[1], SLOT_EMPTY);
    slots_held(control_of(shared), &held);
    ok &=
        say(bank_in_use(z, &held) == bank_bit(bank_current(z).bank), "a dead worker holds a bank");
    return ok;
}

/* --- a canary: offered, ended, ended by a flip --- */

#define CANARY_SHARE 500

static bool canary_fill(void *shared)
{
    char snapshot[SNAPSHOT];
    unsigned holder;
    int bank;

    memset(snapshot, OLD + 1, sizeof snapshot);
    bank = bank_reserve(banks_of(shared), control_of(shared), sizeof snapshot, OLD + 1, &holder);
    if (bank < 0)
        return false;
    bank_fill(banks_of(shared), (unsigned)bank, snapshot, sizeof snapshot, OLD + 1);
    bank_offer(banks_of(shared), (unsigned)bank, CANARY_SHARE, 7);
    return true;
}

static void offer(void *shared)
{
    if (!canary_fill(shared))
        memset(shared, 0, SIZE);
}

static bool holds_offer(void *shared, bool finished)
{
    struct bank_zone *z = banks_of(shared);
    struct bank_canary c = bank_canary(z);
    bool ok = say(whole(bank_current(z), OLD), "the current one was touched");

    ok &= say(c.ref.data != NULL || !finished, "the canary is not there");
    ok &=
        say(c.ref.data == NULL || (whole(c.ref, OLD + 1) && c.share == CANARY_SHARE && c.seed == 7),
            "the canary is torn");
    ok &= say(whole(bank_of(z, HELD), HELD), "a bank with a bit was touched");
    /* The successor ends it and goes on. */
    bank_withdraw(z);
    slot_reap(&control_of(shared)->slots[1], SLOT_EMPTY);
    slot_reap(&control_of(shared)->slots[2], SLOT_EMPTY);
    ok &= say(publish(shared, bank_newest(z) + 1) == 0, "the successor's publication");
    ok &= say(bank_canary(z).ref.data == NULL, "a canary nobody offered");
    return ok;
}

static void reset_canary(void *shared)
{
    reset(shared);
    slot_reap(&control_of(shared)->slots[2], SLOT_EMPTY);
    slot_hold(&control_of(shared)->slots[1], OLD, bank_bit(bank_of(banks_of(shared), HELD).bank));
    if (!canary_fill(shared))
        fprintf(stderr, "kill_bank: cannot prepare the canary\n");
}

/* It comes into force: a copy with a number of its own, then the canary's end. */
static void promote(void *shared)
{
    if (publish(shared, OLD + 2) != 0)
        memset(shared, 0, SIZE);
    bank_withdraw(banks_of(shared));
}

static bool holds_promotion(void *shared, bool finished)
{
    struct bank_zone *z = banks_of(shared);
    struct bank_ref now = bank_current(z), canary = bank_canary(z).ref;
    bool flipped = whole(now, OLD + 2), ok;

    ok = say(flipped || (!finished && whole(now, OLD)), "current is torn");
    ok &= say(canary.data == NULL || !flipped, "a canary beside what it became");
    ok &= say(canary.data != NULL || flipped, "the canary is gone before it is in force");
    ok &= say(canary.data == NULL || whole(canary, OLD + 1), "the canary is torn");
    ok &= say(whole(bank_of(z, OLD + 1), OLD + 1), "the canary's bank was touched");
    return ok;
}

/* --- what big configurations leave behind is given back --- */

static bool fill(void *shared, uint64_t generation)
{
    static char big[TRIMMED];
    unsigned holder;

    memset(big, (int)generation, sizeof big);
    return bank_publish(banks_of(shared), control_of(shared), big, sizeof big, generation,
                        &holder) == 0;
}

/* Worker 1 reads generation 1, generation 3 is current, and nobody reads generation 2. */
static void reset_trim(void *shared)
{
    memset(shared, 0, sizeof(struct control));
    control_init(control_of(shared));
    bank_zone_init(banks_of(shared), TRIMMED);
    for (uint64_t g = 1; g <= 3; g++) {
        if (!fill(shared, g))
            fprintf(stderr, "kill_bank: cannot prepare generation %d\n", (int)g);
        if (g == 1)
            slot_hold(&control_of(shared)->slots[1], 3,
                      bank_bit(bank_of(banks_of(shared), 1).bank));
    }
}

static void trim(void *shared)
{
    bank_trim(banks_of(shared), control_of(shared));
}

/* The bank of generation 2: neither current nor held. */
static unsigned spared(const struct bank_zone *z)
{
    return 3 - bank_current(z).bank - bank_of((struct bank_zone *)z, 1).bank;
}

static bool holds_trim(void *shared, bool finished)
{
    struct bank_zone *z = banks_of(shared);
    struct bank_ref spare = bank_of(z, 2);
    bool ok = say(whole(bank_current(z), 3), "current was touched");

    ok &= say(whole(bank_of(z, 1), 1), "a bank with a bit was touched");
    ok &= say(spare.data == NULL || !finished, "the spare bank was not emptied");
    ok &= say(!finished || z->used[spared(z)] == 0, "the spare bank takes up memory");
    return ok &
           say(spare.data == NULL || whole(spare, 2), "a bank that was emptied has a generation");
}

static const struct kill_case trimming = {"bank_trim", reset_trim, trim, holds_trim};

int main(void)
{
    static const struct kill_case cases[] = {{"bank_publish", reset, section, holds},
                                             {"bank_offer", reset, offer, holds_offer},
                                             {"promotion", reset_canary, promote, holds_promotion},
                                             {"slot_hold", reset, hold, holds_banks}};
    void *shared = kill_memory(SIZE);
    int rc = kill_all(cases, sizeof cases / sizeof *cases, shared, SIZE, STEP_BUDGET);

    if (rc == 0)
        rc = kill_all(&trimming, 1, kill_memory(BANKS_OFF + bank_zone_size(TRIMMED)), 0,
                      STEP_BUDGET);
    return rc;
}
