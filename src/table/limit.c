/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * GCRA in the shared table; the drawing and the invariants are in limit.h.
 *
 * Taking from a key that is there: load, decide, swap {fingerprint, TAT} -> {fingerprint, TAT +
 * charge}. A denial is a load only, so what is refused most costs least.
 *
 * Inserting a key: swap the first expired entry of the set. Two workers may do so at once, and
 * since `now` moves they may choose two places: each one's swap comes before its look at the rest
 * of the set (both seq_cst), so at least one sees two entries and merges them:
 *
 *     way 1  {A, t1}   <-- add (t2 - now) ---   way 5  {A, t2}   then  way 5 -> {0, 0}
 *
 * always from the higher way to the lower, which lookups find first. The debt is added before it is
 * erased, so a kill in between counts it twice and admits less; so does a race of two who merge the
 * same pair. The one who merged decides again, by the whole debt.
 *
 * All orders are relaxed but for that: no other data hangs on a TAT.
 */
#include "config.h"

#include "table/limit.h"

#include "base/check.h"
#include "base/clock.h"

/* --- the swap of 16 bytes --- */

#ifndef __SIZEOF_INT128__
#error "needs a compiler with 128-bit integers"
#endif

typedef unsigned __int128 pair;

static pair pair_of(uint64_t fingerprint, uint64_t tat)
{
    uint64_t words[2] = {fingerprint, tat};
    pair p;

    __builtin_memcpy(&p, words, sizeof p);
    return p;
}

