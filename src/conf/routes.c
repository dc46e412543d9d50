/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Routes: each must make sense by itself, then becomes one or, for a service, one per HTTP binding
 * of its methods; then the router says whether two of them want the same requests.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "conf/tree.h"
#include "http/method.h"
#include "transcode/schema.h"

#define METHOD_WORDS conf_settings[S_MATCH_METHOD].values

/* The words of match.method are in the order of the enum. */
_Static_assert(METHOD_GET == 0 && METHOD_HEAD == 1 && METHOD_POST == 2 && METHOD_PUT == 3 &&
                   METHOD_DELETE == 4 && METHOD_PATCH == 5 && METHOD_OPTIONS == 6 &&
                   METHOD_COUNT == 7,
               "schema.def, match.method");

static bool has(const struct node *route, enum setting_id id)
{
    return node_get(route, id)->set;
}

static bool wrong(struct conf *c, struct node *route, enum setting_id at, const char *what)
{
    const struct node *n = at == S_ROOT ? route : node_get(route, at);

    route->bad = true;
    diag_error(&c->diag, n->at.line ? n->at : route->at, NULL, "%s: %s", node_path_text(c, route),
               what);
    return false;
}

/* What is asked of a route by the kind it is; false after an error. */
static bool right_shape(struct conf *c, struct node *r)
{
    bool service = has(r, S_ROUTE_SERVICE), rpc = has(r, S_ROUTE_RPC);
    bool respond = has(r, S_ROUTE_RESPOND);

    if (respond && has(r, S_ROUTE_UPSTREAM))
        return wrong(c, r, S_ROUTE_RESPOND, "has both upstream and respond; it can have one");
    if (!respond && !has(r, S_ROUTE_UPSTREAM))
        return wrong(c, r, S_ROOT, "needs upstream or respond");
    if (service && rpc)
        return wrong(c, r, S_ROUTE_RPC, "has both service and rpc; it can have one");
    if (respond && (service || rpc))
        return wrong(c, r, S_ROUTE_RESPOND, "has respond, so service and rpc mean nothing");
    if ((service || rpc) && !has(r, S_ROUTE_TRANSCODE))
        return wrong(c, r, service ? S_ROUTE_SERVICE : S_ROUTE_RPC,
                     "needs transcode: the schema that knows it");
    if (!service && !rpc && has(r, S_ROUTE_TRANSCODE))
        return wrong(c, r, S_ROUTE_TRANSCODE, "has transcode and needs service or rpc, too");
    if (service && has(r, S_MATCH_PATH))
        return wrong(c, r, S_MATCH_PATH, "has service, so its paths come from the annotations");
    if (service && has(r, S_MATCH_METHOD))
        return wrong(c, r, S_MATCH_METHOD, "has service, so its methods come from the annotations");
    if (!service && !has(r, S_MATCH_PATH))
        return wrong(c, r, S_ROUTE_MATCH, "needs match.path");
    if (!service && has(r, S_ROUTE_METHODS))
        return wrong(c, r, S_ROUTE_METHODS, "has methods, which only a service has");
    return true;
}

/* A gRPC upstream takes messages, an HTTP upstream requests. */
static bool right_protocol(struct conf *c, struct node *r, const struct node *upstream)
{
    const struct node *p = node_get(upstream, S_UPSTREAM_PROTOCOL);
    bool message = has(r, S_ROUTE_SERVICE) || has(r, S_ROUTE_RPC);

    if (p->bad || p->text == NULL)
        return false;
    if (p->value.num == CONF_GRPC && !message)
        return wrong(c, r, S_ROUTE_UPSTREAM,
                     "the upstream speaks gRPC: needs transcode with service or rpc");
    if (p->value.num == CONF_HTTP && message)
        return wrong(c, r, S_ROUTE_UPSTREAM,
                     "the upstream speaks HTTP: service and rpc need protocol grpc");
    return true;
}

static uint32_t method_bits(const struct node *list)
{
    uint32_t bits = 0;

    for (unsigned i = 0; i < list->n; i++)
        if (!list->kids[i]->bad)
            bits |= METHOD_BIT(list->kids[i]->value.num);
    return bits ? bits : METHOD_ANY;
}

