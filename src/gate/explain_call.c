/* SPDX-License-Identifier: BSD-2-Clause */
/* An explanation in place of a call: whom it would go to, and who of them is there. */
#include <stdlib.h>

#include "gate/explain_note.h"
#include "rpc/balance.h"

/* The upstream's endpoints, by the rules of the workers, but without what each has ejected by
 * itself. */
struct endpoints {
    struct balance b;
    const struct balance_endpoint *pick; /* NULL: none is up */
    unsigned up;
};

static bool endpoints_fill(struct endpoints *p, const struct gate_request *q,
                           const struct conf_upstream *u, uint64_t *rng)
{
    struct rpc_endpoint_config *list = calloc(u->endpoints.n + 1, sizeof(*list));
    struct balance_config cfg = {.endpoints = list,
                                 .endpoints_n = u->endpoints.n,
                                 .rendezvous = u->balance == CONF_BALANCE_RENDEZVOUS};
    bool ok;

    if (list == NULL)
        return false;
    upstream_endpoints(q->gate, q->gen->root, u, list);
    ok = balance_init(&p->b, &cfg, rng) == 0;
    free(list);
    if (!ok)
        return false;
    p->pick = balance_pick(&p->b, loop_now(q->gate->ctx.loop), balance_hash(q), NULL);
    for (unsigned i = 0; i < p->b.n; i++)
        p->up += balance_is_up(p->b.endpoints[i]);
    return true;
}

static void write_endpoints(const struct endpoints *p, struct explanation *e)
{
    buf_str(&e->steps, ",\"endpoints\":[");
    for (unsigned i = 0; i < p->b.n; i++) {
        buf_str(&e->steps, i > 0 ? ",{\"endpoint\":" : "{\"endpoint\":");
        buf_json(&e->steps, slice_str(p->b.endpoints[i]->address));
        buf_printf(&e->steps, ",\"up\":%s}", balance_is_up(p->b.endpoints[i]) ? "true" : "false");
    }
    buf_char(&e->steps, ']');
    if (p->b.rendezvous && p->pick != NULL)
        explain_member(e, "picks", slice_str(p->pick->address));
}

static const struct conf_upstream *conf_of(const struct gate_request *q)
{
    uint32_t i = 0;

    while (i + 1 < q->gen->root->upstreams.n && q->gen->upstreams[i] != q->upstream)
        i++;
    return &conf_upstreams(q->gen->root)[i];
}

static enum phase_verdict refuse_unavailable(struct gate_request *q)
{
    struct refusal why = {.status = 503,
                          .reason = "upstream-unavailable",
                          .detail = SLICE_LIT("No endpoint is up."),
                          .retry_after_s = 1};

    return gate_refuse_with(q, &why);
}

static const char *protocol_name(const struct gate_request *q)
{
    return q->upstream->protocol == CONF_GRPC ? "grpc" : "http";
}

/* "" for plain HTTP. */
static struct slice rpc_of(const struct gate_request *q)
{
    struct slice path = q->info->rpc_path;

    return q->upstream->protocol == CONF_GRPC && path.n > 0 ? slice_of(path.p + 1, path.n - 1)
                                                            : SLICE_NONE;
}

static void note(struct gate_request *q, const struct endpoints *p, bool unknown)
{
    struct explanation *e = q->explain;

    explain_open(e, "upstream", "%s (%s), %u of %u endpoint%s up%s", q->upstream->name,
                 protocol_name(q), p->up, p->b.n, p->b.n == 1 ? "" : "s",
                 unknown ? "; the body is not known" : "");
    explain_member(e, "upstream", slice_str(q->upstream->name));
    explain_member(e, "protocol", slice_str(protocol_name(q)));
    explain_member(e, "rpc", rpc_of(q));
    buf_printf(&e->steps, ",\"deadline_s\":%g", q->route->deadline_ms / 1000.0);
    write_endpoints(p, e);
    explain_close(e);
}

enum phase_verdict explain_call(struct gate_request *q)
{
    struct explanation *e = q->explain;
    bool unknown = q->upstream->protocol == CONF_GRPC && explain_body_unknown(q);
    struct endpoints p = {.up = 0};
    struct slice rpc = rpc_of(q);
    uint64_t rng = 1;

    if (!endpoints_fill(&p, q, conf_of(q), &rng))
        return gate_refuse(q, 503, "out-of-memory", SLICE_NONE);
    note(q, &p, unknown);
    balance_fini(&p.b);
    if (p.up == 0)
        return refuse_unavailable(q);
    if (unknown)
        explain_provided(e, "the body fits");
    e->called = true;
    buf_printf(&e->target, "%s (%s)%s%.*s", q->upstream->name, protocol_name(q),
               rpc.n > 0 ? " " : "", SLICE_ARG(rpc));
    return PHASE_WAIT;
}
