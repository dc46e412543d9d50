/* SPDX-License-Identifier: BSD-2-Clause */
/* Phase respond: a route without upstream answers from the configuration. */
#include "gate/request.h"

enum phase_verdict phase_respond(struct gate_request *q)
{
    const struct conf_root *root = q->gen->root;

    if (q->route->upstream != CONF_NONE)
        return PHASE_NEXT;
    gate_answer(q, q->route->respond_status, conf_slice(root, q->route->respond_type), SLICE_NONE,
                conf_slice(root, q->route->respond_body));
    return PHASE_DONE;
}
