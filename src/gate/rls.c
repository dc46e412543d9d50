/* SPDX-License-Identifier: BSD-2-Clause */
#include "gate/rls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "gate/limit_bucket.h"
#include "gate/limit_group.h"
#include "gate/request.h"
#include "rpc/server.h"
#include "rpc/status.h"

/* 16 descriptors of 16 entries fit, values of 200 bytes each. */
#define MESSAGE_MAX (64u * 1024)

/* One listener. */
struct rls {
    struct list node; /* on gate.rls */
    struct gate *gate;
    int fd;                    /* borrowed */
    struct rpc_server *server; /* owned; NULL: could not be started again */
};

/* --- rules --- */

static bool rule_matches(const struct conf_root *root, const struct conf_rls_rule *rule,
                         struct slice domain, const struct rls_descriptor *d)
{
    const struct conf_rls_entry *e = conf_at(root, rule->entries);

    if (rule->entries.n != d->n || !slice_eq(conf_slice(root, rule->domain), domain))
        return false;
    for (unsigned i = 0; i < d->n; i++)
        if (!slice_eq(conf_slice(root, e[i].key), d->entry[i].key) ||
            (!e[i].open && !slice_eq(conf_slice(root, e[i].value), d->entry[i].value)))
            return false;
    return true;
}

const struct conf_rls_rule *rls_rule_find(const struct conf_root *root, struct slice domain,
                                          const struct rls_descriptor *d)
{
    const struct conf_rls_rule *rules = conf_at(root, root->rls_rules);
    uint64_t hash = hash64(domain, d->n);

    for (unsigned i = 0; i < d->n; i++)
        hash = hash64(d->entry[i].key, hash);
    /* The most given values come first. */
    for (uint32_t i = 0; i < root->rls_rules.n; i++)
        if (rules[i].keys_hash == hash && rule_matches(root, &rules[i], domain, d))
            return &rules[i];
    return NULL;
}

static uint64_t hash_value(const struct conf_rate_limit *l, enum conf_key kind, struct slice value,
                           uint64_t seed)
{
    uint8_t addr[16];

    if (kind == CONF_IDENTITY)
        return limit_hash_identity(value, seed);
    if (kind == CONF_CLIENT_IP) {
        /* masked_remote_address has its prefix behind a slash. */
        if (address_parse(slice_of(value.p, slice_find(value, '/')), addr))
            return limit_hash_address(addr, l, seed);
        return hash64(value, seed + 2); /* never the bucket of an address, or of an identity */
    }
    return hash64(value, seed);
}

uint64_t rls_bucket(const struct conf_root *root, const struct conf_rls_rule *rule,
                    const struct rls_descriptor *d, uint64_t seed)
{
    const struct conf_rate_limit *l = &conf_rate_limits(root)[rule->limit];
    const struct conf_rls_entry *e = conf_at(root, rule->entries);
    unsigned part = 0;

    for (unsigned i = 0; i < d->n; i++) {
        if (!e[i].open)
            continue;
        while (part < l->parts_n && l->part[part].kind == CONF_CONSTANT)
            part++;
        seed = hash_value(l, part < l->parts_n ? (enum conf_key)l->part[part].kind : CONF_HEADER,
                          d->entry[i].value, seed);
        part++;
    }
    return limit_fingerprint(seed);
}

/* --- decisions --- */

struct asked {
    struct limit_group set;
    uint32_t limit[RLS_DESCRIPTORS];      /* index in conf_root.rate_limits */
    unsigned descriptor[RLS_DESCRIPTORS]; /* index in the request */
};
_Static_assert(RLS_DESCRIPTORS <= LIMIT_GROUP_MAX, "all descriptors of a request fit");

static uint64_t charge_of(const struct limit_info *info, uint64_t hits)
{
    uint64_t charge;

    /* Above the capacity nothing is ever admitted; the table must not be made to overflow. */
    if (__builtin_mul_overflow(info->charge, hits, &charge) || charge > info->capacity)
        return info->capacity + 1;
    return charge;
}

static bool enforces(const struct conf_root *root, uint32_t limit)
{
    return conf_rate_limits(root)[limit].mode == CONF_ENFORCE;
}

