/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The config zone's banks.
 *
 *   header | current | bank_size, generation[8] | (page) bank 0 | bank 1 | ... | bank 7
 *             |                                            ^
 *             +-- {generation 56 bits, bank 8 bits} -------+
 *
 * Order of a publication, all by the master:
 *   1. pick a bank that is neither current nor of a generation that a slot may still read
 *   2. generation[bank] = 0          it holds nothing
 *   3. copy                          nobody reads it
 *   4. generation[bank] = generation
 *   5. current = {generation, bank}  release: who loads this word (acquire) sees 2 to 4
 *
 * Killed before 5, readers stay on the old generation, and what was copied is a bank of a
 * generation above the current one, or of none: spare for whoever publishes next. After 5
 * everything is done.
 *
 * Why a reader needs no lock: a slot that publishes oldest_generation = g holds every bank from g
 * on, also those that are published later. A reader moves on by loading `current` (g' >= g, held),
 * and only afterwards raising its word to g'.
 */
#include "shm/bank.h"

#include <errno.h>
#include <string.h>

#define BANK_ALIGN 4096u

_Static_assert(offsetof(struct bank_zone, current) == SHM_LINE, "the flip has a line of its own");
_Static_assert(BANK_COUNT <= 256, "current keeps the bank in 8 bits");

static size_t align_up(size_t n)
{
    return (n + BANK_ALIGN - 1) & ~(size_t)(BANK_ALIGN - 1);
}

static size_t bank_off(const struct bank_zone *z, unsigned bank)
{
    return align_up(sizeof *z) + bank * z->bank_size;
}

size_t bank_zone_size(size_t bank_size)
{
    return align_up(sizeof(struct bank_zone)) + BANK_COUNT * align_up(bank_size);
}

void bank_zone_init(struct bank_zone *z, size_t bank_size)
{
    z->bank_size = align_up(bank_size);
    for (unsigned i = 0; i < BANK_COUNT; i++)
        atomic_store_explicit(&z->generation[i], 0, memory_order_relaxed);
    atomic_store_explicit(&z->current, 0, memory_order_release);
}

struct bank_ref bank_current(const struct bank_zone *z)
{
    /* Pairs with the release store in bank_publish. */
    uint64_t word = atomic_load_explicit(&z->current, memory_order_acquire);

    if (word == 0)
        return (struct bank_ref){NULL, 0};
    return (struct bank_ref){(const char *)z + bank_off(z, (unsigned)(word & 0xff)), word >> 8};
}

/* True for a bank that is empty, was never published, or is of a generation that nobody holds. */
static bool bank_reusable(uint64_t generation, uint64_t current, uint64_t lowest)
{
    if (generation == 0 || generation > current)
        return true;
    return generation != current && generation < lowest;
}

/* The reusable bank that was filled longest ago; -1: none. */
static int bank_spare(const struct bank_zone *z, uint64_t current, uint64_t lowest)
{
    uint64_t best_generation = UINT64_MAX;
    int best = -1;

    for (unsigned i = 0; i < BANK_COUNT; i++) {
        uint64_t g = atomic_load_explicit(&z->generation[i], memory_order_relaxed);
        if (!bank_reusable(g, current, lowest))
            continue;
        if (g > current)
            g = 0;
        if (best < 0 || g < best_generation) {
            best = (int)i;
            best_generation = g;
        }
    }
    return best;
}

/* The bank to copy into, or what bank_publish says when there is none. */
static int bank_choose(const struct bank_zone *z, const struct control *c, size_t size,
                       uint64_t generation, unsigned *holder)
{
    uint64_t current = atomic_load_explicit(&z->current, memory_order_relaxed) >> 8;
    int bank;

    if (size > z->bank_size)
        return -EFBIG;
    if (generation <= current || generation >> 56 != 0)
        return -EINVAL;
    bank = bank_spare(z, current, slots_lowest_held(c, holder));
    return bank < 0 ? -EBUSY : bank;
}

int bank_publishable(const struct bank_zone *z, const struct control *c, size_t size,
                     uint64_t generation, unsigned *holder)
{
    int bank = bank_choose(z, c, size, generation, holder);

    return bank < 0 ? bank : 0;
}

int bank_publish(struct bank_zone *z, const struct control *c, const void *data, size_t size,
                 uint64_t generation, unsigned *holder)
{
    int bank = bank_choose(z, c, size, generation, holder);

    if (bank < 0)
        return bank;
    atomic_store_explicit(&z->generation[bank], 0, memory_order_relaxed);
    memcpy((char *)z + bank_off(z, (unsigned)bank), data, size);
    atomic_store_explicit(&z->generation[bank], generation, memory_order_relaxed);
    /* Pairs with the acquire load in bank_current: who sees this word sees the copy. */
    atomic_store_explicit(&z->current, generation << 8 | (unsigned)bank, memory_order_release);
    return 0;
}
