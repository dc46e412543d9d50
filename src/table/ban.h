/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ban zone: who is refused, whatever they ask for. Addresses, prefixes and identities.
 *
 *   header | current | generation of bank 0 .. 3 | hits of worker 0 .. 63 | bank 0 | ... | bank 3
 *
 * A bank holds an image: all bans of a moment, immutable, in 64-bit words without pointers
 * (ban_image.h makes it). The master is the only writer; a change is a new image in another bank
 * and one release store of `current`. It is in force in every worker when that store is done:
 * whoever asks looks there first.
 *
 * Readers hold nothing and publish nothing, so that a worker that stands still cannot keep a ban
 * from being made. They look into the bank that is current and afterwards whether its generation is
 * still the one they began with; when it is not, what they read may be torn and they begin again.
 * A bank is written again only after three others, so that this happens to a reader that was
 * stopped in the middle. Until then nothing read from a bank is believed: every index is compared
 * with its bound, every loop has an end.
 *
 *   master                                   reader
 *   generation[b] = 0       relaxed          current -> {g, b}       acquire   (a)
 *   words of b              release (b)      words of b              acquire
 *   generation[b] = g       release          generation[b] == g ?    relaxed
 *   current = {g, b}        release (a)
 *
 * Order is in the words themselves and not in fences: a release store of a word is not seen before
 * generation[b] = 0, and an acquire load of it is not passed by the look at the generation (b).
 *
 * Addresses lie in a trie with eight bits a level, so what a look costs depends on how long an
 * address agrees with some prefix, not on how many there are: at most 4 nodes for IPv4 and 16 for
 * IPv6, mostly one more than the logarithm of their number to base 256. The bench
 * (tests/unit/table/bench_ban.c) has numbers. Families are apart: ::/3 bans no IPv4 client.
 *
 * Of nested prefixes the longest that has not expired decides; it may be an exception (`allow`).
 * Times are of CLOCK_REALTIME: a ban ends when the clock says what `show bans` says.
 *
 * Hits are counted by the worker in a cell of its own: {serial of the ban, count} in one word. A
 * cell with another serial is of an earlier ban and counts as zero; nobody ever has to clear it.
 *
 * Killed (tests/proc/kill_ban.c): before the store of `current` the old bans are in force, and the
 * bank is the next one to be written; behind it, the new ones.
 *
 * A new binary can attach the zone (same BAN_LAYOUT and capacity): what is current stays in force,
 * and the next publication takes the bank behind it. The master's own list, with reasons and who
 * made them, is not in the zone but in the state file (proc/bans.h), which the new master reads and
 * publishes. Serials begin at a random number, so that cells of before count for nobody.
 */
#ifndef TABLE_BAN_H
#define TABLE_BAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "shm/control.h"
#include "shm/zone.h"

#define BAN_LAYOUT       1u
#define BAN_BANKS        4u
#define BAN_IDENTITY_MAX 128u /* bytes */
#define BAN_BANK_WORDS   48u  /* of a bank, for each ban of the capacity */

/* Of one worker, about one ban. */
struct ban_cell {
    _Atomic uint64_t hits; /* serial << 32 | count, which stops at its end */
    _Atomic uint64_t last_ns;
};

struct ban_zone {
    struct zone_header head;
    uint64_t seed;                               /* of the hashes of identities */
    uint64_t bank_words;                         /* of each bank */
    uint32_t capacity;                           /* bans at most; cells a worker */
    _Alignas(SHM_LINE) _Atomic uint64_t current; /* generation << 8 | bank + 1; bank 0: no bans */
    _Alignas(SHM_LINE) _Atomic uint64_t generation[BAN_BANKS];
    _Alignas(SHM_LINE) _Atomic uint64_t words[]; /* cells, then banks */
};
_Static_assert(sizeof(struct ban_cell) == 16, "two words");

/* What refused somebody. */
struct ban_hit {
    bool identity; /* by who it is, else by address */
    uint32_t cell, serial;
};

size_t ban_zone_size(uint32_t capacity);
/* Master, once, after zone_create. */
void ban_zone_init(struct ban_zone *z, uint32_t capacity, uint64_t seed);

/* Whether there are bans at all: all that a request pays while there are none. */
static inline bool ban_any(const struct ban_zone *z)
{
    return (atomic_load_explicit(&z->current, memory_order_relaxed) & 0xff) != 0;
}

/*
 * Is this client banned? addr: 16 bytes, IPv4 mapped. identity "": nobody known. True fills *hit.
 * *now_real_ns 0: the clock is read when a ban comes into question, and put there. Any process.
 */
bool ban_check(const struct ban_zone *z, const uint8_t addr[16], struct slice identity,
               uint64_t *now_real_ns, struct ban_hit *hit);

/* Counts a refusal; the process in the worker's slot is the only writer. */
void ban_count(struct ban_zone *z, unsigned worker, const struct ban_hit *hit,
               uint64_t now_real_ns);
/* Sum over workers 0 .. workers-1; *last_ns: the latest, 0 none. */
uint64_t ban_hits(const struct ban_zone *z, unsigned workers, uint32_t cell, uint32_t serial,
                  uint64_t *last_ns);

/* Master: publishes an image (ban_image.h); n 0: there are no bans. -ENOSPC: larger than a bank. */
int ban_publish(struct ban_zone *z, const uint64_t *words, size_t n)
    __attribute__((warn_unused_result));

/* Number of the present publication, 0 before the first. */
uint64_t ban_generation(const struct ban_zone *z);

#endif
