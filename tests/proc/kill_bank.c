/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The master, killed while it publishes a configuration. Whatever the instruction: readers find the
 * old or the new snapshot whole, what a worker holds is untouched, and the next publication
 * succeeds.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "killstep.h"
#include "shm/bank.h"
#include "shm/control.h"

#define SNAPSHOT    64 /* bytes: the copy is the longest part, and one store is like another */
#define HELD        3  /* what a worker still reads */
#define OLD         (HELD + BANK_COUNT - 2) /* current before the section: one spare bank is left */
#define BANKS_OFF   ((sizeof(struct control) + 4095) & ~(size_t)4095)
#define SIZE        (BANKS_OFF + 4096 * (BANK_COUNT + 2))
#define STEP_BUDGET 250000 /* about 4 s: every n, in an optimised build */

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

/* What the worker reads: the bank that is marked HELD. */
static struct bank_ref held(struct bank_zone *z)
{
    struct bank_ref now = bank_current(z);
    long current = (long)(z->current & 0xff);

    for (long i = 0; i < (long)BANK_COUNT; i++)
        if (z->generation[i] == HELD)
            return (struct bank_ref){(const char *)now.data + (i - current) * (long)z->bank_size,
                                     HELD};
    return (struct bank_ref){NULL, 0};
}

static void reset(void *shared)
{
    memset(shared, 0, SIZE);
    control_init(control_of(shared));
    bank_zone_init(banks_of(shared), 4096);
    slot_pin(&control_of(shared)->slots[1], HELD);
    for (uint64_t g = 1; g <= OLD; g++)
        if (publish(shared, g) != 0)
            fprintf(stderr, "kill_bank: cannot prepare generation %d\n", (int)g);
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
    ok &= say(whole(held(banks_of(shared)), HELD), "a bank in use was touched");
    /* The successor publishes, once in place of the one that was lost. */
    ok &= say(publish(shared, now.generation + 1) == (now.generation == OLD ? 0 : -EBUSY),
              "the successor's publication");
    slot_reap(&control_of(shared)->slots[1], SLOT_EMPTY);
    now = bank_current(banks_of(shared));
    ok &= say(publish(shared, now.generation + 1) == 0 &&
                  whole(bank_current(banks_of(shared)), now.generation + 1),
              "publishing after the worker let go");
    return ok;
}

int main(void)
{
    static const struct kill_case bank = {"bank_publish", reset, section, holds};
    struct kill_report r;
    int rc = kill_run(&bank, kill_memory(SIZE), SIZE, STEP_BUDGET, &r);

    printf("%s: %lu instructions, %lu checked paused, %lu killed\n", bank.name, r.instructions,
           r.paused, r.killed);
    return rc;
}
