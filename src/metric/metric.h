/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The metric zone: counters and latency histograms. Each slot (process) has a block of its own and
 * is its only writer, so that counting is a load and a store, without a locked instruction; a
 * reader sums the blocks. Blocks outlive their process: counters stay cumulative over respawns. The
 * box office, a program of its own, counts nothing here: its slot's block is the master's.
 *
 *   header | names of routes, limits, arms (master) | block of slot 0 | block of slot 1 | ...
 *   block:  counters[] | limits[METRIC_LIMITS] | redis[METRIC_REDIS] |
 * concurrency[METRIC_CONCURRENCY] | routes[METRIC_ROUTES]{status classes, histogram} |
 * arms[METRIC_ARMS]{as a route, forced}
 *
 * Killed between load and store, a counter misses one event; it never holds a wrong value.
 */
#ifndef METRIC_METRIC_H
#define METRIC_METRIC_H

#include <stdatomic.h>
#include <stdint.h>

#include "shm/control.h"
#include "shm/zone.h"

#define METRIC_LAYOUT      8u
#define METRIC_MASTER      CONTROL_BOXOFFICE /* the block that the master writes */
#define METRIC_ROUTES      1024 /* route indexes (conf_route.stat); index 0 is "no route" */
#define METRIC_LIMITS      256  /* limit indexes (conf_rate_limit.stat); index 0: all are taken */
#define METRIC_CONCURRENCY 256  /* indexes of concurrency limits; index 0: all were taken */
#define METRIC_ARMS        256  /* arm indexes (conf_arm.stat); index 0: all were taken */
#define METRIC_REDIS       32   /* indexes of Redis servers; index 0: all were taken */
#define METRIC_NAME_MAX    64   /* bytes of a route's name with its NUL */

enum metric_counter {
#define COUNTER(name, prom, labels, help) METRIC_##name,
#include "metric/counters.def"
#undef COUNTER
    METRIC_COUNTERS
};

/*
 * Histogram of durations: four buckets an octave from 1 us, so a quantile read from it is at most
 * 19 % too high. Bucket i holds durations above bound(i-1) up to bound(i).
 */
#define HISTOGRAM_BUCKETS 104

struct histogram {
    _Atomic uint64_t count[HISTOGRAM_BUCKETS];
    _Atomic uint64_t sum_ns;
};

unsigned histogram_bucket(uint64_t ns);
uint64_t histogram_bound_ns(unsigned bucket); /* upper bound, inclusive; UINT64_MAX for the last */
/* Upper bound of the bucket in which quantile q (0..1) of the summed counts lies; 0 when empty. */
uint64_t histogram_quantile_ns(const uint64_t count[HISTOGRAM_BUCKETS], double q);

struct metric_route {
    _Atomic uint64_t status[6]; /* [1..5]: answers by class; [0]: client left before the answer */
    struct histogram
        latency; /* from the first byte of the request to the answer handed to the kernel */
};

/* What a limit decided: METRIC_LIMIT_OUTCOMES words. */
enum metric_limit_outcome {
    LIMIT_ALLOWED,
    LIMIT_DENIED,
    LIMIT_SHADOW_DENIED, /* admitted, because the limit only watches */
    LIMIT_OVERFLOWED,    /* of these: decided by the bucket that keys without a place share */
    LIMIT_LEASED,        /* shared: tokens leased from Redis */
    LIMIT_UNCONFIRMED,   /* shared: admitted before Redis was heard, charged with the next call */
    LIMIT_FALLBACK,      /* shared: admitted by the host alone, because Redis is away or late */
    METRIC_LIMIT_OUTCOMES
};

struct metric_limit {
    _Atomic uint64_t count[METRIC_LIMIT_OUTCOMES];
};

/* A concurrency limit in one worker. Gauges of a process, counters of the slot. */
struct metric_concurrency {
    _Atomic uint64_t limit_milli; /* calls at once, in thousandths; 0: never used */
    _Atomic uint64_t in_flight;
    _Atomic uint64_t long_ns, short_ns; /* latency without load, and now; 0: not known */
    _Atomic uint64_t admitted, refused;
    _Atomic uint64_t shadow_refused; /* admitted, because it only watches */
    _Atomic uint64_t failed;         /* calls that failed in a way that lowers the limit */
};

/* An arm of a split. */
struct metric_arm {
    struct metric_route answers; /* of requests that the hash put there and that reached it */
    _Atomic uint64_t forced;     /* of requests that named it; in no other figure */
};

enum metric_redis_state {
    METRIC_REDIS_NONE, /* this worker does not use it */
    METRIC_REDIS_DOWN,
    METRIC_REDIS_CONNECTING,
    METRIC_REDIS_UP,
    METRIC_REDIS_OPEN, /* the breaker is open */
    METRIC_REDIS_HALF_OPEN,
    METRIC_REDIS_STATES
};

