/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sent zone: which idempotency keys this host has passed on to a service of late.
 *
 * Whoever bought and lost the answer asks again with the same key, and only the service knows the
 * order. So a request may be answered from memory (closed.h) only when it is certain that its key
 * was not passed on before. This is a set that never denies a key it was given: a register-blocked
 * Bloom filter, one word a key, in two generations by time.
 *
 *   header | seed, since, period | 2^n pairs: word of even epochs, word of odd epochs
 *
 *   word:  { epoch : 32, filter : 32 }          epoch = 1 + (now - since) / period
 *
 * Both words that a key can be in lie side by side, because a look is a cache line that nobody has
 * read for long: sent_hash, early in a request, fetches it while the rest is decided.
 *
 *        even |  .. 4 ..           |  .. 6 ..           |
 *        odd            |  .. 5 ..           |  .. 7 .. |
 *                        a key of epoch 5 is found in 5 and 6: for one period at least, two at most
 *
 * Nothing is ever cleared: a word of an older epoch counts as empty, and the first key of the new
 * one takes it over by a swap. A writer that was stopped and comes back with an old epoch finds a
 * newer one in the word and adds its bits to that. So there is no moment at which a kill, or a
 * process that stands still, could take a key away:
 *
 *   killed before the swap or the or    the key is not in; the call had not left either
 *   killed behind it                    the key is in; at worst a request goes to the service
 *
 * Writers: every worker, of two binaries at once while one replaces the other; the zone survives
 * that. Every value of a word is legal. When keys are many, more bits are set by others and more
 * requests go to the service: at n = 22 about 1 of 200 with 8 million keys a period, 1 of 12 with
 * 25 million.
 *
 * `since`: what was passed on before the zone was made is not in it (another master did that), so
 * absence proves nothing until a period has passed: sent_is_complete.
 */
#ifndef TABLE_SENT_H
#define TABLE_SENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "shm/zone.h"

#define SENT_LAYOUT 2u

struct sent_zone {
    struct zone_header head;
    uint64_t seed;                              /* of keys: nobody outside can aim at a word */
    uint64_t since_ns;                          /* CLOCK_MONOTONIC */
    uint64_t period_ns;                         /* a key is found for so long, at least */
    uint32_t word_bits;                         /* 1 to 28 */
    _Alignas(SHM_LINE) _Atomic uint64_t word[]; /* 2 << word_bits */
};
_Static_assert(offsetof(struct sent_zone, word) % SHM_LINE == 0, "lines of their own");

size_t sent_zone_size(uint32_t word_bits);
/* Master, once, after zone_create. */
void sent_zone_init(struct sent_zone *z, uint32_t word_bits, uint64_t seed, uint64_t period_ns,
                    uint64_t now_ns);

/* What the functions below take for a key; begins to fetch its words. */
uint64_t sent_hash(const struct sent_zone *z, struct slice key);
/*
 * The key has been, or is about to be, passed on. now_ns: CLOCK_MONOTONIC; the period is counted
 * from it, so a clock read that lies back by so much is remembered for so much less.
 */
void sent_add(struct sent_zone *z, uint64_t hash, uint64_t now_ns);
/* False: it was not passed on within the last period, by anyone who uses the zone. */
bool sent_has(const struct sent_zone *z, uint64_t hash, uint64_t now_ns);
/* Is the zone a period old, so that what sent_has denies holds? */
bool sent_is_complete(const struct sent_zone *z, uint64_t now_ns);

#endif
