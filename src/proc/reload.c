/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What comes into force: the file once more (reload), what somebody has made of it (runtime
 * changes), or a generation that is kept (rollback). Anything wrong before the flip leaves the
 * running generation and everything else as it was.
 *
 * While one reload waits for the processes, a request that comes may be about a newer file, so it
 * is not answered with the running one; all such requests share one more reload. A rollback
 * and a runtime change wait for nobody.
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

/* The file is believed, but what is hardly meant is said. */
static void warn_start(const struct master *m)
{
    struct buf text = {0};

    conf_warnings(m->conf, &text);
    log_lines(LOG_LEVEL_WARN, buf_view(&text));
    buf_free(&text);
}

bool reload_first(struct master *m, struct buf *errors)
{
    static const struct reload_report none;
    static const struct origin_of start = {.origin = ORIGIN_START};

    if (!publish_conf(m, m->conf, ORIGIN_START, errors))
        return false;
    history_add(m, m->conf, &start, &none);
    warn_start(m);
    return true;
}

/* Publishes next (taken over), with the runtime changes that are prepared. False: errors are in the
 * report and nothing has changed. */
static bool take_into_force(struct adoption *c, struct conf *next, const struct origin_of *o)
{
    if (next == NULL || !publish_conf(c->m, next, o->origin, &c->report.errors)) {
        changes_abort(c->m);
        conf_free(&next);
        return false;
    }
    changes_commit(c->m);
    adoption_in_force(c, next, o);
    return true;
}

/* What was rolled back comes back only when somebody asks for it; a canary that this very reload
 * has replaced was not. False: refused. */
static bool may_come_back(struct adoption *c, const struct conf *next, bool force)
{
    struct master *m = c->m;
    struct buf text = {0};

    if (m->rolled_back.replaced || !rolled_back_is(m, next))
        return true;
    rolled_back_text(m, &text);
    if (force) {
        buf_printf(&c->report.warnings, "in force again is what was %s\n", buf_cstr(&text));
    } else {
        buf_printf(&c->report.errors,
                   "%s still holds %s; mend it, or take it all the same with rushctl reload "
                   "--force\n",
                   m->options->file, buf_cstr(&text));
        c->report.hint = "rushctl diff shows what it would change";
    }
    buf_free(&text);
    return force;
}

static bool load(struct adoption *c, const char *reason, bool force)
{
    struct master *m = c->m;
    struct conf *next = conf_load(m->options->file, m->options->prefix, &c->report.errors);

    c->report.invalid = next == NULL;
    if (next != NULL && !may_come_back(c, next, force)) {
        conf_free(&next);
        return false;
    }
    if (next != NULL)
        conf_warnings(next, &c->report.warnings);
    if (next != NULL)
        next = changes_over(m, next, &c->report.warnings);
    return take_into_force(c, next, &(struct origin_of){ORIGIN_FILE, reason, 0});
}

static void start_queued(struct master *m);

static void reload_over(struct master *m)
{
    m->reload.active = false;
    start_queued(m);
}

static void start_queued(struct master *m)
{
    struct reload *r = &m->reload;
    struct adoption *c;
    char *reason = r->reason;
    bool force = r->force;

    if (r->active || r->queued_n == 0) {
        changes_next(m);
        return;
    }
    c = adoption_begin(m);
    for (unsigned i = 0; i < r->queued_n; i++)
        adoption_add_waiter(c, r->queued[i]);
    r->queued_n = 0;
    r->reason = NULL;
    r->force = false;
    r->active = c->brings_back = c->is_reload = true;
    c->over = reload_over;
    notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading",
                c->started_ns / NS_PER_US);
    if (load(c, reason, force)) {
        adoption_wait(c);
    } else {
        rolled_back_after_all(m);
        adoption_failed(c);
    }
    free(reason);
}

/* Answers without having tried. */
static void refuse(struct master *m, bool is_reload, const char *why, reload_done *done, void *arg)
{
    struct adoption *c = adoption_begin(m);

    c->is_reload = is_reload;
    buf_printf(&c->report.errors, "%s\n", why);
    adoption_add_waiter(c, (struct adoption_waiter){done, 0, arg});
    adoption_failed(c);
}

