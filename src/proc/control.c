/* SPDX-License-Identifier: BSD-2-Clause */
/* What the control socket (src/ctl) may ask of the master. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "ctl/ctl.h"
#include "proc/master.h"

struct pending {
    ctl_reload_fn *done;
    void *request;
};

static void on_reloaded(void *arg, const struct reload_report *report)
{
    struct pending *p = arg;
    struct buf errors = {0}, warnings = {0};
    struct ctl_reload_result result = {
        /* In force from the flip on, also where somebody has not said so. */
        .ok = report->ok || report->generation != report->old_generation,
        .invalid = report->invalid,
        .incomplete = !report->ok && report->generation != report->old_generation,
        .old_generation = report->old_generation,
        .new_generation = report->generation,
        .files = report->files,
        .settings = report->settings,
        .changes = report->changes,
        .changes_n = report->changes_n,
        .hint = report->hint,
        .workers_acked = report->reporting,
        .workers_total = report->expected,
        .duration_ns = report->duration_ns,
    };

    buf_slice(&errors, buf_view(&report->errors));
    buf_slice(&warnings, buf_view(&report->warnings));
    result.errors = buf_cstr(&errors);
    result.warnings = buf_cstr(&warnings);
    p->done(p->request, &result);
    buf_free(&errors);
    buf_free(&warnings);
    free(p);
}

static void op_reload(void *arg, const struct ctl_order *order, ctl_reload_fn *done, void *request)
{
    struct pending *p = xmalloc(sizeof *p);

    *p = (struct pending){done, request};
    reload_start(arg, order, on_reloaded, p);
}

static void op_rollback(void *arg, const struct ctl_order *order, ctl_reload_fn *done,
                        void *request)
{
    struct pending *p = xmalloc(sizeof *p);

    *p = (struct pending){done, request};
    rollback_start(arg, order, on_reloaded, p);
}

static void op_canary(void *arg, const struct ctl_order *order, ctl_reload_fn *done, void *request)
{
    struct pending *p = xmalloc(sizeof *p);

    *p = (struct pending){done, request};
    canary_start(arg, order, on_reloaded, p);
}

static void op_promote(void *arg, const struct ctl_order *order, ctl_reload_fn *done, void *request)
{
    struct pending *p = xmalloc(sizeof *p);

    *p = (struct pending){done, request};
    canary_promote(arg, order, on_reloaded, p);
}

static void op_share(void *arg, const struct ctl_order *order, ctl_reload_fn *done, void *request)
{
    struct pending *p = xmalloc(sizeof *p);

    *p = (struct pending){done, request};
    canary_set_share(arg, order, on_reloaded, p);
}

static void put_side(struct ctl_generation *g, const struct canary_side *s, uint32_t share)
{
    g->counted = true;
    g->share = share;
    g->requests = s->requests;
    g->errors = s->errors;
    g->p50_ns = s->p50_ns;
    g->p99_ns = s->p99_ns;
}

static struct ctl_generation canary_row(const struct master *m)
{
    const struct canary *c = &m->canary;

    return (struct ctl_generation){
        .generation = c->generation,
        .first = c->first,
        .since_real_ns = c->since_real_ns,
        .state = "canary",
        .origin = "file",
        .reason = c->reason,
        .changes = c->changes,
        .of_file = true,
        .runtime = m->changes.now.n,
        .conf = c->conf,
    };
}

static struct ctl_generation kept_row(const struct master *m, const struct kept *k)
{
    bool current = k == history_current(m);

    return (struct ctl_generation){
        .generation = k->generation,
        .first = k->first,
        .since_real_ns = k->since_real_ns,
        .state = current ? "current" : "kept",
        .origin = origin_name(k->origin),
        .reason = k->reason,
        .changes = k->changes,
        .of_file = k->of_file,
        .runtime = current ? m->changes.now.n : 0,
        .conf = k->conf,
    };
}

static unsigned op_generations(void *arg, struct ctl_generation *out, unsigned max)
{
    const struct master *m = arg;
    struct canary_side side[METRIC_SIDES];
    unsigned n = 0;

    CHECK(max > HISTORY_MAX + 1);
    if (canary_runs(m)) {
        canary_figures(m, side);
        out[n] = canary_row(m);
        put_side(&out[n++], &side[SIDE_CANARY], m->canary.share);
    }
    for (unsigned i = m->history.n; i-- > 0;)
        out[n++] = kept_row(m, &m->history.all[i]);
    if (canary_runs(m))
        put_side(&out[1], &side[SIDE_STABLE], BANK_SHARE_ALL - m->canary.share);
    return n;
}

