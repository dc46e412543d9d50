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
/*
 * The file that p holds takes the place of `path`, which somebody else holds and which is called
 * `old` from then on. At every moment there is a `path`, locked by one of the two. 0 or -errno.
 */
int pidfile_replace(struct pidfile *p, const char *path, const char *old)
    __attribute__((warn_unused_result));
/* Undoes what another process did by pidfile_replace to the file that p holds, if it did. */
void pidfile_restore(const struct pidfile *p, const char *path);
/* Removes the file and lets go. */
void pidfile_drop(struct pidfile *p);

#endif
