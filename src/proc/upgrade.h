/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Replacing the running binary (USR2, rushctl upgrade) without a refused connection or a failed
 * request. Two masters take part:
 *
 *   old (upgrade.c, upgrade_launch.c)              new (successor.c)
 *   fork, exec with the listeners, the zones
 *   that survive, the control socket, the box
 *   office (handover.h)                   ------>  loads and checks the configuration
 *                                                  takes over sockets and zones, makes the others
 *                                                  starts workers and keeper; workers of both serve
 *                                         <------  "note ..." what became of each thing
 *                                         <------  "ready VERSION WORKERS"
 *   stops accepting on the control socket
 *   and at the admin address
 *   "go"                                  ------>  puts its pid file in the place of ours, which
 *                                                  becomes PIDFILE.oldbin; control and admin open
 *                                         <------  "done"
 *   its workers drain; keeper; end                 ... until the channel ends
 *
 * Messages are text, a packet each on the channel; unknown ones are left out.
 *
 * Who is killed when:
 *   new, before "done"    the old one ends what the new one has started (its list of children is
 *                         PIDFILE.upgrade.children), puts its pid file back and goes on
 *   new, after "done"     as a master that is killed at any time: proc/orphans.h
 *   old, at any time      the new one goes on by itself, as a master that is started after another
 *                         was killed: it takes the lock, and ends the old one's processes
 *
 * The box office runs through: whoever watches over it changes. It is not the new master's child,
 * which therefore has a pidfd of it.
 */
#ifndef PROC_UPGRADE_H
#define PROC_UPGRADE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "net/loop.h"
#include "proc/orphans.h"

struct event;
struct master;

#define UPGRADE_NOTES   64
#define UPGRADE_MESSAGE 1024 /* bytes of the longest one, with its NUL */

enum upgrade_stage {
    UPGRADE_NONE,
    UPGRADE_STARTING,   /* the new binary comes up; everything here goes on */
    UPGRADE_COMMITTING, /* it is ready, and was told to take over */
    UPGRADE_LEAVING,    /* it has; our workers drain */
};

enum upgrade_result {
    UPGRADE_OK,
    UPGRADE_FAILED,  /* the new binary did not come up */
    UPGRADE_REFUSED, /* not now */
    UPGRADE_TIMEOUT, /* it was not ready in time */
};

/* What became of a thing that was handed over. */
struct upgrade_note {
    char kind[16], name[80], outcome[16], why[96];
};

/* For whoever asked. Valid during the callback. */
struct upgrade_report {
    enum upgrade_result result;
    bool drained;         /* the old workers have ended */
    unsigned connections; /* that they still have */
    unsigned old_workers, workers;
    pid_t old_pid, pid;
    char binary[PATH_MAX];
    char version[32];
    struct upgrade_note notes[UPGRADE_NOTES];
    unsigned notes_n;
    uint64_t ready_ns, duration_ns; /* from the start */
    struct buf error;               /* "" when ok */
};

typedef void upgrade_done(void *arg, const struct upgrade_report *report);

/* The old master's side. */
struct upgrade {
    enum upgrade_stage stage;
    pid_t pid;                   /* of the new master, our child; 0: it has ended */
    int channel, output;         /* -1; output: what it writes to stderr while it starts */
    struct event *channel_event; /* owned */
    struct event *output_event;  /* owned */
    struct buf said;             /* the end of its stderr */
    struct loop_timer timer;     /* of the stage */
    struct loop_timer patience;  /* of who asked */
    struct loop_timer sweep;     /* looks after master.leaving */
    uint64_t started_ns, wait_ns;
    bool boxoffice; /* it is handed over */
    struct upgrade_report report;
    upgrade_done *done; /* NULL: nobody waits */
    void *arg;
};

/* The new master's side. */
struct successor {
    int channel;          /* to the master before us; -1: it has ended */
    struct event *event;  /* owned */
    bool told;            /* that we are ready */
    bool other_boxoffice; /* the one we took over was started with other settings */
};

/* upgrade.c */
void upgrade_init(struct master *m);
/*
 * Starts `binary` (NULL: the path that this one was started by) to replace this master. done may be
 * NULL; it is called once: when it failed, when the old workers have ended, or after wait_ns (0:
 * 60 s, without waiting for the workers).
 */
void upgrade_start(struct master *m, const char *binary, uint64_t wait_ns, upgrade_done *done,
                   void *arg);
/* NULL, or why nothing else may be changed now. */
const char *upgrade_busy(const struct master *m);
/* A child has ended; true: it was the new master. */
bool upgrade_reaped(struct master *m, pid_t pid, int status);
/* Our workers have ended. */
void upgrade_drained(struct master *m);
/* There is somebody in master.leaving: forgotten when ended. */
void upgrade_sweep(struct master *m);
/* An upgrade that is not yet in force is given up, because this master stops. */
void upgrade_cancel(struct master *m, const char *why);
void upgrade_fini(struct master *m);

/* upgrade_launch.c */
/* Found out before anything is started. False with a message in err. */
bool upgrade_executable(const char *path, struct buf *err);
/* The new master, as upgrade.pid: 0, and our ends of its channel and of its stderr; or -errno, and
 * -1 for both. */
int upgrade_launch(struct master *m, int *channel, int *output);

/* successor.c */
/* Reads what was handed over. False with a message in err. */
bool successor_receive(struct master *m, struct buf *err);
/* The loop is there: listens to the old master. */
void successor_watch(struct master *m);
/* Errors go where they always will from now on. */
void successor_stderr(struct master *m);
/* Takes the box office over. False: there is none. */
bool successor_adopt(struct master *m);
void successor_note(struct master *m, const char *kind, const char *name, const char *outcome,
                    const char *why);
/* All our processes are ready. True: the old master is asked first, and master_in_charge follows.
 */
bool successor_ready(struct master *m);
/* The master is in charge now: what else changes hands. */
void successor_in_charge(struct master *m);
/* We cannot start. True: the old master was told and ends us and ours. */
bool successor_failed(struct master *m, const char *why);
/* NULL, or why no upgrade can follow yet. */
const char *successor_busy(struct master *m);
void successor_fini(struct master *m);

#endif
