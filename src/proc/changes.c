/* SPDX-License-Identifier: BSD-2-Clause */
/* Orders about runtime changes, one after the other, and the clock that ends them. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "proc/changes_int.h"
#include "proc/master.h"

/* Generations that a process may be behind: each keeps a bank, which a reload needs some day. What
 * ends a change may use more than what begins one. */
#define BEHIND_MAX     8
#define BEHIND_MAX_END 16

#define LOOK_NS  (30 * NS_PER_S) /* the wall clock may be set: no longer sleep than this */
#define RETRY_NS (1 * NS_PER_S)  /* an expiry that could not be published */

static void job_free(struct change_job *j)
{
    for (unsigned i = 0; i < j->rows_n; i++) {
        free((char *)(uintptr_t)j->rows[i].path);
        free((char *)(uintptr_t)j->rows[i].old_value);
        free((char *)(uintptr_t)j->rows[i].value);
        free((char *)(uintptr_t)j->rows[i].where);
    }
    free(j->rows);
    change_set_fini(&j->wanted);
    buf_free(&j->message);
    buf_free(&j->hint);
    buf_free(&j->details);
    buf_free(&j->warning);
    free(j);
}

static void job_add(struct master *m, struct change_job *j)
{
    struct change_job **at = &m->changes.jobs;

    j->m = m;

    while (*at != NULL)
        at = &(*at)->next;
    *at = j;
    changes_next(m);
}

/* --- time --- */

static void on_timer(struct loop_timer *t)
{
    struct master *m = CONTAINER_OF(t, struct master, changes.timer);
    uint64_t end = change_set_next_end(&m->changes.now);
    struct change_job *j;

    changes_write_again(m);
    if (end == 0 || end > clock_real_ns()) {
        changes_wind(m, 0);
        return;
    }
    j = xcalloc(1, sizeof *j);
    j->kind = JOB_EXPIRE;
    j->wait_ns = RELOAD_WAIT_DEFAULT;
    job_add(m, j);
}

void changes_wind(struct master *m, uint64_t least_ns)
{
    uint64_t end = change_set_next_end(&m->changes.now), now = clock_real_ns(), left;

    if (m->loop.base == NULL)
        return; /* the start: changes_wake follows */
    loop_timer_disarm(&m->loop, &m->changes.timer);
    if (end == 0 && !m->changes.stale)
        return;
    left = end == 0 ? LOOK_NS : end > now ? end - now : 0;
    left = left > LOOK_NS ? LOOK_NS : left < least_ns ? least_ns : left;
    loop_timer_arm(&m->loop, &m->changes.timer, left);
}

/* --- orders --- */

void changes_answer(struct change_job *j, enum ctl_error error, const struct reload_report *report)
{
    struct ctl_change_outcome o = {
        .error = error,
        .message = buf_cstr(&j->message),
        .hint = buf_cstr(&j->hint),
        .details = buf_cstr(&j->details),
        .warning = buf_cstr(&j->warning),
        .rows = j->rows,
        .rows_n = error == CTL_ERROR_COUNT ? j->rows_n : 0,
    };

    if (report != NULL) {
        o.generation = report->generation;
        o.processes_on_it = report->reporting;
        o.processes_total = report->expected;
        o.incomplete = !report->ok;
    }
    if (j->done != NULL)
        j->done(j->request, &o);
}

void changes_add_row(struct change_job *j, const struct change *c, const struct conf *old_conf,
                     const struct conf *new_conf)
{
    j->rows = xrealloc(j->rows, (j->rows_n + 1) * sizeof *j->rows);
    j->rows[j->rows_n++] =
        (struct ctl_change_row){.id = c->id,
                                .path = xstrdup(c->path),
                                .old_value = changes_value(old_conf, c->path),
                                .value = changes_value(new_conf, c->path),
                                .until_real_ns = j->kind == JOB_SET ? c->until_real_ns : 0};
}

static void audit_expiry(struct master *m, const struct change_job *j)
{
    for (unsigned i = 0; i < j->rows_n; i++) {
        const struct ctl_change_row *row = &j->rows[i];
        char what[48];
        json_t *list = NULL;
        snprintf(what, sizeof what, "runtime change %u expired", (unsigned)row->id);
        audit_change(&list, row->path, row->old_value, row->value);
        audit_event(&m->audit, what, list, "", "ok");
    }
}

static void late_remove(struct master *m, const struct change_job *j)
{
    struct change_job **at = &m->changes.late;

    while (*at != NULL && *at != j)
        at = &(*at)->next;
    if (*at != NULL)
        *at = j->next;
}