static struct ctl_rolled_back op_rolled_back(void *arg)
{
    const struct rolled_back *r = &((const struct master *)arg)->rolled_back;

    return (struct ctl_rolled_back){r->generation, r->canary, r->since_real_ns,
                                    r->at_real_ns, r->by,     r->reason};
}

static void op_stop(void *arg, bool fast)
{
    stop_begin(arg, fast);
}

static void op_drain(void *arg)
{
    stop_workers(arg);
}

struct pending_upgrade {
    ctl_upgrade_fn *done;
    void *request;
};

static void on_upgraded(void *arg, const struct upgrade_report *report)
{
    static const enum ctl_upgrade_outcome outcomes[] = {
        [UPGRADE_OK] = CTL_UPGRADED,
        [UPGRADE_FAILED] = CTL_UPGRADE_FAILED,
        [UPGRADE_REFUSED] = CTL_UPGRADE_REFUSED,
        [UPGRADE_TIMEOUT] = CTL_UPGRADE_LATE,
    };
    struct pending_upgrade *p = arg;
    struct ctl_upgrade_note notes[UPGRADE_NOTES];
    struct buf error = {0};
    struct ctl_upgrade_result result = {
        .outcome = outcomes[report->result],
        .binary = report->binary,
        .old_version = PACKAGE_VERSION,
        .version = report->version,
        .old_pid = report->old_pid,
        .pid = report->pid,
        .workers = report->workers,
        .drained = report->drained,
        .old_workers = report->old_workers,
        .old_connections = report->connections,
        .notes = notes,
        .notes_n = report->notes_n,
        .ready_ns = report->ready_ns,
        .duration_ns = report->duration_ns,
    };

    buf_slice(&error, buf_view(&report->error));
    result.error = buf_cstr(&error);
    for (unsigned i = 0; i < report->notes_n; i++) {
        const struct upgrade_note *n = &report->notes[i];
        notes[i] = (struct ctl_upgrade_note){n->kind, n->name, n->outcome, n->why};
    }
    p->done(p->request, &result);
    buf_free(&error);
    free(p);
}

static void op_upgrade(void *arg, const char *binary, uint64_t wait_ns, ctl_upgrade_fn *done,
                       void *request)
{
    struct pending_upgrade *p = xmalloc(sizeof *p);

    *p = (struct pending_upgrade){done, request};
    upgrade_start(arg, binary, wait_ns, on_upgraded, p);
}

static const char *op_busy(void *arg)
{
    return upgrade_busy(arg);
}

static const char *op_restart_boxoffice(void *arg)
{
    return embedded_restart(arg);
}

static bool op_boxoffice_outdated(void *arg)
{
    return embedded_outdated(arg);
}

static int op_reopen_logs(void *arg)
{
    return master_reopen_logs(arg);
}

static const struct conf *op_conf(void *arg)
{
    const struct master *m = arg;

    return m->conf;
}

static const char *op_conf_file(void *arg)
{
    const struct master *m = arg;

    return m->options->file;
}

static unsigned op_listeners(void *arg, struct ctl_listener *out, unsigned max)
{
    const struct master *m = arg;
    unsigned n = 0;

    for (unsigned i = 0; i < m->listeners.addresses && n < max; i++, n++) {
        snprintf(out[n].name, sizeof out[n].name, "%s", m->process->listeners[i].name);
        snprintf(out[n].address, sizeof out[n].address, "%s", m->listeners.bound[i]);
    }
    if (m->admin_fd >= 0 && n < max) {
        snprintf(out[n].name, sizeof out[n].name, "admin");
        snprintf(out[n].address, sizeof out[n].address, "%s", m->admin_bound);
        n++;
    }
    return n;
}

static void op_change(void *arg, const struct ctl_change_order *order, ctl_change_fn *done,
                      void *request)
{
    changes_order(arg, order, done, request);
}

static void op_changes(void *arg, void (*each)(void *out, const struct ctl_change_row *row),
                       void *out)
{
    changes_list(arg, each, out);
}

static const struct ban_book *op_bans(void *arg)
{
    const struct master *m = arg;

    return &m->bans.book;
}

static int op_ban_put(void *arg, struct ban *list, size_t n, size_t *added, struct buf *why)
{
    struct master *m = arg;

    return bans_put(&m->bans, list, n, added, why);
}

static size_t op_ban_remove(void *arg, const struct ban_target *what, size_t n, struct buf *why)
{
    struct master *m = arg;

    return bans_remove(&m->bans, what, n, why);
}

