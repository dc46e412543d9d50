/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "boxoffice/committer.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "boxoffice/core/sale.h"

#define IDLE_NS        (100 * NS_PER_MS)
#define BACKOFF_NS     (50 * NS_PER_MS)
#define BACKOFF_MAX_NS NS_PER_S

/* Waits on the condition for at most ns; the lock is held. False when the time is over. */
static bool wait_ns(struct committer *c, uint64_t ns)
{
    uint64_t end = clock_mono_ns() + ns;
    struct timespec t = {.tv_sec = (time_t)(end / NS_PER_S), .tv_nsec = (long)(end % NS_PER_S)};

    return pthread_cond_timedwait(&c->wake, &c->lock, &t) != ETIMEDOUT;
}

/* Sleeps between two attempts to recover; false when the thread must end. */
static bool pause_ns(struct committer *c, uint64_t ns)
{
    bool go_on;

    pthread_mutex_lock(&c->lock);
    while (!c->quit && wait_ns(c, ns))
        ;
    go_on = !c->quit;
    pthread_mutex_unlock(&c->lock);
    return go_on;
}

static struct sale *load(struct committer *c)
{
    struct sale *sale = sale_new();
    struct buf err = {0};

    if (sale != NULL && c->store->driver->load(c->store, sale, clock_real_ns(), &err))
        return sale;
    log_error("store: reading it again failed: %s", sale ? buf_cstr(&err) : "out of memory");
    sale_free(&sale);
    buf_free(&err);
    return NULL;
}

static void recover(struct committer *c, struct job *j)
{
    uint64_t backoff = BACKOFF_NS;

    for (;;) {
        if (c->store->driver->recover(c->store, j->kind == JOB_RELOAD)) {
            if (j->kind == JOB_PROBE || (j->sale = load(c)) != NULL)
                return;
        }
        if (!pause_ns(c, backoff)) {
            j->kind = JOB_QUIT;
            return;
        }
        backoff = backoff * 2 > BACKOFF_MAX_NS ? BACKOFF_MAX_NS : backoff * 2;
    }
}

static void work(struct committer *c, struct job *j)
{
    if (j->kind == JOB_COMMIT) {
        uint64_t start = clock_mono_ns();
        j->outcome = c->store->driver->commit(c->store, j->batch);
        j->spent_ns = clock_mono_ns() - start;
    } else {
        recover(c, j);
    }
}

/* The next job; while none comes the store is tidied once. False: the thread ends. */
static bool next_job(struct committer *c, struct job *j, bool *tidy)
{
    pthread_mutex_lock(&c->lock);
    while (c->job.kind == JOB_NONE && !c->quit) {
        if (!*tidy) {
            pthread_cond_wait(&c->wake, &c->lock);
        } else if (!wait_ns(c, IDLE_NS)) {
            pthread_mutex_unlock(&c->lock);
            c->store->driver->tidy(c->store, false);
            *tidy = false;
            pthread_mutex_lock(&c->lock);
        }
    }
    *j = c->job;
    c->job.kind = JOB_NONE;
    pthread_mutex_unlock(&c->lock);
    return j->kind != JOB_NONE;
}

static void tell(struct committer *c, const struct job *j)
{
    uint64_t one = 1;

    pthread_mutex_lock(&c->lock);
    c->done = *j;
    pthread_mutex_unlock(&c->lock);
    CHECK(write(c->event_fd, &one, sizeof one) == sizeof one);
}

static void *run(void *arg)
{
    struct committer *c = arg;
    struct job j;
    bool tidy = false;

    while (next_job(c, &j, &tidy)) {
        work(c, &j);
        tell(c, &j);
        if (j.kind == JOB_COMMIT && j.outcome == STORE_OK) {
            c->store->driver->tidy(c->store, true);
            tidy = true;
        }
    }
    return NULL;
}

void committer_start(struct committer *c, struct store *store)
{
    pthread_condattr_t attr;
    sigset_t all, old;

    *c = (struct committer){.store = store};
    c->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(c->event_fd >= 0);
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &attr);
    pthread_condattr_destroy(&attr);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    CHECK(pthread_create(&c->thread, NULL, run, c) == 0);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_setname_np(c->thread, "boxoffice:disk");
}

void committer_submit(struct committer *c, enum job_kind kind, struct batch *batch)
{
    pthread_mutex_lock(&c->lock);
    CHECK(c->job.kind == JOB_NONE && c->done.kind == JOB_NONE);
    c->job = (struct job){.kind = kind, .batch = batch};
    pthread_mutex_unlock(&c->lock);
    /* After it is unlocked: else the thread wakes only to wait for the lock. */
    pthread_cond_signal(&c->wake);
}

bool committer_take(struct committer *c, struct job *out)
{
    uint64_t n;

    if (read(c->event_fd, &n, sizeof n) != sizeof n)
        return false;
    pthread_mutex_lock(&c->lock);
    *out = c->done;
    c->done = (struct job){0};
    pthread_mutex_unlock(&c->lock);
    return out->kind != JOB_NONE;
}

void committer_stop(struct committer *c)
{
    pthread_mutex_lock(&c->lock);
    c->quit = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    sale_free(&c->done.sale);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    close(c->event_fd);
}
