/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The master's state, shared by the files of src/proc that run in it:
 *
 *   master.c     start, the loop, signals, end        supervise.c  children: fork, ready, backoff
 *   generations.h  how a configuration comes into force, and which are kept
 *   stop.c       drain and stop, stage by stage
 *   endpoints.c  health indexes by address            embedded.c   exec of the box office
 *   control.c    what the control socket may ask for  zones.c      shared memory, new or taken over
 *   upgrade*.c   replacing this binary by a new one   successor.c  being the new one
 *   changes.c    runtime changes
 *
 * No request passes through the master; it may block for short whiles (reading a configuration).
 */
#ifndef PROC_MASTER_H
#define PROC_MASTER_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/clock.h"
#include "conf/conf.h"
#include "ctl/audit.h"
#include "metric/names.h"
#include "net/loop.h"
#include "proc/changes.h"
#include "proc/bans.h"
#include "proc/canary.h"
#include "proc/channel.h"
#include "proc/generations.h"
#include "proc/handover.h"
#include "proc/inherit.h"
#include "proc/listeners.h"
#include "proc/orphans.h"
#include "proc/pidfile.h"
#include "proc/privileges.h"
#include "proc/rolled_back.h"
#include "proc/upgrade.h"
#include "shm/zone.h"

struct ctl;
struct event;
struct master;

struct master_options {
    const char *file;    /* configuration */
    const char *prefix;  /* "/" : the system's layout */
    const char *program; /* absolute path that we were started by: an upgrade starts it again */
    int ready_fd;        /* a byte is written when everything is ready; -1: nobody waits */
    bool daemon;         /* detached: stderr follows the error log */
};

enum child_kind { CHILD_WORKER = 'w', CHILD_KEEPER = 'k', CHILD_BOXOFFICE = 'b' };

/* A slot's process, as the master sees it. */
struct supervised {
    struct master *m;
    unsigned slot;
    enum child_kind kind;
    pid_t pid;                 /* 0: none */
    int channel;               /* our end; -1. Of an adopted one its pidfd */
    bool adopted_process;      /* not our child: taken over from the master before */
    struct event *event;       /* of channel; owned */
    struct loop_timer restart; /* armed: backoff */
    uint64_t started_ns;
    unsigned failures; /* ends in a row after less than SUPERVISE_STABLE_NS */
    bool wanted;       /* started again when it ends */
    bool commanded;    /* its end is: no failure */
    bool ready;        /* it said so */
    bool reopen_due;   /* it is to open its log again as soon as it is ready */
    uint64_t adopted;  /* generation it reported last */
    uint64_t refused;  /* generation it could not adopt; 0 none */
};

#define SUPERVISE_STABLE_NS (30 * NS_PER_S)

struct reload {
    bool active;                                     /* one waits for the processes */
    struct adoption_waiter queued[ADOPTION_WAITERS]; /* one more reload serves them all */
    unsigned queued_n;
    char *reason; /* owned: of the last of them that gave one; NULL */
    bool force;   /* one of them takes what was rolled back, too */
};

enum stop_stage { STOP_NOT, STOP_WORKERS, STOP_KEEPER, STOP_BOXOFFICE, STOP_DONE };

struct endpoint_index {
    char *address;  /* owned; NULL free */
    uint64_t banks; /* bit i: the configuration in bank i names it */
    bool wanted;    /* by the configuration that is being compiled */
};

struct master {
    const struct master_options *options;
    struct loop loop;
    struct conf *boot; /* whose restart-only settings are in force; owned */
    struct conf *conf; /* whose reloadable settings are in force; the history's, may be == boot */
    const struct conf_process *process; /* of boot */
    struct identity run_as;
    struct pidfile pidfile;
    struct orphans orphans; /* of an earlier master that was killed */
    struct orphans leaving; /* told to go, perhaps not gone: no upgrade before */
    char list[PATH_MAX]; /* the children's list is LIST.children: the pid file, but for upgrades */
    struct zone control_zone, bank_zone, metric_zone, ring_zone, limit_zone;
    struct control *control;
    struct bank_zone *banks;
    struct metric_zone *metrics;
    struct ring_zone *rings;
    struct limit_zone *limits;
    struct bans bans;
    struct zone offenders_zone;
    struct offenders_zone *offenders;
    struct zone closed_zone, sent_zone;
    struct closed_zone *closed;
    struct sent_zone *sent;
    unsigned half; /* of the lease slabs is our workers': 0 or 1, the other one than that of a
                      master who hands over to us or to whom we do */
    struct handover *from;      /* owned; what was handed to us, until it is in use */
    struct successor successor; /* of the master before us */
    struct upgrade upgrade;     /* to the one after us */
    struct listeners listeners;
    int admin_fd; /* -1: off */
    char admin_bound[LISTENER_TEXT];
    int ctl_fd;
    /* Of another master as well, so it stays when we end: the control socket's file, the link to
     * the box office's. */
    bool control_shared, boxoffice_shared;
    gid_t ctl_group;
    struct ctl *ctl; /* owned */
    int signal_fd;
    struct event *signal_event; /* owned */
    struct supervised children[CONTROL_SLOTS];
    struct reload reload;
    struct changes changes;
    struct audit audit;
    struct list adoptions; /* of adoption.node */
    struct history history;
    struct canary canary;
    struct rolled_back rolled_back;
    enum stop_stage stop_stage;
    bool stop_fast;
    struct loop_timer stop_timer;
    bool ready;  /* all children have been, once */
    bool failed; /* start-up failed: exit status 1 */
    struct endpoint_index endpoints[CONTROL_ENDPOINTS];
    uint64_t endpoints_in_use; /* banks that were in use at endpoints_begin */
    struct names names;
    char boxoffice_socket[PATH_MAX]; /* where the configured path is a link to; "": no link */
};

