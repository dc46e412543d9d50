/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `split set` changes weights. `show split`: how the arms of the splits fare, and whether they
 * differ from the first arm of theirs by more than chance (significance.h): 5xx by a two-proportion
 * z test, latency by a Mann-Whitney U test on the histograms. With more than two arms each is
 * compared at 5 % divided by the number of comparisons (Bonferroni).
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "conf/split.h"
#include "ctl/request.h"
#include "ctl/significance.h"

/* What the words of a verdict are where b, the arm, is the larger or the smaller one. */
struct words {
    const char *larger, *smaller;
};

static const struct words of_errors = {"more", "fewer"}, of_latency = {"slower", "faster"};

/* What there is of an arm. */
struct figures {
    struct metric_route_total t;
    uint64_t forced;
    uint64_t answered; /* requests but for those whose client left */
};

static unsigned workers(const struct ctl *c)
{
    return atomic_load_explicit(&c->cfg.control->workers, memory_order_relaxed);
}

static void figures_of(const struct ctl *c, const struct conf_arm *arm, struct figures *f)
{
    metric_arm_total(c->cfg.metrics, workers(c), arm->stat, &f->t, &f->forced);
    f->answered = f->t.requests - f->t.status[0];
}

static json_t *rounded(double x)
{
    return json_real((double)(int64_t)(x * 10000 + (x < 0 ? -0.5 : 0.5)) / 10000);
}

/* "more (p=0.0031)"; the p value and the effect in fields of their own. */
static void put_verdict(json_t *row, const char *key, const struct significance *s, double level,
                        const struct words *words)
{
    char name[32], text[64], p[24];

    snprintf(p, sizeof p, s->p < 0.0001 ? "p<0.0001" : "p=%.4f", s->p);
    snprintf(text, sizeof text, "%s (%s)",
             s->p >= level   ? "same"
             : s->effect > 0 ? words->larger
                             : words->smaller,
             p);
    snprintf(name, sizeof name, "%s_verdict", key);
    json_object_set_new(row, name, json_string(s->enough ? text : "too few"));
    snprintf(name, sizeof name, "%s_p", key);
    json_object_set_new(row, name, s->enough ? json_real(s->p) : json_null());
    snprintf(name, sizeof name, "%s_effect", key);
    json_object_set_new(row, name, s->enough ? rounded(s->effect) : json_null());
}

static void put_verdicts(json_t *row, const struct figures *base, const struct figures *f,
                         double level)
{
    struct significance errors, latency;

    errors = significance_shares(base->t.status[5], base->answered, f->t.status[5], f->answered);
    latency = significance_ranks(base->t.latency, f->t.latency, HISTOGRAM_BUCKETS);
    put_verdict(row, "errors", &errors, level, &of_errors);
    put_verdict(row, "latency", &latency, level, &of_latency);
}

/* The first arm is what the others are compared with. */
static void put_baseline(json_t *row)
{
    static const char *const nothing[] = {"errors_p", "errors_effect", "latency_p",
                                          "latency_effect"};

    json_object_set_new(row, "errors_verdict", json_string("baseline"));
    json_object_set_new(row, "latency_verdict", json_string("baseline"));
    for (unsigned i = 0; i < sizeof nothing / sizeof *nothing; i++)
        json_object_set_new(row, nothing[i], json_null());
}

static json_t *quantile(const struct figures *f, double q)
{
    uint64_t ns = histogram_quantile_ns(f->t.latency, q);

    return ns == 0 || ns == UINT64_MAX ? json_null() : ctl_seconds(ns);
}

static void put_figures(json_t *row, const struct figures *f, uint64_t all)
{
    static const char *const keys[] = {"client_gone",   "responses_1xx", "responses_2xx",
                                       "responses_3xx", "responses_4xx", "responses_5xx"};

    json_object_set_new(row, "requests", json_integer((json_int_t)f->t.requests));
    json_object_set_new(row, "requests_share",
                        all > 0 ? rounded((double)f->t.requests / (double)all) : json_null());
    for (unsigned i = 0; i < 6; i++)
        json_object_set_new(row, keys[i], json_integer((json_int_t)f->t.status[i]));
    json_object_set_new(row, "latency_p50_s", quantile(f, 0.5));
    json_object_set_new(row, "latency_p99_s", quantile(f, 0.99));
    json_object_set_new(row, "latency_sum_s", ctl_seconds(f->t.sum_ns));
    json_object_set_new(row, "forced", json_integer((json_int_t)f->forced));
}

static json_t *arm_row(const struct conf_root *root, const struct conf_split *s,
                       const struct conf_arm *arm, double weights)
{
    json_t *row = json_object();

    json_object_set_new(row, "label", ctl_text(conf_slice(root, arm->label)));
    json_object_set_new(row, "split", ctl_text(conf_slice(root, s->name)));
    json_object_set_new(row, "by", ctl_text(conf_slice(root, s->by_text)));
    json_object_set_new(row, "arm", ctl_text(conf_slice(root, arm->name)));
    json_object_set_new(row, "upstream",
                        arm->upstream == CONF_NONE
                            ? json_null()
                            : ctl_text(conf_slice(root, conf_upstreams(root)[arm->upstream].name)));
    json_object_set_new(row, "weight", json_integer(arm->weight));
    json_object_set_new(row, "share", rounded(arm->weight / weights));
    return row;
}

