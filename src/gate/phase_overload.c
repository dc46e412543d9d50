/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Phase overload: is there room for one more call with the route and its upstream?
 *
 * Asked twice: here, so that a refusal costs no body, and again when the call is about to start
 * (phase_upstream.c), because a place is taken only then: a client that sends its body slowly, or
 * never, must not keep others out of a service that is idle.
 *
 * Where refusals of the service are kept (closed_by) it is only asked there: who asks for what is
 * sold out shall hear that, which needs no room.
 *
 * After the rate limits and whatever answers by itself: those who are over their limit hear that,
 * and a cached answer needs no room. So a request that is refused here has spent its tokens.
 */
#include "gate/explain_note.h"
#include "gate/request.h"

#define RETRY_AFTER_S 1

bool overloaded(const struct gate_request *q)
{
    if (q->explain != NULL)
        return explain_overloaded(q);
    return !concurrency_has_room(q->concurrency);
}

enum phase_verdict refuse_overload(struct gate_request *q)
{
    struct refusal why = {
        .status = 503,
        .reason = "overloaded",
        .detail = SLICE_LIT("As many requests as the service can take are under way."),
        .retry_after_s = RETRY_AFTER_S,
    };

    q->arm_reached = true; /* that it is slow is the arm's doing */
    return gate_refuse_with(q, &why);
}

enum phase_verdict phase_overload(struct gate_request *q)
{
    return q->route->closed_n == 0 && overloaded(q) ? refuse_overload(q) : PHASE_NEXT;
}
