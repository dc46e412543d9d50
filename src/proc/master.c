/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The master, in the order of its life:
 *
 *   who the children are, limit of open files, directories
 *   pid file: the lock decides who runs
 *   error log
 *   what a killed master left behind: its keeper and box office end now, its workers serve on
 *   sockets: every listen address once per worker slot, admin, control
 *   zones, first generation published
 *   signals, loop, control socket
 *   keeper, box office; workers when the box office is ready
 *   -- all have said READY --
 *   left-over workers drain; READY to the service manager and to who detached us
 *   ... until a stop is complete ...
 *   sockets, shared memory; then the children's list; the pid file and its lock last: until then
 *   nobody else may start
 *
 * A failure before "ready" ends everything again with exit status 1 and the reason on stderr and in
 * the log.
 */
#include "config.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "proc/master.h"
#include "proc/notify.h"
#include "proc/title.h"

#define ORPHAN_WAIT_MS 10000
#define ORPHAN_KILL_MS 2000

typedef void signal_fn(struct master *m);

static void on_signal_reloaded(void *arg, const struct reload_report *report)
{
    struct master *m = arg;

    audit_event(&m->audit, "reload", NULL, "SIGHUP",
                report->ok ? "ok" : "failed: see the error log");
}

static void signal_reload(struct master *m)
{
    static const struct ctl_order order = {.wait_ns = RELOAD_WAIT_DEFAULT};

    log_notice("reload: %s", m->options->file);
    reload_start(m, &order, on_signal_reloaded, m);
}

static void signal_reopen(struct master *m)
{
    master_reopen_logs(m);
}

static void signal_upgrade(struct master *m)
{
    upgrade_start(m, NULL, 0, NULL, NULL);
}

static void signal_drain(struct master *m)
{
    stop_workers(m);
}

static void signal_quit(struct master *m)
{
    stop_begin(m, false);
}

static void signal_stop(struct master *m)
{
    stop_begin(m, true);
}

static void signal_reap(struct master *m)
{
    supervise_reap(m);
}

static const struct {
    int signo;
    signal_fn *fn;
} signals[] = {
#define MASTER_SIGNAL(signo, name, help) {signo, signal_##name},
#include "proc/signals.def"
#undef MASTER_SIGNAL
};

#define SIGNALS_N (sizeof signals / sizeof *signals)

static void signal_cb(evutil_socket_t fd, short what, void *arg)
{
    struct master *m = arg;
    struct signalfd_siginfo info;

    (void)what;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info)
        for (unsigned i = 0; i < SIGNALS_N; i++)
            if ((uint32_t)signals[i].signo == info.ssi_signo)
                signals[i].fn(m);
}

/* To whoever started us and to the log, if that is somewhere else. False, for the caller to return.
 */
static bool start_failed(const struct master *m, struct buf *err)
{
    fprintf(stderr, "rushgate: %s\n", buf_cstr(err));
    if (m->process->log_error != NULL)
        log_error("%s", buf_cstr(err));
    buf_free(err);
    return false;
}

static bool open_directories(struct master *m)
{
    const struct conf_process *p = m->process;
    const char *kept[] = {p->pid_file, p->admin_socket};
    const char *given[] = {
        p->log_error,
        p->log_access,
        p->log_audit,
        p->state_file,
        p->boxoffice_embedded ? p->boxoffice_store : NULL,
        p->bans_state_file,
    };
    struct buf err = {0};
    bool ok = true;

    for (unsigned i = 0; ok && i < sizeof kept / sizeof *kept; i++)
        ok = directory_kept(kept[i], &m->run_as, &err);
    for (unsigned i = 0; ok && i < sizeof given / sizeof *given; i++)
        ok = given[i] == NULL || directory_given(given[i], &m->run_as, &err);
    if (!ok)
        fprintf(stderr, "rushgate: %s\n", buf_cstr(&err));
    buf_free(&err);
    return ok;
}

/* Replacing another master: it keeps the pid file until we are ready, and we one beside it. */
static bool open_pidfile(struct master *m)
{
    pid_t holder;
    int rc = pidfile_take(&m->pidfile, m->list, &holder);

    if (rc == 0)
        return true;
    if (rc == -EADDRINUSE)
        fprintf(stderr, "rushgate: already running: process %d holds %s\n", (int)holder, m->list);
    else
        fprintf(stderr, "rushgate: cannot take %s: %s\n", m->list, strerror(-rc));
    return false;
}

