/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tree and plan to the blob of compiled.h. Nothing can be wrong any more but memory: arrays are
 * built in private memory, appended whole, and referred to by offset.
 */
#include "conf/compiled.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "conf/split.h"
#include "conf/tree.h"

_Static_assert(sizeof(struct conf_cidr) == 20, "ranges lie side by side");
_Static_assert(sizeof(struct conf_root) % 8 == 0, "what follows the root is aligned");

struct writer {
    const struct conf *c;
    const struct conf_resolver *r;
    struct buf *out;
};

static uint32_t put(struct writer *w, const void *p, size_t n)
{
    static const char zeros[8];
    uint32_t off;

    buf_add(w->out, zeros, -w->out->n & 7);
    off = (uint32_t)w->out->n;
    buf_add(w->out, p, n);
    return off;
}

static struct conf_str put_bytes(struct writer *w, const void *p, size_t n)
{
    return (struct conf_str){put(w, p, n), (uint32_t)n};
}

static struct conf_str put_str(struct writer *w, const char *text)
{
    uint32_t off = (uint32_t)w->out->n;

    buf_str(w->out, text);
    return (struct conf_str){off, (uint32_t)strlen(text)};
}

static struct conf_str put_text(struct writer *w, const struct node *n, enum setting_id id)
{
    return put_str(w, node_text(n, id));
}

static uint32_t num(const struct node *n, enum setting_id id)
{
    return (uint32_t)node_num(n, id);
}

static struct conf_arr put_cidrs(struct writer *w, const struct node *list)
{
    struct conf_cidr *all = xcalloc(list->n + 1, sizeof *all);
    struct conf_arr arr = {.n = list->n};

    for (unsigned i = 0; i < list->n; i++)
        all[i] = list->kids[i]->value.cidr;
    arr.off = put(w, all, list->n * sizeof *all);
    free(all);
    return arr;
}

static struct conf_limits limits(const struct node *root)
{
    const struct node *h = node_get(root, S_HTTP);

    return (struct conf_limits){
        .max_line = num(h, S_HTTP_MAX_LINE),
        .max_headers = num(h, S_HTTP_MAX_HEADERS),
        .max_header_bytes = num(h, S_HTTP_MAX_HEADER_BYTES),
        .max_connections = num(h, S_HTTP_MAX_CONNECTIONS),
        .header_timeout_ms = num(h, S_HTTP_HEADER_TIMEOUT),
        .body_timeout_ms = num(h, S_HTTP_BODY_TIMEOUT),
        .idle_timeout_ms = num(h, S_HTTP_IDLE_TIMEOUT),
        .write_timeout_ms = num(h, S_HTTP_WRITE_TIMEOUT),
        .max_requests = num(h, S_HTTP_MAX_REQUESTS),
    };
}

static struct conf_arr put_endpoints(struct writer *w, const struct node *list,
                                     const struct address *addresses)
{
    struct conf_endpoint *all = xcalloc(list->n + 1, sizeof *all);
    struct conf_arr arr = {.n = list->n};

    for (unsigned i = 0; i < list->n; i++) {
        const char *text = list->kids[i]->text;
        all[i].sockaddr = put_bytes(w, &addresses[i].sa, addresses[i].n);
        all[i].address = put_str(w, text);
        all[i].stat = w->r->endpoint_stat ? w->r->endpoint_stat(w->r->arg, text) : 0;
    }
    arr.off = put(w, all, list->n * sizeof *all);
    free(all);
    return arr;
}

/* map: the setting, of the `kind` that is called `owner`. */
static struct conf_concurrency concurrency(struct writer *w, const struct node *map,
                                           const char *kind, const char *owner)
{
    uint32_t (*stat)(void *, const char *) = w->r->concurrency_stat;
    struct conf_concurrency c = conf_concurrency_of(map);
    struct buf name = {0};

    if (c.mode == CONF_CONCURRENCY_OFF)
        return c;
    buf_printf(&name, "%s/%s", kind, owner);
    c.name = put_str(w, buf_cstr(&name));
    c.stat = stat ? stat(w->r->arg, buf_cstr(&name)) : 0;
    buf_free(&name);
    return c;
}

