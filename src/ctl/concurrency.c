/* SPDX-License-Identifier: BSD-2-Clause */
/* show concurrency: the words that each worker publishes about its concurrency limits. */
#include "config.h"

#include "base/word.h"
#include "conf/compiled.h"
#include "ctl/request.h"

struct figures {
    uint64_t limit_milli, in_flight, long_ns, short_ns, admitted, refused, shadow_refused, failed;
    unsigned measured; /* workers that know their latencies */
};

/* Gauges only of a worker that is there; counters in any case. */
static struct figures read_words(const struct ctl *c, unsigned worker, uint32_t stat)
{
    const struct metric_concurrency *w = &c->cfg.metrics->blocks[worker].concurrency[stat];
    uint32_t state =
        atomic_load_explicit(&c->cfg.control->slots[worker].state, memory_order_relaxed);
    struct figures f = {.admitted = word_read(&w->admitted),
                        .refused = word_read(&w->refused),
                        .shadow_refused = word_read(&w->shadow_refused),
                        .failed = word_read(&w->failed)};

    if (state != SLOT_READY && state != SLOT_DRAINING)
        return f;
    f.limit_milli = word_read(&w->limit_milli);
    f.in_flight = word_read(&w->in_flight);
    f.long_ns = word_read(&w->long_ns);
    f.short_ns = word_read(&w->short_ns);
    f.measured = f.short_ns != 0;
    return f;
}

static void add(struct figures *sum, const struct figures *f)
{
    sum->limit_milli += f->limit_milli / 1000 * 1000;
    sum->in_flight += f->in_flight;
    sum->long_ns += f->long_ns;
    sum->short_ns += f->short_ns;
    sum->admitted += f->admitted;
    sum->refused += f->refused;
    sum->shadow_refused += f->shadow_refused;
    sum->failed += f->failed;
    sum->measured += f->measured;
}

static json_t *latency(uint64_t sum_ns, unsigned measured)
{
    return measured == 0 ? json_null() : ctl_seconds(sum_ns / measured);
}

static json_t *row(const struct conf_root *root, const struct conf_concurrency *conf,
                   json_t *worker, const struct figures *f)
{
    static const char *const modes[] = {"off", "adaptive", "shadow", "fixed"};
    const struct {
        const char *key;
        uint64_t n;
    } counts[] = {
        {"limit", f->limit_milli / 1000},
        {"in_flight", f->in_flight},
        {"admitted", f->admitted},
        {"refused", f->refused},
        {"shadow_refused", f->shadow_refused},
        {"failed", f->failed},
    };
    json_t *r = json_object();

    json_object_set_new(r, "limit_of", ctl_text(conf_slice(root, conf->name)));
    json_object_set_new(r, "mode", json_string(modes[conf->mode % 4]));
    json_object_set_new(r, "worker", worker);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        json_object_set_new(r, counts[i].key, json_integer((json_int_t)counts[i].n));
    json_object_set_new(r, "latency_long_s", latency(f->long_ns, f->measured));
    json_object_set_new(r, "latency_short_s", latency(f->short_ns, f->measured));
    return r;
}

static void rows_of(const struct ctl *c, const struct conf_root *root,
                    const struct conf_concurrency *conf, json_t *rows)
{
    uint32_t workers = atomic_load_explicit(&c->cfg.control->workers, memory_order_relaxed);
    struct figures sum = {0}, f[CONTROL_WORKERS];

    if (conf->mode == CONF_CONCURRENCY_OFF)
        return;
    workers = workers < CONTROL_WORKERS ? workers : CONTROL_WORKERS;
    for (uint32_t i = 0; i < workers; i++) {
        f[i] = read_words(c, i, conf->stat % METRIC_CONCURRENCY);
        add(&sum, &f[i]);
    }
    json_array_append_new(rows, row(root, conf, json_string("all"), &sum));
    for (uint32_t i = 0; i < workers; i++)
        json_array_append_new(rows, row(root, conf, json_sprintf("%u", i), &f[i]));
}

void ctl_do_SHOW_CONCURRENCY(struct ctl_request *r)
{
    const struct conf_root *root = bank_current(r->ctl->cfg.banks).data;
    json_t *rows = json_array();

    for (uint32_t i = 0; root != NULL && i < root->upstreams.n; i++)
        rows_of(r->ctl, root, &conf_upstreams(root)[i].concurrency, rows);
    for (uint32_t i = 0; root != NULL && i < root->routes.n; i++)
        rows_of(r->ctl, root, &conf_routes(root)[i].concurrency, rows);
    ctl_answer(r, ctl_document(r->ctl, "concurrency", rows));
}
