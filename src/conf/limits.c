/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rate limits: numbers that make no sense together, keys that a route cannot give.
 */
#include <string.h>

#include "conf/tree.h"

#define REFILL_MAX_S (366.0 * 86400)

static uint64_t burst_of(const struct node *limit)
{
    int64_t burst = node_num(limit, S_LIMIT_BURST);

    return (uint64_t)(burst != 0 ? burst : node_get(limit, S_LIMIT_RATE)->value.num);
}

static void check_numbers(struct conf *c, struct node *limit)
{
    const struct node *rate = node_get(limit, S_LIMIT_RATE), *cost = node_get(limit, S_LIMIT_COST);
    const struct node *burst = node_get(limit, S_LIMIT_BURST);
    double refill_s;

    if (rate->bad || rate->text == NULL || burst->bad || cost->bad)
        return;
    if ((uint64_t)cost->value.num > burst_of(limit))
        diag_error(&c->diag, cost->set ? cost->at : limit->at, NULL,
                   "%s: a request costs more than the burst of %llu: none would ever be admitted",
                   node_path_text(c, limit), (unsigned long long)burst_of(limit));
    refill_s =
        (double)burst_of(limit) * (double)rate->value.period_ns / 1e9 / (double)rate->value.num;
    if (refill_s > REFILL_MAX_S)
        diag_error(&c->diag, burst->set ? burst->at : rate->at, NULL,
                   "%s: at this rate the burst takes more than a year to flow back",
                   node_path_text(c, limit));
}

static void check_key(struct conf *c, struct node *limit)
{
    const struct node *key = node_get(limit, S_LIMIT_KEY);

    if (key->n > CONF_KEY_PARTS)
        diag_error(&c->diag, key->at, NULL, "%s: at most %u parts", node_path_text(c, key),
                   CONF_KEY_PARTS);
    for (unsigned i = 0; i < key->n; i++)
        for (unsigned j = 0; j < i; j++)
            if (key->kids[i]->text != NULL && key->kids[j]->text != NULL &&
                strcmp(key->kids[i]->text, key->kids[j]->text) == 0)
                diag_error(&c->diag, key->kids[i]->at, NULL, "%s: \"%s\" is there twice",
                           node_path_text(c, key), key->kids[i]->text);
}

/* Of a route or a method. */
static void check_list(struct conf *c, struct node *list)
{
    if (list->n > CONF_ROUTE_LIMITS)
        diag_error(&c->diag, list->at, NULL, "%s: at most %u", node_path_text(c, list),
                   CONF_ROUTE_LIMITS);
    for (unsigned i = 0; i < list->n; i++)
        for (unsigned j = 0; j < i; j++)
            if (list->kids[i]->text != NULL && list->kids[j]->text != NULL &&
                strcmp(list->kids[i]->text, list->kids[j]->text) == 0)
                diag_error(&c->diag, list->kids[i]->at, NULL, "%s: \"%s\" is there twice",
                           node_path_text(c, list), list->kids[i]->text);
}

void conf_check_limits(struct conf *c)
{
    const struct node *limits = node_get(c->root, S_LIMITS);
    const struct node *routes = node_get(c->root, S_ROUTES);

    if (limits->n > CONF_LIMITS)
        diag_error(&c->diag, limits->at, NULL, "limits: at most %u", CONF_LIMITS);
    for (unsigned i = 0; i < limits->n; i++) {
        check_numbers(c, limits->kids[i]);
        check_key(c, limits->kids[i]);
    }
    for (unsigned i = 0; i < routes->n; i++) {
        const struct node *methods = node_get(routes->kids[i], S_ROUTE_METHODS);
        check_list(c, node_get(routes->kids[i], S_ROUTE_LIMITS));
        for (unsigned k = 0; k < methods->n; k++)
            if (node_get(methods->kids[k], S_METHOD_LIMITS)->set)
                check_list(c, node_get(methods->kids[k], S_METHOD_LIMITS));
    }
}

/* --- path:VAR --- */

const struct node *conf_route_limits(const struct route_plan *p)
{
    return p->method ? node_get(p->method, S_METHOD_LIMITS) : node_get(p->route, S_ROUTE_LIMITS);
}

uint32_t conf_path_var(const struct route_plan *p, const struct node *key_part)
{
    struct slice names[ROUTER_VARS_MAX];
    struct buf why = {0};
    unsigned n = 0;
    uint32_t found = CONF_NONE;

    if (router_template_vars(slice_str(p->path), names, &n, &why))
        for (unsigned i = 0; i < n; i++)
            if (slice_eq(names[i], slice_str(key_part->value.name)))
                found = i;
    buf_free(&why);
    return found;
}

/* Has any route that came from this one the variable? */
static bool any_has(const struct conf *c, uint32_t first, const struct node *part)
{
    for (uint32_t i = first; i < c->plan.routes_n; i++)
        if (conf_path_var(&c->plan.routes[i], part) != CONF_NONE)
            return true;
    return false;
}

static void check_vars(struct conf *c, const struct node *use, uint32_t first)
{
    const struct node *limits = node_get(c->root, S_LIMITS), *key;
    uint32_t i = use->text != NULL && !use->bad ? node_find(limits, use->text) : UINT32_MAX;

    if (i == UINT32_MAX)
        return;
    key = node_get(limits->kids[i], S_LIMIT_KEY);
    for (unsigned k = 0; k < key->n; k++)
        if (!key->kids[k]->bad && key->kids[k]->value.num == CONF_PATH &&
            !any_has(c, first, key->kids[k]))
            diag_error(&c->diag, use->at, NULL,
                       "%s: limit \"%s\" counts by the path variable \"%s\", which the path does "
                       "not have",
                       node_path_text(c, use->up), use->text, key->kids[k]->value.name);
}

void conf_check_route_limits(struct conf *c, const struct node *route, uint32_t first)
{
    const struct node *list = node_get(route, S_ROUTE_LIMITS);

    for (unsigned i = 0; i < list->n && c->plan.routes_n > first; i++)
        check_vars(c, list->kids[i], first);
}
