/* SPDX-License-Identifier: BSD-2-Clause */
/* Phase respond: a route or an arm without upstream answers from the configuration. */
#include "gate/request.h"

static void respond(struct gate_request *q, uint32_t status, struct conf_str type,
                    struct conf_str body)
{
    const struct conf_root *root = q->gen->root;

    q->arm_reached = true;
    gate_answer(q, status, conf_slice(root, type), SLICE_NONE, conf_slice(root, body));
}

enum phase_verdict phase_respond(struct gate_request *q)
{
    const struct conf_route *route = q->route;
    const struct conf_arm *arm = q->arm;

    if (q->upstream != NULL)
        return PHASE_NEXT;
    if (arm != NULL && arm->responds)
        respond(q, arm->respond_status, arm->respond_type, arm->respond_body);
    else
        respond(q, route->respond_status, route->respond_type, route->respond_body);
    return PHASE_DONE;
}
