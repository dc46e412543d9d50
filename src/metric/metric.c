/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Histogram arithmetic and what readers of the zone need.
 *
 * Bounds are mantissa << octave with four mantissas an octave, the powers of 2^(1/4) times 1000 ns.
 * So a bucket is found by one count of leading zeros and three comparisons, without a table or a
 * float.
 */
#include "metric/metric.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/word.h"

#define PER_OCTAVE 4u

static const uint64_t mantissa_ns[PER_OCTAVE] = {1000, 1189, 1414, 1682};

unsigned histogram_bucket(uint64_t ns)
{
    unsigned octave, bucket;

    if (ns <= mantissa_ns[0])
        return 0;
    /* 1000 << octave < ns <= 1000 << (octave + 1) */
    octave = 63 - (unsigned)__builtin_clzll((ns - 1) / 1000);
    bucket = octave * PER_OCTAVE + 1 + (ns > mantissa_ns[1] << octave) +
             (ns > mantissa_ns[2] << octave) + (ns > mantissa_ns[3] << octave);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

uint64_t histogram_bound_ns(unsigned bucket)
{
    if (bucket >= HISTOGRAM_BUCKETS - 1)
        return UINT64_MAX;
    return mantissa_ns[bucket % PER_OCTAVE] << bucket / PER_OCTAVE;
}

uint64_t histogram_quantile_ns(const uint64_t count[HISTOGRAM_BUCKETS], double q)
{
    uint64_t total = 0, rank, seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        total += count[i];
    if (total == 0)
        return 0;
    q = q < 0 ? 0 : q > 1 ? 1 : q;
    rank = (uint64_t)(q * (double)total);
    if (rank < 1 || (double)rank < q * (double)total)
        rank++;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += count[i];
        if (seen >= rank)
            return histogram_bound_ns(i);
    }
    return UINT64_MAX;
}

void metric_name_short(char out[METRIC_NAME_MAX], const char *name)
{
    size_t n = strlen(name);

    memset(out, 0, METRIC_NAME_MAX);
    if (n < METRIC_NAME_MAX)
        memcpy(out, name, n);
    else
        snprintf(out, METRIC_NAME_MAX, "%.*s~%08x", METRIC_NAME_MAX - 10, name,
                 (unsigned)hash64(slice_of(name, n), 0));
}

static const char *name_at(const char (*names)[METRIC_NAME_MAX], uint32_t n, uint32_t i)
{
    const char *name;

    if (i == 0 || i >= n)
        return NULL;
    name = names[i];
    /* Pairs with the release stores in names.c and index_of. */
    if (__atomic_load_n(name, __ATOMIC_ACQUIRE) == '\0' || name[METRIC_NAME_MAX - 1] != '\0')
        return NULL;
    return name;
}

const char *metric_route_name(const struct metric_zone *z, uint32_t i)
{
    return name_at((const char(*)[METRIC_NAME_MAX])z->route_name, METRIC_ROUTES, i);
}

const char *metric_limit_name(const struct metric_zone *z, uint32_t i)
{
    return name_at((const char(*)[METRIC_NAME_MAX])z->limit_name, METRIC_LIMITS, i);
}

const char *metric_arm_name(const struct metric_zone *z, uint32_t i)
{
    return name_at((const char(*)[METRIC_NAME_MAX])z->arm_name, METRIC_ARMS, i);
}

/* Master only. */
static uint32_t index_of(char (*names)[METRIC_NAME_MAX], uint32_t n, const char *name)
{
    char want[METRIC_NAME_MAX];

    if (name[0] == '\0')
        return 0;
    metric_name_short(want, name);
    for (uint32_t i = 1; i < n; i++) {
        char *slot = names[i];
        if (slot[0] == '\0') {
            memcpy(slot + 1, want + 1, METRIC_NAME_MAX - 1);
            /* The first byte makes the name visible. */
            __atomic_store_n(slot, want[0], __ATOMIC_RELEASE);
            return i;
        }
        if (memcmp(slot, want, METRIC_NAME_MAX) == 0)
            return i;
    }
    return 0;
}

