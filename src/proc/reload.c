/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reload: load -> compile -> copy into a spare bank and flip -> every ready process reports that it
 * is on the new generation -> tell who asked. Anything wrong before the flip leaves the running
 * generation and everything else as it was.
 *
 * The wait is asynchronous: the master's loop goes on. A request that comes meanwhile may be about
 * a newer file, so it is not answered with the running one; all such requests share one more
 * reload.
 *
 * A process that dies while it is waited for is no longer waited for: its successor starts with the
 * current generation.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "proc/master.h"
#include "proc/notify.h"

#define WAIT_NS (10 * NS_PER_S) /* RELOAD_WAIT_DEFAULT */

static uint32_t route_stat(void *arg, const char *name)
{
    struct master *m = arg;

    return route_names_index(&m->routes, name);
}

static uint32_t endpoint_stat(void *arg, const char *address)
{
    struct master *m = arg;

    return endpoint_index(m, address);
}

static uint32_t limit_stat(void *arg, const char *name)
{
    struct master *m = arg;

    return metric_limit_index(m->metrics, name);
}

static uint32_t concurrency_stat(void *arg, const char *name)
{
    struct master *m = arg;

    return metric_concurrency_index(m->metrics, name);
}

static uint32_t arm_stat(void *arg, const char *name)
{
    struct master *m = arg;

    return metric_arm_index(m->metrics, name);
}

static void publish_failed(int rc, size_t size, unsigned holder, struct master *m,
                           struct buf *errors)
{
    if (rc == -EFBIG)
        buf_printf(errors, "the compiled configuration has %zu bytes, a bank holds %" PRIu64 "\n",
                   size, m->banks->bank_size);
    else if (rc == -EBUSY)
        buf_printf(errors,
                   "all %u banks are in use: slot %u alone still has requests of %d generations\n",
                   BANK_COUNT, holder, __builtin_popcountll(m->control->slots[holder].held_banks));
    else
        buf_printf(errors, "publishing failed: %s\n", strerror(-rc));
}

/* The indexes that compiling chose become valid only with a publication that cannot fail. */
static int publish_blob(struct master *m, struct slice blob, uint64_t generation, unsigned *holder)
{
    int bank = bank_reserve(m->banks, m->control, blob.n, generation, holder);

    if (bank < 0)
        return bank;
    if (m->routes.without_index > 0)
        log_warn("more than %d routes: %u of them are counted with the requests of no route",
                 METRIC_ROUTES - 1, m->routes.without_index);
    route_names_commit(&m->routes, (unsigned)bank);
    endpoints_commit(m, (unsigned)bank);
    bank_fill(m->banks, (unsigned)bank, blob.p, blob.n, generation);
    bank_flip(m->banks, (unsigned)bank);
    bank_trim(m->banks, m->control);
    return 0;
}

static bool publish(struct master *m, const struct conf *c, struct buf *errors)
{
    const struct conf_resolver resolver = {route_stat, endpoint_stat,    m,
                                           limit_stat, concurrency_stat, arm_stat};
    uint64_t generation = bank_current(m->banks).generation + 1;
    struct buf blob = {0};
    struct slots_held held;
    uint64_t in_use;
    unsigned holder = 0;
    int rc = -1;

    slots_held(m->control, &held);
    in_use = bank_in_use(m->banks, &held);
    route_names_begin(&m->routes, generation, held.from, in_use);
    endpoints_begin(m, in_use);
    if (conf_compile(c, &resolver, generation, &blob, errors)) {
        rc = publish_blob(m, buf_view(&blob), generation, &holder);
        if (rc < 0)
            publish_failed(rc, blob.n, holder, m, errors);
    }
    if (rc < 0)
        route_names_abort(&m->routes);
    buf_free(&blob);
    return rc == 0;
}

bool reload_first(struct master *m, struct buf *errors)
{
    return publish(m, m->conf, errors);
}

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

/* The text has a line for each error; the log wants a record for each. */
static void log_lines(enum log_level level, const struct buf *errors)
{
    const char *p = errors->p, *end = errors->n > 0 ? p + errors->n : p;

    while (p < end) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((eol != NULL ? eol : end) - p);
        if (n > 0)
            log_write(level, "%.*s", (int)n, p);
        p += n + 1;
    }
}

