/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The embedded box office: the program `boxoffice` that lies beside this one, with what the
 * configuration says. It is a stranger to the zones; its state in the control zone is what the
 * master sees.
 *
 * Its socket lies by default beside the pid file, in a directory that is root's when the master is,
 * and where it may make no files. It gets a directory of its own there, and the configured path
 * becomes a link into it:
 *
 *   run/boxoffice.sock -> run/boxoffice/boxoffice.sock
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "proc/master.h"

#define PROGRAM     "boxoffice"
#define EXIT_NOEXEC 127 /* as a shell has it */

/* Beside the running binary; its link may say "rushgate (deleted)" after an update, the directory
 * holds. */
static void find_program(char out[4096])
{
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    char *slash;

    if (n > 0) {
        exe[n] = '\0';
        slash = strrchr(exe, '/');
        if (slash != NULL && (size_t)(slash - exe) + sizeof "/" PROGRAM <= sizeof exe) {
            strcpy(slash + 1, PROGRAM);
            if (access(exe, X_OK) == 0) {
                strcpy(out, exe);
                return;
            }
        }
    }
    snprintf(out, 4096, "%s/%s", RUSHGATE_LIBEXECDIR, PROGRAM);
}

/* Signals as a program expects them at its start; the ready descriptor survives the exec. */
static void prepare(int ready_fd)
{
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    /* Until it has handlers: being told to open its log again must not end it. */
    signal(SIGUSR1, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    fcntl(ready_fd, F_SETFD, 0);
    unsetenv("NOTIFY_SOCKET");
    unsetenv(HANDOVER_ENV);
}

/* The path of its socket's file, NULL: it listens elsewhere. */
static const char *socket_path(const struct conf_process *p)
{
    const char *listen = p->boxoffice_listen;

    return strncmp(listen, "unix:/", 6) == 0 ? listen + 5 : NULL;
}

static size_t directory_length(const char *path)
{
    return (size_t)(strrchr(path, '/') - path);
}

static bool beside(const char *path, const char *other)
{
    size_t n = directory_length(path);

    return n == directory_length(other) && strncmp(path, other, n) == 0;
}

/* The link, put in place of an earlier one or of a socket; -EEXIST when something else is there. */
static int place_link(const char *path, const char *target)
{
    char present[PATH_MAX];
    struct stat st;
    ssize_t n = readlink(path, present, sizeof present);

    /* After an upgrade it is there and in use. */
    if (n == (ssize_t)strlen(target) && memcmp(present, target, (size_t)n) == 0)
        return 0;
    if (lstat(path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode) && !S_ISLNK(st.st_mode))
            return -EEXIST;
        if (unlink(path) < 0)
            return -errno;
    }
    return symlink(target, path) < 0 ? -errno : 0;
}

bool embedded_prepare(struct master *m, struct buf *err)
{
    const struct conf_process *p = m->process;
    const char *path = p->boxoffice_embedded ? socket_path(p) : NULL;
    const char *name;
    int rc;

    if (path == NULL || !m->run_as.change)
        return path == NULL || directory_given(path, &m->run_as, err);
    if (!beside(path, p->pid_file) && !beside(path, p->admin_socket))
        return directory_given(path, &m->run_as, err);
    name = path + directory_length(path) + 1;
    snprintf(m->boxoffice_socket, sizeof m->boxoffice_socket, "%.*s/" PROGRAM "/%s",
             (int)directory_length(path), path, name);
    if (!directory_given(m->boxoffice_socket, &m->run_as, err))
        return false;
    rc = place_link(path, m->boxoffice_socket);
    if (rc < 0)
        buf_printf(err, "cannot make %s: %s", path, strerror(-rc));
    return rc == 0;
}

void embedded_cleanup(struct master *m)
{
    if (m->boxoffice_socket[0] != '\0' && !m->boxoffice_shared)
        unlink(socket_path(m->process));
}

const char *embedded_restart(struct master *m)
{
    struct supervised *s = &m->children[CONTROL_BOXOFFICE];

    if (!m->process->boxoffice_embedded)
        return "there is no embedded box office";
    if (upgrade_busy(m) != NULL)
        return upgrade_busy(m);
    if (m->stop_stage != STOP_NOT)
        return "the daemon is stopping";
    if (s->pid <= 0 || !s->ready)
        return "the box office is starting already";
    log_notice("the box office is restarted");
    s->commanded = true;
    supervise_kill(m, CHILD_BOXOFFICE, SIGTERM);
    return NULL;
}

bool embedded_outdated(const struct master *m)
{
    const struct supervised *s = &m->children[CONTROL_BOXOFFICE];
    char program[4096], link[64];
    struct stat runs, installed;

    if (s->pid <= 0 || !s->ready)
        return false;
    find_program(program);
    snprintf(link, sizeof link, "/proc/%d/exe", (int)s->pid);
    return stat(link, &runs) == 0 && stat(program, &installed) == 0 &&
           (runs.st_ino != installed.st_ino || runs.st_dev != installed.st_dev);
}

void embedded_exec(const struct master *m, int ready_fd)
{
    const struct conf_process *p = m->process;
    char program[4096], fd[16], listen[PATH_MAX + 5];
    const char *args[12];
    unsigned n = 0;
    int rc;

    find_program(program);
    snprintf(listen, sizeof listen, "unix:%s", m->boxoffice_socket);
    snprintf(fd, sizeof fd, "%d", ready_fd);
    args[n++] = PROGRAM;
    args[n++] = "--listen";
    args[n++] = m->boxoffice_socket[0] != '\0' ? listen : p->boxoffice_listen;
    args[n++] = "--store";
    args[n++] = p->boxoffice_store;
    args[n++] = "--ready-fd";
    args[n++] = fd;
    args[n++] = "--level";
    args[n++] = log_level_name(log_get_level());
    if (p->log_error != NULL) {
        args[n++] = "--log";
        args[n++] = p->log_error;
    }
    args[n] = NULL;
    rc = privileges_drop(&m->run_as);
    if (rc < 0) {
        log_error("cannot drop privileges: %s", strerror(-rc));
        exit(1);
    }
    prepare(ready_fd);
    execv(program, (char *const *)args);
    log_error("cannot execute %s: %s", program, strerror(errno));
    _exit(EXIT_NOEXEC);
}
