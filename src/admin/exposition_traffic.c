/* SPDX-License-Identifier: BSD-2-Clause */
/* /metrics: requests by route, limit, split and canary, and the Redis servers behind shared limits.
 */
#include "config.h"

#include <stddef.h>
#include <stdio.h>

#include "admin/parts.h"
#include "admin/prom.h"
#include "base/word.h"
#include "conf/split.h"

static struct slice route_label(const struct exposition *x, uint32_t route)
{
    /* Nobody's name: requests that matched no route. */
    return route == 0 ? SLICE_LIT("(none)") : slice_str(metric_route_name(x->metrics, route));
}

/* Index 0 and those with a name. */
static bool route_in_use(const struct exposition *x, uint32_t route)
{
    return route == 0 || metric_route_name(x->metrics, route) != NULL;
}

static const char *const classes[6] = {"gone", "1xx", "2xx", "3xx", "4xx", "5xx"};

static void write_route_requests(const struct exposition *x, struct buf *out)
{
    static const char name[] = "rushgate_http_requests_total";
    struct metric_route_total t;

    prom_head(out, name, "counter",
              "Requests answered, by route and class of status; gone: the client left before the "
              "answer.");
    for (uint32_t r = 0; r < METRIC_ROUTES; r++) {
        if (!route_in_use(x, r))
            continue;
        metric_route_total(x->metrics, exposition_workers(x), r, &t);
        for (unsigned i = 0; i < 6; i++) {
            buf_str(out, name);
            prom_label(out, "{", "route", route_label(x, r));
            buf_printf(out, ",code=\"%s\"} %llu\n", classes[i], (unsigned long long)t.status[i]);
        }
    }
}

static void write_route_latency(const struct exposition *x, uint32_t route, struct buf *out)
{
    struct metric_route_total t;
    struct buf labels = {0};

    metric_route_total(x->metrics, exposition_workers(x), route, &t);
    prom_label(&labels, "", "route", route_label(x, route));
    prom_histogram("rushgate_http_request_duration_seconds", buf_view(&labels), prom_latency(&t),
                   out);
    buf_free(&labels);
}

static void write_routes(const struct exposition *x, struct buf *out)
{
    write_route_requests(x, out);
    prom_head(out, "rushgate_http_request_duration_seconds", "histogram",
              "From the first byte of a request to the answer handed to the kernel.");
    for (uint32_t r = 0; r < METRIC_ROUTES; r++)
        if (route_in_use(x, r))
            write_route_latency(x, r, out);
}

/* The name of the next index after *i that has one; NULL: there is none. */
static const char *next_name(const struct exposition *x,
                             const char *(*name)(const struct metric_zone *z, uint32_t i),
                             uint32_t n, uint32_t *i)
{
    const char *found = NULL;

    while (found == NULL && ++*i < n)
        found = name(x->metrics, *i);
    return found;
}

static void write_limits(const struct exposition *x, struct buf *out)
{
    static const char *const outcomes[] = {"allowed", "denied", "shadow_denied"};
    static const char name[] = "rushgate_limit_requests_total";
    static const char overflow[] = "rushgate_limit_overflow_total";
    const char *limit;

    prom_head(out, name, "counter",
              "Requests a rate limit decided on; shadow_denied: admitted, since it only watches.");
    for (uint32_t i = 0; (limit = next_name(x, metric_limit_name, METRIC_LIMITS, &i)) != NULL;)
        for (unsigned o = LIMIT_ALLOWED; o <= LIMIT_SHADOW_DENIED; o++) {
            buf_str(out, name);
            prom_label(out, "{", "limit", slice_str(limit));
            buf_printf(out, ",outcome=\"%s\"} %llu\n", outcomes[o],
                       (unsigned long long)metric_limit_total(x->metrics, exposition_workers(x), i,
                                                              (enum metric_limit_outcome)o));
        }
    prom_head(
        out, overflow, "counter",
        "Decisions by the bucket that keys share when the table of limits is full around them.");
    for (uint32_t i = 0; (limit = next_name(x, metric_limit_name, METRIC_LIMITS, &i)) != NULL;) {
        buf_str(out, overflow);
        prom_label(out, "{", "limit", slice_str(limit));
        buf_printf(out, "} %llu\n",
                   (unsigned long long)metric_limit_total(x->metrics, exposition_workers(x), i,
                                                          LIMIT_OVERFLOWED));
    }
}

