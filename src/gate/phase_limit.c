/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Phase limit: the rate limits of the route (table/limit.h). Those that enforce are taken together
 * or not at all; those that only watch are asked afterwards, about requests that got in.
 *
 * A key is a hash, chained over its parts, so nothing is copied and nothing is too long. Buckets
 * belong to the limit's id (its name and what it counts by), not to the route or the generation.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "gate/explain_note.h"
#include "gate/limit_bucket.h"
#include "gate/limit_group.h"
#include "gate/request.h"

/* The limits of one request: first those that enforce. */
struct asked {
    struct limit_group set;
    const struct conf_route_limit *route[CONF_ROUTE_LIMITS];
};
_Static_assert(CONF_ROUTE_LIMITS <= LIMIT_GROUP_MAX, "all limits of a route fit");

/* A canary shares the buckets of a limit that says the same; else it counts in buckets of its own,
 * so that another rate does not forgive or charge what the stable one has counted. */
static uint64_t bucket_id(const struct gate *g, const struct generation *gen,
                          const struct conf_rate_limit *l)
{
    const struct conf_root *stable = gen->canary ? g->current->root : gen->root;

    for (uint32_t i = 0; gen->canary && i < stable->rate_limits.n; i++) {
        const struct conf_rate_limit *s = &conf_rate_limits(stable)[i];
        if (s->id == l->id && s->period_ns == l->period_ns && s->tokens == l->tokens &&
            s->burst == l->burst && s->cost == l->cost)
            return l->id;
    }
    return gen->canary ? hash_mix(l->id) : l->id;
}

bool limits_prepare(struct gate *g, struct generation *gen)
{
    const struct conf_root *root = gen->root;
    const struct conf_rate_limit *l = conf_rate_limits(root);
    uint64_t prefix = hash64(conf_slice(root, root->redis.prefix), 0);

    gen->limits = calloc(root->rate_limits.n + 1, sizeof(*gen->limits));
    for (uint32_t i = 0; gen->limits != NULL && i < root->rate_limits.n; i++) {
        uint64_t interval = limit_interval(l[i].tokens, l[i].period_ns);
        gen->limits[i] = (struct limit_info){
            .seed = hash_mix(bucket_id(g, gen, &l[i]) ^ g->ctx.limits.zone->seed),
            .shared_seed =
                l[i].shared ? limit_fingerprint(hash_mix(bucket_id(g, gen, &l[i]) ^ prefix)) : 0,
            .interval = interval,
            .capacity = l[i].burst * interval,
            .charge = l[i].cost * interval,
        };
    }
    return gen->limits != NULL;
}

/* --- keys --- */

static uint64_t hash_part(const struct gate_request *q, const struct conf_rate_limit *l,
                          const struct conf_key_part *part, uint32_t var, uint64_t seed)
{
    switch ((enum conf_key)part->kind) {
    case CONF_IDENTITY:
        if (q->identity.n > 0)
            return limit_hash_identity(q->identity, seed);
        return limit_hash_address(q->client, l, seed);
    case CONF_CLIENT_IP:
        return limit_hash_address(q->client, l, seed);
    case CONF_ROUTE:
        return hash64(conf_slice(q->gen->root, q->route->name), seed);
    case CONF_HEADER:
        return hash64(http_header_get(q->http, conf_slice(q->gen->root, part->name)), seed);
    case CONF_PATH:
        return hash64(var < q->vars_n ? q->vars[var] : SLICE_NONE, seed);
    case CONF_CONSTANT:
        break;
    }
    return seed;
}

/* The hash of the limit's key; every seed gives a fingerprint of its own. */
static uint64_t hash_key(const struct gate_request *q, const struct conf_rate_limit *l,
                         const struct conf_route_limit *rl, uint64_t seed)
{
    for (unsigned i = 0; i < l->parts_n; i++)
        seed = hash_part(q, l, &l->part[i], rl->var[i], seed);
    return limit_fingerprint(seed);
}

static void ask_add(const struct gate_request *q, const struct conf_route_limit *rl,
                    struct asked *all)
{
    const struct conf_rate_limit *l = &conf_rate_limits(q->gen->root)[rl->limit];
    const struct limit_info *info = &q->gen->limits[rl->limit];

    all->set.key[all->set.n].fingerprint = 0;
    if (info->shared_seed != 0)
        all->set.key[all->set.n] = (struct shared_key){
            .fingerprint = hash_key(q, l, rl, info->shared_seed),
            .limit = conf_slice(q->gen->root, l->name),
            .stat = l->stat,
            .lease = l->lease,
        };
    all->set.ask[all->set.n] = (struct limit_ask){
        .fingerprint = hash_key(q, l, rl, info->seed),
        .interval = info->interval,
        .capacity = info->capacity,
        .charge = info->charge,
        .overflow = l->stat,
    };
    all->route[all->set.n] = rl;
    all->set.conf[all->set.n++] = l;
    all->set.enforced += l->mode == CONF_ENFORCE;
}

