/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Phase ban: clients that operators shut out, by address, prefix or identity (table/ban.h). While
 * there are no bans it is one load. Whoever is refused is told that, and nothing about why.
 */
#include "gate/explain_note.h"
#include "gate/request.h"
#include "table/ban.h"

enum phase_verdict phase_ban(struct gate_request *q)
{
    const struct gate_context *ctx = &q->gate->ctx;
    struct ban_hit hit;
    uint64_t now_ns = 0;

    if (!ban_any(ctx->bans))
        return PHASE_NEXT;
    if (!ban_check(ctx->bans, q->client, q->identity, &now_ns, &hit))
        return PHASE_NEXT;
    if (q->explain != NULL)
        explain_ban(q, &hit);
    else
        ban_count(ctx->bans, ctx->worker, &hit, now_ns);
    metric_add(&ctx->metrics->counter[hit.identity ? METRIC_bans_identity : METRIC_bans_address],
               1);
    return gate_refuse(q, 403, "banned", SLICE_LIT("Requests of yours are not served."));
}
