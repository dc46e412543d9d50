/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runtime changes into the file: one after the other, so that what has been saved stays saved when
 * one of them has no place. What is in force does not change by it, only where it comes from: no
 * generation is published.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "conf/save.h"
#include "proc/changes_int.h"
#include "proc/master.h"

/* Saves the change; *files becomes the configuration of the files as they are then. */
static bool save_one(struct change_job *j, const struct change *c, struct conf **files)
{
    struct buf where = {0}, why = {0};
    struct conf *next = conf_save(*files, c->path, c->value, &where, &why, &j->hint);

    if (next != NULL) {
        changes_add_row(j, c, *files, next);
        j->rows[j->rows_n - 1].where = xstrdup(buf_cstr(&where));
        conf_free(files);
        *files = next;
    } else {
        buf_printf(&j->message, "runtime change %u (%s = %s) is not saved: %s", (unsigned)c->id,
                   c->path, c->value, buf_cstr(&why));
    }
    buf_free(&where);
    buf_free(&why);
    return next != NULL;
}

/* What is left of the list over what the files say now: the same values as before. */
static void take_over(struct master *m, struct change_job *j, const struct conf *files,
                      struct change_set *left)
{
    struct buf errors = {0};
    struct conf *next = changes_derive(files, left, &errors);

    if (next == NULL || !changes_prepare(m, left, &j->warning))
        log_warn("%s%s", buf_cstr(&errors), buf_cstr(&j->warning));
    if (next != NULL) {
        m->changes.ordered = true;
        changes_commit(m);
        history_same(m, next);
    }
    buf_free(&errors);
}

/* Those that were saved before another one was not are said, too. */
static void add_saved(struct change_job *j)
{
    for (unsigned i = 0; i < j->rows_n; i++)
        buf_printf(&j->details, "saved: %s = %s in %s\n", j->rows[i].path, j->rows[i].value,
                   j->rows[i].where);
}

void changes_save(struct master *m, struct change_job *j)
{
    struct reload_report as_it_is = {.ok = true, .generation = bank_current(m->banks).generation};
    struct buf errors = {0};
    struct change_set left;
    struct conf *files;
    bool ok = true;

    change_set_copy(&left, &m->changes.now);
    if (!changes_known(j, &left)) {
        changes_answer(j, CTL_NOT_FOUND, NULL);
        change_set_fini(&left);
        return;
    }
    files = conf_derive(m->conf, NULL, &errors);
    for (unsigned i = 0; files != NULL && ok && i < left.n;) {
        if (j->id != 0 && left.all[i].id != j->id) {
            i++;
            continue;
        }
        ok = save_one(j, &left.all[i], &files);
        if (ok)
            change_set_remove(&left, i);
    }
    if (files == NULL)
        buf_printf(&j->message, "not saved: %s", buf_cstr(&errors));
    else if (j->rows_n > 0)
        take_over(m, j, files, &left);
    ok = ok && files != NULL;
    if (!ok)
        add_saved(j);
    changes_answer(j, ok ? CTL_ERROR_COUNT : CTL_FAILED, ok ? &as_it_is : NULL);
    conf_free(&files);
    change_set_fini(&left);
    buf_free(&errors);
}
