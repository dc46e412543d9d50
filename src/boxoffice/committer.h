/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The commit thread: the one thread that waits for the disk. The loop thread hands it one job at a
 * time (a batch, or a recovery) and goes on; an eventfd tells when it is done. While it works the
 * job's batch is its own to read. Housekeeping of the store happens after the outcome was told, so
 * that it delays the next batch at most.
 */
#ifndef BOXOFFICE_COMMITTER_H
#define BOXOFFICE_COMMITTER_H

#include <pthread.h>

#include "boxoffice/store.h"

enum job_kind {
    JOB_NONE,
    JOB_COMMIT,
    JOB_PROBE,  /* until a commit works again */
    JOB_RELOAD, /* the same, and then a fresh sale from what the store really holds */
    JOB_QUIT,
};

struct job {
    enum job_kind kind;
    struct batch *batch;        /* COMMIT */
    enum store_outcome outcome; /* COMMIT */
    uint64_t spent_ns;          /* COMMIT */
    struct sale *sale;          /* RELOAD: the taker owns it */
};

struct committer {
    struct store *store; /* borrowed; nobody else calls it while the thread runs */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int event_fd;    /* readable when a job is done */
    bool quit;       /* under lock, as the rest */
    struct job job;  /* handed in; kind NONE once the thread took it */
    struct job done; /* kind NONE until there is a result */
};

/* Starts the thread; all signals stay blocked in it. */
void committer_start(struct committer *c, struct store *store);
/* Hands a job in. No other may be under way. */
void committer_submit(struct committer *c, enum job_kind kind, struct batch *batch);
/* After event_fd became readable: the job that is done. False when there is none. */
bool committer_take(struct committer *c, struct job *out);
/* Waits for the job under way (a recovery is given up) and ends the thread. */
void committer_stop(struct committer *c);

#endif