/* --- what is told --- */

static void tell(struct gate_request *q, const struct asked *all)
{
    if (q->gen->root->limit_headers != CONF_OFF && all->set.enforced > 0)
        q->limit_headers = limit_headers(q, all->route, &all->set);
}

static void count(const struct gate_request *q, const struct conf_rate_limit *l,
                  const struct limit_ask *a, enum metric_limit_outcome outcome)
{
    limit_count(q->gate->ctx.metrics, l, a, outcome);
}

/* 429 that names the limits it went against, and says when to come back. */
static enum phase_verdict refuse(struct gate_request *q, const struct asked *all, uint64_t now_ns)
{
    struct refusal why = {.status = 429, .reason = "rate-limited"};
    struct slice names[CONF_ROUTE_LIMITS];
    size_t n = 0, used;
    uint64_t wait = 0;
    char members[24 + CONF_ROUTE_LIMITS * 64];

    for (unsigned i = 0; i < all->set.enforced; i++) {
        if (all->set.ask[i].allowed)
            continue;
        count(q, all->set.conf[i], &all->set.ask[i], LIMIT_DENIED);
        limit_offended(q, all->route[i], all->set.ask[i].fingerprint, now_ns);
        names[n++] = conf_slice(q->gen->root, all->set.conf[i]->name);
        wait = all->set.ask[i].wait > wait ? all->set.ask[i].wait : wait;
    }
    memcpy(members, "\"violated-policies\":[", 21);
    used = 21;
    for (size_t i = 0; i < n; i++) {
        /* At most 48 letters, digits, - _ . (schema.def): they need no escaping. */
        members[used++] = '"';
        memcpy(members + used, names[i].p, names[i].n);
        used += names[i].n;
        members[used++] = '"';
        members[used++] = i + 1 < n ? ',' : ']';
    }
    q->refused_ns = now_ns;
    why.members = slice_of(members, used);
    why.detail = SLICE_LIT("More requests than the limit allows; see Retry-After.");
    why.retry_after_s = (uint32_t)limit_seconds(wait);
    return gate_refuse_with(q, &why);
}

/* For an explanation: the buckets of this host, and nothing is taken. */
static bool look_only(struct gate_request *q, struct asked *all, unsigned first, unsigned end,
                      uint64_t now_ns)
{
    bool ok = true;

    for (unsigned i = first; i < end; i++) {
        ok = limit_look(q->gate->ctx.limits.zone, &all->set.ask[i], now_ns) && ok;
        explain_limit(q, all->route[i], &all->set.ask[i], now_ns);
    }
    return ok;
}

static bool take(struct gate_request *q, struct asked *all, uint64_t now_ns)
{
    if (q->explain != NULL)
        return look_only(q, all, 0, all->set.enforced, now_ns);
    return limit_group_take(q->gate, &all->set, now_ns);
}

static void watch(struct gate_request *q, struct asked *all, uint64_t now_ns)
{
    if (q->explain != NULL) {
        look_only(q, all, all->set.enforced, all->set.n, now_ns);
        return;
    }
    for (unsigned i = all->set.enforced; i < all->set.n; i++) {
        bool ok = limit_group_watch(q->gate, &all->set, i, now_ns);
        count(q, all->set.conf[i], &all->set.ask[i], ok ? LIMIT_ALLOWED : LIMIT_SHADOW_DENIED);
        if (!ok)
            limit_offended(q, all->route[i], all->set.ask[i].fingerprint, now_ns);
    }
}

enum phase_verdict phase_limit(struct gate_request *q)
{
    const struct conf_route_limit *limits = conf_at(q->gen->root, q->route->limits);
    struct asked all;
    uint64_t now_ns;

    if (q->route->limits.n == 0)
        return PHASE_NEXT;
    all.set.n = all.set.enforced = 0;
    for (uint32_t i = 0; i < q->route->limits.n && i < CONF_ROUTE_LIMITS; i++)
        ask_add(q, &limits[i], &all);
    now_ns = clock_mono_ns();
    if (!take(q, &all, now_ns)) {
        tell(q, &all);
        return refuse(q, &all, now_ns);
    }
    for (unsigned i = 0; i < all.set.enforced; i++)
        count(q, all.set.conf[i], &all.set.ask[i], LIMIT_ALLOWED);
    tell(q, &all);
    watch(q, &all, now_ns);
    return PHASE_NEXT;
}
