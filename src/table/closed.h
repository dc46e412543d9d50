/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The closed zone: refusals that hold for everybody who asks for the same, for a moment.
 *
 * A service that refuses because something is sold out or paused says so with a hint
 * (rushgate-gate, docs/api.md). The worker that gets it keeps the answer here, under a fingerprint
 * of what was asked for, until the hint's time is over; all workers give that answer to whoever
 * asks for the same, without a call.
 *
 *   header | set 0 | set 1 | ... | set 2^n - 1
 *
 *   set:    8 tags (fingerprints, where to look) | 8 entries of 256 bytes
 *   entry:  check | fingerprint | until | status, lengths | text: reason, detail, members, key,
 *           upstream
 *
 * Entries have many writers and no lock: `check` is a hash over all other words. A reader copies
 * the entry and believes it only if the copy has its hash and the fingerprint that was looked for.
 * So every state of memory is legal: what a writer left half-done, because it was killed or another
 * wrote at the same time, hashes to something else (but for one case in 2^64) and says nothing, and
 * the next refusal of the service writes the entry again. A tag is a hint where to look.
 *
 * Where a set is full the entry that ends soonest makes room. Nothing here needs to be kept: what
 * is missing costs a call.
 *
 * Times are CLOCK_MONOTONIC. Writers: every worker. tests/proc/kill_closed.c,
 * tests/unit/table/test_closed.c.
 */
#ifndef TABLE_CLOSED_H
#define TABLE_CLOSED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "shm/zone.h"

#define CLOSED_LAYOUT 1u
#define CLOSED_WAYS   8u
#define CLOSED_WORDS  31u /* 240 bytes are hashed: more would take XXH3 twice as long */
#define CLOSED_HEAD   5u  /* words of an entry before its text */
#define CLOSED_TEXT   ((CLOSED_WORDS - CLOSED_HEAD) * sizeof(uint64_t))
#define CLOSED_ALL    UINT32_C(4096) /* entries */
#define CLOSED_SETS   (CLOSED_ALL / CLOSED_WAYS)

struct closed_entry {
    _Atomic uint64_t word[CLOSED_WORDS];
    uint64_t unused;
};
_Static_assert(sizeof(struct closed_entry) == 256, "whole lines");

struct closed_set {
    _Alignas(SHM_LINE) _Atomic uint64_t tag[CLOSED_WAYS]; /* 0: empty */
    _Alignas(SHM_LINE) struct closed_entry way[CLOSED_WAYS];
};

struct closed_zone {
    struct zone_header head;
    struct closed_set set[CLOSED_SETS];
};

/* An answer, and what it is about. */
struct closed_answer {
    uint32_t status;
    uint32_t retry_after_s;
    struct slice reason, detail, members; /* as of struct refusal in the gate */
    struct slice key;                     /* of the hint; for people: cut off where room is short */
    struct slice upstream;                /* for people, too */
};

/* A copy of an entry's text, which the slices of an answer point into. */
struct closed_copy {
    uint64_t word[CLOSED_WORDS];
};

/*
 * Gives `a` to whoever asks for the fingerprint (not 0), until until_ns. False: reason, detail and
 * members are longer than an entry.
 */
bool closed_put(struct closed_zone *z, uint64_t fingerprint, const struct closed_answer *a,
                uint64_t now_ns, uint64_t until_ns);

/* True when it is closed; the answer borrows from copy. */
bool closed_get(const struct closed_zone *z, uint64_t fingerprint, uint64_t now_ns,
                struct closed_copy *copy, struct closed_answer *a);

/* The last answer about a fingerprint, which one process keeps for itself. Starts as {0}. */
struct closed_kept {
    struct closed_copy copy;
    struct closed_answer answer; /* borrows from copy */
    uint64_t fingerprint;        /* 0: none */
};
/* closed_get into k->answer. While the entry has the hash of what is kept it says what is kept, and
 * nothing more of it is read. */
bool closed_get_kept(const struct closed_zone *z, uint64_t fingerprint, uint64_t now_ns,
                     struct closed_kept *k);

/* It is open again. True when it was closed. */
bool closed_drop(struct closed_zone *z, uint64_t fingerprint);

/* Place 0 to CLOSED_ALL - 1, for a list: until when; 0: there is nothing. */
uint64_t closed_at(const struct closed_zone *z, uint32_t place, uint64_t now_ns,
                   struct closed_copy *copy, struct closed_answer *a);

#endif
