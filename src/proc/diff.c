/* SPDX-License-Identifier: BSD-2-Clause */
/* What a reload would do: the files against what is in force, runtime changes over both. */
#include "config.h"

#include <stdlib.h>

#include "base/check.h"
#include "proc/changes_int.h"
#include "proc/master.h"

struct diff_rows {
    struct conf_change *all; /* texts owned */
    unsigned n;
    bool restart; /* those that need one, or those that do not */
};

static void add(void *arg, const struct conf_change *c)
{
    struct diff_rows *l = arg;

    if (c->restart != l->restart)
        return;
    l->all = xrealloc(l->all, (l->n + 1) * sizeof *l->all);
    l->all[l->n++] = (struct conf_change){xstrdup(c->path), xstrdup(c->old_text),
                                          xstrdup(c->new_text), c->restart};
}

static void list_free(struct diff_rows *l)
{
    for (unsigned i = 0; i < l->n; i++) {
        free((char *)(uintptr_t)l->all[i].path);
        free((char *)(uintptr_t)l->all[i].old_text);
        free((char *)(uintptr_t)l->all[i].new_text);
    }
    free(l->all);
}

void reload_diff(struct master *m, ctl_diff_fn *done, void *request)
{
    struct buf errors = {0}, warnings = {0};
    struct conf *files = conf_load(m->options->file, m->options->prefix, &errors), *next = NULL;
    struct change_set s;
    struct diff_rows l = {0};
    struct ctl_diff d;

    change_set_copy(&s, &m->changes.now);
    if (files != NULL)
        next = changes_fit(files, &s, &warnings);
    if (files != NULL && rolled_back_is(m, files)) {
        buf_printf(&warnings, "%s still holds ", m->options->file);
        rolled_back_text(m, &warnings);
        buf_str(&warnings, "; a reload is refused until it is mended\n");
    }
    if (next != NULL) {
        conf_diff(m->conf, next, add, &l);
        l.restart = true;
        conf_diff(m->boot, next, add, &l);
    }
    d = (struct ctl_diff){buf_cstr(&errors), buf_cstr(&warnings), l.all, l.n};
    done(request, &d);
    list_free(&l);
    conf_free(&next);
    conf_free(&files);
    change_set_fini(&s);
    buf_free(&errors);
    buf_free(&warnings);
}