static bool before(const struct conf_root *root, uint32_t a, uint32_t b)
{
    return enforces(root, a) != enforces(root, b) ? enforces(root, a) : a < b;
}

/* Makes room at its place in the order of a group. */
static unsigned place_for(struct asked *all, const struct conf_root *root, uint32_t limit)
{
    struct limit_group *s = &all->set;
    unsigned at = s->n++;

    for (; at > 0 && before(root, limit, all->limit[at - 1]); at--) {
        s->key[at] = s->key[at - 1];
        s->ask[at] = s->ask[at - 1];
        s->conf[at] = s->conf[at - 1];
        all->limit[at] = all->limit[at - 1];
        all->descriptor[at] = all->descriptor[at - 1];
    }
    s->enforced += enforces(root, limit);
    return at;
}

static void ask_insert(struct asked *all, const struct generation *gen,
                       const struct conf_rls_rule *rule, const struct rls_descriptor *d,
                       unsigned descriptor)
{
    const struct conf_rate_limit *l = &conf_rate_limits(gen->root)[rule->limit];
    const struct limit_info *info = &gen->limits[rule->limit];
    unsigned at = place_for(all, gen->root, rule->limit);

    all->set.key[at] = (struct shared_key){
        .fingerprint = info->shared_seed ? rls_bucket(gen->root, rule, d, info->shared_seed) : 0,
        .limit = conf_slice(gen->root, l->name),
        .stat = l->stat,
        .lease = l->lease,
    };
    all->set.ask[at] = (struct limit_ask){
        .fingerprint = rls_bucket(gen->root, rule, d, info->seed),
        .interval = info->interval,
        .capacity = info->capacity,
        .charge = charge_of(info, d->hits),
        .overflow = l->stat,
    };
    all->set.conf[at] = l;
    all->limit[at] = rule->limit;
    all->descriptor[at] = descriptor;
}

static void ask_all(const struct gate *g, const struct rls_request *r, struct asked *all)
{
    const struct generation *gen = g->current;

    all->set.n = all->set.enforced = 0;
    for (unsigned i = 0; i < r->n; i++) {
        const struct rls_descriptor *d = &r->descriptor[i];
        const struct conf_rls_rule *rule = rls_rule_find(gen->root, r->domain, d);
        if (rule != NULL)
            ask_insert(all, gen, rule, d, i);
        else
            metric_add(&g->ctx.metrics->counter[METRIC_rls_unknown], 1);
    }
}

/* Takes from all that enforce or from none; then asks those that watch, where it was admitted. */
static bool decide(struct gate *g, struct limit_group *s)
{
    uint64_t now_ns = clock_mono_ns();
    bool ok = limit_group_take(g, s, now_ns);

    for (unsigned i = 0; i < s->enforced; i++)
        if (ok || !s->ask[i].allowed)
            limit_count(g->ctx.metrics, s->conf[i], &s->ask[i], ok ? LIMIT_ALLOWED : LIMIT_DENIED);
    for (unsigned i = s->enforced; ok && i < s->n; i++) {
        bool within = limit_group_watch(g, s, i, now_ns);
        limit_count(g->ctx.metrics, s->conf[i], &s->ask[i],
                    within ? LIMIT_ALLOWED : LIMIT_SHADOW_DENIED);
    }
    return ok;
}

static void statuses(const struct gate *g, const struct asked *all, struct rls_status *out)
{
    const struct conf_root *root = g->current->root;

    for (unsigned i = 0; i < all->set.n; i++) {
        const struct conf_rate_limit *l = all->set.conf[i];
        const struct limit_ask *a = &all->set.ask[i];
        bool over = i < all->set.enforced && !a->allowed;
        out[all->descriptor[i]] = (struct rls_status){
            .code = over ? RLS_OVER_LIMIT : RLS_OK,
            .limit = conf_slice(root, l->name),
            .tokens = l->tokens,
            .period_ns = l->period_ns,
            .remaining = limit_tokens_left(a),
            .reset_ns = (over ? a->wait : a->debt) / LIMIT_TICKS_PER_NS,
        };
    }
}

