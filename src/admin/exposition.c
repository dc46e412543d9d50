/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /metrics: Prometheus text. Nothing is asked for here and nothing waits: all figures are in shared
 * memory or were fetched before. Figures of processes that come and go are cumulative over
 * respawns, as the metric zone keeps them.
 */
#include "config.h"

#include <stddef.h>
#include <stdio.h>

#include "admin/parts.h"
#include "base/clock.h"
#include "conf/split.h"

/* Of the 104 buckets every octave from 64 us to 16.8 s: enough to draw, cheap to keep. */
#define LE_FIRST 24u
#define LE_LAST  96u
#define LE_STEP  4u

/* Events with figures of their own; a scrape must stay a scrape. */
#define EVENTS_MAX 1000u

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: backslash, quote and newline escaped, what is not UTF-8 replaced. */
static void label_value(struct buf *out, struct slice s)
{
    while (s.n > 0) {
        if (*s.p == '\n') {
            buf_str(out, "\\n");
            s = slice_of(s.p + 1, s.n - 1);
            continue;
        }
        if (*s.p == '\\' || *s.p == '"')
            buf_char(out, '\\');
        buf_utf8_next(out, &s);
    }
}

static void label(struct buf *out, const char *before, const char *name, struct slice value)
{
    buf_printf(out, "%s%s=\"", before, name);
    label_value(out, value);
    buf_char(out, '"');
}

static void seconds(struct buf *out, uint64_t ns)
{
    buf_printf(out, "%llu.%09llu", (unsigned long long)(ns / NS_PER_S),
               (unsigned long long)(ns % NS_PER_S));
}

static void simple(struct buf *out, const char *name, const char *type, const char *help,
                   uint64_t value)
{
    head(out, name, type, help);
    buf_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

static const struct {
    const char *name, *labels, *help;
} counters[METRIC_COUNTERS] = {
#define COUNTER(id, prom, labels, help) [METRIC_##id] = {prom, labels, help},
#include "metric/counters.def"
#undef COUNTER
};

static void write_counters(const struct exposition *x, struct buf *out)
{
    for (unsigned i = 0; i < METRIC_COUNTERS; i++) {
        /* Lines of counters.def that differ only in labels are one metric. */
        if (i == 0 || slice_eq(slice_str(counters[i].name), slice_str(counters[i - 1].name)) == 0)
            head(out, counters[i].name, "counter", counters[i].help);
        buf_str(out, counters[i].name);
        if (counters[i].labels[0] != '\0')
            buf_printf(out, "{%s}", counters[i].labels);
        buf_printf(out, " %llu\n",
                   (unsigned long long)metric_counter_total(x->metrics, CONTROL_SLOTS,
                                                            (enum metric_counter)i));
    }
}

static uint32_t workers_of(const struct exposition *x)
{
    uint32_t n = atomic_load_explicit(&x->control->workers, memory_order_relaxed);

    return n < CONTROL_WORKERS ? n : CONTROL_WORKERS;
}

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

    head(out, name, "counter",
         "Requests answered, by route and class of status; gone: the client left before the "
         "answer.");
    for (uint32_t r = 0; r < METRIC_ROUTES; r++) {
        if (!route_in_use(x, r))
            continue;
        metric_route_total(x->metrics, workers_of(x), r, &t);
        for (unsigned i = 0; i < 6; i++) {
            buf_str(out, name);
            label(out, "{", "route", route_label(x, r));
            buf_printf(out, ",code=\"%s\"} %llu\n", classes[i], (unsigned long long)t.status[i]);
        }
    }
}

