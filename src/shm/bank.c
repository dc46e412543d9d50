/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The config zone's banks.
 *
 *   header | current | the master's table: generation[64], ... | (page) bank 0 | ... | bank 63
 *             |                                                              ^
 *             +-- {generation 56 bits, bank 8 bits} -------------------------+
 *
 * Order of a publication, all by the master:
 *   1. pick a bank that is not in use: not current, not kept, held by no slot
 *   2. generation[bank] = 0          it holds nothing
 *   3. copy                          nobody reads it
 *   4. generation[bank] = generation
 *   5. current = {generation, bank}  release: who loads this word (acquire) sees 2 to 4
 *
 * A canary goes the same way, but that 5 stores `canary`. Its end stores 0 there. Generations of
 * both rise together, so a canary that a later publication has passed is none any more: killed
 * between a flip that was to end the canary and its end, the master leaves nothing to undo.
 *
 * Killed before 5, readers stay on the old generation, and what was copied is a bank of a
 * generation above the current one, or of none: spare for whoever publishes next. After 5
 * everything is done.
 *
 * Why a reader needs no lock: shm/control.h, at held_from.
 */
#include "config.h"

#include "shm/bank.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/word.h"

#define BANK_ALIGN 4096u
/* Of a spare bank so much may stay in memory: the next publication needs it anyway. */
#define BANK_SPARE_BYTES (256u << 10)

_Static_assert(offsetof(struct bank_zone, current) == SHM_LINE, "the flip has a line of its own");
#define SHARE_BITS   14u
#define SHARE_MASK   ((UINT64_C(1) << SHARE_BITS) - 1)
#define CANARY_SHIFT (SHARE_BITS + 8u)

_Static_assert(BANK_SHARE_ALL <= SHARE_MASK, "a share fits into its bits");
_Static_assert(BANK_COUNT <= 64, "sets of banks are words");

static size_t align_up(size_t n)
{
    return (n + BANK_ALIGN - 1) & ~(size_t)(BANK_ALIGN - 1);
}

static size_t bank_off(const struct bank_zone *z, unsigned bank)
{
    return align_up(sizeof *z) + bank * z->bank_size;
}

