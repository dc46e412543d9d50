/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * After the flip: every ready process reports that it uses the new generation, then who asked is
 * told. The wait is asynchronous; the master's loop goes on, and a later change may come into force
 * meanwhile: who uses that one has passed the earlier.
 *
 * A process that dies while it is waited for is no longer waited for: its successor starts with the
 * current generation.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "proc/master.h"
#include "proc/notify.h"

#define WAIT_NS (10 * NS_PER_S) /* RELOAD_WAIT_DEFAULT */

static void add_change(struct reload_report *r, const struct conf_change *c)
{
    r->changes = xrealloc(r->changes, (r->changes_n + 1) * sizeof *r->changes);
    r->changes[r->changes_n++] = (struct conf_change){
        .path = xstrdup(c->path),
        .old_text = xstrdup(c->old_text),
        .new_text = xstrdup(c->new_text),
        .restart = c->restart,
    };
}

static void on_applied(void *arg, const struct conf_change *c)
{
    if (!c->restart)
        add_change(arg, c);
}

static void on_pending(void *arg, const struct conf_change *c)
{
    if (c->restart)
        add_change(arg, c);
}

static void report_clear(struct reload_report *r)
{
    for (unsigned i = 0; i < r->changes_n; i++) {
        free((char *)r->changes[i].path);
        free((char *)r->changes[i].old_text);
        free((char *)r->changes[i].new_text);
    }
    free(r->changes);
    buf_free(&r->errors);
    buf_free(&r->warnings);
    *r = (struct reload_report){0};
}

static void log_report(const struct reload_report *r)
{
    double ms = (double)r->duration_ns / (double)NS_PER_MS;

    for (unsigned i = 0; i < r->changes_n; i++)
        log_notice("%s %s -> %s: %s", r->changes[i].path, r->changes[i].old_text,
                   r->changes[i].new_text, r->changes[i].restart ? "needs a restart" : "applied");
    if (r->ok)
        log_notice("generation %" PRIu64 " -> %" PRIu64 " in %.1f ms, %u of %u processes",
                   r->old_generation, r->generation, ms, r->reporting, r->expected);
    else if (r->timed_out)
        log_error("generation %" PRIu64 " is in force in %u of %u processes after %.1f ms",
                  r->generation, r->reporting, r->expected, ms);
}

static void on_timeout(struct loop_timer *t);

struct adoption *adoption_begin(struct master *m)
{
    struct adoption *c = xcalloc(1, sizeof *c);

    c->m = m;
    c->started_ns = clock_mono_ns();
    c->report.old_generation = c->report.generation = bank_current(m->banks).generation;
    loop_timer_init(&c->timer, on_timeout);
    list_init(&c->node);
    return c;
}

void adoption_add_waiter(struct adoption *c, struct adoption_waiter w)
{
    CHECK(c->waiters_n < ADOPTION_WAITERS);
    c->waiters[c->waiters_n++] = w;
}

static void adoption_free(struct adoption *c)
{
    list_del(&c->node);
    loop_timer_disarm(&c->m->loop, &c->timer);
    report_clear(&c->report);
    free(c);
}

static void tally(const struct adoption *c, enum metric_counter outcome)
{
    if (c->is_reload)
        metric_add(&c->m->metrics->blocks[METRIC_MASTER].counter[outcome], 1);
}

static void finish(struct adoption *c)
{
    struct master *m = c->m;
    struct reload_report *r = &c->report;
    void (*over)(struct master * m) = c->over;

    r->duration_ns = clock_mono_ns() - c->started_ns;
    list_del(&c->node);
    list_init(&c->node);
    log_report(r);
    log_lines(LOG_LEVEL_WARN, buf_view(&r->warnings));
    log_lines(LOG_LEVEL_ERROR, buf_view(&r->errors));
    notify_send("READY=1\nSTATUS=generation %" PRIu64 "%s", r->generation,
                r->ok ? "" : ", the last reload failed");
    for (unsigned i = 0; i < c->waiters_n; i++)
        if (c->waiters[i].fn != NULL)
            c->waiters[i].fn(c->waiters[i].arg, r);
    adoption_free(c);
    if (over != NULL)
        over(m);
}

void adoption_failed(struct adoption *c)
{
    tally(c, METRIC_reloads_refused);
    finish(c);
}

void adoption_compare(struct adoption *c, const struct conf *next, uint64_t generation,
                      bool pending)
{
    struct master *m = c->m;
    struct reload_report *r = &c->report;

    r->files = conf_files(next);
    r->settings = conf_settings_set(next);
    r->generation = generation;
    r->unchanged = conf_diff(m->conf, next, on_applied, r) == 0;
    /* Against what was booted with: a setting that waits for a restart is told each time. */
    if (pending)
        conf_diff(m->boot, next, on_pending, r);
}

