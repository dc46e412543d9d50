/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands that change the daemon: reload, stop, drain, reopen. The work is the master's (ctl_ops).
 */
#include "config.h"

#include <string.h>

#include "base/clock.h"
#include "ctl/request.h"

#define WAIT_DEFAULT_NS (30 * NS_PER_S)

static json_t *change_rows(const struct ctl_reload_result *res)
{
    json_t *rows = json_array();

    for (unsigned i = 0; i < res->changes_n; i++) {
        const struct conf_change *ch = &res->changes[i];
        json_t *row = json_object();
        json_object_set_new(row, "setting", ctl_text(slice_str(ch->path)));
        json_object_set_new(row, "old", ctl_text(slice_str(ch->old_text)));
        json_object_set_new(row, "new", ctl_text(slice_str(ch->new_text)));
        json_object_set_new(row, "applied", json_boolean(!ch->restart));
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *reload_data(const struct ctl *c, const struct ctl_reload_result *res)
{
    json_t *d = json_object();
    const char *file = c->cfg.ops->conf_file(c->cfg.arg);

    json_object_set_new(d, "file", ctl_text(slice_str(file)));
    json_object_set_new(d, "files", json_integer(res->files));
    json_object_set_new(d, "settings", json_integer(res->settings));
    json_object_set_new(d, "old_generation", json_integer((json_int_t)res->old_generation));
    json_object_set_new(d, "generation", json_integer((json_int_t)res->new_generation));
    json_object_set_new(d, "processes_on_it", json_integer(res->workers_acked));
    json_object_set_new(d, "processes_total", json_integer(res->workers_total));
    json_object_set_new(d, "duration_s", ctl_seconds(res->duration_ns));
    json_object_set_new(d, "changes", change_rows(res));
    return d;
}

/* A failed reload: the list of errors goes along whole, line by line as `check` prints it. */
static void reload_failed(struct ctl_request *r, const struct ctl_reload_result *res)
{
    json_t *doc, *details;
    struct buf text = {0};

    if (res->invalid)
        buf_printf(&text, "the configuration is invalid; generation %llu keeps running",
                   (unsigned long long)res->old_generation);
    else
        buf_printf(&text, "not reloaded; generation %llu keeps running",
                   (unsigned long long)res->old_generation);
    doc = ctl_error_document(res->invalid ? CTL_INVALID : CTL_FAILED, buf_cstr(&text), "");
    details = ctl_text(slice_str(res->errors != NULL ? res->errors : ""));
    json_object_set_new(json_object_get(doc, "error"), "details", details);
    buf_free(&text);
    ctl_answer(r, doc);
}

static void on_reloaded(void *request, const struct ctl_reload_result *res)
{
    struct ctl_request *r = request;
    struct ctl *c = r->ctl;
    unsigned restart = 0;
    json_t *doc;

    if (!res->ok) {
        reload_failed(r, res);
        return;
    }
    for (unsigned i = 0; i < res->changes_n; i++)
        restart += res->changes[i].restart;
    if (res->incomplete) {
        struct buf text = {0};
        buf_printf(&text, "generation %llu is published, but only %u of %u processes use it yet",
                   (unsigned long long)res->new_generation, res->workers_acked, res->workers_total);
        doc = ctl_error_document(CTL_TIMEOUT, buf_cstr(&text), "rushctl show workers");
        json_object_set_new(doc, "data", reload_data(c, res));
        buf_free(&text);
    } else {
        doc = ctl_document(c, "reload", reload_data(c, res));
        if (restart > 0)
            ctl_document_warn(doc, "%u changed setting%s not applied: needs a restart", restart,
                              restart == 1 ? " is" : "s are");
    }
    ctl_answer(r, doc);
}

void ctl_do_RELOAD(struct ctl_request *r)
{
    const char *wait = r->inv.flag[CTL_FLAG_WAIT];
    uint64_t wait_ns = WAIT_DEFAULT_NS;

    if (wait != NULL && !ctl_duration(wait, &wait_ns))
        wait_ns = WAIT_DEFAULT_NS; /* ctl_parse has refused that already */
    r->ctl->cfg.ops->reload(r->ctl->cfg.arg, wait_ns, on_reloaded, r);
}

/* What stop and drain answer: whom to watch end. */
static json_t *going_document(const struct ctl *c, const char *name, const char *state)
{
    json_t *d = json_object();
    uint32_t pid = atomic_load_explicit(&c->cfg.control->master_pid, memory_order_relaxed);

    json_object_set_new(d, "state", json_string(state));
    json_object_set_new(d, "pid", json_integer(pid));
    return ctl_document(c, name, d);
}

void ctl_do_STOP(struct ctl_request *r)
{
    struct ctl *c = r->ctl;
    bool fast = r->inv.flag[CTL_FLAG_FAST] != NULL;

    ctl_answer(r, going_document(c, "stop", fast ? "stopping" : "draining"));
    c->cfg.ops->stop(c->cfg.arg, fast);
}

void ctl_do_DRAIN(struct ctl_request *r)
{
    struct ctl *c = r->ctl;

    c->cfg.ops->drain(c->cfg.arg);
    ctl_answer(r, going_document(c, "drain", "draining"));
}

void ctl_do_REOPEN(struct ctl_request *r)
{
    int rc = r->ctl->cfg.ops->reopen_logs(r->ctl->cfg.arg);

    if (rc < 0)
        ctl_refuse(r, CTL_FAILED, "", "cannot open the logs: %s", strerror(-rc));
    else
        ctl_answer(r, ctl_document(r->ctl, "reopen", json_object()));
}
