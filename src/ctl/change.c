/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runtime changes: set, limit set, changes with its revert and save; diff. Split set is in
 * splits.c. The work is the master's (ctl_ops).
 */
#include "config.h"

#include <string.h>

#include "base/clock.h"
#include "ctl/request.h"

static json_t *time_or_null(uint64_t real_ns)
{
    return real_ns != 0 ? ctl_time(real_ns) : json_null();
}

static json_t *text_or_null(const char *text)
{
    return text != NULL ? ctl_text(slice_str(text)) : json_null();
}

/* --- what came of it --- */

static json_t *outcome_row(const struct ctl_change_row *c)
{
    json_t *row = json_object();

    json_object_set_new(row, "id", json_integer(c->id));
    json_object_set_new(row, "setting", text_or_null(c->path));
    json_object_set_new(row, "old", text_or_null(c->old_value));
    json_object_set_new(row, "new", text_or_null(c->value));
    json_object_set_new(row, "until", time_or_null(c->until_real_ns));
    if (c->where != NULL)
        json_object_set_new(row, "saved", ctl_text(slice_str(c->where)));
    return row;
}

static json_t *outcome_data(const struct ctl_change_outcome *o)
{
    json_t *d = json_object(), *rows = json_array();

    for (unsigned i = 0; i < o->rows_n; i++)
        json_array_append_new(rows, outcome_row(&o->rows[i]));
    json_object_set_new(d, "changes", rows);
    json_object_set_new(d, "generation", json_integer((json_int_t)o->generation));
    json_object_set_new(d, "processes_on_it", json_integer(o->processes_on_it));
    json_object_set_new(d, "processes_total", json_integer(o->processes_total));
    return d;
}

static json_t *error_of(const struct ctl_change_outcome *o)
{
    json_t *doc = ctl_error_document(o->error, o->message, o->hint), *e;

    e = json_object_get(doc, "error");
    if (o->details[0] != '\0') {
        json_object_set_new(e, "details", ctl_text(slice_str(o->details)));
        json_object_set_new(e, "errors", ctl_error_list(o->details));
    }
    return doc;
}

static void on_changed(void *request, const struct ctl_change_outcome *o)
{
    struct ctl_request *r = request;
    json_t *doc, *data;

    if (o->error != CTL_ERROR_COUNT) {
        ctl_answer(r, error_of(o));
        return;
    }
    for (unsigned i = 0; i < o->rows_n; i++)
        ctl_audit_change(r, o->rows[i].path, o->rows[i].old_value, o->rows[i].value);
    data = outcome_data(o);
    if (r->held != NULL)
        json_object_update(data, r->held);
    if (o->incomplete) {
        doc = ctl_late_document(r->ctl, o->generation, o->processes_on_it, o->processes_total);
        json_object_set_new(doc, "data", data);
        ctl_answer(r, doc);
        return;
    }
    doc = ctl_document(r->ctl, "change", data);
    ctl_document_warn_lines(doc, o->warning);
    ctl_answer(r, doc);
}

void ctl_order_change(struct ctl_request *r, struct ctl_change_order *o)
{
    const char *life = r->inv.flag[CTL_FLAG_FOR], *reason = r->inv.flag[CTL_FLAG_REASON];

    if (life != NULL && (!ctl_duration(life, &o->for_ns) || o->for_ns == 0)) {
        ctl_refuse(r, CTL_USAGE, "leave --for out for a change that stays until it is reverted",
                   "--for: a change that lasts no time changes nothing");
        return;
    }
    o->reason = reason != NULL ? reason : "";
    o->uid = r->peer.uid;
    o->wait_ns = ctl_take_wait(r);
    r->ctl->cfg.ops->change(r->ctl->cfg.arg, o, on_changed, r);
}

/* --- commands --- */

void ctl_do_SET(struct ctl_request *r)
{
    struct ctl_change_order o = {.kind = CTL_CHANGE_SET, .settings_n = 1};

    o.settings[0].path = r->inv.args[0];
    o.settings[0].value = r->inv.args[1];
    ctl_order_change(r, &o);
}

struct limit_order {
    struct ctl_change_order o;
    struct buf paths[CTL_CHANGE_SETTINGS];
};

static void add_limit_setting(struct limit_order *l, const char *limit, const char *key,
                              const char *value)
{
    unsigned n = l->o.settings_n;

    if (value == NULL)
        return;
    buf_printf(&l->paths[n], "limits.%s.%s", limit, key);
    l->o.settings[n].path = buf_cstr(&l->paths[n]);
    l->o.settings[n].value = value;
    l->o.settings_n++;
}

/* The names are known here: what is refused is refused by what was typed, not by a path. */
static bool has_limit(struct ctl_request *r, const char *name)
{
    const struct ctl *c = r->ctl;
    struct buf path = {0}, why = {0}, hint = {0};
    bool found;

    buf_printf(&path, "limits.%s.rate", name);
    found = conf_changeable(c->cfg.ops->conf(c->cfg.arg), buf_cstr(&path), &why, &hint) ==
            CONF_CHANGEABLE;
    if (!found)
        ctl_refuse(r, CTL_NOT_FOUND,
                   hint.n > 0 ? buf_cstr(&hint) : "rushctl show limits lists them",
                   "there is no limit \"%s\"", name);
    buf_free(&path);
    buf_free(&why);
    buf_free(&hint);
    return found;
}

