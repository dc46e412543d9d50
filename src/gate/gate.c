/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Generations of the configuration in a worker.
 *
 * The current generation serves requests that start now, or the canary for some buyers; each
 * request pins the one it started with. When the last request of an older one is answered it is
 * retired here, and the worker's next publish of gate_banks lets the master reuse its bank. All of
 * this is private memory of one process: if the worker dies, the master clears its slot and nothing
 * is left pinned.
 */
#include "gate/gate.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "gate/request.h"
#include "gate/rls.h"

/* Upstreams first, then routes. */
static uint32_t concurrency_count(const struct conf_root *root)
{
    return root->upstreams.n + root->routes.n;
}

static const struct conf_concurrency *concurrency_conf(const struct conf_root *root, uint32_t i)
{
    return i < root->upstreams.n ? &conf_upstreams(root)[i].concurrency
                                 : &conf_routes(root)[i - root->upstreams.n].concurrency;
}

void generation_free(struct gate *g, struct generation *gen)
{
    list_del(&gen->node);
    for (uint32_t i = 0; gen->upstreams != NULL && i < gen->root->upstreams.n; i++)
        if (gen->upstreams[i] != NULL)
            upstream_put(g, &gen->upstreams[i]);
    for (uint32_t i = 0; gen->concurrency != NULL && i < concurrency_count(gen->root); i++)
        if (gen->concurrency[i] != NULL)
            concurrency_put(&gen->concurrency[i]);
    free(gen->concurrency);
    free(gen->upstreams);
    free(gen->routes);
    free(gen->limits);
    buf_free(&gen->limit_texts);
    refusal_texts_fini(&gen->refusals);
    free(gen->messages);
    free(gen);
}

/* At the end of the turn, because an upstream must not be freed from inside one of its callbacks.
 */
static void retire_hook(struct loop_hook *h)
{
    struct gate *g = CONTAINER_OF(h, struct gate, retire);

    LIST_EACH_SAFE (it, &g->generations) {
        struct generation *gen = CONTAINER_OF(it, struct generation, node);
        if (gen->requests == 0 && gen != g->current && gen != g->canary)
            generation_free(g, gen);
    }
}

void generation_unpin(struct gate *g, struct generation *gen)
{
    CHECK(gen->requests > 0);
    if (--gen->requests == 0 && gen != g->current && gen != g->canary)
        loop_defer(g->ctx.loop, &g->retire);
}

static bool route_prepare(struct generation *gen, const struct conf_route *route,
                          struct route_info *info)
{
    const struct conf_root *root = gen->root;
    struct schema_binding binding;
    struct buf err = {0};
    bool ok;

    if (route->upstream != CONF_NONE) {
        info->upstream = gen->upstreams[route->upstream];
        info->concurrency[0] = gen->concurrency[root->upstreams.n + (info - gen->routes)];
        info->concurrency[1] = gen->concurrency[route->upstream];
    }
    ok = router_template_vars(conf_slice(root, route->path), info->var_names, &info->vars_n, &err);
    buf_free(&err);
    if (route->schema == CONF_NONE)
        return ok;
    const struct conf_str *schemas = conf_at(root, root->schemas);
    info->schema = conf_slice(root, schemas[route->schema]);
    schema_binding_get(info->schema, route->rpc, &binding);
    info->rpc_path = binding.rpc_path;
    return ok;
}