/* --- splits --- */

/* "split/arm" of the metric zone as two labels; false where there is no such name. */
static bool arm_labels(const struct exposition *x, uint32_t arm, struct buf *out)
{
    const char *name = metric_arm_name(x->metrics, arm);
    struct slice all = slice_str(name);
    size_t slash = slice_find(all, '/');

    buf_clear(out);
    if (name == NULL || slash == all.n)
        return false;
    prom_label(out, "", "split", slice_of(all.p, slash));
    prom_label(out, ",", "arm", slice_of(all.p + slash + 1, all.n - slash - 1));
    return true;
}

static void write_weights(const struct exposition *x, struct buf *out)
{
    static const char name[] = "rushgate_split_weight";

    prom_head(out, name, "gauge", "Weight of an arm, as configured.");
    for (uint32_t i = 0; x->root != NULL && i < x->root->splits.n; i++) {
        const struct conf_split *s = &conf_splits(x->root)[i];
        for (uint32_t k = 0; k < s->arms.n; k++) {
            const struct conf_arm *arm = &conf_arms(x->root, s)[k];
            buf_str(out, name);
            prom_label(out, "{", "split", conf_slice(x->root, s->name));
            prom_label(out, ",", "arm", conf_slice(x->root, arm->name));
            buf_printf(out, "} %u\n", arm->weight);
        }
    }
}

static void write_arm_requests(const struct exposition *x, struct buf *labels, struct buf *out)
{
    static const char name[] = "rushgate_split_requests_total";
    struct metric_route_total t;
    uint64_t forced;

    prom_head(out, name, "counter", "Requests that an arm answered, by class of status.");
    for (uint32_t i = 1; i < METRIC_ARMS; i++) {
        if (!arm_labels(x, i, labels))
            continue;
        metric_arm_total(x->metrics, exposition_workers(x), i, &t, &forced);
        for (unsigned k = 0; k < 6; k++)
            buf_printf(out, "%s{%.*s,code=\"%s\"} %llu\n", name, SLICE_ARG(buf_view(labels)),
                       classes[k], (unsigned long long)t.status[k]);
    }
}

static void write_splits(const struct exposition *x, struct buf *out)
{
    static const char forced_name[] = "rushgate_split_forced_total";
    static const char latency_name[] = "rushgate_split_request_duration_seconds";
    struct metric_route_total t;
    struct buf labels = {0};
    uint64_t forced;

    write_weights(x, out);
    write_arm_requests(x, &labels, out);
    prom_head(out, forced_name, "counter",
              "Requests that named their arm; in no other figure of it.");
    for (uint32_t i = 1; i < METRIC_ARMS; i++) {
        if (!arm_labels(x, i, &labels))
            continue;
        metric_arm_total(x->metrics, exposition_workers(x), i, &t, &forced);
        buf_printf(out, "%s{%.*s} %llu\n", forced_name, SLICE_ARG(buf_view(&labels)),
                   (unsigned long long)forced);
    }
    prom_head(out, latency_name, "histogram", "Latency of the requests that an arm answered.");
    for (uint32_t i = 1; i < METRIC_ARMS; i++) {
        if (!arm_labels(x, i, &labels))
            continue;
        metric_arm_total(x->metrics, exposition_workers(x), i, &t, &forced);
        prom_histogram(latency_name, buf_view(&labels), prom_latency(&t), out);
    }
    buf_free(&labels);
}

