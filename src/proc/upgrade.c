/* SPDX-License-Identifier: BSD-2-Clause */
/* The old master's side of an upgrade: see upgrade.h for both sides and the order of things. */
#include "config.h"

#include "proc/upgrade.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "proc/master.h"
#include "proc/notify.h"
#include "proc/title.h"

#define READY_NS  (60 * NS_PER_S) /* where who asked did not say */
#define COMMIT_NS (10 * NS_PER_S) /* renaming files and opening a socket */
#define SWEEP_NS  (NS_PER_S / 4)
#define SAID_MAX  4096u

static void say(struct upgrade *u, const char *text)
{
    if (send(u->channel, text, strlen(text), MSG_NOSIGNAL) < 0)
        log_warn("upgrade: cannot tell the new master \"%s\": %s", text, strerror(errno));
}

/* Who asked is told how it went, once. */
static void answer(struct master *m)
{
    struct upgrade *u = &m->upgrade;
    upgrade_done *done = u->done;

    loop_timer_disarm(&m->loop, &u->patience);
    u->report.duration_ns = clock_mono_ns() - u->started_ns;
    u->done = NULL;
    if (done != NULL)
        done(u->arg, &u->report);
}

static void close_watched(struct event **e, int *fd)
{
    if (*e != NULL)
        event_free(*e);
    *e = NULL;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void on_sweep(struct loop_timer *t)
{
    struct master *m = CONTAINER_OF(t, struct master, upgrade.sweep);
    unsigned before = m->leaving.n;

    if (orphans_alive(&m->leaving) != before)
        supervise_record(m);
    upgrade_sweep(m);
}

void upgrade_sweep(struct master *m)
{
    m->upgrade.sweep.fn = on_sweep;
    if (m->leaving.n > 0)
        loop_timer_arm(&m->loop, &m->upgrade.sweep, SWEEP_NS);
}

static void read_output(struct master *m)
{
    struct upgrade *u = &m->upgrade;
    char bytes[1024];
    ssize_t n = -1;

    while (u->output >= 0 && (n = read(u->output, bytes, sizeof bytes)) > 0) {
        buf_add(&u->said, bytes, (size_t)n);
        if (u->said.n > SAID_MAX)
            buf_consume(&u->said, u->said.n - SAID_MAX);
        /* It is our stderr that it would have written to. */
        if (write(STDERR_FILENO, bytes, (size_t)n) < 0)
            log_debug("upgrade: stderr: %s", strerror(errno));
    }
    if (u->output >= 0 && n == 0)
        close_watched(&u->output_event, &u->output);
}

static void output_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    read_output(arg);
}

/* --- going on without the new master --- */

static bool is_ours(const struct master *m, pid_t pid)
{
    for (unsigned i = 0; i < CONTROL_SLOTS; i++)
        if (m->children[i].pid == pid)
            return true;
    return false;
}

/* What the new master has started ends: its workers after the requests that they have. */
static void end_its_processes(struct master *m)
{
    struct orphans all = {.n = 0};
    char path[PATH_MAX + 16];

    orphans_add(&all, m->process->pid_file); /* it may have put its list there; ours is filtered */
    snprintf(path, sizeof path, "%s.upgrade", m->process->pid_file);
    orphans_add(&all, path);
    children_forget(path);
    unlink(path);
    snprintf(path, sizeof path, "%s.oldbin", m->process->pid_file);
    children_forget(path); /* our own list, which it had renamed: it is written anew */
    for (unsigned i = 0; i < all.n; i++) {
        struct orphan *o = &all.all[i];
        if (is_ours(m, o->pid) || m->leaving.n == ORPHANS_MAX)
            close(o->pidfd);
        else
            m->leaving.all[m->leaving.n++] = *o;
    }
    orphans_signal(&m->leaving, CHILD_KEEPER, SIGTERM);
    orphans_signal(&m->leaving, CHILD_BOXOFFICE, SIGTERM);
    orphans_signal(&m->leaving, CHILD_WORKER, SIGQUIT);
    upgrade_sweep(m);
}

