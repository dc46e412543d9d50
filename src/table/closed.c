/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The drawing and the rules are in closed.h. All orders are relaxed: a copy of an entry proves
 * itself by its hash, so it does not matter in which order its words were seen.
 */
#include "table/closed.h"

#include <string.h>

#include "base/hash.h"
#include "base/word.h"

enum { CHECK, FINGERPRINT, UNTIL, NUMBERS, LENGTHS };

/* Of NUMBERS: status : 32, retry_after : 32. Of LENGTHS: a byte each, from the lowest. */
enum { REASON, DETAIL, MEMBERS, KEY, UPSTREAM, TEXTS };

static void store(_Atomic uint64_t *word, uint64_t v)
{
    atomic_store_explicit(word, v, memory_order_relaxed);
}

static struct closed_set *set_of(const struct closed_zone *z, uint64_t fp)
{
    return (struct closed_set *)&z->set[(fp >> 32) % CLOSED_SETS];
}

static uint64_t check_of(const struct closed_copy *c)
{
    return hash64(slice_of((const char *)&c->word[1], sizeof c->word - sizeof c->word[0]), 0);
}

/* --- an entry and a copy of it --- */

static void copy_in(const struct closed_entry *e, struct closed_copy *c)
{
    for (unsigned i = 0; i < CLOSED_WORDS; i++)
        c->word[i] = word_read(&e->word[i]);
}

/* Puts the answer's text into the copy. False when what is answered does not fit. */
static bool pack(const struct closed_answer *a, struct closed_copy *c)
{
    const struct slice text[TEXTS] = {a->reason, a->detail, a->members, a->key, a->upstream};
    char *p = (char *)&c->word[CLOSED_HEAD];
    size_t left = CLOSED_TEXT;

    memset(c, 0, sizeof *c);
    for (unsigned i = 0; i < TEXTS; i++) {
        size_t n = text[i].n;
        if (n > left && i <= MEMBERS)
            return false;
        n = n > left ? left : n;
        if (n > 0)
            memcpy(p, text[i].p, n);
        c->word[LENGTHS] |= (uint64_t)n << (8 * i);
        p += n;
        left -= n;
    }
    c->word[NUMBERS] = (uint64_t)a->retry_after_s << 32 | a->status;
    return true;
}
_Static_assert(CLOSED_TEXT <= 255, "lengths are bytes");

/* False: no whole entry, or lengths that make no sense. */
static bool unpack(const struct closed_copy *c, struct closed_answer *a)
{
    struct slice text[TEXTS];
    const char *p = (const char *)&c->word[CLOSED_HEAD];
    size_t left = CLOSED_TEXT;

    if (c->word[FINGERPRINT] == 0 || c->word[CHECK] != check_of(c))
        return false;
    for (unsigned i = 0; i < TEXTS; i++) {
        size_t n = c->word[LENGTHS] >> (8 * i) & 255;
        if (n > left)
            return false;
        text[i] = slice_of(p, n);
        p += n;
        left -= n;
    }
    *a = (struct closed_answer){(uint32_t)c->word[NUMBERS],
                                (uint32_t)(c->word[NUMBERS] >> 32),
                                text[REASON],
                                text[DETAIL],
                                text[MEMBERS],
                                text[KEY],
                                text[UPSTREAM]};
    return true;
}

/* --- the table --- */

/* The way of the fingerprint, else an empty one, else the one that ends soonest. */
static unsigned way_for(const struct closed_set *s, uint64_t fp, uint64_t now_ns)
{
    unsigned best = 0;
    uint64_t soonest = UINT64_MAX;

    for (unsigned i = 0; i < CLOSED_WAYS; i++)
        if (word_read(&s->tag[i]) == fp)
            return i;
    for (unsigned i = 0; i < CLOSED_WAYS; i++) {
        uint64_t until = word_read(&s->tag[i]) == 0 ? 0 : word_read(&s->way[i].word[UNTIL]);
        until = until <= now_ns ? 0 : until;
        if (until < soonest) {
            soonest = until;
            best = i;
        }
    }
    return best;
}