static bool open_log(struct master *m)
{
    const struct conf_process *p = m->process;
    int rc;

    log_init("master");
    log_set_level((enum log_level)p->log_level);
    rc = log_open(p->log_error);
    if (rc < 0) {
        fprintf(stderr, "rushgate: cannot open %s: %s\n", p->log_error, strerror(-rc));
        return false;
    }
    if (p->log_error != NULL)
        file_give(log_descriptor(), &m->run_as);
    rc = audit_open(&m->audit, p->log_audit);
    if (rc < 0)
        fprintf(stderr, "rushgate: cannot open %s: %s\n", p->log_audit, strerror(-rc));
    if (m->audit.fd >= 0)
        file_give(m->audit.fd, &m->run_as);
    return rc == 0;
}

static bool open_identity(struct master *m)
{
    const struct conf_process *p = m->process;
    struct buf err = {0};
    bool ok = identity_find(&m->run_as, p->user, p->user_set, p->group, &err);

    if (err.n > 0)
        fprintf(stderr, "rushgate: %s%s\n", ok ? "warning: " : "", buf_cstr(&err));
    buf_free(&err);
    files_limit_raise();
    return ok;
}

/* Those of a master, and of two if an upgrade was on its way when both were killed. */
static void find_orphans(struct master *m)
{
    static const char *const suffixes[] = {".oldbin", ".upgrade"};
    char list[PATH_MAX + 16];

    orphans_find(&m->orphans, m->process->pid_file);
    for (unsigned i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        snprintf(list, sizeof list, "%s%s", m->process->pid_file, suffixes[i]);
        orphans_add(&m->orphans, list);
        unlink(list);
    }
}

/* Keeper and box office hold what cannot be shared (the admin port, the store): they go first. */
static void end_orphans(struct master *m)
{
    static const char kinds[] = {CHILD_KEEPER, CHILD_BOXOFFICE};

    find_orphans(m);
    if (m->orphans.n > 0)
        log_warn("an earlier master was killed: %u of its processes are still there", m->orphans.n);
    for (unsigned i = 0; i < sizeof kinds; i++)
        orphans_signal(&m->orphans, kinds[i], SIGTERM);
    for (unsigned i = 0; i < sizeof kinds; i++)
        if (!orphans_wait(&m->orphans, kinds[i], ORPHAN_WAIT_MS)) {
            orphans_signal(&m->orphans, kinds[i], SIGKILL);
            orphans_wait(&m->orphans, kinds[i], ORPHAN_KILL_MS);
        }
}

static void note_listeners(struct master *m)
{
    for (unsigned i = 0; m->from != NULL && i < m->listeners.addresses; i++)
        successor_note(m, "listener", m->listeners.bound[i],
                       m->listeners.inherited[i] ? "kept" : "new", "");
}

/* The admin address of the master that we replace, where it is still wanted. */
static bool take_admin(struct master *m)
{
    struct handover *h = m->from;

    if (h == NULL || h->admin_fd < 0 || !listener_is(&m->process->admin, h->admin))
        return false;
    m->admin_fd = h->admin_fd;
    h->admin_fd = -1;
    memcpy(m->admin_bound, h->admin, sizeof m->admin_bound);
    successor_note(m, "listener", m->admin_bound, "kept", "");
    return true;
}

static bool open_sockets(struct master *m)
{
    const struct conf_process *p = m->process;
    /* Left-over workers share our addresses with us, on purpose; nobody else may. */
    bool probe = !orphans_have(&m->orphans, CHILD_WORKER);
    struct handover *h = m->from;
    struct buf err = {0};

    if (!listeners_open(&m->listeners, p->listeners, p->listeners_n, p->workers, probe,
                        h != NULL ? h->sockets : NULL, h != NULL ? h->sockets_n : 0, &err))
        return start_failed(m, &err);
    note_listeners(m);
    if (p->admin.sa_n > 0 && !take_admin(m)) {
        m->admin_fd = listener_tcp(&p->admin, m->admin_bound, &err);
        if (m->admin_fd < 0)
            return start_failed(m, &err);
    }
    return control_bind(m, &err) && embedded_prepare(m, &err) ? true : start_failed(m, &err);
}

