/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configurations that are kept. Each is here once: a rollback moves its configuration to the
 * end of the list, and a reload that changes nothing takes the place of what it repeats, so that
 * neither pushes others out. `first` remembers the number under which it was known before.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "proc/master.h"

#define CHANGES_SHOWN 3

const char *origin_name(enum origin o)
{
    static const char *const names[] = {"start", "file", "rollback", "runtime", "canary"};

    return names[o];
}

const struct kept *history_current(const struct master *m)
{
    return m->history.n > 0 ? &m->history.all[m->history.n - 1] : NULL;
}

/* The banks that rollbacks copy from. The current one needs no bit, but is a copy's source too. */
static void keep_banks(struct master *m)
{
    uint64_t banks = 0;

    for (unsigned i = 0; i < m->history.n; i++)
        banks |= bank_bit(m->history.all[i].bank);
    bank_keep(m->banks, banks);
}

/* conf: what takes its place, or NULL. */
static void forget(struct master *m, unsigned i, const struct conf *conf)
{
    struct history *h = &m->history;
    struct kept *k = &h->all[i];

    if (k->conf != m->boot && k->conf != conf)
        conf_free(&k->conf);
    free(k->reason);
    free(k->changes);
    memmove(k, k + 1, (h->n - i - 1) * sizeof *k);
    h->n--;
}

uint64_t history_drop_oldest(struct master *m)
{
    const struct history *h = &m->history;
    unsigned i = h->n > 0 && h->all[0].generation == h->wanted ? 1 : 0;
    uint64_t gone;

    if (i + 1 >= h->n)
        return 0;
    gone = h->all[i].generation;
    forget(m, i, NULL);
    keep_banks(m);
    return gone;
}

void history_trim(struct master *m)
{
    while (m->history.n > conf_process(m->conf)->generations_keep + 1)
        history_drop_oldest(m);
}

char *history_in_short(const struct reload_report *r)
{
    struct buf out = {0};
    char *text;

    for (unsigned i = 0; i < r->changes_n && i < CHANGES_SHOWN; i++)
        buf_printf(&out, "%s%s", i > 0 ? ", " : "", r->changes[i].path);
    if (r->changes_n > CHANGES_SHOWN)
        buf_printf(&out, " and %u more", r->changes_n - CHANGES_SHOWN);
    text = xstrdup(buf_cstr(&out));
    buf_free(&out);
    return text;
}

static unsigned index_of(const struct history *h, uint64_t generation)
{
    unsigned i = 0;

    while (i < h->n && h->all[i].generation != generation)
        i++;
    return i;
}

/* Since when, how and why it is in force. A runtime change changes none of that, and a reload that
 * changes nothing takes no reason away. */
static void say_why(struct kept *k, const struct kept *before, const struct origin_of *o,
                    const struct reload_report *report)
{
    bool over_it = o->origin == ORIGIN_RUNTIME && before != NULL;
    const char *reason = o->reason != NULL ? o->reason : "";

    if (over_it) {
        k->origin = before->origin;
        k->since_real_ns = before->since_real_ns;
    }
    if (over_it || (reason[0] == '\0' && before != NULL && report->unchanged && before->of_file))
        reason = before->reason;
    k->reason = xstrdup(reason);
    k->changes = over_it || (before != NULL && report->unchanged) ? xstrdup(before->changes)
                                                                  : history_in_short(report);
}

void history_add(struct master *m, struct conf *conf, const struct origin_of *o,
                 const struct reload_report *report)
{
    struct history *h = &m->history;
    struct bank_ref now = bank_current(m->banks);
    unsigned old = o->again != 0 ? index_of(h, o->again) : h->n;
    bool from_file =
        o->origin == ORIGIN_FILE || o->origin == ORIGIN_START || o->origin == ORIGIN_CANARY;
    const struct kept *before = old < h->n ? &h->all[old] : NULL;
    struct kept k = {
        .conf = conf,
        .generation = now.generation,
        .first = before != NULL ? before->first : now.generation,
        .bank = now.bank,
        .since_real_ns = clock_real_ns(),
        .origin = o->origin,
        .of_file = from_file || (before != NULL && before->of_file),
        .changed = m->changes.now.n > 0,
    };

    say_why(&k, before, o, report);
    if (before != NULL)
        forget(m, old, conf);
    else if (h->n == HISTORY_MAX + 1)
        forget(m, 0, NULL);
    if (from_file)
        history_file_is_tried(m, false);
    h->all[h->n++] = k;
    if (k.of_file)
        rolled_back_forget(m);
    m->conf = conf;
    history_trim(m);
    keep_banks(m);
}

void history_file_is_tried(struct master *m, bool same)
{
    struct history *h = &m->history;

    for (unsigned i = 0; i < h->n; i++)
        h->all[i].of_file = same && i == h->n - 1;
    rolled_back_forget(m);
}

void history_same(struct master *m, struct conf *conf)
{
    struct kept *k = &m->history.all[m->history.n - 1];

    if (k->conf != m->boot)
        conf_free(&k->conf);
    k->conf = m->conf = conf;
    k->changed = m->changes.now.n > 0;
}

const struct kept *history_find(const struct master *m, uint64_t generation)
{
    const struct history *h = &m->history;

    if (generation == 0)
        return h->n > 1 ? &h->all[h->n - 2] : NULL;
    for (unsigned i = h->n; i-- > 0;)
        if (h->all[i].generation == generation)
            return &h->all[i];
    for (unsigned i = h->n; i-- > 0;)
        if (h->all[i].first == generation)
            return &h->all[i];
    return NULL;
}

void history_fini(struct master *m)
{
    while (m->history.n > 0)
        forget(m, 0, NULL);
}
