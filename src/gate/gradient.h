/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many calls a service should have at once, learnt from how long they take: a gradient limit
 * after Netflix's concurrency-limits (Gradient2), which compares latency now (short) with latency
 * when there is no queue (long):
 *
 *   gradient = clamp(tolerance * long / short, 0.5, 1)
 *   limit    = smoothed(limit * gradient + sqrt(limit)), between min and max
 *
 * The root is room for growth: it keeps a short queue, so that a service which can do more shows
 * it. Once a round, i.e. the time a call takes now, since only then the last change can be seen.
 * While less than half the limit is used it stays: nothing was tried, so nothing was learnt.
 *
 * What differs is the long-term latency. An average over everything follows a queue that lasts,
 * takes it for normal, and lets the limit creep to its maximum. Here only *calm* calls count
 * upwards, those that started while at most a quarter of the limit was in use; a shorter latency
 * counts always. Under load without a pause there are no calm calls, so every ten seconds or 300
 * calls' time, whichever is longer, the limit is a quarter for a few calls (a probe), or once a
 * second until there has been a first calm moment, and after the limit has fallen by half, since
 * then either the service has less room (the probe finds the old latency) or became slower (the
 * probe finds a new one). Probes fall on whole multiples of
 * the period of CLOCK_MONOTONIC: all workers of a host probe together, or each would measure the
 * queue of the others.
 *
 * A call that fails (no connection, deadline) lowers the limit by a tenth, but once for all calls
 * that were under way together, as TCP does.
 *
 * Pure arithmetic on what it is told: no clock, no memory of its own.
 */
#ifndef GATE_GRADIENT_H
#define GATE_GRADIENT_H

#include <stdbool.h>
#include <stdint.h>

struct gradient_config {
    double min, max; /* calls at once, min >= 1 */
    double initial;
    double tolerance; /* short over long that is no sign of a queue yet: 1.5 */
};

/* Mean of a number of calls. */
struct gradient_mean {
    double sum_ns;
    uint32_t n;
};

struct gradient {
    struct gradient_config cfg;
    double limit;
    double long_ns, short_ns; /* 0: not known yet */
    struct gradient_mean round, calm;
    uint64_t round_start_ns;
    uint32_t round_in_flight; /* most at once in it */
    uint64_t drop_ns;         /* of the last fall by a failure */
    uint64_t measured_ns;     /* when calm calls or a probe last said what is normal */
    double measured_limit;    /* the limit then */
    bool calm_seen; /* long_ns comes from calm calls, and not only from the shortest loaded ones */
    bool probing;
    uint64_t probe_end_ns; /* the latest */
};

/* long_ns: what a predecessor knew, 0 nothing. */
void gradient_init(struct gradient *g, const struct gradient_config *cfg, uint64_t now_ns,
                   double long_ns);
/* Other bounds; what was learnt stays as far as they allow. */
void gradient_configure(struct gradient *g, const struct gradient_config *cfg);
/* Calls that may be under way at once now. */
uint32_t gradient_limit(const struct gradient *g);
/* A call was answered. in_flight: how many there were when it started, with it. */
void gradient_answered(struct gradient *g, uint64_t now_ns, uint64_t start_ns, uint32_t in_flight);
/* A call failed in a way that overload makes calls fail. */
void gradient_failed(struct gradient *g, uint64_t now_ns, uint64_t start_ns, uint32_t in_flight);

#endif
