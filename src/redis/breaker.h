/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A circuit breaker: after `threshold` failures in a row nothing is asked for `open_ns`, then one
 * probe decides whether it closes or opens again. Time is a parameter; no I/O.
 *
 *   CLOSED --threshold failures--> OPEN --open_ns--> HALF_OPEN --success--> CLOSED
 *                                   ^------------------- failure -----'
 */
#ifndef REDIS_BREAKER_H
#define REDIS_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker {
    uint32_t threshold; /* at least 1 */
    uint64_t open_ns;
    uint32_t run;      /* failures in a row */
    uint64_t until_ns; /* open until then; 0: closed */
};

static inline enum breaker_state breaker_state(const struct breaker *b, uint64_t now_ns)
{
    if (b->until_ns == 0)
        return BREAKER_CLOSED;
    return now_ns < b->until_ns ? BREAKER_OPEN : BREAKER_HALF_OPEN;
}

/* True when this failure opened it. While it is open, failures of what was asked before say nothing
 * new. */
static inline bool breaker_fail(struct breaker *b, uint64_t now_ns)
{
    if (breaker_state(b, now_ns) == BREAKER_OPEN)
        return false;
    if (b->run < UINT32_MAX)
        b->run++;
    if (b->until_ns == 0 && b->run < b->threshold)
        return false;
    b->until_ns = now_ns + b->open_ns;
    return true;
}

static inline void breaker_succeed(struct breaker *b)
{
    b->run = 0;
    b->until_ns = 0;
}

#endif
