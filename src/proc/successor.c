/* SPDX-License-Identifier: BSD-2-Clause */
/* The new master's side of an upgrade: see upgrade.h for both sides and the order of things. */
#include "config.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "proc/master.h"

static void say(struct master *m, const char *text)
{
    struct successor *p = &m->successor;

    if (p->channel >= 0 && send(p->channel, text, strlen(text), MSG_NOSIGNAL) < 0)
        log_warn("upgrade: cannot tell the old master: %s", strerror(errno));
}

void successor_note(struct master *m, const char *kind, const char *name, const char *outcome,
                    const char *why)
{
    char text[UPGRADE_MESSAGE];

    snprintf(text, sizeof text, "note %s\t%s\t%s\t%s", kind, name, outcome, why);
    say(m, text);
}

bool successor_receive(struct master *m, struct buf *err)
{
    const char *pid_file = m->process->pid_file;
    struct handover *h = handover_receive(err);

    if (h == NULL)
        return false;
    m->from = h;
    if (strcmp(h->pid_file, pid_file) != 0) {
        buf_printf(err,
                   "pid_file: %s is not that of the running master, %s: it changes with a restart",
                   pid_file, h->pid_file);
        return false;
    }
    m->half = !h->half;
    m->successor.channel = h->channel;
    h->channel = -1;
    snprintf(m->list, sizeof m->list, "%s.upgrade", pid_file);
    return true;
}

void successor_stderr(struct master *m)
{
    if (m->from != NULL)
        dup2(m->from->stderr_fd, STDERR_FILENO);
}

/* --- the box office --- */

bool successor_adopt(struct master *m)
{
    struct handover *h = m->from;
    const struct conf_process *p = m->process;

    if (h == NULL || h->boxoffice < 0 || !p->boxoffice_embedded)
        return false;
    m->successor.other_boxoffice = strcmp(h->boxoffice_listen, p->boxoffice_listen) != 0 ||
                                   strcmp(h->boxoffice_store, p->boxoffice_store) != 0;
    supervise_adopt(m, h->boxoffice_pid, h->boxoffice);
    h->boxoffice = -1;
    successor_note(m, "boxoffice", "", "kept",
                   m->successor.other_boxoffice ? "its settings changed: it is restarted" : "");
    return true;
}

/* --- taking over --- */

static void old_list(const struct master *m, char out[PATH_MAX + 16])
{
    snprintf(out, PATH_MAX + 16, "%s.oldbin", m->process->pid_file);
}

/* The lists of children, in an order in which each process is always in one. */
static void move_lists(struct master *m)
{
    char old[PATH_MAX + 16], ours[PATH_MAX];

    old_list(m, old);
    children_move(m->process->pid_file, old);
    memcpy(ours, m->list, sizeof ours);
    snprintf(m->list, sizeof m->list, "%s", m->process->pid_file);
    supervise_record(m);
    children_forget(ours);
}

void successor_in_charge(struct master *m)
{
    if (m->from == NULL)
        return;
    handover_free(&m->from);
    supervise_send(m, CHILD_KEEPER, CHANNEL_RESUME, 0);
    if (m->successor.other_boxoffice) {
        log_notice("the box office has other settings now and is restarted");
        supervise_kill(m, CHILD_BOXOFFICE, SIGTERM);
    }
}

static void take_over(struct master *m)
{
    char old[PATH_MAX + 16];
    int rc;

    if (!m->successor.told || m->ready)
        return;
    old_list(m, old);
    rc = pidfile_replace(&m->pidfile, m->process->pid_file, old);
    if (rc < 0) {
        log_error("upgrade: cannot replace %s: %s", m->process->pid_file, strerror(-rc));
        successor_failed(m, "cannot replace the pid file");
        return;
    }
    move_lists(m);
    master_in_charge(m);
    say(m, "done");
}

/* --- the old master has ended --- */

/*
 * Before it could say "go": we are what a master is that starts after another one was killed. The
 * lock decides, as always; whoever has it ends the processes of both.
 */
static void take_over_alone(struct master *m)
{
    char upgrade[PATH_MAX];
    pid_t holder;
    int rc;

    log_warn("upgrade: the old master (%d) is gone; this one goes on alone", (int)m->from->master);
    pidfile_drop(&m->pidfile);
    rc = pidfile_take(&m->pidfile, m->process->pid_file, &holder);
    if (rc < 0) {
        log_error("upgrade: %s is held by process %d: %s", m->process->pid_file, (int)holder,
                  strerror(-rc));
        m->failed = true;
        stop_begin(m, false);
        return;
    }
    orphans_find(&m->orphans, m->process->pid_file);
    orphans_signal(&m->orphans, CHILD_KEEPER, SIGTERM);
    memcpy(upgrade, m->list, sizeof upgrade);
    snprintf(m->list, sizeof m->list, "%s", m->process->pid_file);
    supervise_record(m);
    children_forget(upgrade);
    if (m->successor.told)
        master_in_charge(m);
}

/* After it had said "go": normally because its workers have ended. */
static void see_it_off(struct master *m)
{
    char old[PATH_MAX + 16];

    old_list(m, old);
    orphans_find(&m->leaving, old);
    if (m->leaving.n > 0)
        log_warn("upgrade: the old master was killed: %u of its processes finish by themselves",
                 m->leaving.n);
    orphans_signal(&m->leaving, CHILD_KEEPER, SIGTERM);
    orphans_signal(&m->leaving, CHILD_WORKER, SIGQUIT);
    upgrade_sweep(m);
    supervise_record(m);
    children_forget(old);
    unlink(old);
    log_notice("upgrade: the old master has ended");
}

static void on_end(struct master *m)
{
    successor_fini(m);
    if (m->stop_stage != STOP_NOT)
        return;
    if (m->ready)
        see_it_off(m);
    else
        take_over_alone(m);
}

static void channel_cb(evutil_socket_t fd, short what, void *arg)
{
    struct master *m = arg;
    char text[UPGRADE_MESSAGE];
    ssize_t n;

    (void)what;
    while ((n = recv(fd, text, sizeof text - 1, MSG_DONTWAIT)) > 0) {
        text[n] = '\0';
        if (strcmp(text, "go") == 0)
            take_over(m);
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        on_end(m);
}

void successor_watch(struct master *m)
{
    struct successor *p = &m->successor;

    if (p->channel < 0)
        return;
    p->event = event_new(m->loop.base, p->channel, EV_READ | EV_PERSIST, channel_cb, m);
    if (p->event == NULL || event_add(p->event, NULL) < 0)
        log_error("upgrade: cannot watch the old master");
}

bool successor_ready(struct master *m)
{
    struct successor *p = &m->successor;
    char text[64];

    if (p->channel < 0)
        return false;
    if (!p->told) {
        snprintf(text, sizeof text, "ready %s %u", PACKAGE_VERSION, m->process->workers);
        p->told = true;
        say(m, text);
    }
    return true;
}

bool successor_failed(struct master *m, const char *why)
{
    char text[UPGRADE_MESSAGE];

    if (m->successor.channel < 0 || m->ready)
        return false;
    snprintf(text, sizeof text, "failed %s", why);
    say(m, text);
    return true;
}

const char *successor_busy(struct master *m)
{
    return m->successor.channel >= 0
               ? "the workers of the binary before this one are still draining"
               : NULL;
}

void successor_fini(struct master *m)
{
    struct successor *p = &m->successor;

    if (p->event != NULL)
        event_free(p->event);
    p->event = NULL;
    if (p->channel >= 0)
        close(p->channel);
    p->channel = -1;
}