static void add_rows(const struct ctl *c, const struct conf_root *root, const struct conf_split *s,
                     json_t *rows)
{
    const struct conf_arm *arms = conf_arms(root, s);
    double level = SIGNIFICANCE_LEVEL / (s->arms.n > 2 ? s->arms.n - 1 : 1), weights = 0;
    struct figures all[CONF_ARMS];
    uint64_t requests = 0;

    for (uint32_t i = 0; i < s->arms.n; i++) {
        figures_of(c, &arms[i], &all[i]);
        requests += all[i].t.requests;
        weights += arms[i].weight;
    }
    for (uint32_t i = 0; i < s->arms.n; i++) {
        json_t *row = arm_row(root, s, &arms[i], weights);
        put_figures(row, &all[i], requests);
        if (i == 0)
            put_baseline(row);
        else
            put_verdicts(row, &all[0], &all[i], level);
        json_array_append_new(rows, row);
    }
}

/* By its own name or by that of a route that uses it; NULL after a refusal. */
static const struct conf_split *find_split(struct ctl_request *r, const struct conf_root *root,
                                           const char *name)
{
    const struct conf_split *all = root != NULL ? conf_splits(root) : NULL;

    for (uint32_t i = 0; root != NULL && i < root->splits.n; i++)
        if (slice_eq(conf_slice(root, all[i].name), slice_str(name)))
            return &all[i];
    for (uint32_t i = 0; root != NULL && i < root->routes.n; i++) {
        const struct conf_route *route = &conf_routes(root)[i];
        if (route->split != CONF_NONE && slice_eq(conf_slice(root, route->name), slice_str(name)))
            return &all[route->split];
    }
    ctl_refuse(r, CTL_NOT_FOUND, "rushctl show split lists them",
               "no split and no route with one is called \"%s\"", name);
    return NULL;
}

void ctl_do_SHOW_SPLIT(struct ctl_request *r)
{
    const struct conf_root *root = bank_current(r->ctl->cfg.banks).data;
    const struct conf_split *one = NULL;
    json_t *rows;

    if (r->inv.args_n > 0) {
        one = find_split(r, root, r->inv.args[0]);
        if (one == NULL)
            return;
    }
    rows = json_array();
    for (uint32_t i = 0; root != NULL && i < root->splits.n; i++)
        if (one == NULL || one == &conf_splits(root)[i])
            add_rows(r->ctl, root, &conf_splits(root)[i], rows);
    ctl_answer(r, ctl_document(r->ctl, "split", rows));
}

/* --- split set --- */

struct weights_order {
    struct ctl_change_order o;
    struct buf paths[CONF_ARMS];
    uint32_t weights[CONF_ARMS]; /* as they are to be */
    bool numbers;                /* all of them are; else the configuration's checks refuse them */
};
_Static_assert(CTL_CHANGE_SETTINGS >= CONF_ARMS, "every arm may be named");

/* "B=10". False after a refusal. */
static bool add_weight(struct ctl_request *r, const struct conf_root *root,
                       const struct conf_split *s, const char *text, struct weights_order *w)
{
    size_t eq = strcspn(text, "=");
    const struct conf_arm *arm = split_arm(root, s, slice_of(text, eq));
    unsigned n = w->o.settings_n;
    uint64_t weight = 0;

    if (text[eq] == '\0') {
        ctl_refuse(r, CTL_USAGE, "rushctl split set SPLIT B=10", "\"%s\" is not ARM=WEIGHT", text);
        return false;
    }
    if (arm == NULL) {
        ctl_refuse(r, CTL_NOT_FOUND, "rushctl show split lists them",
                   "split \"%.*s\" has no arm \"%.*s\"", SLICE_ARG(conf_slice(root, s->name)),
                   (int)eq, text);
        return false;
    }
    buf_printf(&w->paths[n], "splits.%.*s.arms.%.*s.weight", SLICE_ARG(conf_slice(root, s->name)),
               (int)eq, text);
    for (unsigned i = 0; i < n; i++)
        if (strcmp(buf_cstr(&w->paths[i]), buf_cstr(&w->paths[n])) == 0) {
            ctl_refuse(r, CTL_USAGE, "", "arm \"%.*s\" is named twice", (int)eq, text);
            return false;
        }
    w->o.settings[n].path = buf_cstr(&w->paths[n]);
    w->o.settings[n].value = text + eq + 1;
    w->o.settings_n++;
    w->numbers &= slice_to_u64(slice_str(text + eq + 1), &weight) && weight <= UINT32_MAX;
    w->weights[arm - conf_arms(root, s)] = (uint32_t)weight;
    return true;
}

/* How many change arms by it goes into the answer. */
static void order_weights(struct ctl_request *r, const struct conf_root *root,
                          const struct conf_split *s, struct weights_order *w)
{
    if (w->numbers)
        r->held = json_pack("{s:o}", "moved_share", rounded(split_moved(root, s, w->weights)));
    ctl_order_change(r, &w->o);
}

void ctl_do_SPLIT_SET(struct ctl_request *r)
{
    const struct conf_root *root = bank_current(r->ctl->cfg.banks).data;
    const struct conf_split *s = find_split(r, root, r->inv.args[0]);
    struct weights_order w = {.o = {.kind = CTL_CHANGE_SET}, .numbers = true};
    bool ok = true; /* false: r is answered and gone */

    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->arms.n; i++)
        w.weights[i] = conf_arms(root, s)[i].weight;
    for (unsigned i = 1; ok && i < r->inv.args_n; i++)
        ok = add_weight(r, root, s, r->inv.args[i], &w);
    if (ok)
        order_weights(r, root, s, &w);
    for (unsigned i = 0; i < CONF_ARMS; i++)
        buf_free(&w.paths[i]);
}
