/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control zone's slots. The master, killed while it claims a slot for a child or reaps one; a
 * process, killed while it becomes ready, while it publishes a turn, while it begins to drain.
 * Whatever the instruction: a bank that the process reads or may find current is held, a process
 * that lost its slot writes nothing, no other slot is touched, and the next claim works.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "killstep.h"
#include "proc/child.h"
#include "proc/inherit.h"
#include "shm/control.h"

#define STEP_BUDGET 60000
#define CURRENT     9u /* generation when the slot is claimed */
#define OLD_FROM    5u /* what the process before holds */
#define OLD_BANKS   UINT64_C(0x30)
#define EXIT_STATUS 9u
#define SLOT        3u
#define NEIGHBOUR   4u

static struct slot *slot_in(void *shared)
{
    return &((struct control *)shared)->slots[SLOT];
}

static bool say(bool held, const char *what)
{
    if (!held)
        fprintf(stderr, "kill_slots: %s\n", what);
    return held;
}

/* What everybody sees who looks at the slots, at any time. */
static bool sane(const struct control *c)
{
    const struct slot *s = &c->slots[SLOT], *n = &c->slots[NEIGHBOUR];
    bool ok = say(s->state <= SLOT_BACKOFF, "a state that there is not");

    ok &= say(s->incarnation == s->starts || s->incarnation == s->starts + 1,
              "incarnations and starts are apart by more than one");
    ok &= say(n->incarnation == 1 && n->pid == 11 && n->state == SLOT_READY && n->held_from == 7 &&
                  n->held_banks == 0x80 && n->requests == 2,
              "the neighbour's slot was touched");
    return ok;
}

static struct slots_held held_by(const struct control *c)
{
    struct slots_held held;

    slots_held(c, &held);
    return held;
}

/* Claimed once more, by whoever comes: it is a slot like any other. */
static bool claimed_again(struct control *c)
{
    struct slot *s = &c->slots[SLOT];
    uint64_t before = s->incarnation;

    slot_reap(s, SLOT_BACKOFF);
    slot_reap(s, SLOT_BACKOFF);
    if (!say(held_by(c).from == 7 && held_by(c).banks == 0x80, "a dead process holds something"))
        return false;
    slot_claim(s, CURRENT, 1);
    return say(s->incarnation > before && s->state == SLOT_STARTING && held_by(c).from == 7 &&
                   s->held_from == CURRENT && s->held_banks == 0,
               "the slot cannot be claimed again");
}

static struct control *reset(void *shared)
{
    struct control *c = shared;
    struct slot *n = &c->slots[NEIGHBOUR];

    memset(shared, 0, sizeof *c);
    control_init(c);
    slot_claim(n, 7, 1);
    n->pid = 11;
    n->state = SLOT_READY;
    n->requests = 2;
    slot_hold(n, 7, 0x80);
    return c;
}

/* --- claim --- */

static void reset_claim(void *shared)
{
    reset(shared);
}

static void claim(void *shared)
{
    slot_claim(slot_in(shared), CURRENT, 77);
}

/* The child is forked behind it and must find what it may read held already. */
static bool holds_claim(void *shared, bool finished)
{
    struct slot *s = slot_in(shared);
    bool ok = sane(shared);

    ok &= say(s->state == SLOT_STARTING || (!finished && s->state == SLOT_EMPTY), "state");
    ok &= say(s->state != SLOT_STARTING ||
                  (s->held_from == CURRENT && s->held_banks == 0 && s->incarnation == 1 &&
                   s->starts == 1 && s->started_real_ns == 77),
              "it is claimed, and not all of it is there");
    ok &= say(s->incarnation == 0 || s->held_from == CURRENT,
              "a new incarnation that holds nothing yet");
    return ok && claimed_again(shared);
}

/* --- reap --- */

static void reset_reap(void *shared)
{
    struct slot *s = &reset(shared)->slots[SLOT];

    slot_claim(s, OLD_FROM, 1);
    s->pid = 12;
    s->state = SLOT_READY;
    s->last_exit = EXIT_STATUS;
    s->busy_ns = 1000;
    slot_hold(s, OLD_FROM, OLD_BANKS);
}