static struct conf_upstream upstream(struct writer *w, const struct node *n, uint32_t index)
{
    return (struct conf_upstream){
        .name = put_str(w, n->name),
        .protocol = num(n, S_UPSTREAM_PROTOCOL),
        .balance = num(n, S_UPSTREAM_BALANCE),
        .endpoints =
            put_endpoints(w, node_get(n, S_UPSTREAM_ENDPOINTS), w->c->plan.endpoints[index]),
        .connections = num(n, S_UPSTREAM_CONNECTIONS),
        .max_in_flight = num(n, S_UPSTREAM_MAX_IN_FLIGHT),
        .max_idle = num(n, S_UPSTREAM_MAX_IDLE),
        .connect_timeout_ms = num(n, S_UPSTREAM_CONNECT_TIMEOUT),
        .idle_timeout_ms = num(n, S_UPSTREAM_IDLE_TIMEOUT),
        .retry_budget_percent = num(n, S_UPSTREAM_RETRY_BUDGET),
        .health_interval_ms = num(n, S_HEALTH_INTERVAL),
        .health_timeout_ms = num(n, S_HEALTH_TIMEOUT),
        .health_fall = num(n, S_HEALTH_FALL),
        .health_rise = num(n, S_HEALTH_RISE),
        .health_service = put_text(w, n, S_HEALTH_SERVICE),
        .health_path = put_text(w, n, S_HEALTH_PATH),
        .eject_failures = num(n, S_EJECT_FAILURES),
        .eject_ms = num(n, S_EJECT_FOR),
        .concurrency = concurrency(w, node_get(n, S_UPSTREAM_CONCURRENCY), "upstream", n->name),
    };
}

static struct conf_arr put_upstreams(struct writer *w)
{
    const struct node *list = node_get(w->c->root, S_UPSTREAMS);
    struct conf_upstream *all = xcalloc(list->n + 1, sizeof *all);
    struct conf_arr arr = {.n = list->n};

    for (uint32_t i = 0; i < list->n; i++)
        all[i] = upstream(w, list->kids[i], i);
    arr.off = put(w, all, list->n * sizeof *all);
    free(all);
    return arr;
}

/* --- rate limits --- */

