/* SPDX-License-Identifier: BSD-2-Clause */
/* What an explanation tells about the route that was found, or the nearest one, and about the arm.
 */
#include "gate/explain_note.h"

#include "conf/diag.h" /* suggest_* */

static void add_methods(struct buf *out, uint32_t methods)
{
    const char *sep = "";

    if ((methods & METHOD_ANY) == METHOD_ANY) {
        buf_str(out, "any method");
        return;
    }
    for (unsigned m = 0; m < METHOD_COUNT; m++) {
        if (!(methods & METHOD_BIT(m)))
            continue;
        buf_str(out, sep);
        buf_slice(out, method_name((enum http_method_id)m));
        sep = ",";
    }
}

/* "orders (POST /api/v1/events/{event}/orders)", with its host where it has one. */
static void add_route(struct buf *out, const struct conf_root *root, const struct conf_route *route)
{
    buf_printf(out, "%.*s (", SLICE_ARG(conf_slice(root, route->name)));
    add_methods(out, route->methods);
    buf_printf(out, " %.*s%.*s)", SLICE_ARG(conf_slice(root, route->host)),
               SLICE_ARG(conf_slice(root, route->path)));
}

static void note_found(struct gate_request *q)
{
    const struct conf_root *root = q->gen->root;
    struct explanation *e = q->explain;
    struct buf text = {0};

    add_route(&text, root, q->route);
    explain_open(e, "route", "%s", buf_cstr(&text));
    explain_member(e, "route", conf_slice(root, q->route->name));
    explain_member(e, "path", conf_slice(root, q->route->path));
    buf_str(&e->steps, ",\"variables\":{");
    for (unsigned i = 0; i < q->vars_n && i < q->info->vars_n; i++) {
        struct slice name = q->info->var_names[i];
        buf_str(&e->steps, i > 0 ? "," : "");
        buf_json(&e->steps, slice_of(name.p, slice_find(name, '=')));
        buf_char(&e->steps, ':');
        buf_json(&e->steps, q->vars[i]);
    }
    buf_char(&e->steps, '}');
    explain_close(e);
    buf_free(&text);
}

/* The template with the path's own segments in the places of its variables, so that only what is
 * fixed counts as different. */
static struct slice fill_template(struct slice template, struct slice path, struct buf *out)
{
    buf_clear(out);
    while (template.n > 0) {
        struct slice t = slice_of(template.p + 1, template.n - 1), p = SLICE_NONE;
        size_t tn = slice_find(t, '/'), pn = 0;
        if (path.n > 0) {
            p = slice_of(path.p + 1, path.n - 1);
            pn = slice_find(p, '/');
            path = slice_of(p.p + pn, p.n - pn);
        }
        buf_char(out, '/');
        if (pn > 0 && tn > 0 && (t.p[0] == '{' || t.p[0] == '*'))
            buf_add(out, p.p, pn);
        else
            buf_add(out, t.p, tn);
        template = slice_of(t.p + tn, t.n - tn);
    }
    return buf_view(out);
}

/* Of another host, with the same path and method. NULL: none. */
static const struct conf_route *route_elsewhere(const struct gate_request *q)
{
    const struct conf_root *root = q->gen->root;

    for (uint32_t i = 0; i < root->routes.n; i++) {
        struct slice host = conf_slice(root, conf_routes(root)[i].host);
        struct router_match m;
        /* "*.example.org" stands for names like w.example.org. */
        if (host.n > 0)
            host =
                arena_printf(&q->http->arena, "%s%.*s", host.p[0] == '*' ? "w" : "",
                             SLICE_ARG(host.p[0] == '*' ? slice_of(host.p + 1, host.n - 1) : host));
        if (host.n > 0 &&
            router_match(conf_slice(root, root->route_index), host, METHOD_BIT(q->http->method),
                         q->http->path, &m) == ROUTER_FOUND)
            return &conf_routes(root)[m.route];
    }
    return NULL;
}

static const struct conf_route *nearest_route(const struct gate_request *q)
{
    const struct conf_root *root = q->gen->root;
    const struct conf_route *best = route_elsewhere(q);
    struct buf filled = {0};
    struct suggest s;
    unsigned distance;

    if (best != NULL)
        return best;
    suggest_init(&s, q->http->path);
    distance = s.distance;
    for (uint32_t i = 0; i < root->routes.n; i++) {
        const struct conf_route *route = &conf_routes(root)[i];
        suggest_try(&s, fill_template(conf_slice(root, route->path), q->http->path, &filled));
        if (s.distance < distance)
            best = route;
        distance = s.distance;
    }
    buf_free(&filled);
    return best;
}

static void note_unrouted(struct gate_request *q)
{
    const struct conf_route *near = q->explain->status == 404 ? nearest_route(q) : NULL;
    struct explanation *e = q->explain;
    struct buf text = {0};

    if (near != NULL)
        add_route(&text, q->gen->root, near);
    if (e->status == 404)
        explain_open(e, "route", "none%s%s", near != NULL ? ", the nearest is " : "",
                     buf_cstr(&text));
    else
        explain_open(e, "route", "none for this method");
    if (near != NULL)
        explain_member(e, "nearest", conf_slice(q->gen->root, near->name));
    explain_close(e);
    buf_free(&text);
}

void explain_route(struct gate_request *q, bool found)
{
    if (found)
        note_found(q);
    else
        note_unrouted(q);
}

/* --- the arm --- */

static uint64_t weights(const struct conf_root *root, const struct conf_split *s)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < s->arms.n; i++)
        sum += conf_arms(root, s)[i].weight;
    return sum;
}

static const struct conf_arm *likeliest(const struct conf_root *root, const struct conf_split *s)
{
    const struct conf_arm *arms = conf_arms(root, s), *best = arms;

    for (uint32_t i = 1; i < s->arms.n; i++)
        if (arms[i].weight > best->weight)
            best = &arms[i];
    return best;
}

void explain_split(struct gate_request *q)
{
    const struct conf_root *root = q->gen->root;
    const struct conf_split *s = q->split;
    struct explanation *e = q->explain;
    bool fresh = q->split_headers.n > 0; /* only a new cookie sets any here */
    double percent;

    if (fresh) {
        q->arm = likeliest(root, s);
        explain_provided(e, "the fresh cookie falls to this arm");
    }
    percent = 100.0 * q->arm->weight / (double)weights(root, s);
    if (q->arm_forced)
        explain_open(e, "split", "%.*s: %.*s, named by the request",
                     SLICE_ARG(conf_slice(root, s->name)),
                     SLICE_ARG(conf_slice(root, q->arm->name)));
    else
        explain_open(
            e, "split", "%.*s: %.*s, %s %.*s%s (%.4g %%)", SLICE_ARG(conf_slice(root, s->name)),
            SLICE_ARG(conf_slice(root, q->arm->name)), fresh ? "the likeliest of a fresh" : "by",
            SLICE_ARG(conf_slice(root, s->by_text)),
            s->by == CONF_BY_IDENTITY && q->identity.n == 0 ? ", none: by address" : "", percent);
    explain_member(e, "split", conf_slice(root, s->name));
    explain_member(e, "arm", conf_slice(root, q->arm->name));
    explain_member(e, "by", conf_slice(root, s->by_text));
    buf_printf(&e->steps, ",\"share\":%.6g", percent / 100);
    explain_flag(e, "forced", q->arm_forced);
    explain_flag(e, "certain", !fresh);
    explain_close(e);
}
