/* SPDX-License-Identifier: BSD-2-Clause */
#include "gate/limit_group.h"

#include "gate/request.h"

/* Looks at those of asks first to end - 1 that are shared. False when one denies. */
static bool look_shared(struct gate *g, struct limit_group *s, unsigned first, unsigned end,
                        uint64_t now_ns)
{
    bool ok = true;

    for (unsigned i = first; i < end; i++) {
        s->ask[i].allowed = true;
        if (s->key[i].fingerprint != 0)
            ok = shared_limits_look(g->shared, &s->key[i], &s->ask[i], now_ns, &s->look[i]) && ok;
    }
    return ok;
}

static void take_shared(struct gate *g, struct limit_group *s, unsigned first, unsigned end,
                        uint64_t now_ns)
{
    for (unsigned i = first; i < end; i++)
        if (s->key[i].fingerprint != 0)
            shared_limits_take(g->shared, &s->key[i], &s->ask[i], now_ns, &s->look[i]);
}

/* What the host's own buckets say about the rest of a request that is refused already. */
static void peek_rest(struct gate *g, struct limit_group *s, uint64_t now_ns)
{
    for (unsigned i = 0; i < s->enforced; i++)
        if (s->ask[i].allowed)
            limit_peek(g->ctx.limits.zone, &s->ask[i], now_ns);
}

/* What all hosts know is asked first and taken last: it is this worker's own, so nothing can come
 * in between, and what it denies takes nothing from the host's buckets. */
bool limit_group_take(struct gate *g, struct limit_group *s, uint64_t now_ns)
{
    if (!look_shared(g, s, 0, s->enforced, now_ns)) {
        peek_rest(g, s, now_ns);
        return false;
    }
    if (!limit_take_all(&g->ctx.limits, s->ask, s->enforced, now_ns))
        return false;
    take_shared(g, s, 0, s->enforced, now_ns);
    return true;
}

bool limit_group_watch(struct gate *g, struct limit_group *s, unsigned i, uint64_t now_ns)
{
    if (!look_shared(g, s, i, i + 1, now_ns) ||
        !limit_lease_take(&g->ctx.limits, &s->ask[i], now_ns))
        return false;
    take_shared(g, s, i, i + 1, now_ns);
    return true;
}