static void on_published(void *arg, const struct reload_report *report)
{
    struct change_job *j = arg;
    struct master *m = j->m;
    bool published = report->generation != report->old_generation;
    struct buf errors = {0};

    late_remove(m, j);
    buf_slice(&errors, buf_view(&report->errors));
    if (published) {
        if (j->kind == JOB_EXPIRE)
            audit_expiry(m, j);
        changes_answer(j, CTL_ERROR_COUNT, report);
    } else {
        buf_str(&j->message, "not changed: ");
        changes_first_line(&j->message, &errors);
        changes_answer(j, CTL_FAILED, NULL);
        if (j->kind == JOB_EXPIRE)
            changes_wind(m, RETRY_NS);
    }
    buf_free(&errors);
    job_free(j);
}

bool changes_known(struct change_job *j, const struct change_set *s)
{
    bool known = j->id == 0 || change_set_find(s, j->id) != NULL;

    if (!known) {
        buf_printf(&j->message, "there is no runtime change %u", (unsigned)j->id);
        buf_str(&j->hint, "rushctl changes lists them");
    }
    return known;
}

/* Settings that do not exist or cannot be changed are told by name, before anything is tried. */
static enum ctl_error check_paths(const struct master *m, struct change_job *j)
{
    for (unsigned i = 0; i < j->wanted.n; i++)
        switch (conf_changeable(m->conf, j->wanted.all[i].path, &j->message, &j->hint)) {
        case CONF_CHANGEABLE:
            break;
        case CONF_NO_SETTING:
            return CTL_NOT_FOUND;
        case CONF_FIXED:
            return CTL_REFUSED;
        }
    return CTL_ERROR_COUNT;
}

/* The list as it is to be. CTL_ERROR_COUNT, or an error with its message in the job. */
static enum ctl_error next_list(const struct master *m, struct change_job *j, struct change_set *s)
{
    enum ctl_error error = check_paths(m, j);

    if (error != CTL_ERROR_COUNT)
        return error;
    for (unsigned i = 0; i < j->wanted.n; i++) {
        struct change c = j->wanted.all[i];
        c.id = 0;
        j->wanted.all[i].id = change_set_put(s, &c);
    }
    if (s->n > CHANGES_MAX) {
        buf_printf(&j->message, "there are %d runtime changes already", CHANGES_MAX);
        buf_str(&j->hint, "rushctl changes; put what is to stay into the file");
        return CTL_REFUSED;
    }
    if (j->kind == JOB_EXPIRE)
        change_set_expire(s, clock_real_ns());
    if (j->kind == JOB_REVERT && !changes_known(j, s))
        return CTL_NOT_FOUND;
    for (unsigned i = s->n; j->kind == JOB_REVERT && i-- > 0;)
        if (j->id == 0 || s->all[i].id == j->id)
            change_set_remove(s, i);
    return CTL_ERROR_COUNT;
}

/* The configuration for s; an order that does not fit is refused, time cannot be. */
static struct conf *next_conf(const struct master *m, struct change_job *j, struct change_set *s)
{
    struct conf *next;

    if (j->kind == JOB_EXPIRE) {
        next = changes_fit(m->conf, s, &j->warning);
        if (j->warning.n > 0)
            log_warn("%s", buf_cstr(&j->warning));
        return next;
    }
    next = changes_derive(m->conf, s, &j->details);
    if (next == NULL)
        buf_str(&j->message, j->kind == JOB_SET
                                 ? "nothing has changed"
                                 : "without this change others do not fit: nothing has changed");
    return next;
}

static void add_rows(const struct master *m, struct change_job *j, const struct change_set *s,
                     const struct conf *next)
{
    for (unsigned i = 0; i < j->wanted.n; i++)
        changes_add_row(j, &j->wanted.all[i], m->conf, next);
    for (unsigned i = 0; j->kind != JOB_SET && i < m->changes.now.n; i++)
        if (change_set_find(s, m->changes.now.all[i].id) == NULL)
            changes_add_row(j, &m->changes.now.all[i], m->conf, next);
}

/* There was nothing to end. */
static void answer_at_once(struct master *m, struct change_job *j, struct conf *next)
{
    struct reload_report as_it_is = {.ok = true, .generation = bank_current(m->banks).generation};

    changes_abort(m);
    conf_free(&next);
    changes_answer(j, CTL_ERROR_COUNT, &as_it_is);
    job_free(j);
}

/* A process that does not follow keeps every bank since. CTL_ERROR_COUNT: there is room. */
static enum ctl_error check_room(struct master *m, struct change_job *j)
{
    unsigned slot;
    uint64_t behind = publish_behind(m, &slot);
    bool warned = m->changes.put_off;

