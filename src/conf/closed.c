/* SPDX-License-Identifier: BSD-2-Clause */
/* closed_by: the fields of a request message that refusals of the service depend on. */
#include <string.h>

#include "conf/tree.h"
#include "transcode/schema.h"

static const struct node *list_of(const struct route_plan *p)
{
    return p->method ? node_get(p->method, S_METHOD_CLOSED_BY)
                     : node_get(p->route, S_ROUTE_CLOSED_BY);
}

static struct slice schema_of(const struct conf *c, const struct route_plan *p)
{
    return p->schema < c->plan.schemas_n ? buf_view(&c->plan.schemas[p->schema]) : SLICE_NONE;
}

uint32_t conf_closed_fields(const struct conf *c, const struct route_plan *p,
                            uint32_t out[CONF_CLOSED_BY])
{
    const struct node *list = list_of(p);
    struct slice schema = schema_of(c, p);

    memset(out, 0, CONF_CLOSED_BY * sizeof *out);
    if (p->binding == CONF_NONE || schema.n == 0)
        return 0;
    for (unsigned i = 0; i < list->n && i < CONF_CLOSED_BY; i++) {
        out[i] = schema_field_number(schema, p->binding, slice_str(list->kids[i]->text));
        if (out[i] == 0)
            return 0;
    }
    return list->n < CONF_CLOSED_BY ? list->n : CONF_CLOSED_BY;
}

/* Does a route that came from this one, and whose list it is, have the field? */
static bool any_has(const struct conf *c, uint32_t first, const struct node *list,
                    const struct node *field, struct slice *of)
{
    for (uint32_t i = first; i < c->plan.routes_n; i++) {
        const struct route_plan *p = &c->plan.routes[i];
        struct slice schema = schema_of(c, p);
        if (p->binding == CONF_NONE || schema.n == 0 || list_of(p) != list)
            continue;
        if (schema_field_number(schema, p->binding, slice_str(field->text)) != 0)
            return true;
        *of = schema_request_name(schema, p->binding);
    }
    return false;
}

static void check_list(struct conf *c, const struct node *route, struct node *list, uint32_t first)
{
    if (list->n > CONF_CLOSED_BY)
        diag_error(&c->diag, list->at, NULL, "%s: at most %u fields", node_path_text(c, list),
                   CONF_CLOSED_BY);
    if (list->n > 0 && !node_get(route, S_ROUTE_SERVICE)->set &&
        !node_get(route, S_ROUTE_RPC)->set) {
        diag_error(&c->diag, list->at, NULL, "%s: needs service or rpc, whose messages have fields",
                   node_path_text(c, list));
        return;
    }
    for (unsigned i = 0; i < list->n; i++) {
        struct slice of = SLICE_NONE;
        if (list->kids[i]->text == NULL || list->kids[i]->bad ||
            any_has(c, first, list, list->kids[i], &of) || of.n == 0)
            continue;
        diag_error(&c->diag, list->kids[i]->at, NULL, "%s: \"%s\" is not a field of %.*s",
                   node_path_text(c, list), list->kids[i]->text, SLICE_ARG(of));
    }
}

void conf_check_route_closed(struct conf *c, const struct node *route, uint32_t first)
{
    const struct node *methods = node_get(route, S_ROUTE_METHODS);

    check_list(c, route, node_get(route, S_ROUTE_CLOSED_BY), first);
    for (unsigned i = 0; i < methods->n; i++)
        if (node_get(methods->kids[i], S_METHOD_CLOSED_BY)->set)
            check_list(c, route, node_get(methods->kids[i], S_METHOD_CLOSED_BY), first);
}