static struct conf_str put_printed(struct writer *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static struct conf_str put_printed(struct writer *w, const char *fmt, ...)
{
    uint32_t off = (uint32_t)w->out->n;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(w->out, fmt, ap);
    va_end(ap);
    return (struct conf_str){off, (uint32_t)w->out->n - off};
}

/* "client_ip, path:event" */
static struct conf_str put_key_text(struct writer *w, const struct node *key)
{
    uint32_t off = (uint32_t)w->out->n;

    for (unsigned i = 0; i < key->n; i++)
        buf_printf(w->out, "%s%s", i > 0 ? ", " : "", key->kids[i]->text);
    return (struct conf_str){off, (uint32_t)w->out->n - off};
}

/* Quota and window in whole seconds, of the same rate. */
static struct conf_str put_policy(struct writer *w, const char *name, const struct value *rate)
{
    uint64_t q = (uint64_t)rate->num, seconds = rate->period_ns / NS_PER_S;

    if (rate->period_ns % NS_PER_S != 0) {
        seconds = 1;
        q = (uint64_t)((double)q * 1e9 / (double)rate->period_ns);
    }
    return put_printed(w, "\"%s\";q=%llu;w=%llu", name, (unsigned long long)q,
                       (unsigned long long)seconds);
}

static void put_parts(struct writer *w, const struct node *key, struct conf_rate_limit *l)
{
    l->parts_n = key->n;
    for (unsigned i = 0; i < key->n; i++) {
        const struct value *v = &key->kids[i]->value;
        l->part[i].kind = (uint32_t)v->num;
        if (v->name != NULL)
            l->part[i].name = put_str(w, v->name);
    }
}

static struct conf_rate_limit rate_limit(struct writer *w, const struct node *n)
{
    const struct node *rate = node_get(n, S_LIMIT_RATE), *key = node_get(n, S_LIMIT_KEY);
    int64_t burst = node_num(n, S_LIMIT_BURST);
    uint32_t (*stat)(void *, const char *) = w->r->limit_stat;
    struct conf_rate_limit l = {
        .name = put_str(w, n->name),
        .period_ns = rate->value.period_ns,
        .tokens = (uint64_t)rate->value.num,
        .burst = (uint64_t)(burst != 0 ? burst : rate->value.num),
        .cost = num(n, S_LIMIT_COST),
        .mode = num(n, S_LIMIT_MODE),
        .ipv4_prefix = num(n, S_LIMIT_IPV4_PREFIX),
        .ipv6_prefix = num(n, S_LIMIT_IPV6_PREFIX),
        .stat = stat ? stat(w->r->arg, n->name) : 0,
        .shared = num(n, S_LIMIT_SHARED),
        .lease = num(n, S_LIMIT_LEASE),
        .policy = put_policy(w, n->name, &rate->value),
        .key = put_key_text(w, key),
        .rate = put_str(w, rate->text),
    };

    put_parts(w, key, &l);
    l.id = hash64(slice_of(w->out->p + l.key.off, w->out->failed ? 0 : l.key.n),
                  hash64(slice_str(n->name), l.ipv4_prefix << 8 | l.ipv6_prefix));
    return l;
}

static struct conf_arr put_rate_limits(struct writer *w)
{
    const struct node *list = node_get(w->c->root, S_LIMITS);
    struct conf_rate_limit *all = xcalloc(list->n + 1, sizeof *all);
    struct conf_arr arr = {.n = list->n};

    for (uint32_t i = 0; i < list->n; i++)
        all[i] = rate_limit(w, list->kids[i]);
    arr.off = put(w, all, list->n * sizeof *all);
    free(all);
    return arr;
}

/* --- rate limit service --- */

static struct conf_arr put_rls_entries(struct writer *w, const struct node *list)
{
    struct conf_rls_entry all[CONF_RLS_ENTRIES];
    struct conf_arr arr = {.n = list->n};

    for (unsigned i = 0; i < list->n; i++)
        all[i] = (struct conf_rls_entry){
            .key = put_text(w, list->kids[i], S_RLS_KEY),
            .value = put_text(w, list->kids[i], S_RLS_VALUE),
            .open = !node_get(list->kids[i], S_RLS_VALUE)->set,
        };
    arr.off = put(w, all, list->n * sizeof *all);
    return arr;
}

static struct conf_arr put_rls_rules(struct writer *w)
{
    unsigned n;
    const struct node **rules = conf_rls_order(w->c, &n);
    struct conf_rls_rule *all = xcalloc(n + 1, sizeof *all);
    struct conf_arr arr = {.n = n};

    for (unsigned i = 0; i < n; i++)
        all[i] = (struct conf_rls_rule){
            .keys_hash = conf_rls_keys_hash(rules[i]),
            .domain = put_text(w, rules[i], S_RLS_DOMAIN),
            .entries = put_rls_entries(w, node_get(rules[i], S_RLS_DESCRIPTORS)),
            .limit = node_find(node_get(w->c->root, S_LIMITS), node_text(rules[i], S_RLS_LIMIT)),
        };
    arr.off = put(w, all, n * sizeof *all);
    free(all);
    free(rules);
    return arr;
}

/* --- limits of routes --- */

/* False where the route's path does not have a variable of the key: it is not limited by it. */
static bool route_limit(const struct route_plan *p, const struct node *limit, uint32_t index,
                        struct conf_route_limit *out)
{
    const struct node *key = node_get(limit, S_LIMIT_KEY);

    *out = (struct conf_route_limit){.limit = index};
    for (unsigned i = 0; i < key->n; i++) {
        if (key->kids[i]->value.num != CONF_PATH)
            continue;
        out->var[i] = conf_path_var(p, key->kids[i]);
        if (out->var[i] == CONF_NONE)
            return false;
    }
    return true;
}

static bool names(const struct node *list, const char *name)
{
    for (unsigned i = 0; i < list->n; i++)
        if (strcmp(list->kids[i]->text, name) == 0)
            return true;
    return false;
}

/* In the order of `limits`, whatever that of the route: who asks for several buckets must ask in
 * the order in which everyone does. */
static struct conf_arr put_route_limits(struct writer *w, const struct route_plan *p)
{
    const struct node *limits = node_get(w->c->root, S_LIMITS), *used = conf_route_limits(p);
    struct conf_route_limit all[CONF_ROUTE_LIMITS];
    struct conf_arr arr = {0};

    for (int64_t mode = CONF_ENFORCE; mode <= CONF_SHADOW; mode++)
        for (uint32_t i = 0; i < limits->n; i++)
            if (node_num(limits->kids[i], S_LIMIT_MODE) == mode &&
                names(used, limits->kids[i]->name))
                arr.n += route_limit(p, limits->kids[i], i, &all[arr.n]);
    arr.off = put(w, all, arr.n * sizeof *all);
    return arr;
}

/* --- splits --- */

/* Names of header fields are compared in lower case. */
static struct conf_str put_lower(struct writer *w, const char *text)
{
    struct conf_str s = put_str(w, text);

    for (uint32_t i = 0; i < s.n && !w->out->failed; i++) {
        char *c = &w->out->p[s.off + i];
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + ('a' - 'A'));
    }
    return s;
}