/* Nothing that the present generation uses is changed here. */
static int generation_prepare(struct gate *g, struct generation *gen)
{
    const struct conf_root *root = gen->root;

    if (!limits_prepare(g, gen))
        return -ENOMEM;
    gen->upstreams = calloc(root->upstreams.n + 1, sizeof(*gen->upstreams));
    gen->routes = calloc(root->routes.n + 1, sizeof(*gen->routes));
    gen->concurrency = calloc(concurrency_count(root) + 1, sizeof(struct concurrency *));
    if (gen->upstreams == NULL || gen->routes == NULL || gen->concurrency == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < concurrency_count(root); i++)
        if (concurrency_get(g, root, concurrency_conf(root, i), gen->canary, &gen->concurrency[i]) <
            0)
            return -ENOMEM;
    for (uint32_t i = 0; i < root->upstreams.n; i++) {
        gen->upstreams[i] = upstream_get(g, root, &conf_upstreams(root)[i], gen->canary);
        if (gen->upstreams[i] == NULL)
            return -ENOMEM;
    }
    for (uint32_t i = 0; i < root->routes.n; i++)
        if (!route_prepare(gen, &conf_routes(root)[i], &gen->routes[i]))
            return -EINVAL;
    return limit_headers_prepare(gen) ? 0 : -ENOMEM;
}

static struct http_limits limits_of(const struct conf_root *root)
{
    const struct conf_limits *l = &root->limits;

    return (struct http_limits){
        .max_line = l->max_line,
        .max_headers = l->max_headers,
        .max_header_bytes = l->max_header_bytes,
        .max_connections = l->max_connections,
        .header_timeout_ms = l->header_timeout_ms,
        .body_timeout_ms = l->body_timeout_ms,
        .idle_timeout_ms = l->idle_timeout_ms,
        .write_timeout_ms = l->write_timeout_ms,
        .max_requests = l->max_requests,
    };
}

struct generation *generation_new(struct gate *g, struct bank_ref ref, bool canary, int *rc)
{
    const struct conf_root *root = ref.data;
    struct generation *gen;

    if (root == NULL || root->magic != CONF_MAGIC || root->version != CONF_VERSION) {
        log_error("generation %lu is not a configuration of this version; keeping the present one",
                  (unsigned long)ref.generation);
        *rc = -EINVAL;
        return NULL;
    }
    gen = calloc(1, sizeof(*gen));
    *rc = -ENOMEM;
    if (gen == NULL)
        return NULL;
    gen->root = root;
    gen->number = ref.generation;
    gen->bank = ref.bank;
    gen->canary = canary;
    list_add(&g->generations, &gen->node);
    *rc = generation_prepare(g, gen);
    if (*rc == 0)
        return gen;
    generation_free(g, gen);
    return NULL;
}

/* The settings of what it uses come into force. What a canary shares has the same ones. */
static void generation_apply(struct gate *g, struct generation *gen)
{
    const struct conf_root *root = gen->root;

    for (uint32_t i = 0; i < root->upstreams.n; i++)
        if (gen->upstreams[i]->canary == gen->canary)
            upstream_update(g, gen->upstreams[i], root, &conf_upstreams(root)[i]);
    for (uint32_t i = 0; i < concurrency_count(root); i++)
        if (gen->concurrency[i] != NULL)
            concurrency_update(gen->concurrency[i], concurrency_conf(root, i));
}

static void leave(struct gate *g, const struct generation *old)
{
    if (old != NULL && old->requests == 0)
        loop_defer(g->ctx.loop, &g->retire);
}

int gate_adopt(struct gate *g, struct bank_ref next)
{
    struct generation *old = g->current;
    int rc;
    struct generation *gen = generation_new(g, next, false, &rc);

    if (gen == NULL)
        return rc;
    generation_apply(g, gen);
    if (!shared_limits_update(g->shared, gen->root))
        log_error("out of memory: the Redis servers stay those of the previous configuration");
    g->current = gen;
    leave(g, old);
    if (g->http != NULL) {
        struct http_limits limits = limits_of(gen->root);
        http_server_set_limits(g->http, &limits);
        http_server_set_name(g->http, conf_slice(gen->root, gen->root->server_name));
    }
    metric_add(&g->ctx.metrics->counter[METRIC_config_adopted], 1);
    return 0;
}

int gate_canary(struct gate *g, const struct bank_canary *canary)
{
    struct generation *old = g->canary, *gen = NULL;
    int rc = 0;

    g->canary_share = canary->share;
    g->canary_seed = canary->seed;
    if (old != NULL && canary->ref.data != NULL && old->number == canary->ref.generation)
        return 0;
    if (canary->ref.data != NULL)
        gen = generation_new(g, canary->ref, true, &rc);
    if (gen != NULL)
        generation_apply(g, gen);
    g->canary = gen;
    leave(g, old);
    return rc;
}