const char *metric_concurrency_name(const struct metric_zone *z, uint32_t i)
{
    return name_at((const char(*)[METRIC_NAME_MAX])z->concurrency_name, METRIC_CONCURRENCY, i);
}

const char *metric_redis_name(const struct metric_zone *z, uint32_t i)
{
    return name_at((const char(*)[METRIC_NAME_MAX])z->redis_name, METRIC_REDIS, i);
}

uint32_t metric_redis_index(struct metric_zone *z, const char *address)
{
    return index_of(z->redis_name, METRIC_REDIS, address);
}

void metric_redis_total(const struct metric_zone *z, unsigned slots, uint32_t server,
                        struct metric_redis_total *out)
{
    *out = (struct metric_redis_total){0};
    for (unsigned s = 0; s < slots && server < METRIC_REDIS; s++) {
        const struct metric_redis *r = &z->blocks[s].redis[server];
        uint64_t state = word_read(&r->state);
        out->workers[state < METRIC_REDIS_STATES ? state : METRIC_REDIS_NONE]++;
        out->calls += word_read(&r->calls);
        out->failures += word_read(&r->failures);
        out->timeouts += word_read(&r->timeouts);
        out->opened += word_read(&r->opened);
        out->sum_ns += word_read(&r->rtt.sum_ns);
        for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
            out->rtt[i] += word_read(&r->rtt.count[i]);
            out->count += word_read(&r->rtt.count[i]);
        }
    }
}

uint64_t metric_limit_total(const struct metric_zone *z, unsigned slots, uint32_t limit,
                            enum metric_limit_outcome outcome)
{
    uint64_t total = 0;

    for (unsigned s = 0; s < slots && limit < METRIC_LIMITS; s++)
        total +=
            atomic_load_explicit(&z->blocks[s].limits[limit].count[outcome], memory_order_relaxed);
    return total;
}

uint64_t metric_counter_total(const struct metric_zone *z, unsigned slots, enum metric_counter c)
{
    uint64_t total = 0;

    for (unsigned s = 0; s < slots; s++)
        total += atomic_load_explicit(&z->blocks[s].counter[c], memory_order_relaxed);
    return total;
}

static void add_histogram(struct metric_route_total *t, const struct histogram *h)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t n = atomic_load_explicit(&h->count[i], memory_order_relaxed);
        t->latency[i] += n;
        t->count += n;
    }
    t->sum_ns += atomic_load_explicit(&h->sum_ns, memory_order_relaxed);
}

static void add_answers(struct metric_route_total *t, const struct metric_route *r)
{
    for (unsigned i = 0; i < 6; i++) {
        uint64_t n = atomic_load_explicit(&r->status[i], memory_order_relaxed);
        t->status[i] += n;
        t->requests += n;
    }
    add_histogram(t, &r->latency);
}

uint64_t metric_side_total(const struct metric_zone *z, unsigned slots, enum metric_side side,
                           struct metric_route_total *out)
{
    *out = (struct metric_route_total){0};
    for (unsigned s = 0; s < slots; s++)
        add_answers(out, &z->blocks[s].sides[side]);
    return out->requests;
}

void metric_adoption_total(const struct metric_zone *z, unsigned slots,
                           struct metric_route_total *out)
{
    *out = (struct metric_route_total){0};
    for (unsigned s = 0; s < slots; s++)
        add_histogram(out, &z->blocks[s].adoption);
}

uint64_t metric_route_total(const struct metric_zone *z, unsigned slots, uint32_t route,
                            struct metric_route_total *out)
{
    *out = (struct metric_route_total){0};
    for (unsigned s = 0; s < slots; s++)
        add_answers(out, &z->blocks[s].routes[route]);
    return out->requests;
}

uint64_t metric_arm_total(const struct metric_zone *z, unsigned slots, uint32_t arm,
                          struct metric_route_total *out, uint64_t *forced)
{
    *out = (struct metric_route_total){0};
    *forced = 0;
    for (unsigned s = 0; s < slots && arm < METRIC_ARMS; s++) {
        const struct metric_arm *a = &z->blocks[s].arms[arm];
        add_answers(out, &a->answers);
        *forced += atomic_load_explicit(&a->forced, memory_order_relaxed);
    }
    return out->requests;
}
