/* SPDX-License-Identifier: BSD-2-Clause */
#include "metric/names.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* Where the names of a kind stand in the zone, and the counters of an index in each block. */
static const struct kind {
    uint32_t n;
    size_t names_off;    /* in the zone */
    size_t counters_off; /* in a block */
    size_t size;         /* of an index's counters: 64-bit words and nothing else */
} kinds[NAME_KINDS] = {
    [NAME_ROUTE] = {METRIC_ROUTES, offsetof(struct metric_zone, route_name),
                    offsetof(struct metric_block, routes), sizeof(struct metric_route)},
    [NAME_LIMIT] = {METRIC_LIMITS, offsetof(struct metric_zone, limit_name),
                    offsetof(struct metric_block, limits), sizeof(struct metric_limit)},
    [NAME_CONCURRENCY] = {METRIC_CONCURRENCY, offsetof(struct metric_zone, concurrency_name),
                          offsetof(struct metric_block, concurrency),
                          sizeof(struct metric_concurrency)},
    [NAME_ARM] = {METRIC_ARMS, offsetof(struct metric_zone, arm_name),
                  offsetof(struct metric_block, arms), sizeof(struct metric_arm)},
};

_Static_assert(sizeof(struct metric_route) % 8 == 0 && sizeof(struct metric_limit) % 8 == 0 &&
                   sizeof(struct metric_concurrency) % 8 == 0 && sizeof(struct metric_arm) % 8 == 0,
               "counters are whole words");

unsigned names_max(enum name_kind kind)
{
    return kinds[kind].n - 1; /* 0 is nobody's */
}

void names_init(struct names *n, struct metric_zone *z, unsigned slots)
{
    memset(n, 0, sizeof *n);
    n->zone = z;
    n->slots = slots;
    for (unsigned k = 0; k < NAME_KINDS; k++)
        n->all[k] = xcalloc(kinds[k].n, sizeof *n->all[k]);
}

void names_fini(struct names *n)
{
    for (unsigned k = 0; k < NAME_KINDS; k++)
        free(n->all[k]);
    memset(n, 0, sizeof *n);
}

void names_begin(struct names *n, uint64_t generation, uint64_t adopted, uint64_t in_use)
{
    n->generation = generation;
    /* When no process is there: the next one starts with the current generation. */
    n->adopted = adopted < generation - 1 ? adopted : generation - 1;
    n->in_use = in_use;
    memset(n->without_index, 0, sizeof n->without_index);
}

static bool may_change_hands(const struct names *n, const struct name_index *x)
{
    return x->text[0] == '\0' || (!x->wanted && x->hidden != 0 && x->hidden <= n->adopted);
}

/* A free one, or the one that was hidden first; 0: none. */
static uint32_t pick(const struct names *n, enum name_kind kind)
{
    const struct name_index *all = n->all[kind];
    uint32_t best = 0;

    for (uint32_t i = 1; i < kinds[kind].n; i++) {
        if (all[i].text[0] == '\0')
            return i;
        if (may_change_hands(n, &all[i]) && (best == 0 || all[i].hidden < all[best].hidden))
            best = i;
    }
    return best;
}

uint32_t names_index(struct names *n, enum name_kind kind, const char *name)
{
    struct name_index *all = n->all[kind];
    char want[METRIC_NAME_MAX];
    uint32_t i;

    metric_name_short(want, name);
    if (want[0] == '\0')
        return 0;
    for (i = 1; i < kinds[kind].n; i++)
        if (memcmp(all[i].text, want, METRIC_NAME_MAX) == 0) {
            all[i].wanted = true;
            return i;
        }
    i = pick(n, kind);
    if (i == 0) {
        n->without_index[kind]++;
        return 0;
    }
    all[i] = (struct name_index){.wanted = true, .fresh = true};
    memcpy(all[i].text, want, METRIC_NAME_MAX);
    return i;
}

static char *shown(const struct names *n, enum name_kind kind, uint32_t i)
{
    return (char *)n->zone + kinds[kind].names_off + (size_t)i * METRIC_NAME_MAX;
}

static void show(char *slot, const char *name)
{
    memcpy(slot + 1, name + 1, METRIC_NAME_MAX - 1);
    /* The first byte makes the name visible; pairs with the load in metric.c, name_at. */
    __atomic_store_n(slot, name[0], __ATOMIC_RELEASE);
}

/* No process counts in it: no bank in use names it. */
static void zero(struct names *n, enum name_kind kind, uint32_t i)
{
    for (unsigned s = 0; s < n->slots; s++) {
        char *block = (char *)&n->zone->blocks[s];
        _Atomic uint64_t *words =
            (void *)(block + kinds[kind].counters_off + (size_t)i * kinds[kind].size);
        for (size_t w = 0; w < kinds[kind].size / sizeof *words; w++)
            atomic_store_explicit(&words[w], 0, memory_order_relaxed);
    }
}

static void commit_one(struct names *n, enum name_kind kind, uint32_t i, uint64_t bank)
{
    struct name_index *x = &n->all[kind][i];
    char *slot = shown(n, kind, i);

    x->banks &= ~bank;
    if (x->wanted) {
        if (x->fresh)
            zero(n, kind, i);
        if (x->fresh || x->hidden != 0)
            show(slot, x->text);
        x->banks |= bank;
        x->hidden = 0;
    } else if (x->hidden == 0 && (x->banks & n->in_use) == 0) {
        /* Release: whoever sees the generation that is published next does not see the name. */
        __atomic_store_n(slot, '\0', __ATOMIC_RELEASE);
        x->hidden = n->generation;
    }
    x->wanted = x->fresh = false;
}

void names_again(struct names *n, unsigned bank)
{
    for (unsigned k = 0; k < NAME_KINDS; k++)
        for (uint32_t i = 1; i < kinds[k].n; i++)
            n->all[k][i].wanted = (n->all[k][i].banks >> bank & 1) != 0;
}

void names_commit(struct names *n, unsigned bank)
{
    for (unsigned k = 0; k < NAME_KINDS; k++)
        for (uint32_t i = 1; i < kinds[k].n; i++)
            if (n->all[k][i].text[0] != '\0')
                commit_one(n, (enum name_kind)k, i, UINT64_C(1) << bank);
}

static void abort_one(struct name_index *x)
{
    /* An index that was to change hands has no name any more, and shows none. */
    if (x->fresh)
        *x = (struct name_index){0};
    x->wanted = false;
}

void names_abort(struct names *n)
{
    for (unsigned k = 0; k < NAME_KINDS; k++)
        for (uint32_t i = 1; i < kinds[k].n; i++)
            abort_one(&n->all[k][i]);
}
