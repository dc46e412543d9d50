/* SPDX-License-Identifier: BSD-2-Clause */
/* When a canary ends by itself, and how. */
#include "config.h"

#include <inttypes.h>

#include "base/clock.h"
#include "proc/canary.h"

static double error_percent(const struct canary_side *s)
{
    return s->requests > 0 ? 100.0 * (double)s->errors / (double)s->requests : 0;
}

bool canary_judge(const struct conf_canary *rule, const struct canary_side side[METRIC_SIDES],
                  uint64_t age_ns, bool *promote, struct buf *why)
{
    const struct canary_side *stable = &side[SIDE_STABLE], *canary = &side[SIDE_CANARY];
    double more = error_percent(canary) - error_percent(stable);

    *promote = false;
    if (canary->requests < rule->min_requests)
        return false;
    if (more > rule->max_error_increase_percent) {
        buf_printf(why, "%.2f %% of its requests failed, %.2f %% of the others'",
                   error_percent(canary), error_percent(stable));
        return true;
    }
    /* Against a quantile of a handful nothing can be said. */
    if (rule->p99_percent != 0 && stable->requests >= rule->min_requests &&
        (double)canary->p99_ns > (double)stable->p99_ns * rule->p99_percent / 100) {
        buf_printf(why, "its p99 is %.3f ms, that of the others %.3f ms",
                   (double)canary->p99_ns / 1e6, (double)stable->p99_ns / 1e6);
        return true;
    }
    if (rule->promote_after_ms == 0 || age_ns < rule->promote_after_ms * NS_PER_MS)
        return false;
    *promote = true;
    buf_printf(why, "no worse than the others after %" PRIu64 " requests", canary->requests);
    return true;
}
