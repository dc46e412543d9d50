/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * GCRA in the shared table; the drawing and the invariants are in limit.h.
 *
 * Taking from a key that is there: load, decide, swap {fingerprint, TAT} -> {fingerprint, TAT +
 * charge}. A denial is a load only, so what is refused most costs least.
 *
 * Inserting a key. Workers may do so at once, and since `now` moves they may choose different
 * places; two entries of one key would be two buckets. So a key first stands in its place as a
 * claim, which nobody finds and which charges nothing, and becomes an entry only by one who has
 * looked through the whole set since (after Purcell and Harris, "Non-blocking hashtables with open
 * addressing", 2005):
 *
 *     way 1  {A, TAT}  <-- settle --  {A | CLAIM, ticket}        way 5  {A | CLAIM, ticket}
 *                                             |                               ^
 *                                             +---- looks, and erases --------+
 *
 *   another way has A's entry, or a claim of A that stands lower   erase my claim: it is that one
 *   a claim of A stands higher                                     erase that one, look again
 *   none has anything of A                                         my claim becomes the entry
 *
 * Anyone may settle a claim: who finds one of his key does so before he would make his own, so one
 * whose worker was killed or stopped is in nobody's way.
 *
 * There are never two entries of A. Say way 1 and way 5 both became one, by settlers each of whom
 * looked at the other's way while the claim it settled stood there. Had the one of way 5 looked
 * when way 1 held anything of A, it would have erased way 5's claim; so way 1 was claimed later,
 * when way 5 held A: as entry, and way 1's settler would have erased way 1's claim, or as claim,
 * and it would have erased that one or seen it become the entry. That what a settler swaps is the
 * claim from before its look is what the ticket is for: two claims in a way that are alike take a
 * worker with an old clock and a chance of 2^-24.
 *
 * All orders are relaxed but for that, where a claim and the look at the others must not change
 * places (both seq_cst): no other data hangs on a TAT.
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
    hash &= ~LIMIT_CLAIM;
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

/* --- debt from before a limit was raised --- */

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

/* --- taking --- */

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

static inline __attribute__((always_inline)) enum outcome
take_from(struct limit_entry *e, struct limit_ask *a, uint64_t tat, uint64_t now)
{
    uint64_t want;

    if (!decide(a, standing(tat, now, a->capacity), now, &want)) {
        cap(e, a, tat, now);
        return DENIED;
    }
    return swap(e, a->fingerprint, tat, a->fingerprint, want) ? ALLOWED : AGAIN;
}

/* Empty, or so long expired that its place may be taken. */
static bool replaceable(uint64_t fp, uint64_t tat, uint64_t now)
{
    return fp == 0 || tat + LIMIT_GRACE_NS * LIMIT_TICKS_PER_NS <= now;
}

/* --- inserting --- */

static uint64_t claim_of(uint64_t fp)
{
    return fp | LIMIT_CLAIM;
}

/* Like no other in its way, without a word that all would share: it counts on from what stands
 * there, which is an erased claim or has expired LIMIT_GRACE_NS ago. In the time of a TAT, so that
 * one nobody settles expires as an entry does. */
static uint64_t ticket(uint64_t stands, uint64_t now)
{
    uint64_t mask = (UINT64_C(1) << LIMIT_TICKET_BITS) - 1;

    return (now & ~mask) | ((stands + 1) & mask);
}

/* Leaves the ticket for the next one to count on. */
static bool erase(struct limit_entry *e, uint64_t fp, uint64_t claim)
{
    return swap(e, claim_of(fp), claim, 0, claim);
}

/* Is what stands in e in the way of a claim? A claim that gives way is erased. */
static bool in_the_way(struct limit_entry *e, uint64_t fp, bool gives_way)
{
    for (;;) {
        uint64_t is = atomic_load_explicit(&e->fingerprint, memory_order_seq_cst);
        if (is != fp && is != claim_of(fp))
            return false;
        if (is == fp || !gives_way)
            return true;
        erase(e, fp, load(&e->tat));
    }
}

/* Makes the claim in way `at` the key's entry with this TAT, or erases it. True when it did the
 * former; else it may be an entry all the same, by another. */
static bool settle(struct limit_set *set, unsigned at, uint64_t fp, uint64_t claim, uint64_t tat)
{
    struct limit_entry *mine = &set->way[at];

    for (unsigned i = 0; i < LIMIT_WAYS; i++)
        if (i != at && in_the_way(&set->way[i], fp, i > at)) {
            erase(mine, fp, claim);
            return false;
        }
    return swap(mine, claim_of(fp), claim, fp, tat);
}

/* A claim that another made for the key: to a full bucket. */
static void settle_found(struct limit_set *set, unsigned at, uint64_t fp, uint64_t now)
{
    struct limit_entry *e = &set->way[at];
    uint64_t claim = atomic_load_explicit(&e->tat, memory_order_acquire);

    if (load(&e->fingerprint) == claim_of(fp))
        settle(set, at, fp, claim, now);
}

/* The way of a claim of the key, else the first whose entry has expired, with what is there;
 * LIMIT_WAYS: neither. */
static unsigned place(struct limit_set *set, uint64_t key, uint64_t now, uint64_t *fp,
                      uint64_t *tat)
{
    unsigned at = LIMIT_WAYS;

    for (unsigned i = 0; i < LIMIT_WAYS; i++) {
        uint64_t is = atomic_load_explicit(&set->way[i].fingerprint, memory_order_acquire);
        uint64_t stands = load(&set->way[i].tat);
        if (is != claim_of(key) && (at != LIMIT_WAYS || !replaceable(is, stands, now)))
            continue;
        *fp = is;
        *tat = stands;
        at = i;
        if (is == claim_of(key))
            break;
    }
    return at;
}

/* Into the first expired entry, charged. AGAIN also where there is none: *full. */
static enum outcome insert(struct limit_set *set, struct limit_ask *a, uint64_t now, bool *full)
{
    uint64_t want, fp, tat, claim;
    unsigned at;

    if (!decide(a, now, now, &want))
        return DENIED;
    at = place(set, a->fingerprint, now, &fp, &tat);
    *full = at == LIMIT_WAYS;
    if (*full)
        return AGAIN;
    if (fp == claim_of(a->fingerprint)) {
        settle_found(set, at, a->fingerprint, now);
        return AGAIN;
    }
    claim = ticket(tat, now);
    if (!swap(&set->way[at], fp, tat, claim_of(a->fingerprint), claim))
        return AGAIN;
    return settle(set, at, a->fingerprint, claim, want) ? ALLOWED : AGAIN;
}

/* Is the key there, as entry or claim? */
static bool present(const struct limit_set *set, uint64_t fp)
{
    for (unsigned i = 0; i < LIMIT_WAYS; i++)
        if ((load(&set->way[i].fingerprint) & ~LIMIT_CLAIM) == fp)
            return true;
    return false;
}

/* Of a key that is not there (e: NULL), or that another took from since. Apart from limit_take, so
 * that a key that is there costs less. */
static __attribute__((noinline)) bool take_slow(struct limit_zone *z, struct limit_set *set,
                                                struct limit_ask *a, uint64_t now,
                                                struct limit_entry *e)
{
    enum outcome out = AGAIN;
    uint64_t tat;

    while (out == AGAIN) {
        bool full = false;
        if (e == NULL)
            out = insert(set, a, now, &full);
        /* Unless the key is what has just filled the set. */
        if (full && !present(set, a->fingerprint))
            return take_overflow(z, a, now);
        if (out == AGAIN && (e = find(set, a->fingerprint, &tat)) != NULL)
            out = take_from(e, a, tat, now);
    }
    return out == ALLOWED;
}

bool limit_take(struct limit_zone *z, struct limit_ask *a, uint64_t now_ns)
{
    uint64_t now = now_ns * LIMIT_TICKS_PER_NS, tat;
    struct limit_set *set = set_of(z, a->fingerprint);
    struct limit_entry *e = find(set, a->fingerprint, &tat);
    enum outcome out = AGAIN;

    a->overflowed = false;
    if (e != NULL)
        out = take_from(e, a, tat, now);
    return out != AGAIN ? out == ALLOWED : take_slow(z, set, a, now, e);
}

/* Has everything in the set yet to expire? */
static bool is_full(const struct limit_set *set, uint64_t now)
{
    for (unsigned i = 0; i < LIMIT_WAYS; i++)
        if (replaceable(load(&set->way[i].fingerprint), load(&set->way[i].tat), now))
            return false;
    return true;
}

/* The bucket's entry, NULL where it has none, with its TAT, which then may be that of the bucket
 * which keys without a place share. */
static struct limit_entry *look(const struct limit_zone *z, struct limit_ask *a, uint64_t now,
                                uint64_t *tat)
{
    struct limit_set *set = set_of(z, a->fingerprint);
    struct limit_entry *e = find(set, a->fingerprint, tat);

    a->overflowed = e == NULL && is_full(set, now) && !present(set, a->fingerprint);
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