static bool swap(struct limit_entry *e, uint64_t fp, uint64_t tat, uint64_t new_fp,
                 uint64_t new_tat)
{
#ifdef __GCC_HAVE_SYNC_COMPARE_AND_SWAP_16
    return __sync_bool_compare_and_swap((pair *)(void *)e, pair_of(fp, tat),
                                        pair_of(new_fp, new_tat));
#else
    /* Of libatomic: lock-free where the processor has a 16-byte swap, which configure checks. */
    pair old = pair_of(fp, tat);
    return __atomic_compare_exchange_n((pair *)(void *)e, &old, pair_of(new_fp, new_tat), false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
#endif
}

/* --- layout --- */

size_t limit_zone_size(uint32_t set_bits)
{
    return sizeof(struct limit_zone) + (sizeof(struct limit_set) << set_bits);
}

void limit_zone_init(struct limit_zone *z, uint32_t set_bits, uint64_t seed)
{
    CHECK(set_bits >= 1 && set_bits <= 28);
    z->set_bits = set_bits;
    z->seed = seed;
}

uint64_t limit_fingerprint(uint64_t hash)
{
    return hash != 0 ? hash : 1;
}

uint64_t limit_interval(uint64_t tokens, uint64_t period_ns)
{
    uint64_t ticks;

    if (tokens == 0 || __builtin_mul_overflow(period_ns, LIMIT_TICKS_PER_NS, &ticks))
        return 0;
    return ticks / tokens + (ticks % tokens != 0);
}

static struct limit_set *set_of(const struct limit_zone *z, uint64_t fp)
{
    return (struct limit_set *)&z->set[fp >> (64 - z->set_bits)];
}

/* --- deciding --- */

static uint64_t load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* Where the bucket stands: not in the past, and no further ahead than an empty bucket (the rate may
 * have been raised since). */
static uint64_t standing(uint64_t tat, uint64_t now, uint64_t capacity)
{
    if (tat <= now)
        return now;
    return tat - now > capacity ? now + capacity : tat;
}

/* Fills in the results for a bucket at `base`; *want is the TAT when it is admitted. */
static bool decide(struct limit_ask *a, uint64_t base, uint64_t now, uint64_t *want)
{
    uint64_t after = base - now + a->charge;

    *want = base + a->charge;
    a->tat = *want;
    a->leased = false;
    a->allowed = a->charge <= a->capacity && after <= a->capacity;
    a->debt = a->allowed ? after : base - now;
    a->wait = a->allowed ? 0 : after - a->capacity;
    return a->allowed;
}

/* The entry of fp with its TAT, or NULL. The second look at the fingerprint makes sure that the TAT
 * is not that of a key that took the place in between. */
static struct limit_entry *find(struct limit_set *set, uint64_t fp, uint64_t *tat)
{
    for (unsigned i = 0; i < LIMIT_WAYS; i++) {
        struct limit_entry *e = &set->way[i];
        if (atomic_load_explicit(&e->fingerprint, memory_order_acquire) != fp)
            continue;
        *tat = atomic_load_explicit(&e->tat, memory_order_acquire);
        if (load(&e->fingerprint) == fp)
            return e;
    }
    return NULL;
}

/* --- two entries of one key --- */

/* Adds to the TAT of fp in e; *sum: at least what came of it. False when the key is no longer
 * there. */
static bool add(struct limit_entry *e, uint64_t fp, uint64_t debt, uint64_t *sum)
{
    for (;;) {
        uint64_t tat = load(&e->tat);
        if (load(&e->fingerprint) != fp)
            return false;
        if (!swap(e, fp, tat, fp, tat + debt))
            continue;
        *sum = tat + debt > *sum ? tat + debt : *sum;
        return true;
    }
}

static void merge(struct limit_entry *lo, struct limit_entry *hi, uint64_t fp, uint64_t now,
                  uint64_t *sum)
{
    uint64_t moved = 0;

    for (;;) {
        uint64_t tat = load(&hi->tat);
        uint64_t debt = tat > now ? tat - now : 0;
        if (load(&hi->fingerprint) != fp)
            return; /* someone else merged it */
        if (debt > moved) {
            if (!add(lo, fp, debt - moved, sum))
                return; /* the lower one went: the higher one is the key's entry now */
            moved = debt;
        }
        if (swap(hi, fp, tat, 0, 0))
            return;
    }
}

/* After an insertion: is the key there once? False when it had to merge; *sum is then the most that
 * two entries were together. */
static bool settle(struct limit_set *set, uint64_t fp, uint64_t now, uint64_t *sum)
{
    struct limit_entry *first = NULL;
    bool alone = true;

    for (unsigned i = 0; i < LIMIT_WAYS; i++) {
        struct limit_entry *e = &set->way[i];
        if (atomic_load_explicit(&e->fingerprint, memory_order_seq_cst) != fp)
            continue;
        if (first == NULL) {
            first = e;
            continue;
        }
        merge(first, e, fp, now, sum);
        alone = false;
    }
    return alone;
}

bool limit_settle(struct limit_zone *z, uint64_t fingerprint, uint64_t now_ns)
{
    uint64_t sum = 0;

    return settle(set_of(z, fingerprint), fingerprint, now_ns * LIMIT_TICKS_PER_NS, &sum);
}

/* Inserted while another did: the whole debt decides, as it was when the two came together. What
 * is there by now may be less, because somebody took the debt of both for that of a limit which was
 * raised since (cap). What is denied here stays charged, since another may have taken on top of it.
 */
static bool decide_merged(struct limit_ask *a, struct limit_set *set, uint64_t now, uint64_t sum)
{
    uint64_t tat = now, want;

    if (find(set, a->fingerprint, &tat) == NULL)
        tat = now;
    if (tat <= now + a->capacity && sum <= now + a->capacity) {
        a->debt = tat > now ? tat - now : 0;
        a->tat = tat;
        return true;
    }
    return decide(a, now + a->capacity, now, &want);
}

/*
 * Debt beyond that of an empty bucket: the limit was raised. A denial writes nothing, so without
 * this the bucket would wait as long as at the old rate. Rare, so the clock is read again: a worker
 * that was stopped since its `now` must not take the present for the future.
 */
static bool beyond(const struct limit_ask *a, uint64_t tat, uint64_t now, uint64_t *capped)
{
    uint64_t present;

    if (tat <= now || tat - now <= a->capacity)
        return false;
    present = clock_mono_ns() * LIMIT_TICKS_PER_NS;
    *capped = (present > now ? present : now) + a->capacity;
    return tat > *capped;
}

static void cap(struct limit_entry *e, const struct limit_ask *a, uint64_t tat, uint64_t now)
{
    uint64_t capped;

    if (beyond(a, tat, now, &capped))
        swap(e, a->fingerprint, tat, a->fingerprint, capped);
}

/* --- the whole --- */

/* The limit's bucket for keys without a place. */
static bool take_overflow(struct limit_zone *z, struct limit_ask *a, uint64_t now)
{
    _Atomic uint64_t *word = &z->overflow[a->overflow % LIMIT_OVERFLOWS].tat;
    uint64_t tat = load(word), want;

    a->overflowed = true;
    do {
        if (decide(a, standing(tat, now, a->capacity), now, &want))
            continue;
        if (!beyond(a, tat, now, &want))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(word, &tat, want, memory_order_relaxed,
                                                    memory_order_relaxed));
    return a->allowed;
}

enum outcome { AGAIN, ALLOWED, DENIED };

static enum outcome take_from(struct limit_entry *e, struct limit_ask *a, uint64_t tat,
                              uint64_t now)
{
    uint64_t want;

    if (!decide(a, standing(tat, now, a->capacity), now, &want)) {
        cap(e, a, tat, now);
        return DENIED;
    }
    return swap(e, a->fingerprint, tat, a->fingerprint, want) ? ALLOWED : AGAIN;
}

/* So long expired that its place may be taken. */
static bool replaceable(uint64_t tat, uint64_t now)
{
    return tat == 0 || tat + LIMIT_GRACE_NS * LIMIT_TICKS_PER_NS <= now;
}

/* Into the first expired entry. AGAIN where there is none: *full. */
static enum outcome insert(struct limit_set *set, struct limit_ask *a, uint64_t now, bool *full)
{
    uint64_t want, sum = 0;

    if (!decide(a, now, now, &want))
        return DENIED;
    for (unsigned i = 0; i < LIMIT_WAYS; i++) {
        struct limit_entry *e = &set->way[i];
        uint64_t fp = load(&e->fingerprint), tat = load(&e->tat);
        if (!replaceable(tat, now))
            continue;
        if (!swap(e, fp, tat, a->fingerprint, want))
            return AGAIN;
        if (settle(set, a->fingerprint, now, &sum))
            return ALLOWED;
        return decide_merged(a, set, now, sum) ? ALLOWED : DENIED;
    }
    *full = true;
    return AGAIN;
}

bool limit_take(struct limit_zone *z, struct limit_ask *a, uint64_t now_ns)
{
    uint64_t now = now_ns * LIMIT_TICKS_PER_NS;
    struct limit_set *set = set_of(z, a->fingerprint);
    enum outcome out;
    bool full = false;

    a->overflowed = false;
    do {
        uint64_t tat;
        struct limit_entry *e = find(set, a->fingerprint, &tat);
        out = e != NULL ? take_from(e, a, tat, now) : insert(set, a, now, &full);
        /* Unless the key is what has just filled the set. */
        if (full && find(set, a->fingerprint, &tat) == NULL)
            return take_overflow(z, a, now);
        full = false;
    } while (out == AGAIN);
    return out == ALLOWED;
}

static bool any_replaceable(const struct limit_set *set, uint64_t now)
{
    for (unsigned i = 0; i < LIMIT_WAYS; i++)
        if (replaceable(load(&set->way[i].tat), now))
            return true;
    return false;
}

/* The bucket's entry, NULL where it has none, with its TAT, which then may be that of the bucket
 * which keys without a place share. */
static struct limit_entry *look(const struct limit_zone *z, struct limit_ask *a, uint64_t now,
                                uint64_t *tat)
{
    struct limit_set *set = set_of(z, a->fingerprint);
    struct limit_entry *e = find(set, a->fingerprint, tat);

    a->overflowed = e == NULL && !any_replaceable(set, now);
    if (a->overflowed)
        *tat = load(&z->overflow[a->overflow % LIMIT_OVERFLOWS].tat);
    return e;
}

bool limit_look(const struct limit_zone *z, struct limit_ask *a, uint64_t now_ns)
{
    uint64_t now = now_ns * LIMIT_TICKS_PER_NS, tat = 0, want;

    look(z, a, now, &tat);
    return decide(a, standing(tat, now, a->capacity), now, &want);
}

bool limit_peek(struct limit_zone *z, struct limit_ask *a, uint64_t now_ns)
{
    uint64_t now = now_ns * LIMIT_TICKS_PER_NS, tat = 0, want;
    struct limit_entry *e = look(z, a, now, &tat);

    if (e != NULL)
        cap(e, a, tat, now);
    return decide(a, standing(tat, now, a->capacity), now, &want);
}

bool limit_refund(struct limit_zone *z, const struct limit_ask *a)
{
    struct limit_entry *e;
    uint64_t tat = a->tat;

    if (!a->allowed)
        return false;
    if (a->overflowed)
        return atomic_compare_exchange_strong_explicit(
            &z->overflow[a->overflow % LIMIT_OVERFLOWS].tat, &tat, tat - a->charge,
            memory_order_relaxed, memory_order_relaxed);
    e = find(set_of(z, a->fingerprint), a->fingerprint, &tat);
    return e != NULL && swap(e, a->fingerprint, a->tat, a->fingerprint, a->tat - a->charge);
}
