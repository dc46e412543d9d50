/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ending, in stages, because each needs the next: workers finish their requests with the box
 * office's help, the keeper writes their last log records, and the box office goes when nobody can
 * ask it.
 *
 *   workers (DRAIN or STOP) --> keeper (STOP) --> boxoffice (TERM) --> the loop ends
 *
 * Each stage has a limit after which what remains is killed. A second, faster request overtakes.
 */
#include "config.h"

#include <signal.h>

#include "base/clock.h"
#include "base/log.h"
#include "proc/master.h"
#include "proc/notify.h"

static const struct {
    enum child_kind kind;
    uint64_t limit_ns; /* for a process that was asked to go at once */
} stages[] = {
    [STOP_WORKERS] = {CHILD_WORKER, 3 * NS_PER_S},
    [STOP_KEEPER] = {CHILD_KEEPER, 5 * NS_PER_S},
    [STOP_BOXOFFICE] = {CHILD_BOXOFFICE, 10 * NS_PER_S},
};

/* The worker keeps drain_timeout itself; this is for one that does not. */
static uint64_t drain_limit_ns(const struct master *m)
{
    return conf_process(m->conf)->drain_timeout_ms * NS_PER_MS + stages[STOP_WORKERS].limit_ns;
}

static void on_timer(struct loop_timer *t)
{
    struct master *m = CONTAINER_OF(t, struct master, stop_timer);

    if (m->stop_stage == STOP_NOT || m->stop_stage == STOP_DONE)
        return;
    log_warn("%u processes did not end in time and are killed",
             supervise_alive(m, stages[m->stop_stage].kind));
    supervise_kill(m, stages[m->stop_stage].kind, SIGKILL);
}

/* What tells them to go. */
static enum channel_type farewell(const struct master *m, enum stop_stage stage)
{
    if (stage != STOP_WORKERS || m->stop_fast)
        return CHANNEL_STOP;
    return m->upgrade.stage == UPGRADE_LEAVING ? CHANNEL_HANDOVER : CHANNEL_QUIT;
}

static void enter(struct master *m, enum stop_stage stage)
{
    bool drain = stage == STOP_WORKERS && !m->stop_fast;

    m->stop_stage = stage;
    if (stage == STOP_KEEPER)
        upgrade_drained(m);
    if (stage == STOP_DONE)
        return;
    supervise_want(m, stages[stage].kind, false);
    if (stage == STOP_BOXOFFICE)
        supervise_kill(m, CHILD_BOXOFFICE, SIGTERM);
    else
        supervise_send(m, stages[stage].kind, farewell(m, stage), 0);
    /* Ours are copies of theirs; new clients are refused as soon as the last one is closed. */
    if (stage == STOP_WORKERS)
        listeners_close(&m->listeners);
    m->stop_timer.fn = on_timer;
    loop_timer_arm(&m->loop, &m->stop_timer, drain ? drain_limit_ns(m) : stages[stage].limit_ns);
}

void stop_begin(struct master *m, bool fast)
{
    if (m->stop_stage != STOP_NOT && (m->stop_fast || !fast))
        return;
    upgrade_cancel(m, "this master was told to stop");
    log_notice("%s", fast ? "stopping" : "draining, then stopping");
    if (m->upgrade.stage != UPGRADE_LEAVING)
        notify_send("STOPPING=1\nSTATUS=%s", fast ? "stopping" : "draining");
    m->stop_fast = fast;
    atomic_store_explicit(&m->control->draining, 1, memory_order_relaxed);
    if (m->stop_stage <= STOP_WORKERS)
        enter(m, STOP_WORKERS);
    stop_progress(m);
}

void stop_leave(struct master *m)
{
    enter(m, STOP_WORKERS);
    stop_progress(m);
}

void stop_progress(struct master *m)
{
    while (m->stop_stage != STOP_NOT && m->stop_stage != STOP_DONE &&
           supervise_alive(m, stages[m->stop_stage].kind) == 0) {
        loop_timer_disarm(&m->loop, &m->stop_timer);
        enter(m, m->stop_stage + 1);
    }
}

void stop_workers(struct master *m)
{
    if (m->stop_stage != STOP_NOT)
        return;
    if (upgrade_busy(m) != NULL) {
        log_warn("the workers are not drained: %s", upgrade_busy(m));
        return;
    }
    log_notice("workers are draining; a reload brings them back");
    notify_send("STATUS=workers drained");
    atomic_store_explicit(&m->control->draining, 1, memory_order_relaxed);
    supervise_want(m, CHILD_WORKER, false);
    supervise_send(m, CHILD_WORKER, CHANNEL_DRAIN, 0);
}