static int take_bans(struct master *m)
{
    int fd = m->from != NULL ? m->from->bans : -1;

    if (fd < 0)
        return -1;
    m->from->bans = -1;
    successor_note(m, "bans", "", "kept", "");
    return fd;
}

static bool fill_zones(struct master *m)
{
    struct buf err = {0};
    int rc = zones_open(m);

    if (rc == 0)
        rc = bans_open(&m->bans, m->process->bans_state_file, take_bans(m));
    if (rc < 0) {
        buf_printf(&err, "cannot create shared memory: %s", strerror(-rc));
        return start_failed(m, &err);
    }
    atomic_store(&m->control->started_real_ns, clock_real_ns());
    atomic_store(&m->control->master_pid, (uint32_t)getpid());
    atomic_store(&m->control->workers, m->process->workers);
    names_init(&m->names, m->metrics, m->process->workers);
    changes_restore(m);
    return reload_first(m, &err) ? true : start_failed(m, &err);
}

static bool open_loop(struct master *m)
{
    struct buf err = {0};
    sigset_t taken;

    sigemptyset(&taken);
    for (unsigned i = 0; i < SIGNALS_N; i++)
        sigaddset(&taken, signals[i].signo);
    sigprocmask(SIG_BLOCK, &taken, NULL);
    signal(SIGPIPE, SIG_IGN);
    loop_init(&m->loop);
    m->loop.owner = m;
    m->signal_fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    if (m->signal_fd < 0)
        die("rushgate: signalfd: %s", strerror(errno));
    m->signal_event = event_new(m->loop.base, m->signal_fd, EV_READ | EV_PERSIST, signal_cb, m);
    if (m->signal_event == NULL || event_add(m->signal_event, NULL) < 0)
        die("rushgate: cannot watch signals");
    loop_timer_init(&m->stop_timer, NULL);
    changes_wake(m);
    bans_start(&m->bans, &m->loop);
    successor_watch(m);
    /* Until the master that we replace says so, it answers there. */
    return m->from != NULL || control_open(m, &err) ? true : start_failed(m, &err);
}

/* Detached: what a library or a failed check writes to stderr belongs into the log. */
static void stdio_away(const struct master *m, bool first)
{
    int null = first ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;

    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        close(null);
    }
    if (m->process->log_error != NULL)
        dup2(log_descriptor(), STDERR_FILENO);
}

int master_reopen_logs(struct master *m)
{
    int rc = log_reopen(), audit_rc = audit_reopen(&m->audit);

    if (rc < 0)
        log_error("cannot reopen the error log: %s", strerror(-rc));
    if (audit_rc < 0)
        log_error("cannot reopen the audit log: %s", strerror(-audit_rc));
    if (m->audit.fd >= 0)
        file_give(m->audit.fd, &m->run_as);
    /* Children cannot create a file in root's directory: it is made and given to them first. */
    if (m->process->log_error != NULL)
        file_give(log_descriptor(), &m->run_as);
    if (m->options->daemon)
        stdio_away(m, false);
    supervise_reopen(m, CHILD_WORKER);
    supervise_reopen(m, CHILD_KEEPER);
    supervise_reopen(m, CHILD_BOXOFFICE);
    return rc < 0 ? rc : audit_rc;
}

static void tell_ready(struct master *m)
{
    const struct master_options *o = m->options;

    notify_send("READY=1\nMAINPID=%d\nSTATUS=generation %" PRIu64, (int)getpid(),
                bank_current(m->banks).generation);
    if (o->ready_fd >= 0) {
        if (write(o->ready_fd, "R", 1) != 1)
            log_warn("who started us is gone");
        close(o->ready_fd);
    }
    if (o->daemon)
        stdio_away(m, true);
}

void master_check_ready(struct master *m)
{
    if (m->ready || m->stop_stage != STOP_NOT || !supervise_all_ready(m))
        return;
    if (!successor_ready(m))
        master_in_charge(m);
}

