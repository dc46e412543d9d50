/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/loop.h"

#include <event2/event.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"

#define TICK_NS (LOOP_TICK_MS * NS_PER_MS)

/* Sets libevent's timer to the start of a tick. */
static void wake_at(struct loop *l, uint64_t tick)
{
    uint64_t now = loop_now(l), at = tick * TICK_NS;
    uint64_t us = at > now ? (at - now + NS_PER_US - 1) / NS_PER_US : 0;
    struct timeval delay = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};

    l->wake_tick = tick;
    event_add(l->tick, &delay);
}

/* The next slot with a timer in it, be it of a later round. */
static void wake_next(struct loop *l)
{
    for (uint64_t tick = l->wheel_tick + 1; l->timers > 0; tick++)
        if (!list_empty(&l->wheel[tick % LOOP_WHEEL_SLOTS])) {
            wake_at(l, tick);
            return;
        }
}

/* Runs the slots of the ticks that have passed. A timer of a later round stays where it is. */
static void wheel_run(struct loop *l)
{
    uint64_t now = loop_now(l), upto = now / TICK_NS;
    struct list due;

    /* After a long sleep one visit to each slot is enough. */
    if (upto - l->wheel_tick > LOOP_WHEEL_SLOTS)
        l->wheel_tick = upto - LOOP_WHEEL_SLOTS;
    list_init(&due);
    while (l->wheel_tick < upto) {
        struct list *slot = &l->wheel[++l->wheel_tick % LOOP_WHEEL_SLOTS];
        LIST_EACH_SAFE (it, slot) {
            if (CONTAINER_OF(it, struct loop_timer, node)->due_ns <= now)
                list_move(&due, it);
        }
    }
    /* Callbacks may disarm any timer, those still on `due` too: take the first until none is left.
     */
    for (struct list *it; (it = list_first(&due)) != NULL;) {
        struct loop_timer *t = CONTAINER_OF(it, struct loop_timer, node);
        loop_timer_disarm(l, t);
        t->fn(t);
    }
}

static void tick_cb(evutil_socket_t fd, short what, void *arg)
{
    struct loop *l = arg;

    (void)fd;
    (void)what;
    l->wake_tick = UINT64_MAX;
    wheel_run(l);
    wake_next(l);
}

void loop_init(struct loop *l)
{
    struct event_config *cfg = event_config_new();

    CHECK(cfg != NULL);
    /* No signal handlers or threads share a base here, and the epoll changelist would only add
     * work: interest in a connection hardly ever changes. */
    event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
    *l = (struct loop){0};
    l->base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    if (l->base == NULL)
        die("cannot create an event loop (too many open files?)");
    list_init(&l->turn_end);
    for (unsigned i = 0; i < LOOP_WHEEL_SLOTS; i++)
        list_init(&l->wheel[i]);
    l->wheel_tick = clock_mono_ns() / TICK_NS;
    l->wake_tick = UINT64_MAX;
    l->tick = event_new(l->base, -1, 0, tick_cb, l);
    CHECK(l->tick != NULL);
    random_bytes(&l->rng, sizeof l->rng);
}

void loop_fini(struct loop *l)
{
    event_free(l->tick);
    event_base_free(l->base);
    l->tick = NULL;
    l->base = NULL;
}

uint64_t loop_now_slow(struct loop *l)
{
    l->now_ns = clock_mono_ns();
    l->now_fresh = true;
    if (l->turn_start_ns == 0)
        l->turn_start_ns = l->now_ns;
    return l->now_ns;
}

void loop_timer_arm(struct loop *l, struct loop_timer *t, uint64_t delay_ns)
{
    uint64_t tick;

    t->due_ns = loop_now(l) + delay_ns;
    /* The first tick boundary at or after due. A far timer waits in its slot, round after round. */
    tick = (t->due_ns + TICK_NS - 1) / TICK_NS;
    if (tick <= l->wheel_tick)
        tick = l->wheel_tick + 1;
    if (list_empty(&t->node))
        l->timers++;
    list_move(&l->wheel[tick % LOOP_WHEEL_SLOTS], &t->node);
    /* The wheel stood still while no timer was armed; nothing is in the slots it skips. */
    if (l->timers == 1 && l->now_ns / TICK_NS > l->wheel_tick + 1)
        l->wheel_tick = l->now_ns / TICK_NS - 1;
    if (tick < l->wake_tick)
        wake_at(l, tick);
}

void loop_timer_disarm(struct loop *l, struct loop_timer *t)
{
    if (list_empty(&t->node))
        return;
    CHECK(l->timers > 0);
    l->timers--;
    list_del(&t->node);
}

bool loop_turn(struct loop *l)
{
    int rc;
    struct list *it;

    l->now_fresh = false;
    l->turn_start_ns = 0;
    rc = event_base_loop(l->base, EVLOOP_ONCE);
    while ((it = list_first(&l->turn_end)) != NULL) {
        list_del(it);
        struct loop_hook *h = CONTAINER_OF(it, struct loop_hook, node);
        h->fn(h);
    }
    l->turns++;
    if (l->turn_start_ns != 0) {
        uint64_t spent = clock_mono_ns() - l->turn_start_ns;
        l->busy_ns += spent;
        if (spent > l->lag_ns)
            l->lag_ns = spent;
    }
    return rc == 0;
}