void reload_start(struct master *m, const struct ctl_order *order, reload_done *done, void *arg)
{
    struct reload *r = &m->reload;

    /* More askers than there are places, a canary, or an upgrade is on its way: told at once. */
    const char *why =
        r->queued_n == ADOPTION_WAITERS ? "too many reloads are waiting"
        : canary_runs(m) && !order->force
            ? "a canary runs: promote it, roll it back, or reload with --force, which "
              "ends it"
            : upgrade_busy(m);

    if (why != NULL) {
        refuse(m, true, why, done, arg);
        return;
    }
    canary_replace(m, order->by, "a reload with --force");
    r->force = r->force || order->force;
    r->queued[r->queued_n++] = (struct adoption_waiter){done, order->wait_ns, arg};
    if (order->reason != NULL) {
        free(r->reason);
        r->reason = xstrdup(order->reason);
    }
    start_queued(m);
}

void reload_conf(struct master *m, struct conf *next, uint64_t wait_ns, reload_done *done,
                 void *arg)
{
    struct origin_of o = {.origin = ORIGIN_RUNTIME, .again = history_current(m)->generation};
    struct adoption *c = adoption_begin(m);

    CHECK(next != NULL);
    adoption_add_waiter(c, (struct adoption_waiter){done, wait_ns, arg});
    if (take_into_force(c, next, &o)) {
        canary_follow(m);
        adoption_wait(c);
    } else
        adoption_failed(c);
}

/* --- rollback --- */

/* Runtime changes are not what is rolled back: those that are in force stay, those that have ended
 * do not come back. So what has some, then or now, is made anew from what it was loaded from. */
static bool roll_anew(struct adoption *c, const struct kept *k, const struct origin_of *o)
{
    struct conf *next = conf_derive(k->conf, NULL, &c->report.errors);

    if (next != NULL)
        next = changes_over(c->m, next, &c->report.warnings);
    return take_into_force(c, next, o);
}

static bool roll_back(struct adoption *c, const struct kept *k, const struct origin_of *o)
{
    struct conf *conf = k->conf; /* k may move */

    if (k->changed || c->m->changes.now.n > 0)
        return roll_anew(c, k, o);
    if (!publish_again(c->m, k->bank, &c->report.errors))
        return false;
    adoption_in_force(c, conf, o);
    return true;
}

/* The generation that was in force, when the file said that. */
static void note_rolled_back(struct master *m, uint64_t generation, const struct ctl_order *order)
{
    const struct kept *k = history_find(m, generation);

    if (k != NULL && k->generation == generation && k->of_file)
        rolled_back_kept(m, k, order->by, order->reason);
}

void rollback_start(struct master *m, const struct ctl_order *order, reload_done *done, void *arg)
{
    const struct kept *k = history_find(m, order->generation);
    struct origin_of o = {.origin = ORIGIN_ROLLBACK, .reason = order->reason};
    struct adoption *c;
    bool ok;

    if (upgrade_busy(m) != NULL) {
        refuse(m, false, upgrade_busy(m), done, arg);
        return;
    }
    if (canary_runs(m) && order->generation == 0) {
        canary_rollback(m, order, done, arg);
        return;
    }
    if (canary_runs(m)) {
        refuse(m, false, "a canary runs: config rollback without a number ends it", done, arg);
        return;
    }
    if (k == NULL || k == history_current(m)) {
        refuse(m, false, k == NULL ? "that generation is not kept" : "it is in force already", done,
               arg);
        return;
    }
    c = adoption_begin(m);
    adoption_add_waiter(c, (struct adoption_waiter){done, order->wait_ns, arg});
    o.again = m->history.wanted = k->generation;
    ok = roll_back(c, k, &o);
    m->history.wanted = 0;
    if (ok)
        note_rolled_back(m, c->report.old_generation, order);
    if (ok)
        adoption_wait(c);
    else
        adoption_failed(c);
}

void reload_fini(struct master *m)
{
    adoptions_fini(m);
    free(m->reload.reason);
    m->reload.reason = NULL;
}
