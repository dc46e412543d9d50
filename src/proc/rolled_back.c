/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "proc/rolled_back.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "conf/overlay.h"
#include "proc/master.h"

void rolled_back_forget(struct master *m)
{
    struct rolled_back *r = &m->rolled_back;

    conf_free(&r->conf);
    free(r->by);
    free(r->reason);
    *r = (struct rolled_back){0};
}

static void note(struct master *m, struct rolled_back what, const char *by, const char *reason)
{
    rolled_back_forget(m);
    what.at_real_ns = clock_real_ns();
    what.by = xstrdup(by != NULL && by[0] != '\0' ? by : "the daemon");
    what.reason = xstrdup(reason != NULL ? reason : "");
    m->rolled_back = what;
}

void rolled_back_count(struct master *m, const char *by)
{
    enum metric_counter who = by == NULL                ? METRIC_canary_rolled_back_change
                              : strcmp(by, "rule") == 0 ? METRIC_canary_rolled_back_rule
                                                        : METRIC_canary_rolled_back_operator;

    metric_add(&m->metrics->blocks[METRIC_MASTER].counter[who], 1);
}

void rolled_back_after_all(struct master *m)
{
    struct rolled_back *r = &m->rolled_back;

    if (r->replaced)
        rolled_back_count(m, r->by);
    r->replaced = false;
}

void rolled_back_canary(struct master *m, struct conf *conf, const char *by, const char *reason)
{
    note(m,
         (struct rolled_back){.generation = m->canary.generation,
                              .since_real_ns = m->canary.since_real_ns,
                              .conf = conf,
                              .canary = true},
         by, reason);
}

void rolled_back_kept(struct master *m, const struct kept *k, const char *by, const char *reason)
{
    struct buf errors = {0};

    /* A copy: the history may give it up before the file is mended. */
    note(m,
         (struct rolled_back){.generation = k->generation,
                              .since_real_ns = k->since_real_ns,
                              .conf = conf_derive(k->conf, NULL, &errors)},
         by, reason);
    buf_free(&errors);
}

static void nothing(void *arg, const struct conf_change *change)
{
    (void)arg;
    (void)change;
}

bool rolled_back_is(const struct master *m, const struct conf *files)
{
    const struct conf *before = m->rolled_back.conf;
    struct buf errors = {0};
    struct conf *plain; /* without the runtime changes of then */
    bool same;

    if (before == NULL)
        return false;
    plain = conf_derive(before, NULL, &errors);
    same = plain != NULL && conf_diff(plain, files, nothing, NULL) == 0;
    conf_free(&plain);
    buf_free(&errors);
    return same;
}

bool rolled_back_in_file(const struct master *m)
{
    struct buf errors = {0};
    struct conf *files = NULL;
    bool same;

    if (m->rolled_back.generation != 0)
        files = conf_load(m->options->file, m->options->prefix, &errors);
    same = files != NULL && rolled_back_is(m, files);
    conf_free(&files);
    buf_free(&errors);
    return same;
}

void rolled_back_text(const struct master *m, struct buf *out)
{
    const struct rolled_back *r = &m->rolled_back;
    char at[CLOCK_ISO_MAX];

    clock_iso8601(r->at_real_ns, 0, at);
    buf_printf(out, "%sgeneration %" PRIu64 ", rolled back %s by %s%s%s",
               r->canary ? "canary " : "", r->generation, at, r->by, r->reason[0] ? ": " : "",
               r->reason);
}