/* labels: complete, without braces; "" none. */
static void write_histogram(const char *name, struct slice labels,
                            const struct metric_route_total *t, struct buf *out)
{
    const char *comma = labels.n > 0 ? "," : "", *open = labels.n > 0 ? "{" : "",
               *close = labels.n > 0 ? "}" : "";
    uint64_t seen = 0;

    for (unsigned i = 0, next = LE_FIRST; i <= LE_LAST; i++) {
        seen += t->latency[i];
        if (i != next)
            continue;
        next += LE_STEP;
        buf_printf(out, "%s_bucket{%.*s%sle=\"%g\"} %llu\n", name, SLICE_ARG(labels), comma,
                   (double)histogram_bound_ns(i) / (double)NS_PER_S, (unsigned long long)seen);
    }
    buf_printf(out, "%s_bucket{%.*s%sle=\"+Inf\"} %llu\n%s_sum%s%.*s%s ", name, SLICE_ARG(labels),
               comma, (unsigned long long)t->count, name, open, SLICE_ARG(labels), close);
    seconds(out, t->sum_ns);
    buf_printf(out, "\n%s_count%s%.*s%s %llu\n", name, open, SLICE_ARG(labels), close,
               (unsigned long long)t->count);
}

static void write_route_latency(const struct exposition *x, uint32_t route, struct buf *out)
{
    struct metric_route_total t;
    struct buf labels = {0};

    metric_route_total(x->metrics, workers_of(x), route, &t);
    label(&labels, "", "route", route_label(x, route));
    write_histogram("rushgate_http_request_duration_seconds", buf_view(&labels), &t, out);
    buf_free(&labels);
}

