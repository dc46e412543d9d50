/* SPDX-License-Identifier: BSD-2-Clause */
/* Looking into the ban zone, and publishing into it. The protocol is in ban.h, the form of an image
 * in ban_image.h. */
#include "table/ban.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "table/ban_image.h"

/* A reader that is overtaken so often was stopped each time in the middle for three publications.
 */
#define TRIES 64

_Static_assert(offsetof(struct ban_zone, words) % SHM_LINE == 0, "cells begin on a line");
_Static_assert(BAN_BANK_WORDS >= BAN_RECORD_WORDS + BAN_TEXT_WORDS + 4 + BAN_HEAD_WORDS,
               "identities always fit");

/* --- layout --- */

static size_t cell_words(uint32_t capacity)
{
    return CONTROL_WORKERS * (size_t)capacity * (sizeof(struct ban_cell) / sizeof(uint64_t));
}

size_t ban_zone_size(uint32_t capacity)
{
    return sizeof(struct ban_zone) +
           8 * (cell_words(capacity) + BAN_BANKS * (size_t)BAN_BANK_WORDS * capacity);
}

void ban_zone_init(struct ban_zone *z, uint32_t capacity, uint64_t seed)
{
    CHECK(capacity > 0 && capacity <= BAN_CELL_MAX && capacity % 8 == 0);
    z->seed = seed;
    z->capacity = capacity;
    z->bank_words = (uint64_t)BAN_BANK_WORDS * capacity;
    atomic_store_explicit(&z->current, 0, memory_order_release);
}

static const _Atomic uint64_t *bank(const struct ban_zone *z, unsigned i)
{
    return z->words + cell_words(z->capacity) + i * z->bank_words;
}

/* --- reading --- */

/* An image as a reader has it, bounds checked. Pairs of all loads: the release stores in copy. */
struct view {
    const _Atomic uint64_t *words;
    uint32_t root4, root6, records_n, nodes_n, entries_n, slots_n, texts_n;
    size_t nodes, entries, slots, texts; /* where the sections begin */
};

static uint64_t word(const struct view *v, size_t i)
{
    return atomic_load_explicit(&v->words[i], memory_order_acquire);
}

/* False: no image fits this head; it was being written. */
static bool view_open(struct view *v, const struct ban_zone *z, unsigned b)
{
    uint64_t w;

    v->words = bank(z, b);
    w = word(v, 0);
    v->root4 = (uint32_t)w, v->root6 = (uint32_t)(w >> 32);
    w = word(v, 1);
    v->records_n = (uint32_t)w, v->nodes_n = (uint32_t)(w >> 32);
    w = word(v, 2);
    v->entries_n = (uint32_t)w, v->slots_n = (uint32_t)(w >> 32);
    v->texts_n = (uint32_t)word(v, 3);
    v->nodes = BAN_HEAD_WORDS + (size_t)v->records_n * BAN_RECORD_WORDS;
    v->entries = v->nodes + (size_t)v->nodes_n * BAN_NODE_WORDS;
    v->slots = v->entries + ((size_t)v->entries_n + 1) / 2;
    v->texts = v->slots + v->slots_n;
    return v->texts + (size_t)v->texts_n * BAN_TEXT_WORDS <= z->bank_words &&
           (v->slots_n & (v->slots_n - 1)) == 0;
}

struct record {
    uint64_t a, b, until_ns;
    uint32_t cell, serial, parent; /* parent: number, 0 none */
    uint8_t bits;
    bool allow;
};

static struct record record_at(const struct view *v, uint32_t i)
{
    size_t at = BAN_HEAD_WORDS + (size_t)i * BAN_RECORD_WORDS;
    uint64_t meta = word(v, at + 3), links = word(v, at + 4);

    return (struct record){
        .a = word(v, at),
        .b = word(v, at + 1),
        .until_ns = word(v, at + 2),
        .cell = (uint32_t)(meta & 0xffffff),
        .bits = (uint8_t)(meta >> 24),
        .serial = (uint32_t)(meta >> 32),
        .parent = (uint32_t)links,
        .allow = (links & BAN_ALLOW) != 0,
    };
}