static struct conf_arm arm(struct writer *w, const struct node *split, const struct node *n,
                           uint64_t seed)
{
    uint32_t (*stat)(void *, const char *) = w->r->arm_stat;
    char label[CONF_ARM_LABEL_MAX + 1];
    struct conf_arm a = {
        .name = put_str(w, n->name),
        .id = hash64(slice_str(n->name), seed),
        .weight = num(n, S_ARM_WEIGHT),
        .upstream = node_find(node_get(w->c->root, S_UPSTREAMS), node_text(n, S_ARM_UPSTREAM)),
        .responds = node_get(n, S_ARM_RESPOND)->set,
        .respond_status = num(n, S_ARM_RESPOND_STATUS),
        .respond_body = put_text(w, n, S_ARM_RESPOND_BODY),
        .respond_type = put_text(w, n, S_ARM_RESPOND_TYPE),
    };

    snprintf(label, sizeof label, "%s/%s", split->name, n->name);
    a.label = put_str(w, label);
    a.inverse = a.weight > 0 ? 1.0 / a.weight : 0;
    a.stat = stat ? stat(w->r->arg, label) : 0;
    return a;
}

static struct conf_arr put_arms(struct writer *w, const struct node *split, uint64_t seed)
{
    const struct node *list = node_get(split, S_SPLIT_ARMS);
    struct conf_arm all[CONF_ARMS];
    struct conf_arr arr = {.n = list->n};

    for (uint32_t i = 0; i < list->n; i++)
        all[i] = arm(w, split, list->kids[i], seed);
    arr.off = put(w, all, list->n * sizeof *all);
    return arr;
}

static struct conf_split split(struct writer *w, const struct node *n)
{
    const struct node *by = node_get(n, S_SPLIT_BY);
    struct conf_split s = {
        .name = put_str(w, n->name),
        .seed = hash64(slice_str(node_text(n, S_SPLIT_SALT)), hash64(slice_str(n->name), 0)),
        .by = (uint32_t)by->value.num,
        .by_text = put_str(w, by->text),
        .header = put_text(w, n, S_SPLIT_HEADER),
        .header_lower = put_lower(w, node_text(n, S_SPLIT_HEADER)),
        .override = num(n, S_SPLIT_OVERRIDE),
        .answer = num(n, S_SPLIT_ANSWER),
        .cookie_max_age_s = (uint32_t)(node_num(n, S_SPLIT_COOKIE_MAX_AGE) / 1000),
        .cookie_secure = num(n, S_SPLIT_COOKIE_SECURE),
    };