static void finish(struct master *m)
{
    struct reload *r = &m->reload;
    struct reload_report report = r->report;
    struct reload_waiter waiters[RELOAD_WAITERS];
    unsigned n = r->waiters_n;

    loop_timer_disarm(&m->loop, &r->timer);
    report.duration_ns = clock_mono_ns() - r->started_ns;
    r->report = (struct reload_report){0};
    memcpy(waiters, r->waiters, sizeof waiters);
    r->waiters_n = 0;
    r->active = false;
    log_report(&report);
    log_lines(LOG_LEVEL_WARN, &report.warnings);
    log_lines(LOG_LEVEL_ERROR, &report.errors);
    notify_send("READY=1\nSTATUS=generation %" PRIu64 "%s", report.generation,
                report.ok ? "" : ", the last reload failed");
    for (unsigned i = 0; i < n; i++)
        if (waiters[i].fn != NULL)
            waiters[i].fn(waiters[i].arg, &report);
    report_clear(&report);
}

static void conf_replace(struct master *m, struct conf *next)
{
    if (m->conf != m->boot)
        conf_free(&m->conf);
    m->conf = next;
}

static bool waited_for(const struct supervised *s)
{
    return s->kind != CHILD_BOXOFFICE && s->pid > 0 && s->ready;
}

static void count(const struct master *m, struct reload_report *r)
{
    r->expected = r->reporting = 0;
    for (unsigned i = 0; i < CONTROL_SLOTS; i++) {
        const struct supervised *s = &m->children[i];
        if (!waited_for(s))
            continue;
        r->expected++;
        r->reporting += s->adopted >= r->generation;
    }
}

static bool answered_by_all(const struct master *m, uint64_t generation, bool *refused)
{
    bool all = true;

    for (unsigned i = 0; i < CONTROL_SLOTS; i++) {
        const struct supervised *s = &m->children[i];
        if (!waited_for(s) || s->adopted >= generation)
            continue;
        if (s->refused == generation)
            *refused = true;
        else
            all = false;
    }
    return all;
}

static void start_queued(struct master *m);

/* Everybody has answered, or the time is over. */
static void complete(struct master *m, bool timed_out, bool refused)
{
    struct reload_report *r = &m->reload.report;

    count(m, r);
    r->ok = !timed_out && !refused;
    r->timed_out = timed_out;
    if (timed_out)
        buf_printf(&r->errors,
                   "%u of %u processes have not reported generation %" PRIu64 " in time\n",
                   r->expected - r->reporting, r->expected, r->generation);
    else if (refused)
        buf_printf(&r->errors, "%u of %u processes could not adopt generation %" PRIu64 "\n",
                   r->expected - r->reporting, r->expected, r->generation);
    finish(m);
    start_queued(m);
}

static void on_timeout(struct loop_timer *t)
{
    struct master *m = CONTAINER_OF(t, struct master, reload.timer);

    if (m->reload.active)
        complete(m, true, false);
}

void reload_progress(struct master *m)
{
    bool refused = false;

    if (m->reload.active && answered_by_all(m, m->reload.report.generation, &refused))
        complete(m, false, refused);
}

/* What is to come into force: what somebody has prepared, else what the files say. */
static struct conf *next_conf(struct master *m)
{
    struct reload_report *r = &m->reload.report;
    struct conf *next = m->reload.next;

    m->reload.next = NULL;
    if (next != NULL)
        return next;
    next = conf_load(m->options->file, m->options->prefix, &r->errors);
    return next != NULL ? changes_over(m, next, &r->warnings) : NULL;
}

