/* SPDX-License-Identifier: BSD-2-Clause */
/* Phase access: a route may be for some addresses only (`allow`). */
#include "gate/request.h"

enum phase_verdict phase_access(struct gate_request *q)
{
    if (q->route->allow.n == 0)
        return PHASE_NEXT;
    if (!q->client_unknown && conf_cidr_match(q->gen->root, q->route->allow, q->client))
        return PHASE_NEXT;
    return gate_refuse(q, 403, "forbidden",
                       SLICE_LIT("This route is not open to your network address."));
}
