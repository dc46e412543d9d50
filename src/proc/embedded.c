/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The embedded box office: the program `boxoffice` that lies beside this one, with what the
 * configuration says. It is a stranger to the zones; its state in the control zone is what the
 * master sees.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    fcntl(ready_fd, F_SETFD, 0);
    unsetenv("NOTIFY_SOCKET");
}

void embedded_exec(const struct master *m, int ready_fd)
{
    static const char *const levels[] = {"error", "warn", "notice", "info", "debug"};
    const struct conf_process *p = m->process;
    char program[4096], fd[16];
    const char *args[12];
    unsigned n = 0;
    int rc;

    find_program(program);
    snprintf(fd, sizeof fd, "%d", ready_fd);
    args[n++] = PROGRAM;
    args[n++] = "--listen";
    args[n++] = p->boxoffice_listen;
    args[n++] = "--store";
    args[n++] = p->boxoffice_store;
    args[n++] = "--ready-fd";
    args[n++] = fd;
    args[n++] = "--level";
    args[n++] = levels[log_get_level()];
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