static void write_routes(const struct exposition *x, struct buf *out)
{
    write_route_requests(x, out);
    head(out, "rushgate_http_request_duration_seconds", "histogram",
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

    head(out, name, "counter",
         "Requests a rate limit decided on; shadow_denied: admitted, since it only watches.");
    for (uint32_t i = 0; (limit = next_name(x, metric_limit_name, METRIC_LIMITS, &i)) != NULL;)
        for (unsigned o = LIMIT_ALLOWED; o <= LIMIT_SHADOW_DENIED; o++) {
            buf_str(out, name);
            label(out, "{", "limit", slice_str(limit));
            buf_printf(out, ",outcome=\"%s\"} %llu\n", outcomes[o],
                       (unsigned long long)metric_limit_total(x->metrics, workers_of(x), i,
                                                              (enum metric_limit_outcome)o));
        }
    head(out, overflow, "counter",
         "Decisions by the bucket that keys share when the table of limits is full around them.");
    for (uint32_t i = 0; (limit = next_name(x, metric_limit_name, METRIC_LIMITS, &i)) != NULL;) {
        buf_str(out, overflow);
        label(out, "{", "limit", slice_str(limit));
        buf_printf(
            out, "} %llu\n",
            (unsigned long long)metric_limit_total(x->metrics, workers_of(x), i, LIMIT_OVERFLOWED));
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
    label(out, "", "split", slice_of(all.p, slash));
    label(out, ",", "arm", slice_of(all.p + slash + 1, all.n - slash - 1));
    return true;
}

static void write_weights(const struct exposition *x, struct buf *out)
{
    static const char name[] = "rushgate_split_weight";

    head(out, name, "gauge", "Weight of an arm, as configured.");
    for (uint32_t i = 0; x->root != NULL && i < x->root->splits.n; i++) {
        const struct conf_split *s = &conf_splits(x->root)[i];
        for (uint32_t k = 0; k < s->arms.n; k++) {
            const struct conf_arm *arm = &conf_arms(x->root, s)[k];
            buf_str(out, name);
            label(out, "{", "split", conf_slice(x->root, s->name));
            label(out, ",", "arm", conf_slice(x->root, arm->name));
            buf_printf(out, "} %u\n", arm->weight);
        }
    }
}

static void write_arm_requests(const struct exposition *x, struct buf *labels, struct buf *out)
{
    static const char name[] = "rushgate_split_requests_total";
    struct metric_route_total t;
    uint64_t forced;

    head(out, name, "counter", "Requests that an arm answered, by class of status.");
    for (uint32_t i = 1; i < METRIC_ARMS; i++) {
        if (!arm_labels(x, i, labels))
            continue;
        metric_arm_total(x->metrics, workers_of(x), i, &t, &forced);
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
    head(out, forced_name, "counter", "Requests that named their arm; in no other figure of it.");
    for (uint32_t i = 1; i < METRIC_ARMS; i++) {
        if (!arm_labels(x, i, &labels))
            continue;
        metric_arm_total(x->metrics, workers_of(x), i, &t, &forced);
        buf_printf(out, "%s{%.*s} %llu\n", forced_name, SLICE_ARG(buf_view(&labels)),
                   (unsigned long long)forced);
    }
    head(out, latency_name, "histogram", "Latency of the requests that an arm answered.");
    for (uint32_t i = 1; i < METRIC_ARMS; i++) {
        if (!arm_labels(x, i, &labels))
            continue;
        metric_arm_total(x->metrics, workers_of(x), i, &t, &forced);
        write_histogram(latency_name, buf_view(&labels), &t, out);
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
        head(out, all[f].name, "counter", all[f].help);
        for (uint32_t i = 0;
             (limit = next_name(x, metric_limit_name, METRIC_LIMITS, &i)) != NULL;) {
            buf_str(out, all[f].name);
            label(out, "{", "limit", slice_str(limit));
            buf_printf(out, "} %llu\n",
                       (unsigned long long)metric_limit_total(x->metrics, workers_of(x), i,
                                                              all[f].outcome));
        }
    }
}

/* Of each Redis server: how many workers it is up for, what was asked of it and what came of it. */
static void write_redis(const struct exposition *x, struct buf *out)
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
        {"rushgate_redis_rtt_seconds_sum", "counter", "Time of all answered calls."},
        {"rushgate_redis_rtt_seconds_count", "counter", "Calls that were answered."},
    };
    const char *server;

    for (unsigned f = 0; f < sizeof(all) / sizeof(*all) && metric_redis_name(x->metrics, 1); f++) {
        head(out, all[f].name, all[f].type, all[f].help);
        for (uint32_t i = 1; (server = metric_redis_name(x->metrics, i)) != NULL; i++) {
            struct metric_redis_total t;
            metric_redis_total(x->metrics, workers_of(x), i, &t);
            const uint64_t value[] = {t.workers[METRIC_REDIS_UP],
                                      t.calls,
                                      t.failures,
                                      t.timeouts,
                                      t.opened,
                                      t.sum_ns,
                                      t.count};
            buf_str(out, all[f].name);
            label(out, "{", "server", slice_str(server));
            buf_str(out, "} ");
            if (f == 5)
                seconds(out, value[f]);
            else
                buf_u64(out, value[f]);
            buf_char(out, '\n');
        }
    }
}

/* Figures of one process, each a column of its slot. */
enum worker_figure {
    FIGURE_UP,
    FIGURE_CONNECTIONS,
    FIGURE_REQUESTS,
    FIGURE_LAG,
    FIGURE_BUSY,
    FIGURE_GENERATION,
    FIGURE_AGE,
    FIGURE_STARTS,
    FIGURE_COUNT
};

static const struct {
    const char *name, *type, *help;
    bool in_ns;
} figures[FIGURE_COUNT] = {
    [FIGURE_UP] = {"rushgate_worker_up", "gauge", "1: the process is ready.", false},
    [FIGURE_CONNECTIONS] = {"rushgate_worker_connections", "gauge", "Client connections open.",
                            false},
    [FIGURE_REQUESTS] = {"rushgate_worker_requests", "gauge", "Requests being handled.", false},
    [FIGURE_LAG] = {"rushgate_worker_loop_lag_seconds", "gauge",
                    "Longest turn of the event loop in the last half second.", true},
    [FIGURE_BUSY] = {"rushgate_worker_busy_seconds_total", "counter",
                     "Time the slot's processes spent in callbacks.", true},
    [FIGURE_GENERATION] = {"rushgate_worker_config_generation", "gauge",
                           "Configuration generation used for new requests.", false},
    [FIGURE_AGE] = {"rushgate_worker_heartbeat_age_seconds", "gauge",
                    "Time since the event loop was last seen turning.", true},
    [FIGURE_STARTS] = {"rushgate_worker_starts_total", "counter", "Processes started in the slot.",
                       false},
};

static uint64_t get64(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static uint64_t figure(const struct slot *s, enum worker_figure f, uint64_t now_ns)
{
    uint64_t beat = get64(&s->heartbeat_ns);

    switch (f) {
    case FIGURE_UP:
        return atomic_load_explicit(&s->state, memory_order_relaxed) == SLOT_READY;
    case FIGURE_CONNECTIONS:
        return get64(&s->connections);
    case FIGURE_REQUESTS:
        return get64(&s->requests);
    case FIGURE_LAG:
        return get64(&s->loop_lag_ns);
    case FIGURE_BUSY:
        return get64(&s->busy_ns);
    case FIGURE_GENERATION:
        return get64(&s->generation);
    case FIGURE_AGE:
        return now_ns > beat ? now_ns - beat : 0;
    case FIGURE_STARTS:
        return atomic_load_explicit(&s->starts, memory_order_relaxed);
    default:
        return 0;
    }
}

/* Slots in use; of the box office, a program of its own, only what the master knows. A heartbeat
 * has an age only while there is somebody whose heart could beat. */
static bool shows(const struct exposition *x, unsigned i, enum worker_figure f)
{
    const struct slot *s = &x->control->slots[i];
    uint32_t state = atomic_load_explicit(&s->state, memory_order_relaxed);

    if (i < CONTROL_WORKERS ? i >= workers_of(x)
                            : atomic_load_explicit(&s->starts, memory_order_relaxed) == 0)
        return false;
    if (f == FIGURE_AGE && state != SLOT_READY && state != SLOT_DRAINING)
        return false;
    return i != CONTROL_BOXOFFICE || f == FIGURE_UP || f == FIGURE_STARTS;
}

static void write_processes(const struct exposition *x, struct buf *out)
{
    for (unsigned f = 0; f < FIGURE_COUNT; f++) {
        head(out, figures[f].name, figures[f].type, figures[f].help);
        for (unsigned i = 0; i < CONTROL_SLOTS; i++) {
            const struct slot *s = &x->control->slots[i];
            uint64_t v = figure(s, (enum worker_figure)f, x->now_ns);
            if (!shows(x, i, (enum worker_figure)f))
                continue;
            if (i < CONTROL_WORKERS)
                buf_printf(out, "%s{worker=\"%u\"} ", figures[f].name, i);
            else
                buf_printf(out, "%s{worker=\"%s\"} ", figures[f].name,
                           i == CONTROL_KEEPER ? "keeper" : "boxoffice");
            if (figures[f].in_ns)
                seconds(out, v);
            else
                buf_u64(out, v);
            buf_char(out, '\n');
        }
    }
}

static void write_endpoints(const struct exposition *x, struct buf *out)
{
    const struct conf_root *root = x->root;

    head(out, "rushgate_upstream_endpoint_up", "gauge",
         "1: the endpoint's health checks pass. Endpoints that are not checked are left out.");
    for (uint32_t i = 0; i < root->upstreams.n; i++) {
        const struct conf_upstream *u = &conf_upstreams(root)[i];
        const struct conf_endpoint *e = conf_at(root, u->endpoints);
        for (uint32_t k = 0; u->health_interval_ms > 0 && k < u->endpoints.n; k++) {
            if (!endpoint_has_word(e[k].stat))
                continue;
            buf_str(out, "rushgate_upstream_endpoint_up");
            label(out, "{", "upstream", conf_slice(root, u->name));
            label(out, ",", "endpoint", conf_slice(root, e[k].address));
            buf_printf(out, "} %d\n", get64(&x->control->endpoint_down[e[k].stat]) == 0);
        }
    }
}

static void write_adoption(const struct exposition *x, struct buf *out)
{
    static const char name[] = "rushgate_config_adoption_seconds";
    struct metric_route_total t;

    metric_adoption_total(x->metrics, workers_of(x), &t);
    head(out, name, "histogram",
         "From the moment a configuration is published until a worker uses it.");
    write_histogram(name, SLICE_NONE, &t, out);
}

static void write_side(const struct exposition *x, enum metric_side side, bool latency,
                       struct buf *out)
{
    static const char *const sides[METRIC_SIDES] = {"stable", "canary"};
    static const char *const codes[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    struct metric_route_total t;
    struct buf labels = {0};

    metric_side_total(x->metrics, workers_of(x), side, &t);
    label(&labels, "", "side", slice_str(sides[side]));
    if (latency)
        write_histogram("rushgate_canary_request_duration_seconds", buf_view(&labels), &t, out);
    for (unsigned i = 0; !latency && i < 6; i++)
        buf_printf(out, "rushgate_canary_requests_total{%s,code=\"%s\"} %llu\n", buf_cstr(&labels),
                   codes[i], (unsigned long long)t.status[i]);
    buf_free(&labels);
}

static void write_canary(const struct exposition *x, struct buf *out)
{
    head(out, "rushgate_canary_requests_total", "counter",
         "Requests that began while a canary ran, by side and class.");
    for (unsigned s = 0; s < METRIC_SIDES; s++)
        write_side(x, (enum metric_side)s, false, out);
    head(out, "rushgate_canary_request_duration_seconds", "histogram",
         "Latency of requests that began while a canary ran.");
    for (unsigned s = 0; s < METRIC_SIDES; s++)
        write_side(x, (enum metric_side)s, true, out);
    if (x->banks != NULL)
        simple(out, "rushgate_canary_share_parts", "gauge",
               "Share of the buyers that the canary serves, in parts of 10,000; 0: none runs.",
               bank_canary(x->banks).share);
}

static void write_config(const struct exposition *x, struct buf *out)
{
    head(out, "rushgate_build_info", "gauge", "Constant 1; the label says what runs.");
    buf_str(out, "rushgate_build_info");
    label(out, "{", "version", slice_str(x->version));
    buf_str(out, "} 1\n");
    head(out, "rushgate_start_time_seconds", "gauge", "When the master started.");
    buf_str(out, "rushgate_start_time_seconds ");
    seconds(out, get64(&x->control->started_real_ns));
    buf_char(out, '\n');
    simple(out, "rushgate_workers", "gauge", "Workers configured.", workers_of(x));
    simple(out, "rushgate_draining", "gauge", "1: no new requests are wanted.",
           atomic_load_explicit(&x->control->draining, memory_order_relaxed));
    if (x->root == NULL)
        return;
    simple(out, "rushgate_config_generation", "gauge", "Configuration generation in force.",
           x->root->generation);
    head(out, "rushgate_config_last_reload_timestamp_seconds", "gauge",
         "When the configuration in force was loaded.");
    buf_str(out, "rushgate_config_last_reload_timestamp_seconds ");
    seconds(out, x->root->loaded_real_ns);
    buf_char(out, '\n');
    write_adoption(x, out);
    write_canary(x, out);
    write_endpoints(x, out);
}

/* --- the box office --- */

static void event_line(struct buf *out, const char *name,
                       const Rushgate__Boxoffice__V1__EventStats *e, const char *extra,
                       long long value)
{
    buf_str(out, name);
    label(out, "{", "event", slice_str(e->event));
    buf_printf(out, "%s} %lld\n", extra, value);
}

static void write_events(const box_stats *b, struct buf *out)
{
    size_t n = b->n_events < EVENTS_MAX ? b->n_events : EVENTS_MAX;

    head(out, "rushgate_event_units", "gauge", "Units of an event by state.");
    for (size_t i = 0; i < n; i++) {
        event_line(out, "rushgate_event_units", b->events[i], ",state=\"free\"",
                   b->events[i]->free);
        event_line(out, "rushgate_event_units", b->events[i], ",state=\"held\"",
                   b->events[i]->held);
        event_line(out, "rushgate_event_units", b->events[i], ",state=\"sold\"",
                   b->events[i]->sold);
    }
    head(out, "rushgate_event_quota_units", "gauge", "Units there are to sell.");
    for (size_t i = 0; i < n; i++)
        event_line(out, "rushgate_event_quota_units", b->events[i], "", b->events[i]->quota);
    head(out, "rushgate_event_oversold_units", "gauge",
         "Units held or sold beyond the quota. Must be 0.");
    for (size_t i = 0; i < n; i++)
        event_line(out, "rushgate_event_oversold_units", b->events[i], "",
                   (long long)b->events[i]->oversold);
    head(out, "rushgate_event_open", "gauge", "1: the sale is open.");
    for (size_t i = 0; i < n; i++)
        event_line(out, "rushgate_event_open", b->events[i], "",
                   b->events[i]->state == RUSHGATE__BOXOFFICE__V1__SALE_STATE__open);
    head(out, "rushgate_event_sold_total", "counter",
         "Units whose orders were confirmed since the box office started.");
    for (size_t i = 0; i < n; i++)
        event_line(out, "rushgate_event_sold_total", b->events[i], "",
                   (long long)b->events[i]->sold_total);
}

static void write_store(const box_stats *b, struct buf *out)
{
    head(out, "rushgate_purchases_total", "counter",
         "Orders asked for since the box office started, by outcome.");
    for (size_t i = 0; i < b->n_purchases; i++) {
        buf_str(out, "rushgate_purchases_total");
        label(out, "{", "outcome", slice_str(b->purchases[i]->outcome));
        buf_printf(out, "} %llu\n", (unsigned long long)b->purchases[i]->count);
    }
    simple(out, "rushgate_boxoffice_batches_total", "counter", "Group commits.", b->batches);
    simple(out, "rushgate_boxoffice_batch_orders_total", "counter", "Orders in group commits.",
           b->batch_orders);
    head(out, "rushgate_boxoffice_commit_seconds_total", "counter", "Time spent in group commits.");
    buf_str(out, "rushgate_boxoffice_commit_seconds_total ");
    seconds(out, b->commit_ns);
    buf_char(out, '\n');
    simple(out, "rushgate_boxoffice_commit_failures_total", "counter", "Group commits that failed.",
           b->commit_failures);
    simple(out, "rushgate_boxoffice_store_bytes", "gauge", "Size of the store.", b->store_bytes);
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

    return get64((const _Atomic uint64_t *)(const void *)((const char *)words +
                                                          concurrency_figures[figure].off)) /
           concurrency_figures[figure].per_unit;
}

static void concurrency_line(const char *limit, unsigned figure, const char *labels, uint64_t value,
                             struct buf *out)
{
    buf_str(out, concurrency_figures[figure].name);
    label(out, "{", "limit_of", slice_str(limit));
    buf_printf(out, "%s%s} %llu\n", concurrency_figures[figure].extra, labels,
               (unsigned long long)value);
}

static void concurrency_lines(const struct exposition *x, const char *limit, uint32_t i,
                              unsigned figure, struct buf *out)
{
    uint64_t sum = 0;
    char labels[24];

    for (unsigned w = 0; w < workers_of(x); w++) {
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
            head(out, concurrency_figures[f].name, concurrency_figures[f].type,
                 concurrency_figures[f].help);
        for (uint32_t i = 0;
             (limit = next_name(x, metric_concurrency_name, METRIC_CONCURRENCY, &i)) != NULL;)
            concurrency_lines(x, limit, i, f, out);
    }
}

void exposition_write(const struct exposition *x, struct buf *out)
{
    write_config(x, out);
    write_processes(x, out);
    write_counters(x, out);
    write_routes(x, out);
    write_limits(x, out);
    write_shared(x, out);
    write_redis(x, out);
    write_concurrency(x, out);
    write_splits(x, out);
    if (!x->box_configured)
        return;
    simple(out, "rushgate_boxoffice_up", "gauge", "1: the box office answers.", x->box != NULL);
    if (x->box != NULL) {
        write_events(x->box, out);
        write_store(x->box, out);
    }
}
