/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's upstreams, by name. A reload updates an upstream in place, so that connections to
 * endpoints that stay are kept; one that no generation names any more is freed. An upstream whose
 * protocol changed is another upstream. So is that of a canary whose settings are others.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "gate/request.h"

/* Biggest response of a plain HTTP upstream that is passed on. */
#define HTTP_RESPONSE_MAX (8u << 20)

void upstream_endpoints(const struct gate *g, const struct conf_root *root,
                        const struct conf_upstream *conf, struct rpc_endpoint_config *out)
{
    const struct conf_endpoint *e = conf_at(root, conf->endpoints);

    for (unsigned i = 0; i < conf->endpoints.n; i++) {
        struct slice sa = conf_slice(root, e[i].sockaddr);
        out[i] = (struct rpc_endpoint_config){
            .address = conf_slice(root, e[i].address),
            .sa = (const struct sockaddr *)(const void *)sa.p,
            .sa_len = (uint32_t)sa.n,
            .health =
                endpoint_has_word(e[i].stat) ? &g->ctx.control->endpoint_down[e[i].stat] : NULL,
        };
    }
}

static bool rpc_apply(struct gate *g, struct gate_upstream *u, const struct conf_root *root,
                      const struct conf_upstream *conf, const struct rpc_endpoint_config *endpoints)
{
    struct rpc_client_config cfg = {
        .name = conf_slice(root, conf->name),
        .endpoints = endpoints,
        .endpoints_n = conf->endpoints.n,
        .rendezvous = conf->balance == CONF_BALANCE_RENDEZVOUS,
        .connections = conf->connections,
        .max_in_flight = conf->max_in_flight,
        .connect_timeout_ms = conf->connect_timeout_ms,
        .eject_failures = conf->eject_failures,
        .eject_ms = conf->eject_ms,
        .retry_budget_percent = conf->retry_budget_percent,
    };

    if (u->rpc != NULL)
        rpc_client_update(u->rpc, &cfg);
    else
        u->rpc = rpc_client_new(g->ctx.loop, &cfg);
    return u->rpc != NULL;
}

static bool http_apply(struct gate *g, struct gate_upstream *u, const struct conf_root *root,
                       const struct conf_upstream *conf,
                       const struct rpc_endpoint_config *endpoints)
{
    struct http_client_config cfg = {
        .name = conf_slice(root, conf->name),
        .endpoints = endpoints,
        .endpoints_n = conf->endpoints.n,
        .rendezvous = conf->balance == CONF_BALANCE_RENDEZVOUS,
        .max_in_flight = conf->max_in_flight,
        .max_idle = conf->max_idle,
        .connect_timeout_ms = conf->connect_timeout_ms,
        .idle_timeout_ms = conf->idle_timeout_ms,
        .eject_failures = conf->eject_failures,
        .eject_ms = conf->eject_ms,
        .retry_budget_percent = conf->retry_budget_percent,
        .max_response = HTTP_RESPONSE_MAX,
    };

    if (u->http != NULL)
        http_client_update(u->http, &cfg);
    else
        u->http = http_client_new(g->ctx.loop, &cfg);
    return u->http != NULL;
}

static uint64_t hash_text(const struct conf_root *root, struct conf_str s, uint64_t seed)
{
    return hash64(conf_slice(root, s), seed);
}

/* Of all that a client is told; offsets are not part of it. */
static uint64_t settings_hash(const struct conf_root *root, const struct conf_upstream *conf)
{
    const struct conf_endpoint *e = conf_at(root, conf->endpoints);
    struct conf_upstream plain = *conf;
    uint64_t h = 1;

    plain.endpoints.off = 0;
    for (unsigned i = 0; i < conf->endpoints.n; i++) {
        h = hash_text(root, e[i].address, h);
        h = hash_text(root, e[i].sockaddr, h);
        h = hash64(slice_of((const char *)&e[i].stat, sizeof(e[i].stat)), h);
    }
    h = hash_text(root, plain.name, h);
    h = hash_text(root, plain.health_service, h);
    h = hash_text(root, plain.health_path, h);
    h = hash_text(root, plain.concurrency.name, h);
    plain.name = plain.health_service = plain.health_path = plain.concurrency.name =
        (struct conf_str){0, 0};
    return hash64(slice_of((const char *)&plain, sizeof(plain)), h);
}

/* The clients copy what they are told. */
static bool apply(struct gate *g, struct gate_upstream *u, const struct conf_root *root,
                  const struct conf_upstream *conf)
{
    struct rpc_endpoint_config *endpoints = calloc(conf->endpoints.n + 1, sizeof(*endpoints));
    bool ok;

    if (endpoints == NULL)
        return false;
    upstream_endpoints(g, root, conf, endpoints);
    ok = conf->protocol == CONF_GRPC ? rpc_apply(g, u, root, conf, endpoints)
                                     : http_apply(g, u, root, conf, endpoints);
    free(endpoints);
    if (ok)
        u->settings = settings_hash(root, conf);
    return ok;
}

static struct gate_upstream *upstream_find(struct gate *g, struct slice name, uint32_t protocol,
                                           bool canary)
{
    LIST_EACH (it, &g->upstreams) {
        struct gate_upstream *u = CONTAINER_OF(it, struct gate_upstream, node);
        if (u->protocol == protocol && u->canary == canary && slice_eq(slice_str(u->name), name))
            return u;
    }
    return NULL;
}

static struct gate_upstream *upstream_new(struct gate *g, struct slice name, uint32_t protocol,
                                          bool canary)
{
    struct gate_upstream *u = calloc(1, sizeof(*u));

    if (u == NULL)
        return NULL;
    u->name = strndup(name.p, name.n);
    if (u->name == NULL) {
        free(u);
        return NULL;
    }
    u->protocol = protocol;
    u->canary = canary;
    list_add(&g->upstreams, &u->node);
    return u;
}

struct gate_upstream *upstream_get(struct gate *g, const struct conf_root *root,
                                   const struct conf_upstream *conf, bool canary)
{
    struct slice name = conf_slice(root, conf->name);
    struct gate_upstream *u = upstream_find(g, name, conf->protocol, false);
    bool ok = true;

    if (canary && (u == NULL || u->settings != settings_hash(root, conf)))
        u = upstream_find(g, name, conf->protocol, true);
    if (u == NULL) {
        u = upstream_new(g, name, conf->protocol, canary);
        if (u == NULL)
            return NULL;
        ok = g->explains || apply(g, u, root, conf);
    }
    u->generations++;
    if (!ok)
        upstream_put(g, &u);
    return u;
}

void upstream_update(struct gate *g, struct gate_upstream *u, const struct conf_root *root,
                     const struct conf_upstream *conf)
{
    if (!apply(g, u, root, conf))
        log_error("upstream %s keeps its previous settings", u->name);
}

void upstream_put(struct gate *g, struct gate_upstream **up)
{
    struct gate_upstream *u = *up;

    (void)g;
    *up = NULL;
    if (--u->generations > 0)
        return;
    list_del(&u->node);
    if (u->rpc != NULL)
        rpc_client_free(&u->rpc);
    if (u->http != NULL)
        http_client_free(&u->http);
    free(u->name);
    free(u);
}
