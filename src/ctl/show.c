/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands that look: at the slots of the control zone, the compiled configuration, the metric
 * zone. */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/word.h"
#include "conf/compiled.h"
#include "ctl/request.h"
#include "http/method.h"

#define LISTENERS_MAX 64

static uint32_t get32(const _Atomic uint32_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void put_int(json_t *row, const char *key, uint64_t n)
{
    json_object_set_new(row, key, json_integer((json_int_t)n));
}

static json_t *exit_text(const struct slot *s)
{
    uint32_t status = get32(&s->last_exit), pid = get32(&s->pid);
    int st = (int)status;

    /* One start and still there: none of this slot has ended yet. */
    if (get32(&s->starts) < 2 && pid != 0)
        return json_null();
    if (WIFSIGNALED(st))
        return json_sprintf("signal %d", WTERMSIG(st));
    return json_sprintf("exit %d", WEXITSTATUS(st));
}

/* What the process itself publishes. The box office is a program of its own and publishes nothing.
 */
static void put_published(json_t *row, const struct slot *s, bool publishes)
{
    const struct {
        const char *key;
        const _Atomic uint64_t *word;
        bool in_ns;
    } words[] = {
        {"generation", &s->generation, false}, {"connections", &s->connections, false},
        {"requests", &s->requests, false},     {"loop_lag_s", &s->loop_lag_ns, true},
        {"busy_s", &s->busy_ns, true},
    };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        uint64_t n = word_read(words[i].word);
        json_object_set_new(row, words[i].key,
                            !publishes       ? json_null()
                            : words[i].in_ns ? ctl_seconds(n)
                                             : json_integer((json_int_t)n));
    }
}

static bool publishes_config(unsigned slot)
{
    return slot != CONTROL_BOXOFFICE;
}

/* Of the banks it holds one is that of the generation in use. */
static int older_generations(const struct slot *s)
{
    int held = __builtin_popcountll(word_read(&s->held_banks));

    return held > 0 ? held - 1 : 0;
}

static json_t *process_row(const struct ctl *c, unsigned i)
{
    const struct slot *s = &c->cfg.control->slots[i];
    uint64_t now = clock_mono_ns(), beat = word_read(&s->heartbeat_ns);
    uint32_t cpu = get32(&s->cpu), state = get32(&s->state);
    bool alive = state == SLOT_READY || state == SLOT_DRAINING;
    json_t *row = json_object();

    json_object_set_new(row, "process",
                        i == CONTROL_KEEPER      ? json_string("keeper")
                        : i == CONTROL_BOXOFFICE ? json_string("boxoffice")
                                                 : json_sprintf("worker %u", i));
    put_int(row, "slot", i);
    put_int(row, "pid", get32(&s->pid));
    json_object_set_new(row, "state", json_string(slot_state_name(state)));
    put_published(row, s, publishes_config(i));
    json_object_set_new(row, "older_generations",
                        publishes_config(i) ? json_integer(older_generations(s)) : json_null());
    json_object_set_new(row, "heartbeat_age_s",
                        alive && beat != 0 ? ctl_seconds(now > beat ? now - beat : 0)
                                           : json_null());
    json_object_set_new(row, "cpu", alive && cpu != UINT32_MAX ? json_integer(cpu) : json_null());
    put_int(row, "starts", get32(&s->starts));
    json_object_set_new(row, "started", ctl_time(word_read(&s->started_real_ns)));
    json_object_set_new(row, "last_exit", exit_text(s));
    return row;
}

json_t *ctl_process_rows(const struct ctl *c)
{
    const struct control *z = c->cfg.control;
    uint32_t workers = get32(&z->workers);
    json_t *rows = json_array();

    for (unsigned i = 0; i < workers && i < CONTROL_WORKERS; i++)
        json_array_append_new(rows, process_row(c, i));
    for (unsigned i = CONTROL_KEEPER; i < CONTROL_SLOTS; i++)
        if (get32(&z->slots[i].state) != SLOT_EMPTY || get32(&z->slots[i].starts) > 0)
            json_array_append_new(rows, process_row(c, i));
    return rows;
}

void ctl_do_SHOW_WORKERS(struct ctl_request *r)
{
    ctl_answer(r, ctl_document(r->ctl, "workers", ctl_process_rows(r->ctl)));
}

static json_t *listener_rows(const struct ctl *c)
{
    struct ctl_listener list[LISTENERS_MAX];
    unsigned n = c->cfg.ops->listeners(c->cfg.arg, list, LISTENERS_MAX);
    json_t *rows = json_array();

    for (unsigned i = 0; i < n; i++) {
        json_t *row = json_object();
        json_object_set_new(row, "name", ctl_text(slice_str(list[i].name)));
        json_object_set_new(row, "address", ctl_text(slice_str(list[i].address)));
        json_array_append_new(rows, row);
    }
    return rows;
}

