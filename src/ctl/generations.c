/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands about the configurations that were in force: what they are, how they differ, back to
 * one.
 */
#include "config.h"

#include <string.h>

#include "base/clock.h"
#include "ctl/request.h"

struct generations {
    struct ctl_generation all[CTL_GENERATIONS];
    unsigned n;
};

static void generations_get(const struct ctl *c, struct generations *g)
{
    g->n = c->cfg.ops->generations(c->cfg.arg, g->all, CTL_GENERATIONS);
}

static const struct ctl_generation *current(const struct generations *g)
{
    unsigned i = 0;

    while (i + 1 < g->n && strcmp(g->all[i].state, "current") != 0)
        i++;
    return &g->all[i];
}

/* By its number, else by the one it had at first. NULL with a refusal sent. */
static const struct ctl_generation *find(struct ctl_request *r, const struct generations *g,
                                         const char *text)
{
    uint64_t number;

    if (!slice_to_u64(slice_str(text), &number))
        number = 0; /* ctl_parse has refused that already */
    for (unsigned i = 0; i < g->n; i++)
        if (g->all[i].generation == number)
            return &g->all[i];
    for (unsigned i = 0; i < g->n; i++)
        if (g->all[i].first == number)
            return &g->all[i];
    ctl_refuse(r, CTL_NOT_FOUND, "rushctl show generations lists those that are kept",
               "generation %s is not kept", text);
    return NULL;
}

static json_t *latency(const struct ctl_generation *g, uint64_t ns)
{
    return g->counted && ns != 0 && ns != UINT64_MAX ? ctl_seconds(ns) : json_null();
}

static json_t *generation_row(const struct ctl_generation *g)
{
    json_t *row = json_object();

    json_object_set_new(row, "generation", json_integer((json_int_t)g->generation));
    json_object_set_new(row, "state", json_string(g->state));
    json_object_set_new(row, "since", ctl_time(g->since_real_ns));
    json_object_set_new(row, "origin", json_string(g->origin));
    json_object_set_new(row, "reason", ctl_text(slice_str(g->reason)));
    json_object_set_new(row, "changes", ctl_text(slice_str(g->changes)));
    json_object_set_new(row, "share",
                        g->counted ? json_real(g->share / (double)BANK_SHARE_ALL) : json_null());
    json_object_set_new(row, "requests",
                        g->counted ? json_integer((json_int_t)g->requests) : json_null());
    json_object_set_new(row, "responses_5xx",
                        g->counted ? json_integer((json_int_t)g->errors) : json_null());
    json_object_set_new(row, "latency_p50_s", latency(g, g->p50_ns));
    json_object_set_new(row, "latency_p99_s", latency(g, g->p99_ns));
    json_object_set_new(row, "first_generation", json_integer((json_int_t)g->first));
    json_object_set_new(row, "of_file", json_boolean(g->of_file));
    json_object_set_new(row, "runtime_changes", json_integer(g->runtime));
    return row;
}

void ctl_do_SHOW_GENERATIONS(struct ctl_request *r)
{
    struct generations g;
    json_t *rows = json_array();

    generations_get(r->ctl, &g);
    for (unsigned i = 0; i < g.n; i++)
        json_array_append_new(rows, generation_row(&g.all[i]));
    ctl_answer(r, ctl_document(r->ctl, "generations", rows));
}

json_t *ctl_differs_from_file(const struct ctl *c)
{
    const struct ctl_rolled_back back = c->cfg.ops->rolled_back(c->cfg.arg);
    struct generations g;
    json_t *d;

    generations_get(c, &g);
    if (g.n == 0 || current(&g) != &g.all[0] || current(&g)->of_file || back.generation == 0)
        return json_null();
    d = json_object();
    json_object_set_new(d, "since", ctl_time(back.at_real_ns));
    json_object_set_new(d, "origin", json_string(back.canary ? "canary_rollback" : "rollback"));
    json_object_set_new(d, "by", ctl_text(slice_str(back.by)));
    json_object_set_new(d, "reason", ctl_text(slice_str(back.reason)));
    json_object_set_new(d, "file_generation", json_integer((json_int_t)back.generation));
    json_object_set_new(d, "file_in_force_since", ctl_time(back.since_real_ns));
    return d;
}

static void add_row(void *arg, const struct conf_change *ch)
{
    json_t *row = json_object();

    json_object_set_new(row, "setting", ctl_text(slice_str(ch->path)));
    json_object_set_new(row, "old", ctl_text(slice_str(ch->old_text)));
    json_object_set_new(row, "new", ctl_text(slice_str(ch->new_text)));
    json_object_set_new(row, "needs_restart", json_boolean(ch->restart));
    json_array_append_new(arg, row);
}

void ctl_do_CONFIG_DIFF(struct ctl_request *r)
{
    struct generations g;
    const struct ctl_generation *a, *b;
    json_t *rows;

    generations_get(r->ctl, &g);
    a = find(r, &g, r->inv.args[0]);
    if (a == NULL)
        return;
    b = r->inv.args_n > 1 ? find(r, &g, r->inv.args[1]) : current(&g);
    if (b == NULL)
        return;
    rows = json_array();
    conf_diff(a->conf, b->conf, add_row, rows);
    ctl_answer(r, ctl_document(r->ctl, "config_diff", rows));
}

