/* SPDX-License-Identifier: BSD-2-Clause */
#include "metric/route_names.h"

#include <string.h>

void route_names_init(struct route_names *n, struct metric_zone *z, unsigned slots)
{
    memset(n, 0, sizeof *n);
    n->zone = z;
    n->slots = slots;
}

void route_names_begin(struct route_names *n, uint64_t generation, uint64_t adopted,
                       uint64_t in_use)
{
    n->generation = generation;
    /* When no process is there: the next one starts with the current generation. */
    n->adopted = adopted < generation - 1 ? adopted : generation - 1;
    n->in_use = in_use;
    n->without_index = 0;
}

static bool may_change_hands(const struct route_names *n, const struct route_name *r)
{
    return r->text[0] == '\0' || (!r->wanted && r->hidden != 0 && r->hidden <= n->adopted);
}

/* A free one, or the one that was hidden first; 0: none. */
static uint32_t pick(const struct route_names *n)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < METRIC_ROUTES; i++) {
        const struct route_name *r = &n->all[i];
        if (r->text[0] == '\0')
            return i;
        if (may_change_hands(n, r) && (best == 0 || r->hidden < n->all[best].hidden))
            best = i;
    }
    return best;
}

uint32_t route_names_index(struct route_names *n, const char *name)
{
    char want[METRIC_NAME_MAX];
    uint32_t i;

    metric_name_short(want, name);
    if (want[0] == '\0')
        return 0;
    for (i = 1; i < METRIC_ROUTES; i++)
        if (memcmp(n->all[i].text, want, METRIC_NAME_MAX) == 0) {
            n->all[i].wanted = true;
            return i;
        }
    i = pick(n);
    if (i == 0) {
        n->without_index++;
        return 0;
    }
    n->all[i] = (struct route_name){.wanted = true, .fresh = true};
    memcpy(n->all[i].text, want, METRIC_NAME_MAX);
    return i;
}

static void show(char slot[METRIC_NAME_MAX], const char *name)
{
    memcpy(slot + 1, name + 1, METRIC_NAME_MAX - 1);
    /* The first byte makes the name visible; pairs with the load in metric_route_name. */
    __atomic_store_n(slot, name[0], __ATOMIC_RELEASE);
}

/* No process counts in it: no bank in use names it. */
static void zero(struct route_names *n, uint32_t i)
{
    for (unsigned s = 0; s < n->slots; s++) {
        struct metric_route *r = &n->zone->blocks[s].routes[i];
        for (unsigned k = 0; k < sizeof r->status / sizeof *r->status; k++)
            atomic_store_explicit(&r->status[k], 0, memory_order_relaxed);
        for (unsigned k = 0; k < HISTOGRAM_BUCKETS; k++)
            atomic_store_explicit(&r->latency.count[k], 0, memory_order_relaxed);
        atomic_store_explicit(&r->latency.sum_ns, 0, memory_order_relaxed);
    }
}

static void commit_one(struct route_names *n, uint32_t i, uint64_t bank)
{
    struct route_name *r = &n->all[i];
    char *slot = n->zone->route_name[i];

    r->banks &= ~bank;
    if (r->wanted) {
        if (r->fresh)
            zero(n, i);
        if (r->fresh || r->hidden != 0)
            show(slot, r->text);
        r->banks |= bank;
        r->hidden = 0;
    } else if (r->hidden == 0 && (r->banks & n->in_use) == 0) {
        /* Release: whoever sees the generation that is published next does not see the name. */
        __atomic_store_n(slot, '\0', __ATOMIC_RELEASE);
        r->hidden = n->generation;
    }
    r->wanted = r->fresh = false;
}

void route_names_again(struct route_names *n, unsigned bank)
{
    for (uint32_t i = 1; i < METRIC_ROUTES; i++)
        n->all[i].wanted = (n->all[i].banks >> bank & 1) != 0;
}

void route_names_commit(struct route_names *n, unsigned bank)
{
    for (uint32_t i = 1; i < METRIC_ROUTES; i++)
        if (n->all[i].text[0] != '\0')
            commit_one(n, i, UINT64_C(1) << bank);
}

void route_names_abort(struct route_names *n)
{
    for (uint32_t i = 1; i < METRIC_ROUTES; i++) {
        struct route_name *r = &n->all[i];
        /* An index that was to change hands has no name any more, and shows none. */
        if (r->fresh)
            *r = (struct route_name){0};
        r->wanted = false;
    }
}
