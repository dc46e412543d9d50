/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Phase identity: who asks. For now the configured header, believed only when the peer is a trusted
 * proxy; from anyone else it is ignored, and never passed on. Verified tokens will be decided here
 * too.
 */
#include "gate/request.h"

#define IDENTITY_MAX 128

static bool identity_ok(struct slice id)
{
    return id.n <= IDENTITY_MAX && slice_ascii(id, '!', 0x7f);
}

enum phase_verdict phase_identity(struct gate_request *q)
{
    if (q->peer_trusted && q->h_identity.n > 0) {
        if (q->identity_twice)
            return gate_refuse(q, 400, "identity-invalid",
                               SLICE_LIT("The identity header must come once."));
        if (!identity_ok(q->h_identity))
            return gate_refuse(q, 400, "identity-invalid",
                               SLICE_LIT("The identity header must hold 1 to 128 visible ASCII "
                                         "characters."));
        q->identity = q->h_identity;
    }
    if (q->identity.n == 0 && q->route->identity == CONF_REQUIRED)
        return gate_refuse(
            q, 401, "identity-required",
            q->h_identity.n > 0
                ? SLICE_LIT("The identity header is believed only from trusted proxies.")
                : SLICE_LIT("This request needs an identified buyer."));
    return PHASE_NEXT;
}
