/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Phase idempotency: the Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header). Its
 * presence and form are checked here; what it means is the service's to decide.
 */
#include "gate/request.h"
#include "table/sent.h"

#define KEY_MAX 255

/* The draft makes the value a structured-field string, in quotes; bare keys are common. Both are
 * taken; the quotes are not part of the key. */
static struct slice unquote(struct slice key)
{
    if (key.n >= 2 && key.p[0] == '"' && key.p[key.n - 1] == '"')
        return slice_of(key.p + 1, key.n - 2);
    return key;
}

static bool key_ok(struct slice key)
{
    return key.n > 0 && key.n <= KEY_MAX && slice_ascii(key, '!', 0x7f);
}

enum phase_verdict phase_idempotency(struct gate_request *q)
{
    if (q->h_idempotency_key.p == NULL) {
        if (q->route->idempotency_key != CONF_REQUIRED)
            return PHASE_NEXT;
        return gate_refuse(
            q, 400, "idempotency-key-missing",
            SLICE_LIT("Send an Idempotency-Key header: the same key with every retry "
                      "of one purchase."));
    }
    q->idempotency_key = unquote(q->h_idempotency_key);
    if (q->key_twice)
        return gate_refuse(q, 400, "idempotency-key-invalid",
                           SLICE_LIT("Idempotency-Key must come once."));
    if (!key_ok(q->idempotency_key))
        return gate_refuse(
            q, 400, "idempotency-key-invalid",
            SLICE_LIT("Idempotency-Key must hold 1 to 255 visible ASCII characters."));
    if (q->gate->ctx.sent != NULL)
        q->key_hash = sent_hash(q->gate->ctx.sent, q->idempotency_key);
    return PHASE_NEXT;
}
