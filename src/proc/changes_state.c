/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of runtime changes: what goes with a publication, what survives a reload, a restart. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "proc/changes_int.h"
#include "proc/master.h"

/* --- what goes with a publication --- */

static const char *state_file(const struct master *m)
{
    return m->process->state_file;
}

bool changes_prepare(struct master *m, struct change_set *s, struct buf *why)
{
    struct changes *ch = &m->changes;
    int rc = state_file(m) != NULL ? change_file_prepare(state_file(m), s) : 0;

    CHECK(!ch->has_pending);
    ch->was_stale = ch->stale;
    ch->pending = *s;
    *s = (struct change_set){0};
    ch->has_pending = true;
    ch->has_file = state_file(m) != NULL && rc == 0;
    ch->stale = rc < 0;
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
    int rc = ch->has_pending && ch->has_file ? file_commit(state_file(m)) : 0;

    if (!ch->has_pending)
        return;
    if (rc < 0) {
        log_error("cannot write the state file %s: %s", state_file(m), strerror(-rc));
        ch->stale = true;
    }
    if (!ch->ordered)
        audit_ended(m);
    change_set_fini(&ch->now);
    ch->now = ch->pending;
    ch->pending = (struct change_set){0};
    ch->has_pending = ch->has_file = ch->ordered = false;
    changes_wind(m, 0);
}

void changes_write_again(struct master *m)
{
    struct changes *ch = &m->changes;

    if (!ch->stale || ch->has_pending || change_file_prepare(state_file(m), &ch->now) < 0 ||
        file_commit(state_file(m)) < 0)
        return;
    ch->stale = false;
    log_notice("the state file %s is up to date again", state_file(m));
}

void changes_abort(struct master *m)
{
    struct changes *ch = &m->changes;

    if (ch->has_file)
        file_abort(state_file(m));
    if (ch->has_pending)
        ch->stale = ch->was_stale;
    change_set_fini(&ch->pending);
    ch->has_pending = ch->has_file = ch->ordered = false;
}

/* --- a configuration for a list --- */

struct conf *changes_derive(const struct conf *base, const struct change_set *s, struct buf *errors)
{
    struct conf_runtime_value all[CHANGES_MAX];
    struct conf_overlay o = change_set_overlay(s, all);

    return conf_derive(base, &o, errors);
}

void changes_first_line(struct buf *out, struct buf *errors)
{
    const char *text = buf_cstr(errors);

    buf_add(out, text, strcspn(text, "\n"));
}

/* Changes that were made together may need each other, so all are tried first. */
struct conf *changes_fit(const struct conf *base, struct change_set *s, struct buf *warnings)
{
    struct buf errors = {0};
    struct conf *whole = changes_derive(base, s, &errors), *next;
    struct change_set good = {.last_id = s->last_id};

    for (unsigned i = 0; whole == NULL && i < s->n; i++) {
        change_set_put(&good, &s->all[i]);
        buf_clear(&errors);
        next = changes_derive(base, &good, &errors);
        if (next == NULL) {
            buf_printf(warnings, "runtime change %u has ended: %s = %s no longer fits: ",
                       (unsigned)s->all[i].id, s->all[i].path, s->all[i].value);
            changes_first_line(warnings, &errors);
            buf_char(warnings, '\n');
            change_set_remove(&good, good.n - 1);
        }
        conf_free(&next);
    }
    if (whole == NULL) {
        buf_clear(&errors);
        whole = changes_derive(base, &good, &errors);
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
    next = changes_fit(loaded, &s, warnings);
    if (next == NULL) /* it was valid a moment ago: memory, or a bug; the file wins */
        return loaded;
    conf_free(&loaded);
    if (s.n < m->changes.now.n && !changes_prepare(m, &s, warnings))
        buf_char(warnings, '\n');
    change_set_fini(&s);
    return next;
}

char *changes_value(const struct conf *c, const char *path)
{
    struct buf text = {0};
    char *out = conf_value(c, path, &text) ? xstrdup(buf_cstr(&text)) : NULL;

    buf_free(&text);
    return out;
}

/* --- the start --- */

/* A file that makes no sense must not keep the gateway down; it is kept for whoever looks into it.
 */
static void move_aside(const char *path, const char *why)
{
    char aside[PATH_MAX];
    int rc = file_set_aside(path, aside);

    if (rc < 0)
        log_error("the runtime changes in %s cannot be used (%s), and the file not be moved: %s",
                  path, why, strerror(-rc));
    else
        log_warn("the runtime changes in %s are lost: %s; the file is now %s", path, why, aside);
}

static void put_over(struct master *m, struct change_set *s)
{
    unsigned over = change_set_expire(s, clock_real_ns());
    struct buf warnings = {0}, why = {0};
    struct conf *next = s->n > 0 ? changes_fit(m->conf, s, &warnings) : NULL;

    if (over > 0)
        log_notice("runtime changes that have expired since the last run: %u", over);
    if (warnings.n > 0)
        log_warn("%s", buf_cstr(&warnings));
    if (next != NULL) {
        m->conf = next; /* what was loaded stays as m->boot */
        log_notice("runtime changes of the last run that are in force again: %u", s->n);
    }
    if (!changes_prepare(m, s, &why))
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

/* --- */

void changes_list(struct master *m, void (*each)(void *out, const struct ctl_change_row *row),
                  void *out)
{
    struct buf errors = {0};
    struct conf *file = m->changes.now.n > 0 ? conf_derive(m->conf, NULL, &errors) : NULL;

    for (unsigned i = 0; i < m->changes.now.n; i++) {
        const struct change *c = &m->changes.now.all[i];
        char *said = file != NULL ? changes_value(file, c->path) : NULL,
             *value = changes_value(m->conf, c->path);
        const struct ctl_change_row row = {c->id,  c->path,          said,
                                           value,  c->since_real_ns, c->until_real_ns,
                                           c->uid, c->reason,        NULL};
        each(out, &row);
        free(said);
        free(value);
    }
    conf_free(&file);
    buf_free(&errors);
}
