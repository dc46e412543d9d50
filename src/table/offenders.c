/* SPDX-License-Identifier: BSD-2-Clause */
/* The sketch of who is refused; offenders.h says how it works and why it can be read at any time.
 */
#include "table/offenders.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/word.h"

/* Newcomers that are not let in on average, for each refusal of the key they would replace: in a
 * flood of keys that come once, so much rarer is a note written. */
#define CALM      8u
#define COUNT_MAX ((UINT64_C(1) << 24) - 1)

_Static_assert(offsetof(struct offender_set, note) == SHM_LINE,
               "a look without notes is a line pair");
_Static_assert(OFFENDERS_TEXT <= 255, "lengths in bytes");

/* A count, taken apart, as of a window. */
struct tally {
    uint64_t before, now;
};

static uint64_t window_of(uint64_t now_ns)
{
    return now_ns / OFFENDERS_WINDOW_NS & 0xffff;
}

static struct tally tally_at(uint64_t word, uint64_t window)
{
    uint64_t age = (window - (word >> 48)) & 0xffff;

    if (age == 0)
        return (struct tally){word >> 24 & COUNT_MAX, word & COUNT_MAX};
    return age == 1 ? (struct tally){word & COUNT_MAX, 0} : (struct tally){0, 0};
}

static uint64_t word_of(struct tally t, uint64_t window)
{
    return window << 48 | t.before << 24 | t.now;
}