/* Index of the variable in the template, or CONF_NONE. */
static uint32_t var_index(struct slice path, const char *name)
{
    struct slice vars[ROUTER_VARS_MAX];
    struct buf err = {0};
    unsigned n = 0;
    uint32_t found = CONF_NONE;

    if (router_template_vars(path, vars, &n, &err))
        for (unsigned i = 0; i < n; i++)
            if (slice_eq(slice_of(vars[i].p, slice_find(vars[i], '=')), slice_str(name)))
                found = i;
    buf_free(&err);
    return found;
}

static struct route_plan *add_plan(struct conf *c, const struct node *route, const char *name,
                                   const char *path)
{
    struct plan *p = &c->plan;
    struct route_plan *r;

    if (p->routes_n == p->routes_cap) {
        uint32_t cap = p->routes_cap ? p->routes_cap * 2 : 32;
        struct route_plan *more = conf_alloc(c, cap * sizeof *more);
        if (p->routes_n > 0)
            memcpy(more, p->routes, p->routes_n * sizeof *more);
        p->routes = more;
        p->routes_cap = cap;
    }
    r = &p->routes[p->routes_n++];
    *r = (struct route_plan){.route = route, .name = name, .path = path};
    r->host = node_text(route, S_MATCH_HOST);
    r->upstream = node_find(node_get(c->root, S_UPSTREAMS), node_text(route, S_ROUTE_UPSTREAM));
    r->schema = node_find(node_get(c->root, S_TRANSCODE), node_text(route, S_ROUTE_TRANSCODE));
    r->binding = CONF_NONE;
    r->hash_var = var_index(slice_str(path), node_text(route, S_ROUTE_HASH));
    return r;
}

/* --- by service or rpc --- */

static struct slice schema_of(const struct conf *c, const struct node *route)
{
    uint32_t i = node_find(node_get(c->root, S_TRANSCODE), node_text(route, S_ROUTE_TRANSCODE));
    return i < c->plan.schemas_n ? buf_view(&c->plan.schemas[i]) : SLICE_NONE;
}

static void no_such_service(struct conf *c, struct node *route, struct slice schema)
{
    struct node *n = node_get(route, S_ROUTE_SERVICE);
    struct schema_binding b;
    struct suggest s;

    route->bad = true;
    suggest_init(&s, slice_str(n->text));
    for (uint32_t i = 0; i < schema_bindings(schema); i++) {
        schema_binding_get(schema, i, &b);
        suggest_try(&s, b.service);
    }
    diag_error(&c->diag, n->at, suggest_hint(&s), "%s: no service \"%s\" in transcode.%s",
               node_path_text(c, route), n->text, node_text(route, S_ROUTE_TRANSCODE));
}

/* Overrides must be of methods that there are. */
static void check_overrides(struct conf *c, struct node *route, struct slice schema)
{
    const struct node *list = node_get(route, S_ROUTE_METHODS);
    struct slice service = slice_str(node_text(route, S_ROUTE_SERVICE));
    struct schema_binding b;

    for (unsigned k = 0; k < list->n; k++) {
        struct slice name = slice_str(list->kids[k]->name);
        bool found = false;
        struct suggest s;

        suggest_init(&s, name);
        for (uint32_t i = 0; i < schema_bindings(schema); i++) {
            schema_binding_get(schema, i, &b);
            if (!slice_eq(b.service, service))
                continue;
            found = found || slice_eq(b.method, name);
            suggest_try(&s, b.method);
        }
        if (!found)
            diag_error(&c->diag, list->kids[k]->at, suggest_hint(&s),
                       "%s: no method \"%s\" in service %s", node_path_text(c, list),
                       list->kids[k]->name, node_text(route, S_ROUTE_SERVICE));
    }
}

/* "NAME.Method", and "NAME.Method.2" for its second binding. */
static const char *binding_name(struct conf *c, const struct node *route, struct slice schema,
                                uint32_t binding, const struct schema_binding *b)
{
    struct schema_binding other;
    unsigned nth = 1;

    for (uint32_t i = 0; i < binding; i++) {
        schema_binding_get(schema, i, &other);
        nth += other.http_method.n > 0 && slice_eq(other.rpc_path, b->rpc_path);
    }
    if (nth == 1)
        return conf_printf(c, "%s.%.*s", route->name, SLICE_ARG(b->method));
    return conf_printf(c, "%s.%.*s.%u", route->name, SLICE_ARG(b->method), nth);
}

