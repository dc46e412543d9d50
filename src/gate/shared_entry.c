/* SPDX-License-Identifier: BSD-2-Clause */
/* The arithmetic of shared_entry.h. */
#include "gate/shared_entry.h"

#include "base/clock.h"

#define TICKS_PER_US (NS_PER_US * LIMIT_TICKS_PER_NS)
#define COLD_NS      NS_PER_S /* without a call so long, demand is unknown */
#define PACE_MIN_NS  (200 * NS_PER_US)
#define ASK_AGAIN_NS NS_PER_S /* however long Redis says to wait: it may be emptied */
#define DEBT_MAX     16u      /* bursts; more is a clock that was set, not a debt */

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t left(const struct shared_stretch *s, uint64_t now)
{
    uint64_t from = max(s->spent, now);

    return s->end > from ? s->end - from : 0;
}

static uint64_t pace_ns(const struct shared_entry *e)
{
    uint64_t eighth = e->capacity / LIMIT_TICKS_PER_NS / 8;

    return eighth < PACE_MIN_NS ? PACE_MIN_NS : min(eighth, SHARED_PACE_NS);
}

uint64_t shared_entry_ahead(const struct shared_entry *e, uint64_t now_ns)
{
    uint64_t now = now_ns * LIMIT_TICKS_PER_NS;

    return e->tat > now ? min(e->tat - now, (DEBT_MAX + 1) * e->capacity) : 0;
}

/* Of a limit whose rate has changed leases are void: they were cut for the old one. */
static void adapt(struct shared_entry *e, const struct limit_ask *a)
{
    if (e->interval != a->interval)
        e->lease[0] = e->lease[1] = (struct shared_stretch){0};
    e->interval = a->interval;
    e->capacity = a->capacity;
    e->cost = (uint32_t)max(a->charge / a->interval, 1);
}

enum shared_verdict shared_entry_look(struct shared_entry *e, const struct limit_ask *a,
                                      uint64_t now_ns, uint64_t *wait)
{
    uint64_t now = now_ns * LIMIT_TICKS_PER_NS, ahead;

    adapt(e, a);
    e->used_ns = now_ns;
    e->demand = e->demand > UINT32_MAX / 2 ? e->demand : e->demand + e->cost;
    if (left(&e->lease[0], now) < a->charge) {
        e->lease[0] = e->lease[1];
        e->lease[1] = (struct shared_stretch){0};
    }
    if (left(&e->lease[0], now) >= a->charge)
        return SHARED_LEASED;
    ahead = shared_entry_ahead(e, now_ns) + a->charge;
    *wait = ahead > a->capacity ? ahead - a->capacity : 0;
    if (now_ns < e->hold_ns) {
        *wait = max(*wait, (e->hold_ns - now_ns) * LIMIT_TICKS_PER_NS);
        return SHARED_DENIED;
    }
    return *wait == 0 ? SHARED_OPTIMISTIC : SHARED_DENIED;
}

void shared_entry_take(struct shared_entry *e, const struct limit_ask *a,
                       enum shared_verdict verdict, bool alone, uint64_t now_ns)
{
    uint64_t now = now_ns * LIMIT_TICKS_PER_NS;

    /* Asked for twice at once, a lease may give only one of both. */
    if (verdict == SHARED_LEASED && left(&e->lease[0], now) >= a->charge) {
        e->lease[0].spent = max(e->lease[0].spent, now) + a->charge;
        return;
    }
    e->tat = now + shared_entry_ahead(e, now_ns) + a->charge;
    if (alone)
        e->soft = min(e->soft + a->charge, e->capacity);
    else
        e->hard = min(e->hard + a->charge, DEBT_MAX * e->capacity);
}

/* A lease is followed by the next when half of it is left. */
static bool low(const struct shared_entry *e, uint64_t now_ns)
{
    uint64_t now = now_ns * LIMIT_TICKS_PER_NS;

    return left(&e->lease[1], now) == 0 && left(&e->lease[0], now) <= e->block / 2 * e->interval;
}

bool shared_entry_wants(const struct shared_entry *e, enum shared_verdict verdict, uint64_t now_ns)
{
    if (e->in_flight || now_ns < e->due_ns)
        return false;
    return verdict != SHARED_LEASED || e->hard > 0 || low(e, now_ns);
}