uint64_t gate_canary_generation(const struct gate *g)
{
    return g->canary != NULL ? g->canary->number : 0;
}

struct gate *gate_new(const struct gate_context *ctx, struct bank_ref first)
{
    struct gate *g = calloc(1, sizeof(*g));
    struct http_limits limits;

    if (g == NULL)
        return NULL;
    g->ctx = *ctx;
    list_init(&g->generations);
    list_init(&g->upstreams);
    list_init(&g->concurrency);
    list_init(&g->free_calls);
    list_init(&g->rls);
    loop_hook_init(&g->retire, retire_hook);
    g->shared = shared_limits_new(ctx->loop, ctx->metrics);
    if (g->shared == NULL || gate_adopt(g, first) < 0) {
        shared_limits_free(&g->shared);
        free(g);
        return NULL;
    }
    limits = limits_of(g->current->root);
    g->http = http_server_new(ctx->loop, &limits, &gate_http_handler, g);
    if (g->http == NULL) {
        gate_free(&g);
        return NULL;
    }
    http_server_set_name(g->http, conf_slice(g->current->root, g->current->root->server_name));
    totals_start(g);
    return g;
}

int gate_listen(struct gate *g, int fd)
{
    return http_server_listen(g->http, fd);
}

int gate_listen_rls(struct gate *g, int fd)
{
    return rls_listen(g, fd);
}

uint64_t gate_generation(const struct gate *g)
{
    return g->current->number;
}

uint64_t gate_banks(const struct gate *g)
{
    uint64_t banks = 0;

    LIST_EACH (it, &g->generations)
        banks |= bank_bit(CONTAINER_OF(it, struct generation, node)->bank);
    return banks;
}

uint32_t gate_connections(const struct gate *g)
{
    return http_server_connections(g->http);
}

uint32_t gate_requests(const struct gate *g)
{
    return http_server_requests(g->http);
}

uint32_t gate_drain_timeout_ms(const struct gate *g)
{
    return g->current->root->drain_timeout_ms;
}

void gate_take_queue(struct gate *g)
{
    http_server_take_queue(g->http);
}

void gate_drain(struct gate *g, uint32_t patience_ms)
{
    http_server_drain(g->http, patience_ms);
    rls_drain(g);
}

void gate_resume(struct gate *g)
{
    http_server_resume(g->http);
    rls_resume(g);
}

bool gate_idle(const struct gate *g)
{
    return http_server_connections(g->http) == 0 && g->calls == 0;
}

void gate_free(struct gate **gp)
{
    struct gate *g = *gp;

    *gp = NULL;
    if (g == NULL)
        return;
    /* Aborts the requests in progress, which cancels or orphans their calls; freeing the upstream
     * clients then ends the orphans. The generations they unpin are freed below and not by the
     * hook. */
    rls_free(g);
    limit_lease_release(&g->ctx.limits, clock_mono_ns());
    shared_limits_free(&g->shared);
    if (g->http != NULL) {
        totals_stop(g);
        http_server_free(&g->http);
    }
    LIST_EACH (it, &g->upstreams) {
        struct gate_upstream *u = CONTAINER_OF(it, struct gate_upstream, node);
        if (u->rpc != NULL)
            rpc_client_free(&u->rpc);
        if (u->http != NULL)
            http_client_free(&u->http);
    }
    loop_hook_cancel(&g->retire);
    LIST_EACH_SAFE (it, &g->generations) {
        generation_free(g, CONTAINER_OF(it, struct generation, node));
    }
    LIST_EACH_SAFE (it, &g->free_calls) {
        free(CONTAINER_OF(it, struct gate_call, node));
    }
    buf_free(&g->body);
    buf_free(&g->headers);
    free(g);
}