void master_in_charge(struct master *m)
{
    struct buf err = {0};

    if (m->ctl == NULL && !control_open(m, &err))
        die("rushgate: %s", buf_cstr(&err));
    m->control_shared = m->boxoffice_shared = false;
    m->ready = true;
    orphans_signal(&m->orphans, CHILD_WORKER, SIGQUIT);
    orphans_move(&m->orphans, &m->leaving);
    upgrade_sweep(m);
    for (unsigned i = 0; i < m->listeners.addresses; i++)
        log_notice("listening on %s (%s)", m->listeners.bound[i], m->process->listeners[i].name);
    log_notice("ready: %u workers, generation %" PRIu64, m->process->workers,
               bank_current(m->banks).generation);
    successor_in_charge(m);
    tell_ready(m);
}

static bool receive(struct master *m)
{
    struct buf err = {0};

    snprintf(m->list, sizeof m->list, "%s", m->process->pid_file);
    if (!handover_expected())
        return true;
    m->boxoffice_shared = true;
    if (successor_receive(m, &err))
        return true;
    fprintf(stderr, "rushgate: %s\n", buf_cstr(&err));
    buf_free(&err);
    return false;
}

static bool start(struct master *m)
{
    if (!open_identity(m) || !receive(m) || !open_directories(m) || !open_pidfile(m) ||
        !open_log(m))
        return false;
    if (m->from == NULL)
        end_orphans(m);
    if (!open_sockets(m) || !fill_zones(m) || !open_loop(m))
        return false;
    supervise_init(m);
    successor_stderr(m);
    supervise_start(m);
    return true;
}

/* The children's list for the next master: empty, but for those of an earlier one who were never
 * told to go, because our start has failed. They serve on. */
static void leave_list(struct master *m)
{
    struct child_line lines[ORPHANS_MAX];
    unsigned n = orphans_lines(&m->orphans, lines);

    if (n > 0)
        children_record(m->list, lines, n);
    else
        children_forget(m->list);
}

/* All but what keeps others from starting: the pid file. */
static void close_all(struct master *m)
{
    control_close(m);
    embedded_cleanup(m);
    listeners_close(&m->listeners);
    if (m->admin_fd >= 0)
        close(m->admin_fd);
    if (m->signal_event != NULL)
        event_free(m->signal_event);
    if (m->signal_fd >= 0)
        close(m->signal_fd);
    reload_fini(m);
    canary_fini(m);
    changes_fini(m);
    audit_close(&m->audit);
    bans_close(&m->bans);
    upgrade_fini(m);
    successor_fini(m);
    handover_free(&m->from);
    if (m->loop.base != NULL)
        loop_fini(&m->loop);
    zones_close(m);
    for (unsigned i = 0; i < CONTROL_ENDPOINTS; i++)
        free(m->endpoints[i].address);
}

static void master_init(struct master *m, const struct master_options *options, struct conf *conf)
{
    *m = (struct master){.options = options, .boot = conf, .conf = conf};
    m->process = conf_process(conf);
    m->admin_fd = m->ctl_fd = m->signal_fd = m->pidfile.fd = -1;
    m->bans.handle.fd = -1;
    list_init(&m->adoptions);
    m->successor.channel = -1;
    zones_init(m);
    upgrade_init(m);
    canary_init(m);
    changes_init(m);
    m->audit.fd = -1;
}

static void master_free(struct master *m)
{
    orphans_free(&m->orphans);
    if (m->history.n == 0 && m->conf != m->boot)
        conf_free(&m->conf); /* it never came into force */
    rolled_back_forget(m);
    history_fini(m);
    orphans_free(&m->leaving);
    conf_free(&m->boot);
    names_fini(&m->names);
    free(m);
}

int master_run(const struct master_options *options, struct conf *conf)
{
    struct master *m = xmalloc(sizeof *m);
    bool started;

    master_init(m, options, conf);
    title_set("rushgate: master");
    started = start(m);
    while (started && m->stop_stage != STOP_DONE && loop_turn(&m->loop))
        ;
    close_all(m);
    if (started) {
        log_notice("stopped");
        leave_list(m);
    }
    pidfile_drop(&m->pidfile);
    started = started && !m->failed;
    master_free(m);
    return started ? 0 : 1;
}
