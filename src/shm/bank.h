/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Banks: how an immutable snapshot is replaced under readers that never wait. The config zone is
 * cut into BANK_COUNT equal banks and one word, `current` = {generation, bank}. The master copies a
 * snapshot into a spare bank and publishes it with one release store; a reader's acquire load pairs
 * with it.
 *
 * A bank is spare when no slot's oldest_generation says that a request may still read it. The
 * master never waits for that: with BANK_COUNT banks the only way to run out is BANK_COUNT - 1
 * reloads within the longest request; then the reload is refused and says which worker holds what.
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

#define BANK_LAYOUT 1u
#define BANK_COUNT  8u

/* current: generation in the upper 56 bits, bank in the lower 8. 0: nothing published. */
struct bank_zone {
    struct zone_header head;
    _Alignas(SHM_LINE) _Atomic uint64_t current;
    uint64_t bank_size;                      /* bytes; written once at creation */
    _Atomic uint64_t generation[BANK_COUNT]; /* what each holds, 0 nothing; master only */
};

struct bank_ref {
    const void *data; /* NULL: nothing published */
    uint64_t generation;
};

size_t bank_zone_size(size_t bank_size);
void bank_zone_init(struct bank_zone *z, size_t bank_size);

/* The current snapshot. Readers call it once per request or turn; it stays valid while the reader's
 * slot publishes an oldest_generation at or below its generation. */
struct bank_ref bank_current(const struct bank_zone *z);

/*
 * Master: copies size bytes into a spare bank as `generation`, which is larger than all before, and
 * publishes it. -EFBIG: larger than a bank; -EBUSY: every other bank is still in use (*holder = a
 * slot that holds the oldest).
 */
int bank_publish(struct bank_zone *z, const struct control *c, const void *data, size_t size,
                 uint64_t generation, unsigned *holder) __attribute__((warn_unused_result));
/* Master: 0 when bank_publish would succeed, else its error. It stays so until the next
 * publication: nobody but the master takes banks. */
int bank_publishable(const struct bank_zone *z, const struct control *c, size_t size,
                     uint64_t generation, unsigned *holder) __attribute__((warn_unused_result));

#endif
