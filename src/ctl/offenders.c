/* SPDX-License-Identifier: BSD-2-Clause */
/* show offenders: who is refused most by the rate limits, and what to type to ban them. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/ip.h"
#include "conf/compiled.h"
#include "ctl/request.h"
#include "table/ban_book.h"
#include "table/offenders.h"

#define ROWS_DEFAULT 20u
#define ROWS_MAX     1000u

/* What `ban add` takes for the key; null: it names nobody who could be banned. */
static json_t *ban_json(const struct offender *who)
{
    struct ban_target target = {.bits = who->bits};
    char text[BAN_TEXT_MAX];
    size_t n;

    if (who->ban_n > 0)
        return ctl_text(slice_of(who->text.p + who->ban_at, who->ban_n));
    if (who->bits == 0)
        return json_null();
    memcpy(target.addr, who->addr, sizeof target.addr);
    n = ban_target_text(&target, text);
    return ctl_text(slice_of(text, n));
}

static json_t *row_of(const struct ctl *c, const struct offender *who)
{
    const char *limit = metric_limit_name(c->cfg.metrics, who->limit);
    char text[IP_TEXT_MAX];
    json_t *row = json_object();
    size_t n = ip_text(who->addr, text);

    json_object_set_new(row, "key", ctl_text(who->text));
    json_object_set_new(row, "limit", ctl_text(slice_str(limit != NULL ? limit : "")));
    json_object_set_new(row, "refused", json_integer((json_int_t)who->refused));
    json_object_set_new(row, "client", ctl_text(slice_of(text, n)));
    json_object_set_new(row, "ban", ban_json(who));
    return row;
}

/* The limit's index; 0: refused, r is gone. */
static uint32_t limit_index(struct ctl_request *r, const char *name)
{
    const struct conf_root *root = bank_current(r->ctl->cfg.banks).data;

    for (uint32_t i = 0; root != NULL && i < root->rate_limits.n; i++)
        if (slice_eq(conf_slice(root, conf_rate_limits(root)[i].name), slice_str(name)) &&
            conf_rate_limits(root)[i].stat != 0)
            return conf_rate_limits(root)[i].stat;
    ctl_refuse(r, CTL_NOT_FOUND, "rushctl show limits lists them", "no limit \"%s\"", name);
    return 0;
}

/* --top N; false: refused. */
static bool read_top(struct ctl_request *r, size_t *max)
{
    const char *top = r->inv.flag[CTL_FLAG_TOP];
    uint64_t n = ROWS_DEFAULT;

    if (top != NULL && (!slice_to_u64(slice_str(top), &n) || n == 0 || n > ROWS_MAX)) {
        ctl_refuse(r, CTL_USAGE, "", "--top: \"%s\" is no number from 1 to %u", top, ROWS_MAX);
        return false;
    }
    *max = n;
    return true;
}

void ctl_do_SHOW_OFFENDERS(struct ctl_request *r)
{
    const struct ctl_config *cfg = &r->ctl->cfg;
    unsigned workers = atomic_load_explicit(&cfg->control->workers, memory_order_relaxed);
    struct offender *top;
    uint32_t limit = 0;
    json_t *rows;
    size_t n, max;
    char *texts;

    if (!read_top(r, &max))
        return;
    if (r->inv.args_n > 0 && (limit = limit_index(r, r->inv.args[0])) == 0)
        return;
    top = xcalloc(max, sizeof *top);
    texts = xmalloc(max * OFFENDERS_TEXT);
    n = offenders_top(cfg->offenders, workers, limit, clock_mono_ns(), top, texts, max);
    rows = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(rows, row_of(r->ctl, &top[i]));
    free(top);
    free(texts);
    ctl_answer(r, ctl_document(r->ctl, "offenders", rows));
}
