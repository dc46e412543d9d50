/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "proc/changes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "proc/master.h"

#define LOOK_NS  (30 * NS_PER_S) /* the wall clock may be set: no longer sleep than this */
#define RETRY_NS (1 * NS_PER_S)  /* an expiry that could not be published */

enum job_kind { JOB_SET, JOB_REVERT, JOB_EXPIRE };

struct change_job {
    struct change_job *next;
    enum job_kind kind;
    struct change_set wanted; /* SET: ids are not given yet */
    uint32_t id;              /* REVERT; 0: all */
    uint64_t wait_ns;
    ctl_change_fn *done; /* NULL: nobody waits */
    void *request;
    /* For the outcome: */
    struct ctl_change_row *rows; /* texts owned */
    unsigned rows_n;
    struct buf message, hint, details, warning;
};

static void job_free(struct change_job *j)
{
    for (unsigned i = 0; i < j->rows_n; i++) {
        free((char *)(uintptr_t)j->rows[i].path);
        free((char *)(uintptr_t)j->rows[i].old_value);
        free((char *)(uintptr_t)j->rows[i].value);
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

    if (end == 0)
        return;
    if (end > clock_real_ns()) {
        uint64_t left = end - clock_real_ns();
        loop_timer_arm(&m->loop, t, left < LOOK_NS ? left : LOOK_NS);
        return;
    }
    j = xcalloc(1, sizeof *j);
    j->kind = JOB_EXPIRE;
    j->wait_ns = RELOAD_WAIT_DEFAULT;
    job_add(m, j);
}

static void wind_timer(struct master *m, uint64_t least_ns)
{
    uint64_t end = change_set_next_end(&m->changes.now), now = clock_real_ns(), left;

    if (m->loop.base == NULL)
        return; /* the start: changes_wake follows */
    loop_timer_disarm(&m->loop, &m->changes.timer);
    if (end == 0)
        return;
    left = end > now ? end - now : 0;
    left = left > LOOK_NS ? LOOK_NS : left < least_ns ? least_ns : left;
    loop_timer_arm(&m->loop, &m->changes.timer, left);
}

/* --- what goes with a publication --- */

static const char *state_file(const struct master *m)
{
    return m->process->state_file;
}

/* Takes over s. False with a message: the state file cannot be written. */
static bool prepare(struct master *m, struct change_set *s, struct buf *why)
{
    struct changes *ch = &m->changes;
    int rc = state_file(m) != NULL ? change_file_prepare(state_file(m), s) : 0;

    CHECK(!ch->has_pending);
    ch->pending = *s;
    *s = (struct change_set){0};
    ch->has_pending = true;
    ch->has_file = state_file(m) != NULL && rc == 0;
    if (rc < 0)
        buf_printf(why, "cannot write the state file %s: %s", state_file(m), strerror(-rc));
    return rc == 0;
}

/* Of those that a reload has ended. */
static void audit_ended(struct master *m)
{
    const struct changes *ch = &m->changes;
    char what[64];

    for (unsigned i = 0; i < ch->now.n; i++)
        if (change_set_find(&ch->pending, ch->now.all[i].id) == NULL) {
            snprintf(what, sizeof what, "runtime change %u ended", (unsigned)ch->now.all[i].id);
            audit_event(&m->audit, what, NULL, "it no longer fits the file", "ok");
        }
}

void changes_commit(struct master *m)
{
    struct changes *ch = &m->changes;
    int rc = ch->has_pending && ch->has_file ? change_file_commit(state_file(m)) : 0;

    if (!ch->has_pending)
        return;
    if (rc < 0)
        log_error("cannot write the state file %s: %s; a restart would not know the change",
                  state_file(m), strerror(-rc));
    if (ch->job == NULL)
        audit_ended(m);
    change_set_fini(&ch->now);
    ch->now = ch->pending;
    ch->pending = (struct change_set){0};
    ch->has_pending = ch->has_file = false;
    wind_timer(m, 0);
}

void changes_abort(struct master *m)
{
    struct changes *ch = &m->changes;

    if (ch->has_file)
        change_file_abort(state_file(m));
    change_set_fini(&ch->pending);
    ch->has_pending = ch->has_file = false;
}

/* --- a configuration for a list --- */

static struct conf *derive(const struct conf *base, const struct change_set *s, struct buf *errors)
{
    struct conf_runtime_value all[CHANGES_MAX];
    struct conf_overlay o = change_set_overlay(s, all);

    return conf_derive(base, &o, errors);
}

static void first_line(struct buf *out, struct buf *errors)
{
    const char *text = buf_cstr(errors);

    buf_add(out, text, strcspn(text, "\n"));
}

/*
 * The configuration for as many of them as go together: one that is wrong by itself, or with those
 * before it, ends. Changes that were made together may need each other, so all are tried first.
 */
static struct conf *fit(const struct conf *base, struct change_set *s, struct buf *warnings)
{
    struct buf errors = {0};
    struct conf *whole = derive(base, s, &errors), *next;
    struct change_set good = {.last_id = s->last_id};

    for (unsigned i = 0; whole == NULL && i < s->n; i++) {
        change_set_put(&good, &s->all[i]);
        buf_clear(&errors);
        next = derive(base, &good, &errors);
        if (next == NULL) {
            buf_printf(warnings, "runtime change %u has ended: %s = %s no longer fits: ",
                       (unsigned)s->all[i].id, s->all[i].path, s->all[i].value);
            first_line(warnings, &errors);
            buf_char(warnings, '\n');
            change_set_remove(&good, good.n - 1);
        }
        conf_free(&next);
    }
    if (whole == NULL) {
        buf_clear(&errors);
        whole = derive(base, &good, &errors);
        change_set_fini(s);
        *s = good;
    }
    buf_free(&errors);
    return whole;
}

struct conf *changes_over(struct master *m, struct conf *loaded, struct buf *warnings)
{
    struct change_set s;
    struct conf *next;

    if (m->changes.now.n == 0)
        return loaded;
    change_set_copy(&s, &m->changes.now);
    next = fit(loaded, &s, warnings);
    if (next == NULL) /* it was valid a moment ago: memory, or a bug; the file wins */
        return loaded;
    conf_free(&loaded);
    if (s.n < m->changes.now.n && !prepare(m, &s, warnings))
        buf_char(warnings, '\n');
    change_set_fini(&s);
    return next;
}

/* --- orders --- */

static void answer(struct change_job *j, enum ctl_error error, const struct reload_report *report)
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

static char *value_of(const struct conf *c, const char *path)
{
    struct buf text = {0};
    char *out = conf_value(c, path, &text) ? xstrdup(buf_cstr(&text)) : NULL;

    buf_free(&text);
    return out;
}

/* For the answer and the audit log. new_conf NULL: the outcome has no such value. */
static void add_row(struct change_job *j, const struct change *c, const struct conf *old_conf,
                    const struct conf *new_conf)
{
    j->rows = xrealloc(j->rows, (j->rows_n + 1) * sizeof *j->rows);
    j->rows[j->rows_n++] = (struct ctl_change_row){.id = c->id,
                                                   .path = xstrdup(c->path),
                                                   .old_value = value_of(old_conf, c->path),
                                                   .value = value_of(new_conf, c->path),
                                                   .until_real_ns = c->until_real_ns};
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

static void on_published(void *arg, const struct reload_report *report)
{
    struct master *m = arg;
    struct change_job *j = m->changes.job;
    bool published = report->generation != report->old_generation;
    struct buf errors = {0};

    m->changes.job = NULL;
    buf_slice(&errors, buf_view(&report->errors));
    if (published) {
        if (j->kind == JOB_EXPIRE)
            audit_expiry(m, j);
        answer(j, CTL_ERROR_COUNT, report);
    } else {
        buf_str(&j->message, "not changed: ");
        first_line(&j->message, &errors);
        answer(j, CTL_FAILED, NULL);
        if (j->kind == JOB_EXPIRE)
            wind_timer(m, RETRY_NS);
    }
    buf_free(&errors);
    job_free(j);
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
    if (j->kind == JOB_REVERT && j->id != 0 && change_set_find(s, j->id) == NULL) {
        buf_printf(&j->message, "there is no runtime change %u", (unsigned)j->id);
        buf_str(&j->hint, "rushctl changes lists them");
        return CTL_NOT_FOUND;
    }
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
        next = fit(m->conf, s, &j->warning);
        if (j->warning.n > 0)
            log_warn("%s", buf_cstr(&j->warning));
        return next;
    }
    next = derive(m->conf, s, &j->details);
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
        add_row(j, &j->wanted.all[i], m->conf, next);
    for (unsigned i = 0; j->kind != JOB_SET && i < m->changes.now.n; i++)
        if (change_set_find(s, m->changes.now.all[i].id) == NULL)
            add_row(j, &m->changes.now.all[i], m->conf, next);
}

/* There was nothing to end. */
static void answer_at_once(struct master *m, struct change_job *j, struct conf *next)
{
    struct reload_report as_it_is = {.ok = true, .generation = bank_current(m->banks).generation};

    changes_abort(m);
    conf_free(&next);
    answer(j, CTL_ERROR_COUNT, &as_it_is);
    job_free(j);
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
    /* An end must not wait for room on the disk; what begins must be remembered. */
    if (error == CTL_ERROR_COUNT && !prepare(m, &s, &j->warning) && j->kind == JOB_SET) {
        buf_printf(&j->message, "%s; nothing has changed", buf_cstr(&j->warning));
        error = CTL_FAILED;
    }
    change_set_fini(&s);
    if (error == CTL_ERROR_COUNT && j->rows_n == 0) {
        answer_at_once(m, j, next);
        return;
    }
    if (error == CTL_ERROR_COUNT) {
        m->changes.job = j;
        reload_conf(m, next, j->wait_ns, on_published, m);
        return;
    }
    changes_abort(m);
    conf_free(&next);
    answer(j, error, NULL);
    if (j->kind == JOB_EXPIRE)
        wind_timer(m, RETRY_NS);
    job_free(j);
}

void changes_next(struct master *m)
{
    while (m->changes.jobs != NULL && m->changes.job == NULL && !m->reload.active) {
        struct change_job *j = m->changes.jobs;
        m->changes.jobs = j->next;
        run_job(m, j);
    }
}

void changes_wake(struct master *m)
{
    wind_timer(m, 0);
}

void changes_order(struct master *m, const struct ctl_change_order *order, ctl_change_fn *done,
                   void *request)
{
    struct change_job *j = xcalloc(1, sizeof *j);
    uint64_t now = clock_real_ns();

    j->kind = order->kind == CTL_CHANGE_SET ? JOB_SET : JOB_REVERT;
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

void changes_list(struct master *m, void (*each)(void *out, const struct ctl_change_row *row),
                  void *out)
{
    struct buf errors = {0};
    struct conf *file = m->changes.now.n > 0 ? conf_derive(m->conf, NULL, &errors) : NULL;

    for (unsigned i = 0; i < m->changes.now.n; i++) {
        const struct change *c = &m->changes.now.all[i];
        char *said = file != NULL ? value_of(file, c->path) : NULL,
             *value = value_of(m->conf, c->path);
        const struct ctl_change_row row = {
            c->id, c->path, said, value, c->since_real_ns, c->until_real_ns, c->uid, c->reason};
        each(out, &row);
        free(said);
        free(value);
    }
    conf_free(&file);
    buf_free(&errors);
}

/* --- start and end --- */

void changes_init(struct master *m)
{
    m->changes = (struct changes){0};
    loop_timer_init(&m->changes.timer, on_timer);
}

/* A file that makes no sense must not keep the gateway down; it is kept for whoever looks into it.
 */
static void move_aside(const char *path, const char *why)
{
    struct buf bad = {0};

    buf_printf(&bad, "%s.bad", path);
    if (rename(path, buf_cstr(&bad)) == 0)
        log_warn("the runtime changes in %s are lost: %s; the file is now %s", path, why,
                 buf_cstr(&bad));
    else
        log_warn("the runtime changes in %s are lost: %s", path, why);
    buf_free(&bad);
}

static void put_over(struct master *m, struct change_set *s)
{
    unsigned over = change_set_expire(s, clock_real_ns());
    struct buf warnings = {0}, why = {0};
    struct conf *next = s->n > 0 ? fit(m->conf, s, &warnings) : NULL;

    if (over > 0)
        log_notice("runtime changes that have expired since the last run: %u", over);
    if (warnings.n > 0)
        log_warn("%s", buf_cstr(&warnings));
    if (next != NULL) {
        m->conf = next; /* what was loaded stays as m->boot */
        log_notice("runtime changes of the last run that are in force again: %u", s->n);
    }
    if (!prepare(m, s, &why))
        log_warn("%s", buf_cstr(&why));
    changes_commit(m);
    buf_free(&warnings);
    buf_free(&why);
}

void changes_restore(struct master *m)
{
    struct change_set s;
    struct buf why = {0};

    if (state_file(m) == NULL)
        return;
    if (!change_file_read(state_file(m), &s, &why))
        move_aside(state_file(m), buf_cstr(&why));
    else if (s.n > 0)
        put_over(m, &s);
    else
        m->changes.now.last_id = s.last_id;
    change_set_fini(&s);
    buf_free(&why);
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
    if (ch->job != NULL)
        job_free(ch->job);
    change_set_fini(&ch->now);
}