    m->changes.put_off = false;
    if (behind < (j->kind == JOB_SET ? BEHIND_MAX : BEHIND_MAX_END))
        return CTL_ERROR_COUNT;
    if (slot == CONTROL_KEEPER)
        buf_str(&j->message, "the keeper");
    else
        buf_printf(&j->message, "worker %u", slot);
    buf_printf(&j->message,
               " (process %u) has not followed the last %" PRIu64
               " generations; nothing has changed",
               atomic_load_explicit(&m->control->slots[slot].pid, memory_order_relaxed), behind);
    buf_str(&j->hint, "rushctl show workers; one that does not answer can be killed, a new one "
                      "starts with what is in force");
    if (j->kind == JOB_EXPIRE && !warned)
        log_warn("runtime changes cannot expire: %s", buf_cstr(&j->message));
    m->changes.put_off = j->kind == JOB_EXPIRE || warned;
    return CTL_REFUSED;
}

static void run_job(struct master *m, struct change_job *j)
{
    struct change_set s;
    struct conf *next = NULL;
    enum ctl_error error;

    change_set_copy(&s, &m->changes.now);
    error = next_list(m, j, &s);
    if (error == CTL_ERROR_COUNT) {
        next = next_conf(m, j, &s);
        error = next != NULL ? CTL_ERROR_COUNT : CTL_INVALID;
    }
    if (error == CTL_ERROR_COUNT)
        add_rows(m, j, &s, next);
    if (error == CTL_ERROR_COUNT && j->rows_n > 0)
        error = check_room(m, j);
    /* An end must not wait for room on the disk; what begins must be remembered. */
    if (error == CTL_ERROR_COUNT && !changes_prepare(m, &s, &j->warning) && j->kind == JOB_SET) {
        buf_printf(&j->message, "%s; nothing has changed", buf_cstr(&j->warning));
        error = CTL_FAILED;
    }
    change_set_fini(&s);
    if (error == CTL_ERROR_COUNT && j->rows_n == 0) {
        answer_at_once(m, j, next);
        return;
    }
    if (error == CTL_ERROR_COUNT) {
        j->next = m->changes.late;
        m->changes.late = j;
        m->changes.ordered = true;
        reload_conf(m, next, j->wait_ns, on_published, j);
        return;
    }
    changes_abort(m);
    conf_free(&next);
    changes_answer(j, error, NULL);
    if (j->kind == JOB_EXPIRE)
        changes_wind(m, RETRY_NS);
    job_free(j);
}

void changes_next(struct master *m)
{
    /* An upgrade: the next master has read the state file already, or is about to. */
    while (m->changes.jobs != NULL && upgrade_busy(m) == NULL) {
        struct change_job *j = m->changes.jobs;
        m->changes.jobs = j->next;
        if (j->kind == JOB_SAVE) {
            changes_save(m, j);
            job_free(j);
        } else {
            run_job(m, j);
        }
    }
}

void changes_wake(struct master *m)
{
    changes_wind(m, 0);
}

void changes_order(struct master *m, const struct ctl_change_order *order, ctl_change_fn *done,
                   void *request)
{
    struct change_job *j = xcalloc(1, sizeof *j);
    uint64_t now = clock_real_ns();

    j->kind = order->kind == CTL_CHANGE_SET      ? JOB_SET
              : order->kind == CTL_CHANGE_REVERT ? JOB_REVERT
                                                 : JOB_SAVE;
    j->id = order->id;
    j->wait_ns = order->wait_ns;
    j->done = done;
    j->request = request;
    for (unsigned i = 0; i < order->settings_n; i++) {
        struct change c = {.path = (char *)(uintptr_t)order->settings[i].path,
                           .value = (char *)(uintptr_t)order->settings[i].value,
                           .reason = (char *)(uintptr_t)order->reason,
                           .since_real_ns = now,
                           .until_real_ns = order->for_ns != 0 ? now + order->for_ns : 0,
                           .uid = order->uid};
        change_set_put(&j->wanted, &c);
    }
    job_add(m, j);
}

/* --- start and end --- */

void changes_init(struct master *m)
{
    m->changes = (struct changes){0};
    loop_timer_init(&m->changes.timer, on_timer);
}

void changes_fini(struct master *m)
{
    struct changes *ch = &m->changes;

    if (m->loop.base != NULL)
        loop_timer_disarm(&m->loop, &ch->timer);
    changes_abort(m);
    while (ch->jobs != NULL) {
        struct change_job *j = ch->jobs;
        ch->jobs = j->next;
        job_free(j);
    }
    while (ch->late != NULL) {
        struct change_job *j = ch->late;
        ch->late = j->next;
        job_free(j);
    }
    change_set_fini(&ch->now);
}
