/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which buyers a canary serves. A buyer stays on one side: the choice is a hash of the identity,
 * when it is believed, else of the client address, below the share. So a larger share takes all
 * whom the smaller one took. Who is believed, and by which header, the current generation says; a
 * request that goes to the canary is then read again under the canary's own settings.
 */
#include "base/hash.h"
#include "gate/request.h"

bool canary_chosen(const struct gate_request *q)
{
    const struct gate *g = q->gate;
    bool identified = q->peer_trusted && q->h_identity.n > 0 && !q->identity_twice;
    struct slice who = identified ? q->h_identity : slice_of((const char *)q->client, 16);

    return (hash64(who, g->canary_seed) >> 32) * BANK_SHARE_ALL >> 32 < g->canary_share;
}

void canary_count(const struct gate_request *q, unsigned status, uint64_t duration_ns)
{
    struct metric_route *r =
        &q->gate->ctx.metrics->sides[q->gen->canary ? SIDE_CANARY : SIDE_STABLE];

    metric_add(&r->status[status / 100 < 6 ? status / 100 : 5], 1);
    if (status != 0)
        histogram_record(&r->latency, duration_ns);
}