static void go_on(struct master *m)
{
    struct upgrade *u = &m->upgrade;

    loop_timer_disarm(&m->loop, &u->timer);
    close_watched(&u->channel_event, &u->channel);
    close_watched(&u->output_event, &u->output);
    end_its_processes(m);
    pidfile_restore(&m->pidfile, m->process->pid_file);
    supervise_record(m);
    if (u->stage == UPGRADE_COMMITTING) {
        control_accept(m, true);
        supervise_send(m, CHILD_KEEPER, CHANNEL_RESUME, 0);
    }
    u->stage = UPGRADE_NONE;
    if (m->process->boxoffice_embedded && m->stop_stage == STOP_NOT)
        supervise_bring_up(m, CHILD_BOXOFFICE);
    changes_next(m);
    bans_start(&m->bans, &m->loop);
}

/* The new master, if it is still there, is ended first: two must not be in charge. */
static void fail(struct master *m, enum upgrade_result result, const char *why)
{
    struct upgrade *u = &m->upgrade;
    int status;

    if (u->pid > 0) {
        kill(u->pid, SIGKILL);
        waitpid(u->pid, &status, 0);
        u->pid = 0;
    }
    read_output(m);
    go_on(m);
    u->report.result = result;
    buf_clear(&u->report.error);
    buf_str(&u->report.error, why);
    log_error("upgrade: %s; this binary goes on", why);
    notify_send("STATUS=the last upgrade failed");
    answer(m);
}

static void on_timer(struct loop_timer *t)
{
    struct master *m = CONTAINER_OF(t, struct master, upgrade.timer);
    const struct upgrade *u = &m->upgrade;
    double s = (double)(clock_mono_ns() - u->started_ns) / (double)NS_PER_S;
    char why[160];

    snprintf(
        why, sizeof why, "the new binary (process %d) %s within %.1f s and was ended", (int)u->pid,
        u->stage == UPGRADE_STARTING ? "was not ready" : "was ready, but did not take over", s);
    fail(m, UPGRADE_TIMEOUT, why);
}

/* How it ended, in its own words where it has left some. */
static void failed_by_itself(struct master *m, int status)
{
    struct upgrade *u = &m->upgrade;
    struct buf why = {0};

    read_output(m);
    if (WIFSIGNALED(status))
        buf_printf(&why, "the new binary was ended by signal %d (%s)", WTERMSIG(status),
                   strsignal(WTERMSIG(status)));
    else
        buf_printf(&why, "the new binary ended with status %d", WEXITSTATUS(status));
    while (u->said.n > 0 && u->said.p[u->said.n - 1] == '\n')
        u->said.n--;
    if (u->said.n > 0)
        buf_printf(&why, ": %s", buf_cstr(&u->said));
    fail(m, UPGRADE_FAILED, buf_cstr(&why));
    buf_free(&why);
}

bool upgrade_reaped(struct master *m, pid_t pid, int status)
{
    struct upgrade *u = &m->upgrade;

    if (pid <= 0 || pid != u->pid)
        return false;
    u->pid = 0;
    if (u->stage == UPGRADE_STARTING || u->stage == UPGRADE_COMMITTING)
        failed_by_itself(m, status);
    else
        log_error("upgrade: the new master (%d) has ended already; start rushgate again", (int)pid);
    return true;
}

void upgrade_cancel(struct master *m, const char *why)
{
    if (m->upgrade.stage == UPGRADE_STARTING || m->upgrade.stage == UPGRADE_COMMITTING)
        fail(m, UPGRADE_FAILED, why);
}

/* --- messages of the new master --- */

static void take_note(struct upgrade_report *r, char *text)
{
    struct upgrade_note *n = &r->notes[r->notes_n];
    const char *part[4] = {"", "", "", ""};

    for (unsigned i = 0; i < 4 && text != NULL; i++) {
        part[i] = text;
        text = strchr(text, '\t');
        if (text != NULL)
            *text++ = '\0';
    }
    if (r->notes_n == UPGRADE_NOTES)
        return;
    snprintf(n->kind, sizeof n->kind, "%s", part[0]);
    snprintf(n->name, sizeof n->name, "%s", part[1]);
    snprintf(n->outcome, sizeof n->outcome, "%s", part[2]);
    snprintf(n->why, sizeof n->why, "%s", part[3]);
    r->notes_n++;
}

static bool was_kept(const struct upgrade_report *r, const char *kind)
{
    for (unsigned i = 0; i < r->notes_n; i++)
        if (strcmp(r->notes[i].kind, kind) == 0)
            return strcmp(r->notes[i].outcome, "kept") == 0;
    return false;
}

