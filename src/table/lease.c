/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leases: a worker that asks for one key again and again takes a block of its bucket at once and
 * spends it without touching what others touch.
 *
 *   shared TAT   ...----+=====================+        one swap: TAT += block
 *                       v                     v
 *   lease line        spent ---> ---> --->   end       single writer, private until it dies
 *
 * A lease is time, like a TAT, and is spent by the same rule: spent = max(spent, now) + charge,
 * allowed while spent <= end. So tokens that are not spent in their time are lost as they would be
 * in an idle bucket, and the sum of what all leases can still spend and what the bucket can still
 * give never exceeds the burst, in any window. No clock and no reaper takes a lease back.
 *
 * What it costs: tokens in a lease are not there for others. Blocks are therefore taken from the
 * upper half of the bucket only, at most 1/(2 * workers) of what is there, and at most BLOCK_MAX
 * tokens; near the limit, where every token counts, each is taken strictly. A lease that served few
 * takes was not worth it: its key must become hot again.
 *
 * Killed:
 *   between the swap and the store of `end`   the block is lost: under-admits by at most one block
 *   later                                     the successor in the slot spends on: `spent` is
 *                                             stored before anyone is told
 * `end` is zeroed before and stored after the other words, so a half-written line holds nothing.
 */
#include "config.h"

#include "table/limit.h"

#include "base/word.h"

#define HEAT_MAX  64u
#define HEAT_HOT  16u   /* takes until a key is worth a lease */
#define BLOCK_MAX 4096u /* tokens */
#define BLOCK_MIN 8u    /* below it a lease saves nothing */
#define USES_MIN  8u    /* a lease that served less was not worth it */