static bool covers(const struct record *r, uint64_t hi, uint64_t lo)
{
    if (r->bits > 128)
        return false;
    if (r->bits <= 64)
        return r->bits == 0 || (r->a ^ hi) >> (64 - r->bits) == 0;
    return r->a == hi && (r->b ^ lo) >> (128 - r->bits) == 0;
}

static void take(const struct record *r, bool identity, struct ban_hit *hit)
{
    *hit = (struct ban_hit){.identity = identity, .cell = r->cell, .serial = r->serial};
}

/* Most requests meet no ban and need no clock. */
static bool ended(const struct record *r, uint64_t *now_ns)
{
    if (*now_ns == 0)
        *now_ns = clock_real_ns();
    return r->until_ns <= *now_ns;
}

/* From the innermost candidate outwards. A chain is no longer than an address has bits. */
static bool decide(const struct view *v, uint32_t number, uint64_t hi, uint64_t lo,
                   uint64_t *now_ns, struct ban_hit *hit)
{
    for (unsigned steps = 0; number != 0 && number <= v->records_n && steps <= 129; steps++) {
        struct record r = record_at(v, number - 1);
        if (covers(&r, hi, lo) && !ended(&r, now_ns)) {
            take(&r, false, hit);
            return !r.allow;
        }
        number = r.parent;
    }
    return false;
}

/* The value of a byte in a node; 0 also for a node that does not hold together. */
static uint32_t step(const struct view *v, uint32_t node, uint8_t byte)
{
    size_t at = v->nodes + (size_t)node * BAN_NODE_WORDS, entry;
    unsigned w = byte >> 6;
    uint64_t bits, meta, pair;

    if (node >= v->nodes_n)
        return 0;
    bits = word(v, at + w) & (UINT64_MAX >> (63 - (byte & 63)));
    meta = word(v, at + 4);
    entry = (uint32_t)meta + (w > 0 ? meta >> (24 + 8 * w) & 0xff : 0) +
            (size_t)__builtin_popcountll(bits) - 1;
    if (entry >= v->entries_n)
        return 0;
    pair = word(v, v->entries + entry / 2);
    return (uint32_t)(entry % 2 != 0 ? pair >> 32 : pair);
}

static bool find_address(const struct view *v, const uint8_t addr[16], uint64_t *now_ns,
                         struct ban_hit *hit)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool v4 = memcmp(addr, mapped, sizeof mapped) == 0;
    uint32_t at = v4 ? v->root4 : v->root6;
    uint64_t hi, lo;

    for (unsigned depth = v4 ? 12 : 0; (at & BAN_NODE) != 0; depth++) {
        if (depth == 16)
            return false;
        at = step(v, at & ~BAN_NODE, addr[depth]);
    }
    if (at == 0)
        return false;
    memcpy(&hi, addr, 8);
    memcpy(&lo, addr + 8, 8);
    return decide(v, at, be64toh(hi), be64toh(lo), now_ns, hit);
}

static bool same_text(const struct view *v, const struct record *r,
                      const uint64_t text[BAN_TEXT_WORDS], size_t n)
{
    uint32_t i = (uint32_t)r->b;
    size_t at = v->texts + (size_t)i * BAN_TEXT_WORDS;

    if (r->b >> 32 != n || i >= v->texts_n)
        return false;
    for (size_t w = 0; w * 8 < n; w++)
        if (word(v, at + w) != text[w])
            return false;
    return true;
}

static bool find_identity(const struct view *v, const struct ban_zone *z, struct slice identity,
                          uint64_t *now_ns, struct ban_hit *hit)
{
    uint64_t text[BAN_TEXT_WORDS] = {0}, hash;

    if (v->slots_n == 0 || identity.n == 0 || identity.n > BAN_IDENTITY_MAX)
        return false;
    memcpy(text, identity.p, identity.n);
    hash = hash64(identity, z->seed);
    for (uint32_t i = 0; i < v->slots_n; i++) {
        uint64_t slot = word(v, v->slots + (((uint32_t)hash + i) & (v->slots_n - 1)));
        struct record r;
        if (slot == 0)
            return false;
        if (slot >> 32 != hash >> 32 || (uint32_t)slot > v->records_n || (uint32_t)slot == 0)
            continue;
        r = record_at(v, (uint32_t)slot - 1);
        if (r.a != hash || !same_text(v, &r, text, identity.n))
            continue;
        take(&r, true, hit);
        return !r.allow && !ended(&r, now_ns);
    }
    return false;
}

