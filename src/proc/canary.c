/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The master's side of a canary. In the bank zone it is one word (shm/bank.h); here is what belongs
 * to it, and the rule that ends it. Workers count the requests of both sides while it runs
 * (metric_block.sides); those words only grow, so what they were at the beginning is taken off.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "proc/master.h"

#define LOOK_NS NS_PER_S

bool canary_runs(const struct master *m)
{
    return m->canary.conf != NULL;
}

/* --- figures --- */

static void figures_of(const struct master *m, enum metric_side s, struct canary_side *out)
{
    const struct metric_route_total *before = &m->canary.before[s];
    struct metric_route_total now;

    metric_side_total(m->metrics, m->process->workers, s, &now);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        now.latency[i] -= before->latency[i];
    *out = (struct canary_side){
        .requests = now.requests - before->requests,
        .errors = now.status[5] - before->status[5],
        .p50_ns = histogram_quantile_ns(now.latency, 0.5),
        .p99_ns = histogram_quantile_ns(now.latency, 0.99),
    };
}

void canary_figures(const struct master *m, struct canary_side out[METRIC_SIDES])
{
    for (unsigned s = 0; s < METRIC_SIDES; s++)
        figures_of(m, (enum metric_side)s, &out[s]);
}

static void on_look(struct loop_timer *t)
{
    struct master *m = CONTAINER_OF(t, struct master, canary.timer);
    struct canary_side side[METRIC_SIDES];
    struct ctl_order order = {.wait_ns = RELOAD_WAIT_DEFAULT};
    struct buf why = {0};
    bool promote;

    canary_figures(m, side);
    if (!canary_judge(&conf_process(m->conf)->canary, side, clock_mono_ns() - m->canary.since_ns,
                      &promote, &why)) {
        loop_timer_arm(&m->loop, t, LOOK_NS);
        return;
    }
    order.reason = buf_cstr(&why);
    audit_event(&m->audit, promote ? "canary promoted" : "canary rolled back", NULL, order.reason,
                "ok");
    if (promote) {
        canary_promote(m, &order, NULL, NULL);
        if (canary_runs(m)) /* no bank, no memory: later */
            loop_timer_arm(&m->loop, t, LOOK_NS);
    } else {
        canary_end(m, "rule", order.reason);
    }
    buf_free(&why);
}

/* --- begin and end --- */

void canary_init(struct master *m)
{
    m->canary = (struct canary){0};
    loop_timer_init(&m->canary.timer, on_look);
}

static void clear(struct master *m)
{
    struct canary *c = &m->canary;

    loop_timer_disarm(&m->loop, &c->timer);
    if (c->conf != m->boot && c->conf != m->conf)
        conf_free(&c->conf);
    free(c->reason);
    free(c->changes);
    canary_init(m);
}

void canary_fini(struct master *m)
{
    if (m->loop.base != NULL)
        clear(m);
}

/* Nobody asked for it: that is to be seen. */
static void log_end(const struct master *m, bool commanded)
{
    const struct rolled_back *r = &m->rolled_back;

    log_write(commanded ? LOG_LEVEL_NOTICE : LOG_LEVEL_WARN,
              "canary %" PRIu64
              " is rolled back by %s%s%s; %s holds it still: mend it before the next reload",
              r->generation, r->by, r->reason[0] ? ": " : "", r->reason, m->options->file);
}

static void end(struct master *m, const char *by, const char *why, bool replaced)
{
    struct canary *k = &m->canary;

    if (!canary_runs(m))
        return;
    if (k->same) {
        log_notice("canary %" PRIu64 ", which changed nothing, has ended", k->generation);
    } else {
        rolled_back_canary(m, k->conf, by, why);
        k->conf = NULL;
        m->rolled_back.replaced = replaced;
        if (replaced) {
            log_notice("canary %" PRIu64 " has ended: %s", k->generation, why);
        } else {
            rolled_back_count(m, by);
            log_end(m, by != NULL && strcmp(by, "rule") != 0);
        }
    }
    bank_withdraw(m->banks);
    clear(m);
    supervise_send(m, CHILD_WORKER, CHANNEL_ADOPT, bank_current(m->banks).generation);
}

void canary_end(struct master *m, const char *by, const char *why)
{
    end(m, by, why, false);
}

void canary_replace(struct master *m, const char *by, const char *why)
{
    end(m, by, why, true);
}

static void fail(struct adoption *c, const char *why)
{
    buf_printf(&c->report.errors, "%s\n", why);
    adoption_failed(c);
}

static struct adoption *begin(struct master *m, const struct ctl_order *order, reload_done *done,
                              void *arg)
{
    struct adoption *c = adoption_begin(m);

    adoption_add_waiter(c, (struct adoption_waiter){done, order->wait_ns, arg});
    return c;
}

/* What the file says, with the runtime changes. NULL with errors. */
static struct conf *load(struct adoption *c)
{
    struct master *m = c->m;
    struct conf *next = conf_load(m->options->file, m->options->prefix, &c->report.errors);
    bool again = next != NULL && rolled_back_is(m, next);

