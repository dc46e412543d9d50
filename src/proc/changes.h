/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runtime changes in the master: which there are, and how one comes into force.
 *
 *   order --derive--> configuration --state file.new--> publish --flip--> state file, list
 *                         |                 |              |
 *                         +--- wrong        +--- full      +--- no bank: nothing has changed
 *
 * Orders are carried out one after the other, each on the configuration that the one before has
 * left, and wait for no process; but a process that stands still keeps what is published meanwhile,
 * so beside one that is too far behind nothing new begins. What is to be true after a publication
 * waits in `pending` and becomes true with the flip.
 */
#ifndef PROC_CHANGES_H
#define PROC_CHANGES_H

#include "ctl/change.h"
#include "net/loop.h"
#include "proc/change_set.h"

struct master;
struct conf;
struct change_job;
struct reload_report;

struct changes {
    struct change_set now; /* in force */
    struct change_set pending;
    bool has_pending;
    bool ordered;            /* what is missing in it ended by an order, not by a reload */
    bool has_file;           /* pending is in the state file's successor, too */
    bool put_off;            /* an expiry waits for a process that does not follow */
    bool stale, was_stale;   /* the state file says something else than now; before pending was */
    struct change_job *jobs; /* waiting, first come first served; owned */
    struct change_job *late; /* published, waiting for the processes; owned */
    struct loop_timer timer; /* the next expiry */
};

void changes_init(struct master *m);
void changes_fini(struct master *m);

/* At the start, before the first generation: what an earlier master has left in the state file goes
 * over m->conf. */
void changes_restore(struct master *m);

/* The loop is there: changes may end. */
void changes_wake(struct master *m);

/* For ctl_ops. */
void changes_order(struct master *m, const struct ctl_change_order *order, ctl_change_fn *done,
                   void *request);
void changes_list(struct master *m, void (*each)(void *out, const struct ctl_change_row *row),
                  void *out);

/* reload.c: */

/* The configuration to publish for one that was loaded (taken over): with the changes that are
 * still valid over it. Those that are not end; warnings says so. */
struct conf *changes_over(struct master *m, struct conf *loaded, struct buf *warnings);
/* It was published; it was not. */
void changes_commit(struct master *m);
void changes_abort(struct master *m);
/* What could not be done a moment ago, perhaps can be now. */
void changes_next(struct master *m);

#endif