static uint32_t longest_wait_s(const struct asked *all)
{
    uint64_t wait = 0;

    for (unsigned i = 0; i < all->set.enforced; i++)
        if (!all->set.ask[i].allowed && all->set.ask[i].wait > wait)
            wait = all->set.ask[i].wait;
    return (uint32_t)limit_seconds(wait);
}

static void answer(struct rls *r, struct rpc_server_call *call, const struct rls_request *request)
{
    struct gate *g = r->gate;
    struct rls_status status[RLS_DESCRIPTORS];
    struct asked all;
    bool ok;

    for (unsigned i = 0; i < request->n; i++)
        status[i] = (struct rls_status){.code = RLS_OK};
    ask_all(g, request, &all);
    ok = decide(g, &all.set);
    statuses(g, &all, status);
    metric_add(&g->ctx.metrics->counter[ok ? METRIC_rls_ok : METRIC_rls_over_limit], 1);
    rls_response_write(ok ? RLS_OK : RLS_OVER_LIMIT, status, request->n,
                       ok ? 0 : longest_wait_s(&all), &g->body);
    if (g->body.failed)
        rpc_server_reply(r->server, call, RPC_RESOURCE_EXHAUSTED, SLICE_LIT("out of memory"),
                         SLICE_NONE, NULL, 0);
    else
        rpc_server_reply(r->server, call, RPC_OK, SLICE_NONE, buf_view(&g->body), NULL, 0);
}

static void refuse(struct rls *r, struct rpc_server_call *call, int status, const char *why)
{
    metric_add(&r->gate->ctx.metrics->counter[METRIC_rls_invalid], 1);
    rpc_server_reply(r->server, call, status, slice_str(why), SLICE_NONE, NULL, 0);
}

static void on_call(void *arg, struct rpc_server_call *call)
{
    static const struct slice method = {
        "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit", 60};
    struct rls_request request; /* 8 KB, of which what is used is written */
    struct rls *r = arg;
    const char *why;

    if (!slice_eq(call->path, method)) {
        refuse(r, call, RPC_UNIMPLEMENTED, "only RateLimitService/ShouldRateLimit is served");
        return;
    }
    why = rls_request_read(call->payload, &request);
    if (why != NULL) {
        refuse(r, call, RPC_INVALID_ARGUMENT, why);
        return;
    }
    generation_look(r->gate);
    answer(r, call, &request);
}

/* --- listeners --- */

static int start(struct rls *r)
{
    struct rpc_server_config cfg = {
        .listen_fd = fcntl(r->fd, F_DUPFD_CLOEXEC, 0), /* the server closes it */
        .max_message = MESSAGE_MAX,
        .handler = on_call,
        .arg = r,
    };
    int rc = -errno;

    if (cfg.listen_fd < 0)
        return rc;
    r->server = rpc_server_new(r->gate->ctx.loop, &cfg);
    if (r->server != NULL)
        return 0;
    close(cfg.listen_fd);
    return -ENOMEM;
}

int rls_listen(struct gate *g, int fd)
{
    struct rls *r = calloc(1, sizeof(*r));
    int rc;

    if (r == NULL)
        return -ENOMEM;
    r->gate = g;
    r->fd = fd;
    rc = start(r);
    if (rc < 0)
        free(r);
    else
        list_add(&g->rls, &r->node);
    return rc;
}

void rls_drain(struct gate *g)
{
    LIST_EACH (it, &g->rls) {
        struct rls *r = CONTAINER_OF(it, struct rls, node);
        if (r->server != NULL)
            rpc_server_drain(r->server);
    }
}

void rls_resume(struct gate *g)
{
    LIST_EACH (it, &g->rls) {
        struct rls *r = CONTAINER_OF(it, struct rls, node);
        int rc;
        /* Every call is answered in the turn it comes in: the old server owes nobody anything. */
        if (r->server != NULL)
            rpc_server_free(&r->server);
        rc = start(r);
        if (rc < 0)
            log_error("the rate limit service does not answer: %s", strerror(-rc));
    }
}

void rls_free(struct gate *g)
{
    LIST_EACH_SAFE (it, &g->rls) {
        struct rls *r = CONTAINER_OF(it, struct rls, node);
        if (r->server != NULL)
            rpc_server_free(&r->server);
        list_del(&r->node);
        free(r);
    }
}