bool ban_check(const struct ban_zone *z, const uint8_t addr[16], struct slice identity,
               uint64_t *now_real_ns, struct ban_hit *hit)
{
    for (unsigned tries = 0; tries < TRIES; tries++) {
        /* Pairs with the release store in ban_publish. */
        uint64_t current = atomic_load_explicit(&z->current, memory_order_acquire);
        unsigned b = (unsigned)(current & 0xff);
        struct view v;
        bool found;
        if (b == 0 || b > BAN_BANKS)
            return false;
        found = view_open(&v, z, b - 1) && (find_address(&v, addr, now_real_ns, hit) ||
                                            find_identity(&v, z, identity, now_real_ns, hit));
        /* Behind acquire loads: had one of them seen a word of a later image, this would too. */
        if (atomic_load_explicit(&z->generation[b - 1], memory_order_relaxed) == current >> 8)
            return found;
    }
    return false;
}

/* --- hits --- */

static struct ban_cell *cell_of(const struct ban_zone *z, unsigned worker, uint32_t cell)
{
    return (struct ban_cell *)z->words + (size_t)worker * z->capacity + cell;
}

void ban_count(struct ban_zone *z, unsigned worker, const struct ban_hit *hit, uint64_t now_real_ns)
{
    struct ban_cell *c;
    uint64_t old, count;

    if (hit->cell >= z->capacity || worker >= CONTROL_WORKERS)
        return;
    c = cell_of(z, worker, hit->cell);
    old = atomic_load_explicit(&c->hits, memory_order_relaxed);
    count = old >> 32 == hit->serial ? old & UINT32_MAX : 0;
    count += count < UINT32_MAX;
    atomic_store_explicit(&c->hits, (uint64_t)hit->serial << 32 | count, memory_order_relaxed);
    atomic_store_explicit(&c->last_ns, now_real_ns, memory_order_relaxed);
}

uint64_t ban_hits(const struct ban_zone *z, unsigned workers, uint32_t cell, uint32_t serial,
                  uint64_t *last_ns)
{
    uint64_t sum = 0;

    *last_ns = 0;
    for (unsigned w = 0; w < workers && w < CONTROL_WORKERS && cell < z->capacity; w++) {
        const struct ban_cell *c = cell_of(z, w, cell);
        uint64_t hits = atomic_load_explicit(&c->hits, memory_order_relaxed);
        uint64_t last = atomic_load_explicit(&c->last_ns, memory_order_relaxed);
        if (hits >> 32 != serial)
            continue;
        sum += hits & UINT32_MAX;
        *last_ns = last > *last_ns ? last : *last_ns;
    }
    return sum;
}

/* --- publishing --- */

static void copy(_Atomic uint64_t *to, const uint64_t *from, size_t n)
{
    /* Release: none is seen before generation[b] = 0. */
    for (size_t i = 0; i < n; i++)
        atomic_store_explicit(&to[i], from[i], memory_order_release);
}

int ban_publish(struct ban_zone *z, const uint64_t *words, size_t n)
{
    uint64_t current = atomic_load_explicit(&z->current, memory_order_relaxed);
    uint64_t generation = (current >> 8) + 1;
    unsigned b = (unsigned)(generation % BAN_BANKS);

    if (n > z->bank_words)
        return -ENOSPC;
    if (n == 0) {
        atomic_store_explicit(&z->current, generation << 8, memory_order_release);
        return 0;
    }
    atomic_store_explicit(&z->generation[b], 0, memory_order_relaxed);
    copy((_Atomic uint64_t *)bank(z, b), words, n);
    atomic_store_explicit(&z->generation[b], generation, memory_order_release);
    /* Pairs with the acquire load in ban_check. */
    atomic_store_explicit(&z->current, generation << 8 | (b + 1), memory_order_release);
    return 0;
}

uint64_t ban_generation(const struct ban_zone *z)
{
    return atomic_load_explicit(&z->current, memory_order_relaxed) >> 8;
}
