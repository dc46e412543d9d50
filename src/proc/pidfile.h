/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pid file. Who runs is decided by a lock on it (fcntl, which ends with the process and which
 * no child inherits), never by the number in it: a stale file does no harm, and the same file
 * cannot have two masters.
 */
#ifndef PROC_PIDFILE_H
#define PROC_PIDFILE_H

#include <sys/types.h>

struct pidfile {
    int fd;           /* holds the lock; -1: none */
    const char *path; /* borrowed */
};

/* 0; -EADDRINUSE with *holder = the pid of who has it; another -errno. Writes our pid on success.
 */
int pidfile_take(struct pidfile *p, const char *path, pid_t *holder)
    __attribute__((warn_unused_result));
/* Removes the file and lets go. */
void pidfile_drop(struct pidfile *p);

#endif
