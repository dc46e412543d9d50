/* SPDX-License-Identifier: BSD-2-Clause */
/* Phase upstream: asks the service, by transcoded RPC or by plain HTTP. Its callback answers. */
#include "base/hash.h"
#include "gate/request.h"

bool request_idempotent(const struct gate_request *q)
{
    switch (q->http->method) {
    case METHOD_GET:
    case METHOD_HEAD:
    case METHOD_PUT:
    case METHOD_DELETE:
    case METHOD_OPTIONS:
        return true;
    default:
        return false;
    }
}

uint64_t balance_hash(const struct gate_request *q)
{
    if (q->route->hash_var != CONF_NONE && q->route->hash_var < q->vars_n)
        return hash64(q->vars[q->route->hash_var], 0);
    return hash64(q->identity.n > 0 ? q->identity : slice_of((const char *)q->client, 16), 0);
}

enum phase_verdict phase_upstream(struct gate_request *q)
{
    if (overloaded(q))
        return refuse_overload(q);
    metric_add(&q->gate->ctx.metrics->counter[METRIC_upstream_calls], 1);
    q->upstream_start_ns = loop_now(q->gate->ctx.loop);
    q->arm_reached = true;
    if (q->upstream->protocol == CONF_GRPC)
        return call_rpc_start(q);
    return call_http_start(q);
}