/* Runs until stopped; the exit status. conf is taken over. */
int master_run(const struct master_options *options, struct conf *conf);
/* Error logs of master and children, access log, the box office's log: opened again. */
int master_reopen_logs(struct master *m); /* 0 or -errno of the master's own */
/* A child became ready: is everybody there? */
void master_check_ready(struct master *m);
/* From now on it is us who is asked. */
void master_in_charge(struct master *m);

/* zones.c */
int zones_open(struct master *m) __attribute__((warn_unused_result)); /* 0 or -errno */
void zones_init(struct master *m);
void zones_close(struct master *m);
void zones_hand_over(struct master *m, struct handover_out *out);
/* A worker's lease slab; NULL: it takes no leases. */
struct limit_slab *zones_slab(const struct master *m, unsigned worker);

/* supervise.c */
/* Closes every descriptor from 3 on but those of keep, which gets sorted. */
void supervise_close_others(int *keep, unsigned n);
#define SUPERVISE_EACH(it, m)                                                                      \
    for (struct supervised *it = (m)->children; it < (m)->children + CONTROL_SLOTS; it++)

void supervise_init(struct master *m);
/* Starts what the configuration wants: keeper, box office, and when that is ready workers. */
void supervise_start(struct master *m);
/* After SIGCHLD. */
void supervise_reap(struct master *m);
/* Starts again what WINCH or drain took down. */
void supervise_workers_up(struct master *m);
void supervise_want(struct master *m, enum child_kind kind, bool wanted);
void supervise_send(struct master *m, enum child_kind kind, enum channel_type type, uint64_t value);
void supervise_kill(struct master *m, enum child_kind kind, int sig);
/* Watches over a box office that serves and is not our child. Takes pidfd. */
void supervise_adopt(struct master *m, pid_t pid, int pidfd);
/* The box office is another master's from now on: forgotten, and not ended. */
void supervise_release(struct master *m);
/* Starts again what is wanted anew and not there. */
void supervise_bring_up(struct master *m, enum child_kind kind);
/* Writes the children's list. */
void supervise_record(struct master *m);
/* Their logs, now or when they are able to. */
void supervise_reopen(struct master *m, enum child_kind kind);
unsigned supervise_alive(const struct master *m, enum child_kind kind);
bool supervise_all_ready(const struct master *m);

/* embedded.c */
/* Where the box office may make its files; before it is started the first time. */
bool embedded_prepare(struct master *m, struct buf *err);
void embedded_cleanup(struct master *m);
/* Ends it after what it has accepted; it is started again. NULL, or why not. */
const char *embedded_restart(struct master *m);
/* Whether it runs another program than would be started now. */
bool embedded_outdated(const struct master *m);
/* In the forked child; does not return. ready_fd: ours to hand over. */
void embedded_exec(const struct master *m, int ready_fd) __attribute__((noreturn));

/* endpoints.c */
/* Before a configuration is compiled; in_use: bank_in_use. */
void endpoints_begin(struct master *m, uint64_t in_use);
uint32_t endpoint_index(struct master *m, const char *address);
/* In place of compiling: the endpoints of the configuration in that bank, which is in use. */
void endpoints_again(struct master *m, unsigned bank);
/* The configuration is published next, in that bank. */
void endpoints_commit(struct master *m, unsigned bank);

/* reload.c */
/* Compiles and publishes the first generation. False with errors. */
bool reload_first(struct master *m, struct buf *errors);
#define RELOAD_WAIT_DEFAULT UINT64_MAX /* 10 s */

/* Starts a reload, or has one more follow the one that runs. done may be NULL; it is called once,
 * perhaps before this returns, at the latest wait_ns after the flip: at once with 0, else with the
 * longest wait of those who share one. */
void reload_start(struct master *m, const struct ctl_order *order, reload_done *done, void *arg);
/* Publishes a kept generation again; order->generation as history_find has it. */
void rollback_start(struct master *m, const struct ctl_order *order, reload_done *done, void *arg);
/* Publishes a configuration (taken over) instead of what the files say. Waits for nobody, as a
 * rollback. Workers that were drained stay away. */
void reload_conf(struct master *m, struct conf *next, uint64_t wait_ns, reload_done *done,
                 void *arg);
void reload_fini(struct master *m);

/* diff.c: what a reload would do, without doing it. */
void reload_diff(struct master *m, ctl_diff_fn *done, void *request);

/* stop.c */
void stop_begin(struct master *m, bool fast);
void stop_progress(struct master *m);
/* Workers finish and stay away until a reload. */
void stop_workers(struct master *m);
/* Another master serves: workers finish, keeper goes, the box office stays. */
void stop_leave(struct master *m);

/* explain.c: as ctl_ops.explain. */
struct ctl_question;
int master_explain(struct master *m, const struct ctl_question *q, struct buf *out,
                   struct buf *why);

/* control.c */
bool control_bind(struct master *m, struct buf *err);
bool control_open(struct master *m, struct buf *err);
void control_close(struct master *m);
/* New clients wait (for whoever else accepts from the socket), or are let in again. */
void control_accept(struct master *m, bool on);

#endif