    c->report.invalid = next == NULL;
    if (next != NULL)
        next = changes_over(m, next, &c->report.warnings);
    changes_abort(m);
    if (next != NULL && c->report.warnings.n > 0) {
        buf_str(&c->report.errors,
                "a runtime change does not fit what the file says now; revert it, "
                "or reload without --canary\n");
        conf_free(&next);
    }
    if (next != NULL)
        conf_warnings(next, &c->report.warnings);
    if (next != NULL && again) { /* a share of the buyers may, by hand */
        buf_str(&c->report.warnings, "this is tried again: ");
        rolled_back_text(m, &c->report.warnings);
        buf_char(&c->report.warnings, '\n');
    }
    return next;
}

static void offered(struct adoption *c, struct conf *next, const struct ctl_order *order)
{
    struct master *m = c->m;
    struct canary *k = &m->canary;
    struct bank_canary now = bank_canary(m->banks);

    k->conf = next;
    k->generation = now.ref.generation;
    k->bank = now.ref.bank;
    k->share = now.share;
    k->first = now.seed;
    k->since_ns = clock_mono_ns();
    k->since_real_ns = clock_real_ns();
    k->reason = xstrdup(order->reason != NULL ? order->reason : "");
    for (unsigned s = 0; s < METRIC_SIDES; s++)
        metric_side_total(m->metrics, m->process->workers, (enum metric_side)s, &k->before[s]);
    adoption_compare(c, next, k->generation, true);
    k->same = c->report.unchanged;
    history_file_is_tried(m, k->same);
    k->changes = history_in_short(&c->report);
    loop_timer_arm(&m->loop, &k->timer, LOOK_NS);
    log_notice("canary %" PRIu64 " serves %.2f %% of the buyers", k->generation,
               100.0 * k->share / BANK_SHARE_ALL);
}

void canary_start(struct master *m, const struct ctl_order *order, reload_done *done, void *arg)
{
    struct adoption *c = begin(m, order, done, arg);
    uint32_t share =
        order->share != 0 ? order->share : conf_process(m->conf)->canary.share_percent * 100;
    struct conf *next;

    c->is_reload = true;
    if (canary_runs(m) && !order->force) {
        fail(c, "a canary runs already: promote it, roll it back, or use --force");
        return;
    }
    if (m->reload.active || upgrade_busy(m) != NULL) {
        fail(c, m->reload.active ? "another change of the configuration waits for the processes"
                                 : upgrade_busy(m));
        return;
    }
    next = load(c);
    if (next == NULL) {
        adoption_failed(c);
        return;
    }
    canary_replace(m, order->by, "another one begins");
    if (!publish_canary(m, next, share, 0, &c->report.errors)) {
        rolled_back_after_all(m);
        conf_free(&next);
        adoption_failed(c);
        return;
    }
    offered(c, next, order);
    c->workers_only = true;
    adoption_wait(c);
}

void canary_promote(struct master *m, const struct ctl_order *order, reload_done *done, void *arg)
{
    struct adoption *c = begin(m, order, done, arg);
    struct origin_of o = {.origin = ORIGIN_CANARY, .reason = order->reason};

    if (!canary_runs(m)) {
        fail(c, "no canary runs");
        return;
    }
    if (!publish_again(m, m->canary.bank, &c->report.errors)) {
        adoption_failed(c);
        return;
    }
    bank_withdraw(m->banks);
    log_notice("canary %" PRIu64 " is promoted%s%s", m->canary.generation,
               order->reason != NULL ? ": " : "", order->reason != NULL ? order->reason : "");
    adoption_in_force(c, m->canary.conf, &o);
    clear(m); /* its configuration is the history's now */
    adoption_wait(c);
}

void canary_rollback(struct master *m, const struct ctl_order *order, reload_done *done, void *arg)
{
    struct adoption *c = begin(m, order, done, arg);

    c->report.old_generation = m->canary.generation;
    c->report.generation = bank_current(m->banks).generation;
    c->report.files = conf_files(m->conf);
    c->report.settings = conf_settings_set(m->conf);
    canary_end(m, order->by, order->reason);
    adoption_wait(c);
}

void canary_set_share(struct master *m, const struct ctl_order *order, reload_done *done, void *arg)
{
    struct adoption *c = begin(m, order, done, arg);

    if (!canary_runs(m)) {
        fail(c, "no canary runs");
        return;
    }
    m->canary.share = order->share;
    bank_offer(m->banks, m->canary.bank, order->share, m->canary.first);
    log_notice("canary %" PRIu64 " serves %.2f %% of the buyers", m->canary.generation,
               100.0 * order->share / BANK_SHARE_ALL);
    c->report.generation = m->canary.generation;
    c->workers_only = true;
    adoption_wait(c);
}

/* In the moment between the two generations everybody is on the stable side. */
void canary_follow(struct master *m)
{
    struct canary *k = &m->canary;
    struct buf errors = {0}, warnings = {0};
    struct conf *next;

    if (!canary_runs(m))
        return;
    next = conf_derive(k->conf, NULL, &errors);
    if (next != NULL)
        next = changes_over(m, next, &warnings);
    changes_abort(m);
    if (next == NULL || warnings.n > 0 || !publish_canary(m, next, k->share, k->first, &errors)) {
        conf_free(&next);
        canary_end(m, NULL, "a runtime change does not fit it");
    } else {
        struct bank_canary now = bank_canary(m->banks);
        conf_free(&k->conf);
        k->conf = next;
        k->generation = now.ref.generation;
        k->bank = now.ref.bank;
    }
    buf_free(&errors);
    buf_free(&warnings);
}