void adoption_in_force(struct adoption *c, struct conf *next, const struct origin_of *o)
{
    struct master *m = c->m;
    struct reload_report *r = &c->report;
    struct origin_of from = *o;

    adoption_compare(c, next, bank_current(m->banks).generation, o->origin != ORIGIN_RUNTIME);
    if (from.again == 0 && r->unchanged)
        from.again = r->old_generation;
    history_add(m, next, &from, r);
    log_set_level((enum log_level)conf_process(next)->log_level);
}

/* --- waiting --- */

static bool waited_for(const struct adoption *c, const struct supervised *s)
{
    return (s->kind == CHILD_WORKER || (s->kind == CHILD_KEEPER && !c->workers_only)) &&
           s->pid > 0 && s->ready;
}

static void count(const struct adoption *c, struct reload_report *r)
{
    const struct master *m = c->m;

    r->expected = r->reporting = 0;
    for (unsigned i = 0; i < CONTROL_SLOTS; i++) {
        const struct supervised *s = &m->children[i];
        if (!waited_for(c, s))
            continue;
        r->expected++;
        r->reporting += s->adopted >= r->generation;
    }
}

static bool answered_by_all(const struct adoption *c, bool *refused)
{
    const struct master *m = c->m;
    uint64_t generation = c->report.generation;
    bool all = true;

    for (unsigned i = 0; i < CONTROL_SLOTS; i++) {
        const struct supervised *s = &m->children[i];
        if (!waited_for(c, s) || s->adopted >= generation)
            continue;
        if (s->refused == generation)
            *refused = true;
        else
            all = false;
    }
    return all;
}

/* Everybody has answered, or the time is over. */
static void complete(struct adoption *c, bool timed_out, bool refused)
{
    struct reload_report *r = &c->report;

    count(c, r);
    r->ok = !timed_out && !refused;
    r->timed_out = timed_out;
    tally(c, r->ok ? METRIC_reloads_applied : METRIC_reloads_incomplete);
    if (timed_out)
        buf_printf(&r->errors,
                   "%u of %u processes have not reported generation %" PRIu64 " in time\n",
                   r->expected - r->reporting, r->expected, r->generation);
    else if (refused)
        buf_printf(&r->errors, "%u of %u processes could not adopt generation %" PRIu64 "\n",
                   r->expected - r->reporting, r->expected, r->generation);
    finish(c);
}

static void on_timeout(struct loop_timer *t)
{
    complete(CONTAINER_OF(t, struct adoption, timer), true, false);
}

static void progress(struct adoption *c)
{
    bool refused = false;

    if (answered_by_all(c, &refused))
        complete(c, false, refused);
}

void adoptions_progress(struct master *m)
{
    LIST_EACH_SAFE (it, &m->adoptions)
        progress(CONTAINER_OF(it, struct adoption, node));
}

/* Where nobody waits any more, the log still wants to know how it went. */
static uint64_t longest_wait(const struct adoption *c)
{
    uint64_t longest = 0;

    for (unsigned i = 0; i < c->waiters_n; i++) {
        uint64_t wait = c->waiters[i].wait_ns;
        wait = wait == RELOAD_WAIT_DEFAULT ? WAIT_NS : wait;
        longest = wait > longest ? wait : longest;
    }
    return longest != 0 ? longest : WAIT_NS;
}

/* Those who do not wait for the processes: published is all they want to know. */
static void answer_at_once(struct adoption *c)
{
    struct reload_report now = c->report;

    count(c, &now);
    now.ok = true;
    now.duration_ns = clock_mono_ns() - c->started_ns;
    for (unsigned i = 0; i < c->waiters_n; i++) {
        struct adoption_waiter w = c->waiters[i];
        if (w.wait_ns != 0 || w.fn == NULL)
            continue;
        c->waiters[i].fn = NULL;
        w.fn(w.arg, &now);
    }
}

/* What WINCH or drain took down: successors of those who are gone; those who still drain go on. */
static void bring_back_workers(struct master *m)
{
    if (m->stop_stage != STOP_NOT || !atomic_load(&m->control->draining))
        return;
    atomic_store_explicit(&m->control->draining, 0, memory_order_relaxed);
    supervise_workers_up(m);
    supervise_send(m, CHILD_WORKER, CHANNEL_RESUME, 0);
}

void adoption_wait(struct adoption *c)
{
    struct master *m = c->m;

    list_add(&m->adoptions, &c->node);
    loop_timer_arm(&m->loop, &c->timer, longest_wait(c));
    supervise_send(m, CHILD_WORKER, CHANNEL_ADOPT, c->report.generation);
    supervise_send(m, CHILD_KEEPER, CHANNEL_ADOPT, c->report.generation);
    if (c->brings_back)
        bring_back_workers(m);
    answer_at_once(c);
    progress(c);
}

void adoptions_fini(struct master *m)
{
    LIST_EACH_SAFE (it, &m->adoptions)
        adoption_free(CONTAINER_OF(it, struct adoption, node));
}
