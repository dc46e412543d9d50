/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One event loop, as every process here runs it: libevent waits and dispatches, then the hooks that
 * asked for "the end of this turn" run once. A turn is what one wait returned. Work that many
 * requests of a turn share (writing an upstream connection, writing a client's answers) is deferred
 * to its end, so that it costs one system call a turn.
 *
 * Timers are a hashed timing wheel (Varghese and Lauck, 1987), LOOP_TICK_MS coarse: arming and
 * disarming are a list operation each, which is what a timeout that nearly never fires should cost.
 * The wheel's libevent timer is set to the next slot that holds a timer, so an idle loop sleeps.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct event_base;
struct event;

#define LOOP_TICK_MS     8u
#define LOOP_WHEEL_SLOTS 1024u

struct loop_hook {
    struct list node; /* on loop.turn_end while deferred */
    void (*fn)(struct loop_hook *h);
};

struct loop_timer {
    struct list node; /* on a slot of the wheel while armed */
    uint64_t due_ns;
    void (*fn)(struct loop_timer *t);
};

struct loop {
    struct event_base *base; /* owned */
    struct event *tick;      /* owned */
    struct list turn_end;    /* of loop_hook.node */
    struct list wheel[LOOP_WHEEL_SLOTS];
    uint64_t wheel_tick; /* the tick (monotonic ns / tick length) the wheel has been run up to */
    unsigned timers;     /* armed */
    uint64_t wake_tick;  /* what `tick` is set to; UINT64_MAX: not set */
    bool now_fresh;      /* now_ns belongs to this turn */
    uint64_t now_ns;     /* use loop_now */
    uint64_t turns;
    uint64_t
        turn_start_ns; /* when the current turn's first callback asked for the time; 0: none did */
    uint64_t
        busy_ns;     /* total time spent in callbacks and hooks of turns that looked at the clock */
    uint64_t lag_ns; /* longest turn since the owner last zeroed it */
    uint64_t rng;    /* for random_next */
    void *owner;     /* struct worker * and the like; the loop does not look at it */
};

/* Creates the event base (epoll). Dies when that fails: only at process start. */
void loop_init(struct loop *l);
void loop_fini(struct loop *l);

/* Monotonic nanoseconds, read once a turn. */
uint64_t loop_now_slow(struct loop *l);
static inline uint64_t loop_now(struct loop *l)
{
    return l->now_fresh ? l->now_ns : loop_now_slow(l);
}

static inline void loop_hook_init(struct loop_hook *h, void (*fn)(struct loop_hook *))
{
    list_init(&h->node);
    h->fn = fn;
}

/* Runs h->fn once at the end of this turn, however often it is deferred. A hook may defer others.
 */
static inline void loop_defer(struct loop *l, struct loop_hook *h)
{
    if (list_empty(&h->node))
        list_add(&l->turn_end, &h->node);
}

static inline void loop_hook_cancel(struct loop_hook *h)
{
    list_del(&h->node);
}

static inline void loop_timer_init(struct loop_timer *t, void (*fn)(struct loop_timer *))
{
    list_init(&t->node);
    t->fn = fn;
    t->due_ns = 0;
}

static inline bool loop_timer_armed(const struct loop_timer *t)
{
    return !list_empty(&t->node);
}

/* Fires once, delay_ns from now, never early, at most about two ticks late. Arming again moves it.
 */
void loop_timer_arm(struct loop *l, struct loop_timer *t, uint64_t delay_ns);
void loop_timer_disarm(struct loop *l, struct loop_timer *t);

/* One turn: waits for events, runs their callbacks, then the deferred hooks. False when nothing is
 * left to wait for. */
bool loop_turn(struct loop *l);

#endif