    if (by->value.name != NULL)
        s.by_name = put_str(w, by->value.name);
    s.arms = put_arms(w, n, s.seed);
    return s;
}

static struct conf_arr put_splits(struct writer *w)
{
    const struct node *list = node_get(w->c->root, S_SPLITS);
    struct conf_split *all = xcalloc(list->n + 1, sizeof *all);
    struct conf_arr arr = {.n = list->n};

    for (uint32_t i = 0; i < list->n; i++)
        all[i] = split(w, list->kids[i]);
    arr.off = put(w, all, list->n * sizeof *all);
    free(all);
    return arr;
}

/* --- Redis --- */

static struct conf_arr put_redis_servers(struct writer *w, const struct node *list)
{
    struct conf_redis_server *all = xcalloc(list->n + 1, sizeof *all);
    struct conf_arr arr = {.n = list->n};

    for (unsigned i = 0; i < list->n; i++) {
        const char *text = list->kids[i]->text;
        const struct address *a = &w->c->plan.redis[i];
        all[i].sockaddr = put_bytes(w, &a->sa, a->n);
        all[i].address = put_str(w, text);
        all[i].stat = w->r->redis_stat ? w->r->redis_stat(w->r->arg, text) : 0;
    }
    arr.off = put(w, all, list->n * sizeof *all);
    free(all);
    return arr;
}

static struct conf_redis put_redis(struct writer *w)
{
    const struct node *n = node_get(w->c->root, S_REDIS);

    return (struct conf_redis){
        .servers = put_redis_servers(w, node_get(n, S_REDIS_SERVERS)),
        .prefix = put_text(w, n, S_REDIS_PREFIX),
        .username = put_text(w, n, S_REDIS_USERNAME),
        .password = put_str(w, w->c->plan.redis_password),
        .db = num(n, S_REDIS_DB),
        .budget_ms = num(n, S_REDIS_BUDGET),
        .connect_timeout_ms = num(n, S_REDIS_CONNECT_TIMEOUT),
        .breaker_failures = num(n, S_REDIS_BREAKER_FAILURES),
        .breaker_open_ms = num(n, S_REDIS_BREAKER_OPEN_FOR),
    };
}

/* A setting of a method's overrides where there are some, else of the route. */
static const struct node *of_route(const struct route_plan *p, enum setting_id route,
                                   enum setting_id method)
{
    return p->method ? node_get(p->method, method) : node_get(p->route, route);
}

/* CONF_NONE: no text, or an empty one. */
static uint32_t split_index(struct writer *w, const struct route_plan *p)
{
    const char *name = of_route(p, S_ROUTE_SPLIT, S_METHOD_SPLIT)->text;

    return name ? node_find(node_get(w->c->root, S_SPLITS), name) : CONF_NONE;
}