/* Figures of shared limits, each an outcome that is counted beside the decision. */
static void write_shared(const struct exposition *x, struct buf *out)
{
    static const struct {
        enum metric_limit_outcome outcome;
        const char *name, *help;
    } all[] = {
        {LIMIT_LEASED, "rushgate_limit_leased_tokens_total",
         "Tokens of shared limits that workers took from Redis ahead of need."},
        {LIMIT_UNCONFIRMED, "rushgate_limit_unconfirmed_total",
         "Requests admitted before Redis was heard; charged with the next call."},
        {LIMIT_FALLBACK, "rushgate_limit_fallback_total",
         "Requests admitted by this host alone, because Redis was away or too slow."},
    };
    const char *limit;

    for (unsigned f = 0; f < sizeof(all) / sizeof(*all); f++) {
        prom_head(out, all[f].name, "counter", all[f].help);
        for (uint32_t i = 0;
             (limit = next_name(x, metric_limit_name, METRIC_LIMITS, &i)) != NULL;) {
            buf_str(out, all[f].name);
            prom_label(out, "{", "limit", slice_str(limit));
            buf_printf(out, "} %llu\n",
                       (unsigned long long)metric_limit_total(x->metrics, exposition_workers(x), i,
                                                              all[f].outcome));
        }
    }
}

/* Of each Redis server: how many workers it is up for, what was asked of it and what came of it. */
static void write_redis_figures(const struct exposition *x, struct buf *out)
{
    static const struct {
        const char *name, *type, *help;
    } all[] = {
        {"rushgate_redis_workers_up", "gauge", "Workers for which the server is up."},
        {"rushgate_redis_calls_total", "counter", "Calls of the script."},
        {"rushgate_redis_failures_total", "counter",
         "Errors, broken connections, and budgets that passed without any answer."},
        {"rushgate_redis_timeouts_total", "counter", "Calls that took longer than redis.budget."},
        {"rushgate_redis_breaker_opened_total", "counter",
         "How often a worker's breaker of the server opened."},
    };
    struct metric_redis_total t;
    const char *server;

    for (unsigned f = 0; f < sizeof(all) / sizeof(*all); f++) {
        prom_head(out, all[f].name, all[f].type, all[f].help);
        for (uint32_t i = 1; (server = metric_redis_name(x->metrics, i)) != NULL; i++) {
            metric_redis_total(x->metrics, exposition_workers(x), i, &t);
            const uint64_t value[] = {t.workers[METRIC_REDIS_UP], t.calls, t.failures, t.timeouts,
                                      t.opened};
            buf_str(out, all[f].name);
            prom_label(out, "{", "server", slice_str(server));
            buf_printf(out, "} %llu\n", (unsigned long long)value[f]);
        }
    }
}

static void write_redis(const struct exposition *x, struct buf *out)
{
    static const char name[] = "rushgate_redis_call_duration_seconds";
    struct metric_redis_total t;
    struct buf labels = {0};
    const char *server;

    if (metric_redis_name(x->metrics, 1) == NULL)
        return;
    write_redis_figures(x, out);
    prom_head(out, name, "histogram", "From a call of the script until its answer.");
    for (uint32_t i = 1; (server = metric_redis_name(x->metrics, i)) != NULL; i++) {
        metric_redis_total(x->metrics, exposition_workers(x), i, &t);
        buf_clear(&labels);
        prom_label(&labels, "", "server", slice_str(server));
        prom_histogram(name, buf_view(&labels), (struct prom_times){t.rtt, t.count, t.sum_ns}, out);
    }
    buf_free(&labels);
}

/* --- concurrency limits --- */

/* One word of each worker, or the sum over them. */
static const struct {
    const char *name, *type, *extra, *help;
    size_t off;
    unsigned per_unit; /* of the word in one of the metric */
    bool per_worker;
} concurrency_figures[] = {
#define WORD(w) offsetof(struct metric_concurrency, w)
    {"rushgate_concurrency_limit", "gauge", "", "Calls that a worker may have under way at once.",
     WORD(limit_milli), 1000, true},
    {"rushgate_concurrency_in_flight", "gauge", "", "Calls that it has.", WORD(in_flight), 1, true},
    {"rushgate_concurrency_calls_total", "counter", ",outcome=\"admitted\"",
     "Calls a concurrency limit decided on; shadow_refused and failed are among the admitted.",
     WORD(admitted), 1, false},
    {"rushgate_concurrency_calls_total", "counter", ",outcome=\"refused\"", NULL, WORD(refused), 1,
     false},
    {"rushgate_concurrency_calls_total", "counter", ",outcome=\"shadow_refused\"", NULL,
     WORD(shadow_refused), 1, false},
    {"rushgate_concurrency_calls_total", "counter", ",outcome=\"failed\"", NULL, WORD(failed), 1,
     false},
#undef WORD
};