static uint64_t op_ban_hits(void *arg, const struct ban *ban, uint64_t *last_ns)
{
    const struct master *m = arg;

    return ban_hits(m->bans.zone, m->process->workers, ban->cell, ban->serial, last_ns);
}

static void op_diff(void *arg, ctl_diff_fn *done, void *request)
{
    reload_diff(arg, done, request);
}

static int op_explain(void *arg, const struct ctl_question *q, struct buf *out, struct buf *why)
{
    return master_explain(arg, q, out, why);
}

static const struct ctl_ops ops = {
    .explain = op_explain,
    .reload = op_reload,
    .rollback = op_rollback,
    .canary = op_canary,
    .promote = op_promote,
    .share = op_share,
    .generations = op_generations,
    .rolled_back = op_rolled_back,
    .stop = op_stop,
    .drain = op_drain,
    .upgrade = op_upgrade,
    .busy = op_busy,
    .restart_boxoffice = op_restart_boxoffice,
    .boxoffice_outdated = op_boxoffice_outdated,
    .reopen_logs = op_reopen_logs,
    .conf = op_conf,
    .conf_file = op_conf_file,
    .listeners = op_listeners,
    .change = op_change,
    .changes = op_changes,
    .bans = op_bans,
    .ban_put = op_ban_put,
    .ban_remove = op_ban_remove,
    .ban_hits = op_ban_hits,
    .diff = op_diff,
};

bool control_bind(struct master *m, struct buf *err)
{
    const struct conf_process *p = m->process;
    struct stat st;

    /* Who has connected already waits in its queue. */
    if (m->from != NULL && strcmp(m->from->control_path, p->admin_socket) == 0 &&
        lstat(p->admin_socket, &st) == 0 && S_ISSOCK(st.st_mode)) {
        m->ctl_fd = m->from->control_fd;
        m->from->control_fd = -1;
        m->ctl_group = st.st_gid;
        m->control_shared = true;
        successor_note(m, "control", p->admin_socket, "kept", "");
        return true;
    }
    m->ctl_fd = ctl_listen(p->admin_socket, p->admin_socket_mode, p->admin_socket_group,
                           m->run_as.change ? m->run_as.gid : (gid_t)-1, &m->ctl_group);
    if (m->ctl_fd >= 0)
        return true;
    buf_printf(err, "cannot listen on %s: %s", p->admin_socket,
               m->ctl_fd == -ENOENT && p->admin_socket_group[0] != '\0'
                   ? "no such group, or no such directory"
                   : strerror(-m->ctl_fd));
    return false;
}

/* Whether strangers may connect. The file of a socket that was taken over is as the master before
 * made it; only now, when that one cannot go on, it becomes what our configuration says. */
static bool strangers_may(struct master *m)
{
    const struct conf_process *p = m->process;
    mode_t mode = p->admin_socket_mode;
    struct stat is = {0};
    int rc;

    if (!m->control_shared)
        return (mode & S_IWOTH) != 0;
    rc = ctl_relisten(m->ctl_fd, p->admin_socket, mode, p->admin_socket_group,
                      m->run_as.change ? m->run_as.gid : (gid_t)-1, &is);
    if (rc < 0)
        log_error("%s keeps its mode and group: %s", p->admin_socket, strerror(-rc));
    if (!S_ISSOCK(is.st_mode))
        return true; /* nobody knows */
    m->ctl_group = is.st_gid;
    return (is.st_mode & S_IWOTH) != 0;
}

bool control_open(struct master *m, struct buf *err)
{
    bool strangers = strangers_may(m);
    struct ctl_config cfg = {
        .loop = &m->loop,
        .listen_fd = m->ctl_fd,
        .strangers = strangers,
        .group = m->ctl_group,
        .control = m->control,
        .metrics = m->metrics,
        .banks = m->banks,
        .offenders = m->offenders,
        .closed = m->closed,
        .sent = m->sent,
        .prefix = m->options->prefix,
        .version = PACKAGE_VERSION,
        .ops = &ops,
        .arg = m,
        .audit = &m->audit,
    };

    m->ctl = ctl_new(&cfg);
    if (m->ctl == NULL)
        buf_str(err, "no memory for the control socket");
    return m->ctl != NULL;
}

void control_accept(struct master *m, bool on)
{
    ctl_accept(m->ctl, on);
}

void control_close(struct master *m)
{
    if (m->ctl != NULL)
        ctl_free(&m->ctl);
    if (m->ctl_fd < 0)
        return;
    close(m->ctl_fd);
    m->ctl_fd = -1;
    if (!m->control_shared)
        unlink(m->process->admin_socket);
}