static void reap(void *shared)
{
    slot_reap(slot_in(shared), SLOT_BACKOFF);
}

static bool holds_reap(void *shared, bool finished)
{
    struct slot *s = slot_in(shared);
    bool ok = sane(shared);

    ok &= say(s->state == SLOT_BACKOFF || (!finished && s->state == SLOT_READY), "state");
    ok &= say(s->state != SLOT_BACKOFF ||
                  (s->held_from == UINT64_MAX && s->held_banks == 0 && s->pid == 0),
              "it is reaped and holds something");
    ok &= say(s->last_exit == EXIT_STATUS && s->starts == 1 && s->busy_ns == 1000,
              "what stays for people is gone");
    return ok && claimed_again(shared);
}

/* --- the process in it --- */

static struct inherited inherited;
static struct child child;

/* As child_init leaves it, without a loop; the master is gone, so that nothing is sent. */
static void reset_child(void *shared)
{
    reset_reap(shared);
    slot_in(shared)->state = SLOT_STARTING;
    inherited =
        (struct inherited){.control = shared, .slot = SLOT, .incarnation = 1, .channel = -1};
    child = (struct child){
        .in = &inherited, .slot = slot_in(shared), .orphan = true, .busy_before_ns = 1000};
    child.loop.now_fresh = true;
    child.loop.now_ns = 5;
}

static void become_ready(void *shared)
{
    (void)shared;
    child_ready(&child, CURRENT);
}

static bool holds_ready(void *shared, bool finished)
{
    struct slot *s = slot_in(shared);
    bool ok = sane(shared);

    ok &= say(s->state == SLOT_READY || (!finished && s->state == SLOT_STARTING), "state");
    ok &= say(s->state != SLOT_READY || s->generation == CURRENT, "ready with nothing to serve");
    ok &= say(s->held_from == OLD_FROM && s->held_banks == OLD_BANKS, "a held bank was let go");
    return ok && claimed_again(shared);
}

static void drain(void *shared)
{
    (void)shared;
    child_publish(&child);
    child_draining(&child);
}

static bool holds_drain(void *shared, bool finished)
{
    struct slot *s = slot_in(shared);
    bool ok = sane(shared);

    ok &= say(s->state == SLOT_DRAINING || (!finished && s->state == SLOT_STARTING), "state");
    ok &= say(s->held_from == OLD_FROM && s->held_banks == OLD_BANKS, "a held bank was let go");
    ok &= say(s->busy_ns >= 1000, "the busy time ran backwards");
    return ok && claimed_again(shared);
}

/* The slot was given to another process meanwhile: nothing of ours may appear in it. */
static void reset_lost(void *shared)
{
    reset_child(shared);
    slot_reap(slot_in(shared), SLOT_EMPTY);
    slot_claim(slot_in(shared), CURRENT, 2);
    slot_in(shared)->heartbeat_ns = 4242;
}

static bool holds_lost(void *shared, bool finished)
{
    struct slot *s = slot_in(shared);

    (void)finished;
    return say(s->state == SLOT_STARTING && s->heartbeat_ns == 4242 && s->generation == 0 &&
                   s->held_from == CURRENT && s->held_banks == 0,
               "a process wrote into a slot that is not its own");
}

int main(void)
{
    static const struct kill_case cases[] = {
        {"slot_claim", reset_claim, claim, holds_claim},
        {"slot_reap", reset_reap, reap, holds_reap},
        {"child_ready", reset_child, become_ready, holds_ready},
        {"child_publish, child_draining", reset_child, drain, holds_drain},
        {"child_ready, slot lost", reset_lost, become_ready, holds_lost},
    };

    log_open("/dev/null"); /* a process that lost its slot says so */
    return kill_all(cases, sizeof cases / sizeof *cases, kill_memory(sizeof(struct control)),
                    sizeof(struct control), STEP_BUDGET);
}
