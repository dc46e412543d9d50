/* SPDX-License-Identifier: BSD-2-Clause */
#include "gate/gradient.h"

#include <math.h>

#include "base/clock.h"

#define SMOOTHING      0.2 /* share of a new limit that is taken over */
#define GRADIENT_MIN   0.5
#define FAILED_FACTOR  0.9
#define ROUND_CALLS    10u /* fewest in a round */
#define CALM_CALLS     10u /* of which a mean says something */
#define CALM_SHARE     4.0
#define LONG_BY_PROBE  0.5 /* how far one mean moves the long-term latency */
#define LONG_BY_CALM   0.1
#define PERIOD_CALLS   300.0 /* of calls' time between probes */
#define SUSPICION      10.0  /* how much more often after the limit has fallen by half */
#define PROBE_CALLS    20.0  /* of calls' time until a probe is given up */
#define PROBE_NS_LEAST (100 * NS_PER_MS)

static const uint64_t period_ns_least = 10 * NS_PER_S;

static double clamp(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

/* Calls at once of which hardly one waits for another. */
static double calm_limit(const struct gradient *g)
{
    double quarter = g->limit / CALM_SHARE;

    return quarter < g->cfg.min ? g->cfg.min : quarter;
}

void gradient_init(struct gradient *g, const struct gradient_config *cfg, uint64_t now_ns,
                   double long_ns)
{
    *g = (struct gradient){.cfg = *cfg, .long_ns = long_ns};
    g->limit = clamp(cfg->initial, cfg->min, cfg->max);
    g->round_start_ns = g->measured_ns = now_ns;
    g->measured_limit = g->limit;
}

void gradient_configure(struct gradient *g, const struct gradient_config *cfg)
{
    g->cfg = *cfg;
    g->limit = clamp(g->limit, cfg->min, cfg->max);
}

uint32_t gradient_limit(const struct gradient *g)
{
    return (uint32_t)(g->probing ? calm_limit(g) : g->limit);
}

static void mean_add(struct gradient_mean *m, double ns)
{
    m->sum_ns += ns;
    m->n++;
}

static double mean_take(struct gradient_mean *m)
{
    double mean = m->sum_ns / m->n;

    *m = (struct gradient_mean){0};
    return mean;
}

static void round_begin(struct gradient *g, uint64_t now_ns)
{
    g->round = (struct gradient_mean){0};
    g->round_start_ns = now_ns;
    g->round_in_flight = 0;
}

/* --- the long-term latency --- */

static void long_move(struct gradient *g, double towards_ns, double share)
{
    g->long_ns = g->long_ns == 0 ? towards_ns : g->long_ns + (towards_ns - g->long_ns) * share;
}

static void measured(struct gradient *g, uint64_t now_ns)
{
    g->measured_ns = now_ns;
    g->measured_limit = g->limit;
    g->calm = (struct gradient_mean){0};
    if (g->probing)
        round_begin(g, now_ns);
    g->probing = false;
}

static void calm_add(struct gradient *g, uint64_t now_ns, double ns)
{
    mean_add(&g->calm, ns);
    if (g->calm.n < CALM_CALLS)
        return;
    long_move(g, mean_take(&g->calm),
              !g->calm_seen ? 1
              : g->probing  ? LONG_BY_PROBE
                            : LONG_BY_CALM);
    g->calm_seen = true;
    measured(g, now_ns);
}

static bool probe_due(const struct gradient *g, uint64_t now_ns)
{
    bool suspicious = !g->calm_seen || g->limit < g->measured_limit / 2;
    uint64_t period = period_ns_least;

    /* By doubling, so that workers whose figures differ a little still meet. */
    while ((double)period < PERIOD_CALLS * g->long_ns)
        period *= 2;
    if (suspicious)
        period = (uint64_t)((double)period / SUSPICION);
    return now_ns / period != g->measured_ns / period;
}

static void probe_begin(struct gradient *g, uint64_t now_ns)
{
    uint64_t patience = (uint64_t)(PROBE_CALLS * g->short_ns);

    g->probing = true;
    g->calm = (struct gradient_mean){0};
    g->probe_end_ns = now_ns + (patience > PROBE_NS_LEAST ? patience : PROBE_NS_LEAST);
}

static void probe_give_up(struct gradient *g, uint64_t now_ns)
{
    if (g->probing && now_ns > g->probe_end_ns)
        measured(g, now_ns);
}

/* --- the limit --- */

static void adjust(struct gradient *g)
{
    double gradient = clamp(g->cfg.tolerance * g->long_ns / g->short_ns, GRADIENT_MIN, 1.0);
    double wanted = g->limit * gradient + sqrt(g->limit);

    /* Nobody asked for more: what was measured says nothing about more. */
    if ((double)g->round_in_flight < g->limit / 2)
        return;
    g->limit = clamp(g->limit + (wanted - g->limit) * SMOOTHING, g->cfg.min, g->cfg.max);
}

static void round_end(struct gradient *g, uint64_t now_ns)
{
    g->short_ns = mean_take(&g->round);
    if (g->long_ns == 0 || g->short_ns < g->long_ns)
        long_move(g, g->short_ns, LONG_BY_PROBE);
    adjust(g);
    /* Only a limit that is used stands between the calls and a calm moment. */
    if ((double)g->round_in_flight >= g->limit / 2 && probe_due(g, now_ns))
        probe_begin(g, now_ns);
    round_begin(g, now_ns);
}

void gradient_answered(struct gradient *g, uint64_t now_ns, uint64_t start_ns, uint32_t in_flight)
{
    double ns = now_ns > start_ns ? (double)(now_ns - start_ns) : 1;

    if ((double)in_flight <= calm_limit(g))
        calm_add(g, now_ns, ns);
    if (g->probing) {
        probe_give_up(g, now_ns);
        return;
    }
    mean_add(&g->round, ns);
    if (in_flight > g->round_in_flight)
        g->round_in_flight = in_flight;
    if (g->round.n >= ROUND_CALLS && (double)(now_ns - g->round_start_ns) >= g->short_ns)
        round_end(g, now_ns);
}

void gradient_failed(struct gradient *g, uint64_t now_ns, uint64_t start_ns, uint32_t in_flight)
{
    /* One that took its time says how long calls take, at the least; a refusal says nothing. */
    if ((double)(now_ns - start_ns) > g->short_ns)
        gradient_answered(g, now_ns, start_ns, in_flight);
    probe_give_up(g, now_ns);
    if (start_ns < g->drop_ns)
        return;
    g->drop_ns = now_ns;
    g->limit = clamp(g->limit * FAILED_FACTOR, g->cfg.min, g->cfg.max);
}