/* Does the entry say the same already, for nearly as long? Then nobody's cache line is disturbed:
 * while something closes, many workers hear it at once. */
static bool says_so(const struct closed_entry *e, const struct closed_copy *c, uint64_t now_ns)
{
    struct closed_copy there;
    struct closed_answer a;

    copy_in(e, &there);
    return unpack(&there, &a) && there.word[UNTIL] > now_ns &&
           there.word[UNTIL] - now_ns >= (c->word[UNTIL] - now_ns) / 8 * 7 &&
           memcmp(&there.word[NUMBERS], &c->word[NUMBERS],
                  sizeof c->word - NUMBERS * sizeof c->word[0]) == 0;
}

bool closed_put(struct closed_zone *z, uint64_t fingerprint, const struct closed_answer *a,
                uint64_t now_ns, uint64_t until_ns)
{
    struct closed_set *s = set_of(z, fingerprint);
    struct closed_copy c;
    unsigned way;

    if (!pack(a, &c))
        return false;
    if (until_ns <= now_ns)
        return true;
    c.word[FINGERPRINT] = fingerprint;
    c.word[UNTIL] = until_ns;
    c.word[CHECK] = check_of(&c);
    way = way_for(s, fingerprint, now_ns);
    if (word_read(&s->tag[way]) == fingerprint && says_so(&s->way[way], &c, now_ns))
        return true;
    for (unsigned i = 0; i < CLOSED_WORDS; i++)
        store(&s->way[way].word[i], c.word[i]);
    store(&s->tag[way], fingerprint);
    return true;
}

bool closed_get(const struct closed_zone *z, uint64_t fingerprint, uint64_t now_ns,
                struct closed_copy *copy, struct closed_answer *a)
{
    const struct closed_set *s = set_of(z, fingerprint);

    for (unsigned i = 0; i < CLOSED_WAYS; i++) {
        if (word_read(&s->tag[i]) != fingerprint)
            continue;
        copy_in(&s->way[i], copy);
        if (copy->word[FINGERPRINT] == fingerprint && copy->word[UNTIL] > now_ns && unpack(copy, a))
            return true;
    }
    return false;
}

static bool is_kept(const struct closed_entry *e, const struct closed_kept *k)
{
    return word_read(&e->word[CHECK]) == k->copy.word[CHECK] &&
           word_read(&e->word[FINGERPRINT]) == k->fingerprint;
}

bool closed_get_kept(const struct closed_zone *z, uint64_t fingerprint, uint64_t now_ns,
                     struct closed_kept *k)
{
    const struct closed_set *s = set_of(z, fingerprint);

    for (unsigned i = 0; i < CLOSED_WAYS && k->fingerprint == fingerprint; i++)
        if (word_read(&s->tag[i]) == fingerprint && k->copy.word[UNTIL] > now_ns &&
            is_kept(&s->way[i], k))
            return true;
    k->fingerprint = 0;
    if (!closed_get(z, fingerprint, now_ns, &k->copy, &k->answer))
        return false;
    k->fingerprint = fingerprint;
    return true;
}

bool closed_drop(struct closed_zone *z, uint64_t fingerprint)
{
    struct closed_set *s = set_of(z, fingerprint);
    bool was = false;

    for (unsigned i = 0; i < CLOSED_WAYS; i++) {
        if (word_read(&s->tag[i]) != fingerprint)
            continue;
        store(&s->tag[i], 0);
        /* Another may have taken the place in between: its entry is then lost, which costs a call.
         */
        store(&s->way[i].word[FINGERPRINT], 0);
        was = true;
    }
    return was;
}

uint64_t closed_at(const struct closed_zone *z, uint32_t place, uint64_t now_ns,
                   struct closed_copy *copy, struct closed_answer *a)
{
    const struct closed_set *s = &z->set[place / CLOSED_WAYS % CLOSED_SETS];
    unsigned way = place % CLOSED_WAYS;

    if (word_read(&s->tag[way]) == 0)
        return 0;
    copy_in(&s->way[way], copy);
    return copy->word[UNTIL] > now_ns && unpack(copy, a) ? copy->word[UNTIL] : 0;
}
