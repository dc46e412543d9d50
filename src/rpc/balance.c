/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/balance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"

#define RETRY_MILLI 1000u /* of one retry */

static struct balance_endpoint *endpoint_new(const struct rpc_endpoint_config *cfg)
{
    struct balance_endpoint *e = calloc(1, sizeof *e);

    if (e == NULL || (e->address = malloc(cfg->address.n + 1)) == NULL) {
        free(e);
        return NULL;
    }
    if (cfg->address.n > 0)
        memcpy(e->address, cfg->address.p, cfg->address.n);
    e->address[cfg->address.n] = '\0';
    memcpy(&e->sa, cfg->sa, cfg->sa_len);
    e->sa_len = cfg->sa_len;
    e->seed = hash64(cfg->address, 0);
    e->index = UINT32_MAX;
    e->refs = 1;
    return e;
}

struct balance_endpoint *balance_endpoint_get(struct balance_endpoint *e)
{
    CHECK(e->refs > 0);
    e->refs++;
    return e;
}

void balance_endpoint_put(struct balance_endpoint **ep)
{
    struct balance_endpoint *e = *ep;

    *ep = NULL;
    if (e == NULL)
        return;
    CHECK(e->refs > 0);
    if (--e->refs > 0)
        return;
    free(e->address);
    free(e);
}

static bool endpoint_same(const struct balance_endpoint *e, const struct rpc_endpoint_config *cfg)
{
    return slice_eq(slice_str(e->address), cfg->address) && e->sa_len == cfg->sa_len &&
           memcmp(&e->sa, cfg->sa, cfg->sa_len) == 0;
}

/* Takes the endpoint that matches out of the old array, or makes a new one, without an index. NULL:
 * out of memory. */
static struct balance_endpoint *endpoint_adopt(struct balance *b,
                                               const struct rpc_endpoint_config *cfg)
{
    for (unsigned i = 0; i < b->n; i++) {
        struct balance_endpoint *e = b->endpoints[i];
        if (e != NULL && endpoint_same(e, cfg)) {
            b->endpoints[i] = NULL;
            return e;
        }
    }
    return endpoint_new(cfg);
}

static void endpoints_drop(struct balance *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        if (b->endpoints[i] != NULL) {
            b->endpoints[i]->left = true;
            balance_endpoint_put(&b->endpoints[i]);
        }
    }
    free(b->endpoints);
    b->endpoints = NULL;
    b->n = 0;
}

/* Fills next; on failure everything is back where it was. */
static bool endpoints_adopt(struct balance *b, const struct balance_config *cfg,
                            struct balance_endpoint **next)
{
    for (unsigned i = 0; i < cfg->endpoints_n; i++) {
        next[i] = endpoint_adopt(b, &cfg->endpoints[i]);
        if (next[i] != NULL)
            continue;
        while (i-- > 0) {
            if (next[i]->index != UINT32_MAX)
                b->endpoints[next[i]->index] = next[i];
            else
                balance_endpoint_put(&next[i]);
        }
        return false;
    }
    return true;
}

int balance_update(struct balance *b, const struct balance_config *cfg)
{
    struct balance_endpoint **next;

    for (unsigned i = 0; i < cfg->endpoints_n; i++) {
        const struct rpc_endpoint_config *e = &cfg->endpoints[i];
        if (e->sa == NULL || e->sa_len == 0 || e->sa_len > sizeof(struct sockaddr_storage))
            return -EINVAL;
    }
    next = calloc(cfg->endpoints_n > 0 ? cfg->endpoints_n : 1, sizeof(struct balance_endpoint *));
    if (next == NULL || !endpoints_adopt(b, cfg, next)) {
        free(next);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < cfg->endpoints_n; i++) {
        next[i]->health = cfg->endpoints[i].health;
        next[i]->index = i;
    }
    endpoints_drop(b);
    b->endpoints = next;
    b->n = cfg->endpoints_n;
    b->rendezvous = cfg->rendezvous;
    b->eject_failures = cfg->eject_failures;
    b->eject_ns = cfg->eject_ms * NS_PER_MS;
    b->retry_percent = cfg->retry_budget_percent;
    return 0;
}

int balance_init(struct balance *b, const struct balance_config *cfg, uint64_t *rng)
{
    *b = (struct balance){.rng = rng};
    return balance_update(b, cfg);
}

void balance_fini(struct balance *b)
{
    endpoints_drop(b);
}

bool balance_is_up(const struct balance_endpoint *e)
{
    /* A hint written by the keeper; nothing else is read on the strength of it. */
    return e->health == NULL || atomic_load_explicit(e->health, memory_order_relaxed) == 0;
}

bool balance_is_ejected(const struct balance_endpoint *e, uint64_t now_ns)
{
    return e->ejected_until_ns > now_ns;
}

/* What a pick demands, from choosy to desperate; each pass of the list below tries the next. */
struct demand {
    bool ejected_too; /* panic */
    bool avoided_too;
};

static bool endpoint_fits(const struct balance_endpoint *e, uint64_t now_ns,
                          const struct balance_endpoint *avoid, struct demand d)
{
    return balance_is_up(e) && (d.avoided_too || e != avoid) &&
           (d.ejected_too || !balance_is_ejected(e, now_ns));
}