/* Loads, compares, publishes. False: errors are in the report and nothing has changed. */
static bool take_into_force(struct master *m)
{
    struct reload_report *r = &m->reload.report;
    bool loads = m->reload.next == NULL;
    struct conf *next = next_conf(m);

    if (next == NULL || !publish(m, next, &r->errors)) {
        r->invalid = next == NULL;
        changes_abort(m);
        conf_free(&next);
        return false;
    }
    changes_commit(m);
    r->files = conf_files(next);
    r->settings = conf_settings_set(next);
    r->generation = bank_current(m->banks).generation;
    conf_diff(m->conf, next, on_applied, r);
    /* Against what was booted with: a setting that waits for a restart is told each time. */
    if (loads)
        conf_diff(m->boot, next, on_pending, r);
    conf_replace(m, next);
    log_set_level((enum log_level)conf_process(next)->log_level);
    return true;
}

/* Where nobody waits any more, the log still wants to know how it went. */
static uint64_t longest_wait(const struct reload *r)
{
    uint64_t longest = 0;

    for (unsigned i = 0; i < r->waiters_n; i++) {
        uint64_t wait = r->waiters[i].wait_ns;
        wait = wait == RELOAD_WAIT_DEFAULT ? WAIT_NS : wait;
        longest = wait > longest ? wait : longest;
    }
    return longest != 0 ? longest : WAIT_NS;
}

/* Those who do not wait for the processes: published is all they want to know. */
static void answer_at_once(struct master *m)
{
    struct reload *r = &m->reload;
    struct reload_report now = r->report;

    count(m, &now);
    now.ok = true;
    now.duration_ns = clock_mono_ns() - r->started_ns;
    for (unsigned i = 0; i < r->waiters_n; i++) {
        struct reload_waiter w = r->waiters[i];
        if (w.wait_ns != 0 || w.fn == NULL)
            continue;
        r->waiters[i].fn = NULL;
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

static void begin(struct master *m)
{
    struct reload *r = &m->reload;
    bool loads = r->next == NULL;

    r->active = true;
    r->started_ns = clock_mono_ns();
    r->report = (struct reload_report){.old_generation = bank_current(m->banks).generation};
    r->report.generation = r->report.old_generation;
    notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading",
                r->started_ns / NS_PER_US);
    if (!take_into_force(m)) {
        finish(m);
        start_queued(m);
        return;
    }
    r->timer.fn = on_timeout;
    loop_timer_arm(&m->loop, &r->timer, longest_wait(r));
    supervise_send(m, CHILD_WORKER, CHANNEL_ADOPT, r->report.generation);
    supervise_send(m, CHILD_KEEPER, CHANNEL_ADOPT, r->report.generation);
    if (loads)
        bring_back_workers(m);
    answer_at_once(m);
    reload_progress(m);
}

static void start_queued(struct master *m)
{
    struct reload *r = &m->reload;

    if (r->active || r->queued_n == 0) {
        changes_next(m);
        return;
    }
    memcpy(r->waiters, r->queued, sizeof r->queued);
    r->waiters_n = r->queued_n;
    r->queued_n = 0;
    begin(m);
}

/* More askers than there are places: the one who asks now is told that it is too much. */
static void refuse_waiter(struct master *m, reload_done *done, void *arg)
{
    uint64_t generation = bank_current(m->banks).generation;
    struct reload_report report = {.old_generation = generation, .generation = generation};

    buf_str(&report.errors, "too many reloads are waiting\n");
    if (done != NULL)
        done(arg, &report);
    buf_free(&report.errors);
}

void reload_start(struct master *m, uint64_t wait_ns, reload_done *done, void *arg)
{
    struct reload *r = &m->reload;

    if (r->queued_n == RELOAD_WAITERS) {
        refuse_waiter(m, done, arg);
        return;
    }
    r->queued[r->queued_n++] = (struct reload_waiter){done, wait_ns, arg};
    start_queued(m);
}

void reload_conf(struct master *m, struct conf *next, uint64_t wait_ns, reload_done *done,
                 void *arg)
{
    struct reload *r = &m->reload;

    CHECK(!r->active && next != NULL);
    r->next = next;
    r->waiters[0] = (struct reload_waiter){done, wait_ns, arg};
    r->waiters_n = 1;
    begin(m);
}

void reload_fini(struct master *m)
{
    loop_timer_disarm(&m->loop, &m->reload.timer);
    report_clear(&m->reload.report);
}
