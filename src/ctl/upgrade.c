/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands that replace programs: upgrade, restart boxoffice. The work is the master's (ctl_ops).
 */
#include "config.h"

#include <unistd.h>

#include "base/clock.h"
#include "ctl/request.h"

#define WAIT_DEFAULT_NS (30 * NS_PER_S)

static json_t *note_rows(const struct ctl_upgrade_result *res)
{
    json_t *rows = json_array();

    for (unsigned i = 0; i < res->notes_n; i++) {
        const struct ctl_upgrade_note *n = &res->notes[i];
        json_t *row = json_object();
        json_object_set_new(row, "kind", ctl_text(slice_str(n->kind)));
        json_object_set_new(row, "name", ctl_text(slice_str(n->name)));
        json_object_set_new(row, "outcome", ctl_text(slice_str(n->outcome)));
        json_object_set_new(row, "why", ctl_text(slice_str(n->why)));
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *upgrade_data(const struct ctl_upgrade_result *res)
{
    json_t *d = json_object();

    json_object_set_new(d, "state", json_string(res->drained ? "upgraded" : "draining"));
    json_object_set_new(d, "binary", ctl_text(slice_str(res->binary)));
    json_object_set_new(d, "old_version", ctl_text(slice_str(res->old_version)));
    json_object_set_new(d, "version", ctl_text(slice_str(res->version)));
    json_object_set_new(d, "old_pid", json_integer(res->old_pid));
    json_object_set_new(d, "pid", json_integer(res->pid));
    json_object_set_new(d, "handed_over", note_rows(res));
    json_object_set_new(d, "workers_ready", json_integer(res->workers));
    json_object_set_new(d, "old_workers", json_integer(res->old_workers));
    json_object_set_new(d, "old_connections", json_integer(res->old_connections));
    json_object_set_new(d, "ready_s", ctl_seconds(res->ready_ns));
    json_object_set_new(d, "duration_s", ctl_seconds(res->duration_ns));
    return d;
}

static void on_upgraded(void *request, const struct ctl_upgrade_result *res)
{
    static const enum ctl_error errors[] = {
        [CTL_UPGRADE_FAILED] = CTL_FAILED,
        [CTL_UPGRADE_REFUSED] = CTL_REFUSED,
        [CTL_UPGRADE_LATE] = CTL_TIMEOUT,
    };
    struct ctl_request *r = request;
    json_t *doc;

    if (res->outcome != CTL_UPGRADED) {
        ctl_refuse(r, errors[res->outcome], "the running binary goes on; the error log has more",
                   "not upgraded: %s", res->error);
        return;
    }
    doc = ctl_document(r->ctl, "upgrade", upgrade_data(res));
    json_object_set_new(doc, "warnings", json_array()); /* about workers that are to go */
    if (!res->drained)
        ctl_document_warn(doc, "%u old workers still have %u connections; they end by themselves",
                          res->old_workers, res->old_connections);
    ctl_answer(r, doc);
}

void ctl_do_UPGRADE(struct ctl_request *r)
{
    const char *wait = r->inv.flag[CTL_FLAG_WAIT], *binary = r->inv.flag[CTL_FLAG_BINARY];
    uint64_t wait_ns = WAIT_DEFAULT_NS;

    if (wait != NULL && !ctl_duration(wait, &wait_ns))
        wait_ns = WAIT_DEFAULT_NS; /* ctl_parse has refused that already */
    /* Whoever may say which program runs as the master's user can do what that user can. */
    if (binary != NULL && r->peer.uid != 0 && r->peer.uid != geteuid()) {
        ctl_refuse(r, CTL_PERMISSION,
                   "\"rushctl upgrade\" without --binary takes the installed one",
                   "uid %u may not name the binary", (unsigned)r->peer.uid);
        return;
    }
    r->ctl->cfg.ops->upgrade(r->ctl->cfg.arg, binary, wait_ns, on_upgraded, r);
}

void ctl_do_RESTART(struct ctl_request *r)
{
    const char *why = r->ctl->cfg.ops->restart_boxoffice(r->ctl->cfg.arg);
    json_t *d;

    if (why != NULL) {
        ctl_refuse(r, CTL_REFUSED, "", "not restarted: %s", why);
        return;
    }
    d = json_object();
    json_object_set_new(d, "state", json_string("restarting"));
    ctl_answer(r, ctl_document(r->ctl, "restart", d));
}
