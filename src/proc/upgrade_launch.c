/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The start of the new master: what it is told and given (handover.h), and the fork. What follows
 * is in upgrade.c.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc/master.h"
#include "proc/upgrade.h"

#define EXIT_NOEXEC 127

bool upgrade_executable(const char *path, struct buf *err)
{
    struct stat st;
    int rc = 0;

    if (path[0] != '/')
        rc = EINVAL;
    else if (stat(path, &st) < 0 || access(path, X_OK) < 0)
        rc = errno;
    else if (!S_ISREG(st.st_mode))
        rc = EACCES;
    if (rc != 0)
        buf_printf(err, "cannot execute %s: %s", path,
                   rc == EINVAL ? "not an absolute path" : strerror(rc));
    return rc == 0;
}

static void describe_boxoffice(struct master *m, struct handover_out *out)
{
    struct supervised *s = &m->children[CONTROL_BOXOFFICE];
    char text[64];
    int pidfd;

    m->upgrade.boxoffice = false;
    if (!m->process->boxoffice_embedded)
        return;
    /* Whoever watches over it from now on, it is not us who starts it again. */
    supervise_want(m, CHILD_BOXOFFICE, false);
    if (!s->ready) {
        supervise_kill(m, CHILD_BOXOFFICE, SIGTERM);
        return;
    }
    pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
    if (pidfd < 0)
        return;
    snprintf(text, sizeof text, "%d %" PRIu64, (int)s->pid, process_start_time(s->pid));
    handover_put_copy(out, "boxoffice", pidfd, text);
    handover_put(out, "boxoffice_listen", -1, "%s", m->process->boxoffice_listen);
    handover_put(out, "boxoffice_store", -1, "%s", m->process->boxoffice_store);
    m->upgrade.boxoffice = true;
}

static void describe(struct master *m, struct handover_out *out, int channel)
{
    const struct listeners *l = &m->listeners;
    int bans = bans_list(&m->bans);

    handover_put(out, "master", -1, "%d %s %u", (int)getpid(), PACKAGE_VERSION, m->half);
    handover_put(out, "channel", channel, "%s", "");
    handover_put_copy(out, "stderr", fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), "");
    handover_put(out, "pid_file", -1, "%s", m->process->pid_file);
    handover_put(out, "control", m->ctl_fd, "%s", m->process->admin_socket);
    if (m->admin_fd >= 0)
        handover_put(out, "admin", m->admin_fd, "%s", m->admin_bound);
    for (unsigned s = 0; s < l->slots; s++)
        for (unsigned a = 0; a < l->addresses; a++)
            if (l->fds[s * l->addresses + a] >= 0)
                handover_put(out, "listener", l->fds[s * l->addresses + a], "%u %s %s", s,
                             l->bound[a], m->process->listeners[a].address);
    zones_hand_over(m, out);
    if (bans >= 0) /* else the state file has them */
        handover_put_copy(out, "bans", bans, "");
    bans_rest(&m->bans);
    describe_boxoffice(m, out);
    handover_put(out, "end", -1, "%s", "");
}

/* In the child. The environment and the arguments are as ours were. */
static void become(const struct master *m, struct handover_out *out, int text_fd, int output)
{
    const struct master_options *o = m->options;
    const char *program = m->upgrade.report.binary;
    const char *args[] = {program, "-c", o->file, "-p", o->prefix, o->daemon ? "-d" : NULL, NULL};
    char number[16];
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    dup2(output, STDERR_FILENO);
    for (unsigned i = 0; i < out->n; i++)
        fcntl(out->fds[i], F_SETFD, 0);
    fcntl(text_fd, F_SETFD, 0);
    snprintf(number, sizeof number, "%d", text_fd);
    setenv(HANDOVER_ENV, number, 1);
    execv(program, (char *const *)args);
    dprintf(STDERR_FILENO, "cannot execute %s: %s\n", program, strerror(errno));
    _exit(EXIT_NOEXEC);
}

/* The channel and the pipe; -errno. */
static int open_ends(int channel[2], int output[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, channel) < 0 ||
        pipe2(output, O_CLOEXEC) < 0 || fcntl(output[0], F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

static int start(struct master *m, int channel, int output)
{
    struct handover_out out = {0};
    int text_fd, rc = 0;

    describe(m, &out, channel);
    text_fd = handover_seal(&out);
    if (text_fd >= 0) {
        m->upgrade.pid = fork();
        if (m->upgrade.pid == 0)
            become(m, &out, text_fd, output);
        rc = m->upgrade.pid < 0 ? -errno : 0;
        close(text_fd);
    }
    handover_out_free(&out);
    return text_fd < 0 ? text_fd : rc;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int upgrade_launch(struct master *m, int *channel, int *output)
{
    int c[2] = {-1, -1}, o[2] = {-1, -1}, rc = open_ends(c, o);

    if (rc == 0)
        rc = start(m, c[1], o[1]);
    close_end(&c[1]);
    close_end(&o[1]);
    if (rc < 0) {
        close_end(&c[0]);
        close_end(&o[0]);
    }
    *channel = c[0];
    *output = o[0];
    return rc;
}
