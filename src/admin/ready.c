/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether a load balancer may send requests here: every worker is there, none of us is leaving. */
#include "config.h"

#include "admin/parts.h"
#include "base/clock.h"

/* A worker that has not passed its loop for so long does not answer requests either. */
#define STUCK_NS (5 * NS_PER_S)

static bool worker_ready(const struct slot *s, uint64_t now_ns)
{
    uint64_t beat = atomic_load_explicit(&s->heartbeat_ns, memory_order_relaxed);

    return atomic_load_explicit(&s->state, memory_order_relaxed) == SLOT_READY &&
           beat + STUCK_NS > now_ns;
}

bool ready_write(const struct control *control, uint64_t generation, uint64_t now_ns,
                 struct buf *out)
{
    unsigned total = atomic_load_explicit(&control->workers, memory_order_relaxed), ready = 0;
    bool draining = atomic_load_explicit(&control->draining, memory_order_relaxed) != 0;
    struct buf why = {0};
    bool ok;

    for (unsigned i = 0; i < total && i < CONTROL_WORKERS; i++)
        ready += worker_ready(&control->slots[i], now_ns);
    if (draining)
        buf_str(&why, "draining");
    else if (generation == 0)
        buf_str(&why, "no configuration yet");
    else if (ready < total || total == 0)
        buf_printf(&why, "%u of %u workers are ready", ready, total);
    ok = why.n == 0;
    buf_printf(out, "{\"ready\":%s", ok ? "true" : "false");
    if (!ok) {
        buf_str(out, ",\"reason\":");
        buf_json(out, buf_view(&why));
    }
    buf_printf(out, ",\"workers\":{\"ready\":%u,\"total\":%u},\"generation\":%llu}\n", ready, total,
               (unsigned long long)generation);
    buf_free(&why);
    return ok;
}