/* A Redis server as one worker sees it. */
struct metric_redis {
    _Atomic uint64_t state; /* enum metric_redis_state, a gauge */
    _Atomic uint64_t calls, failures, timeouts, opened;
    struct histogram rtt;
};

/* Of a canary. */
enum metric_side { SIDE_STABLE, SIDE_CANARY, METRIC_SIDES };

struct metric_block {
    _Alignas(SHM_LINE) _Atomic uint64_t counter[METRIC_COUNTERS];
    struct histogram adoption; /* from a flip until the process used that configuration */
    struct metric_route sides[METRIC_SIDES]; /* requests that began beside a canary */
    struct metric_limit limits[METRIC_LIMITS];
    struct metric_redis redis[METRIC_REDIS];
    struct metric_concurrency concurrency[METRIC_CONCURRENCY];
    struct metric_route routes[METRIC_ROUTES];
    struct metric_arm arms[METRIC_ARMS];
};

struct metric_zone {
    struct zone_header head;
    char route_name[METRIC_ROUTES]
                   [METRIC_NAME_MAX]; /* NUL-terminated, "" unused; written by the master before a
                            generation that uses the index is published (names.h) */
    char limit_name[METRIC_LIMITS][METRIC_NAME_MAX];            /* the same */
    char concurrency_name[METRIC_CONCURRENCY][METRIC_NAME_MAX]; /* the same: "upstream/shop" */
    char arm_name[METRIC_ARMS][METRIC_NAME_MAX];                /* the same: "split/arm" */
    char redis_name[METRIC_REDIS][METRIC_NAME_MAX]; /* addresses; an index stays a name's */
    struct metric_block blocks[CONTROL_SLOTS];
};

/* Single writer: no other process adds to this word. */
static inline void metric_add(_Atomic uint64_t *word, uint64_t n)
{
    atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void histogram_record(struct histogram *h, uint64_t ns)
{
    metric_add(&h->count[histogram_bucket(ns)], 1);
    metric_add(&h->sum_ns, ns);
}

/* A name as it stands in the zone: a long one keeps its start and is told apart by a hash. */
void metric_name_short(char out[METRIC_NAME_MAX], const char *name);

/* Name of an index in use, NULL for index 0 and free ones. Any process, at any time; what it
 * returns stays as it is while the process holds its generation (metric/names.h). Between names may
 * be free indexes. */
const char *metric_route_name(const struct metric_zone *z, uint32_t i);
const char *metric_limit_name(const struct metric_zone *z, uint32_t i);
const char *metric_arm_name(const struct metric_zone *z, uint32_t i);
const char *metric_concurrency_name(const struct metric_zone *z, uint32_t i);

/* Index of the counters of a Redis server: the one it had before, else a fresh one; 0 when all were
 * given away. Master only. */
const char *metric_redis_name(const struct metric_zone *z, uint32_t i);
uint32_t metric_redis_index(struct metric_zone *z, const char *address);

/*
 * What readers want: sums over slots. `slots` is how many blocks are looked at from slot 0 on: the
 * workers in use for routes (reading a page of the zone that was never written makes the kernel
 * provide it), or CONTROL_SLOTS.
 */
struct metric_route_total {
    uint64_t requests; /* sum of status[] */
    uint64_t status[6];
    uint64_t count; /* sum of latency[] */
    uint64_t sum_ns;
    uint64_t latency[HISTOGRAM_BUCKETS];
};
uint64_t metric_counter_total(const struct metric_zone *z, unsigned slots, enum metric_counter c);
struct metric_redis_total {
    uint32_t workers[METRIC_REDIS_STATES]; /* how many are in each state */
    uint64_t calls, failures, timeouts, opened;
    uint64_t count, sum_ns; /* of rtt[] */
    uint64_t rtt[HISTOGRAM_BUCKETS];
};
void metric_redis_total(const struct metric_zone *z, unsigned slots, uint32_t server,
                        struct metric_redis_total *out);
uint64_t metric_limit_total(const struct metric_zone *z, unsigned slots, uint32_t limit,
                            enum metric_limit_outcome outcome);
/* Returns out->requests. */
uint64_t metric_route_total(const struct metric_zone *z, unsigned slots, uint32_t route,
                            struct metric_route_total *out);
uint64_t metric_side_total(const struct metric_zone *z, unsigned slots, enum metric_side side,
                           struct metric_route_total *out);
/* Only count, sum_ns and latency. */
void metric_adoption_total(const struct metric_zone *z, unsigned slots,
                           struct metric_route_total *out);
/* The same of an arm; *forced: requests that named it. */
uint64_t metric_arm_total(const struct metric_zone *z, unsigned slots, uint32_t arm,
                          struct metric_route_total *out, uint64_t *forced);

#endif
