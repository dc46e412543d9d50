/* SPDX-License-Identifier: BSD-2-Clause */
/* `show redis`: the servers that hosts share limits by, as the workers see them. */
#include "config.h"

#include "conf/compiled.h"
#include "ctl/request.h"

/* What the workers agree on, or the worst of it. */
static const char *state_word(const struct metric_redis_total *t, uint32_t workers, bool shared)
{
    uint32_t up = t->workers[METRIC_REDIS_UP];

    if (t->workers[METRIC_REDIS_NONE] == workers)
        return shared ? "not connected" : "unused";
    if (up > 0)
        return up + t->workers[METRIC_REDIS_NONE] == workers ? "up" : "partly";
    if (t->workers[METRIC_REDIS_HALF_OPEN] > 0)
        return "half-open";
    if (t->workers[METRIC_REDIS_OPEN] > 0)
        return "open";
    return t->workers[METRIC_REDIS_CONNECTING] > 0 ? "connecting" : "down";
}

static bool any_shared(const struct conf_root *root)
{
    bool any = false;

    for (uint32_t i = 0; i < root->rate_limits.n; i++)
        any = any || conf_rate_limits(root)[i].shared;
    return any;
}

static json_t *quantile(const struct metric_redis_total *t, double q)
{
    uint64_t ns = histogram_quantile_ns(t->rtt, q);

    return ns == 0 || ns == UINT64_MAX ? json_null() : ctl_seconds(ns);
}

static json_t *server_row(const struct ctl *c, const struct conf_root *root,
                          const struct conf_redis_server *s)
{
    uint32_t workers = atomic_load_explicit(&c->cfg.control->workers, memory_order_relaxed);
    struct metric_redis_total t;
    json_t *row = json_object();

    metric_redis_total(c->cfg.metrics, workers, s->stat, &t);
    const struct {
        const char *key;
        uint64_t n;
    } figures[] = {
        {"workers_up", t.workers[METRIC_REDIS_UP]},
        {"workers", workers},
        {"calls", t.calls},
        {"failures", t.failures},
        {"timeouts", t.timeouts},
        {"breaker_opened", t.opened},
    };

    json_object_set_new(row, "server", ctl_text(conf_slice(root, s->address)));
    json_object_set_new(row, "state", json_string(state_word(&t, workers, any_shared(root))));
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        json_object_set_new(row, figures[i].key, json_integer((json_int_t)figures[i].n));
    json_object_set_new(row, "rtt_p50_s", quantile(&t, 0.5));
    json_object_set_new(row, "rtt_p99_s", quantile(&t, 0.99));
    return row;
}

void ctl_do_SHOW_REDIS(struct ctl_request *r)
{
    const struct conf_root *root = bank_current(r->ctl->cfg.banks).data;
    json_t *rows = json_array();

    if (root != NULL) {
        const struct conf_redis_server *all = conf_at(root, root->redis.servers);
        for (uint32_t i = 0; i < root->redis.servers.n; i++)
            json_array_append_new(rows, server_row(r->ctl, root, &all[i]));
    }
    ctl_answer(r, ctl_document(r->ctl, "redis", rows));
}