static struct balance_endpoint *pick_rendezvous(struct balance *b, uint64_t now_ns, uint64_t hash,
                                                const struct balance_endpoint *avoid,
                                                struct demand d)
{
    struct balance_endpoint *best = NULL;
    uint64_t best_weight = 0;

    for (unsigned i = 0; i < b->n; i++) {
        struct balance_endpoint *e = b->endpoints[i];
        uint64_t weight = hash_mix(hash ^ e->seed);
        if ((best == NULL || weight > best_weight) && endpoint_fits(e, now_ns, avoid, d)) {
            best = e;
            best_weight = weight;
        }
    }
    return best;
}

static struct balance_endpoint *less_loaded(struct balance_endpoint *x, struct balance_endpoint *y)
{
    return y->in_flight < x->in_flight ? y : x;
}

/* The k-th endpoint that fits. */
static struct balance_endpoint *fitting(struct balance *b, uint64_t now_ns,
                                        const struct balance_endpoint *avoid, struct demand d,
                                        unsigned k)
{
    for (unsigned i = 0; i < b->n; i++) {
        if (endpoint_fits(b->endpoints[i], now_ns, avoid, d) && k-- == 0)
            return b->endpoints[i];
    }
    return NULL;
}

static struct balance_endpoint *pick_p2c(struct balance *b, uint64_t now_ns,
                                         const struct balance_endpoint *avoid, struct demand d)
{
    unsigned fit = 0, x, y;
    uint64_t r;

    for (unsigned i = 0; i < b->n; i++)
        fit += endpoint_fits(b->endpoints[i], now_ns, avoid, d);
    if (fit <= 1)
        return fit == 0 ? NULL : fitting(b, now_ns, avoid, d, 0);
    /* Two different ones: the second is drawn from the rest and stepped over the first. */
    r = random_next(b->rng);
    x = (unsigned)((r & UINT32_MAX) % fit);
    y = (unsigned)((r >> 32) % (fit - 1));
    y += y >= x;
    return less_loaded(fitting(b, now_ns, avoid, d, x), fitting(b, now_ns, avoid, d, y));
}

struct balance_endpoint *balance_pick(struct balance *b, uint64_t now_ns, uint64_t hash,
                                      const struct balance_endpoint *avoid)
{
    static const struct demand demands[] = {{false, false}, {false, true}, {true, true}};

    for (unsigned i = 0; i < sizeof demands / sizeof demands[0]; i++) {
        struct balance_endpoint *e = b->rendezvous
                                         ? pick_rendezvous(b, now_ns, hash, avoid, demands[i])
                                         : pick_p2c(b, now_ns, avoid, demands[i]);
        if (e != NULL)
            return e;
    }
    return NULL;
}

void balance_begin(struct balance_endpoint *e)
{
    balance_endpoint_get(e);
    e->in_flight++;
    e->calls++;
}

static void endpoint_failed(struct balance *b, struct balance_endpoint *e, uint64_t now_ns)
{
    /* Calls that were already under way when it was ejected say nothing new. */
    if (balance_is_ejected(e, now_ns))
        return;
    e->failures_run++;
    if (b->eject_failures == 0 || e->failures_run < b->eject_failures)
        return;
    e->ejected_until_ns = now_ns + b->eject_ns;
    e->failures_run = b->eject_failures - 1; /* probation afterwards */
}

void balance_end(struct balance *b, struct balance_endpoint *e, enum balance_outcome outcome,
                 uint64_t now_ns)
{
    CHECK(e->in_flight > 0);
    e->in_flight--;
    if (outcome == BALANCE_OK) {
        e->failures_run = 0;
        e->ejected_until_ns = 0;
    } else if (outcome != BALANCE_NEUTRAL) {
        e->failures++;
        if (outcome == BALANCE_FAILED)
            endpoint_failed(b, e, now_ns);
    }
    balance_endpoint_put(&e);
}

void balance_connect_failed(struct balance *b, struct balance_endpoint *e, uint64_t now_ns)
{
    endpoint_failed(b, e, now_ns);
}

static void retry_add(struct balance *b, uint64_t milli)
{
    uint64_t sum = b->retry_milli + milli, cap = BALANCE_RETRY_BURST * RETRY_MILLI;

    b->retry_milli = (uint32_t)(sum < cap ? sum : cap);
}

void balance_retry_earn(struct balance *b)
{
    retry_add(b, b->retry_percent * (RETRY_MILLI / 100));
}

/* Credits the minimum per second since the last time, at most one second of it at once. */
static void retry_feed(struct balance *b, uint64_t now_ns)
{
    uint64_t passed = now_ns - b->retry_fed_ns;

    if (passed > NS_PER_S)
        passed = NS_PER_S;
    uint64_t milli = passed * BALANCE_RETRY_MIN_PER_S * RETRY_MILLI / NS_PER_S;
    if (milli == 0)
        return;
    b->retry_fed_ns = now_ns;
    retry_add(b, milli);
}

bool balance_retry_take(struct balance *b, uint64_t now_ns)
{
    if (b->retry_percent == 0)
        return false;
    retry_feed(b, now_ns);
    if (b->retry_milli < RETRY_MILLI)
        return false;
    b->retry_milli -= RETRY_MILLI;
    b->retries++;
    return true;
}