/* It can take over: from here on who asks anything gets its answer from there. */
static void commit(struct master *m, const char *text)
{
    struct upgrade *u = &m->upgrade;
    unsigned workers = 0;

    if (u->stage != UPGRADE_STARTING)
        return;
    sscanf(text, "%31s %u", u->report.version, &workers);
    u->report.workers = workers;
    u->stage = UPGRADE_COMMITTING;
    supervise_send(m, CHILD_KEEPER, CHANNEL_HANDOVER, 0);
    control_accept(m, false);
    loop_timer_arm(&m->loop, &u->timer, COMMIT_NS);
    say(u, "go");
}

static void on_patience(struct loop_timer *t)
{
    struct master *m = CONTAINER_OF(t, struct master, upgrade.patience);
    struct upgrade_report *r = &m->upgrade.report;

    r->connections = 0;
    for (unsigned i = 0; i < CONTROL_WORKERS; i++)
        r->connections +=
            (unsigned)atomic_load_explicit(&m->control->slots[i].connections, memory_order_relaxed);
    r->old_workers = supervise_alive(m, CHILD_WORKER);
    answer(m);
}

static void leave(struct master *m, uint64_t wait_ns)
{
    struct upgrade *u = &m->upgrade;
    uint64_t now = clock_mono_ns(), until = u->started_ns + wait_ns;

    if (u->stage != UPGRADE_COMMITTING)
        return;
    loop_timer_disarm(&m->loop, &u->timer);
    u->stage = UPGRADE_LEAVING;
    u->report.ready_ns = now - u->started_ns;
    notify_send("MAINPID=%d\nSTATUS=version %s", (int)u->pid, u->report.version);
    title_set("rushgate: old master");
    log_notice("upgrade: process %d, version %s, has taken over in %.1f ms", (int)u->pid,
               u->report.version, (double)u->report.ready_ns / (double)NS_PER_MS);
    snprintf(m->list, sizeof m->list, "%s.oldbin", m->process->pid_file);
    m->pidfile.path = m->list;
    m->control_shared = was_kept(&u->report, "control");
    if (u->boxoffice && was_kept(&u->report, "boxoffice")) {
        m->boxoffice_shared = true;
        supervise_release(m);
    }
    supervise_record(m);
    u->patience.fn = on_patience;
    loop_timer_arm(&m->loop, &u->patience, until > now ? until - now : 1);
    stop_leave(m);
}

static void on_message(struct master *m, char *text)
{
    struct upgrade *u = &m->upgrade;

    if (strncmp(text, "note ", 5) == 0)
        take_note(&u->report, text + 5);
    else if (strncmp(text, "ready ", 6) == 0)
        commit(m, text + 6);
    else if (strcmp(text, "done") == 0)
        leave(m, u->wait_ns);
    else if (strncmp(text, "failed ", 7) == 0 && u->stage == UPGRADE_STARTING)
        fail(m, UPGRADE_FAILED, text + 7);
}

static void channel_cb(evutil_socket_t fd, short what, void *arg)
{
    struct master *m = arg;
    char text[UPGRADE_MESSAGE];
    ssize_t n = -1;

    (void)what;
    /* A message may end the upgrade and close the channel. */
    while (m->upgrade.channel == fd && (n = recv(fd, text, sizeof text - 1, MSG_DONTWAIT)) > 0) {
        text[n] = '\0';
        on_message(m, text);
    }
    /* What follows from its end, SIGCHLD brings. */
    if (m->upgrade.channel == fd && n == 0)
        event_del(m->upgrade.channel_event);
}

/* --- starting it --- */

/* 0 or -errno. */
static int launch(struct master *m)
{
    struct upgrade *u = &m->upgrade;
    int rc = upgrade_launch(m, &u->channel, &u->output);

    if (rc < 0)
        return rc;
    u->channel_event = event_new(m->loop.base, u->channel, EV_READ | EV_PERSIST, channel_cb, m);
    u->output_event = event_new(m->loop.base, u->output, EV_READ | EV_PERSIST, output_cb, m);
    if (u->channel_event == NULL || u->output_event == NULL ||
        event_add(u->channel_event, NULL) < 0 || event_add(u->output_event, NULL) < 0)
        return -ENOMEM;
    return 0;
}

