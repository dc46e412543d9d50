/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What worker and keeper have in common: the channel to the master, signals, the heartbeat in the
 * slot, and the way out. The owner fills the callbacks and runs loop_turn.
 */
#ifndef PROC_CHILD_H
#define PROC_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "net/loop.h"
#include "proc/inherit.h"

struct event;

enum child_drain {
    DRAIN_BRIEF,    /* whoever connects waits for a successor */
    DRAIN_QUIT,     /* nobody listens afterwards */
    DRAIN_HANDOVER, /* others serve the same sockets already */
    DRAIN_ORPHAN,   /* others serve the same addresses already; sent to what a killed master left */
};

struct child {
    const struct inherited *in;
    struct slot *slot; /* ours */
    struct loop loop;
    uint64_t busy_before_ns; /* what the slot's earlier processes were busy: the total only grows */
    struct event *channel_event, *signal_event; /* owned */
    int signal_fd;
    struct loop_timer beat;            /* keeps the heartbeat going while nothing else happens */
    bool stop;                         /* leave the loop */
    bool orphan;                       /* the master is gone; go on, and obey signals */
    void (*on_adopt)(struct child *c); /* a new generation is current */
    void (*on_drain)(struct child *c, enum child_drain how);
    void (*on_resume)(struct child *c); /* NULL: nothing to resume */
    void (*on_reopen)(struct child *c);
};

/* In the forked process: takes SCHED_BATCH in place of the ordinary policy. Another one that it
 * inherited stays. */
void child_schedule_batch(void);

/* Pins, drops privileges, sets up signals and the loop. Exits the process on failure: the master
 * logs the status and backs off. The logs are open already. */
void child_init(struct child *c, const struct inherited *in);
void child_fini(struct child *c);

/* State READY, and says so over the channel. */
void child_ready(struct child *c, uint64_t generation);
void child_draining(struct child *c);
/* Heartbeat and busy time, after every turn. False: the slot is another process's; nothing may be
 * written to it any more, and the loop ends. */
bool child_publish(struct child *c);
/* A message to the master; without a master it goes nowhere. */
void child_tell(struct child *c, uint32_t type, uint64_t value);

#endif