static void service_error(struct conf *c, struct node *route, const struct schema_binding *b,
                          const char *what)
{
    route->bad = true;
    diag_error(&c->diag, node_get(route, S_ROUTE_SERVICE)->at, NULL, "%s: method %.*s: %s",
               node_path_text(c, route), SLICE_ARG(b->method), what);
}

static void add_binding(struct conf *c, struct node *route, struct slice schema, uint32_t binding,
                        const struct schema_binding *b)
{
    const struct node *overrides = node_get(route, S_ROUTE_METHODS);
    int method = setting_word_index(METHOD_WORDS, b->http_method);
    struct route_plan *r;
    struct buf why = {0};
    size_t at;
    uint32_t k;

    if (b->streaming)
        service_error(c, route, b, "it streams, and only unary calls can be transcoded");
    else if (method < 0)
        service_error(c, route, b, "the HTTP method of its annotation cannot be routed");
    else if (!router_template_check(b->template, &at, &why))
        service_error(c, route, b, buf_cstr(&why));
    buf_free(&why);
    if (route->bad)
        return;
    r = add_plan(c, route, binding_name(c, route, schema, binding, b), conf_dup(c, b->template));
    r->binding = binding;
    r->methods = METHOD_BIT(method);
    r->at = node_get(route, S_ROUTE_SERVICE)->at;
    k = node_find(overrides, conf_dup(c, b->method));
    r->method = k != UINT32_MAX ? overrides->kids[k] : NULL;
}

static void check_hash(struct conf *c, struct node *route, uint32_t first)
{
    const struct node *hash = node_get(route, S_ROUTE_HASH);

    if (hash->text == NULL || hash->bad)
        return;
    for (uint32_t i = first; i < c->plan.routes_n; i++)
        if (c->plan.routes[i].hash_var != CONF_NONE)
            return;
    diag_error(&c->diag, hash->at, NULL, "%s: no variable \"%s\" in the path",
               node_path_text(c, hash), hash->text);
}

static void expand_service(struct conf *c, struct node *route)
{
    struct slice schema = schema_of(c, route);
    struct slice service = slice_str(node_text(route, S_ROUTE_SERVICE));
    uint32_t first = c->plan.routes_n;
    struct schema_binding b;
    bool known = false;

    if (schema.n == 0)
        return;
    for (uint32_t i = 0; i < schema_bindings(schema); i++) {
        schema_binding_get(schema, i, &b);
        if (!slice_eq(b.service, service))
            continue;
        known = true;
        if (b.http_method.n > 0)
            add_binding(c, route, schema, i, &b);
    }
    if (!known) {
        no_such_service(c, route, schema);
        return;
    }
    check_overrides(c, route, schema);
    if (c->plan.routes_n == first && !route->bad)
        wrong(c, route, S_ROUTE_SERVICE,
              "no method of the service has a google.api.http annotation: use rpc and match");
    else
        check_hash(c, route, first);
    conf_check_route_limits(c, route, first);
    conf_check_route_closed(c, route, first);
}

/* The binding without annotation of "package.Service.Method". False after an error. */
static bool find_rpc(struct conf *c, struct node *route, uint32_t *binding)
{
    struct node *n = node_get(route, S_ROUTE_RPC);
    struct slice schema = schema_of(c, route);
    struct schema_binding b;
    struct suggest s;

    if (schema.n == 0)
        return false;
    suggest_init(&s, slice_str(n->text));
    for (uint32_t i = 0; i < schema_bindings(schema); i++) {
        const char *name;
        schema_binding_get(schema, i, &b);
        if (b.http_method.n > 0)
            continue;
        name = conf_printf(c, "%.*s.%.*s", SLICE_ARG(b.service), SLICE_ARG(b.method));
        suggest_try(&s, slice_str(name));
        if (strcmp(name, n->text) != 0)
            continue;
        *binding = i;
        return b.streaming ? wrong(c, route, S_ROUTE_RPC,
                                   "the method streams, and only unary calls can be transcoded")
                           : true;
    }
    route->bad = true;
    diag_error(&c->diag, n->at, suggest_hint(&s), "%s: no method \"%s\" in transcode.%s",
               node_path_text(c, route), n->text, node_text(route, S_ROUTE_TRANSCODE));
    return false;
}