/* NULL, or why it cannot be now. */
static const char *not_now(struct master *m)
{
    if (m->upgrade.stage == UPGRADE_LEAVING)
        return "this master is leaving: another one has taken over";
    if (m->upgrade.stage != UPGRADE_NONE)
        return "an upgrade is already running";
    if (m->stop_stage != STOP_NOT)
        return "the daemon is stopping";
    if (!m->ready)
        return "the start is not complete";
    if (list_first(&m->adoptions) != NULL)
        return "a change of the configuration is under way";
    if (canary_runs(m)) /* the new binary would take what the file says for everybody */
        return "a canary runs: promote it or roll it back first";
    if (atomic_load_explicit(&m->control->draining, memory_order_relaxed))
        return "the workers are drained; a reload brings them back";
    if (orphans_alive(&m->leaving) > 0)
        return "processes of an earlier upgrade are still finishing their requests";
    if (getpid() == 1)
        return "the daemon is process 1, which cannot be replaced: replace its container";
    return successor_busy(m);
}

/* The new binary takes what the file says, for everybody. False: what was rolled back is in it. */
static bool file_mended(const struct master *m, struct buf *err)
{
    if (!rolled_back_in_file(m))
        return true;
    buf_printf(err, "%s still holds ", m->options->file);
    rolled_back_text(m, err);
    buf_str(err, "; mend it and reload first, or take it all the same with rushctl reload --force");
    return false;
}

static void report_begin(struct master *m, const char *binary)
{
    struct upgrade_report *r = &m->upgrade.report;

    buf_free(&r->error);
    *r = (struct upgrade_report){.old_pid = getpid()};
    snprintf(r->binary, sizeof r->binary, "%s", binary != NULL ? binary : m->options->program);
}

static void refuse(enum upgrade_result result, const char *why, upgrade_done *done, void *arg)
{
    struct upgrade_report *r = calloc(1, sizeof *r);

    log_error("upgrade: %s", why);
    if (r == NULL)
        return;
    r->result = result;
    buf_str(&r->error, why);
    if (done != NULL)
        done(arg, r);
    buf_free(&r->error);
    free(r);
}

void upgrade_start(struct master *m, const char *binary, uint64_t wait_ns, upgrade_done *done,
                   void *arg)
{
    struct upgrade *u = &m->upgrade;
    const char *why = not_now(m);
    struct buf err = {0};
    int rc;

    if (why != NULL) {
        refuse(UPGRADE_REFUSED, why, done, arg);
        return;
    }
    if (!file_mended(m, &err)) {
        refuse(UPGRADE_REFUSED, buf_cstr(&err), done, arg);
        buf_free(&err);
        return;
    }
    report_begin(m, binary);
    if (!upgrade_executable(u->report.binary, &err)) {
        refuse(UPGRADE_FAILED, buf_cstr(&err), done, arg);
        buf_free(&err);
        return;
    }
    buf_clear(&u->said);
    u->started_ns = clock_mono_ns();
    u->wait_ns = wait_ns;
    u->done = done;
    u->arg = arg;
    u->stage = UPGRADE_STARTING;
    rc = launch(m);
    if (rc < 0) {
        buf_printf(&err, "cannot start the new binary: %s", strerror(-rc));
        fail(m, UPGRADE_FAILED, buf_cstr(&err));
        buf_free(&err);
        return;
    }
    u->report.pid = u->pid;
    log_notice("upgrade: %s is starting as process %d", u->report.binary, (int)u->pid);
    u->timer.fn = on_timer;
    loop_timer_arm(&m->loop, &u->timer, wait_ns != 0 ? wait_ns : READY_NS);
}

void upgrade_drained(struct master *m)
{
    if (m->upgrade.stage != UPGRADE_LEAVING)
        return;
    m->upgrade.report.drained = true;
    answer(m);
}

const char *upgrade_busy(const struct master *m)
{
    switch (m->upgrade.stage) {
    case UPGRADE_NONE:
        return NULL;
    case UPGRADE_LEAVING:
        return "this master is leaving: another one has taken over";
    default:
        return "an upgrade is running";
    }
}

void upgrade_init(struct master *m)
{
    struct upgrade *u = &m->upgrade;

    u->channel = u->output = -1;
    loop_timer_init(&u->timer, NULL);
    loop_timer_init(&u->patience, NULL);
    loop_timer_init(&u->sweep, NULL);
}

void upgrade_fini(struct master *m)
{
    struct upgrade *u = &m->upgrade;

    loop_timer_disarm(&m->loop, &u->timer);
    loop_timer_disarm(&m->loop, &u->patience);
    loop_timer_disarm(&m->loop, &u->sweep);
    close_watched(&u->channel_event, &u->channel);
    close_watched(&u->output_event, &u->output);
    buf_free(&u->said);
    buf_free(&u->report.error);
}
