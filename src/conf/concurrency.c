/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Concurrency limits: `concurrency` of upstreams, routes and methods. The three mappings have the
 * same keys, so everything here goes by key and not by setting.
 */
#include "conf/tree.h"

#define INITIAL 20u

static const struct node *key(const struct node *map, const char *name)
{
    return node_get(map, setting_child(map->id, slice_str(name)));
}

static uint32_t number(const struct node *map, const char *name)
{
    return (uint32_t)key(map, name)->value.num;
}

struct conf_concurrency conf_concurrency_of(const struct node *map)
{
    struct conf_concurrency c = {
        .mode = number(map, "mode"),
        .min = number(map, "min"),
        .max = number(map, "max"),
        .initial = number(map, "initial"),
        .tolerance_percent = number(map, "tolerance"),
    };

    if (c.initial == 0)
        c.initial = c.max < INITIAL ? c.max : c.min > INITIAL ? c.min : INITIAL;
    return c;
}

static struct conf_pos place(const struct node *n, const struct node *otherwise)
{
    return n->set ? n->at : otherwise->at;
}

static void check(struct conf *c, const struct node *map)
{
    const struct node *min = key(map, "min"), *max = key(map, "max");
    const struct node *initial = key(map, "initial");
    uint32_t first = number(map, "initial");

    if (min->bad || max->bad || initial->bad || min->text == NULL)
        return;
    if (min->value.num > max->value.num)
        diag_error(&c->diag, place(min, max), NULL, "%s: min %s is above max %s",
                   node_path_text(c, map), min->text, max->text);
    else if (first != 0 && (first < number(map, "min") || first > number(map, "max")))
        diag_error(&c->diag, place(initial, min->set ? min : max), NULL,
                   "%s: initial %s is not between min %s and max %s", node_path_text(c, map),
                   initial->text, min->text, max->text);
}

void conf_check_concurrency(struct conf *c)
{
    const struct node *upstreams = node_get(c->root, S_UPSTREAMS);
    const struct node *routes = node_get(c->root, S_ROUTES);

    for (unsigned i = 0; i < upstreams->n; i++)
        check(c, node_get(upstreams->kids[i], S_UPSTREAM_CONCURRENCY));
    for (unsigned i = 0; i < routes->n; i++) {
        const struct node *methods = node_get(routes->kids[i], S_ROUTE_METHODS);
        check(c, node_get(routes->kids[i], S_ROUTE_CONCURRENCY));
        for (unsigned k = 0; k < methods->n; k++)
            if (node_get(methods->kids[k], S_METHOD_CONCURRENCY)->set)
                check(c, node_get(methods->kids[k], S_METHOD_CONCURRENCY));
    }
}