static uint64_t since(uint64_t real_ns)
{
    uint64_t now = clock_real_ns();

    return now > real_ns ? now - real_ns : 0;
}

void ctl_do_STATUS(struct ctl_request *r)
{
    const struct ctl *c = r->ctl;
    const struct control *z = c->cfg.control;
    const struct conf_root *root = bank_current(c->cfg.banks).data;
    uint64_t started = word_read(&z->started_real_ns);
    json_t *d = json_object(), *doc;

    json_object_set_new(d, "version", json_string(c->version));
    json_object_set_new(d, "state", json_string(get32(&z->draining) ? "draining" : "running"));
    put_int(d, "pid", get32(&z->master_pid));
    json_object_set_new(d, "started", ctl_time(started));
    json_object_set_new(d, "uptime_s", ctl_seconds(since(started)));
    json_object_set_new(d, "prefix", ctl_text(slice_str(c->prefix)));
    json_object_set_new(d, "config", ctl_text(slice_str(c->cfg.ops->conf_file(c->cfg.arg))));
    json_object_set_new(d, "config_loaded",
                        root != NULL ? ctl_time(root->loaded_real_ns) : json_null());
    json_object_set_new(d, "canary", ctl_canary(c));
    json_object_set_new(d, "config_differs_from_file", ctl_differs_from_file(c));
    json_object_set_new(d, "listeners", listener_rows(c));
    json_object_set_new(d, "processes", ctl_process_rows(c));
    doc = ctl_document(c, "status", d);
    if (c->cfg.ops->boxoffice_outdated(c->cfg.arg))
        ctl_document_warn(doc, "the box office runs an earlier binary than the one installed; "
                               "\"rushctl restart boxoffice\" starts that");
    ctl_answer(r, doc);
}

/* Nanoseconds of a quantile as seconds; null without requests or beyond the largest bucket. */
static json_t *quantile(const struct metric_route_total *t, double q)
{
    uint64_t ns = histogram_quantile_ns(t->latency, q);

    return ns == 0 || ns == UINT64_MAX ? json_null() : ctl_seconds(ns);
}

static void put_route_figures(const struct ctl *c, uint32_t stat, json_t *row)
{
    static const char *const keys[] = {"client_gone",   "responses_1xx", "responses_2xx",
                                       "responses_3xx", "responses_4xx", "responses_5xx"};
    struct metric_route_total t;

    metric_route_total(c->cfg.metrics, get32(&c->cfg.control->workers), stat, &t);
    put_int(row, "requests", t.requests);
    for (unsigned i = 0; i < 6; i++)
        put_int(row, keys[i], t.status[i]);
    json_object_set_new(row, "latency_p50_s", quantile(&t, 0.5));
    json_object_set_new(row, "latency_p99_s", quantile(&t, 0.99));
    json_object_set_new(row, "latency_sum_s", ctl_seconds(t.sum_ns));
}

static json_t *methods_text(uint32_t methods)
{
    char text[80] = "";
    size_t n = 0;

    if ((methods & METHOD_ANY) == METHOD_ANY)
        return json_string("any");
    for (unsigned m = 0; m < METHOD_COUNT; m++)
        if (methods & METHOD_BIT(m))
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s", n > 0 ? "," : "",
                                  SLICE_ARG(method_name((enum http_method_id)m)));
    return json_string(text);
}

static json_t *route_row(const struct ctl *c, const struct conf_root *root,
                         const struct conf_route *route)
{
    json_t *row = json_object();

    json_object_set_new(row, "route", ctl_text(conf_slice(root, route->name)));
    json_object_set_new(row, "host", ctl_text(conf_slice(root, route->host)));
    json_object_set_new(row, "methods", methods_text(route->methods));
    json_object_set_new(row, "path", ctl_text(conf_slice(root, route->path)));
    json_object_set_new(
        row, "upstream",
        route->upstream == CONF_NONE
            ? json_null()
            : ctl_text(conf_slice(root, conf_upstreams(root)[route->upstream].name)));
    put_route_figures(c, route->stat, row);
    return row;
}

/* Requests that matched no route have index 0. */
static json_t *unrouted_row(const struct ctl *c)
{
    json_t *row = json_object();

    json_object_set_new(row, "route", json_string("(none)"));
    json_object_set_new(row, "host", json_string(""));
    json_object_set_new(row, "methods", json_string("any"));
    json_object_set_new(row, "path", json_string(""));
    json_object_set_new(row, "upstream", json_null());
    put_route_figures(c, 0, row);
    return row;
}

void ctl_do_SHOW_ROUTES(struct ctl_request *r)
{
    const struct conf_root *root = bank_current(r->ctl->cfg.banks).data;
    json_t *rows = json_array();

    for (uint32_t i = 0; root != NULL && i < root->routes.n; i++)
        json_array_append_new(rows, route_row(r->ctl, root, &conf_routes(root)[i]));
    json_array_append_new(rows, unrouted_row(r->ctl));
    ctl_answer(r, ctl_document(r->ctl, "routes", rows));
}