void ctl_do_LIMIT_SET(struct ctl_request *r)
{
    struct limit_order l = {.o = {.kind = CTL_CHANGE_SET}};
    const char *name = r->inv.args[0];
    bool shadow = r->inv.flag[CTL_FLAG_SHADOW] != NULL;
    bool enforce = r->inv.flag[CTL_FLAG_ENFORCE] != NULL;

    if (shadow && enforce) {
        ctl_refuse(r, CTL_USAGE, "", "--shadow and --enforce: choose one");
        return;
    }
    if (!has_limit(r, name))
        return;
    add_limit_setting(&l, name, "rate", r->inv.args[1]);
    add_limit_setting(&l, name, "burst", r->inv.flag[CTL_FLAG_BURST]);
    add_limit_setting(&l, name, "mode", shadow ? "shadow" : enforce ? "enforce" : NULL);
    ctl_order_change(r, &l.o);
    for (unsigned i = 0; i < CTL_CHANGE_SETTINGS; i++)
        buf_free(&l.paths[i]);
}

static void add_row(void *out, const struct ctl_change_row *c)
{
    json_t *row = json_object();
    uint64_t now = clock_real_ns(), left = c->until_real_ns > now ? c->until_real_ns - now : 0;

    json_object_set_new(row, "id", json_integer(c->id));
    json_object_set_new(row, "setting", text_or_null(c->path));
    json_object_set_new(row, "file_value", text_or_null(c->old_value));
    json_object_set_new(row, "value", text_or_null(c->value));
    json_object_set_new(row, "since", ctl_time(c->since_real_ns));
    json_object_set_new(row, "until", time_or_null(c->until_real_ns));
    json_object_set_new(row, "left_s", c->until_real_ns != 0 ? ctl_seconds(left) : json_null());
    json_object_set_new(row, "uid", json_integer(c->uid));
    json_object_set_new(row, "reason", ctl_text(slice_str(c->reason)));
    json_array_append_new(out, row);
}

void ctl_do_CHANGES(struct ctl_request *r)
{
    json_t *rows = json_array();

    r->ctl->cfg.ops->changes(r->ctl->cfg.arg, add_row, rows);
    ctl_answer(r, ctl_document(r->ctl, "changes", rows));
}

/* ID or --all, and not both. False after a refusal. */
static bool which(struct ctl_request *r, uint32_t *id)
{
    bool all = r->inv.flag[CTL_FLAG_ALL] != NULL;
    uint64_t number = 0;

    if (all == (r->inv.args_n > 0)) {
        ctl_refuse(r, CTL_USAGE, "rushctl changes lists them", "name a change by its id, or --all");
        return false;
    }
    if (!all &&
        (!slice_to_u64(slice_str(r->inv.args[0]), &number) || number == 0 || number > UINT32_MAX)) {
        ctl_refuse(r, CTL_USAGE, "rushctl changes lists them", "\"%s\" is no id of a change",
                   r->inv.args[0]);
        return false;
    }
    *id = (uint32_t)number;
    return true;
}

void ctl_do_CHANGES_REVERT(struct ctl_request *r)
{
    struct ctl_change_order o = {.kind = CTL_CHANGE_REVERT};

    if (which(r, &o.id))
        ctl_order_change(r, &o);
}

void ctl_do_CHANGES_SAVE(struct ctl_request *r)
{
    struct ctl_change_order o = {.kind = CTL_CHANGE_SAVE};

    if (which(r, &o.id))
        ctl_order_change(r, &o);
}

static void on_diff(void *request, const struct ctl_diff *diff)
{
    struct ctl_request *r = request;
    json_t *doc, *rows;

    if (diff->errors[0] != '\0') {
        doc = ctl_error_document(CTL_INVALID, "a reload would be refused", "");
        json_object_set_new(json_object_get(doc, "error"), "details",
                            ctl_text(slice_str(diff->errors)));
        json_object_set_new(json_object_get(doc, "error"), "errors", ctl_error_list(diff->errors));
        ctl_answer(r, doc);
        return;
    }
    rows = json_array();
    for (unsigned i = 0; i < diff->changes_n; i++) {
        json_t *row = json_object();
        json_object_set_new(row, "setting", text_or_null(diff->changes[i].path));
        json_object_set_new(row, "old", text_or_null(diff->changes[i].old_text));
        json_object_set_new(row, "new", text_or_null(diff->changes[i].new_text));
        json_object_set_new(row, "applies",
                            json_string(diff->changes[i].restart ? "restart" : "reload"));
        json_array_append_new(rows, row);
    }
    doc = ctl_document(r->ctl, "diff", rows);
    ctl_document_warn_lines(doc, diff->warnings);
    ctl_answer(r, doc);
}

void ctl_do_DIFF(struct ctl_request *r)
{
    r->ctl->cfg.ops->diff(r->ctl->cfg.arg, on_diff, r);
}