void ctl_do_CONFIG_ROLLBACK(struct ctl_request *r)
{
    struct ctl_order order = ctl_order_of(r);
    const struct ctl_generation *to;
    struct generations g;

    generations_get(r->ctl, &g);
    to = r->inv.args_n > 0 ? find(r, &g, r->inv.args[0]) : &g.all[1];
    if (to == NULL)
        return;
    if (r->inv.args_n == 0 && current(&g) != &g.all[0]) {
        r->ctl->cfg.ops->rollback(r->ctl->cfg.arg, &order, ctl_on_changed, r);
        return;
    }
    if (g.n < 2) {
        ctl_refuse(r, CTL_REFUSED, "", "no earlier configuration is kept");
        return;
    }
    if (to == current(&g)) {
        ctl_refuse(r, CTL_REFUSED, "rushctl show generations lists those that are kept",
                   "generation %s is in force already", r->inv.args[0]);
        return;
    }
    order.generation = to->generation;
    r->ctl->cfg.ops->rollback(r->ctl->cfg.arg, &order, ctl_on_changed, r);
}

/* "5%", "0.5%", "12.25%": of BANK_SHARE_ALL. False with a refusal sent. */
static bool take_share(struct ctl_request *r, const char *text, uint32_t *share)
{
    size_t whole = strspn(text, "0123456789"), part = 0;
    uint64_t n = 0, hundredths = 0;

    if (text[whole] == '.')
        part = strspn(text + whole + 1, "0123456789");
    if (whole > 0 && whole <= 3 && part <= 2 && (text[whole] != '.' || part > 0) &&
        strcmp(text + whole + (part > 0 ? part + 1 : 0), "%") == 0 &&
        slice_to_u64(slice_of(text, whole), &n) &&
        (part == 0 || slice_to_u64(slice_of(text + whole + 1, part), &hundredths))) {
        *share = (uint32_t)(n * 100 + (part == 1 ? hundredths * 10 : hundredths));
        if (*share > 0 && *share <= BANK_SHARE_ALL)
            return true;
    }
    ctl_refuse(r, CTL_USAGE, "from 0.01% to 100%, like 5%", "\"%s\" is no share", text);
    return false;
}

void ctl_reload_canary(struct ctl_request *r, const struct ctl_order *order)
{
    struct ctl_order with_share = *order;

    if (take_share(r, r->inv.flag[CTL_FLAG_CANARY], &with_share.share))
        r->ctl->cfg.ops->canary(r->ctl->cfg.arg, &with_share, ctl_on_changed, r);
}

/* False with a refusal sent. */
static bool canary_there(struct ctl_request *r)
{
    struct generations g;

    generations_get(r->ctl, &g);
    if (g.n > 0 && current(&g) != &g.all[0])
        return true;
    ctl_refuse(r, CTL_REFUSED, "rushctl reload --canary 5% starts one", "no canary runs");
    return false;
}

void ctl_do_CONFIG_CANARY(struct ctl_request *r)
{
    struct ctl_order order = ctl_order_of(r);

    if (take_share(r, r->inv.args[0], &order.share) && canary_there(r))
        r->ctl->cfg.ops->share(r->ctl->cfg.arg, &order, ctl_on_changed, r);
}

void ctl_do_CONFIG_PROMOTE(struct ctl_request *r)
{
    struct ctl_order order = ctl_order_of(r);

    if (canary_there(r))
        r->ctl->cfg.ops->promote(r->ctl->cfg.arg, &order, ctl_on_changed, r);
}

/* What ends it by itself. A part of 1; null: that does not. */
static json_t *canary_rule(const struct conf_canary *rule)
{
    json_t *d = json_object();

    json_object_set_new(d, "min_requests", json_integer((json_int_t)rule->min_requests));
    json_object_set_new(d, "max_error_rate_increase",
                        rule->max_error_increase_percent < 100
                            ? json_real(rule->max_error_increase_percent / 100.0)
                            : json_null());
    json_object_set_new(d, "p99_factor",
                        rule->p99_percent != 0 ? json_real(rule->p99_percent / 100.0)
                                               : json_null());
    json_object_set_new(d, "promote_after_s",
                        rule->promote_after_ms != 0
                            ? ctl_seconds(rule->promote_after_ms * NS_PER_MS)
                            : json_null());
    return d;
}

json_t *ctl_canary(const struct ctl *c)
{
    struct generations g;
    json_t *row;

    generations_get(c, &g);
    if (g.n == 0 || current(&g) == &g.all[0])
        return json_null();
    row = generation_row(&g.all[0]);
    json_object_set_new(row, "rule",
                        canary_rule(&conf_process(c->cfg.ops->conf(c->cfg.arg))->canary));
    return row;
}
