/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /metrics: Prometheus text. Nothing is asked for here and nothing waits: all figures are in shared
 * memory or were fetched before. Figures of processes that come and go are cumulative over
 * respawns, as the metric zone keeps them.
 */
#include "config.h"

#include "admin/parts.h"
#include "admin/prom.h"
#include "base/word.h"

uint32_t exposition_workers(const struct exposition *x)
{
    uint32_t n = atomic_load_explicit(&x->control->workers, memory_order_relaxed);

    return n < CONTROL_WORKERS ? n : CONTROL_WORKERS;
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
            prom_head(out, counters[i].name, "counter", counters[i].help);
        buf_str(out, counters[i].name);
        if (counters[i].labels[0] != '\0')
            buf_printf(out, "{%s}", counters[i].labels);
        buf_printf(out, " %llu\n",
                   (unsigned long long)metric_counter_total(x->metrics, CONTROL_SLOTS,
                                                            (enum metric_counter)i));
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

static uint64_t figure(const struct slot *s, enum worker_figure f, uint64_t now_ns)
{
    uint64_t beat = word_read(&s->heartbeat_ns);

    switch (f) {
    case FIGURE_UP:
        return atomic_load_explicit(&s->state, memory_order_relaxed) == SLOT_READY;
    case FIGURE_CONNECTIONS:
        return word_read(&s->connections);
    case FIGURE_REQUESTS:
        return word_read(&s->requests);
    case FIGURE_LAG:
        return word_read(&s->loop_lag_ns);
    case FIGURE_BUSY:
        return word_read(&s->busy_ns);
    case FIGURE_GENERATION:
        return word_read(&s->generation);
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

    if (i < CONTROL_WORKERS ? i >= exposition_workers(x)
                            : atomic_load_explicit(&s->starts, memory_order_relaxed) == 0)
        return false;
    if (f == FIGURE_AGE && state != SLOT_READY && state != SLOT_DRAINING)
        return false;
    return i != CONTROL_BOXOFFICE || f == FIGURE_UP || f == FIGURE_STARTS;
}

static void write_processes(const struct exposition *x, struct buf *out)
{
    for (unsigned f = 0; f < FIGURE_COUNT; f++) {
        prom_head(out, figures[f].name, figures[f].type, figures[f].help);
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
                prom_seconds(out, v);
            else
                buf_u64(out, v);
            buf_char(out, '\n');
        }
    }
}

static void write_endpoints(const struct exposition *x, struct buf *out)
{
    const struct conf_root *root = x->root;

    prom_head(out, "rushgate_upstream_endpoint_up", "gauge",
              "1: the endpoint's health checks pass. Endpoints that are not checked are left out.");
    for (uint32_t i = 0; i < root->upstreams.n; i++) {
        const struct conf_upstream *u = &conf_upstreams(root)[i];
        const struct conf_endpoint *e = conf_at(root, u->endpoints);
        for (uint32_t k = 0; u->health_interval_ms > 0 && k < u->endpoints.n; k++) {
            if (!endpoint_has_word(e[k].stat))
                continue;
            buf_str(out, "rushgate_upstream_endpoint_up");
            prom_label(out, "{", "upstream", conf_slice(root, u->name));
            prom_label(out, ",", "endpoint", conf_slice(root, e[k].address));
            buf_printf(out, "} %d\n", word_read(&x->control->endpoint_down[e[k].stat]) == 0);
        }
    }
}

static void write_adoption(const struct exposition *x, struct buf *out)
{
    static const char name[] = "rushgate_config_adoption_seconds";
    struct metric_route_total t;

    metric_adoption_total(x->metrics, exposition_workers(x), &t);
    prom_head(out, name, "histogram",
              "From the moment a configuration is published until a worker uses it.");
    prom_histogram(name, SLICE_NONE, prom_latency(&t), out);
}

static void write_config(const struct exposition *x, struct buf *out)
{
    prom_head(out, "rushgate_build_info", "gauge", "Constant 1; the label says what runs.");
    buf_str(out, "rushgate_build_info");
    prom_label(out, "{", "version", slice_str(x->version));
    buf_str(out, "} 1\n");
    prom_head(out, "rushgate_start_time_seconds", "gauge", "When the master started.");
    buf_str(out, "rushgate_start_time_seconds ");
    prom_seconds(out, word_read(&x->control->started_real_ns));
    buf_char(out, '\n');
    prom_value(out, "rushgate_workers", "gauge", "Workers configured.", exposition_workers(x));
    prom_value(out, "rushgate_draining", "gauge", "1: no new requests are wanted.",
               atomic_load_explicit(&x->control->draining, memory_order_relaxed));
    if (x->root == NULL)
        return;
    prom_value(out, "rushgate_config_generation", "gauge", "Configuration generation in force.",
               x->root->generation);
    prom_head(out, "rushgate_config_last_reload_timestamp_seconds", "gauge",
              "When the configuration in force was loaded.");
    buf_str(out, "rushgate_config_last_reload_timestamp_seconds ");
    prom_seconds(out, x->root->loaded_real_ns);
    buf_char(out, '\n');
    write_adoption(x, out);
    write_endpoints(x, out);
}

void exposition_write(const struct exposition *x, struct buf *out)
{
    write_config(x, out);
    write_processes(x, out);
    write_counters(x, out);
    exposition_traffic(x, out);
    if (!x->box_configured)
        return;
    prom_value(out, "rushgate_boxoffice_up", "gauge", "1: the box office answers.", x->box != NULL);
    if (x->box != NULL)
        exposition_boxoffice(x->box, out);
}