static void put_route(struct writer *w, const struct route_plan *p, struct conf_route *out)
{
    uint32_t (*stat)(void *, const char *) = w->r->route_stat;

    *out = (struct conf_route){
        .name = put_str(w, p->name),
        .stat = stat ? stat(w->r->arg, p->name) : 0,
        .methods = p->methods,
        .upstream = p->upstream,
        .schema = p->schema,
        .rpc = p->binding,
        .hash_var = p->hash_var,
        .deadline_ms = (uint32_t)of_route(p, S_ROUTE_DEADLINE, S_METHOD_DEADLINE)->value.num,
        .max_body = (uint32_t)of_route(p, S_ROUTE_MAX_BODY, S_METHOD_MAX_BODY)->value.num,
        .identity = (uint32_t)of_route(p, S_ROUTE_IDENTITY, S_METHOD_IDENTITY)->value.num,
        .idempotency_key =
            (uint32_t)of_route(p, S_ROUTE_IDEMPOTENCY_KEY, S_METHOD_IDEMPOTENCY_KEY)->value.num,
        .retry = (uint32_t)of_route(p, S_ROUTE_RETRY, S_METHOD_RETRY)->value.num,
        .allow = put_cidrs(w, of_route(p, S_ROUTE_ALLOW, S_METHOD_ALLOW)),
        .limits = put_route_limits(w, p),
        .concurrency = concurrency(w, of_route(p, S_ROUTE_CONCURRENCY, S_METHOD_CONCURRENCY),
                                   "route", p->name),
        .split = split_index(w, p),
        .host = put_str(w, p->host),
        .path = put_str(w, p->path),
        .respond_status = num(p->route, S_RESPOND_STATUS),
        .respond_body = put_text(w, p->route, S_RESPOND_BODY),
        .respond_type = put_text(w, p->route, S_RESPOND_TYPE),
    };
    out->closed_n = conf_closed_fields(w->c, p, out->closed_field);
}

static struct conf_arr put_routes(struct writer *w)
{
    const struct plan *p = &w->c->plan;
    struct conf_route *all = xcalloc(p->routes_n + 1, sizeof *all);
    struct conf_arr arr = {.n = p->routes_n};

    for (uint32_t i = 0; i < p->routes_n; i++)
        put_route(w, &p->routes[i], &all[i]);
    arr.off = put(w, all, p->routes_n * sizeof *all);
    free(all);
    return arr;
}

static struct conf_arr put_schemas(struct writer *w)
{
    const struct plan *p = &w->c->plan;
    struct conf_str *all = xcalloc(p->schemas_n + 1, sizeof *all);
    struct conf_arr arr = {.n = p->schemas_n};

    for (uint32_t i = 0; i < p->schemas_n; i++)
        all[i] = put_bytes(w, p->schemas[i].p, p->schemas[i].n);
    arr.off = put(w, all, p->schemas_n * sizeof *all);
    free(all);
    return arr;
}

bool conf_compile(const struct conf *c, const struct conf_resolver *r, uint64_t generation,
                  struct buf *out, struct buf *errors)
{
    struct conf_root root = {
        .magic = CONF_MAGIC, .version = CONF_VERSION, .generation = generation};
    struct writer w = {c, r, out};

    buf_clear(out);
    put(&w, &root, sizeof root);
    root.loaded_real_ns = clock_real_ns();
    root.limits = limits(c->root);
    root.log_access = c->process.log_access != NULL && c->process.log_access_enabled;
    root.log_level = num(c->root, S_LOG_LEVEL);
    root.server_name = put_text(&w, c->root, S_HTTP_SERVER_NAME);
    root.identity_header = put_lower(&w, node_text(c->root, S_IDENTITY_HEADER));
    root.problem_base = put_text(&w, c->root, S_HTTP_PROBLEM_BASE);
    root.trusted_proxies = put_cidrs(&w, node_get(c->root, S_TRUSTED_PROXIES));
    root.upstreams = put_upstreams(&w);
    root.rate_limits = put_rate_limits(&w);
    root.rls_rules = put_rls_rules(&w);
    root.redis = put_redis(&w);
    root.limit_headers = num(c->root, S_RATELIMIT_HEADERS);
    root.splits = put_splits(&w);
    root.routes = put_routes(&w);
    root.schemas = put_schemas(&w);
    root.route_index = put_bytes(&w, c->plan.route_index.p, c->plan.route_index.n);
    root.boxoffice_upstream = put_text(&w, c->root, S_BOXOFFICE_UPSTREAM);
    root.drain_timeout_ms = num(c->root, S_DRAIN_TIMEOUT);
    put(&w, NULL, 0); /* a whole number of words */
    root.size = out->n;
    if (out->failed || out->n > UINT32_MAX) {
        buf_str(errors, "error: out of memory while compiling the configuration\n");
        return false;
    }
    memcpy(out->p, &root, sizeof root);
    return true;
}