/*
 * Tokens for the next HORIZON, if demand stays as it was since the last call. No more than flow
 * back in SHARED_KEEP_NS: demand may end, and what a worker then keeps is refused to others. So a
 * limit of few tokens a second is not leased at all; its requests are charged one by one.
 */
static uint32_t wanted(const struct shared_entry *e, uint64_t now_ns)
{
    uint64_t elapsed = max(now_ns - e->asked_ns, pace_ns(e)), want;
    uint64_t most = e->capacity / e->interval / 2;
    uint64_t keep = SHARED_KEEP_NS * LIMIT_TICKS_PER_NS / e->interval;

    if (left(&e->lease[1], now_ns * LIMIT_TICKS_PER_NS) > 0)
        return 0;
    if (e->asked_ns == 0 || elapsed > COLD_NS)
        want = e->demand > e->cost ? e->demand : 0; /* more than one in a turn: it may be a rush */
    else
        want = (uint64_t)((double)e->demand * (double)SHARED_HORIZON_NS / (double)elapsed);
    want = min(want, min(most, e->most > 0 ? e->most : keep));
    return (uint32_t)(want - want % e->cost);
}

static uint64_t to_us(uint64_t ticks)
{
    return ticks / TICKS_PER_US + (ticks % TICKS_PER_US != 0);
}

void shared_entry_ask(struct shared_entry *e, uint64_t now_ns, struct shared_question *q)
{
    *q = (struct shared_question){
        .interval_us = (double)e->interval / (double)TICKS_PER_US,
        .capacity_us = (double)e->capacity / (double)TICKS_PER_US,
        .hard_us = to_us(e->hard),
        .soft_us = to_us(e->soft),
        .want = wanted(e, now_ns),
        .least = e->cost,
    };
    e->sent_hard = e->hard;
    e->sent_soft = e->soft;
    e->sent_interval = e->interval;
    e->hard = e->soft = 0;
    e->demand = 0;
    e->asked_ns = now_ns;
    e->in_flight = true;
}

static void add_lease(struct shared_entry *e, const struct shared_reply *r, uint64_t sent_ns,
                      uint64_t now_ns)
{
    uint64_t now = now_ns * LIMIT_TICKS_PER_NS;
    uint64_t end = sent_ns * LIMIT_TICKS_PER_NS + r->ahead_us * TICKS_PER_US;
    uint64_t length = r->tokens * e->interval;
    struct shared_stretch s = {.spent = end > length ? end - length : 0, .end = end};

    e->block = r->tokens;
    if (e->interval != e->sent_interval || left(&s, now) < e->interval)
        return; /* of another rate, or it came too late */
    if (left(&e->lease[0], now) < e->interval * e->cost)
        e->lease[0] = s;
    else
        e->lease[1] = s;
}

void shared_entry_answer(struct shared_entry *e, const struct shared_reply *r, uint64_t sent_ns,
                         uint64_t now_ns, uint64_t budget_ns)
{
    uint64_t ahead = r->ahead_us * TICKS_PER_US, wait_ns = r->wait_us * NS_PER_US;

    e->in_flight = false;
    e->sent_hard = e->sent_soft = 0;
    e->tat = now_ns * LIMIT_TICKS_PER_NS + ahead + e->hard + e->soft;
    if (r->tokens > 0)
        add_lease(e, r, sent_ns, now_ns);
    if (wait_ns == 0) {
        e->due_ns = sent_ns + pace_ns(e);
        e->hold_ns = 0;
        return;
    }
    e->due_ns = now_ns + max(min(wait_ns, ASK_AGAIN_NS), pace_ns(e));
    e->hold_ns = e->due_ns + budget_ns;
}

void shared_entry_failed(struct shared_entry *e, bool run_again, uint64_t now_ns)
{
    e->in_flight = false;
    if (run_again) {
        e->hard += e->sent_hard;
        e->soft += e->sent_soft;
        e->due_ns = now_ns;
    } else {
        e->soft = min(e->soft + e->sent_soft + e->sent_hard, e->capacity);
        e->due_ns = now_ns + pace_ns(e);
    }
    e->sent_hard = e->sent_soft = 0;
}

void shared_entry_alone(struct shared_entry *e)
{
    e->soft = min(e->soft + e->hard, e->capacity);
    e->hard = 0;
}
