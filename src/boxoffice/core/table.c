/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxoffice/core/table.h"

#include <stddef.h>
#include <sys/mman.h>

#include "base/check.h"

#define FIRST_CAPACITY 1024u
#define MOVE_PER_STEP  16u
#define GIVE_BACK      (1u << 17) /* slots (1 MiB) of a half that has moved are returned at a time */
#define TOMB           UINT32_MAX

static uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32) ^ (uint32_t)hash;
}

static bool half_map(struct table_half *h, uint32_t capacity)
{
    void *p = mmap(NULL, (size_t)capacity * sizeof *h->slots, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return false;
    h->slots = p;
    h->mask = capacity - 1;
    return true;
}

static void half_unmap(struct table_half *h)
{
    if (h->slots != NULL)
        munmap(h->slots, ((size_t)h->mask + 1) * sizeof *h->slots);
    *h = (struct table_half){0};
}

bool table_init(struct table *t)
{
    *t = (struct table){0};
    return half_map(&t->now, FIRST_CAPACITY);
}

void table_fini(struct table *t)
{
    half_unmap(&t->now);
    half_unmap(&t->old);
    t->count = t->cursor = 0;
}

/* Where to look for `tag` in the old half: what lies below the cursor is in the other one. */
static uint32_t old_start(const struct table *t, uint32_t tag)
{
    uint32_t home = tag & t->old.mask;
    return home < t->cursor ? t->cursor : home;
}

/*
 * Next position of a probe that began at `start`, or false at its end. What lies below the cursor
 * has moved, so a probe of the old half wraps to the cursor: a run of entries that spans the cursor
 * goes on there, and where the slot at the cursor is empty it would have ended anyway.
 */
static bool probe_next(const struct table_half *h, uint32_t *at, uint32_t start, uint32_t cursor)
{
    *at = *at == h->mask ? cursor : *at + 1;
    return *at != start;
}

static uint32_t half_find(const struct table_half *h, uint32_t at, uint32_t cursor, uint32_t tag,
                          table_eq_fn *eq, const void *key)
{
    uint32_t start = at;

    do {
        const struct table_slot *s = &h->slots[at];
        if (s->value == 0)
            return 0;
        if (s->tag == tag && s->value != TOMB && eq(key, s->value))
            return s->value;
    } while (probe_next(h, &at, start, cursor));
    return 0;
}

uint32_t table_find(const struct table *t, uint64_t hash, table_eq_fn *eq, const void *key)
{
    uint32_t tag = tag_of(hash);
    uint32_t v = half_find(&t->now, tag & t->now.mask, 0, tag, eq, key);

    if (v == 0 && t->old.slots != NULL)
        v = half_find(&t->old, old_start(t, tag), t->cursor, tag, eq, key);
    return v;
}

static void half_put(struct table_half *h, uint32_t tag, uint32_t value)
{
    uint32_t at = tag & h->mask;

    while (h->slots[at].value != 0)
        at = (at + 1) & h->mask;
    h->slots[at] = (struct table_slot){tag, value};
}

/* A few slots from old to now; the memory behind the cursor is given back in pieces as well. */
static void move_some(struct table *t)
{
    for (unsigned i = 0; i < MOVE_PER_STEP; i++) {
        struct table_slot *s = &t->old.slots[t->cursor];
        if (s->value != 0 && s->value != TOMB)
            half_put(&t->now, s->tag, s->value);
        if (t->cursor++ == t->old.mask) {
            half_unmap(&t->old);
            t->cursor = 0;
            return;
        }
        if (t->cursor % GIVE_BACK == 0)
            madvise(&t->old.slots[t->cursor - GIVE_BACK], GIVE_BACK * sizeof *s, MADV_DONTNEED);
    }
}

bool table_reserve(struct table *t)
{
    uint64_t capacity = (uint64_t)t->now.mask + 1;
    struct table_half bigger = {0};

    if (t->old.slots != NULL)
        move_some(t);
    if ((uint64_t)t->count + 1 <= capacity / 10 * 7)
        return true;
    /* Sixteen slots move per insertion and a half lasts for 0.7 capacities: the last move is long
     * over. */
    CHECK(t->old.slots == NULL);
    if (capacity > UINT32_MAX / 2 || !half_map(&bigger, (uint32_t)capacity * 2))
        return false;
    t->old = t->now;
    t->now = bigger;
    t->cursor = 0;
    return true;
}

void table_insert(struct table *t, uint64_t hash, uint32_t value)
{
    CHECK(value != 0 && value != TOMB);
    half_put(&t->now, tag_of(hash), value);
    t->count++;
}

/* Closes the hole at `hole` by shifting back what would no longer be found behind it (Knuth, 6.4
 * R). */
static void half_close(struct table_half *h, uint32_t hole)
{
    uint32_t at = hole;

    for (;;) {
        at = (at + 1) & h->mask;
        if (h->slots[at].value == 0)
            break;
        uint32_t home = h->slots[at].tag & h->mask;
        if (((at - home) & h->mask) < ((at - hole) & h->mask))
            continue;
        h->slots[hole] = h->slots[at];
        hole = at;
    }
    h->slots[hole] = (struct table_slot){0, 0};
}

static bool half_locate(const struct table_half *h, uint32_t *at, uint32_t cursor, uint32_t value)
{
    uint32_t start = *at;

    do {
        if (h->slots[*at].value == 0)
            return false;
        if (h->slots[*at].value == value)
            return true;
    } while (probe_next(h, at, start, cursor));
    return false;
}

bool table_remove(struct table *t, uint64_t hash, uint32_t value)
{
    uint32_t tag = tag_of(hash), at = tag & t->now.mask;

    if (half_locate(&t->now, &at, 0, value)) {
        half_close(&t->now, at);
        t->count--;
        return true;
    }
    if (t->old.slots == NULL)
        return false;
    at = old_start(t, tag);
    if (!half_locate(&t->old, &at, t->cursor, value))
        return false;
    t->old.slots[at].value = TOMB; /* shifting would fight with the move; this half is gone soon */
    t->count--;
    return true;
}
