/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Banks: how an immutable snapshot is replaced under readers that never wait. The config zone is
 * cut into BANK_COUNT equal banks and one word, `current` = {generation, bank}. The master copies a
 * snapshot into a spare bank and publishes it with one release store; a reader's acquire load pairs
 * with it.
 *
 * A bank is spare when no slot holds it (shm/control.h), it is not current, and the master has no
 * use for it. Slots say which banks they hold one by one, so a request that takes for ever keeps
 * one bank and not all that came after it. The master never waits for a bank: when all are in use,
 * which takes as many unfinished requests of as many generations, the publication is refused.
 *
 * Killed half-way through a copy, the master leaves a bank that nothing points to.
 */
#ifndef SHM_BANK_H
#define SHM_BANK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/control.h"
#include "shm/zone.h"

#define BANK_LAYOUT 4u
#define BANK_COUNT  64u

#define BANK_SHARE_ALL 10000u /* a canary's share is in parts of this */

/*
 * current: generation in the upper 56 bits, bank in the lower 8. 0: nothing published.
 * canary:  generation in the upper 42 bits, bank in 8, share in 14. A configuration beside the
 *          current one, for a share of the buyers; 0, or a generation below the current: none.
 */
struct bank_zone {
    struct zone_header head;
    _Alignas(SHM_LINE) _Atomic uint64_t current;
    _Atomic uint64_t canary;
    _Atomic uint64_t canary_seed; /* of the hash that chooses buyers; stored before canary */
    /* From here on written by the master, and but for flipped_ns read by nobody else. */
    _Alignas(SHM_LINE) uint64_t bank_size;   /* bytes; written once at creation */
    _Atomic uint64_t ended;                  /* newest generation that was a canary; 0: none was */
    _Atomic uint64_t kept;                   /* bit i: bank i is wanted, though nobody reads it */
    _Atomic uint64_t generation[BANK_COUNT]; /* what each holds, 0 nothing */
    _Atomic uint64_t used[BANK_COUNT];       /* bytes of each that may take up memory */
    _Atomic uint64_t flipped_ns[BANK_COUNT]; /* when each became current; monotonic */
};

struct bank_ref {
    const void *data; /* NULL: nothing published */
    uint64_t generation;
    unsigned bank;
};

static inline uint64_t bank_bit(unsigned bank)
{
    return UINT64_C(1) << bank;
}

size_t bank_zone_size(size_t bank_size);
void bank_zone_init(struct bank_zone *z, size_t bank_size);

/* The current snapshot. Readers call it once per request or turn; it stays valid while the reader's
 * slot holds its bank. */
struct bank_ref bank_current(const struct bank_zone *z);

struct bank_canary {
    struct bank_ref ref; /* data NULL: there is none */
    uint32_t share;      /* 1 to BANK_SHARE_ALL */
    uint64_t seed;
};

/* The canary, under the same terms as the current snapshot. */
struct bank_canary bank_canary(const struct bank_zone *z);

/* Master: offers what bank_fill put into the bank as the canary, or the present one with another
 * share. */
void bank_offer(struct bank_zone *z, unsigned bank, uint32_t share, uint64_t seed);
/* Master: there is no canary any more. */
void bank_withdraw(struct bank_zone *z);
/* Master: the newest generation there was. */
uint64_t bank_newest(const struct bank_zone *z);

/* The words as a reader saw them last. */
struct bank_seen {
    uint64_t current, canary;
};

/*
 * Reader: whether there is something to look at since the last time; then bank_current and
 * bank_canary tell what, whose acquire loads see at least what was seen here. Two plain loads of a
 * line that hardly ever changes, so that it can be asked for every request.
 */
static inline bool bank_published(const struct bank_zone *z, struct bank_seen *seen)
{
    struct bank_seen now = {atomic_load_explicit(&z->current, memory_order_relaxed),
                            atomic_load_explicit(&z->canary, memory_order_relaxed)};
    bool changed = now.current != seen->current || now.canary != seen->canary;

    *seen = now;
    return changed;
}

/* When what bank_current returned became current; monotonic. */
uint64_t bank_flipped_ns(const struct bank_zone *z, unsigned bank);

/* Master: what is in a bank. */
struct bank_ref bank_at(const struct bank_zone *z, unsigned bank);

/* Master: the banks that may not be written to: current, canary, kept, or held by a slot. */
uint64_t bank_in_use(const struct bank_zone *z, const struct slots_held *held);

/*
 * Master: a spare bank for size bytes of `generation`, which is larger than all before. -EFBIG:
 * larger than a bank; -EBUSY: every bank is in use (*holder = a slot that holds many). What it
 * returns stays spare until the next publication: nobody but the master takes banks.
 */
int bank_reserve(const struct bank_zone *z, const struct control *c, size_t size,
                 uint64_t generation, unsigned *holder) __attribute__((warn_unused_result));

/* Master: copies a snapshot into a bank of bank_reserve, and publishes it. */
void bank_fill(struct bank_zone *z, unsigned bank, const void *data, size_t size,
               uint64_t generation);
void bank_flip(struct bank_zone *z, unsigned bank, uint64_t now_ns);

/* Master: the three in one. */
int bank_publish(struct bank_zone *z, const struct control *c, const void *data, size_t size,
                 uint64_t generation, unsigned *holder) __attribute__((warn_unused_result));

/* Master: which banks it wants to keep. */
void bank_keep(struct bank_zone *z, uint64_t banks);

/* Master, after a publication: gives the memory of big spare banks back to the system. */
void bank_trim(struct bank_zone *z, const struct control *c);

#endif