static unsigned routes_with(const struct conf_root *root, uint32_t limit)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < root->routes.n; i++) {
        const struct conf_route_limit *l = conf_at(root, conf_routes(root)[i].limits);
        for (uint32_t k = 0; k < conf_routes(root)[i].limits.n; k++)
            n += l[k].limit == limit;
    }
    return n;
}

static json_t *limit_row(const struct ctl *c, const struct conf_root *root, uint32_t i)
{
    static const char *const keys[METRIC_LIMIT_OUTCOMES] = {
        "allowed", "denied", "shadow_denied", "overflow", "leased", "unconfirmed", "fallback"};
    const struct conf_rate_limit *l = &conf_rate_limits(root)[i];
    json_t *row = json_object();

    json_object_set_new(row, "limit", ctl_text(conf_slice(root, l->name)));
    json_object_set_new(row, "key", ctl_text(conf_slice(root, l->key)));
    json_object_set_new(row, "rate", ctl_text(conf_slice(root, l->rate)));
    put_int(row, "burst", l->burst);
    put_int(row, "cost", l->cost);
    json_object_set_new(row, "mode", json_string(l->mode == CONF_SHADOW ? "shadow" : "enforce"));
    put_int(row, "routes", routes_with(root, i));
    json_object_set_new(row, "shared", json_string(l->shared ? "redis" : "no"));
    for (unsigned o = 0; o < METRIC_LIMIT_OUTCOMES; o++)
        put_int(row, keys[o],
                metric_limit_total(c->cfg.metrics, get32(&c->cfg.control->workers), l->stat,
                                   (enum metric_limit_outcome)o));
    return row;
}

void ctl_do_SHOW_LIMITS(struct ctl_request *r)
{
    const struct conf_root *root = bank_current(r->ctl->cfg.banks).data;
    json_t *rows = json_array();

    for (uint32_t i = 0; root != NULL && i < root->rate_limits.n; i++)
        json_array_append_new(rows, limit_row(r->ctl, root, i));
    ctl_answer(r, ctl_document(r->ctl, "limits", rows));
}

static json_t *endpoint_row(const struct ctl *c, const struct conf_root *root,
                            const struct conf_upstream *u, const struct conf_endpoint *e)
{
    json_t *row = json_object();
    bool checked = u->health_interval_ms > 0 && endpoint_has_word(e->stat);
    bool down = checked && word_read(&c->cfg.control->endpoint_down[e->stat]) != 0;

    json_object_set_new(row, "upstream", ctl_text(conf_slice(root, u->name)));
    json_object_set_new(row, "endpoint", ctl_text(conf_slice(root, e->address)));
    json_object_set_new(row, "protocol", json_string(u->protocol == CONF_GRPC ? "grpc" : "http"));
    json_object_set_new(
        row, "balance",
        json_string(u->balance == CONF_BALANCE_P2C ? "least_loaded" : "rendezvous"));
    json_object_set_new(row, "state", json_string(!checked ? "unchecked" : down ? "down" : "up"));
    json_object_set_new(row, "check_interval_s", ctl_seconds(u->health_interval_ms * NS_PER_MS));
    put_int(row, "max_in_flight", u->max_in_flight);
    return row;
}

void ctl_do_SHOW_UPSTREAMS(struct ctl_request *r)
{
    const struct ctl *c = r->ctl;
    const struct conf_root *root = bank_current(c->cfg.banks).data;
    json_t *rows = json_array(), *doc;

    for (uint32_t i = 0; root != NULL && i < root->upstreams.n; i++) {
        const struct conf_upstream *u = &conf_upstreams(root)[i];
        const struct conf_endpoint *e = conf_at(root, u->endpoints);
        for (uint32_t k = 0; k < u->endpoints.n; k++)
            json_array_append_new(rows, endpoint_row(c, root, u, &e[k]));
    }
    doc = ctl_document(c, "upstreams", rows);
    if (get32(&c->cfg.control->slots[CONTROL_KEEPER].state) != SLOT_READY)
        ctl_document_warn(doc, "the keeper is not there: health may be out of date");
    ctl_answer(r, doc);
}

void ctl_do_SHOW_CONFIG(struct ctl_request *r)
{
    struct buf text = {0};
    const struct conf *conf = r->ctl->cfg.ops->conf(r->ctl->cfg.arg);
    json_error_t error;
    json_t *rows, *row;
    size_t i;

    conf_show(conf, true, true, &text);
    rows = json_loadb(text.p, text.n, 0, &error);
    buf_free(&text);
    if (r->inv.flag[CTL_FLAG_ORIGIN] == NULL)
        json_array_foreach(rows, i, row) json_object_del(row, "origin");
    if (rows == NULL)
        ctl_refuse(r, CTL_FAILED, "", "the configuration cannot be shown: %s", error.text);
    else
        ctl_answer(r, ctl_document(r->ctl, "config", rows));
}