static void set(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

size_t bank_zone_size(size_t bank_size)
{
    return align_up(sizeof(struct bank_zone)) + BANK_COUNT * align_up(bank_size);
}

void bank_zone_init(struct bank_zone *z, size_t bank_size)
{
    z->bank_size = align_up(bank_size);
    set(&z->kept, 0);
    set(&z->canary, 0);
    set(&z->canary_seed, 0);
    set(&z->ended, 0);
    for (unsigned i = 0; i < BANK_COUNT; i++) {
        set(&z->generation[i], 0);
        set(&z->used[i], 0);
        set(&z->flipped_ns[i], 0);
    }
    atomic_store_explicit(&z->current, 0, memory_order_release);
}

struct bank_ref bank_current(const struct bank_zone *z)
{
    /* Pairs with the release store in bank_flip. */
    uint64_t word = atomic_load_explicit(&z->current, memory_order_acquire);
    unsigned bank = (unsigned)(word & 0xff);

    if (word == 0 || bank >= BANK_COUNT)
        return (struct bank_ref){NULL, 0, 0};
    return (struct bank_ref){(const char *)z + bank_off(z, bank), word >> 8, bank};
}

struct bank_canary bank_canary(const struct bank_zone *z)
{
    /* Pairs with the release stores in bank_offer and bank_withdraw. */
    uint64_t word = atomic_load_explicit(&z->canary, memory_order_acquire);
    uint64_t generation = word >> CANARY_SHIFT;
    unsigned bank = (unsigned)(word >> SHARE_BITS & 0xff);
    uint32_t share = (uint32_t)(word & SHARE_MASK);

    if (word == 0 || bank >= BANK_COUNT || share == 0 || generation < word_read(&z->current) >> 8)
        return (struct bank_canary){.ref = {NULL, 0, 0}};
    return (struct bank_canary){
        .ref = {(const char *)z + bank_off(z, bank), generation, bank},
        .share = share < BANK_SHARE_ALL ? share : BANK_SHARE_ALL,
        .seed = word_read(&z->canary_seed),
    };
}

void bank_offer(struct bank_zone *z, unsigned bank, uint32_t share, uint64_t seed)
{
    uint64_t generation = word_read(&z->generation[bank]);

    set(&z->ended, generation);
    set(&z->canary_seed, seed);
    atomic_store_explicit(&z->canary,
                          generation << CANARY_SHIFT | (uint64_t)bank << SHARE_BITS | share,
                          memory_order_release);
}

void bank_withdraw(struct bank_zone *z)
{
    atomic_store_explicit(&z->canary, 0, memory_order_release);
}

uint64_t bank_newest(const struct bank_zone *z)
{
    uint64_t current = word_read(&z->current) >> 8, canary = word_read(&z->ended);

    return canary > current ? canary : current;
}

struct bank_ref bank_at(const struct bank_zone *z, unsigned bank)
{
    return (struct bank_ref){(const char *)z + bank_off(z, bank), word_read(&z->generation[bank]),
                             bank};
}

/* A generation above the newest was never published: its publisher was killed. */
static bool holds_something(uint64_t generation, uint64_t newest)
{
    return generation != 0 && generation <= newest;
}

uint64_t bank_in_use(const struct bank_zone *z, const struct slots_held *held)
{
    uint64_t word = word_read(&z->current), canary = word_read(&z->canary), newest = bank_newest(z);
    uint64_t in_use = held->banks | word_read(&z->kept);

    if (word != 0)
        in_use |= bank_bit((unsigned)(word & 0xff));
    if (canary != 0)
        in_use |= bank_bit((unsigned)(canary >> SHARE_BITS & 0xff));
    for (unsigned i = 0; i < BANK_COUNT; i++) {
        uint64_t g = word_read(&z->generation[i]);
        if (holds_something(g, newest) && g >= held->from)
            in_use |= bank_bit(i);
    }
    return in_use;
}

/* Of the spare banks one that takes up memory already, the one that was filled longest ago; else
 * the first. -1: none. */
static int bank_spare(const struct bank_zone *z, uint64_t in_use)
{
    uint64_t best_generation = UINT64_MAX;
    int best = -1, fresh = -1;

    for (unsigned i = 0; i < BANK_COUNT; i++) {
        if (in_use & bank_bit(i))
            continue;
        if (word_read(&z->used[i]) == 0) {
            fresh = fresh < 0 ? (int)i : fresh;
        } else if (best < 0 || word_read(&z->generation[i]) < best_generation) {
            best = (int)i;
            best_generation = word_read(&z->generation[i]);
        }
    }
    return best >= 0 ? best : fresh;
}

int bank_reserve(const struct bank_zone *z, const struct control *c, size_t size,
                 uint64_t generation, unsigned *holder)
{
    struct slots_held held;
    int bank;

    if (size > z->bank_size)
        return -EFBIG;
    if (generation <= bank_newest(z) || generation >> (64 - CANARY_SHIFT) != 0)
        return -EINVAL;
    slots_held(c, &held);
    *holder = held.holder;
    bank = bank_spare(z, bank_in_use(z, &held));
    return bank < 0 ? -EBUSY : bank;
}

void bank_fill(struct bank_zone *z, unsigned bank, const void *data, size_t size,
               uint64_t generation)
{
    set(&z->generation[bank], 0);
    /* Before the copy: killed in between, the bank counts as bigger than it is. */
    if (size > word_read(&z->used[bank]))
        set(&z->used[bank], align_up(size));
    memcpy((char *)z + bank_off(z, bank), data, size);
    set(&z->generation[bank], generation);
}

uint64_t bank_flipped_ns(const struct bank_zone *z, unsigned bank)
{
    /* Relaxed: the acquire load in bank_current came before. */
    return word_read(&z->flipped_ns[bank]);
}

void bank_flip(struct bank_zone *z, unsigned bank, uint64_t now_ns)
{
    set(&z->flipped_ns[bank], now_ns);
    /* Pairs with the acquire load in bank_current: who sees this word sees the copy. */
    atomic_store_explicit(&z->current, word_read(&z->generation[bank]) << 8 | bank,
                          memory_order_release);
}

int bank_publish(struct bank_zone *z, const struct control *c, const void *data, size_t size,
                 uint64_t generation, unsigned *holder)
{
    int bank = bank_reserve(z, c, size, generation, holder);

    if (bank < 0)
        return bank;
    bank_fill(z, (unsigned)bank, data, size, generation);
    bank_flip(z, (unsigned)bank, clock_mono_ns());
    return 0;
}

void bank_keep(struct bank_zone *z, uint64_t banks)
{
    set(&z->kept, banks);
}

void bank_trim(struct bank_zone *z, const struct control *c)
{
    struct slots_held held;
    uint64_t in_use;

    slots_held(c, &held);
    in_use = bank_in_use(z, &held);
    for (unsigned i = 0; i < BANK_COUNT; i++) {
        uint64_t used = word_read(&z->used[i]);
        if (used <= BANK_SPARE_BYTES || (in_use & bank_bit(i)))
            continue;
        /* The sealed size of the file stays; its pages go and read as zeros. */
        set(&z->generation[i], 0);
        if (madvise((char *)z + bank_off(z, i), used, MADV_REMOVE) == 0)
            set(&z->used[i], 0);
    }
}