static uint64_t concurrency_word(const struct exposition *x, unsigned worker, uint32_t i,
                                 unsigned figure)
{
    const void *words = &x->metrics->blocks[worker].concurrency[i];

    return word_read((const _Atomic uint64_t *)(const void *)((const char *)words +
                                                              concurrency_figures[figure].off)) /
           concurrency_figures[figure].per_unit;
}

static void concurrency_line(const char *limit, unsigned figure, const char *labels, uint64_t value,
                             struct buf *out)
{
    buf_str(out, concurrency_figures[figure].name);
    prom_label(out, "{", "limit_of", slice_str(limit));
    buf_printf(out, "%s%s} %llu\n", concurrency_figures[figure].extra, labels,
               (unsigned long long)value);
}

static void concurrency_lines(const struct exposition *x, const char *limit, uint32_t i,
                              unsigned figure, struct buf *out)
{
    uint64_t sum = 0;
    char labels[24];

    for (unsigned w = 0; w < exposition_workers(x); w++) {
        uint64_t n = concurrency_word(x, w, i, figure);
        snprintf(labels, sizeof labels, ",worker=\"%u\"", w);
        if (concurrency_figures[figure].per_worker)
            concurrency_line(limit, figure, labels, n, out);
        sum += n;
    }
    if (!concurrency_figures[figure].per_worker)
        concurrency_line(limit, figure, "", sum, out);
}

static void write_concurrency(const struct exposition *x, struct buf *out)
{
    const char *limit;

    for (unsigned f = 0; f < sizeof concurrency_figures / sizeof *concurrency_figures; f++) {
        if (concurrency_figures[f].help != NULL)
            prom_head(out, concurrency_figures[f].name, concurrency_figures[f].type,
                      concurrency_figures[f].help);
        for (uint32_t i = 0;
             (limit = next_name(x, metric_concurrency_name, METRIC_CONCURRENCY, &i)) != NULL;)
            concurrency_lines(x, limit, i, f, out);
    }
}

/* --- canary --- */

static void write_side(const struct exposition *x, enum metric_side side, bool latency,
                       struct buf *out)
{
    static const char *const sides[METRIC_SIDES] = {"stable", "canary"};
    struct metric_route_total t;
    struct buf labels = {0};

    metric_side_total(x->metrics, exposition_workers(x), side, &t);
    prom_label(&labels, "", "side", slice_str(sides[side]));
    if (latency)
        prom_histogram("rushgate_canary_request_duration_seconds", buf_view(&labels),
                       prom_latency(&t), out);
    for (unsigned i = 0; !latency && i < 6; i++)
        buf_printf(out, "rushgate_canary_requests_total{%s,code=\"%s\"} %llu\n", buf_cstr(&labels),
                   classes[i], (unsigned long long)t.status[i]);
    buf_free(&labels);
}

static void write_canary(const struct exposition *x, struct buf *out)
{
    prom_head(out, "rushgate_canary_requests_total", "counter",
              "Requests that began while a canary ran, by side and class.");
    for (unsigned s = 0; s < METRIC_SIDES; s++)
        write_side(x, (enum metric_side)s, false, out);
    prom_head(out, "rushgate_canary_request_duration_seconds", "histogram",
              "Latency of requests that began while a canary ran.");
    for (unsigned s = 0; s < METRIC_SIDES; s++)
        write_side(x, (enum metric_side)s, true, out);
    if (x->banks == NULL)
        return;
    prom_head(out, "rushgate_canary_share_ratio", "gauge",
              "Share of the buyers that the canary serves, from 0 to 1; 0: none runs.");
    buf_printf(out, "rushgate_canary_share_ratio %g\n",
               (double)bank_canary(x->banks).share / BANK_SHARE_ALL);
}

void exposition_traffic(const struct exposition *x, struct buf *out)
{
    write_routes(x, out);
    write_limits(x, out);
    write_shared(x, out);
    write_redis(x, out);
    write_concurrency(x, out);
    write_splits(x, out);
    if (x->root != NULL)
        write_canary(x, out);
}