/* Release: in program order also for the compiler, since a kill may fall between any two. */
static void set(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

static struct limit_lease *line_of(const struct limit_worker *w, uint64_t fp)
{
    return &w->slab->line[fp % LIMIT_LEASES];
}

/* Ticks that can still be spent at `now`. */
static uint64_t remaining(const struct limit_lease *l, uint64_t now)
{
    uint64_t spent = word_read(&l->spent), end = word_read(&l->end);
    uint64_t from = spent > now ? spent : now;

    return end > from ? end - from : 0;
}

/* The lease gives what it has; false when that is not enough. */
static bool spend(struct limit_lease *l, struct limit_ask *a, uint64_t now)
{
    uint64_t left = remaining(l, now), end = word_read(&l->end);

    /* A line is as true as who wrote it; further ahead than a whole bucket is none. */
    if (left < a->charge || end - now > a->capacity)
        return false;
    set(&l->spent, end - left + a->charge);
    l->uses++;
    a->allowed = true;
    a->overflowed = false;
    a->leased = true;
    a->debt = end - now;
    a->wait = 0;
    return true;
}

/* Gives back what is left, if nobody took from the bucket since it was leased. */
static void drop(struct limit_worker *w, struct limit_lease *l, uint64_t now_ns)
{
    struct limit_ask back = {
        .fingerprint = word_read(&l->fingerprint),
        .charge = remaining(l, now_ns * LIMIT_TICKS_PER_NS),
        .tat = word_read(&l->end),
        .allowed = true,
    };

    set(&l->end, 0); /* first: killed here, the rest is lost and not there twice */
    if (back.charge > 0)
        limit_refund(w->zone, &back);
}

/* The block to ask for beside the charge, in ticks; 0: none. */
static uint64_t block_size(const struct limit_worker *w, const struct limit_ask *a)
{
    uint64_t half = a->capacity / 2, ahead = a->debt + a->charge, tokens;

    if (ahead >= half)
        return 0;
    tokens = (half - ahead) / a->interval / (2 * (w->workers > 0 ? w->workers : 1));
    if (tokens < BLOCK_MIN)
        return 0;
    return (tokens < BLOCK_MAX ? tokens : BLOCK_MAX) * a->interval;
}

/* Takes charge and block in one swap. False: decide strictly. */
static bool grant(struct limit_worker *w, struct limit_lease *l, struct limit_ask *a,
                  uint64_t now_ns)
{
    uint64_t now = now_ns * LIMIT_TICKS_PER_NS, block;
    struct limit_ask whole = *a;

    if (!limit_peek(w->zone, &whole, now_ns) || whole.overflowed)
        return false;
    whole.debt -= whole.charge;
    block = block_size(w, &whole);
    if (block == 0)
        return false;
    whole.charge += block;
    if (!limit_take(w->zone, &whole, now_ns))
        return false;
    a->allowed = true;
    a->overflowed = whole.overflowed;
    a->leased = !whole.overflowed;
    a->debt = whole.debt;
    a->tat = whole.tat;
    a->wait = 0;
    if (whole.overflowed)
        return true; /* the set filled up at this moment: a bucket of many keys is not leased */
    set(&l->spent, now + whole.debt - block);
    set(&l->interval, a->interval);
    set(&l->end, now + whole.debt);
    l->uses = 0;
    return true;
}

/* Is the line this key's, and the key hot? Keys that come more seldom cool the line until one of
 * them takes it over. */
static bool hot(struct limit_worker *w, struct limit_lease *l, uint64_t fp, uint64_t now_ns)
{
    if (word_read(&l->fingerprint) != fp) {
        if (l->heat > 0) {
            l->heat--;
            return false;
        }
        drop(w, l, now_ns);
        set(&l->fingerprint, fp);
        l->uses = USES_MIN;
    }
    if (l->heat < HEAT_MAX)
        l->heat++;
    return l->heat >= HEAT_HOT;
}

bool limit_lease_take(struct limit_worker *w, struct limit_ask *a, uint64_t now_ns)
{
    uint64_t now = now_ns * LIMIT_TICKS_PER_NS;
    struct limit_lease *l;

    if (w->slab == NULL)
        return limit_take(w->zone, a, now_ns);
    l = line_of(w, a->fingerprint);
    if (word_read(&l->fingerprint) == a->fingerprint && word_read(&l->end) != 0) {
        if (word_read(&l->interval) == a->interval && spend(l, a, now))
            return true;
        drop(w, l, now_ns);
        if (l->uses < USES_MIN)
            l->heat = 0;
    }
    if (hot(w, l, a->fingerprint, now_ns) && grant(w, l, a, now_ns))
        return true;
    return limit_take(w->zone, a, now_ns);
}

void limit_lease_release(struct limit_worker *w, uint64_t now_ns)
{
    for (unsigned i = 0; w->slab != NULL && i < LIMIT_LEASES; i++) {
        drop(w, &w->slab->line[i], now_ns);
        w->slab->line[i].heat = 0;
    }
}

uint64_t limit_leased(const struct limit_zone *z, unsigned workers, const struct limit_ask *a,
                      uint64_t now_ns)
{
    uint64_t now = now_ns * LIMIT_TICKS_PER_NS, tokens = 0;

    for (unsigned i = 0; i < workers && i < CONTROL_WORKERS; i++) {
        const struct limit_lease *l = &z->slab[i].line[a->fingerprint % LIMIT_LEASES];
        uint64_t left = remaining(l, now);
        if (word_read(&l->fingerprint) == a->fingerprint &&
            word_read(&l->interval) == a->interval && left <= a->capacity)
            tokens += left / a->interval;
    }
    return tokens;
}

/* --- several at once --- */

/* A lease is its worker's own: what was just spent from it is there again. */
static void refund(struct limit_worker *w, const struct limit_ask *a)
{
    struct limit_lease *l;

    if (!a->leased) {
        limit_refund(w->zone, a);
        return;
    }
    l = line_of(w, a->fingerprint);
    if (word_read(&l->fingerprint) == a->fingerprint && word_read(&l->end) != 0)
        set(&l->spent, word_read(&l->spent) - a->charge);
}

static bool peek_leased(const struct limit_worker *w, struct limit_ask *a, uint64_t now_ns)
{
    const struct limit_lease *l = w->slab != NULL ? line_of(w, a->fingerprint) : NULL;

    if (l != NULL && word_read(&l->fingerprint) == a->fingerprint &&
        word_read(&l->interval) == a->interval &&
        remaining(l, now_ns * LIMIT_TICKS_PER_NS) >= a->charge) {
        a->allowed = true;
        return true;
    }
    return limit_peek(w->zone, a, now_ns);
}

bool limit_take_all(struct limit_worker *w, struct limit_ask *asks, unsigned n, uint64_t now_ns)
{
    bool all = true;

    if (n == 1)
        return limit_lease_take(w, asks, now_ns);
    /* Looked at first, so that what is refused writes nothing. */
    for (unsigned i = 0; i < n; i++)
        all = peek_leased(w, &asks[i], now_ns) && all;
    for (unsigned i = 0; i < n && all; i++) {
        if (limit_lease_take(w, &asks[i], now_ns))
            continue;
        while (i-- > 0)
            refund(w, &asks[i]);
        return false;
    }
    return all;
}