static void store(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static struct offender_set *set_of(const struct offenders *o, uint64_t fingerprint)
{
    return &o->slab->set[(fingerprint >> 8) % OFFENDERS_SETS];
}

/* --- the worker --- */

static bool count_known(struct offender_set *s, uint64_t fingerprint, uint64_t window)
{
    for (unsigned i = 0; i < OFFENDERS_WAYS; i++) {
        struct tally t;
        if (word_read(&s->fingerprint[i]) != fingerprint)
            continue;
        t = tally_at(word_read(&s->count[i]), window);
        t.now += t.now < COUNT_MAX;
        store(&s->count[i], word_of(t, window));
        return true;
    }
    return false;
}

/* The place with the least; empty ones have nothing. */
static unsigned smallest(const struct offender_set *s, uint64_t window, struct tally *least)
{
    uint64_t best = UINT64_MAX;
    unsigned way = 0;

    for (unsigned i = 0; i < OFFENDERS_WAYS; i++) {
        struct tally t = tally_at(word_read(&s->count[i]), window);
        uint64_t sum = word_read(&s->fingerprint[i]) == 0 ? 0 : t.before + t.now;
        if (sum >= best)
            continue;
        best = sum;
        way = i;
        *least = sum == 0 ? (struct tally){0, 0} : t;
    }
    return way;
}

/* True once in n, n below 2^32; by multiplication, since a division would cost more than the look.
 */
static bool drawn(struct offenders *o, uint64_t n)
{
    return (random_next(&o->random) >> 32) * n >> 32 == 0;
}

bool offenders_count(struct offenders *o, uint64_t fingerprint, uint64_t now_ns, unsigned *way)
{
    struct offender_set *s = set_of(o, fingerprint);
    uint64_t window = window_of(now_ns), sum;
    struct tally least = {0, 0};

    if (count_known(s, fingerprint, window))
        return false;
    *way = smallest(s, window, &least);
    sum = least.before + least.now;
    if (sum > 0 && !drawn(o, CALM * sum))
        return false;
    if (sum > 1) {
        if (least.before > 0)
            least.before--;
        else
            least.now--;
        store(&s->count[*way], word_of(least, window));
        return false;
    }
    store(&s->fingerprint[*way], 0);
    /* Release: a count of 1 is not seen with the fingerprint of before. */
    atomic_store_explicit(&s->count[*way], word_of((struct tally){0, 1}, window),
                          memory_order_release);
    return true;
}

/* Words of a note: release, so that none is seen with the fingerprint that was there before. */
static void put(_Atomic uint64_t *to, const void *from, size_t n)
{
    uint64_t words[OFFENDERS_TEXT / 8] = {0};

    memcpy(words, from, n);
    for (size_t i = 0; i < (n + 7) / 8; i++)
        atomic_store_explicit(&to[i], words[i], memory_order_release);
}

void offenders_describe(struct offenders *o, const struct offender *who, unsigned way)
{
    struct offender_set *s = set_of(o, who->fingerprint);
    struct offender_note *note = &s->note[way];
    size_t n = who->text.n < OFFENDERS_TEXT ? who->text.n : OFFENDERS_TEXT;
    uint64_t meta = (uint64_t)who->limit << 48 | (uint64_t)n << 32 | (uint64_t)who->ban_at << 16 |
                    (uint64_t)who->ban_n << 8 | who->bits;

    put(&note->meta, &meta, sizeof meta);
    put(note->addr, who->addr, sizeof who->addr);
    if (n > 0)
        put(note->text, who->text.p, n);
    /* Pairs with the acquire load in read_place. */
    atomic_store_explicit(&s->fingerprint[way], who->fingerprint, memory_order_release);
}

/* --- readers --- */

static void get(const _Atomic uint64_t *from, void *to, size_t n)
{
    uint64_t words[OFFENDERS_TEXT / 8];

    for (size_t i = 0; i < (n + 7) / 8; i++)
        words[i] = atomic_load_explicit(&from[i], memory_order_acquire);
    memcpy(to, words, n);
}

/* The last five minutes: all of this window and of the one before as much as has not passed. */
static uint64_t recent(uint64_t word, uint64_t now_ns)
{
    struct tally t = tally_at(word, window_of(now_ns));
    uint64_t left_ms = (OFFENDERS_WINDOW_NS - now_ns % OFFENDERS_WINDOW_NS) / 1000000;

    return t.now + t.before * left_ms / (OFFENDERS_WINDOW_NS / 1000000);
}

/* False: empty, of another limit, of long ago, or just being written. */
static bool read_place(const struct offender_set *s, unsigned way, uint32_t limit, uint64_t now_ns,
                       struct offender *out, char *text)
{
    const struct offender_note *note = &s->note[way];
    /* Pairs with the release store in offenders_describe. */
    uint64_t fp = atomic_load_explicit(&s->fingerprint[way], memory_order_acquire), meta;
    size_t n;

    if (fp == 0)
        return false;
    get(&note->meta, &meta, sizeof meta);
    n = meta >> 32 & 0xffff;
    *out = (struct offender){.fingerprint = fp,
                             .limit = (uint32_t)(meta >> 48),
                             .bits = (uint8_t)meta,
                             .ban_at = (uint8_t)(meta >> 16),
                             .ban_n = (uint8_t)(meta >> 8)};
    if (n > OFFENDERS_TEXT || (limit != 0 && out->limit != limit))
        return false;
    get(note->addr, out->addr, sizeof out->addr);
    get(note->text, text, n);
    out->text = slice_of(text, n);
    out->refused = recent(atomic_load_explicit(&s->count[way], memory_order_acquire), now_ns);
    return out->ban_at + out->ban_n <= n && out->refused > 0 &&
           word_read(&s->fingerprint[way]) == fp;
}

static int by_fingerprint(const void *a, const void *b)
{
    uint64_t x = ((const struct offender *)a)->fingerprint;
    uint64_t y = ((const struct offender *)b)->fingerprint;

    return (x > y) - (x < y);
}

static int by_refused(const void *a, const void *b)
{
    uint64_t x = ((const struct offender *)a)->refused, y = ((const struct offender *)b)->refused;

    return x != y ? (x < y) - (x > y) : by_fingerprint(a, b);
}

/* One of each key, with what all workers counted. */
static size_t merge(struct offender *all, size_t n)
{
    size_t kept = 0;

    qsort(all, n, sizeof *all, by_fingerprint);
    for (size_t i = 0; i < n; i++)
        if (kept > 0 && all[kept - 1].fingerprint == all[i].fingerprint)
            all[kept - 1].refused += all[i].refused;
        else
            all[kept++] = all[i];
    return kept;
}

size_t offenders_top(const struct offenders_zone *z, unsigned workers, uint32_t limit,
                     uint64_t now_ns, struct offender *out, char *texts, size_t max)
{
    size_t places = (size_t)OFFENDERS_SETS * OFFENDERS_WAYS * workers, n = 0;
    struct offender *all = xcalloc(places + 1, sizeof *all);
    char *text = xmalloc((places + 1) * OFFENDERS_TEXT);

    for (unsigned w = 0; w < workers && w < CONTROL_WORKERS; w++)
        for (unsigned s = 0; s < OFFENDERS_SETS; s++)
            for (unsigned i = 0; i < OFFENDERS_WAYS; i++)
                n += read_place(&z->slab[w].set[s], i, limit, now_ns, &all[n],
                                text + n * OFFENDERS_TEXT);
    n = merge(all, n);
    qsort(all, n, sizeof *all, by_refused);
    n = n < max ? n : max;
    for (size_t i = 0; i < n; i++) {
        out[i] = all[i];
        memcpy(texts + i * OFFENDERS_TEXT, all[i].text.p, all[i].text.n);
        out[i].text.p = texts + i * OFFENDERS_TEXT;
    }
    free(all);
    free(text);
    return n;
}