/* The variables of the route's own template must be fields of the request. */
static bool right_vars(struct conf *c, struct node *route, uint32_t binding)
{
    struct slice vars[ROUTER_VARS_MAX];
    struct buf why = {0};
    unsigned n = 0;
    bool ok;

    /* A malformed template is reported where the index is built. */
    ok = !router_template_vars(slice_str(node_text(route, S_MATCH_PATH)), vars, &n, &why);
    buf_clear(&why);
    ok = ok || schema_check_vars(schema_of(c, route), binding, vars, n, &why);
    if (!ok)
        wrong(c, route, S_MATCH_PATH, buf_cstr(&why));
    buf_free(&why);
    return ok;
}

/* --- all of them --- */

static const enum setting_id needed[] = {S_ROUTE_NAME,     S_MATCH_HOST,     S_MATCH_METHOD,
                                         S_MATCH_PATH,     S_ROUTE_SERVICE,  S_ROUTE_RPC,
                                         S_ROUTE_UPSTREAM, S_ROUTE_TRANSCODE};

static bool any_bad(const struct node *route)
{
    bool bad = route->bad;

    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        bad = bad || node_get(route, needed[i])->bad;
    return bad;
}

static void check_route(struct conf *c, struct node *route)
{
    const struct node *upstreams = node_get(c->root, S_UPSTREAMS);
    uint32_t first = c->plan.routes_n, upstream, binding = CONF_NONE;
    struct route_plan *r;

    if (route->bad || !right_shape(c, route) || any_bad(route))
        return;
    upstream = node_find(upstreams, node_text(route, S_ROUTE_UPSTREAM));
    if (upstream != UINT32_MAX && !right_protocol(c, route, upstreams->kids[upstream]))
        return;
    conf_check_route_split(c, route);
    if (has(route, S_ROUTE_SERVICE)) {
        expand_service(c, route);
        return;
    }
    if (has(route, S_ROUTE_RPC) &&
        (!find_rpc(c, route, &binding) || !right_vars(c, route, binding)))
        return;
    r = add_plan(c, route, route->name, node_text(route, S_MATCH_PATH));
    r->binding = binding;
    r->methods = method_bits(node_get(route, S_MATCH_METHOD));
    r->at = node_get(route, S_MATCH_PATH)->at;
    check_hash(c, route, first);
    conf_check_route_limits(c, route, first);
    conf_check_route_closed(c, route, first);
}

static void report_clash(struct conf *c, const struct router_rule *bad,
                         const struct router_rule *other, struct buf *why)
{
    const struct route_plan *r = &c->plan.routes[bad->route], *o;
    struct buf origin = {0};

    if (other == NULL) {
        diag_error(&c->diag, r->at, NULL, "route %s: %s", r->name, buf_cstr(why));
        return;
    }
    o = &c->plan.routes[other->route];
    diag_origin(&c->diag, o->at, &origin);
    diag_error(&c->diag, r->at, NULL,
               "route %s (%s) wants the same requests as route %s (%s), at %s", r->name, r->path,
               o->name, o->path, buf_cstr(&origin));
    buf_free(&origin);
}

/* Builds the index; a rule that is wrong is reported and left out, so that the next shows, too. */
static void build_index(struct conf *c)
{
    struct plan *p = &c->plan;
    struct router_rule *rules = xcalloc(p->routes_n + 1, sizeof *rules);
    uint32_t n = p->routes_n, bad, other;
    struct buf why = {0};

    for (uint32_t i = 0; i < n; i++)
        rules[i] = (struct router_rule){slice_str(p->routes[i].host), p->routes[i].methods,
                                        slice_str(p->routes[i].path), i};
    for (unsigned tries = 0; tries < DIAG_SHOWN; tries++) {
        buf_clear(&p->route_index);
        if (router_build(rules, n, &p->route_index, &bad, &other, &why))
            break;
        report_clash(c, &rules[bad], other == UINT32_MAX ? NULL : &rules[other], &why);
        buf_clear(&why);
        memmove(rules + bad, rules + bad + 1, (n - bad - 1) * sizeof *rules);
        n--;
    }
    buf_free(&why);
    free(rules);
}

void conf_check_routes(struct conf *c)
{
    const struct node *list = node_get(c->root, S_ROUTES);

    for (unsigned i = 0; i < list->n; i++)
        check_route(c, list->kids[i]);
    build_index(c);
}
