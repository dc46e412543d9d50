/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who is refused most by the rate limits: a sketch a worker, merged by whoever looks.
 *
 *   header | slab of worker 0 | ... | slab of worker 63
 *   slab:  set 0 | ... | set 63
 *   set:   8 fingerprints, 8 counts (a line pair), 8 notes: limit, client, key as text
 *
 * A refusal looks into one set. A key that is there is counted. One that is not takes one off the
 * smallest count of the set, but only with probability 1 / (8 * count), and has the place when that
 * is zero: a large count is safe from a flood of keys that come once, a small one is not
 * (HeavyGuardian: Yang et al., KDD 2018, with that probability in place of b^-count). So a count is
 * never too high, and a key with a fair part of a set's refusals is there, but for its first few.
 *
 * Counts are of windows of five minutes: one word {window : 16, of the window before : 24, of this
 * one : 24}, each at most 2^24 - 1. Nothing has to age them: a count of an old window is zero for
 * whoever comes there.
 *
 * Single writer: the worker in the slot. A note is written while the fingerprint is 0 and is only
 * believed when the fingerprint is the same before and after reading it. Killed anywhere
 * (tests/proc/kill_offenders.c): a place is empty, or whole; a count misses one.
 *
 * The fingerprint is that of the bucket (limit_fingerprint), so a refusal hashes nothing for this,
 * and makes text only when it takes a place.
 */
#ifndef TABLE_OFFENDERS_H
#define TABLE_OFFENDERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "shm/control.h"
#include "shm/zone.h"

#define OFFENDERS_LAYOUT    1u
#define OFFENDERS_SETS      64u
#define OFFENDERS_WAYS      8u
#define OFFENDERS_TEXT      144u /* bytes of a key; longer ones are cut */
#define OFFENDERS_WINDOW_NS (UINT64_C(300) * 1000000000)

/* What is known of a key besides its count. */
struct offender_note {
    _Atomic uint64_t meta;    /* limit : 16, text_n : 8, ban_at : 8, ban_n : 8, bits : 8 */
    _Atomic uint64_t addr[2]; /* as bytes: the client, masked where it is the key */
    _Atomic uint64_t text[OFFENDERS_TEXT / 8];
};

struct offender_set {
    _Alignas(SHM_LINE) _Atomic uint64_t fingerprint[OFFENDERS_WAYS]; /* 0: empty */
    _Atomic uint64_t count[OFFENDERS_WAYS];
    struct offender_note note[OFFENDERS_WAYS];
};

struct offender_slab {
    struct offender_set set[OFFENDERS_SETS];
};

struct offenders_zone {
    struct zone_header head;
    struct offender_slab slab[CONTROL_WORKERS];
};

/* A key, as the worker describes it and as readers get it. */
struct offender {
    uint64_t fingerprint;
    uint32_t limit; /* its index (conf_rate_limit.stat) */
    uint8_t addr[16];
    uint8_t bits; /* of 128: addr is this prefix of the key; 0: addr is a client that was refused */
    struct slice text;
    uint8_t ban_at, ban_n; /* the part of text that names an identity; ban_n 0: none */
    uint64_t refused;      /* readers: in the last five minutes, at least */
};

/* A worker's way to its slab. */
struct offenders {
    struct offender_slab *slab;
    uint64_t random; /* any start */
};

/* Counts a refusal. True: it has taken a place, and offenders_describe must follow. */
bool offenders_count(struct offenders *o, uint64_t fingerprint, uint64_t now_ns, unsigned *way);
void offenders_describe(struct offenders *o, const struct offender *who, unsigned way);

/*
 * Those of workers 0 .. workers-1, counts of one key added up, most refused first. limit 0: of all
 * limits. At most max of them in out; `text` points into `texts`, which has OFFENDERS_TEXT bytes
 * for each of max. How many.
 */
size_t offenders_top(const struct offenders_zone *z, unsigned workers, uint32_t limit,
                     uint64_t now_ns, struct offender *out, char *texts, size_t max);

#endif
